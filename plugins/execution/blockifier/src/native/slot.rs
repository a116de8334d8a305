//! Values that loaded classes share with the queue: the slot of the machine code, and counters.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use blockifier::execution::contract_class::RunnableCompiledClass;
use starknet_api::core::ClassHash;

/// The place of the machine code of one loaded class. It is empty until there is some.
pub type Slot = Arc<OnceLock<RunnableCompiledClass>>;

/// Numbers of loaded classes, by the engine that runs them.
#[derive(Default)]
pub struct Counts {
    pub native: AtomicU64,
    pub vm: AtomicU64,
}

/// A class hash as the log has it.
pub(super) fn shown(hash: ClassHash) -> String {
    format!("{:#066x}", hash.0)
}
