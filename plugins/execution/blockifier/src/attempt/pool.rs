//! The threads that execute blocks, shared by all attempts one after the other.

use std::sync::{Arc, Mutex, PoisonError};

use blockifier::blockifier::config::WorkerPoolConfig;
use blockifier::concurrency::worker_pool::WorkerPool;
use blockifier::state::cached_state::CachedState;

use crate::state::Snapshot;
use crate::threads::{caught, STACK};

type Workers = WorkerPool<CachedState<Snapshot>>;

/// Started at the first use: a node that only runs few transactions at a time never has these threads.
pub struct Pool {
    workers: usize,
    started: Mutex<Option<Arc<Workers>>>,
}

impl Pool {
    pub fn new(workers: usize) -> Self {
        Self { workers, started: Mutex::default() }
    }

    pub fn workers(&self) -> usize {
        self.workers
    }

    pub fn get(&self) -> Arc<Workers> {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        started
            .get_or_insert_with(|| {
                Arc::new(WorkerPool::start(&WorkerPoolConfig { n_workers: self.workers, stack_size: STACK }))
            })
            .clone()
    }

    /// A pool in which a thread panicked serves nobody any more; the next `get` starts another.
    pub fn discard(&self) {
        let taken = self.started.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(workers) = taken.and_then(Arc::into_inner) {
            // Joining a pool with a dead thread panics itself.
            let _ = caught(|| workers.join());
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.discard();
    }
}
