//! The changes of an open block, which grow with each message of results while views read them.
//!
//! A view holds the changes that it reads, so they cannot be modified. They are kept in layers, each at least twice as large as
//! the next. So a change is copied a few times in all, and not with each message.

use std::sync::Arc;

use blockifier::state::cached_state::StateMaps;

/// The layers, the largest and oldest first.
#[derive(Clone, Default)]
pub struct Layers(Vec<Arc<StateMaps>>);

impl Layers {
    /// Adds changes over those that are there.
    pub fn push(&mut self, mut changes: StateMaps) {
        while self.0.last().is_some_and(|last| size(last) < 2 * size(&changes)) {
            let mut under = self.0.pop().map(Arc::unwrap_or_clone).unwrap_or_default();
            under.extend(&changes);
            changes = under;
        }
        self.0.push(Arc::new(changes));
    }

    /// The answer of the newest layer that has one.
    pub fn find<T>(&self, look: impl Fn(&StateMaps) -> Option<T>) -> Option<T> {
        self.0.iter().rev().find_map(|layer| look(layer))
    }

    /// All changes as one map.
    pub fn merged(&self) -> StateMaps {
        // The first layer is the largest. A copy of it needs no new hashes of its keys.
        let mut all = self.0.first().map(|first| first.as_ref().clone()).unwrap_or_default();
        for layer in self.0.iter().skip(1) {
            all.extend(layer);
        }
        all
    }
}

impl From<StateMaps> for Layers {
    fn from(changes: StateMaps) -> Self {
        Self(vec![Arc::new(changes)])
    }
}

fn size(maps: &StateMaps) -> usize {
    maps.storage.len()
        + maps.nonces.len()
        + maps.class_hashes.len()
        + maps.compiled_class_hashes.len()
        + maps.declared_contracts.len()
}

#[cfg(test)]
mod tests {
    use starknet_api::core::{ContractAddress, Nonce};
    use starknet_types_core::felt::Felt;

    use super::*;

    #[test]
    fn the_newest_counts() {
        let (mut layers, mut plain, mut held) = (Layers::default(), StateMaps::default(), Vec::new());
        for step in 0..300_u64 {
            let mut changes = StateMaps::default();
            for account in [step % 7, step % 50, 1000 + step] {
                changes.nonces.insert(ContractAddress::from(account), Nonce(Felt::from(step)));
            }
            plain.extend(&changes);
            layers.push(changes);
            assert!(layers.0.len() < 10, "{} layers", layers.0.len());
            assert_eq!(layers.merged(), plain);
            if step % 40 == 0 {
                held.push((layers.clone(), plain.clone()));
            }
        }
        for (address, nonce) in &plain.nonces {
            assert_eq!(layers.find(|maps| maps.nonces.get(address).copied()), Some(*nonce));
        }
        for (layers, then) in held {
            assert_eq!(layers.merged(), then, "what a view holds does not change");
        }
    }
}
