//! A cache of values by key and height, for many readers and one writer.
//!
//! The cell of a key keeps the versions that an open snapshot may still need. Older ones are dropped when the cell is written again.
//! The oldest version of a cell belongs to the *base*, the height at which memory began: it was read from storage, or nothing was
//! there.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::RwLock;

use starknet_types_core::felt::Felt;

const SHARDS: usize = 64;

/// One version of a value, and the older ones.
struct Cell {
    height: u64,
    value: Felt,
    older: Option<Box<Cell>>,
}

impl Cell {
    /// The value at a height.
    fn at(&self, height: u64) -> Option<Felt> {
        let mut cell = self;
        while cell.height > height {
            cell = cell.older.as_deref()?;
        }
        Some(cell.value)
    }

    /// Drops the versions that are older than the newest one at or below `needed`.
    fn prune(&mut self, needed: u64) {
        let mut cell = self;
        while cell.height > needed {
            match &mut cell.older {
                Some(older) => cell = older,
                None => return,
            }
        }
        cell.older = None;
    }
}

/// The cache, in shards with a lock each.
pub struct VersionedCache<K> {
    shards: Vec<RwLock<HashMap<K, Cell>>>,
    hasher: RandomState,
    most_per_shard: usize,
}

impl<K: Hash + Eq + Copy> VersionedCache<K> {
    pub fn new(most: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            hasher: RandomState::new(),
            most_per_shard: most.div_ceil(SHARDS),
        }
    }

    fn shard(&self, key: &K) -> &RwLock<HashMap<K, Cell>> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }

    pub fn get(&self, key: &K, height: u64) -> Option<Felt> {
        read(self.shard(key)).get(key)?.at(height)
    }

    /// Writes a value of a block. `needed` is the lowest height that a snapshot still reads.
    pub fn put(&self, key: K, height: u64, value: Felt, needed: u64) {
        let mut shard = write(self.shard(&key));
        match shard.get_mut(&key) {
            Some(cell) if cell.height == height => cell.value = value,
            Some(cell) => {
                let older = std::mem::replace(cell, Cell { height, value, older: None });
                cell.older = Some(Box::new(older));
                cell.prune(needed);
            }
            None => {
                shard.insert(key, Cell { height, value, older: None });
            }
        }
    }

    /// Keeps a value that storage gave. Versions that are there already stay, because a block may have written meanwhile.
    pub fn fill(&self, key: K, base: u64, value: Felt, evictable: Option<Evictable>) {
        let mut shard = write(self.shard(&key));
        if let Some(mut cell) = shard.get_mut(&key) {
            loop {
                if cell.height <= base {
                    return;
                }
                if cell.older.is_none() {
                    cell.older = Some(Box::new(Cell { height: base, value, older: None }));
                    return;
                }
                cell = cell.older.as_mut().expect("checked above");
            }
        }
        if let Some(bound) = evictable.filter(|_| shard.len() >= self.most_per_shard) {
            evict(&mut shard, bound);
        }
        shard.insert(key, Cell { height: base, value, older: None });
    }

    pub fn count(&self) -> usize {
        self.shards.iter().map(|shard| read(shard).len()).sum()
    }
}

/// The bounds of what may be evicted: cells that no snapshot reads at an older height, and that storage has committed.
#[derive(Clone, Copy)]
pub struct Evictable {
    /// The last height that storage is known to have committed.
    pub stored: u64,
    /// The lowest height of an open snapshot.
    pub needed: u64,
}

/// Drops about one cell in eight, in the order of the hash table. That is random, and reads need no bookkeeping for it.
fn evict<K: Hash + Eq + Copy>(shard: &mut HashMap<K, Cell>, bound: Evictable) {
    let most = shard.len() / 8 + 1;
    let mut dropped = 0;
    shard.retain(|_, cell| {
        let drop = dropped < most && cell.height <= bound.stored && cell.height <= bound.needed;
        dropped += usize::from(drop);
        !drop
    });
}

// No panic of the virtual machine happens under these locks, so the data behind a poisoned one is complete.
fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f(n: u64) -> Felt {
        Felt::from(n)
    }

    #[test]
    fn a_snapshot_sees_its_height() {
        let cells = VersionedCache::new(1000);
        assert_eq!(cells.get(&1, 5), None);
        cells.fill(1, 5, f(50), None);
        cells.put(1, 6, f(60), 5);
        cells.put(1, 8, f(80), 5);
        assert_eq!(cells.get(&1, 5), Some(f(50)));
        assert_eq!(cells.get(&1, 6), Some(f(60)));
        assert_eq!(cells.get(&1, 7), Some(f(60)));
        assert_eq!(cells.get(&1, 9), Some(f(80)));
        // No snapshot below 8 is open: the next write drops their versions.
        cells.put(1, 9, f(90), 8);
        assert_eq!(cells.get(&1, 8), Some(f(80)));
        assert_eq!(cells.get(&1, 7), None);
    }

    #[test]
    fn a_late_answer_of_storage_does_not_hide_a_block() {
        let cells = VersionedCache::new(1000);
        cells.put(1, 7, f(70), 5);
        cells.fill(1, 5, f(50), None);
        cells.fill(1, 5, f(51), None);
        assert_eq!(cells.get(&1, 7), Some(f(70)));
        assert_eq!(cells.get(&1, 6), Some(f(50)));
    }

    #[test]
    fn only_what_storage_has_is_forgotten() {
        let cells = VersionedCache::new(SHARDS);
        for key in 0..1000_u64 {
            cells.put(key, 9, f(key), 5);
        }
        for key in 1000..9000_u64 {
            cells.fill(key, 5, f(key), Some(Evictable { stored: 8, needed: 9 }));
        }
        assert!((0..1000).all(|key| cells.get(&key, 9) == Some(f(key))), "a block's write was lost");
        assert!(cells.count() < 9000, "nothing was forgotten");
        for key in 9000..20_000_u64 {
            cells.fill(key, 5, f(key), Some(Evictable { stored: 9, needed: 9 }));
        }
        assert!(cells.count() < 1000, "{} cells", cells.count());
    }
}
