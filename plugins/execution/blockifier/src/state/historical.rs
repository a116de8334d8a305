//! States that a view may read besides the tip: the open block, and past heights.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use blockifier::execution::contract_class::RunnableCompiledClass;
use blockifier::state::errors::StateError;
use blockifier::state::state_api::{StateReader, StateResult};
use starknet_api::core::{ClassHash, CompiledClassHash, ContractAddress, Nonce};
use starknet_api::state::StorageKey;
use starknet_types_core::felt::Felt;

use super::layers::Layers;
use super::snapshot::Snapshot;
use super::storage_client::{Keys, ReadError, StorageClient, Values};
use crate::cancel::CancellationToken;
use crate::classes::{self, Loaded};

/// The open block: the tip, with the changes of the results that were sent.
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

/// The state after a past block, read from the history of storage. It is for one request, because its cache has no bound.
pub struct Historical {
    client: Arc<StorageClient>,
    height: u64,
    cancel: CancellationToken,
    fault: OnceLock<ReadError>,
    storage: RefCell<HashMap<(ContractAddress, StorageKey), Felt>>,
    classes: RefCell<HashMap<ClassHash, Option<Loaded>>>,
}

impl Historical {
    /// Opens the state at a height. It fails when storage does not keep that height.
    pub fn new(client: Arc<StorageClient>, height: u64, cancel: CancellationToken) -> Result<Self, ReadError> {
        client.at_height(&Keys::default(), height, &cancel)?;
        Ok(Self {
            client,
            height,
            cancel,
            fault: OnceLock::new(),
            storage: RefCell::default(),
            classes: RefCell::default(),
        })
    }

    pub fn fault(&self) -> Option<&ReadError> {
        self.fault.get()
    }

    fn read(&self, keys: Keys) -> StateResult<Values> {
        self.client.at_height(&keys, self.height, &self.cancel).map_err(|error| self.fail(error))
    }

    fn fail(&self, error: ReadError) -> StateError {
        let text = format!("{error:?}");
        let _ = self.fault.set(error);
        StateError::StateReadError(text)
    }

    fn class(&self, hash: ClassHash) -> StateResult<Option<Loaded>> {
        if let Some(known) = self.classes.borrow().get(&hash) {
            return Ok(known.clone());
        }
        let wire = self.client.class(hash, self.height, &self.cancel).map_err(|error| self.fail(error))?;
        let loaded = match wire.map(|wire| classes::load(&wire)).transpose() {
            Ok(loaded) => loaded,
            Err(error) => return Err(self.fail(ReadError::Fault(format!("storage: class {:#066x}: {error}", hash.0)))),
        };
        self.classes.borrow_mut().insert(hash, loaded.clone());
        Ok(loaded)
    }
}

/// The state that a view reads.
pub enum Source {
    Tip(Snapshot),
    Open(Overlay),
    Historical(Historical),
}

impl Source {
    /// The reason why nothing that was computed from this state may be used, if there is one.
    pub fn fault(&self) -> Option<ReadError> {
        match self {
            Self::Tip(snapshot) | Self::Open(Overlay { under: snapshot, .. }) => {
                snapshot.fault().map(|text| ReadError::Fault(text.into()))
            }
            Self::Historical(historical) => historical.fault().cloned(),
        }
    }
}

impl StateReader for Source {
    fn get_storage_at(&self, address: ContractAddress, key: StorageKey) -> StateResult<Felt> {
        match self {
            Self::Tip(tip) => tip.get_storage_at(address, key),
            Self::Open(open) => open.get_storage_at(address, key),
            Self::Historical(historical) => {
                if let Some(value) = historical.storage.borrow().get(&(address, key)) {
                    return Ok(*value);
                }
                let value = historical.read(Keys { storage: vec![(address, key)], ..Keys::default() })?.storage[0];
                historical.storage.borrow_mut().insert((address, key), value);
                Ok(value)
            }
        }
    }

    fn get_nonce_at(&self, address: ContractAddress) -> StateResult<Nonce> {
        match self {
            Self::Tip(tip) => tip.get_nonce_at(address),
            Self::Open(open) => open.get_nonce_at(address),
            Self::Historical(historical) => {
                Ok(Nonce(historical.read(Keys { nonces: vec![address], ..Keys::default() })?.nonces[0]))
            }
        }
    }

    fn get_class_hash_at(&self, address: ContractAddress) -> StateResult<ClassHash> {
        match self {
            Self::Tip(tip) => tip.get_class_hash_at(address),
            Self::Open(open) => open.get_class_hash_at(address),
            Self::Historical(historical) => {
                let keys = Keys { class_hashes: vec![address], ..Keys::default() };
                Ok(ClassHash(historical.read(keys)?.class_hashes[0]))
            }
        }
    }

    fn get_compiled_class(&self, hash: ClassHash) -> StateResult<RunnableCompiledClass> {
        match self {
            Self::Tip(tip) => tip.get_compiled_class(hash),
            Self::Open(open) => open.get_compiled_class(hash),
            Self::Historical(historical) => match historical.class(hash)? {
                Some(loaded) => Ok(loaded.runnable()),
                None => Err(StateError::UndeclaredClassHash(hash)),
            },
        }
    }

    fn get_compiled_class_hash(&self, hash: ClassHash) -> StateResult<CompiledClassHash> {
        match self {
            Self::Tip(tip) => tip.get_compiled_class_hash(hash),
            Self::Open(open) => open.get_compiled_class_hash(hash),
            Self::Historical(historical) => {
                let keys = Keys { compiled: vec![hash], ..Keys::default() };
                Ok(CompiledClassHash(historical.read(keys)?.compiled[0]))
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
