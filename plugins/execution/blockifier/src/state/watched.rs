//! A state that stops answering when nobody waits any more: the next read ends what runs on it.

use blockifier::execution::contract_class::RunnableCompiledClass;
use blockifier::state::errors::StateError;
use blockifier::state::state_api::{StateReader, StateResult};
use starknet_api::core::{ClassHash, CompiledClassHash, ContractAddress, Nonce};
use starknet_api::state::StorageKey;
use starknet_types_core::felt::Felt;

use crate::cancel::Stop;

pub struct Watched<S> {
    pub state: S,
    pub stop: Stop,
}

impl<S> Watched<S> {
    fn go_on(&self) -> StateResult<&S> {
        match self.stop.asked() {
            true => Err(StateError::StateReadError("nobody waits for the answer".into())),
            false => Ok(&self.state),
        }
    }
}

impl<S: StateReader> StateReader for Watched<S> {
    fn get_storage_at(&self, address: ContractAddress, key: StorageKey) -> StateResult<Felt> {
        self.go_on()?.get_storage_at(address, key)
    }

    fn get_nonce_at(&self, address: ContractAddress) -> StateResult<Nonce> {
        self.go_on()?.get_nonce_at(address)
    }

    fn get_class_hash_at(&self, address: ContractAddress) -> StateResult<ClassHash> {
        self.go_on()?.get_class_hash_at(address)
    }

    fn get_compiled_class(&self, hash: ClassHash) -> StateResult<RunnableCompiledClass> {
        self.go_on()?.get_compiled_class(hash)
    }

    fn get_compiled_class_hash(&self, hash: ClassHash) -> StateResult<CompiledClassHash> {
        self.go_on()?.get_compiled_class_hash(hash)
    }

    fn get_compiled_class_hash_v2(
        &self,
        hash: ClassHash,
        class: &RunnableCompiledClass,
    ) -> StateResult<CompiledClassHash> {
        self.go_on()?.get_compiled_class_hash_v2(hash, class)
    }
}
