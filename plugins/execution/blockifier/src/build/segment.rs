//! A segment: a run of transactions of a block on the worker pool.

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

/// How long a segment without transactions waits for more before it ends. That is longer than the core needs from a result to
/// the next chunk, and short enough that the workers, which spin meanwhile, use little processor time.
const IDLE_WAIT: Duration = Duration::from_millis(3);

type State = CachedState<Snapshot>;

/// A segment that runs.
pub struct Segment {
    executor: Arc<WorkerExecutor<State>>,
    pool: Arc<WorkerPool<State>>,
    added: usize,
    taken: usize,
    idle_since: Option<Instant>,
}

/// The answer of [`Segment::poll`].
pub struct Polled {
    pub outcomes: Vec<TransactionExecutorResult<TransactionExecutionOutput>>,
    /// Whether the block is full. The outcomes are the last ones then.
    pub halted: bool,
    /// Whether no transaction was in work for a while.
    pub idle: bool,
}

impl Segment {
    /// Moves the state of the block to the workers.
    pub fn start(pool: &Pool, state: State, context: Arc<BlockContext>, bouncer: Arc<Mutex<Bouncer>>) -> Self {
        let executor = Arc::new(WorkerExecutor::initialize(state, Vec::new(), context, bouncer, None));
        let pool = pool.get();
        pool.run(executor.clone());
        Self { executor, pool, added: 0, taken: 0, idle_since: None }
    }

    /// Gives transactions to the workers.
    pub fn add(&mut self, runs: &[Transaction]) {
        self.executor.add_txs(runs);
        self.added += runs.len();
        if !runs.is_empty() {
            self.idle_since = None;
        }
    }

    /// The outcomes that were committed since the last call. It panics when a worker did.
    pub fn poll(&mut self) -> Polled {
        // This comes first: once the scheduler has halted nothing more is committed, so what is extracted afterwards is all.
        let halted = self.executor.scheduler.done();
        self.pool.check_panic();
        let outcomes = self.executor.extract_execution_outputs(self.taken);
        self.taken += outcomes.len();
        let idle = self.taken == self.added && {
            let since = *self.idle_since.get_or_insert_with(Instant::now);
            since.elapsed() >= IDLE_WAIT
        };
        Polled { outcomes, halted, idle }
    }

    /// Ends the segment after the transactions whose outcomes were taken, and gives the state back.
    pub fn into_state(self) -> State {
        self.executor.scheduler.halt();
        // The call waits for a commit that is under way. After it there is none.
        let committed = self.executor.scheduler.get_n_committed_txs();
        debug_assert!(committed >= self.taken);
        self.executor.commit_chunk_and_recover_block_state(self.taken)
    }
}

impl Drop for Segment {
    /// Halts the workers. Without it they would keep the pool for ever.
    fn drop(&mut self) {
        self.executor.scheduler.halt();
    }
}
