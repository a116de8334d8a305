//! A state whose reads fail once its run is cancelled. So the next read ends the run.

use blockifier::execution::contract_class::RunnableCompiledClass;
use blockifier::state::errors::StateError;
use blockifier::state::state_api::{StateReader, StateResult};
use starknet_api::core::{ClassHash, CompiledClassHash, ContractAddress, Nonce};
use starknet_api::state::StorageKey;
use starknet_types_core::felt::Felt;

use crate::cancel::CancellationToken;

/// A state with a cancellation.
pub struct Watched<S> {
    pub state: S,
    pub cancel: CancellationToken,
}

impl<S> Watched<S> {
    fn unless_cancelled(&self) -> StateResult<&S> {
        match self.cancel.is_cancelled() {
            true => Err(StateError::StateReadError("the read was cancelled".into())),
            false => Ok(&self.state),
        }
    }
}

impl<S: StateReader> StateReader for Watched<S> {
    fn get_storage_at(&self, address: ContractAddress, key: StorageKey) -> StateResult<Felt> {
        self.unless_cancelled()?.get_storage_at(address, key)
    }

    fn get_nonce_at(&self, address: ContractAddress) -> StateResult<Nonce> {
        self.unless_cancelled()?.get_nonce_at(address)
    }

    fn get_class_hash_at(&self, address: ContractAddress) -> StateResult<ClassHash> {
        self.unless_cancelled()?.get_class_hash_at(address)
    }

    fn get_compiled_class(&self, hash: ClassHash) -> StateResult<RunnableCompiledClass> {
        self.unless_cancelled()?.get_compiled_class(hash)
    }

    fn get_compiled_class_hash(&self, hash: ClassHash) -> StateResult<CompiledClassHash> {
        self.unless_cancelled()?.get_compiled_class_hash(hash)
    }

    fn get_compiled_class_hash_v2(
        &self,
        hash: ClassHash,
        class: &RunnableCompiledClass,
    ) -> StateResult<CompiledClassHash> {
        self.unless_cancelled()?.get_compiled_class_hash_v2(hash, class)
    }
}
