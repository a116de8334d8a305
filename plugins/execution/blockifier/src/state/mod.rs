//! The state of the tip in this process, and snapshots of it.
//!
//! Blocks write into memory as they are applied; what memory never saw is read from storage. A key that is not in memory
//! was changed by no block since the adopted height, or is stored already, so storage's head has its value.

mod cache;
mod historical;
mod layers;
mod snapshot;
mod storage_client;
mod watched;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use blockifier::execution::contract_class::RunnableCompiledClass;
use blockifier::state::cached_state::StateMaps;
use ordo_sdk::v1;
use starknet_api::core::{ClassHash, CompiledClassHash, ContractAddress};
use starknet_api::state::StorageKey;

use crate::native::{Engine, Slot};
use cache::{Cells, Evictable};
pub use historical::{Overlay, Past, Source};
pub use layers::Layers;
pub use snapshot::Snapshot;
pub use storage_client::{Failed, Keys, Remote};
pub use watched::Watched;

/// A class that can run.
#[derive(Clone)]
pub struct Loaded {
    vm: RunnableCompiledClass,
    native: Slot,
    /// Zero for Cairo 0.
    pub compiled_hash: CompiledClassHash,
}

impl Loaded {
    pub fn new(vm: RunnableCompiledClass, compiled_hash: CompiledClassHash) -> Self {
        Self { vm, native: Slot::default(), compiled_hash }
    }

    /// As machine code, if there is some by now.
    pub fn runnable(&self) -> RunnableCompiledClass {
        self.native.get().unwrap_or(&self.vm).clone()
    }

    /// As the virtual machine runs it.
    pub fn vm(&self) -> &RunnableCompiledClass {
        &self.vm
    }

    pub fn is_native(&self) -> bool {
        self.native.get().is_some()
    }

    /// Looks for machine code, once.
    pub fn engage(&self, engine: &Engine, hash: ClassHash, class: &v1::Class) {
        if self.native.get().is_none() {
            engine.take(hash, class, &self.vm, &self.native);
        }
    }
}

struct Class {
    loaded: Loaded,
    declared: u64,
}

struct Memory {
    storage: Cells<(ContractAddress, StorageKey)>,
    nonces: Cells<ContractAddress>,
    class_hashes: Cells<ContractAddress>,
    compiled: Cells<ClassHash>,
    classes: RwLock<HashMap<ClassHash, Class>>,
    most_classes: usize,
    engine: Arc<Engine>,
    remote: Option<Arc<Remote>>,
    /// The height that memory began with.
    base: u64,
    tip: AtomicU64,
    /// Heights of living snapshots, with their number.
    living: Mutex<BTreeMap<u64, usize>>,
    /// Blake2s hashes of classes that are declared in an open block, by class: computed once.
    computed: Mutex<HashMap<ClassHash, CompiledClassHash>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    fn new(limits: Limits, engine: Arc<Engine>, remote: Option<Arc<Remote>>, base: u64) -> Self {
        Self {
            storage: Cells::new(limits.cells),
            nonces: Cells::new(limits.cells / 4 + 1),
            class_hashes: Cells::new(limits.cells / 4 + 1),
            compiled: Cells::new(limits.cells / 16 + 1),
            classes: RwLock::default(),
            most_classes: limits.classes,
            engine,
            remote,
            base,
            tip: AtomicU64::new(base),
            living: Mutex::default(),
            computed: Mutex::default(),
        }
    }

    fn needed(&self) -> u64 {
        let tip = self.tip.load(Ordering::Acquire);
        locked(&self.living).keys().next().map_or(tip, |lowest| tip.min(*lowest))
    }

    fn evictable(&self) -> Option<Evictable> {
        self.remote.as_ref().map(|remote| Evictable { stored: remote.stored(), needed: self.needed() })
    }

    fn write(&self, height: u64, maps: &StateMaps) {
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

    fn keep_class(&self, hash: ClassHash, loaded: Loaded, declared: u64) {
        let stored = self.remote.as_ref().map(|remote| remote.stored());
        let mut classes = self.classes.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(stored) = stored.filter(|_| classes.len() >= self.most_classes) {
            // Forget some of what storage can give again.
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

#[derive(Clone, Copy)]
pub struct Limits {
    pub cells: usize,
    pub classes: usize,
}

/// The last applied block and its state.
pub struct Tip {
    limits: Limits,
    engine: Arc<Engine>,
    remote: Option<Arc<Remote>>,
    memory: RwLock<Option<Arc<Memory>>>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Gap {
    pub tip: Option<u64>,
}

impl Tip {
    pub fn new(limits: Limits, engine: Arc<Engine>, remote: Option<Arc<Remote>>) -> Self {
        Self { limits, engine, remote, memory: RwLock::default() }
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    pub fn remote(&self) -> Option<&Arc<Remote>> {
        self.remote.as_ref()
    }

    fn memory(&self) -> Option<Arc<Memory>> {
        self.memory.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn height(&self) -> Option<u64> {
        self.memory().map(|memory| memory.tip.load(Ordering::Acquire))
    }

    /// Begins anew at a height that storage holds.
    pub fn adopt(&self, height: u64) {
        let memory = Memory::new(self.limits, self.engine.clone(), self.remote.clone(), height);
        *self.memory.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(memory));
    }

    /// Moves the tip by one block. The first block of all may come as a diff, too: then nothing was before it.
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

    /// Begins at `height` with all there is: for a chain whose state is in no storage.
    pub fn begin_with(&self, height: u64, maps: &StateMaps, declared: Vec<(ClassHash, Loaded)>) {
        self.adopt(height);
        let memory = self.memory().expect("just adopted");
        memory.write(height, maps);
        for (hash, loaded) in declared {
            memory.keep_class(hash, loaded, height);
        }
    }

    pub fn snapshot(&self) -> Option<Snapshot> {
        self.memory().map(Snapshot::new)
    }

    /// Cells in memory, for the log.
    pub fn cells(&self) -> usize {
        self.memory().map_or(0, |memory| memory.storage.count())
    }
}
