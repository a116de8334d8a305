//! State diffs: blockifier's maps, and the canonical form of the wire.

use std::collections::BTreeMap;

use blockifier::state::cached_state::StateMaps;
use bytes::{Bytes, BytesMut};
use ordo_sdk::v1;
use starknet_api::core::{ClassHash, CompiledClassHash, ContractAddress, Nonce};
use starknet_types_core::felt::Felt;

use crate::felts::{self, Malformed, Result, Word, FELT};

/// The canonical diff: sorted, without repeats. `was_deployed` tells whether an address had a class before these changes. With one
/// it is a replacement, and a deployment otherwise.
pub fn to_wire(maps: &StateMaps, was_deployed: impl Fn(&ContractAddress) -> bool) -> v1::StateDiff {
    let (replaced, deployed): (Vec<_>, Vec<_>) =
        maps.class_hashes.iter().map(|(a, c)| (*a, *c)).partition(|(address, _)| was_deployed(address));
    v1::StateDiff {
        storage: storage_to_wire(maps),
        deployed: felts::wire_map(deployed),
        replaced: felts::wire_map(replaced),
        nonces: felts::wire_map(maps.nonces.iter().map(|(a, n)| (*a, *n))),
        declared: felts::wire_map(maps.compiled_class_hashes.iter().map(|(c, h)| (*c, *h))),
        deprecated_declared: Bytes::new(),
        migrated: Bytes::new(),
    }
}

fn storage_to_wire(maps: &StateMaps) -> Vec<v1::ContractStorage> {
    // The rows are (address, key, value) in bytes, so one sort orders addresses and keys.
    let mut rows: Vec<[[u8; FELT]; 3]> =
        maps.storage.iter().map(|((address, key), value)| [address.word(), key.word(), value.word()]).collect();
    rows.sort_unstable();
    rows.chunk_by(|left, right| left[0] == right[0])
        .map(|rows| {
            let mut entries = BytesMut::with_capacity(rows.len() * 2 * FELT);
            for [_, key, value] in rows {
                entries.extend_from_slice(key);
                entries.extend_from_slice(value);
            }
            v1::ContractStorage { address: Bytes::copy_from_slice(&rows[0][0]), entries: entries.freeze() }
        })
        .collect()
}

/// The maps of a diff. They have no difference between deployed and replaced, nor between declared and migrated.
pub fn from_wire(wire: &v1::StateDiff) -> Result<StateMaps> {
    let mut maps = StateMaps::default();
    for contract in &wire.storage {
        let address = felts::address("storage.address", felts::felt("storage.address", &contract.address)?)?;
        for row in felts::rows::<2>("storage.entries", &contract.entries) {
            let [key, value] = row?;
            maps.storage.insert((address, felts::key("storage.entries", key)?), value);
        }
    }
    for (field, list) in [("deployed", &wire.deployed), ("replaced", &wire.replaced)] {
        for row in felts::rows::<2>(field, list) {
            let [address, class] = row?;
            maps.class_hashes.insert(felts::address(field, address)?, ClassHash(class));
        }
    }
    for row in felts::rows::<2>("nonces", &wire.nonces) {
        let [address, nonce] = row?;
        maps.nonces.insert(felts::address("nonces", address)?, Nonce(nonce));
    }
    for (field, list) in [("declared", &wire.declared), ("migrated", &wire.migrated)] {
        for row in felts::rows::<2>(field, list) {
            let [class, compiled] = row?;
            maps.compiled_class_hashes.insert(ClassHash(class), CompiledClassHash(compiled));
            maps.declared_contracts.insert(ClassHash(class), true);
        }
    }
    for row in felts::rows::<1>("deprecated_declared", &wire.deprecated_declared) {
        let [class] = row?;
        maps.declared_contracts.insert(ClassHash(class), true);
    }
    Ok(maps)
}

/// The values that a simulation has read, for `InitialReads`.
pub fn reads_to_wire(reads: &StateMaps) -> v1::InitialReads {
    v1::InitialReads {
        storage: storage_to_wire(reads),
        nonces: felts::wire_map(reads.nonces.iter().map(|(a, n)| (*a, *n))),
        class_hashes: felts::wire_map(reads.class_hashes.iter().map(|(a, c)| (*a, *c))),
        declared: felts::wire_map(reads.declared_contracts.iter().map(|(c, d)| (*c, Felt::from(u8::from(*d))))),
    }
}

/// Adds the reads of a further transaction. The earlier value wins, and values that were written before are no initial reads.
pub fn merge_reads(into: &mut StateMaps, later: &StateMaps, written: &StateMaps) {
    for (key, value) in &later.storage {
        if !written.storage.contains_key(key) {
            into.storage.entry(*key).or_insert(*value);
        }
    }
    for (key, value) in &later.nonces {
        if !written.nonces.contains_key(key) {
            into.nonces.entry(*key).or_insert(*value);
        }
    }
    for (key, value) in &later.class_hashes {
        if !written.class_hashes.contains_key(key) {
            into.class_hashes.entry(*key).or_insert(*value);
        }
    }
    for (key, value) in &later.declared_contracts {
        if !written.declared_contracts.contains_key(key) {
            into.declared_contracts.entry(*key).or_insert(*value);
        }
    }
}

/// The number of changes, as the block hash counts them.
pub fn length(maps: &StateMaps) -> usize {
    maps.storage.len() + maps.class_hashes.len() + maps.nonces.len() + maps.compiled_class_hashes.len()
}

/// Checks that a diff is canonical.
pub fn check_canonical(wire: &v1::StateDiff) -> Result<()> {
    fn ascending<const N: usize>(field: &str, list: &[u8]) -> Result<()> {
        let keys: Vec<[u8; FELT]> =
            felts::rows::<N>(field, list).map(|row| row.map(|row| row[0].word())).collect::<Result<_>>()?;
        match keys.windows(2).all(|pair| pair[0] < pair[1]) {
            true => Ok(()),
            false => Err(Malformed(format!("{field}: is not sorted, or repeats a key"))),
        }
    }
    let mut contracts = BTreeMap::new();
    for (index, contract) in wire.storage.iter().enumerate() {
        ascending::<2>("storage.entries", &contract.entries)?;
        contracts.insert(contract.address.clone(), index);
    }
    if contracts.into_values().ne(0..wire.storage.len()) {
        return Err(Malformed("storage: is not sorted, or repeats an address".into()));
    }
    for (field, list) in [
        ("deployed", &wire.deployed),
        ("replaced", &wire.replaced),
        ("nonces", &wire.nonces),
        ("declared", &wire.declared),
        ("migrated", &wire.migrated),
    ] {
        ascending::<2>(field, list)?;
    }
    ascending::<1>("deprecated_declared", &wire.deprecated_declared)
}

#[cfg(test)]
mod tests {
    use super::*;
    use starknet_api::state::StorageKey;

    fn sample() -> StateMaps {
        let address = |n: u64| ContractAddress::from(n);
        let mut maps = StateMaps::default();
        for n in [9_u64, 3, 700, 12] {
            for key in [5_u64, 1, 90_000] {
                maps.storage.insert((address(n), StorageKey::from(key)), Felt::from(n * key));
            }
            maps.nonces.insert(address(n), Nonce(Felt::from(n)));
            maps.class_hashes.insert(address(n), ClassHash(Felt::from(n + 1)));
        }
        maps.compiled_class_hashes.insert(ClassHash(Felt::ONE), CompiledClassHash(Felt::TWO));
        maps.declared_contracts.insert(ClassHash(Felt::ONE), true);
        maps
    }

    #[test]
    fn a_diff_goes_round_and_is_canonical() {
        let maps = sample();
        let wire = to_wire(&maps, |address| *address == ContractAddress::from(9_u64));
        check_canonical(&wire).unwrap();
        assert_eq!(wire.replaced.len(), 2 * FELT);
        assert_eq!(wire.deployed.len(), 3 * 2 * FELT);
        assert_eq!(from_wire(&wire).unwrap(), maps);
    }

    #[test]
    fn a_diff_that_is_cut_off_is_an_error() {
        let mut wire = to_wire(&sample(), |_| false);
        wire.nonces = wire.nonces.slice(0..33);
        assert!(from_wire(&wire).unwrap_err().0.starts_with("nonces:"));
        let mut wire = to_wire(&sample(), |_| false);
        wire.storage.swap(0, 1);
        assert!(check_canonical(&wire).is_err());
    }
}
