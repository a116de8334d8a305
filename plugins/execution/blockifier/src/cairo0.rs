//! Classes of Cairo 0: reading them in both shapes of their JSON, and hashing them.

use std::io::Read;

use base64::Engine;
use bytes::Bytes;
use ordo_sdk::v1;
use ordo_sdk::v1::class::Kind;
use ordo_sdk::v1::RejectionCode;
use serde_json::value::Value;
use starknet_api::core::ClassHash;
use starknet_api::deprecated_contract_class::ContractClass as DeprecatedContractClass;

use crate::felts::{wire, Malformed};
use crate::rejection::Rejection;

/// Most bytes of an unpacked program.
const MAX_PROGRAM: u64 = 64 << 20;

fn bad(cause: impl std::fmt::Display) -> Malformed {
    Malformed(cause.to_string())
}

fn failed(cause: impl std::fmt::Display) -> Rejection {
    Rejection::new(RejectionCode::CompilationFailed, cause)
}

/// Reads a class in either shape: the program as JSON, or gzipped and in base64 as the JSON-RPC has it.
pub fn deprecated(definition: &[u8]) -> Result<DeprecatedContractClass, Malformed> {
    let mut json: serde_json::Value =
        serde_json::from_slice(definition).map_err(|error| bad(format_args!("class.definition: {error}")))?;
    if let Some(packed) = json.get("program").and_then(|program| program.as_str()) {
        let program = unpack(packed)?;
        json["program"] =
            serde_json::from_slice(&program).map_err(|error| bad(format_args!("class.definition.program: {error}")))?;
    }
    serde_json::from_value(json).map_err(|error| bad(format_args!("class.definition: {error}")))
}

fn unpack(packed: &str) -> Result<Vec<u8>, Malformed> {
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

/// A class for the genesis of a chain. It needs no compiling, only its hash.
pub fn compile(definition: &Bytes) -> Result<v1::Class, Rejection> {
    deprecated(definition).map_err(failed)?;
    let hash = hash(definition)?;
    Ok(v1::Class { hash: wire(&hash), kind: Kind::Cairo0.into(), definition: definition.clone(), ..Default::default() })
}

fn hash(definition: &[u8]) -> Result<ClassHash, Rejection> {
    use starknet_core::types::contract::legacy::LegacyContractClass;
    let mut json: Value = serde_json::from_slice(definition).map_err(|error| failed(format_args!("class: {error}")))?;
    if let Some(packed) = json["program"].as_str() {
        let program = unpack(packed).map_err(failed)?;
        json["program"] = serde_json::from_slice(&program).map_err(|error| failed(format_args!("class: {error}")))?;
    }
    // Debug info is not hashed, and some compilers write an empty one that the type cannot read.
    if let Some(program) = json["program"].as_object_mut() {
        program.remove("debug_info");
    }
    let class: LegacyContractClass =
        serde_json::from_value(json).map_err(|error| failed(format_args!("class: {error}")))?;
    let hash = class.class_hash().map_err(|error| failed(format_args!("class: its hash: {error}")))?;
    Ok(ClassHash(starknet_types_core::felt::Felt::from_bytes_be(&hash.to_bytes_be())))
}
