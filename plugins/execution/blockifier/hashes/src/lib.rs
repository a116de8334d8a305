//! The hashes that Starknet's crates take from lambdaworks-crypto: as they are published, but for Pedersen, for which a
//! program may bring a function of its own.
//!
//! blockifier computes the storage keys of balances, which are Pedersen hashes of addresses, ten times a transfer: by the
//! published function that is more than half of its time.

pub mod hash {
    pub use published::hash::poseidon;
    pub mod pedersen;
}
