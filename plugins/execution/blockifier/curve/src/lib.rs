//! The curve of Starknet's signatures: y^2 = x^3 + x + beta over p = 2^251 + 17 * 2^192 + 1.
//!
//! Cairo checks a signature with a handful of calls: points from their x, multiples of points, sums. A [`Curve`] serves these
//! calls, and keeps results: a transaction is checked when it is admitted and again in its block, with the same numbers, and each
//! transaction of an account has the same key. The functions are pure, so a kept result is the same as a computed one.
//!
//! Felts have the form of Cairo Native: 32 bytes, the lowest first, of which 252 bits count.

mod comb;
pub mod field;
mod pedersen;
mod point;
mod recent;
mod root;

use std::sync::{Arc, OnceLock};

use comb::Comb;
use field::{scalar, Fe, ONE, ZERO};
use pedersen::Pedersen;
pub use point::Affine;
use point::{times, Jacobian};
use recent::Recent;
pub use root::Roots;

/// A felt: 252 bits in 32 bytes, the lowest first. The upper four bits have no meaning.
pub type Slot = [u8; 32];
/// A point as (x, y).
pub type Point = [Slot; 2];
/// A sum of points as (X, Y, Z), which stands for (X/Z, Y/Z), or for infinity when Z is zero.
pub type State = [Slot; 3];

/// The number of results that are kept, 160 bytes each. They are enough for transactions between admission and block.
const MULTIPLES: usize = 1 << 16;
const ROOTS: usize = 1 << 14;
const SUMS: usize = 1 << 14;
const HASHES: usize = 1 << 15;
/// The number of tables of keys, 4 KiB each, and of points that may get one.
const COMBS: usize = 1 << 12;
const SEEN: usize = 1 << 14;
/// How often a point is used before it gets a table, which costs as much as one multiple without it.
const OFTEN: u8 = 3;

pub struct Curve {
    roots: Roots,
    generator: (Point, Comb),
    root_of: Recent<Slot, Option<Slot>>,
    multiples: Recent<[u8; 96], Affine>,
    sums: Recent<[u8; 96], Point>,
    pedersen: Pedersen,
    hashes: Recent<[u8; 64], Fe>,
    combs: Recent<[u8; 64], Arc<Comb>>,
    seen: Recent<[u8; 64], u8>,
}

impl Curve {
    pub fn new() -> Self {
        let generator = read(&GENERATOR);
        Self {
            roots: Roots::new(),
            generator: (GENERATOR, Comb::new(&generator, 8, 4)),
            root_of: Recent::new(ROOTS),
            multiples: Recent::new(MULTIPLES),
            sums: Recent::new(SUMS),
            pedersen: Pedersen::new(),
            hashes: Recent::new(HASHES),
            combs: Recent::new(COMBS),
            seen: Recent::new(SEEN),
        }
    }

    /// The lower y of the points with this x, if there are any.
    pub fn y_of(&self, x: &Slot) -> Option<Slot> {
        let x = clean(x);
        if let Some(known) = self.root_of.get(&x) {
            return known;
        }
        let felt = Fe::from_bytes(&x);
        let right = felt.square().mul(&felt).add(&felt).add(&Fe::from_bytes(&BETA));
        let y = self.roots.root(&right).map(|y| {
            let (y, other) = (y.to_bytes(), y.negative().to_bytes());
            let lower = y.iter().rev().le(other.iter().rev());
            if lower {
                y
            } else {
                other
            }
        });
        self.root_of.put(x, y);
        y
    }

    /// Adds scalar times point to the state.
    pub fn add_multiple(&self, state: &mut State, k: &Slot, point: &Point) {
        let before = read_state(state);
        match self.multiple(k, point) {
            None => {}
            Some(multiple) if before.is_infinity() => {
                *state = [multiple.x.to_bytes(), multiple.y.to_bytes(), one()];
            }
            Some(multiple) => write_state(state, &before.add_affine(&multiple)),
        }
    }

    /// Adds the point to the state.
    pub fn add(&self, state: &mut State, point: &Point) {
        let sum = read_state(state).add_affine(&read(point));
        write_state(state, &sum);
    }

    /// The point that the state stands for, unless it is infinity.
    pub fn finish(&self, state: &State) -> Option<Point> {
        if clean(&state[2]) == one() {
            return Some([Fe::from_bytes(&clean(&state[0])).to_bytes(), Fe::from_bytes(&clean(&state[1])).to_bytes()]);
        }
        let key = joined([&clean(&state[0]), &clean(&state[1]), &clean(&state[2])]);
        if let Some(known) = self.sums.get(&key) {
            return Some(known);
        }
        let p = read_state(state).affine()?;
        let sum = [p.x.to_bytes(), p.y.to_bytes()];
        self.sums.put(key, sum);
        Some(sum)
    }

    /// The Pedersen hash. Results are kept because a map of a contract hashes the same key for each read and write.
    pub fn pedersen(&self, left: &Fe, right: &Fe) -> Fe {
        let key = joined([&left.normal_bytes(), &right.normal_bytes()]);
        if let Some(known) = self.hashes.get(&key) {
            return known;
        }
        let hash = self.pedersen.hash(&left.canonical(), &right.canonical()).normal();
        self.hashes.put(key, hash);
        hash
    }

    /// The same between slots.
    pub fn pedersen_slots(&self, left: &Slot, right: &Slot) -> Slot {
        self.pedersen(&Fe::from_bytes(&clean(left)), &Fe::from_bytes(&clean(right))).to_bytes()
    }

    fn multiple(&self, k: &Slot, point: &Point) -> Option<Affine> {
        let (k, point) = (clean(k), [clean(&point[0]), clean(&point[1])]);
        let key = joined([&k, &point[0], &point[1]]);
        if let Some(known) = self.multiples.get(&key) {
            return Some(known);
        }
        let digits = scalar(&k);
        let product = if point == self.generator.0 {
            self.generator.1.times(&digits)
        } else {
            match self.comb(&point) {
                Some(comb) => comb.times(&digits),
                None => times(&digits, &read(&point)),
            }
        };
        let product = product.affine()?;
        self.multiples.put(key, product);
        Some(product)
    }

    /// The table of a point that is used often.
    fn comb(&self, point: &Point) -> Option<Arc<Comb>> {
        let key = joined([&point[0], &point[1]]);
        if let Some(comb) = self.combs.get(&key) {
            return Some(comb);
        }
        let count = self.seen.get(&key).unwrap_or(0) + 1;
        if count < OFTEN {
            self.seen.put(key, count);
            return None;
        }
        let comb = Arc::new(Comb::new(&read(point), 5, 2));
        self.combs.put(key, comb.clone());
        Some(comb)
    }
}

impl Default for Curve {
    fn default() -> Self {
        Self::new()
    }
}

static SHARED: OnceLock<Curve> = OnceLock::new();

/// The curve of this process. It is global because its callers bring no context: machine code of contracts, and the hash function of
/// a published crate.
pub fn shared() -> &'static Curve {
    SHARED.get_or_init(Curve::new)
}

fn clean(slot: &Slot) -> Slot {
    let mut clean = *slot;
    clean[31] &= 0x0f;
    clean
}

fn joined<const PARTS: usize, const SIZE: usize>(slots: [&Slot; PARTS]) -> [u8; SIZE] {
    let mut all = [0; SIZE];
    for (part, slot) in all.chunks_exact_mut(32).zip(slots) {
        part.copy_from_slice(slot);
    }
    all
}

fn one() -> Slot {
    let mut one = [0; 32];
    one[0] = 1;
    one
}

fn read(point: &Point) -> Affine {
    Affine { x: Fe::from_bytes(&clean(&point[0])), y: Fe::from_bytes(&clean(&point[1])) }
}

fn read_state(state: &State) -> Jacobian {
    let [x, y, z] = [0, 1, 2].map(|i| Fe::from_bytes(&clean(&state[i])));
    if z.is_zero() {
        return point::INFINITY;
    }
    if clean(&state[2]) == one() {
        return Jacobian { x, y, z: ONE };
    }
    Jacobian { x: x.mul(&z), y: y.mul(&z.square()), z }
}

fn write_state(state: &mut State, p: &Jacobian) {
    let [x, y, z] = if p.is_infinity() { [ZERO, ONE, ZERO] } else { [p.x.mul(&p.z), p.y, p.z.square().mul(&p.z)] };
    *state = [x.to_bytes(), y.to_bytes(), z.to_bytes()];
}

/// The beta of the curve, and its generator.
pub const BETA: Slot = bytes("06f21413efbe40de150e596d72f7a8c5609ad26c15c915c1f4cdfcb99cee9e89");
pub const GENERATOR: Point = [
    bytes("01ef15c18599971b7beced415a40f0c7deacfd9b0d1819e03d723d8bc943cfca"),
    bytes("005668060aa49730b7be4801df46ec62de53ecd11abe43a32873000c36e8dc1f"),
];

/// Hex digits, the highest first, as a slot.
const fn bytes(hex: &str) -> Slot {
    const fn digit(c: u8) -> u8 {
        if c <= b'9' {
            c - b'0'
        } else {
            c - b'a' + 10
        }
    }
    let hex = hex.as_bytes();
    let mut slot = [0; 32];
    let mut i = 0;
    while i < 32 {
        slot[31 - i] = digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]);
        i += 1;
    }
    slot
}
