//! Compiling Sierra to CASM, with the hashes of the class.

use std::collections::BTreeSet;

use bytes::Bytes;
use cairo_lang_starknet_classes::allowed_libfuncs::ListSelector;
use cairo_lang_starknet_classes::casm_contract_class::{CasmContractClass, StarknetSierraCompilationError};
use cairo_lang_starknet_classes::contract_class::ContractClass;
use ordo_sdk::v1;
use ordo_sdk::v1::class::Kind;
use ordo_sdk::v1::RejectionCode;
use serde::Deserialize;
use serde_json::value::Value;
use starknet_api::contract_class::compiled_class_hash::{HashVersion, HashableCompiledClass};
use starknet_api::core::CompiledClassHash;
use starknet_api::state::SierraContractClass;

use crate::felts::wire;
use crate::rejection::Rejection;
use crate::threads::{caught, Panicked};

/// Limits of the network: felts of CASM, felts of Sierra, bytes of the class as JSON.
pub const MAX_CASM: usize = 81_920;
const MAX_SIERRA: usize = 81_920 * 4;
pub const MAX_JSON: usize = 16 << 20;

/// The CONTRACT_CLASS of the JSON-RPC, as far as compiling needs it.
#[derive(Deserialize)]
struct Rpc {
    #[serde(flatten)]
    class: SierraContractClass,
}

/// Compiles a class on the calling thread, which needs a big stack. A panic of the compiler is a rejection of the class.
pub fn compile(sierra: &Bytes) -> Result<v1::Class, Rejection> {
    caught(|| compile_unguarded(sierra)).unwrap_or_else(|Panicked(text)| {
        Err(Rejection::new(RejectionCode::CompilationFailed, format!("compiler: panicked: {text}")))
    })
}

fn failed(cause: impl std::fmt::Display) -> Rejection {
    Rejection::new(RejectionCode::CompilationFailed, cause)
}

fn compile_unguarded(sierra: &Bytes) -> Result<v1::Class, Rejection> {
    if sierra.len() > MAX_JSON {
        return Err(Rejection::new(
            RejectionCode::ClassTooLarge,
            format!("class: {} bytes of JSON, at most {MAX_JSON}", sierra.len()),
        ));
    }
    let rpc: Rpc = serde_json::from_slice(sierra).map_err(|error| failed(format_args!("class: {error}")))?;
    let class = rpc.class;
    if class.contract_class_version != "0.1.0" {
        return Err(Rejection::new(
            RejectionCode::UnsupportedClassVersion,
            format!("class: contract class version {:?} is not supported, 0.1.0 is", class.contract_class_version),
        ));
    }
    if class.sierra_program.len() > MAX_SIERRA {
        return Err(Rejection::new(
            RejectionCode::ClassTooLarge,
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

/// Checks that no two functions have the same selector.
fn check_selectors(class: &SierraContractClass) -> Result<(), Rejection> {
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
pub fn contract_class(sierra: &[u8]) -> Result<ContractClass, Rejection> {
    // The compiler's own type has the abi as a tree, or none. An older class may have debug info of another shape.
    let mut json: Value = serde_json::from_slice(sierra).map_err(|error| failed(format_args!("class: {error}")))?;
    if let Some(object) = json.as_object_mut() {
        object.remove("abi");
        object.remove("sierra_program_debug_info");
    }
    serde_json::from_value(json).map_err(|error| failed(format_args!("class: {error}")))
}

fn to_casm(sierra: &[u8]) -> Result<CasmContractClass, Rejection> {
    let class = contract_class(sierra)?;
    let extracted = class
        .extract_sierra_program(false)
        .map_err(|error| failed(format_args!("class: the Sierra program cannot be read: {error}")))?;
    extracted
        .validate_version_compatible(ListSelector::DefaultList)
        .map_err(|error| failed(format_args!("class: {error}")))?;
    CasmContractClass::from_contract_class(class, extracted, true, MAX_CASM).map_err(|error| {
        let code = match &error {
            StarknetSierraCompilationError::UnsupportedSierraVersion { .. } => RejectionCode::UnsupportedClassVersion,
            error if ["ytecode size", "Code size limit"].iter().any(|text| error.to_string().contains(text)) => {
                RejectionCode::ClassTooLarge
            }
            _ => RejectionCode::CompilationFailed,
        };
        Rejection::new(code, format!("compiler: {error}"))
    })
}
