//! Values that the published crate gives for the same inputs, and definitions against each other.

use lambdaworks_crypto::hash::pedersen::{self, Pedersen, PedersenStarkCurve};
use lambdaworks_crypto::hash::poseidon::starknet::PoseidonCairoStark252;
use lambdaworks_crypto::hash::poseidon::Poseidon;
use lambdaworks_math::field::element::FieldElement;
use lambdaworks_math::field::fields::fft_friendly::stark_252_prime_field::Stark252PrimeField;

type Felt = FieldElement<Stark252PrimeField>;

fn felt(hex: &str) -> Felt {
    Felt::from_hex(hex).unwrap()
}

const X: &str = "0x03d937c035c878245caf64531a5756109c53068da139362728feb561405371cb";
const Y: &str = "0x0208a0a10250e382e1e4bbe2880906c2791bf6275695e02fbbc6aeff9cd8b31a";

#[test]
fn hashes() {
    let (x, y) = (felt(X), felt(Y));
    let pedersen = felt("0x030e480bed5fe53fa909cc0f8c4d99b8f9f2c016be4c41e13a4848797979c662");
    assert_eq!(PedersenStarkCurve::hash(&x, &y), pedersen);
    let two = felt("0x67c6a2e2d0c7867f97444ae17956dbc89d40ad22255bb06f5f6c515958926ed");
    assert_eq!(PoseidonCairoStark252::hash(&x, &y), two);
    let one = felt("0x3bb3b91c714cb47003947f36dadc98326176963c434cd0a10320b8146c948b3");
    assert_eq!(PoseidonCairoStark252::hash_single(&felt("0x9")), one);

    // A function of the program's own is called with what the published method would see.
    pedersen::install(|x, y| [x[0] ^ y[0], 0, 0, 0]);
    let [a, b] = [&x, &y].map(|felt| felt.value().limbs[3]);
    assert_eq!(PedersenStarkCurve::hash(&x, &y).value().limbs, [0, 0, 0, a ^ b]);
}

#[test]
fn permutation() {
    let mut state = ["0x9", "0xb", "0x2"].map(felt);
    PoseidonCairoStark252::hades_permutation(&mut state);
    let expected = [
        "0x510f3a3faf4084e3b1e95fd44c30746271b48723f7ea9c8be6a9b6b5408e7e6",
        "0x4f511749bd4101266904288021211333fb0a514cb15381af087462fa46e6bd9",
        "0x186f6dd1a6e79cb1b66d505574c349272cd35c07c223351a0990410798bb9d8",
    ];
    assert_eq!(state, expected.map(felt));
}

#[test]
fn lists() {
    // A list is padded with a one, and a zero when that makes it even: so these are permutations of one block.
    let x = felt(X);
    let of = |state: [Felt; 3]| {
        let mut state = state;
        PoseidonCairoStark252::hades_permutation(&mut state);
        state[0]
    };
    let (zero, one) = (Felt::zero(), Felt::one());
    assert_eq!(PoseidonCairoStark252::hash_many(&[]), of([one, zero, zero]));
    assert_eq!(PoseidonCairoStark252::hash_many(&[x]), of([x, one, zero]));
    assert_ne!(PoseidonCairoStark252::hash_many(&[x, one]), PoseidonCairoStark252::hash_many(&[x]));
}
