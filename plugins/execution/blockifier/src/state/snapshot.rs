//! Snapshots: the state after one block, which later blocks do not change.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, PoisonError};

use blockifier::execution::contract_class::RunnableCompiledClass;
use blockifier::state::errors::StateError;
use blockifier::state::state_api::{StateReader, StateResult};
use starknet_api::core::{ClassHash, CompiledClassHash, ContractAddress, Nonce};
use starknet_api::state::StorageKey;
use starknet_types_core::felt::Felt;

use super::memory::{locked, Memory};
use super::storage_client::{Keys, ReadError, StorageClient, Values};
use crate::cancel::CancellationToken;
use crate::classes::{self, Loaded};

/// Keeps the versions at a height in memory.
struct Pin {
    memory: Arc<Memory>,
    at: u64,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut open = locked(&self.memory.open);
        if let Some(count) = open.get_mut(&self.at) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.at);
            }
        }
    }
}

/// The state after one block. A read that fails for another reason than the state itself (storage is away) is kept as a fault:
/// blockifier would take the error for one of the transaction, so the user of results has to check [`Self::fault`] first.
#[derive(Clone)]
pub struct Snapshot {
    pin: Arc<Pin>,
    fault: Arc<OnceLock<String>>,
    /// It ends a wait for storage.
    cancel: CancellationToken,
}

impl Snapshot {
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        let at = {
            let mut open = locked(&memory.open);
            let at = memory.tip.load(Ordering::Acquire);
            *open.entry(at).or_insert(0) += 1;
            at
        };
        Self { pin: Arc::new(Pin { memory, at }), fault: Arc::default(), cancel: CancellationToken::default() }
    }

    pub fn height(&self) -> u64 {
        self.pin.at
    }

    /// The reason why results that were computed from this snapshot must not be used, if there is one.
    pub fn fault(&self) -> Option<&str> {
        self.fault.get().map(String::as_str)
    }

    /// The same state with a fault and a cancellation of its own, for another reader.
    pub fn fresh(&self, cancel: CancellationToken) -> Self {
        Self { pin: self.pin.clone(), fault: Arc::default(), cancel }
    }

    pub(super) fn memory(&self) -> &Arc<Memory> {
        &self.pin.memory
    }

    fn fail<T>(&self, error: ReadError) -> StateResult<T> {
        let text = match error {
            ReadError::NotKept => "storage: the state of the tip is not there".to_string(),
            ReadError::Fault(text) => text,
            ReadError::Cancelled => "storage: the read was cancelled".to_string(),
        };
        let _ = self.fault.set(text.clone());
        Err(StateError::StateReadError(text))
    }

    /// Fails after a fault: nothing that is computed counts any more, so later reads do not wait again.
    fn check_fault(&self) -> StateResult<()> {
        match self.fault.get() {
            Some(text) => Err(StateError::StateReadError(text.clone())),
            None => Ok(()),
        }
    }

    /// Reads from storage into memory.
    fn fetch(&self, client: &StorageClient, keys: &Keys) -> StateResult<Values> {
        self.check_fault()?;
        let values = match client.at_tip(keys, self.height(), &self.cancel) {
            Ok(values) => values,
            Err(error) => return self.fail(error),
        };
        let memory = self.memory();
        let evictable = memory.evictable();
        for (key, value) in keys.storage.iter().zip(&values.storage) {
            memory.storage.fill(*key, memory.base, *value, evictable);
        }
        for (key, value) in keys.nonces.iter().zip(&values.nonces) {
            memory.nonces.fill(*key, memory.base, *value, evictable);
        }
        for (key, value) in keys.class_hashes.iter().zip(&values.class_hashes) {
            memory.class_hashes.fill(*key, memory.base, *value, evictable);
        }
        for (key, value) in keys.compiled.iter().zip(&values.compiled) {
            memory.compiled.fill(*key, memory.base, *value, evictable);
        }
        Ok(values)
    }

    /// Reads those of `keys` that are not in memory, in one request. A failure is ignored here: the read of the value reports it.
    pub fn prefetch(&self, mut keys: Keys) {
        let Some(client) = &self.memory().client else { return };
        let (memory, at) = (self.memory(), self.height());
        keys.storage.retain(|key| memory.storage.get(key, at).is_none());
        keys.nonces.retain(|key| memory.nonces.get(key, at).is_none());
        keys.class_hashes.retain(|key| memory.class_hashes.get(key, at).is_none());
        keys.compiled.retain(|key| memory.compiled.get(key, at).is_none());
        keys.storage.sort_unstable();
        keys.storage.dedup();
        keys.nonces.sort_unstable();
        keys.nonces.dedup();
        keys.class_hashes.sort_unstable();
        keys.class_hashes.dedup();
        if !keys.is_empty() {
            let _ = self.fetch(client, &keys);
        }
    }

    /// Whether the nonce of an account is in memory. Then its class and balance are likely there, too.
    pub fn knows_account(&self, account: &ContractAddress) -> bool {
        self.memory().client.is_none() || self.memory().nonces.get(account, self.height()).is_some()
    }

    pub fn knows_contract(&self, contract: &ContractAddress) -> bool {
        self.memory().client.is_none() || self.memory().class_hashes.get(contract, self.height()).is_some()
    }

    pub fn knows_storage(&self, contract: &ContractAddress, key: &StorageKey) -> bool {
        self.memory().client.is_none() || self.memory().storage.get(&(*contract, *key), self.height()).is_some()
    }

    /// Loads the classes of these contracts.
    pub fn load_classes(&self, contracts: &[ContractAddress]) {
        for contract in contracts {
            if let Ok(class) = self.get_class_hash_at(*contract) {
                if class != ClassHash::default() {
                    let _ = self.get_compiled_class(class);
                }
            }
        }
    }

    /// A class that is declared at this height.
    pub fn class(&self, hash: ClassHash) -> StateResult<Option<Loaded>> {
        let memory = self.memory();
        let known = {
            let classes = memory.classes.read().unwrap_or_else(PoisonError::into_inner);
            classes.get(&hash).map(|class| (class.declared <= self.height()).then(|| class.loaded.clone()))
        };
        if let Some(answer) = known {
            return Ok(answer);
        }
        let Some(client) = &memory.client else { return Ok(None) };
        self.check_fault()?;
        let wire = match client.class(hash, self.height(), &self.cancel) {
            Ok(Some(wire)) => wire,
            Ok(None) => return Ok(None),
            Err(error) => return self.fail(error),
        };
        match classes::load(&wire) {
            Ok(loaded) => {
                loaded.attach_native(&memory.engine, hash, &wire);
                memory.keep_class(hash, loaded.clone(), memory.base);
                Ok(Some(loaded))
            }
            Err(error) => self.fail(ReadError::Fault(format!("storage: class {:#066x}: {error}", hash.0))),
        }
    }
}

impl StateReader for Snapshot {
    fn get_storage_at(&self, address: ContractAddress, key: StorageKey) -> StateResult<Felt> {
        let memory = self.memory();
        if let Some(value) = memory.storage.get(&(address, key), self.height()) {
            return Ok(value);
        }
        let Some(client) = &memory.client else { return Ok(Felt::ZERO) };
        let values = self.fetch(client, &Keys { storage: vec![(address, key)], ..Keys::default() })?;
        Ok(values.storage[0])
    }

    fn get_nonce_at(&self, address: ContractAddress) -> StateResult<Nonce> {
        let memory = self.memory();
        if let Some(value) = memory.nonces.get(&address, self.height()) {
            return Ok(Nonce(value));
        }
        let Some(client) = &memory.client else { return Ok(Nonce::default()) };
        // Nonce and class of an account are needed together.
        let keys = Keys { nonces: vec![address], class_hashes: vec![address], ..Keys::default() };
        Ok(Nonce(self.fetch(client, &keys)?.nonces[0]))
    }

    fn get_class_hash_at(&self, address: ContractAddress) -> StateResult<ClassHash> {
        let memory = self.memory();
        if let Some(value) = memory.class_hashes.get(&address, self.height()) {
            return Ok(ClassHash(value));
        }
        let Some(client) = &memory.client else { return Ok(ClassHash::default()) };
        let values = self.fetch(client, &Keys { class_hashes: vec![address], ..Keys::default() })?;
        Ok(ClassHash(values.class_hashes[0]))
    }

    fn get_compiled_class(&self, hash: ClassHash) -> StateResult<RunnableCompiledClass> {
        match self.class(hash)? {
            Some(loaded) => Ok(loaded.runnable()),
            None => Err(StateError::UndeclaredClassHash(hash)),
        }
    }

    fn get_compiled_class_hash(&self, hash: ClassHash) -> StateResult<CompiledClassHash> {
        let memory = self.memory();
        if let Some(value) = memory.compiled.get(&hash, self.height()) {
            return Ok(CompiledClassHash(value));
        }
        let Some(client) = &memory.client else { return Ok(CompiledClassHash::default()) };
        let values = self.fetch(client, &Keys { compiled: vec![hash], ..Keys::default() })?;
        Ok(CompiledClassHash(values.compiled[0]))
    }

    /// The Blake2s hash of a class. It is the stored one on a chain of this sequencer. A class that the open block declares is not
    /// stored yet, so its hash is computed.
    fn get_compiled_class_hash_v2(
        &self,
        hash: ClassHash,
        class: &RunnableCompiledClass,
    ) -> StateResult<CompiledClassHash> {
        let stored = self.get_compiled_class_hash(hash)?;
        if stored != CompiledClassHash::default() {
            return Ok(stored);
        }
        if let Some(known) = locked(&self.memory().computed).get(&hash) {
            return Ok(*known);
        }
        let computed = classes::blake_hash(class).ok_or(StateError::MissingCompiledClassHashV2(hash))?;
        locked(&self.memory().computed).insert(hash, computed);
        Ok(computed)
    }
}
