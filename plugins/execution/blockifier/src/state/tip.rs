//! The last applied block, which moves by one block at a time or is adopted from storage.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};

use blockifier::state::cached_state::StateMaps;
use starknet_api::core::ClassHash;

use super::memory::{locked, Limits, Memory};
use super::snapshot::Snapshot;
use super::storage_client::StorageClient;
use crate::classes::Loaded;
use crate::native::Engine;

/// The last applied block and its state.
pub struct Tip {
    limits: Limits,
    engine: Arc<Engine>,
    client: Option<Arc<StorageClient>>,
    memory: RwLock<Option<Arc<Memory>>>,
}

/// A block that does not follow the tip.
#[derive(Debug, PartialEq, Eq)]
pub struct Gap {
    pub tip: Option<u64>,
}

impl Tip {
    pub fn new(limits: Limits, engine: Arc<Engine>, client: Option<Arc<StorageClient>>) -> Self {
        Self { limits, engine, client, memory: RwLock::default() }
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    pub fn client(&self) -> Option<&Arc<StorageClient>> {
        self.client.as_ref()
    }

    fn memory(&self) -> Option<Arc<Memory>> {
        self.memory.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn height(&self) -> Option<u64> {
        self.memory().map(|memory| memory.tip.load(Ordering::Acquire))
    }

    /// Forgets all, and begins again at a height that storage has.
    pub fn adopt(&self, height: u64) {
        let memory = Memory::new(self.limits, self.engine.clone(), self.client.clone(), height);
        *self.memory.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(memory));
    }

    /// Moves the tip by one block. Without a tip only block 0 can be applied.
    pub fn apply(&self, height: u64, maps: &StateMaps, declared: Vec<(ClassHash, Loaded)>) -> Result<(), Gap> {
        let memory = match self.memory() {
            Some(memory) if memory.tip.load(Ordering::Acquire) + 1 == height => memory,
            None if height == 0 => {
                self.begin_with(0, maps, declared);
                return Ok(());
            }
            memory => return Err(Gap { tip: memory.map(|memory| memory.tip.load(Ordering::Acquire)) }),
        };
        memory.write(height, maps);
        for (hash, loaded) in declared {
            memory.keep_class(hash, loaded, height);
        }
        memory.tip.store(height, Ordering::Release);
        locked(&memory.computed).clear();
        Ok(())
    }

    /// Begins at `height` with the whole state, for a chain whose state is in no storage.
    pub fn begin_with(&self, height: u64, maps: &StateMaps, declared: Vec<(ClassHash, Loaded)>) {
        self.adopt(height);
        let memory = self.memory().expect("just adopted");
        memory.write(height, maps);
        for (hash, loaded) in declared {
            memory.keep_class(hash, loaded, height);
        }
    }

    /// Whether a snapshot was taken since the last [`Self::adopt`]. What was built on an older one must not be applied.
    pub fn is_base_of(&self, snapshot: &Snapshot) -> bool {
        self.memory().is_some_and(|memory| Arc::ptr_eq(&memory, snapshot.memory()))
    }

    /// The state of the tip.
    pub fn snapshot(&self) -> Option<Snapshot> {
        self.memory().map(Snapshot::new)
    }

    /// The number of storage slots in memory, for the log.
    pub fn cells(&self) -> usize {
        self.memory().map_or(0, |memory| memory.storage.count())
    }
}
