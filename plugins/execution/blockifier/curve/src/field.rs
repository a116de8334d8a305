//! The field of Starknet, p = 2^251 + 17 * 2^192 + 1, in Montgomery form with R = 2^256.
//!
//! p is one more than a multiple of 2^192, so -1/p is -1 modulo 2^192: three limbs of a product are reduced at once with
//! three multiplications by the one limb of p that is not trivial. And 2^256 is almost 32 p, so sums need no reduction
//! between: an element is any of its representatives below 32 p. A comment beside a sum says how many p it may hold; a
//! product of a p and b p is below (1 + a b / 31.9) p.

/// The highest limb of p. The others are 1, 0, 0.
pub const TOP: u64 = 0x0800_0000_0000_0011;
const P: [u64; 4] = [1, 0, 0, TOP];
/// R^2 modulo p.
const R2: Fe = Fe([0xffff_fd73_7e00_0401, 0x0000_0001_330f_ffff, 0xffff_ffff_ff6f_8000, 0x07ff_d4ab_5e00_8810]);

#[derive(Clone, Copy, Debug)]
pub struct Fe(pub(crate) [u64; 4]);

pub const ZERO: Fe = Fe([0; 4]);
/// R modulo p.
pub const ONE: Fe = Fe([0xffff_ffff_ffff_ffe1, 0xffff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff, 0x07ff_ffff_ffff_fdf0]);

#[inline(always)]
fn mac(sum: u64, a: u64, b: u64, carry: u64) -> (u64, u64) {
    let wide = sum as u128 + a as u128 * b as u128 + carry as u128;
    (wide as u64, (wide >> 64) as u64)
}

#[inline(always)]
fn adc(a: u64, b: u64, carry: bool) -> (u64, bool) {
    let (sum, first) = a.overflowing_add(b);
    let (sum, second) = sum.overflowing_add(carry as u64);
    (sum, first | second)
}

#[inline(always)]
fn sbb(a: u64, b: u64, borrow: bool) -> (u64, bool) {
    let (rest, first) = a.overflowing_sub(b);
    let (rest, second) = rest.overflowing_sub(borrow as u64);
    (rest, first | second)
}

/// t / R modulo p, for t below 2^512.
#[inline(always)]
fn reduce(t: [u64; 8]) -> Fe {
    // m = -t modulo 2^192 makes t + m p a multiple of 2^192.
    let m0 = t[0].wrapping_neg();
    let (m1, none) = (!t[1]).overflowing_add((t[0] == 0) as u64);
    let m2 = (!t[2]).wrapping_add(none as u64);
    let carry = (t[0] | t[1] | t[2]) != 0;
    let (u0, c) = mac(t[3], m0, TOP, carry as u64);
    let (u1, c) = mac(t[4], m1, TOP, c);
    let (u2, c) = mac(t[5], m2, TOP, c);
    let (u3, c) = adc(t[6], c, false);
    let u4 = t[7].wrapping_add(c as u64);
    // The last limb.
    let m3 = u0.wrapping_neg();
    let (r0, c) = adc(u1, 0, u0 != 0);
    let (r1, c) = adc(u2, 0, c);
    let (r2, high) = mac(u3, m3, TOP, c as u64);
    Fe([r0, r1, r2, u4.wrapping_add(high)])
}

impl Fe {
    /// An element from 256 bits, lowest byte first.
    pub fn from_bytes(bytes: &[u8; 32]) -> Fe {
        Fe(limbs(bytes)).mul(&R2)
    }

    /// The number below p, lowest byte first.
    pub fn to_bytes(self) -> [u8; 32] {
        bytes(self.canonical())
    }

    /// An element from Montgomery form with R = 2^256, the lowest limb first, below 2 p.
    pub fn from_montgomery(limbs: [u64; 4]) -> Fe {
        Fe(limbs)
    }

    /// The limbs of the Montgomery form, below p.
    pub fn to_montgomery(self) -> [u64; 4] {
        self.normal().0
    }

    /// The bytes of the Montgomery form below p: equal for equal elements, and cheap.
    pub fn normal_bytes(self) -> [u8; 32] {
        bytes(self.to_montgomery())
    }

    pub fn from_u64(value: u64) -> Fe {
        Fe([value, 0, 0, 0]).mul(&R2)
    }

    /// The number below p, out of Montgomery form.
    pub fn canonical(self) -> [u64; 4] {
        let [a, b, c, d] = self.0;
        below_p(reduce([a, b, c, d, 0, 0, 0, 0]).0)
    }

    /// The representative below p.
    pub fn normal(self) -> Fe {
        Fe(below_p(self.mul(&ONE).0))
    }

    #[inline(always)]
    pub fn mul(&self, other: &Fe) -> Fe {
        let (a, b) = (&self.0, &other.0);
        let (t0, c) = mac(0, a[0], b[0], 0);
        let (t1, c) = mac(0, a[0], b[1], c);
        let (t2, c) = mac(0, a[0], b[2], c);
        let (t3, t4) = mac(0, a[0], b[3], c);
        let (t1, c) = mac(t1, a[1], b[0], 0);
        let (t2, c) = mac(t2, a[1], b[1], c);
        let (t3, c) = mac(t3, a[1], b[2], c);
        let (t4, t5) = mac(t4, a[1], b[3], c);
        let (t2, c) = mac(t2, a[2], b[0], 0);
        let (t3, c) = mac(t3, a[2], b[1], c);
        let (t4, c) = mac(t4, a[2], b[2], c);
        let (t5, t6) = mac(t5, a[2], b[3], c);
        let (t3, c) = mac(t3, a[3], b[0], 0);
        let (t4, c) = mac(t4, a[3], b[1], c);
        let (t5, c) = mac(t5, a[3], b[2], c);
        let (t6, t7) = mac(t6, a[3], b[3], c);
        reduce([t0, t1, t2, t3, t4, t5, t6, t7])
    }

    #[inline(always)]
    pub fn square(&self) -> Fe {
        let a = &self.0;
        // First the products beside the diagonal, then their double, then the diagonal.
        let (t1, c) = mac(0, a[0], a[1], 0);
        let (t2, c) = mac(0, a[0], a[2], c);
        let (t3, t4) = mac(0, a[0], a[3], c);
        let (t3, c) = mac(t3, a[1], a[2], 0);
        let (t4, t5) = mac(t4, a[1], a[3], c);
        let (t5, t6) = mac(t5, a[2], a[3], 0);
        let t7 = t6 >> 63;
        let t6 = t6 << 1 | t5 >> 63;
        let t5 = t5 << 1 | t4 >> 63;
        let t4 = t4 << 1 | t3 >> 63;
        let t3 = t3 << 1 | t2 >> 63;
        let t2 = t2 << 1 | t1 >> 63;
        let t1 = t1 << 1;
        let (t0, c) = mac(0, a[0], a[0], 0);
        let (t1, c) = adc(t1, c, false);
        let (t2, high) = mac(t2, a[1], a[1], c as u64);
        let (t3, c) = adc(t3, high, false);
        let (t4, high) = mac(t4, a[2], a[2], c as u64);
        let (t5, c) = adc(t5, high, false);
        let (t6, high) = mac(t6, a[3], a[3], c as u64);
        reduce([t0, t1, t2, t3, t4, t5, t6, t7.wrapping_add(high)])
    }

    pub fn squares(&self, n: usize) -> Fe {
        (0..n).fold(*self, |x, _| x.square())
    }

    #[inline(always)]
    pub fn add(&self, other: &Fe) -> Fe {
        let (a, b) = (&self.0, &other.0);
        let (r0, c) = adc(a[0], b[0], false);
        let (r1, c) = adc(a[1], b[1], c);
        let (r2, c) = adc(a[2], b[2], c);
        Fe([r0, r1, r2, a[3].wrapping_add(b[3]).wrapping_add(c as u64)])
    }

    #[inline(always)]
    pub fn double(&self) -> Fe {
        self.add(self)
    }

    /// self + K p - other, for another of at most K p.
    #[inline(always)]
    pub fn sub<const K: u64>(&self, other: &Fe) -> Fe {
        let (a, b) = (&self.add(&Fe([K, 0, 0, K * TOP])).0, &other.0);
        let (r0, c) = sbb(a[0], b[0], false);
        let (r1, c) = sbb(a[1], b[1], c);
        let (r2, c) = sbb(a[2], b[2], c);
        Fe([r0, r1, r2, a[3].wrapping_sub(b[3]).wrapping_sub(c as u64)])
    }

    /// The same element, below 2 p.
    #[inline(always)]
    pub fn weak(&self) -> Fe {
        // p is a little more than 2^251, so one p less than the high bits say never goes below zero.
        let k = (self.0[3] >> 59).saturating_sub(1);
        let a = &self.0;
        let (r0, c) = sbb(a[0], k, false);
        let (r1, c) = sbb(a[1], 0, c);
        let (r2, c) = sbb(a[2], 0, c);
        Fe([r0, r1, r2, a[3].wrapping_sub(k * TOP).wrapping_sub(c as u64)])
    }

    pub fn negative(&self) -> Fe {
        ZERO.sub::<2>(&self.weak())
    }

    #[inline(always)]
    pub fn is_zero(&self) -> bool {
        // Multiples of p below 2^256 have nothing in the middle.
        self.0[1] | self.0[2] == 0 && self.0[0] < 32 && self.0[3] == self.0[0] * TOP
    }

    pub fn equals(&self, other: &Fe) -> bool {
        self.normal().0 == other.normal().0
    }

    /// The inverse. That of zero is zero.
    pub fn inverse(&self) -> Fe {
        // p - 2 = (2^59 + 16) 2^192 + (2^192 - 1); the low part goes in blocks of 24 ones.
        let a = *self;
        let ones = |x: &Fe, n: usize| x.squares(n).mul(x);
        let a3 = a.square().mul(&a).square().mul(&a);
        let a6 = ones(&a3, 3);
        let a12 = ones(&a6, 6);
        let a24 = ones(&a12, 12);
        let high = a.squares(55).mul(&a).squares(4);
        (0..8).fold(high, |x, _| x.squares(24).mul(&a24))
    }
}

/// The inverses of all elements, with one inversion. None of the elements may be zero.
pub fn invert_all(list: &mut [Fe]) {
    let mut product = ONE;
    let before: Vec<Fe> = list
        .iter()
        .map(|x| {
            let before = product;
            product = product.mul(x);
            before
        })
        .collect();
    let mut inverse = product.inverse();
    for (x, before) in list.iter_mut().zip(before).rev() {
        let one = inverse.mul(&before);
        inverse = inverse.mul(x);
        *x = one;
    }
}

fn bytes(limbs: [u64; 4]) -> [u8; 32] {
    let mut out = [0; 32];
    for (part, limb) in out.chunks_exact_mut(8).zip(limbs) {
        part.copy_from_slice(&limb.to_le_bytes());
    }
    out
}

fn limbs(bytes: &[u8; 32]) -> [u64; 4] {
    let mut limbs = [0; 4];
    for (limb, part) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
        *limb = u64::from_le_bytes(part.try_into().expect("eight bytes"));
    }
    limbs
}

/// Subtracts p once where that is possible, for a number below 2 p.
fn below_p(a: [u64; 4]) -> [u64; 4] {
    let (r0, c) = sbb(a[0], P[0], false);
    let (r1, c) = sbb(a[1], P[1], c);
    let (r2, c) = sbb(a[2], P[2], c);
    let (r3, c) = sbb(a[3], P[3], c);
    if c {
        a
    } else {
        [r0, r1, r2, r3]
    }
}

/// The lowest 252 bits of a number, reduced below p.
pub fn scalar(bytes: &[u8; 32]) -> [u64; 4] {
    Fe::from_bytes(bytes).canonical()
}
