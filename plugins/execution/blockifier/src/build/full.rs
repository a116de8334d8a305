//! The limit that a full block has reached.

use super::Build;

impl Build {
    /// Marks the block as full, and names the limit that is nearest.
    pub(super) fn set_full(&mut self) {
        let weights =
            *self.executor.bouncer.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_bouncer_weights();
        let most = self.block.context.bouncer_config.block_max_capacity;
        let used = [
            ("transactions", weights.n_txs as u64, most.n_txs as u64),
            ("state diff", weights.state_diff_size as u64, most.state_diff_size as u64),
            ("events", weights.n_events as u64, most.n_events as u64),
            ("messages to l1", weights.message_segment_length as u64, most.message_segment_length as u64),
            ("l1 gas", weights.l1_gas as u64, most.l1_gas as u64),
            ("sierra gas", weights.sierra_gas.0, most.sierra_gas.0),
            ("proving gas", weights.proving_gas.0, most.proving_gas.0),
            ("l2 gas", weights.receipt_l2_gas.0, most.receipt_l2_gas.0),
        ];
        let fullest = used
            .into_iter()
            .max_by(|a, b| (a.1 as f64 / a.2.max(1) as f64).total_cmp(&(b.1 as f64 / b.2.max(1) as f64)));
        let (name, have, limit) = fullest.expect("the list is not empty");
        self.full = Some(format!("the next transaction does not fit; nearest to its limit: {name}, {have} of {limit}"));
    }
}
