//! Classes of the wire as something that runs, and as something that a declare pays for.

use std::io::Read;
use std::sync::Arc;

use base64::Engine;
use blockifier::execution::contract_class::RunnableCompiledClass;
use cairo_lang_starknet_classes::casm_contract_class::CasmContractClass;
use ordo_sdk::v1;
use ordo_sdk::v1::class::Kind;
use serde::de::IgnoredAny;
use serde::Deserialize;
use starknet_api::contract_class::compiled_class_hash::{HashVersion, HashableCompiledClass};
use starknet_api::contract_class::{ClassInfo, ContractClass, SierraVersion};
use starknet_api::core::{ClassHash, CompiledClassHash};
use starknet_api::deprecated_contract_class::ContractClass as DeprecatedContractClass;

use crate::felts::{self, Malformed, Result};
use crate::state::Loaded;

/// A Cairo 0 program may unpack to this much; more is an attack.
const MAX_PROGRAM: u64 = 64 << 20;

fn bad(cause: impl std::fmt::Display) -> Malformed {
    Malformed(cause.to_string())
}

pub fn hash(class: &v1::Class) -> Result<ClassHash> {
    Ok(ClassHash(felts::felt("class.hash", &class.hash)?))
}

fn contract_class(class: &v1::Class) -> Result<ContractClass> {
    match class.kind() {
        Kind::Sierra => {
            let casm: CasmContractClass =
                serde_json::from_slice(&class.casm).map_err(|error| bad(format_args!("class.casm: {error}")))?;
            Ok(ContractClass::V1((casm, sierra_version(class)?)))
        }
        Kind::Cairo0 => Ok(ContractClass::V0(deprecated(&class.definition)?)),
        Kind::Unspecified => Err(bad("class.kind: is missing")),
    }
}

fn sierra_version(class: &v1::Class) -> Result<SierraVersion> {
    class
        .sierra_version
        .parse()
        .map_err(|_| bad(format_args!("class.sierra_version: {:?} is no version", class.sierra_version)))
}

/// A class from storage or a diff, ready to run.
pub fn load(class: &v1::Class) -> Result<Loaded> {
    let compiled_hash = CompiledClassHash(felts::felt("class.compiled_class_hash", &class.compiled_class_hash)?);
    let runnable =
        RunnableCompiledClass::try_from(contract_class(class)?).map_err(|error| bad(format_args!("class: {error}")))?;
    Ok(Loaded::new(runnable, compiled_hash))
}

/// The hash of a class's code in its Blake2s form; nothing for Cairo 0.
pub fn blake_hash(class: &RunnableCompiledClass) -> Option<CompiledClassHash> {
    match class {
        RunnableCompiledClass::V0(_) => None,
        RunnableCompiledClass::V1(class) => Some(class.hash(&HashVersion::V2)),
        #[cfg(feature = "native")]
        RunnableCompiledClass::V1Native(class) => Some(class.hash(&HashVersion::V2)),
    }
}

/// A class that a declare brings: the same, and what it costs.
pub fn declared(class: &v1::Class) -> Result<(ClassHash, Arc<ClassInfo>, Loaded)> {
    let hash = hash(class)?;
    let contract_class = contract_class(class)?;
    let ContractClass::V1((casm, version)) = &contract_class else {
        return Err(bad("class: only Sierra classes can be declared"));
    };
    let lengths: Lengths =
        serde_json::from_slice(&class.definition).map_err(|error| bad(format_args!("class.definition: {error}")))?;
    let info = ClassInfo::new(&contract_class, lengths.sierra_program.len(), lengths.abi.len(), version.clone())
        .map_err(|error| bad(format_args!("class: {error}")))?;
    let compiled_hash = match felts::felt("class.compiled_class_hash", &class.compiled_class_hash)? {
        absent if absent == starknet_types_core::felt::Felt::ZERO => casm.hash(&HashVersion::V2),
        given => CompiledClassHash(given),
    };
    let runnable =
        RunnableCompiledClass::try_from(contract_class).map_err(|error| bad(format_args!("class: {error}")))?;
    Ok((hash, Arc::new(info), Loaded::new(runnable, compiled_hash)))
}

/// A class in the place of one that is not compiled yet: it costs the least that a declare can cost.
pub fn stand_in(wire: &v1::Transaction) -> Result<(ClassHash, Arc<ClassInfo>)> {
    let hash = ClassHash(felts::felt("class_hash", &wire.class_hash)?);
    // `ret`, and nothing else.
    let casm: CasmContractClass = serde_json::from_value(serde_json::json!({
        "prime": "0x800000000000011000000000000000000000000000000000000000000000001",
        "compiler_version": "2.12.0",
        "bytecode": ["0x208b7fff7fff7ffe"],
        "hints": [],
        "entry_points_by_type": { "EXTERNAL": [], "L1_HANDLER": [], "CONSTRUCTOR": [] }
    }))
    .map_err(|error| bad(format_args!("class: {error}")))?;
    let class = ContractClass::V1((casm, SierraVersion::LATEST));
    let info =
        ClassInfo::new(&class, 1, 0, SierraVersion::LATEST).map_err(|error| bad(format_args!("class: {error}")))?;
    Ok((hash, Arc::new(info)))
}

/// What the fee of a declare depends on.
#[derive(Deserialize)]
struct Lengths {
    sierra_program: Vec<IgnoredAny>,
    #[serde(default)]
    abi: String,
}

/// A Cairo 0 class in either shape: the program as JSON, or gzipped and in base64 as the JSON-RPC has it.
pub fn deprecated(definition: &[u8]) -> Result<DeprecatedContractClass> {
    let mut json: serde_json::Value =
        serde_json::from_slice(definition).map_err(|error| bad(format_args!("class.definition: {error}")))?;
    if let Some(packed) = json.get("program").and_then(|program| program.as_str()) {
        let program = unpack(packed)?;
        json["program"] =
            serde_json::from_slice(&program).map_err(|error| bad(format_args!("class.definition.program: {error}")))?;
    }
    serde_json::from_value(json).map_err(|error| bad(format_args!("class.definition: {error}")))
}

pub fn unpack(packed: &str) -> Result<Vec<u8>> {
    let gzip = base64::engine::general_purpose::STANDARD
        .decode(packed)
        .map_err(|error| bad(format_args!("class.definition.program: {error}")))?;
    let mut program = Vec::new();
    flate2::read::GzDecoder::new(&gzip[..])
        .take(MAX_PROGRAM + 1)
        .read_to_end(&mut program)
        .map_err(|error| bad(format_args!("class.definition.program: {error}")))?;
    if program.len() as u64 > MAX_PROGRAM {
        return Err(bad(format_args!("class.definition.program: unpacks to more than {MAX_PROGRAM} bytes")));
    }
    Ok(program)
}
