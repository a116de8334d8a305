//! A build: the execution of one block from its Open to its Close. Transactions go in, results come out, and it can be closed
//! after any prefix of them.
//!
//! A build holds the block's state in a [`TransactionExecutor`] between *segments*. A few waiting transactions run on it one
//! after the other, on the caller's thread. Many make a segment: the state moves into a `WorkerExecutor` of the shared pool,
//! transactions stream into it without a barrier, and when none are left the state comes back. So an open block that waits for
//! transactions uses no processor, while blockifier's own open block would keep every worker spinning. Results and diffs do not
//! depend on the way they were computed.

mod close;
mod full;
mod input;
mod output;
mod pool;
mod segment;

use std::collections::HashMap;
use std::sync::Arc;

use blockifier::blockifier::block::pre_process_block;
use blockifier::blockifier::config::TransactionExecutorConfig;
use blockifier::blockifier::transaction_executor::{
    TransactionExecutionOutput, TransactionExecutor, TransactionExecutorError, TransactionExecutorResult,
};
use blockifier::state::cached_state::{CachedState, StateMaps};
use blockifier::transaction::transaction_execution::Transaction;
use bytes::Bytes;
use ordo_sdk::v1;
use starknet_api::core::ClassHash;
use starknet_types_core::felt::Felt;

use crate::classes::Loaded;
use crate::config::Executor;
use crate::context::Block;
use crate::rejection::{over_limit, Rejection};
use crate::results;
use crate::run::{self, Limits};
use crate::state::{Layers, Snapshot};
use crate::threads::caught;
use crate::transactions::ClassInfos;
pub use close::Closed;
pub use pool::{Counters, Pool};
use segment::{Polled, Segment};

/// Why a build cannot go on. Nothing of it may be used.
#[derive(Debug, PartialEq, Eq)]
pub enum BuildError {
    /// Storage could not be read. Another build may succeed.
    Storage(String),
    /// A transaction that cannot be left out needs more memory than this process has.
    Memory(String),
    /// This program is at fault.
    Internal(String),
}

/// How a build runs its transactions.
#[derive(Clone)]
pub struct Mode {
    pub executor: Executor,
    /// The number of waiting transactions from which they run concurrently, with [`Executor::Auto`].
    pub concurrent_from: usize,
    /// Limits of each transaction.
    pub limits: Limits,
    /// Whether a transaction over its limit is rejected. The list of transactions is fixed in a proposal of another node and in a
    /// decided block: there the build fails instead.
    pub rejects: bool,
}

/// The place of one transaction in the order in which they were added, with its hash.
enum Slot {
    /// It is the next of `runs`.
    Run(Bytes),
    /// It was rejected before it could run.
    Rejected(Bytes, Rejection),
}

/// What is kept of a transaction whose result is known.
struct Done {
    gas: Option<v1::Gas>,
    changes: Option<Box<StateMaps>>,
}

/// One open block. See the module for how it runs.
pub struct Build {
    pub height: u64,
    snapshot: Snapshot,
    block: Block,
    mode: Mode,
    pool: Arc<Pool>,
    executor: TransactionExecutor<Snapshot>,
    segment: Option<Segment>,

    slots: Vec<Slot>,
    /// Transactions of the `Run` slots, in order. They are kept because a panic of the virtual machine makes them run again.
    runs: Vec<Transaction>,
    done: Vec<Done>,
    /// How many of `runs` are done.
    ran: usize,
    /// Why no more transactions fit, once that is so.
    full: Option<String>,

    class_infos: ClassInfos,
    loaded: Arc<HashMap<ClassHash, Loaded>>,
    wire_classes: HashMap<ClassHash, v1::Class>,
    broken_classes: HashMap<ClassHash, String>,

    /// Results that were not taken yet, and their changes.
    fresh: Vec<v1::TransactionResult>,
    fresh_changes: StateMaps,
    /// All changes of results that were taken.
    sent_changes: Layers,
}

impl Build {
    /// Opens a block on the state of `snapshot`.
    pub fn open(snapshot: Snapshot, block: Block, mode: Mode, pool: Arc<Pool>) -> Result<Self, BuildError> {
        run::limit_block(mode.limits);
        let executor = new_executor(&snapshot, &block)?;
        Ok(Self {
            height: block.number(),
            snapshot,
            block,
            mode,
            pool,
            executor,
            segment: None,
            slots: Vec::new(),
            runs: Vec::new(),
            done: Vec::new(),
            ran: 0,
            full: None,
            class_infos: HashMap::new(),
            loaded: Arc::default(),
            wire_classes: HashMap::new(),
            broken_classes: HashMap::new(),
            fresh: Vec::new(),
            fresh_changes: StateMaps::default(),
            sent_changes: Layers::default(),
        })
    }

    /// Whether nothing is left to do until more is added.
    pub fn is_idle(&self) -> bool {
        self.segment.is_none() && (self.full.is_some() || self.done.len() == self.slots.len())
    }

    /// Whether pool threads are at work, so that the caller should wait before the next [`Self::advance`].
    pub fn in_segment(&self) -> bool {
        self.segment.is_some()
    }

    /// Does one step of what can be done now: runs one transaction on this thread, or collects results of the pool.
    pub fn advance(&mut self) -> Result<(), BuildError> {
        let advanced = self.advance_once();
        if advanced.is_err() {
            // The next build gets the pool at once, however long this one is still held.
            self.segment = None;
        }
        advanced
    }

    fn advance_once(&mut self) -> Result<(), BuildError> {
        self.reject_leading();
        if self.segment.is_some() {
            self.advance_segment()?;
        } else if self.full.is_none() && self.ran < self.runs.len() {
            if self.runs.len() - self.ran >= self.concurrent_from() {
                self.start_segment();
            } else {
                self.run_here()?;
            }
        }
        self.reject_leading();
        Ok(())
    }

    fn concurrent_from(&self) -> usize {
        match self.mode.executor {
            Executor::Sequential => usize::MAX,
            Executor::Concurrent => 1,
            // With one worker, concurrent execution only adds the cost of its versioned state.
            Executor::Auto if self.pool.workers() < 2 => usize::MAX,
            Executor::Auto => self.mode.concurrent_from,
        }
    }

    /// Gives the results of rejected transactions, up to the next one that has to run.
    fn reject_leading(&mut self) {
        if self.full.is_some() {
            return;
        }
        while let Some(Slot::Rejected(hash, rejection)) = self.slots.get(self.done.len()) {
            let result = results::rejected(hash.clone(), rejection);
            self.finish(result, None);
        }
    }

    fn finish(&mut self, result: v1::TransactionResult, changes: Option<StateMaps>) {
        if let Some(changes) = &changes {
            self.fresh_changes.extend(changes);
        }
        self.done.push(Done { gas: changes.is_some().then_some(result.gas).flatten(), changes: changes.map(Box::new) });
        self.fresh.push(result);
    }

    fn run_here(&mut self) -> Result<(), BuildError> {
        let outcome = caught(|| self.executor.execute(&self.runs[self.ran]));
        match outcome {
            Ok(Err(TransactionExecutorError::BlockFull)) => {
                self.check_fault()?;
                self.set_full();
                Ok(())
            }
            Ok(outcome) => self.ran(outcome),
            Err(panicked) => {
                let Some(Slot::Run(hash)) = self.slots.get(self.done.len()) else {
                    return Err(BuildError::Internal("build: a run without a slot".into()));
                };
                let result = results::rejected(hash.clone(), &Rejection::panicked(&panicked.0));
                self.ran += 1;
                self.finish(result, None);
                // The panic may have come in the middle of counting the block's weights.
                self.run_again()
            }
        }
    }

    fn check_fault(&self) -> Result<(), BuildError> {
        match self.snapshot.fault() {
            Some(cause) => Err(BuildError::Storage(cause.into())),
            None => Ok(()),
        }
    }

    /// Makes a result of the outcome of the next run.
    fn ran(&mut self, outcome: TransactionExecutorResult<TransactionExecutionOutput>) -> Result<(), BuildError> {
        self.check_fault()?;
        self.reject_leading();
        let Some(Slot::Run(hash)) = self.slots.get(self.done.len()) else {
            return Err(BuildError::Internal("build: an outcome without a slot".into()));
        };
        self.ran += 1;
        match outcome {
            Ok((info, changes)) => {
                self.pool.counters.count(&info);
                let result = results::included(hash.clone(), &info);
                self.finish(result, Some(changes));
            }
            Err(error) => {
                if let TransactionExecutorError::TransactionExecutionError(error) = &error {
                    if let Some(reason) = over_limit(error) {
                        if self.mode.rejects {
                            self.mark_heavy();
                        } else {
                            return Err(BuildError::Memory(format!(
                                "transaction {}: {reason}",
                                Felt::from_bytes_be_slice(hash).to_fixed_hex_string()
                            )));
                        }
                    }
                }
                let result = results::rejected(hash.clone(), &Rejection::from(&error));
                self.finish(result, None);
            }
        }
        Ok(())
    }

    /// Marks the kind of the last run as heavy: the transaction is rejected for the memory that it held.
    fn mark_heavy(&self) {
        let weights = &self.pool.weights;
        if let Some(kind) = weights.kind(&self.snapshot, &self.runs[self.ran - 1]) {
            weights.was_heavy(&kind);
        }
    }

    fn start_segment(&mut self) {
        let state = self.executor.block_state.take().expect("the state is here between segments");
        let mut segment =
            Segment::start(&self.pool, state, self.executor.block_context.clone(), self.executor.bouncer.clone());
        segment.add(&self.runs[self.ran..]);
        self.segment = Some(segment);
    }

    fn advance_segment(&mut self) -> Result<(), BuildError> {
        // When the state cannot be read the workers may repeat a transaction for ever and never give an outcome.
        self.check_fault()?;
        let Some(segment) = &mut self.segment else { return Ok(()) };
        match caught(|| segment.poll()) {
            Ok(Polled { outcomes, halted, idle }) => {
                for outcome in outcomes {
                    self.ran(outcome)?;
                }
                if halted {
                    self.check_fault()?;
                    self.set_full();
                }
                if halted || idle {
                    self.end_segment();
                }
                Ok(())
            }
            Err(_) => {
                // It is unknown which transaction panicked. So those without a result run one by one, where a panic is caught for
                // each of them.
                self.segment = None;
                self.pool.discard();
                self.mode.executor = Executor::Sequential;
                self.run_again()
            }
        }
    }

    fn end_segment(&mut self) {
        if let Some(segment) = self.segment.take() {
            self.executor.block_state = Some(segment.into_state());
        }
    }

    /// Runs all transactions that have a result again on a new executor, so that its state and the weights of the block are right.
    /// Rejected ones are left out: they change nothing.
    fn run_again(&mut self) -> Result<(), BuildError> {
        self.executor = new_executor(&self.snapshot, &self.block)?;
        let mut run = 0;
        for (slot, done) in self.slots.iter().zip(&self.done) {
            if !matches!(slot, Slot::Run(_)) {
                continue;
            }
            if done.changes.is_some() {
                match caught(|| self.executor.execute(&self.runs[run])) {
                    Ok(Ok((_, changes))) if Some(&changes) == done.changes.as_deref() => {}
                    _ => {
                        return Err(BuildError::Internal("build: a transaction ran differently the second time".into()))
                    }
                }
            }
            run += 1;
        }
        self.check_fault()
    }
}

fn new_executor(snapshot: &Snapshot, block: &Block) -> Result<TransactionExecutor<Snapshot>, BuildError> {
    let mut state = CachedState::new(snapshot.clone());
    begin(&mut state, block)?;
    Ok(TransactionExecutor::new(state, block.context.as_ref().clone(), TransactionExecutorConfig::default()))
}

/// The write that the protocol makes before the first transaction.
fn begin(state: &mut CachedState<Snapshot>, block: &Block) -> Result<(), BuildError> {
    let info = block.context.block_info();
    let constants = &block.context.versioned_constants().os_constants;
    pre_process_block(state, block.old_hash, info.block_number, constants)
        .map_err(|error| BuildError::Internal(error.to_string()))
}
