//! One record: what it holds, within bounds, and how it is written.

use std::fmt::Debug;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::Level;

/// The host cuts lines at 64 KiB, and a cut line is no longer JSON: so all that a line holds is bounded. The bounds are of the
/// text as JSON has it, with its escapes.
const MAX_MESSAGE: usize = 16 << 10;
const MAX_VALUES: usize = 32 << 10;
pub(super) const MAX_NAME: usize = 128;
const MAX_FIELDS: usize = 16;
/// Whole numbers beyond this lose digits in readers that take every number for a double.
const MAX_NUMBER: u64 = 1 << 53;

/// What was recorded with an event or a span. The message of an event is the field `message`.
#[derive(Clone, Default)]
pub(super) struct Fields {
    pub(super) message: String,
    pub(super) values: Vec<(&'static str, Value)>,
    /// Fields beyond the most that a line takes.
    pub(super) dropped: usize,
}

impl Fields {
    pub(super) fn set(&mut self, name: &'static str, value: Value) {
        if name.starts_with('@') {
            return; // the keys of hclog itself
        }
        if let Some((_, known)) = self.values.iter_mut().find(|(known, _)| *known == name) {
            *known = value;
        } else if self.values.len() < MAX_FIELDS {
            self.values.push((name, value));
        } else {
            self.dropped += 1;
        }
    }

    /// Takes over what only the outer ones have.
    pub(super) fn inherit(&mut self, outer: &Self) {
        for (name, value) in &outer.values {
            if !self.values.iter().any(|(known, _)| known == name) {
                self.set(name, value.clone());
            }
        }
        self.dropped += outer.dropped;
    }

    fn text(&mut self, field: &Field, text: String) {
        match field.name() {
            "message" => self.message = text,
            name => self.set(name, bounded(&text, MAX_VALUES).into()),
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no infinities.
        match serde_json::Number::from_f64(value) {
            Some(number) => self.set(field.name(), number.into()),
            None => self.text(field, value.to_string()),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        match value.unsigned_abs() <= MAX_NUMBER {
            true => self.set(field.name(), value.into()),
            false => self.text(field, value.to_string()),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match value <= MAX_NUMBER {
            true => self.set(field.name(), value.into()),
            false => self.text(field, value.to_string()),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.text(field, value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, format!("{value:?}"));
    }
}

/// A record as one line.
pub(super) fn render(level: Level, target: &str, fields: &Fields, now: SystemTime) -> String {
    let mut record = Map::new();
    let share = MAX_VALUES / fields.values.len().max(1);
    for (name, value) in &fields.values {
        let value = match value {
            Value::String(text) => bounded(text, share).into(),
            other => other.clone(),
        };
        record.insert(bounded(name, MAX_NAME), value);
    }
    if fields.dropped > 0 {
        record.insert("fields_dropped".into(), fields.dropped.into());
    }
    record.insert("@level".into(), level.as_str().to_lowercase().into());
    record.insert("@message".into(), bounded(&fields.message, MAX_MESSAGE).into());
    record.insert("@module".into(), bounded(target, MAX_NAME).into());
    record.insert("@timestamp".into(), timestamp(now).into());
    let mut line = Value::Object(record).to_string();
    line.push('\n');
    line
}

/// A text that takes no more than about `most` bytes as JSON.
pub(super) fn bounded(text: &str, most: usize) -> String {
    if text.len() <= most / 6 {
        return text.into(); // whatever it holds
    }
    let mut size = 0;
    for (at, char) in text.char_indices() {
        size += match char {
            '"' | '\\' | '\n' | '\r' | '\t' => 2,
            control if u32::from(control) < 0x20 => 6,
            other => other.len_utf8(),
        };
        if size > most {
            return format!("{}... ({} bytes more)", &text[..at], text.len() - at);
        }
    }
    text.into()
}

/// RFC 3339 with exactly six digits of the second: with another number the host does not take the line for a record.
fn timestamp(now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Civil date from days since 1970 (era of 400 years, year beginning in March).
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_micros()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_has_six_digits_of_the_second() {
        assert_eq!(timestamp(UNIX_EPOCH), "1970-01-01T00:00:00.000000Z");
        assert_eq!(timestamp(UNIX_EPOCH + Duration::new(1_709_210_096, 1_234_000)), "2024-02-29T12:34:56.001234Z");
    }
}
