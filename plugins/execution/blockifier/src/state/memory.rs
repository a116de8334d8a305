//! The memory of the state: cells and classes, written by blocks and filled from storage.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use blockifier::state::cached_state::StateMaps;
use starknet_api::core::{ClassHash, CompiledClassHash, ContractAddress};
use starknet_api::state::StorageKey;

use super::cache::{Evictable, VersionedCache};
use super::storage_client::StorageClient;
use crate::classes::Loaded;
use crate::native::Engine;

/// How many cells and classes are kept.
#[derive(Clone, Copy)]
pub struct Limits {
    pub cells: usize,
    pub classes: usize,
}

/// A class, and the height from which it is declared.
pub(super) struct Class {
    pub(super) loaded: Loaded,
    pub(super) declared: u64,
}

/// All of it, since one adopted height.
pub(super) struct Memory {
    pub(super) storage: VersionedCache<(ContractAddress, StorageKey)>,
    pub(super) nonces: VersionedCache<ContractAddress>,
    pub(super) class_hashes: VersionedCache<ContractAddress>,
    pub(super) compiled: VersionedCache<ClassHash>,
    pub(super) classes: RwLock<HashMap<ClassHash, Class>>,
    pub(super) most_classes: usize,
    pub(super) engine: Arc<Engine>,
    pub(super) client: Option<Arc<StorageClient>>,
    /// The height at which memory began.
    pub(super) base: u64,
    pub(super) tip: AtomicU64,
    /// The heights of open snapshots, with their number.
    pub(super) open: Mutex<BTreeMap<u64, usize>>,
    /// Blake2s hashes of classes that are declared in an open block. Each is computed once.
    pub(super) computed: Mutex<HashMap<ClassHash, CompiledClassHash>>,
}

/// Takes a lock. The data behind a poisoned one is complete.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    pub(super) fn new(limits: Limits, engine: Arc<Engine>, client: Option<Arc<StorageClient>>, base: u64) -> Self {
        Self {
            storage: VersionedCache::new(limits.cells),
            nonces: VersionedCache::new(limits.cells / 4 + 1),
            class_hashes: VersionedCache::new(limits.cells / 4 + 1),
            compiled: VersionedCache::new(limits.cells / 16 + 1),
            classes: RwLock::default(),
            most_classes: limits.classes,
            engine,
            client,
            base,
            tip: AtomicU64::new(base),
            open: Mutex::default(),
            computed: Mutex::default(),
        }
    }

    /// The lowest height that is still read.
    pub(super) fn needed(&self) -> u64 {
        let tip = self.tip.load(Ordering::Acquire);
        locked(&self.open).keys().next().map_or(tip, |lowest| tip.min(*lowest))
    }

    pub(super) fn evictable(&self) -> Option<Evictable> {
        self.client.as_ref().map(|client| Evictable { stored: client.stored(), needed: self.needed() })
    }

    pub(super) fn write(&self, height: u64, maps: &StateMaps) {
        let needed = self.needed();
        for (key, value) in &maps.storage {
            self.storage.put(*key, height, *value, needed);
        }
        for (address, nonce) in &maps.nonces {
            self.nonces.put(*address, height, nonce.0, needed);
        }
        for (address, class) in &maps.class_hashes {
            self.class_hashes.put(*address, height, class.0, needed);
        }
        for (class, compiled) in &maps.compiled_class_hashes {
            self.compiled.put(*class, height, compiled.0, needed);
        }
    }

    /// Keeps a class, and evicts others when there are too many.
    pub(super) fn keep_class(&self, hash: ClassHash, loaded: Loaded, declared: u64) {
        let stored = self.client.as_ref().map(|client| client.stored());
        let mut classes = self.classes.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(stored) = stored.filter(|_| classes.len() >= self.most_classes) {
            // Classes that storage has can be read again.
            let mut left = classes.len() / 8 + 1;
            classes.retain(|_, class| {
                let forget = left > 0 && class.declared <= stored;
                left -= usize::from(forget);
                !forget
            });
        }
        let class = classes.entry(hash).or_insert(Class { loaded, declared });
        class.declared = class.declared.min(declared);
    }
}
