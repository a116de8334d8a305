//! The configuration of a plugin, checked against the JSON Schema that it declares.
//!
//! Known is what a flat configuration needs: an object of properties with `type`, `minimum`, `maximum`, `enum`, `default`, and `items` with
//! a `type`. A key that the schema does not name is a problem, and the answer names the key that was probably meant.

use serde_json::{Map, Value};

/// One way in which a configuration does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key; empty for the document itself.
    pub path: String,
    pub summary: String,
    /// What the operator can do.
    pub detail: String,
}

/// The schema of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    properties: Map<String, Value>,
}

impl Schema {
    /// Reads a schema. The empty text is that of a plugin that takes no configuration.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let root: Value = serde_json::from_str(text).map_err(|error| format!("config schema: {error}"))?;
        if root["type"] != "object" {
            return Err("config schema: the root must have type object".into());
        }
        let Some(properties) = root["properties"].as_object() else {
            return Err(
                "config schema: no properties: give the empty text for a plugin that takes no configuration".into()
            );
        };
        for (name, property) in properties {
            let kind = property["type"].as_str().unwrap_or_default();
            if !["integer", "number", "boolean", "string", "array"].contains(&kind) {
                return Err(format!("config schema: {name}: type {kind:?} is not known here"));
            }
            if let Some(default) = property.get("default") {
                if let Some(problem) = misfit(name, property, default) {
                    return Err(format!("config schema: {name}: default: {}", problem.summary));
                }
            }
        }
        Ok(Self { properties: properties.clone() })
    }

    /// Checks a configuration and fills in the defaults. Nothing, and `{}`, are all defaults.
    pub fn complete(&self, config: &[u8]) -> Result<Vec<u8>, Vec<Problem>> {
        let whole =
            |summary: String| vec![Problem { path: String::new(), summary, detail: "give a JSON object".into() }];
        let mut object = match serde_json::from_slice(config) {
            _ if config.is_empty() => Map::new(),
            Ok(Value::Object(object)) => object,
            Ok(_) => return Err(whole("the configuration is not a JSON object".into())),
            Err(error) => return Err(whole(format!("the configuration is not JSON: {error}"))),
        };
        let mut problems: Vec<Problem> = object
            .iter()
            .filter_map(|(name, value)| match self.properties.get(name) {
                Some(property) => misfit(name, property, value),
                None => Some(self.unknown(name)),
            })
            .collect();
        if !problems.is_empty() {
            problems.sort_by(|a, b| a.path.cmp(&b.path));
            return Err(problems);
        }
        for (name, property) in &self.properties {
            if let (None, Some(default)) = (object.get(name), property.get("default")) {
                object.insert(name.clone(), default.clone());
            }
        }
        Ok(Value::Object(object).to_string().into_bytes())
    }

    fn unknown(&self, name: &str) -> Problem {
        let names: Vec<&str> = self.properties.keys().map(String::as_str).collect();
        let detail = match nearest(name, &names) {
            Some(known) => format!("did you mean {known}?"),
            None if names.is_empty() => "this plugin takes no configuration: remove it".into(),
            None => format!("the keys are: {}", names.join(", ")),
        };
        Problem { path: name.into(), summary: "unknown key".into(), detail }
    }
}

fn misfit(name: &str, property: &Value, value: &Value) -> Option<Problem> {
    let problem = |summary: String| {
        let detail = property["description"].as_str().unwrap_or_default().into();
        Some(Problem { path: name.into(), summary, detail })
    };
    let kind = property["type"].as_str().unwrap_or_default();
    let fits = match kind {
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        _ => false,
    };
    if !fits {
        return problem(format!("{value} is not of type {kind}"));
    }
    if let Some(choices) = property["enum"].as_array() {
        if !choices.contains(value) {
            let choices: Vec<String> = choices.iter().map(Value::to_string).collect();
            return problem(format!("{value} is none of {}", choices.join(", ")));
        }
    }
    if let Some(number) = value.as_f64() {
        match (property["minimum"].as_f64(), property["maximum"].as_f64()) {
            (Some(least), _) if number < least => return problem(format!("{value} is below {least}")),
            (_, Some(most)) if number > most => return problem(format!("{value} is above {most}")),
            _ => {}
        }
    }
    if let (Some(items), Some(list)) = (property.get("items"), value.as_array()) {
        return list.iter().find_map(|item| misfit(name, items, item));
    }
    None
}

/// The name that a misspelt one probably stands for.
fn nearest<'a>(word: &str, names: &[&'a str]) -> Option<&'a str> {
    if word.len() > 64 {
        return None;
    }
    let most = 2.max(word.len() / 3);
    let close = names.iter().map(|name| (distance(word, name), *name)).filter(|(distance, _)| *distance <= most);
    close.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// The insertions, deletions and substitutions between two words.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut current = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            current.push((previous[j] + usize::from(x != y)).min(previous[j + 1] + 1).min(current[j] + 1));
        }
        previous = current;
    }
    previous[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        Schema::parse(
            r#"{"type":"object","properties":{
                "idle_ms":{"type":"integer","minimum":1,"maximum":100,"default":5,"description":"how long"},
                "mode":{"type":"string","enum":["a","b"],"default":"a"},
                "peers":{"type":"array","items":{"type":"string"}},
                "empty_blocks":{"type":"boolean","default":false}}}"#,
        )
        .unwrap()
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        for config in ["", "{}"] {
            let whole = schema().complete(config.as_bytes()).unwrap();
            assert_eq!(whole, br#"{"empty_blocks":false,"idle_ms":5,"mode":"a"}"#);
        }
        let whole = schema().complete(br#"{"mode":"b","idle_ms":7,"peers":["x"],"empty_blocks":true}"#).unwrap();
        assert_eq!(whole, br#"{"empty_blocks":true,"idle_ms":7,"mode":"b","peers":["x"]}"#);
    }

    #[test]
    fn what_does_not_fit_is_said_with_what_to_do() {
        for (config, path, summary, detail) in [
            (r#"{"idle":1}"#, "idle", "unknown key", "the keys are: empty_blocks, idle_ms, mode, peers"),
            (r#"{"idle_m":1}"#, "idle_m", "unknown key", "did you mean idle_ms?"),
            (r#"{"idle_ms":0}"#, "idle_ms", "0 is below 1", "how long"),
            (r#"{"idle_ms":101}"#, "idle_ms", "101 is above 100", "how long"),
            (r#"{"idle_ms":1.5}"#, "idle_ms", "1.5 is not of type integer", "how long"),
            (r#"{"mode":"c"}"#, "mode", "\"c\" is none of \"a\", \"b\"", ""),
            (r#"{"peers":["x",1]}"#, "peers", "1 is not of type string", ""),
            ("[]", "", "the configuration is not a JSON object", "give a JSON object"),
        ] {
            let problems = schema().complete(config.as_bytes()).unwrap_err();
            assert_eq!(
                problems,
                [Problem { path: path.into(), summary: summary.into(), detail: detail.into() }],
                "{config}"
            );
        }
        assert!(schema().complete(b"{").unwrap_err()[0].summary.starts_with("the configuration is not JSON"));
        assert_eq!(Schema::parse("").unwrap().complete(br#"{"x":1}"#).unwrap_err()[0].summary, "unknown key");
    }

    #[test]
    fn a_schema_that_promises_what_is_not_checked_is_refused() {
        for text in [
            "[",
            "{}",
            r#"{"type":"object"}"#,
            r#"{"type":"object","properties":{"a":{"type":"object"}}}"#,
            r#"{"type":"object","properties":{"a":{"type":"integer","default":"x"}}}"#,
        ] {
            assert!(Schema::parse(text).is_err(), "{text}");
        }
    }
}
