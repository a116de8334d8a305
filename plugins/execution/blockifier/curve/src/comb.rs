//! Combs: multiples of a point that is used often, by a table (the method of Lim and Lee).
//!
//! The 252 bits of a scalar are written in `teeth` rows; a column of bits chooses one of 2^teeth sums of the point's
//! multiples. The columns lie in `blocks`, each with a table of its own, so that a doubling serves one column of each.

use crate::point::{Affine, Jacobian, INFINITY};

pub struct Comb {
    teeth: usize,
    blocks: usize,
    /// The columns of a block.
    columns: usize,
    /// For each block, the sums of all choices of teeth but the empty one.
    table: Vec<Affine>,
}

impl Comb {
    pub fn new(point: &Affine, teeth: usize, blocks: usize) -> Self {
        let columns = 252usize.div_ceil(teeth * blocks);
        let per_block = (1 << teeth) - 1;
        let mut table = Vec::with_capacity(blocks * per_block);
        // tooth[t] is 2^(t * blocks * columns) times the point, then 2^columns times that for each block.
        let mut tooth = vec![Jacobian::from(*point)];
        for t in 1..teeth {
            tooth.push((0..blocks * columns).fold(tooth[t - 1], |p, _| p.double()));
        }
        for block in 0..blocks {
            if block > 0 {
                for p in &mut tooth {
                    *p = (0..columns).fold(*p, |p, _| p.double());
                }
            }
            let start = table.len();
            for choice in 1..=per_block {
                let top = usize::ilog2(choice) as usize;
                let rest = choice - (1 << top);
                table.push(if rest == 0 { tooth[top] } else { tooth[top].add(&table[start + rest - 1]) });
            }
        }
        Self { teeth, blocks, columns, table: Jacobian::all_affine(&table) }
    }

    /// k times the point, for k below 2^252.
    pub fn times(&self, k: &[u64; 4]) -> Jacobian {
        let per_block = (1 << self.teeth) - 1;
        let mut sum = INFINITY;
        for column in (0..self.columns).rev() {
            if !sum.is_infinity() {
                sum = sum.double();
            }
            for block in 0..self.blocks {
                let mut choice = 0;
                for tooth in 0..self.teeth {
                    let bit = (tooth * self.blocks + block) * self.columns + column;
                    if bit < 256 {
                        choice |= ((k[bit / 64] >> (bit % 64) & 1) as usize) << tooth;
                    }
                }
                if choice > 0 {
                    sum = sum.add_affine(&self.table[block * per_block + choice - 1]);
                }
            }
        }
        sum
    }
}
