//! Classes of the wire, ready to run, and with what a DECLARE pays for them.

use std::sync::Arc;

use blockifier::execution::contract_class::RunnableCompiledClass;
use cairo_lang_starknet_classes::casm_contract_class::CasmContractClass;
use ordo_sdk::v1;
use ordo_sdk::v1::class::Kind;
use serde::de::IgnoredAny;
use serde::Deserialize;
use starknet_api::contract_class::compiled_class_hash::{HashVersion, HashableCompiledClass};
use starknet_api::contract_class::{ClassInfo, ContractClass, SierraVersion};
use starknet_api::core::{ClassHash, CompiledClassHash};

use crate::cairo0;
use crate::felts::{self, Malformed, Result};
use crate::native::{Engine, Slot};

fn bad(cause: impl std::fmt::Display) -> Malformed {
    Malformed(cause.to_string())
}

/// A class that can run.
#[derive(Clone)]
pub struct Loaded {
    vm: RunnableCompiledClass,
    native: Slot,
    /// The compiled class hash; zero for Cairo 0.
    pub compiled_hash: CompiledClassHash,
}

impl Loaded {
    pub fn new(vm: RunnableCompiledClass, compiled_hash: CompiledClassHash) -> Self {
        Self { vm, native: Slot::default(), compiled_hash }
    }

    /// The class to run: machine code when there is some by now.
    pub fn runnable(&self) -> RunnableCompiledClass {
        self.native.get().unwrap_or(&self.vm).clone()
    }

    /// The class as the virtual machine runs it.
    pub fn vm(&self) -> &RunnableCompiledClass {
        &self.vm
    }

    pub fn is_native(&self) -> bool {
        self.native.get().is_some()
    }

    /// Requests machine code, unless it is there.
    pub fn attach_native(&self, engine: &Engine, hash: ClassHash, class: &v1::Class) {
        if self.native.get().is_none() {
            engine.attach(hash, class, &self.vm, &self.native);
        }
    }
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
        Kind::Cairo0 => Ok(ContractClass::V0(cairo0::deprecated(&class.definition)?)),
        Kind::Unspecified => Err(bad("class.kind: is missing")),
    }
}

fn sierra_version(class: &v1::Class) -> Result<SierraVersion> {
    class
        .sierra_version
        .parse()
        .map_err(|_| bad(format_args!("class.sierra_version: {:?} is no version", class.sierra_version)))
}

/// Loads a class of storage or of a diff.
pub fn load(class: &v1::Class) -> Result<Loaded> {
    let compiled_hash = CompiledClassHash(felts::felt("class.compiled_class_hash", &class.compiled_class_hash)?);
    let runnable =
        RunnableCompiledClass::try_from(contract_class(class)?).map_err(|error| bad(format_args!("class: {error}")))?;
    Ok(Loaded::new(runnable, compiled_hash))
}

/// The Blake2s hash of a class's code. Cairo 0 has none.
pub fn blake_hash(class: &RunnableCompiledClass) -> Option<CompiledClassHash> {
    match class {
        RunnableCompiledClass::V0(_) => None,
        RunnableCompiledClass::V1(class) => Some(class.hash(&HashVersion::V2)),
        #[cfg(feature = "native")]
        RunnableCompiledClass::V1Native(class) => Some(class.hash(&HashVersion::V2)),
    }
}

/// Loads the class of a DECLARE, with what its fee depends on.
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

/// A stand-in for a class that is not compiled yet. It costs the least that a DECLARE can cost.
pub fn stand_in(wire: &v1::Transaction) -> Result<(ClassHash, Arc<ClassInfo>)> {
    let hash = ClassHash(felts::felt("class_hash", &wire.class_hash)?);
    // The code is only `ret`.
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

/// The lengths on which the fee of a DECLARE depends.
#[derive(Deserialize)]
struct Lengths {
    sierra_program: Vec<IgnoredAny>,
    #[serde(default)]
    abi: String,
}
