//! The commands of the binary, for set-up and measurement.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use ordo_sdk::prost::Message;
use ordo_sdk::v1;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{json, Value};

use crate::native::{self, Engine};
use crate::threads::STACK;
use crate::{bench, cairo0, casm, classes, compile_queue, hashing};

const USAGE: &str = "usage:
  ordo-execution-blockifier                                  serve as a plugin (started by ordo)
  ordo-execution-blockifier compile FILE... --out DIR        compile classes; one JSON line each
  ordo-execution-blockifier native FILE... [--cache DIR]     make machine code of compiled classes (DIR/NAME.class.pb)
  ordo-execution-blockifier bench FILE [--workers N] [--executor concurrent|sequential] [--native]
                                                             run a recorded block on the bare crate
  ordo-execution-blockifier hash [--pairs N]                 time the hashes of starknet-types-core";

pub fn run(arguments: &[String]) -> Result<(), String> {
    match arguments.first().map(String::as_str) {
        Some("compile") => compile_files(&arguments[1..]),
        Some("bench") => bench::command(&arguments[1..]),
        Some("hash") => hashing::command(&arguments[1..]),
        Some("native") => native_files(&arguments[1..]),
        Some(compile_queue::COMMAND) => compile_queue::stdin_to_stdout(),
        #[cfg(feature = "native")]
        Some(native::COMMAND) => match arguments.get(1) {
            Some(folder) => native::stdin_to_folder(Path::new(folder)),
            None => Err("the folder is missing".into()),
        },
        Some("-h" | "--help" | "help") => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(format!("unknown command\n{USAGE}")),
    }
}

fn compile_files(arguments: &[String]) -> Result<(), String> {
    let (mut files, mut out) = (Vec::new(), None);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--out" => out = Some(PathBuf::from(rest.next().ok_or("--out: a folder is missing")?)),
            flag if flag.starts_with("--") => return Err(format!("{flag}: unknown flag\n{USAGE}")),
            file => files.push(PathBuf::from(file)),
        }
    }
    let out = out.ok_or(format!("--out: is missing\n{USAGE}"))?;
    if files.is_empty() {
        return Err(format!("no file given\n{USAGE}"));
    }
    std::fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    // The compiler recurses deeply.
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, || files.iter().try_for_each(|file| compile_file(file, &out)))
            .map_err(|error| format!("thread: {error}"))?
            .join()
            .map_err(|_| "compiling ended in a panic".to_string())?
    })
}

/// Fills the cache of machine code, so that a first start finds it.
fn native_files(arguments: &[String]) -> Result<(), String> {
    let (mut files, mut cache) = (Vec::new(), native::default_cache());
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--cache" => cache = Some(PathBuf::from(rest.next().ok_or("--cache: a folder is missing")?)),
            flag if flag.starts_with("--") => return Err(format!("{flag}: unknown flag\n{USAGE}")),
            file => files.push(PathBuf::from(file)),
        }
    }
    let cache = cache.ok_or("--cache: is missing, and so are HOME and XDG_CACHE_HOME")?;
    let engine = Engine::start(bench::engine_settings(cache))?;
    for file in files {
        let named = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let bytes = std::fs::read(&file).map_err(|error| named(&error))?;
        let class = v1::Class::decode(&bytes[..]).map_err(|error| named(&error))?;
        let loaded = classes::load(&class).map_err(|error| named(&error))?;
        let hash = classes::hash(&class).map_err(|error| named(&error))?;
        let begun = std::time::Instant::now();
        loaded.attach_native(&engine, hash, &class);
        println!(
            "{}",
            json!({
                "file": file.display().to_string(),
                "class_hash": format!("{:#x}", hash.0),
                "sierra_version": class.sierra_version,
                "native": loaded.is_native(),
                "seconds": begun.elapsed().as_secs_f64(),
            })
        );
    }
    Ok(())
}

fn compile_file(file: &Path, out: &Path) -> Result<(), String> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = std::fs::read(file).map_err(|error| named(&error))?;
    let class = class_of(&text).map_err(|error| named(&error))?;
    let stem = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = stem.split('.').next().unwrap_or("class");
    let target = out.join(format!("{stem}.class.pb"));
    std::fs::write(&target, class.encode_to_vec()).map_err(|error| format!("{}: {error}", target.display()))?;
    let hex = |bytes: &Bytes| match bytes.is_empty() {
        true => Value::Null,
        false => json!(format!("{:#x}", starknet_types_core::felt::Felt::from_bytes_be_slice(bytes))),
    };
    println!(
        "{}",
        json!({
            "file": file.display().to_string(),
            "out": target.display().to_string(),
            "class_hash": hex(&class.hash),
            "compiled_class_hash": hex(&class.compiled_class_hash),
            "compiled_class_hash_v1": hex(&class.compiled_class_hash_v1),
            "sierra_version": class.sierra_version,
            "kind": class.kind().as_str_name(),
        })
    );
    Ok(())
}

/// Compiles a class from a file, as the compilers write it (the abi is a list) or in the shape of the JSON-RPC.
pub fn class_of(text: &[u8]) -> Result<v1::Class, String> {
    let json: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let class = if json.get("sierra_program").is_some() {
        casm::compile(&rpc_shape(text)?)
    } else if json.get("program").is_some() {
        cairo0::compile(&Bytes::copy_from_slice(text))
    } else {
        return Err("neither a Sierra class nor one of Cairo 0".into());
    };
    class.map_err(|rejection| rejection.reason)
}

#[derive(Deserialize)]
struct File {
    sierra_program: Value,
    contract_class_version: String,
    entry_points_by_type: Value,
    #[serde(default = "no_abi")]
    abi: Ordered,
}

fn no_abi() -> Ordered {
    Ordered::Text(String::new())
}

/// A class file in the shape of the JSON-RPC.
pub fn rpc_shape(text: &[u8]) -> Result<Bytes, String> {
    let file: File = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let abi = match file.abi {
        Ordered::Text(text) => text,
        Ordered::Null => String::new(),
        tree => {
            let mut text = String::new();
            tree.write(&mut text);
            text
        }
    };
    let rpc = json!({
        "sierra_program": file.sierra_program,
        "contract_class_version": file.contract_class_version,
        "entry_points_by_type": file.entry_points_by_type,
        "abi": abi,
    });
    Ok(Bytes::from(rpc.to_string()))
}

/// JSON that keeps the order of its keys: the class hash covers the abi as text, in the order and with the spaces of the first
/// implementation, in Python.
enum Ordered {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Ordered>),
    Object(Vec<(String, Ordered)>),
}

impl Ordered {
    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(number) => out.push_str(&number.to_string()),
            Self::Text(text) => out.push_str(&Value::String(text.clone()).to_string()),
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { ", " });
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(fields) => {
                out.push('{');
                for (index, (key, value)) in fields.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { ", " });
                    Self::Text(key.clone()).write(out);
                    out.push_str(": ");
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Ordered;
            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("JSON")
            }
            fn visit_unit<E>(self) -> Result<Ordered, E> {
                Ok(Ordered::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Ordered, E> {
                Ok(Ordered::Bool(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Ordered, E> {
                Ok(Ordered::Number(value.into()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Ordered, E> {
                Ok(Ordered::Number(value.into()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Ordered, E> {
                Ok(Ordered::Text(value.into()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Ordered, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Ordered::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Ordered, A::Error> {
                let mut list = Vec::new();
                while let Some(field) = fields.next_entry()? {
                    list.push(field);
                }
                Ok(Ordered::Object(list))
            }
        }
        from.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_abi_is_written_as_python_writes_it() {
        let text = br#"{"sierra_program":[],"contract_class_version":"0.1.0","entry_points_by_type":{},
            "abi":[{"type":"function","name":"b","inputs":[{"name":"x","type":"a::\"b\""}],"n":-1},{"a":null}]}"#;
        let rpc: Value = serde_json::from_slice(&rpc_shape(text).unwrap()).unwrap();
        assert_eq!(
            rpc["abi"],
            r#"[{"type": "function", "name": "b", "inputs": [{"name": "x", "type": "a::\"b\""}], "n": -1}, {"a": null}]"#
        );
    }
}
