use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use crate::Felt;

pub mod starknet {
    pub struct PoseidonCairoStark252;
}

/// Full rounds before the partial ones, and as many after.
const FULL: usize = 4;
const PARTIAL: usize = 83;

pub trait Poseidon {
    fn hades_permutation(state: &mut [Felt; 3]);
    fn hash(x: &Felt, y: &Felt) -> Felt;
    fn hash_single(x: &Felt) -> Felt;
    fn hash_many(inputs: &[Felt]) -> Felt;
}

impl Poseidon for starknet::PoseidonCairoStark252 {
    fn hades_permutation(state: &mut [Felt; 3]) {
        let constants = CONSTANTS.get_or_init(Constants::new);
        let full = |state: &mut [Felt; 3], constants: &[Felt; 3]| {
            for (lane, constant) in state.iter_mut().zip(constants) {
                *lane = cube(*lane + constant);
            }
            mix(state);
        };
        constants.first.iter().for_each(|three| full(state, three));
        for constant in &constants.partial {
            state[2] = cube(state[2] + constant);
            mix(state);
        }
        constants.last.iter().for_each(|three| full(state, three));
    }

    fn hash(x: &Felt, y: &Felt) -> Felt {
        first_of([*x, *y, Felt::from(2)])
    }

    fn hash_single(x: &Felt) -> Felt {
        first_of([*x, Felt::zero(), Felt::one()])
    }

    fn hash_many(inputs: &[Felt]) -> Felt {
        let mut state = [Felt::zero(); 3];
        let mut pairs = inputs.chunks_exact(2);
        for pair in &mut pairs {
            state[0] += pair[0];
            state[1] += pair[1];
            Self::hades_permutation(&mut state);
        }
        // The padding: the last input if there is one, then a one, then a zero where a place is left.
        match pairs.remainder() {
            [last] => {
                state[0] += *last;
                state[1] += Felt::one();
            }
            _ => state[0] += Felt::one(),
        }
        first_of(state)
    }
}

fn first_of(mut state: [Felt; 3]) -> Felt {
    starknet::PoseidonCairoStark252::hades_permutation(&mut state);
    state[0]
}

fn cube(x: Felt) -> Felt {
    x.square() * x
}

/// Multiplies the state by the matrix (3 1 1, 1 -1 1, 1 1 -2).
fn mix(state: &mut [Felt; 3]) {
    let sum = state[0] + state[1] + state[2];
    state[0] = sum + state[0].double();
    state[1] = sum - state[1].double();
    state[2] = sum - (state[2].double() + state[2]);
}

static CONSTANTS: OnceLock<Constants> = OnceLock::new();

/// What each round adds before its cubes. A partial round cubes one lane only, so what it would add to the others is carried
/// through the mixing into the next round.
struct Constants {
    first: [[Felt; 3]; FULL],
    partial: [Felt; PARTIAL],
    last: [[Felt; 3]; FULL],
}

impl Constants {
    fn new() -> Self {
        let mut carry = [Felt::zero(); 3];
        let add = |carry: &mut [Felt; 3], round| {
            for (sum, constant) in carry.iter_mut().zip(of_round(round)) {
                *sum += constant;
            }
        };
        let partial = std::array::from_fn(|round| {
            add(&mut carry, FULL + round);
            let constant = std::mem::replace(&mut carry[2], Felt::zero());
            mix(&mut carry);
            constant
        });
        let mut last = std::array::from_fn(|round| of_round(FULL + PARTIAL + round));
        for (constant, carried) in last[0].iter_mut().zip(carry) {
            *constant += carried;
        }
        Self { first: std::array::from_fn(of_round), partial, last }
    }
}

/// The constants of a round as they are defined: sha256("Hades" and an index in decimal) modulo p.
fn of_round(round: usize) -> [Felt; 3] {
    std::array::from_fn(|lane| {
        let digest = Sha256::digest(format!("Hades{}", 3 * round + lane));
        // 256 bits in four pieces, since a felt is made of numbers below p.
        digest.chunks_exact(8).fold(Felt::zero(), |felt, piece| {
            let piece = u64::from_be_bytes(piece.try_into().expect("eight bytes"));
            felt * Felt::from(1u64 << 32) * Felt::from(1u64 << 32) + Felt::from(piece)
        })
    })
}
