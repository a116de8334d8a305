//! A stretch of a block on the worker pool.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use blockifier::blockifier::transaction_executor::{TransactionExecutionOutput, TransactionExecutorResult};
use blockifier::bouncer::Bouncer;
use blockifier::concurrency::worker_logic::WorkerExecutor;
use blockifier::concurrency::worker_pool::WorkerPool;
use blockifier::context::BlockContext;
use blockifier::state::cached_state::CachedState;
use blockifier::transaction::transaction_execution::Transaction;

use super::Pool;
use crate::state::Snapshot;

/// How long a dry segment waits for more before it ends: longer than the core's way from a result to the next chunk, and
/// short enough that spinning workers do not show.
const LINGER: Duration = Duration::from_millis(3);

type State = CachedState<Snapshot>;

pub struct Segment {
    executor: Arc<WorkerExecutor<State>>,
    pool: Arc<WorkerPool<State>>,
    added: usize,
    taken: usize,
    dry_since: Option<Instant>,
}

pub struct Polled {
    pub outcomes: Vec<TransactionExecutorResult<TransactionExecutionOutput>>,
    /// The block is full; the outcomes are the last.
    pub halted: bool,
    /// Nothing was in flight for a while.
    pub dry: bool,
}

impl Segment {
    pub fn start(pool: &Pool, state: State, context: Arc<BlockContext>, bouncer: Arc<Mutex<Bouncer>>) -> Self {
        let executor = Arc::new(WorkerExecutor::initialize(state, Vec::new(), context, bouncer, None));
        let pool = pool.get();
        pool.run(executor.clone());
        Self { executor, pool, added: 0, taken: 0, dry_since: None }
    }

    pub fn add(&mut self, runs: &[Transaction]) {
        self.executor.add_txs(runs);
        self.added += runs.len();
        if !runs.is_empty() {
            self.dry_since = None;
        }
    }

    /// What was committed since the last look. Panics when a worker did.
    pub fn poll(&mut self) -> Polled {
        // In this order: once the scheduler halts nothing more is committed, so what is extracted then is all.
        let halted = self.executor.scheduler.done();
        self.pool.check_panic();
        let outcomes = self.executor.extract_execution_outputs(self.taken);
        self.taken += outcomes.len();
        let dry = self.taken == self.added && {
            let since = *self.dry_since.get_or_insert_with(Instant::now);
            since.elapsed() >= LINGER
        };
        Polled { outcomes, halted, dry }
    }

    /// Ends the segment after the transactions whose outcomes were taken.
    pub fn into_state(self) -> State {
        self.executor.scheduler.halt();
        // Waits for a commit that is going on; after it there is none.
        let committed = self.executor.scheduler.get_n_committed_txs();
        debug_assert!(committed >= self.taken);
        self.executor.commit_chunk_and_recover_block_state(self.taken)
    }
}

impl Drop for Segment {
    /// A segment that is not halted would hold the pool for ever.
    fn drop(&mut self) {
        self.executor.scheduler.halt();
    }
}
