//! The command `hash`: what a hash costs by the published methods, which is the baseline of `ordo bench commit`. The types are starknet-types-core's; the
//! arithmetic below them is `lambdaworks-crypto/`, which has the published methods and uses them as long as nothing is installed.

use std::hint::black_box;
use std::time::Instant;

use serde_json::json;
use starknet_types_core::felt::Felt;
use starknet_types_core::hash::{Pedersen, Poseidon, StarkHash};

/// Times hashes of pairs of random-looking felts, after a few to warm up.
pub fn command(arguments: &[String]) -> Result<(), String> {
    let pairs = match arguments {
        [] => 2000,
        [flag, value] if flag == "--pairs" => match value.parse() {
            Ok(pairs) if pairs > 0 => pairs,
            _ => return Err("--pairs: not a number above 0".into()),
        },
        _ => return Err("hash: only --pairs N is known".into()),
    };
    println!(
        "{}",
        json!({
            "by": "starknet-types-core",
            "pedersen_ns": nanoseconds::<Pedersen>(pairs),
            "poseidon_ns": nanoseconds::<Poseidon>(pairs),
        })
    );
    Ok(())
}

fn nanoseconds<H: StarkHash>(pairs: usize) -> f64 {
    // Each hash is an operand of the next ones, so all bits are in use and the compiler can leave nothing out.
    let (mut a, mut b) = (Felt::from(3), Felt::from(5));
    let mut run = |n: usize| {
        for _ in 0..n {
            (a, b) = (b, black_box(H::hash(&a, &b)));
        }
    };
    run(pairs.min(100));
    let begun = Instant::now();
    run(pairs);
    begun.elapsed().as_nanos() as f64 / pairs as f64
}
