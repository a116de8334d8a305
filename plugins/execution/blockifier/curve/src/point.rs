//! Points of y^2 = x^3 + x + beta. The group has prime order: no point but infinity is its own opposite.
//!
//! The numbers in comments are bounds in units of p, see `field`. Coordinates of a Jacobian point stay below 2, 2 and 2.3.

use crate::field::{invert_all, Fe, ONE, ZERO};

/// A point as (x, y). It is never infinity.
#[derive(Clone, Copy, Debug)]
pub struct Affine {
    pub x: Fe,
    pub y: Fe,
}

/// The point (x / z^2, y / z^3), in Jacobian coordinates. Infinity has a z of zero limbs.
#[derive(Clone, Copy, Debug)]
pub struct Jacobian {
    pub x: Fe,
    pub y: Fe,
    pub z: Fe,
}

pub const INFINITY: Jacobian = Jacobian { x: ONE, y: ONE, z: ZERO };

impl From<Affine> for Jacobian {
    fn from(p: Affine) -> Self {
        Jacobian { x: p.x, y: p.y, z: ONE }
    }
}

impl Jacobian {
    #[inline(always)]
    pub fn is_infinity(&self) -> bool {
        self.z.is_zero()
    }

    #[inline]
    pub fn double(&self) -> Jacobian {
        let yy = self.y.square(); // 1.2
        let zz = self.z.square(); // 1.2
        let s = self.x.mul(&yy); // 1.1, a quarter of the usual S
        let xx = self.x.square(); // 1.2
        let m = xx.double().add(&xx).add(&zz.square()); // 4.7
        let s4 = s.double().double(); // 4.4
        let x = m.square().sub::<9>(&s4.double()).weak();
        let yyyy8 = yy.square().double().double().double(); // 8.4
        let y = m.mul(&s4.sub::<2>(&x)).sub::<9>(&yyyy8).weak();
        let z = self.y.mul(&self.z).double(); // 2.3
        Jacobian { x, y, z }
    }

    #[inline]
    pub fn add_affine(&self, other: &Affine) -> Jacobian {
        if self.is_infinity() {
            return (*other).into();
        }
        let zz = self.z.square();
        let u = other.x.mul(&zz);
        let s = other.y.mul(&self.z.mul(&zz));
        self.chord(&self.x, &self.y, &u, &s, self.z)
    }

    pub fn add(&self, other: &Jacobian) -> Jacobian {
        if self.is_infinity() {
            return *other;
        }
        if other.is_infinity() {
            return *self;
        }
        let (zz1, zz2) = (self.z.square(), other.z.square());
        let (u1, u2) = (self.x.mul(&zz2), other.x.mul(&zz1));
        let (s1, s2) = (self.y.mul(&other.z.mul(&zz2)), other.y.mul(&self.z.mul(&zz1)));
        self.chord(&u1, &s1, &u2, &s2, self.z.mul(&other.z))
    }

    /// Adds (u2, s2) to (u1, s1), which is this point, both with the same z.
    #[inline(always)]
    fn chord(&self, u1: &Fe, s1: &Fe, u2: &Fe, s2: &Fe, z: Fe) -> Jacobian {
        let h = u2.sub::<2>(u1); // 3.2
        let r = s2.sub::<2>(s1); // 3.2
        if h.is_zero() {
            return if r.is_zero() { self.double() } else { INFINITY };
        }
        let hh = h.square(); // 1.4
        let hhh = h.mul(&hh); // 1.2
        let v = u1.mul(&hh); // 1.1
        let x = r.square().sub::<4>(&hhh.add(&v.double())).weak();
        let y = r.mul(&v.sub::<2>(&x)).sub::<2>(&s1.mul(&hhh)).weak();
        Jacobian { x, y, z: z.mul(&h) }
    }

    pub fn affine(&self) -> Option<Affine> {
        if self.is_infinity() {
            return None;
        }
        Some(self.scaled(&self.z.inverse()))
    }

    fn scaled(&self, inverse: &Fe) -> Affine {
        let square = inverse.square();
        Affine { x: self.x.mul(&square).normal(), y: self.y.mul(&square.mul(inverse)).normal() }
    }

    /// Many points as (x, y), with one inversion. None may be infinity.
    pub fn all_affine(list: &[Jacobian]) -> Vec<Affine> {
        let mut inverses: Vec<Fe> = list.iter().map(|p| p.z).collect();
        invert_all(&mut inverses);
        list.iter().zip(&inverses).map(|(p, inverse)| p.scaled(inverse)).collect()
    }
}

/// Bits of a window of `times`, with the sign.
const WINDOW: u32 = 5;

/// The multiple k * point, for k below 2^252.
pub fn times(k: &[u64; 4], point: &Affine) -> Jacobian {
    let base = Jacobian::from(*point);
    let twice = base.double();
    let mut odd = [base; 1 << (WINDOW - 2)]; // 1, 3, 5, ... times the point
    for i in 1..odd.len() {
        odd[i] = odd[i - 1].add(&twice);
    }
    let (digits, n) = signed_digits(*k);
    let mut sum = INFINITY;
    for digit in digits[..n].iter().rev() {
        if !sum.is_infinity() {
            sum = sum.double();
        }
        if *digit != 0 {
            let mut term = odd[(digit.unsigned_abs() / 2) as usize];
            if *digit < 0 {
                term.y = term.y.negative();
            }
            sum = sum.add(&term);
        }
    }
    sum
}

/// The number k as a sum of d_i 2^i where each d_i is zero, or odd and below 2^4, and of any five in a row at most one is not zero.
fn signed_digits(mut k: [u64; 4]) -> ([i8; 256], usize) {
    let mut digits = [0i8; 256];
    let mut n = 0;
    while k != [0; 4] {
        if k[0] & 1 == 1 {
            let low = (k[0] & ((1 << WINDOW) - 1)) as i8;
            digits[n] = if low < 1 << (WINDOW - 1) { low } else { low - (1 << WINDOW) };
            subtract(&mut k, digits[n]);
        }
        for i in 0..4 {
            k[i] = k[i] >> 1 | k.get(i + 1).map_or(0, |above| above << 63);
        }
        n += 1;
    }
    (digits, n)
}

/// Makes k a multiple of 2^WINDOW: it subtracts the low bits, or adds what is missing.
fn subtract(k: &mut [u64; 4], digit: i8) {
    if digit > 0 {
        k[0] -= digit as u64;
        return;
    }
    let mut carry = digit.unsigned_abs() as u64;
    for limb in k {
        let (sum, over) = limb.overflowing_add(carry);
        *limb = sum;
        carry = over as u64;
    }
}
