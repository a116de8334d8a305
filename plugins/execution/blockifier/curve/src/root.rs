//! Square roots. p - 1 is 2^192 times an odd number, the worst case of Tonelli and Shanks: found bit by bit the root costs
//! 18,000 squarings. Here the discrete logarithm in the group of order 2^192 is found eight bits at a time in tables (Palash
//! Sarkar, "Computing square roots faster than the Tonelli-Shanks/Bernstein algorithm", 2020): 550 products.

use crate::field::{Fe, ONE, ZERO};

/// Bits of a digit, and digits of a logarithm.
const BITS: usize = 8;
const DIGITS: usize = 192 / BITS;
const RADIX: usize = 1 << BITS;

pub struct Roots {
    /// `powers[m][d]` is g^(-d 2^(192 - 8 (m + 1))), for a generator g of the group of order 2^192.
    powers: Vec<[Fe; RADIX]>,
    /// The elements of order 2^8, by their lowest limb: g^(d 2^184) with its d.
    digits: Vec<(u64, u8)>,
}

/// p = 2^192 odd + 1.
const ODD: u64 = (1 << 59) + 17;

impl Roots {
    pub fn new() -> Self {
        // 3 generates the whole group, so its odd-th power generates the one of order 2^192.
        let g = power(&Fe::from_u64(3), ODD);
        let mut step = g.inverse();
        let mut powers = Vec::with_capacity(DIGITS);
        for _ in 0..DIGITS {
            let mut row = [ONE; RADIX];
            for d in 1..RADIX {
                row[d] = row[d - 1].mul(&step).normal();
            }
            step = row[RADIX - 1].mul(&step);
            powers.push(row);
        }
        powers.reverse();
        // powers[0][d] is the inverse of g^(d 2^184), which is powers[0][256 - d].
        let mut digits: Vec<(u64, u8)> = (0..RADIX).map(|d| (powers[0][(RADIX - d) % RADIX].0[0], d as u8)).collect();
        digits.sort_unstable();
        Self { powers, digits }
    }

    /// One of the two square roots, if there are any.
    pub fn root(&self, a: &Fe) -> Option<Fe> {
        if a.is_zero() {
            return Some(ZERO);
        }
        // a^((odd + 1) / 2) is a root but for an element of order 2^192: the root of a^odd.
        let half = power(a, ODD / 2);
        let near = half.mul(a);
        let b = near.mul(&half);
        // chain[i] is b^(2^(192 - 8 (i + 1))): in it only the digits 0 to i of the logarithm are left.
        let mut chain = [b; DIGITS];
        for i in (0..DIGITS - 1).rev() {
            chain[i] = chain[i + 1].squares(BITS);
        }
        let mut digits = [0u8; DIGITS];
        for i in 0..DIGITS {
            let rest = (0..i).fold(chain[i], |x, j| x.mul(&self.powers[i - j][digits[j] as usize]));
            let low = rest.normal().0[0];
            let at = self.digits.binary_search_by_key(&low, |(limb, _)| *limb).ok()?;
            digits[i] = self.digits[at].1;
            if i == 0 && digits[0] & 1 == 1 {
                return None; // an odd power of g
            }
        }
        // near * g^(-logarithm / 2): the digits shift right by one bit.
        let mut root = near;
        for i in 0..DIGITS {
            let above = digits.get(i + 1).copied().unwrap_or(0);
            let halved = digits[i] >> 1 | above << (BITS - 1);
            root = root.mul(&self.powers[DIGITS - 1 - i][halved as usize]);
        }
        Some(root)
    }
}

impl Default for Roots {
    fn default() -> Self {
        Self::new()
    }
}

fn power(a: &Fe, exponent: u64) -> Fe {
    let mut result = *a;
    for bit in (0..exponent.ilog2()).rev() {
        result = result.square();
        if exponent >> bit & 1 == 1 {
            result = result.mul(a);
        }
    }
    result
}
