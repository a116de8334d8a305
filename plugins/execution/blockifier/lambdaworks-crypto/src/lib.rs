//! The two hashes that Starknet's crates take from lambdaworks-crypto, under its names and by its methods, but that a program
//! may bring a Pedersen hash of its own.
//!
//! blockifier computes the storage keys of balances, which are Pedersen hashes of addresses, ten times a transfer: by the
//! published method that is more than half of what is left of a transfer on Cairo Native.

pub mod hash {
    pub mod pedersen;
    pub mod poseidon;
}

use lambdaworks_math::field::element::FieldElement;
use lambdaworks_math::field::fields::fft_friendly::stark_252_prime_field::Stark252PrimeField;

type Felt = FieldElement<Stark252PrimeField>;
