//! Arithmetic that published crates do slowly, put in their place when the process starts. The values are the same.

use std::sync::atomic::{AtomicBool, Ordering};

use lambdaworks_crypto::hash::pedersen::Limbs;
use ordo_stark_curve::field::Fe;

static FAST: AtomicBool = AtomicBool::new(false);

/// Faster functions for everything that hashes or checks signatures. A program calls this before it does either; without it
/// the published functions are used, to be measured against.
pub fn install() {
    FAST.store(true, Ordering::Relaxed);
    lambdaworks_crypto::hash::pedersen::install(pedersen);
}

/// Whether machine code shall have them.
pub fn installed() -> bool {
    FAST.load(Ordering::Relaxed)
}

fn pedersen(left: Limbs, right: Limbs) -> Limbs {
    ordo_stark_curve::shared().pedersen(&Fe::from_montgomery(left), &Fe::from_montgomery(right)).to_montgomery()
}

#[cfg(test)]
mod tests {
    use starknet_types_core::felt::Felt;
    use starknet_types_core::hash::{Pedersen, StarkHash};

    #[test]
    fn pedersen_is_the_published_one() {
        let mut list = vec![Felt::ZERO, Felt::ONE, -Felt::ONE, Felt::TWO.pow(128u128), -Felt::TWO.pow(251u128)];
        for i in 5..30 {
            list.push(Felt::from_raw(super::pedersen(limbs(&list[i - 1]), limbs(&list[i - 3])).map(|limb| limb ^ i as u64)));
        }
        let pairs: Vec<_> = list.iter().flat_map(|x| list.iter().map(move |y| (*x, *y))).collect();
        // Nothing is installed yet in this process, or the comparison is of one with itself, twice.
        let expected: Vec<Felt> = pairs.iter().map(|(x, y)| Pedersen::hash(x, y)).collect();
        for _ in 0..2 {
            for ((x, y), expected) in pairs.iter().zip(&expected) {
                let hash = super::pedersen(limbs(x), limbs(y));
                assert_eq!(hash, limbs(expected), "pedersen({x:#x}, {y:#x})");
            }
        }
    }

    fn limbs(felt: &Felt) -> [u64; 4] {
        felt.to_raw_reversed()
    }
}
