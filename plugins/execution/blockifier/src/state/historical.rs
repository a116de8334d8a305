//! What a view may look at besides the tip: the open block, and past heights.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use blockifier::execution::contract_class::RunnableCompiledClass;
use blockifier::state::errors::StateError;
use blockifier::state::state_api::{StateReader, StateResult};
use starknet_api::core::{ClassHash, CompiledClassHash, ContractAddress, Nonce};
use starknet_api::state::StorageKey;
use starknet_types_core::felt::Felt;

use super::{Failed, Keys, Layers, Loaded, Remote, Snapshot};
use crate::cancel::Stop;
use crate::classes;

/// Changes of the open block over the tip, as far as results were sent.
#[derive(Clone)]
pub struct Overlay {
    pub under: Snapshot,
    pub changes: Layers,
    pub classes: Arc<HashMap<ClassHash, Loaded>>,
}

impl StateReader for Overlay {
    fn get_storage_at(&self, address: ContractAddress, key: StorageKey) -> StateResult<Felt> {
        match self.changes.find(|maps| maps.storage.get(&(address, key)).copied()) {
            Some(value) => Ok(value),
            None => self.under.get_storage_at(address, key),
        }
    }

    fn get_nonce_at(&self, address: ContractAddress) -> StateResult<Nonce> {
        match self.changes.find(|maps| maps.nonces.get(&address).copied()) {
            Some(nonce) => Ok(nonce),
            None => self.under.get_nonce_at(address),
        }
    }

    fn get_class_hash_at(&self, address: ContractAddress) -> StateResult<ClassHash> {
        match self.changes.find(|maps| maps.class_hashes.get(&address).copied()) {
            Some(class) => Ok(class),
            None => self.under.get_class_hash_at(address),
        }
    }

    fn get_compiled_class(&self, hash: ClassHash) -> StateResult<RunnableCompiledClass> {
        match self.classes.get(&hash) {
            Some(loaded) if self.changes.find(|maps| maps.declared_contracts.get(&hash).copied()) == Some(true) => {
                Ok(loaded.runnable())
            }
            _ => self.under.get_compiled_class(hash),
        }
    }

    fn get_compiled_class_hash(&self, hash: ClassHash) -> StateResult<CompiledClassHash> {
        match self.changes.find(|maps| maps.compiled_class_hashes.get(&hash).copied()) {
            Some(compiled) => Ok(compiled),
            None => self.under.get_compiled_class_hash(hash),
        }
    }

    fn get_compiled_class_hash_v2(
        &self,
        hash: ClassHash,
        class: &RunnableCompiledClass,
    ) -> StateResult<CompiledClassHash> {
        let stored = self.get_compiled_class_hash(hash)?;
        if stored != CompiledClassHash::default() {
            return Ok(stored);
        }
        classes::blake_hash(class).ok_or(StateError::MissingCompiledClassHashV2(hash))
    }
}

/// The state after a past block, read from storage's history. For one request: it caches without bound.
pub struct Past {
    remote: Arc<Remote>,
    height: u64,
    stop: Stop,
    fault: OnceLock<Failed>,
    storage: RefCell<HashMap<(ContractAddress, StorageKey), Felt>>,
    classes: RefCell<HashMap<ClassHash, Option<Loaded>>>,
}

impl Past {
    /// Fails when storage does not keep that height.
    pub fn new(remote: Arc<Remote>, height: u64, stop: Stop) -> Result<Self, Failed> {
        remote.at_height(&Keys::default(), height, &stop)?;
        Ok(Self {
            remote,
            height,
            stop,
            fault: OnceLock::new(),
            storage: RefCell::default(),
            classes: RefCell::default(),
        })
    }

    pub fn fault(&self) -> Option<&Failed> {
        self.fault.get()
    }

    fn read(&self, keys: Keys) -> StateResult<super::storage_client::Values> {
        self.remote.at_height(&keys, self.height, &self.stop).map_err(|error| self.fail(error))
    }

    fn fail(&self, error: Failed) -> StateError {
        let text = format!("{error:?}");
        let _ = self.fault.set(error);
        StateError::StateReadError(text)
    }

    fn class(&self, hash: ClassHash) -> StateResult<Option<Loaded>> {
        if let Some(known) = self.classes.borrow().get(&hash) {
            return Ok(known.clone());
        }
        let wire = self.remote.class(hash, self.height, &self.stop).map_err(|error| self.fail(error))?;
        let loaded = match wire.map(|wire| classes::load(&wire)).transpose() {
            Ok(loaded) => loaded,
            Err(error) => return Err(self.fail(Failed::Fault(format!("storage: class {:#066x}: {error}", hash.0)))),
        };
        self.classes.borrow_mut().insert(hash, loaded.clone());
        Ok(loaded)
    }
}

/// Where a view reads.
pub enum Source {
    Tip(Snapshot),
    Open(Overlay),
    Past(Past),
}

impl Source {
    /// Why nothing that was computed from here may be used.
    pub fn fault(&self) -> Option<Failed> {
        match self {
            Self::Tip(snapshot) | Self::Open(Overlay { under: snapshot, .. }) => {
                snapshot.fault().map(|text| Failed::Fault(text.into()))
            }
            Self::Past(past) => past.fault().cloned(),
        }
    }
}

impl StateReader for Source {
    fn get_storage_at(&self, address: ContractAddress, key: StorageKey) -> StateResult<Felt> {
        match self {
            Self::Tip(tip) => tip.get_storage_at(address, key),
            Self::Open(open) => open.get_storage_at(address, key),
            Self::Past(past) => {
                if let Some(value) = past.storage.borrow().get(&(address, key)) {
                    return Ok(*value);
                }
                let value = past.read(Keys { storage: vec![(address, key)], ..Keys::default() })?.storage[0];
                past.storage.borrow_mut().insert((address, key), value);
                Ok(value)
            }
        }
    }

    fn get_nonce_at(&self, address: ContractAddress) -> StateResult<Nonce> {
        match self {
            Self::Tip(tip) => tip.get_nonce_at(address),
            Self::Open(open) => open.get_nonce_at(address),
            Self::Past(past) => Ok(Nonce(past.read(Keys { nonces: vec![address], ..Keys::default() })?.nonces[0])),
        }
    }

    fn get_class_hash_at(&self, address: ContractAddress) -> StateResult<ClassHash> {
        match self {
            Self::Tip(tip) => tip.get_class_hash_at(address),
            Self::Open(open) => open.get_class_hash_at(address),
            Self::Past(past) => {
                let keys = Keys { class_hashes: vec![address], ..Keys::default() };
                Ok(ClassHash(past.read(keys)?.class_hashes[0]))
            }
        }
    }

    fn get_compiled_class(&self, hash: ClassHash) -> StateResult<RunnableCompiledClass> {
        match self {
            Self::Tip(tip) => tip.get_compiled_class(hash),
            Self::Open(open) => open.get_compiled_class(hash),
            Self::Past(past) => match past.class(hash)? {
                Some(loaded) => Ok(loaded.runnable()),
                None => Err(StateError::UndeclaredClassHash(hash)),
            },
        }
    }

    fn get_compiled_class_hash(&self, hash: ClassHash) -> StateResult<CompiledClassHash> {
        match self {
            Self::Tip(tip) => tip.get_compiled_class_hash(hash),
            Self::Open(open) => open.get_compiled_class_hash(hash),
            Self::Past(past) => {
                let keys = Keys { compiled: vec![hash], ..Keys::default() };
                Ok(CompiledClassHash(past.read(keys)?.compiled[0]))
            }
        }
    }

    fn get_compiled_class_hash_v2(
        &self,
        hash: ClassHash,
        class: &RunnableCompiledClass,
    ) -> StateResult<CompiledClassHash> {
        let stored = self.get_compiled_class_hash(hash)?;
        if stored != CompiledClassHash::default() {
            return Ok(stored);
        }
        classes::blake_hash(class).ok_or(StateError::MissingCompiledClassHashV2(hash))
    }
}
