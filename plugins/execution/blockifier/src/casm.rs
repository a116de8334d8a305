//! Sierra to CASM, and the hashes of a class.

use std::collections::BTreeSet;

use bytes::Bytes;
use cairo_lang_starknet_classes::allowed_libfuncs::ListSelector;
use cairo_lang_starknet_classes::casm_contract_class::{CasmContractClass, StarknetSierraCompilationError};
use cairo_lang_starknet_classes::contract_class::ContractClass;
use ordo_sdk::v1;
use ordo_sdk::v1::class::Kind;
use ordo_sdk::v1::Refusal;
use serde::Deserialize;
use serde_json::value::Value;
use starknet_api::contract_class::compiled_class_hash::{HashVersion, HashableCompiledClass};
use starknet_api::core::{ClassHash, CompiledClassHash};
use starknet_api::state::SierraContractClass;

use crate::felts::wire;
use crate::rejection::Refused;
use crate::threads::{caught, Panicked};

/// Limits of the network: felts of CASM, felts of Sierra, bytes of the class as JSON.
pub const MAX_CASM: usize = 81_920;
const MAX_SIERRA: usize = 81_920 * 4;
pub const MAX_JSON: usize = 16 << 20;

/// What the JSON-RPC calls CONTRACT_CLASS, as far as compiling needs it.
#[derive(Deserialize)]
struct Rpc {
    #[serde(flatten)]
    class: SierraContractClass,
}

/// Compiles on the calling thread, which needs a big stack. The compiler may panic: that is an answer like any other.
pub fn compile(sierra: &Bytes) -> Result<v1::Class, Refused> {
    caught(|| compile_unguarded(sierra)).unwrap_or_else(|Panicked(text)| {
        Err(Refused::new(Refusal::CompilationFailed, format!("compiler: panicked: {text}")))
    })
}

fn failed(cause: impl std::fmt::Display) -> Refused {
    Refused::new(Refusal::CompilationFailed, cause)
}

fn compile_unguarded(sierra: &Bytes) -> Result<v1::Class, Refused> {
    if sierra.len() > MAX_JSON {
        return Err(Refused::new(
            Refusal::ClassTooLarge,
            format!("class: {} bytes of JSON, at most {MAX_JSON}", sierra.len()),
        ));
    }
    let rpc: Rpc = serde_json::from_slice(sierra).map_err(|error| failed(format_args!("class: {error}")))?;
    let class = rpc.class;
    if class.contract_class_version != "0.1.0" {
        return Err(Refused::new(
            Refusal::UnsupportedClassVersion,
            format!("class: contract class version {:?} is not supported, 0.1.0 is", class.contract_class_version),
        ));
    }
    if class.sierra_program.len() > MAX_SIERRA {
        return Err(Refused::new(
            Refusal::ClassTooLarge,
            format!("class: {} felts of Sierra, at most {MAX_SIERRA}", class.sierra_program.len()),
        ));
    }
    check_selectors(&class)?;
    let version = class.get_sierra_version().map_err(|error| failed(format_args!("class: {error}")))?;
    let hash = class.calculate_class_hash();
    let casm = to_casm(sierra)?;
    Ok(v1::Class {
        hash: wire(&hash),
        kind: Kind::Sierra.into(),
        definition: sierra.clone(),
        casm: Bytes::from(serde_json::to_vec(&casm).map_err(|error| failed(format_args!("casm: {error}")))?),
        compiled_class_hash: wire(&compiled_hash(&casm, HashVersion::V2)),
        compiled_class_hash_v1: wire(&compiled_hash(&casm, HashVersion::V1)),
        sierra_version: version.to_string(),
    })
}

pub fn compiled_hash(casm: &CasmContractClass, version: HashVersion) -> CompiledClassHash {
    casm.hash(&version)
}

/// Two functions with one selector could not be told apart.
fn check_selectors(class: &SierraContractClass) -> Result<(), Refused> {
    let points = &class.entry_points_by_type;
    for list in [&points.constructor, &points.external, &points.l1handler] {
        let mut seen = BTreeSet::new();
        if let Some(twice) = list.iter().find(|point| !seen.insert(point.selector)) {
            return Err(failed(format_args!("class: the selector {:#x} appears twice", twice.selector.0)));
        }
    }
    Ok(())
}

/// A class in the shape of the JSON-RPC as the compilers have it.
pub fn contract_class(sierra: &[u8]) -> Result<ContractClass, Refused> {
    // The compiler's own type wants the abi as a tree, or none; and an older class may bring debug info of another shape.
    let mut json: Value = serde_json::from_slice(sierra).map_err(|error| failed(format_args!("class: {error}")))?;
    if let Some(object) = json.as_object_mut() {
        object.remove("abi");
        object.remove("sierra_program_debug_info");
    }
    serde_json::from_value(json).map_err(|error| failed(format_args!("class: {error}")))
}

fn to_casm(sierra: &[u8]) -> Result<CasmContractClass, Refused> {
    let class = contract_class(sierra)?;
    let extracted = class
        .extract_sierra_program(false)
        .map_err(|error| failed(format_args!("class: the Sierra program cannot be read: {error}")))?;
    extracted
        .validate_version_compatible(ListSelector::DefaultList)
        .map_err(|error| failed(format_args!("class: {error}")))?;
    CasmContractClass::from_contract_class(class, extracted, true, MAX_CASM).map_err(|error| {
        let code = match &error {
            StarknetSierraCompilationError::UnsupportedSierraVersion { .. } => Refusal::UnsupportedClassVersion,
            error if ["ytecode size", "Code size limit"].iter().any(|text| error.to_string().contains(text)) => {
                Refusal::ClassTooLarge
            }
            _ => Refusal::CompilationFailed,
        };
        Refused::new(code, format!("compiler: {error}"))
    })
}

/// A class of Cairo 0 for the genesis of a chain: it needs no compiling, only its hash.
pub fn cairo0(definition: &Bytes) -> Result<v1::Class, Refused> {
    crate::classes::deprecated(definition).map_err(failed)?;
    let hash = cairo0_hash(definition)?;
    Ok(v1::Class { hash: wire(&hash), kind: Kind::Cairo0.into(), definition: definition.clone(), ..Default::default() })
}

fn cairo0_hash(definition: &[u8]) -> Result<ClassHash, Refused> {
    use starknet_core::types::contract::legacy::LegacyContractClass;
    let mut json: Value = serde_json::from_slice(definition).map_err(|error| failed(format_args!("class: {error}")))?;
    if let Some(packed) = json["program"].as_str() {
        let program = crate::classes::unpack(packed).map_err(failed)?;
        json["program"] = serde_json::from_slice(&program).map_err(|error| failed(format_args!("class: {error}")))?;
    }
    // Debug info is not hashed, and some compilers leave it empty in a way that the type does not know.
    if let Some(program) = json["program"].as_object_mut() {
        program.remove("debug_info");
    }
    let class: LegacyContractClass =
        serde_json::from_value(json).map_err(|error| failed(format_args!("class: {error}")))?;
    let hash = class.class_hash().map_err(|error| failed(format_args!("class: its hash: {error}")))?;
    Ok(ClassHash(starknet_types_core::felt::Felt::from_bytes_be(&hash.to_bytes_be())))
}
