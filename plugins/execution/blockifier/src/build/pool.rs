//! The threads that execute blocks concurrently. Builds use them one after the other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use blockifier::blockifier::config::WorkerPoolConfig;
use blockifier::concurrency::worker_pool::WorkerPool;
use blockifier::execution::call_info::CallInfo;
use blockifier::state::cached_state::CachedState;
use blockifier::transaction::objects::TransactionExecutionInfo;

use crate::state::Snapshot;
use crate::threads::{caught, STACK};
use crate::weights::Weights;

type Workers = WorkerPool<CachedState<Snapshot>>;

/// Numbers of what was executed in blocks. A block that is built again counts again.
#[derive(Default)]
pub struct Counters {
    pub transactions: AtomicU64,
    /// Calls by the engine that ran them: the outermost of each transaction, and calls between contracts.
    pub native: AtomicU64,
    pub vm: AtomicU64,
}

impl Counters {
    pub fn count(&self, info: &TransactionExecutionInfo) {
        let (mut native, mut vm) = (0, 0);
        for call in info.non_optional_call_infos().flat_map(CallInfo::iter) {
            if call.execution.cairo_native {
                native += 1
            } else {
                vm += 1
            }
        }
        self.transactions.fetch_add(1, Ordering::Relaxed);
        self.native.fetch_add(native, Ordering::Relaxed);
        self.vm.fetch_add(vm, Ordering::Relaxed);
    }
}

/// The worker pool. Its threads start at the first use: a node that runs few transactions at a time never has them.
pub struct Pool {
    workers: usize,
    pub counters: Counters,
    pub weights: Weights,
    started: Mutex<Option<Arc<Workers>>>,
}

impl Pool {
    pub fn new(workers: usize) -> Self {
        Self { workers, counters: Counters::default(), weights: Weights::default(), started: Mutex::default() }
    }

    pub fn workers(&self) -> usize {
        self.workers
    }

    /// The running pool.
    pub fn get(&self) -> Arc<Workers> {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        // A worker may have panicked after the build that it worked for had ended.
        if started.as_ref().is_some_and(|workers| caught(|| workers.check_panic()).is_err()) {
            *started = None;
        }
        started
            .get_or_insert_with(|| {
                Arc::new(WorkerPool::start(&WorkerPoolConfig { n_workers: self.workers, stack_size: STACK }))
            })
            .clone()
    }

    /// Ends a pool in which a thread panicked, because blockifier cannot use it any more. The next `get` starts another.
    pub fn discard(&self) {
        let taken = self.started.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(workers) = taken.and_then(Arc::into_inner) {
            // Joining a pool panics when one of its threads has.
            let _ = caught(|| workers.join());
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.discard();
    }
}
