//! All functions compared with starknet-types-core, which Cairo Native would call otherwise.

use ordo_stark_curve::field::{invert_all, Fe};
use ordo_stark_curve::{Curve, Point, Slot, State, GENERATOR};
use starknet_types_core::curve::{AffinePoint, ProjectivePoint};
use starknet_types_core::felt::Felt;
use starknet_types_core::hash::{Pedersen, StarkHash};

/// A generator of test numbers, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }

    fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for part in bytes.chunks_exact_mut(8) {
            part.copy_from_slice(&self.word().to_le_bytes());
        }
        bytes
    }

    fn felt(&mut self) -> Felt {
        Felt::from_bytes_le(&self.bytes())
    }
}

/// Numbers at which carries and reductions change.
fn edges() -> Vec<Felt> {
    let two = |n: u128| Felt::TWO.pow(n);
    let mut list = vec![Felt::ZERO, Felt::ONE, Felt::TWO, Felt::THREE, -Felt::ONE, -Felt::TWO];
    for n in [63, 64, 127, 128, 191, 192, 193, 196, 250, 251] {
        list.extend([two(n), two(n) - Felt::ONE, -two(n), two(n) + Felt::ONE]);
    }
    list
}

fn felts(random: usize) -> Vec<Felt> {
    let mut numbers = Numbers(1);
    let mut list = edges();
    list.extend((0..random).map(|_| numbers.felt()));
    list
}

fn fe(felt: &Felt) -> Fe {
    Fe::from_bytes(&felt.to_bytes_le())
}

#[test]
fn field() {
    let list = felts(60);
    for a in &list {
        assert_eq!(fe(a).to_bytes(), a.to_bytes_le());
        assert_eq!(fe(a).square().to_bytes(), (a * a).to_bytes_le(), "{a:#x} squared");
        assert_eq!(fe(a).negative().to_bytes(), (-a).to_bytes_le(), "-{a:#x}");
        assert_eq!(fe(a).is_zero(), *a == Felt::ZERO);
        let inverse = a.inverse().unwrap_or_default();
        assert_eq!(fe(a).inverse().to_bytes(), inverse.to_bytes_le(), "1/{a:#x}");
        for b in &list {
            assert_eq!(fe(a).mul(&fe(b)).to_bytes(), (a * b).to_bytes_le(), "{a:#x} * {b:#x}");
            assert_eq!(fe(a).add(&fe(b)).to_bytes(), (a + b).to_bytes_le(), "{a:#x} + {b:#x}");
            assert_eq!(fe(a).sub::<2>(&fe(b)).to_bytes(), (a - b).to_bytes_le(), "{a:#x} - {b:#x}");
            // Large representatives of the same elements.
            let (x, y) = (fe(a).sub::<9>(&fe(b)), fe(b).sub::<9>(&fe(a)));
            assert_eq!(x.mul(&y).to_bytes(), ((a - b) * (b - a)).to_bytes_le());
            assert_eq!(x.weak().to_bytes(), (a - b).to_bytes_le());
            assert_eq!(x.is_zero(), a == b);
        }
    }
    let mut some: Vec<Fe> = list.iter().filter(|a| **a != Felt::ZERO).map(fe).collect();
    let expected: Vec<_> = some.iter().map(|a| a.inverse().to_bytes()).collect();
    invert_all(&mut some);
    assert_eq!(some.iter().map(|a| a.to_bytes()).collect::<Vec<_>>(), expected);
}

#[test]
fn representatives() {
    // All of zero and of one, through every way to tell and to reduce.
    for k in 0..31u64 {
        let zero = (0..k).fold(Fe::from_u64(0), |x, _| x.sub::<1>(&Fe::from_u64(0)));
        assert!(zero.is_zero(), "{k} p");
        assert_eq!(zero.to_bytes(), [0; 32], "{k} p");
        assert_eq!(zero.weak().to_bytes(), [0; 32], "{k} p");
        let one = zero.add(&Fe::from_u64(1));
        assert!(!one.is_zero() && one.equals(&Fe::from_u64(1)), "{k} p + 1");
    }
}

#[test]
fn roots() {
    let curve = Curve::new();
    let mut found = 0;
    for x in felts(300) {
        let (x2, beta) = (x * x, Felt::from_bytes_le(&ordo_stark_curve::BETA));
        let right = x2 * x + x + beta;
        let expected = right.sqrt().map(|y| y.min(-y).to_bytes_le());
        found += expected.is_some() as usize;
        for _ in 0..2 {
            assert_eq!(curve.y_of(&x.to_bytes_le()), expected, "y of {x:#x}");
        }
    }
    assert!(found > 100, "{found}");
}

fn on_curve(numbers: &mut Numbers) -> AffinePoint {
    loop {
        if let Some(point) = AffinePoint::new_from_x(&numbers.felt(), numbers.word() & 1 == 0) {
            return point;
        }
    }
}

fn slots(point: &AffinePoint) -> Point {
    [point.x().to_bytes_le(), point.y().to_bytes_le()]
}

const NOTHING: State = {
    let mut state = [[0; 32]; 3];
    state[1][0] = 1;
    state
};

/// Sets the upper four bits of a slot, which have no meaning.
fn noisy(slot: Slot, numbers: &mut Numbers) -> Slot {
    let mut slot = slot;
    slot[31] |= (numbers.word() as u8) << 4;
    slot
}

fn projective(point: &AffinePoint) -> ProjectivePoint {
    ProjectivePoint::from_affine_unchecked(point.x(), point.y())
}

fn expected(sum: &ProjectivePoint) -> Option<Point> {
    sum.to_affine().ok().map(|p| slots(&p))
}

#[test]
fn multiples() {
    let mut numbers = Numbers(2);
    let curve = Curve::new();
    let generator = AffinePoint::new(Felt::from_bytes_le(&GENERATOR[0]), Felt::from_bytes_le(&GENERATOR[1])).unwrap();
    let mut points = vec![generator.clone(), -&generator];
    points.extend((0..6).map(|_| on_curve(&mut numbers)));
    // The order of the group, and what lies beside it.
    let order = Felt::from_hex("0x800000000000010ffffffffffffffffb781126dcae7b2321e66a241adc64d2f").unwrap();
    let mut scalars = edges();
    for k in 0..40u64 {
        scalars.extend([Felt::from(k), order + Felt::from(k), order - Felt::from(k)]);
    }
    scalars.extend((0..60).map(|_| numbers.felt()));
    for point in &points {
        // Each point is met often enough for a table, and each multiple twice.
        for k in &scalars {
            let product = &projective(point) * *k;
            for _ in 0..2 {
                let mut state = NOTHING;
                let k = noisy(k.to_bytes_le(), &mut numbers);
                let p = slots(point).map(|slot| noisy(slot, &mut numbers));
                curve.add_multiple(&mut state, &k, &p);
                assert_eq!(curve.finish(&state), expected(&product), "{k:?} times {point:?}");
            }
        }
    }
}

#[test]
fn single_multiples() {
    // Points that come once: no tables, nothing remembered.
    let mut numbers = Numbers(3);
    let curve = Curve::new();
    for _ in 0..400 {
        let (point, k) = (on_curve(&mut numbers), numbers.felt());
        let mut state = NOTHING;
        curve.add_multiple(&mut state, &k.to_bytes_le(), &slots(&point));
        assert_eq!(curve.finish(&state), expected(&(&projective(&point) * k)));
    }
}

#[test]
fn sums() {
    let mut numbers = Numbers(4);
    let curve = Curve::new();
    let mut state = NOTHING;
    let mut sum = ProjectivePoint::identity();
    assert_eq!(curve.finish(&state), None);
    let mut met = vec![on_curve(&mut numbers)];
    for step in 0..300 {
        let current = sum.to_affine().ok();
        let point = match (numbers.word() % 6, current) {
            (0, Some(same)) => same,   // a doubling
            (1, Some(same)) => -&same, // to infinity
            (2, _) => met[numbers.word() as usize % met.len()].clone(),
            _ => on_curve(&mut numbers),
        };
        if numbers.word() & 1 == 0 {
            curve.add(&mut state, &slots(&point).map(|slot| noisy(slot, &mut numbers)));
            sum += &projective(&point);
        } else {
            let k = match numbers.word() % 4 {
                0 => Felt::ZERO,
                1 => Felt::ONE,
                _ => numbers.felt(),
            };
            curve.add_multiple(&mut state, &noisy(k.to_bytes_le(), &mut numbers), &slots(&point));
            sum += &(&projective(&point) * k);
        }
        assert_eq!(curve.finish(&state), expected(&sum), "step {step}");
        // Any other representation of the same point will do.
        if let (Some(_), 0) = (sum.to_affine().ok(), numbers.word() % 3) {
            let factor = numbers.felt();
            state = state.map(|slot| (Felt::from_bytes_le(&slot) * factor).to_bytes_le());
            assert_eq!(curve.finish(&state), expected(&sum), "step {step}, by another factor");
        }
        met.push(point);
    }
}

#[test]
fn pedersen() {
    let mut numbers = Numbers(5);
    let curve = Curve::new();
    let list = felts(20);
    for a in &list {
        for b in &list {
            let expected = Pedersen::hash(a, b).to_bytes_le();
            let [x, y] = [a, b].map(|felt| noisy(felt.to_bytes_le(), &mut numbers));
            assert_eq!(curve.pedersen_slots(&x, &y), expected, "pedersen({a:#x}, {b:#x})");
            assert_eq!(curve.pedersen_slots(&x, &y), expected, "pedersen({a:#x}, {b:#x}) again");
        }
    }
}
