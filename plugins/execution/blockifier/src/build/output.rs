//! What leaves a build while it is open: results, and the state that views see.

use blockifier::state::state_api::StateReader;
use ordo_sdk::v1;
use starknet_api::core::{ClassHash, ContractAddress};

use super::Build;
use crate::cancel::CancellationToken;
use crate::diff;
use crate::state::Overlay;

impl Build {
    /// The reason why no more transactions run, once the block is full.
    pub fn full(&self) -> Option<&str> {
        self.full.as_deref()
    }

    /// Number of transactions that were added.
    pub fn added(&self) -> usize {
        self.slots.len()
    }

    /// Number of results that were taken.
    pub fn sent(&self) -> usize {
        self.done.len() - self.fresh.len()
    }

    /// Number of results that were not taken yet.
    pub fn waiting(&self) -> usize {
        self.fresh.len()
    }

    /// The results that were not taken yet, with the state diff of all of them.
    pub fn take_results(&mut self) -> Option<v1::build_response::Results> {
        if self.fresh.is_empty() {
            return None;
        }
        let first = self.sent() as u64;
        let results = std::mem::take(&mut self.fresh);
        let changes = std::mem::take(&mut self.fresh_changes);
        let delta = diff::to_wire(&changes, |address| self.was_deployed(address));
        self.sent_changes.push(changes);
        Some(v1::build_response::Results { first, results, delta: Some(delta) })
    }

    /// Whether an address has a class before the results that were not taken yet.
    fn was_deployed(&self, address: &ContractAddress) -> bool {
        let class = match self.sent_changes.find(|maps| maps.class_hashes.get(address).copied()) {
            Some(class) => class,
            None => self.snapshot.get_class_hash_at(*address).unwrap_or_default(),
        };
        class != ClassHash::default()
    }

    /// The state after the results that were taken, for views.
    pub fn overlay(&self) -> Overlay {
        Overlay {
            under: self.snapshot.fresh(CancellationToken::default()),
            changes: self.sent_changes.clone(),
            classes: self.loaded.clone(),
        }
    }
}
