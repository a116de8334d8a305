//! Faster arithmetic in the place of that of published crates. The values are the same.

use std::sync::atomic::{AtomicBool, Ordering};

use lambdaworks_crypto::hash::pedersen::Limbs;
use ordo_stark_curve::field::Fe;

static FAST: AtomicBool = AtomicBool::new(false);

/// Installs the faster functions for hashes and signatures. A program calls it before it computes either. Without it the published
/// functions are used, which `bench` measures.
pub fn install() {
    FAST.store(true, Ordering::Relaxed);
    lambdaworks_crypto::hash::pedersen::install(pedersen);
}

/// Whether the faster functions are installed.
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
        // Nothing is installed in this process: `Pedersen` is by the published method.
        assert!(!super::installed());
        let mut list = vec![Felt::ZERO, Felt::ONE, -Felt::ONE, Felt::TWO.pow(128u128), -Felt::TWO.pow(251u128)];
        for i in 5..30 {
            list.push(Pedersen::hash(&list[i - 1], &list[i - 3]));
        }
        for x in &list {
            for y in &list {
                let expected = Pedersen::hash(x, y).to_raw_reversed();
                for _ in 0..2 {
                    let hash = super::pedersen(x.to_raw_reversed(), y.to_raw_reversed());
                    assert_eq!(hash, expected, "pedersen({x:#x}, {y:#x})");
                }
            }
        }
    }
}
