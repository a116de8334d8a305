//! Felts and amounts on the wire: 32 and 16 bytes, big-endian. Lists are packed without gaps.

use bytes::{Bytes, BytesMut};
use starknet_api::core::{ClassHash, ContractAddress, Nonce};
use starknet_api::state::StorageKey;
use starknet_types_core::felt::Felt;

pub const FELT: usize = 32;

/// The error of a value of the wire that cannot be read. The text names the field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(pub String);

impl std::fmt::Display for Malformed {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

pub type Result<T> = std::result::Result<T, Malformed>;

fn bad<T>(field: &str, cause: impl std::fmt::Display) -> Result<T> {
    Err(Malformed(format!("{field}: {cause}")))
}

/// The field prime, 2^251 + 17 * 2^192 + 1.
const PRIME: [u8; FELT] = {
    let mut prime = [0; FELT];
    prime[0] = 0x08;
    prime[7] = 0x11;
    prime[31] = 0x01;
    prime
};

fn from_word(field: &str, word: &[u8; FELT]) -> Result<Felt> {
    if word >= &PRIME {
        return bad(field, "a number of the size of the field prime or more is no felt");
    }
    Ok(Felt::from_bytes_be(word))
}

/// Reads one felt. An absent one is zero.
pub fn felt(field: &str, bytes: &[u8]) -> Result<Felt> {
    if bytes.is_empty() {
        return Ok(Felt::ZERO);
    }
    match bytes.try_into() {
        Ok(word) => from_word(field, word),
        Err(_) => bad(field, format_args!("{} bytes where a felt of 32 belongs", bytes.len())),
    }
}

/// Reads a packed list.
pub fn felts(field: &str, bytes: &[u8]) -> Result<Vec<Felt>> {
    rows::<1>(field, bytes).map(|row| row.map(|[felt]| felt)).collect()
}

/// Reads a packed list of rows of `N` felts.
pub fn rows<'a, const N: usize>(field: &'a str, bytes: &'a [u8]) -> impl Iterator<Item = Result<[Felt; N]>> + 'a {
    let (rows, rest) = (bytes.chunks_exact(FELT * N), bytes.len() % (FELT * N));
    let odd = (rest != 0).then(|| bad(field, format_args!("{} bytes are no list of rows of {N} felts", bytes.len())));
    odd.into_iter().chain(rows.map(move |row| {
        let mut out = [Felt::ZERO; N];
        for (slot, word) in out.iter_mut().zip(row.as_chunks::<FELT>().0) {
            *slot = from_word(field, word)?;
        }
        Ok(out)
    }))
}

pub fn address(field: &str, felt: Felt) -> Result<ContractAddress> {
    ContractAddress::try_from(felt).or_else(|_| bad(field, format_args!("{felt:#x} is out of the range of addresses")))
}

pub fn key(field: &str, felt: Felt) -> Result<StorageKey> {
    StorageKey::try_from(felt).or_else(|_| bad(field, format_args!("{felt:#x} is out of the range of storage keys")))
}

pub fn amount(field: &str, bytes: &[u8]) -> Result<u128> {
    if bytes.is_empty() {
        return Ok(0);
    }
    match bytes.try_into() {
        Ok(word) => Ok(u128::from_be_bytes(word)),
        Err(_) => bad(field, format_args!("{} bytes where an amount of 16 belongs", bytes.len())),
    }
}

pub fn from_amount(amount: u128) -> Bytes {
    Bytes::copy_from_slice(&amount.to_be_bytes())
}

/// A type that the wire has as one felt.
pub trait Word {
    fn word(&self) -> [u8; FELT];
}

impl Word for Felt {
    fn word(&self) -> [u8; FELT] {
        self.to_bytes_be()
    }
}

impl Word for ContractAddress {
    fn word(&self) -> [u8; FELT] {
        self.0.key().to_bytes_be()
    }
}

impl Word for StorageKey {
    fn word(&self) -> [u8; FELT] {
        self.0.key().to_bytes_be()
    }
}

impl Word for ClassHash {
    fn word(&self) -> [u8; FELT] {
        self.0.to_bytes_be()
    }
}

impl Word for Nonce {
    fn word(&self) -> [u8; FELT] {
        self.0.to_bytes_be()
    }
}

impl Word for starknet_api::core::CompiledClassHash {
    fn word(&self) -> [u8; FELT] {
        self.0.to_bytes_be()
    }
}

pub fn wire(value: &impl Word) -> Bytes {
    Bytes::copy_from_slice(&value.word())
}

pub fn wire_list<'a, W: Word + 'a>(values: impl IntoIterator<Item = &'a W>) -> Bytes {
    let values = values.into_iter();
    let mut out = BytesMut::with_capacity(values.size_hint().0 * FELT);
    for value in values {
        out.extend_from_slice(&value.word());
    }
    out.freeze()
}

/// A map in its canonical form: rows of key and value, sorted by key.
pub fn wire_map<K: Word, V: Word>(rows: impl IntoIterator<Item = (K, V)>) -> Bytes {
    let mut words: Vec<([u8; FELT], [u8; FELT])> =
        rows.into_iter().map(|(key, value)| (key.word(), value.word())).collect();
    words.sort_unstable();
    let mut out = BytesMut::with_capacity(words.len() * 2 * FELT);
    for (key, value) in words {
        out.extend_from_slice(&key);
        out.extend_from_slice(&value);
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn felts_go_round() {
        let list = [Felt::ZERO, Felt::ONE, Felt::MAX];
        assert_eq!(felts("x", &wire_list(&list)).unwrap(), list);
        assert_eq!(felt("x", &wire(&Felt::MAX)).unwrap(), Felt::MAX);
        assert_eq!(felt("x", &[]).unwrap(), Felt::ZERO);
        assert_eq!(amount("x", &from_amount(u128::MAX)).unwrap(), u128::MAX);
    }

    #[test]
    fn an_error_names_the_field_that_is_no_felt() {
        assert_eq!(felt("sender", &[1; 31]).unwrap_err().0, "sender: 31 bytes where a felt of 32 belongs");
        assert!(felt("sender", &PRIME).unwrap_err().0.contains("field prime"));
        assert!(felt("sender", &[0xff; 32]).is_err());
        assert!(felts("calldata", &[0; 33]).is_err());
        assert!(rows::<2>("nonces", &[0; 32]).any(|row| row.is_err()));
        assert!(amount("fee", &[0; 8]).is_err());
        assert!(address("sender", Felt::MAX).is_err());
    }

    #[test]
    fn maps_are_sorted_by_their_key() {
        let map = wire_map([(Felt::TWO, Felt::ONE), (Felt::ONE, Felt::THREE)]);
        let rows: Vec<_> = rows::<2>("x", &map).map(|row| row.unwrap()).collect();
        assert_eq!(rows, [[Felt::ONE, Felt::THREE], [Felt::TWO, Felt::ONE]]);
    }
}
