use std::sync::OnceLock;

use lambdaworks_math::cyclic_group::IsGroup;
use lambdaworks_math::elliptic_curve::short_weierstrass::curves::stark_curve::StarkCurve;
use lambdaworks_math::elliptic_curve::short_weierstrass::point::ShortWeierstrassProjectivePoint;
use lambdaworks_math::unsigned_integer::element::UnsignedInteger;

use crate::Felt;

/// Limbs of a felt in Montgomery form with R = 2^256, the lowest first, below p.
pub type Limbs = [u64; 4];

/// The function that computes the hash instead of the published method. It belongs to the program and is set once: the callers
/// of [`Pedersen::hash`] are other crates, which bring no context.
static INSTALLED: OnceLock<fn(Limbs, Limbs) -> Limbs> = OnceLock::new();

/// Sets the function that computes [`Pedersen::hash`] from here on. It must give the same values. Only the first call counts.
pub fn install(function: fn(Limbs, Limbs) -> Limbs) {
    let _ = INSTALLED.set(function);
}

/// The trait of the published crate.
pub trait Pedersen {
    /// The Pedersen hash of x and y.
    fn hash(x: &Felt, y: &Felt) -> Felt;
}

/// The Pedersen hash on the curve of Starknet.
pub struct PedersenStarkCurve;

impl Pedersen for PedersenStarkCurve {
    fn hash(x: &Felt, y: &Felt) -> Felt {
        match INSTALLED.get() {
            Some(function) => to(function(from(x), from(y))),
            None => TABLES.get_or_init(Tables::new).hash(x, y),
        }
    }
}

/// The limbs of a felt. lambdaworks has the highest limb first.
fn from(felt: &Felt) -> Limbs {
    let [a, b, c, d] = felt.value().limbs;
    [d, c, b, a]
}

fn to([a, b, c, d]: Limbs) -> Felt {
    Felt::from_raw(UnsignedInteger { limbs: [d, c, b, a] })
}

type Point = ShortWeierstrassProjectivePoint<StarkCurve>;

static TABLES: OnceLock<Tables> = OnceLock::new();

/// Tables of the published method, which adds up the multiples of each operand's two points by four bits at each place.
struct Tables {
    shift: Point,
    /// The multiples by 1 to 15 for each of the 63 digits of four bits of an operand.
    operands: [Vec<[Point; 15]>; 2],
}

impl Tables {
    fn new() -> Self {
        let operand = |low: Point, high: Point| {
            let mut digits = Vec::with_capacity(63);
            let mut base = low;
            for _ in 0..62 {
                digits.push(multiples(&base));
                base = (0..4).fold(base, |p, _| p.operate_with(&p));
            }
            digits.push(multiples(&high));
            digits
        };
        let [shift, p1, p2, p3, p4] = POINTS.map(|(x, y)| {
            let [x, y] = [x, y].map(Felt::from_hex_unchecked);
            Point::new([x, y, Felt::one()]).expect("a point of the curve")
        });
        Self { shift, operands: [operand(p1, p2), operand(p3, p4)] }
    }

    fn hash(&self, x: &Felt, y: &Felt) -> Felt {
        let mut sum = self.shift.clone();
        for (digits, felt) in self.operands.iter().zip([x, y]) {
            let bits = felt.to_bits_le();
            for (multiples, bits) in digits.iter().zip(bits.chunks(4)) {
                let digit = bits.iter().rev().fold(0, |digit, bit| 2 * digit + usize::from(*bit));
                if digit > 0 {
                    sum = sum.operate_with_affine(&multiples[digit - 1]);
                }
            }
        }
        *sum.to_affine().x()
    }
}

fn multiples(base: &Point) -> [Point; 15] {
    let mut sum = Point::neutral_element();
    std::array::from_fn(|_| {
        sum = sum.operate_with(base);
        sum.to_affine()
    })
}

/// The shift, then the low and the high point of each operand.
const POINTS: [(&str, &str); 5] = [
    (
        "049ee3eba8c1600700ee1b87eb599f16716b0b1022947733551fde4050ca6804",
        "03ca0cfe4b3bc6ddf346d49d06ea0ed34e621062c0e056c1d0405d266e10268a",
    ),
    (
        "0234287dcbaffe7f969c748655fca9e58fa8120b6d56eb0c1080d17957ebe47b",
        "03b056f100f96fb21e889527d41f4e39940135dd7a6c94cc6ed0268ee89e5615",
    ),
    (
        "04fa56f376c83db33f9dab2656558f3399099ec1de5e3018b7a6932dba8aa378",
        "03fa0984c931c9e38113e0c0e47e4401562761f92a7a23b45168f4e80ff5b54d",
    ),
    (
        "04ba4cc166be8dec764910f75b45f74b40c690c74709e90f3aa372f0bd2d6997",
        "0040301cf5c1751f4b971e46c4ede85fcac5c59a5ce5ae7c48151f27b24b219c",
    ),
    (
        "054302dcb0e6cc1c6e44cca8f61a63bb2ca65048d53fb325d36ff12c49a58202",
        "01b77b3e37d13504b348046268d8ae25ce98ad783c25561a879dcc77e99c2426",
    ),
];
