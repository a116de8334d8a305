//! The state after a prefix of an attempt.

use std::collections::HashMap;

use blockifier::state::cached_state::{CachedState, StateMaps};
use blockifier::state::state_api::{StateReader, StateResult};
use blockifier::state::stateful_compression::allocate_aliases_in_storage;
use ordo_sdk::v1;
use starknet_api::core::{ClassHash, ContractAddress};
use starknet_api::state::StorageKey;

use super::{begin, Attempt, Broken};
use crate::diff;
use crate::felts::Word;
use crate::results::GasSum;
use crate::state::{Keys, Loaded, Snapshot};

/// A closed attempt: what the core is told, and what `Apply` will make the tip.
pub struct Closed {
    pub height: u64,
    /// The tip that it was built on.
    pub base: Snapshot,
    pub changes: StateMaps,
    pub classes: Vec<(ClassHash, Loaded)>,
    pub message: v1::build_response::Closed,
}

impl Attempt {
    /// Closes after the first `n` transactions, which must have been taken as results.
    ///
    /// The diff is always put together from the diffs of the transactions over the untouched tip, not taken from an
    /// executor: so what ran beyond `n` cannot show, and there is one way for every `n`.
    pub fn close(mut self, n: usize) -> Result<Closed, Broken> {
        debug_assert!(n <= self.sent());
        self.segment = None; // halts the pool
        let prefix = if n == self.done.len() { self.sent_changes.merged() } else { self.prefix(n) };
        let changes = self.finalize(&prefix).map_err(|error| Broken::Internal(format!("closing: {error}")))?;
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
        Ok(Closed { height: self.height, base: self.snapshot, changes, classes, message })
    }

    fn prefix(&self, n: usize) -> StateMaps {
        let mut merged = StateMaps::default();
        for done in &self.done[..n] {
            if let Some(changes) = &done.changes {
                merged.extend(changes);
            }
        }
        merged
    }

    /// What blockifier's finalize does to the state, without the outputs of a prover.
    fn finalize(&self, prefix: &StateMaps) -> StateResult<StateMaps> {
        let constants = self.block.context.versioned_constants();
        let alias = constants.os_constants.os_contract_addresses.alias_contract_address();
        if constants.enable_stateful_compression {
            self.snapshot.prefetch(Keys { storage: alias_keys(prefix, alias), ..Keys::default() });
        }
        let mut state = CachedState::new(self.snapshot.clone());
        begin(&mut state, &self.block)
            .map_err(|error| blockifier::state::errors::StateError::StateReadError(format!("{error:?}")))?;
        // blockifier wants the value before of every cell but storage to have been read.
        for address in prefix.nonces.keys() {
            state.get_nonce_at(*address)?;
        }
        for address in prefix.class_hashes.keys() {
            state.get_class_hash_at(*address)?;
        }
        for class in prefix.compiled_class_hashes.keys() {
            state.get_compiled_class_hash(*class)?;
        }
        let classes: HashMap<_, _> = prefix
            .declared_contracts
            .keys()
            .filter_map(|hash| Some((*hash, self.loaded.get(hash)?.runnable())))
            .collect();
        state.update_cache(prefix, classes);
        if constants.enable_stateful_compression {
            allocate_aliases_in_storage(&mut state, alias)?;
        }
        Ok(state.to_state_diff()?.state_maps)
    }
}

/// Storage slots of the alias contract that closing a block with these changes will look at.
fn alias_keys(changes: &StateMaps, alias: ContractAddress) -> Vec<(ContractAddress, StorageKey)> {
    use blockifier::state::stateful_compression as compression;
    let mut keys = vec![(alias, compression::ALIAS_COUNTER_STORAGE_KEY)];
    let mut consider = |key: StorageKey| {
        if key.0 >= compression::MIN_VALUE_FOR_ALIAS_ALLOC {
            keys.push((alias, key));
        }
    };
    for address in changes.get_contract_addresses() {
        consider(StorageKey(address.0));
    }
    for (address, key) in changes.storage.keys() {
        if *address > compression::MAX_NON_COMPRESSED_CONTRACT_ADDRESS {
            consider(*key);
        }
    }
    keys
}
