use std::sync::OnceLock;

use lambdaworks_math::field::element::FieldElement;
use lambdaworks_math::field::fields::fft_friendly::stark_252_prime_field::Stark252PrimeField;
use lambdaworks_math::unsigned_integer::element::UnsignedInteger;
use published::hash::pedersen::{Pedersen as _, PedersenStarkCurve as Published};

type Felt = FieldElement<Stark252PrimeField>;

/// Limbs of a felt in Montgomery form with R = 2^256, the lowest first, below p.
pub type Limbs = [u64; 4];

/// Who calls the hash brings no context, so the function is the program's, set once.
static INSTALLED: OnceLock<fn(Limbs, Limbs) -> Limbs> = OnceLock::new();

/// From here on `hash` is this function, which must give the same values. Only the first call counts.
pub fn install(function: fn(Limbs, Limbs) -> Limbs) {
    let _ = INSTALLED.set(function);
}

pub trait Pedersen {
    /// The Pedersen hash of x and y.
    fn hash(x: &Felt, y: &Felt) -> Felt;
}

pub struct PedersenStarkCurve;

impl Pedersen for PedersenStarkCurve {
    fn hash(x: &Felt, y: &Felt) -> Felt {
        match INSTALLED.get() {
            Some(function) => to(function(from(x), from(y))),
            None => Published::hash(x, y),
        }
    }
}

/// The crate has the highest limb first.
fn from(felt: &Felt) -> Limbs {
    let [a, b, c, d] = felt.value().limbs;
    [d, c, b, a]
}

fn to([a, b, c, d]: Limbs) -> Felt {
    Felt::from_raw(UnsignedInteger { limbs: [d, c, b, a] })
}
