//! Closing a build after some of its transactions.

use std::collections::HashMap;

use blockifier::state::cached_state::{CachedState, StateMaps};
use blockifier::state::errors::StateError;
use blockifier::state::state_api::{StateReader, StateResult};
use blockifier::state::stateful_compression as compression;
use ordo_sdk::v1;
use starknet_api::core::{ClassHash, ContractAddress};
use starknet_api::state::StorageKey;
use starknet_types_core::felt::Felt;

use super::{begin, Build, BuildError};
use crate::classes::Loaded;
use crate::diff;
use crate::felts::Word;
use crate::results::GasSum;
use crate::state::{Keys, Snapshot};

/// A closed build: the message for the core, and the changes that `Apply` adds to the tip.
pub struct Closed {
    pub height: u64,
    /// The tip on which it was built.
    pub base: Snapshot,
    pub changes: StateMaps,
    pub classes: Vec<(ClassHash, Loaded)>,
    pub message: v1::build_response::Closed,
}

impl Build {
    /// Closes after the first `n` transactions, whose results must have been taken. No other method may be called afterwards.
    ///
    /// The diff is always put together from the diffs of the transactions over the unchanged tip, and never taken from an
    /// executor. So transactions beyond `n` have no effect on it, and every `n` is computed in the same way.
    pub fn close(&mut self, n: usize) -> Result<Closed, BuildError> {
        debug_assert!(n <= self.sent());
        self.segment = None; // halts the pool
        let prefix = if n == self.done.len() { self.sent_changes.merged() } else { self.prefix(n) };
        let changes = self.finalize(prefix).map_err(|error| BuildError::Internal(format!("closing: {error}")))?;
        self.check_fault()?;

        let was_deployed =
            |address: &_| self.snapshot.get_class_hash_at(*address).unwrap_or_default() != ClassHash::default();
        let state_diff = diff::to_wire(&changes, was_deployed);
        self.check_fault()?;
        let mut gas = GasSum::default();
        for done in &self.done[..n] {
            if let Some(used) = &done.gas {
                gas.add(used);
            }
        }
        let mut declared: Vec<ClassHash> = changes.compiled_class_hashes.keys().copied().collect();
        declared.sort_by_key(Word::word);
        let message = v1::build_response::Closed {
            n: n as u64,
            state_diff: Some(state_diff),
            gas_used: Some(gas.total()),
            classes: declared.iter().filter_map(|hash| self.wire_classes.get(hash).cloned()).collect(),
        };
        let classes = declared.iter().filter_map(|hash| Some((*hash, self.loaded.get(hash)?.clone()))).collect();
        Ok(Closed { height: self.height, base: self.snapshot.clone(), changes, classes, message })
    }

    /// The changes of the first `n` transactions.
    fn prefix(&self, n: usize) -> StateMaps {
        let mut merged = StateMaps::default();
        for done in &self.done[..n] {
            if let Some(changes) = &done.changes {
                merged.extend(changes);
            }
        }
        merged
    }

    /// Does to the state what blockifier's finalize does, without the outputs for a prover: it keeps what changed, and gives it
    /// aliases. blockifier's own functions fill maps of all that they read, several times, while the next block waits.
    /// `tests/blocks.rs` compares both.
    fn finalize(&self, mut all: StateMaps) -> StateResult<StateMaps> {
        let mut first = CachedState::new(self.snapshot.clone());
        begin(&mut first, &self.block).map_err(|error| StateError::StateReadError(format!("{error:?}")))?;
        // The protocol's own write is the first of the block: a transaction may have overwritten it.
        for (cell, value) in first.to_state_diff()?.state_maps.storage {
            all.storage.entry(cell).or_insert(value);
        }
        let before = &self.snapshot;
        keep_changed(&mut all.storage, |(address, key)| before.get_storage_at(address, key))?;
        keep_changed(&mut all.nonces, |address| before.get_nonce_at(address))?;
        keep_changed(&mut all.class_hashes, |address| before.get_class_hash_at(address))?;
        keep_changed(&mut all.compiled_class_hashes, |class| before.get_compiled_class_hash(class))?;
        let constants = self.block.context.versioned_constants();
        if constants.enable_stateful_compression {
            allocate_aliases(before, &mut all, constants.os_constants.os_contract_addresses.alias_contract_address())?;
        }
        Ok(all)
    }
}

/// Drops the entries whose value is the one from before the block.
fn keep_changed<K: Copy, V: PartialEq>(
    map: &mut HashMap<K, V>,
    before: impl Fn(K) -> StateResult<V>,
) -> StateResult<()> {
    let mut failed = None;
    map.retain(|key, value| match before(*key) {
        Ok(old) => old != *value,
        Err(error) => {
            failed = Some(error);
            true
        }
    });
    failed.map_or(Ok(()), Err)
}

/// Gives aliases, which are consecutive numbers, to contracts and storage keys that are changed for the first time. The order is
/// by contract, ascending; the keys of a contract come before the contract itself. The numbers are stored by a contract of the
/// protocol, and the next free one is at key 0.
fn allocate_aliases(before: &Snapshot, all: &mut StateMaps, alias: ContractAddress) -> StateResult<()> {
    // The limits are bytes, which compare faster than felts.
    let least = compression::MIN_VALUE_FOR_ALIAS_ALLOC.key().word();
    let plain = compression::MAX_NON_COMPRESSED_CONTRACT_ADDRESS.word();
    let mut rows = Vec::with_capacity(all.storage.len() + all.nonces.len());
    for (address, key) in all.storage.keys() {
        let by = address.word();
        if by > plain {
            rows.push((by, false, key.word(), *key));
        }
        rows.push((by, true, by, StorageKey(address.0)));
    }
    for address in all.nonces.keys().chain(all.class_hashes.keys()) {
        rows.push((address.word(), true, address.word(), StorageKey(address.0)));
    }
    rows.retain(|(_, _, word, _)| *word >= least);
    rows.sort_unstable_by(|left, right| (&left.0, left.1, &left.2).cmp(&(&right.0, right.1, &right.2)));
    rows.dedup_by(|left, right| (left.1, &left.0, &left.2) == (right.1, &right.0, &right.2));

    let counter = compression::ALIAS_COUNTER_STORAGE_KEY;
    let keys = rows.iter().map(|row| row.3).chain([counter]).map(|key| (alias, key)).collect();
    before.prefetch(Keys { storage: keys, ..Keys::default() });
    let stored = before.get_storage_at(alias, counter)?;
    let mut next = if stored == Felt::ZERO { compression::INITIAL_AVAILABLE_ALIAS } else { stored };
    for (_, _, _, key) in rows {
        let known = match all.storage.get(&(alias, key)) {
            Some(value) => *value,
            None => before.get_storage_at(alias, key)?,
        };
        if known == Felt::ZERO {
            all.storage.insert((alias, key), next);
            next += Felt::ONE;
        }
    }
    // The counter is written by the first block also when that allocates nothing.
    if next != stored {
        all.storage.insert((alias, counter), next);
    }
    Ok(())
}
