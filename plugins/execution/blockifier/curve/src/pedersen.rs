//! The Pedersen hash: the sum of a constant point, and of four others times parts of the operands. Each operand has 248 low bits for one
//! point and four high bits for another.

use crate::comb::Comb;
use crate::field::Fe;
use crate::point::{times, Affine, Jacobian};
use crate::{bytes, read, Point};

const SHIFT: Point = [
    bytes("049ee3eba8c1600700ee1b87eb599f16716b0b1022947733551fde4050ca6804"),
    bytes("03ca0cfe4b3bc6ddf346d49d06ea0ed34e621062c0e056c1d0405d266e10268a"),
];
const LOW: [Point; 2] = [
    [
        bytes("0234287dcbaffe7f969c748655fca9e58fa8120b6d56eb0c1080d17957ebe47b"),
        bytes("03b056f100f96fb21e889527d41f4e39940135dd7a6c94cc6ed0268ee89e5615"),
    ],
    [
        bytes("04ba4cc166be8dec764910f75b45f74b40c690c74709e90f3aa372f0bd2d6997"),
        bytes("0040301cf5c1751f4b971e46c4ede85fcac5c59a5ce5ae7c48151f27b24b219c"),
    ],
];
const HIGH: [Point; 2] = [
    [
        bytes("04fa56f376c83db33f9dab2656558f3399099ec1de5e3018b7a6932dba8aa378"),
        bytes("03fa0984c931c9e38113e0c0e47e4401562761f92a7a23b45168f4e80ff5b54d"),
    ],
    [
        bytes("054302dcb0e6cc1c6e44cca8f61a63bb2ca65048d53fb325d36ff12c49a58202"),
        bytes("01b77b3e37d13504b348046268d8ae25ce98ad783c25561a879dcc77e99c2426"),
    ],
];

/// Bits of an operand that belong to its low point.
const LOW_BITS: u32 = 248;

pub struct Pedersen {
    operands: [Operand; 2],
}

struct Operand {
    low: Comb,
    /// The high point times 0 to 15. The first entry is never read.
    high: Vec<Affine>,
}

impl Pedersen {
    pub fn new() -> Self {
        let operand = |i: usize| {
            let high = read(&HIGH[i]);
            let multiples: Vec<Jacobian> = (0..16).map(|k| times(&[k.max(1), 0, 0, 0], &high)).collect();
            Operand { low: Comb::new(&read(&LOW[i]), 8, 4), high: Jacobian::all_affine(&multiples) }
        };
        Self { operands: [operand(0), operand(1)] }
    }

    /// The hash of two numbers below p.
    pub fn hash(&self, left: &[u64; 4], right: &[u64; 4]) -> Fe {
        let mut sum = Jacobian::from(read(&SHIFT));
        for (operand, number) in self.operands.iter().zip([left, right]) {
            let mut low = *number;
            let high = low[3] >> (LOW_BITS - 192);
            low[3] &= (1 << (LOW_BITS - 192)) - 1;
            sum = sum.add(&operand.low.times(&low));
            if high > 0 {
                sum = sum.add_affine(&operand.high[high as usize]);
            }
        }
        // No operands are known whose sum is infinity: they would give the logarithm of one of the points.
        sum.affine().expect("the sum of a pedersen hash is a point").x
    }
}
