//! One attempt at a block: transactions in, results out, and the state after any prefix of them.
//!
//! The block's state lives in a [`TransactionExecutor`] between *segments*. A few waiting transactions run on it one after
//! the other, on the caller's thread. Many make a segment: the state moves into a [`WorkerExecutor`] of the shared
//! pool, transactions stream into it without a barrier, and when it runs dry the state comes back. So an open block
//! that waits for transactions costs nothing, while blockifier's own open block would keep every worker spinning. Results
//! and diffs do not depend on the way they were computed.

mod close;
mod full;
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
use blockifier::state::state_api::StateReader;
use blockifier::transaction::account_transaction::AccountTransaction;
use blockifier::transaction::transaction_execution::Transaction;
use bytes::Bytes;
use ordo_sdk::v1;
use ordo_sdk::v1::transaction_result::Status;
use starknet_api::core::{ClassHash, ContractAddress};
use starknet_api::executable_transaction::AccountTransaction as Executable;
use starknet_types_core::felt::Felt;

use crate::cancel::Stop;
use crate::classes;
use crate::config::Executor;
use crate::context::Block;
use crate::diff;
use crate::prefetch::Prefetch;
use crate::rejection::{over_limit, Refused};
use crate::results;
use crate::run::{self, Limits};
use crate::state::{Layers, Loaded, Overlay, Snapshot};
use crate::threads::caught;
use crate::transactions::{self, ClassInfos, Flags};
pub use close::Closed;
pub use pool::{Counters, Pool};
use segment::{Polled, Segment};

/// The attempt cannot go on. Nothing of it may be used.
#[derive(Debug, PartialEq, Eq)]
pub enum Broken {
    /// Storage could not be read: another attempt may do.
    Storage(String),
    /// A transaction that cannot be left out needs more memory than this process has.
    Memory(String),
    Internal(String),
}

/// How an attempt runs its transactions.
#[derive(Clone)]
pub struct Mode {
    pub executor: Executor,
    pub concurrent_from: usize,
    /// What each transaction may hold.
    pub limits: Limits,
    /// Whether a transaction over its limit is rejected. The block of another node, or one that is decided, holds what it holds:
    /// there the attempt fails.
    pub rejects: bool,
}

enum Slot {
    /// The next of `runs`.
    Run(Bytes),
    Refused(Bytes, Refused),
}

/// What a finished transaction left behind.
struct Done {
    gas: Option<v1::Gas>,
    changes: Option<Box<StateMaps>>,
}

pub struct Attempt {
    pub height: u64,
    snapshot: Snapshot,
    block: Block,
    mode: Mode,
    pool: Arc<Pool>,
    executor: TransactionExecutor<Snapshot>,
    segment: Option<Segment>,

    slots: Vec<Slot>,
    /// Transactions of the `Run` slots, in order. Kept: a panic of the virtual machine makes us run them again.
    runs: Vec<Transaction>,
    done: Vec<Done>,
    /// How many of `runs` are done.
    ran: usize,
    full: Option<String>,

    class_infos: ClassInfos,
    loaded: Arc<HashMap<ClassHash, Loaded>>,
    wire_classes: HashMap<ClassHash, v1::Class>,
    broken_classes: HashMap<ClassHash, String>,

    /// Results that were not taken yet, and what they changed.
    fresh: Vec<v1::TransactionResult>,
    fresh_changes: StateMaps,
    /// All changes of results that were taken.
    sent_changes: Layers,
}

impl Attempt {
    pub fn open(snapshot: Snapshot, block: Block, mode: Mode, pool: Arc<Pool>) -> Result<Self, Broken> {
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

    pub fn add(&mut self, add: v1::build_request::Add) {
        if self.full.is_some() {
            return; // the core keeps them for the next block
        }
        for class in add.classes {
            self.add_class(class);
        }
        let before = self.runs.len();
        for wire in &add.transactions {
            let hash = wire.hash.clone();
            match self.executable(wire) {
                Ok(run) => {
                    self.runs.push(run);
                    self.slots.push(Slot::Run(hash));
                }
                Err(refused) => self.slots.push(Slot::Refused(hash, refused)),
            }
        }
        self.prefetch(before);
        if let Some(segment) = &mut self.segment {
            segment.add(&self.runs[before..]);
        }
    }

    fn add_class(&mut self, class: v1::Class) {
        let Ok(hash) = classes::hash(&class) else { return };
        match classes::declared(&class) {
            Ok((hash, info, loaded)) => {
                self.class_infos.insert(hash, info);
                Arc::make_mut(&mut self.loaded).insert(hash, loaded);
                self.wire_classes.insert(hash, class);
            }
            Err(cause) => {
                self.broken_classes.insert(hash, cause.0);
            }
        }
    }

    fn executable(&self, wire: &v1::Transaction) -> Result<Transaction, Refused> {
        // The query version is for simulations; such a transaction would have another hash in a block.
        if wire.query_only {
            return Err(Refused::new(v1::Refusal::Other, "a query-only transaction cannot be in a block"));
        }
        transactions::executable(wire, &self.class_infos, Flags::default()).map_err(|error| match &error {
            transactions::Unusable::ClassMissing(hash) => match self.broken_classes.get(hash) {
                Some(cause) => Refused::new(v1::Refusal::CompilationFailed, cause),
                None => Refused::from(&error),
            },
            _ => Refused::from(&error),
        })
    }

    /// Brings what the transactions from here on will read, in one request.
    fn prefetch(&self, from: usize) {
        let fee_token = self.block.context.chain_info().fee_token_addresses.strk_fee_token_address;
        let mut wanted = Prefetch::new(&self.snapshot, fee_token);
        for run in &self.runs[from..] {
            wanted.account(run.sender_address());
            if let Transaction::Account(AccountTransaction { tx: Executable::Invoke(invoke), .. }) = run {
                wanted.calls(invoke.sender_address(), &invoke.calldata().0);
            }
        }
        wanted.balance(fee_token, self.block.context.block_info().sequencer_address);
        if wanted.is_needed() {
            wanted.bring();
        }
    }

    /// Whether nothing happens without more input.
    pub fn quiet(&self) -> bool {
        self.segment.is_none() && (self.full.is_some() || self.done.len() == self.slots.len())
    }

    /// Whether pool threads are at work, so that waiting is better than asking again.
    pub fn in_segment(&self) -> bool {
        self.segment.is_some()
    }

    /// Does what can be done now: one transaction on this thread, or a look at the pool.
    pub fn pump(&mut self) -> Result<(), Broken> {
        let pumped = self.pump_once();
        if pumped.is_err() {
            // The pool is for the next attempt, however long this one is still held.
            self.segment = None;
        }
        pumped
    }

    fn pump_once(&mut self) -> Result<(), Broken> {
        self.refused_first();
        if self.segment.is_some() {
            self.pump_segment()?;
        } else if self.full.is_none() && self.ran < self.runs.len() {
            if self.runs.len() - self.ran >= self.concurrent_from() {
                self.start_segment();
            } else {
                self.run_here()?;
            }
        }
        self.refused_first();
        Ok(())
    }

    fn concurrent_from(&self) -> usize {
        match self.mode.executor {
            Executor::Sequential => usize::MAX,
            Executor::Concurrent => 1,
            // One worker only adds the cost of versions.
            Executor::Auto if self.pool.workers() < 2 => usize::MAX,
            Executor::Auto => self.mode.concurrent_from,
        }
    }

    /// Slots that need no run, up to the next one that does.
    fn refused_first(&mut self) {
        if self.full.is_some() {
            return;
        }
        while let Some(Slot::Refused(hash, refused)) = self.slots.get(self.done.len()) {
            let result = results::rejected(hash.clone(), refused);
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

    fn run_here(&mut self) -> Result<(), Broken> {
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
                    return Err(Broken::Internal("attempt: a run without a slot".into()));
                };
                let result = results::rejected(hash.clone(), &Refused::panicked(&panicked.0));
                self.ran += 1;
                self.finish(result, None);
                // The panic may have come in the middle of counting the block's weights.
                self.run_again()
            }
        }
    }

    fn check_fault(&self) -> Result<(), Broken> {
        match self.snapshot.fault() {
            Some(cause) => Err(Broken::Storage(cause.into())),
            None => Ok(()),
        }
    }

    /// Takes over the outcome of the next run.
    fn ran(&mut self, outcome: TransactionExecutorResult<TransactionExecutionOutput>) -> Result<(), Broken> {
        self.check_fault()?;
        self.refused_first();
        let Some(Slot::Run(hash)) = self.slots.get(self.done.len()) else {
            return Err(Broken::Internal("attempt: an outcome without a slot".into()));
        };
        self.ran += 1;
        match outcome {
            Ok((info, changes)) => {
                self.pool.counters.count(&info);
                let result = results::included(hash.clone(), &info);
                self.finish(result, Some(changes));
            }
            Err(error) => {
                if let (TransactionExecutorError::TransactionExecutionError(error), false) = (&error, self.mode.rejects)
                {
                    if let Some(reason) = over_limit(error) {
                        return Err(Broken::Memory(format!(
                            "transaction {}: {reason}",
                            Felt::from_bytes_be_slice(hash).to_fixed_hex_string()
                        )));
                    }
                }
                let result = results::rejected(hash.clone(), &Refused::from(&error));
                self.finish(result, None);
            }
        }
        Ok(())
    }

    fn start_segment(&mut self) {
        let state = self.executor.block_state.take().expect("the state is here between segments");
        let mut segment =
            Segment::start(&self.pool, state, self.executor.block_context.clone(), self.executor.bouncer.clone());
        segment.add(&self.runs[self.ran..]);
        self.segment = Some(segment);
    }

    fn pump_segment(&mut self) -> Result<(), Broken> {
        // With a state that cannot be read the workers may run in a circle and never hand out anything.
        self.check_fault()?;
        let Some(segment) = &mut self.segment else { return Ok(()) };
        match caught(|| segment.poll()) {
            Ok(Polled { outcomes, halted, dry }) => {
                for outcome in outcomes {
                    self.ran(outcome)?;
                }
                if halted {
                    self.check_fault()?;
                    self.set_full();
                }
                if halted || dry {
                    self.end_segment();
                }
                Ok(())
            }
            Err(_) => {
                // Which transaction it was nobody knows: run what is open one by one, each behind a guard of its own.
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

    /// Brings executor and weights to where `ran` says, from nothing. What is rejected left no trace and is left out.
    fn run_again(&mut self) -> Result<(), Broken> {
        self.executor = new_executor(&self.snapshot, &self.block)?;
        let mut run = 0;
        for (slot, done) in self.slots.iter().zip(&self.done) {
            if !matches!(slot, Slot::Run(_)) {
                continue;
            }
            if done.changes.is_some() {
                match caught(|| self.executor.execute(&self.runs[run])) {
                    Ok(Ok((_, changes))) if Some(&changes) == done.changes.as_deref() => {}
                    _ => return Err(Broken::Internal("attempt: a transaction ran differently the second time".into())),
                }
            }
            run += 1;
        }
        self.check_fault()
    }

    /// Why nothing more runs.
    pub fn full(&self) -> Option<&str> {
        self.full.as_deref()
    }

    pub fn added(&self) -> usize {
        self.slots.len()
    }

    /// Number of results that were taken.
    pub fn sent(&self) -> usize {
        self.done.len() - self.fresh.len()
    }

    /// Results that wait to be taken.
    pub fn waiting(&self) -> usize {
        self.fresh.len()
    }

    pub fn take_results(&mut self) -> Option<v1::build_response::Results> {
        if self.fresh.is_empty() {
            return None;
        }
        let first = self.sent() as u64;
        let results = std::mem::take(&mut self.fresh);
        let changes = std::mem::take(&mut self.fresh_changes);
        let delta = diff::to_wire(&changes, |address| self.was_deployed(address));
        self.sent_changes.push(changes);
        Some(v1::build_response::Results { first, results, delta: Some(delta) })
    }

    /// Before the results that wait.
    fn was_deployed(&self, address: &ContractAddress) -> bool {
        let class = match self.sent_changes.find(|maps| maps.class_hashes.get(address).copied()) {
            Some(class) => class,
            None => self.snapshot.get_class_hash_at(*address).unwrap_or_default(),
        };
        class != ClassHash::default()
    }

    /// The tip with the results that were taken.
    pub fn overlay(&self) -> Overlay {
        Overlay {
            under: self.snapshot.fresh(Stop::default()),
            changes: self.sent_changes.clone(),
            classes: self.loaded.clone(),
        }
    }

    /// Rejected and reverted among all results, for the log.
    pub fn count(results: &[v1::TransactionResult], status: Status) -> usize {
        results.iter().filter(|result| result.status() == status).count()
    }
}

fn new_executor(snapshot: &Snapshot, block: &Block) -> Result<TransactionExecutor<Snapshot>, Broken> {
    let mut state = CachedState::new(snapshot.clone());
    begin(&mut state, block)?;
    Ok(TransactionExecutor::new(state, block.context.as_ref().clone(), TransactionExecutorConfig::default()))
}

/// The write that the protocol makes before the first transaction.
fn begin(state: &mut CachedState<Snapshot>, block: &Block) -> Result<(), Broken> {
    let info = block.context.block_info();
    let constants = &block.context.versioned_constants().os_constants;
    pre_process_block(state, block.old_hash, info.block_number, constants)
        .map_err(|error| Broken::Internal(error.to_string()))
}
