//! The command `bench`: a recorded block on the bare crate. blockifier's own concurrent executor runs over the same state in memory,
//! without gRPC, streams, or results on a wire. The plugin is measured against this.
//!
//! The file holds length-delimited messages: one `ApplyRequest` (height, state_diff, classes), then the
//! `BuildRequest`s of a stream (`Open`, `Add`*, `Close`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use blockifier::blockifier::concurrent_transaction_executor::ConcurrentTransactionExecutor;
use blockifier::blockifier::config::{TransactionExecutorConfig, WorkerPoolConfig};
use blockifier::blockifier::transaction_executor::{
    TransactionExecutionOutput, TransactionExecutor, TransactionExecutorResult,
};
use blockifier::concurrency::worker_pool::WorkerPool;
use blockifier::state::cached_state::{CachedState, CommitmentStateDiff};
use blockifier::transaction::transaction_execution::Transaction;
use bytes::{Buf, Bytes};
use ordo_sdk::prost::Message;
use ordo_sdk::v1;
use ordo_sdk::v1::build_request::{Open, Step};
use serde_json::json;

use crate::arithmetic;
use crate::build::Counters;
use crate::classes;
use crate::config::{cores, Config};
use crate::context::{Block, Chain};
use crate::diff;
use crate::native::{self, Engine};
use crate::state::{Limits, Snapshot, Tip};
use crate::threads::{on_big_stack, STACK};
use crate::transactions::{executable, ClassInfos, Flags};

/// A recorded block.
pub struct Recorded {
    pub apply: v1::ApplyRequest,
    pub open: Open,
    pub adds: Vec<v1::build_request::Add>,
}

pub fn read(mut file: Bytes) -> Result<Recorded, String> {
    let apply =
        v1::ApplyRequest::decode_length_delimited(&mut file).map_err(|error| format!("ApplyRequest: {error}"))?;
    let (mut open, mut adds) = (None, Vec::new());
    while file.has_remaining() {
        let step =
            v1::BuildRequest::decode_length_delimited(&mut file).map_err(|error| format!("BuildRequest: {error}"))?;
        match step.step {
            Some(Step::Open(first)) => open = Some(first),
            Some(Step::Add(add)) => adds.push(add),
            Some(Step::Close(_) | Step::Abort(_)) | None => {}
        }
    }
    Ok(Recorded { apply, open: open.ok_or("no Open among the BuildRequests")?, adds })
}

pub fn command(arguments: &[String]) -> Result<(), String> {
    let (mut file, mut workers, mut sequential, mut chain_id) = (None, cores(), false, "SN_SEPOLIA".to_string());
    let (mut native, mut published, mut rounds_from_stdin) = (false, false, false);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or(format!("{argument}: a value is missing"));
        match argument.as_str() {
            "--workers" => workers = value()?.parse().map_err(|_| "--workers: not a number".to_string())?,
            "--executor" => sequential = value()? == "sequential",
            "--native" => native = true,
            "--published" => published = true,
            "--rounds-from-stdin" => rounds_from_stdin = true,
            "--chain-id" => chain_id = value()?.clone(),
            flag if flag.starts_with("--") => return Err(format!("{flag}: unknown flag")),
            path => file = Some(path.to_string()),
        }
    }
    if published {
        // The patched crates (patches/) read it once, later.
        std::env::set_var("ORDO_AS_PUBLISHED", "1");
    } else {
        arithmetic::install();
    }
    let file = file.ok_or("bench: a file is missing")?;
    let bytes = std::fs::read(&file).map_err(|error| format!("{file}: {error}"))?;
    let recorded = read(Bytes::from(bytes)).map_err(|error| format!("{file}: {error}"))?;
    let chain = Chain::new(&v1::Chain { chain_id, ..Default::default() }).map_err(|error| error.to_string())?;
    let workers = workers.max(1);
    let engine = match native {
        true => {
            let cache = native::default_cache().ok_or("--native: neither HOME nor XDG_CACHE_HOME")?;
            Engine::start(engine_settings(cache))?
        }
        false => Engine::off(),
    };
    let mut bench = Bench::new(&recorded, &chain, workers, sequential, engine)?;
    let mut round = || -> Result<(), String> {
        let ran = bench.round()?;
        println!(
            "{}",
            json!({
                "tx": ran.included,
                "rejected": ran.rejected,
                "seconds": ran.elapsed.as_secs_f64(),
                "workers": if sequential { 1 } else { workers },
                "executor": if sequential { "sequential" } else { "concurrent" },
                "native_calls": ran.native,
                "vm_calls": ran.vm,
                "state_diff_length": ran.diff_length,
            })
        );
        Ok(())
    };
    if !rounds_from_stdin {
        return round();
    }
    // One round runs for each line, in a process that is warm, as the plugin is.
    for line in std::io::stdin().lines() {
        line.map_err(|error| format!("stdin: {error}"))?;
        round()?;
    }
    Ok(())
}

/// Settings with which machine code is made before the first use, because only running is measured.
pub fn engine_settings(cache: std::path::PathBuf) -> native::Settings {
    let config = Config::default();
    native::Settings {
        program: "/proc/self/exe".into(),
        cache,
        most: config.native_cache_size << 20,
        seconds: Duration::from_secs(config.native_seconds),
        wait: native::Wait::All,
    }
}

/// The figures of one round.
pub struct Ran {
    pub included: usize,
    pub rejected: usize,
    pub elapsed: Duration,
    pub diff_length: usize,
    pub native: u64,
    pub vm: u64,
}

/// A block that is run again and again on the same state.
pub struct Bench {
    tip: Tip,
    block: Block,
    chunks: Vec<Vec<Transaction>>,
    sequential: bool,
    pool: Arc<WorkerPool<CachedState<Snapshot>>>,
}

impl Bench {
    pub fn new(
        recorded: &Recorded,
        chain: &Chain,
        workers: usize,
        sequential: bool,
        engine: Engine,
    ) -> Result<Self, String> {
        let text = |error: crate::felts::Malformed| error.to_string();
        let tip = Tip::new(Limits { cells: usize::MAX / 4, classes: usize::MAX }, Arc::new(engine), None);
        let changes =
            diff::from_wire(recorded.apply.state_diff.as_ref().unwrap_or(&v1::StateDiff::default())).map_err(text)?;
        let declared = recorded
            .apply
            .classes
            .iter()
            .map(|class| {
                let (hash, loaded) = (classes::hash(class)?, classes::load(class)?);
                loaded.attach_native(tip.engine(), hash, class);
                Ok((hash, loaded))
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(text)?;
        tip.begin_with(recorded.apply.height, &changes, declared);

        let context = recorded.open.context.as_ref().ok_or("Open has no context")?;
        let block = Block::new(chain, context, Config::default().block.bouncer()).map_err(text)?;
        let mut infos = ClassInfos::new();
        for class in recorded.adds.iter().flat_map(|add| &add.classes) {
            let (hash, info, _) = classes::declared(class).map_err(text)?;
            infos.insert(hash, info);
        }
        let chunks = recorded
            .adds
            .iter()
            .map(|add| add.transactions.iter().map(|wire| executable(wire, &infos, Flags::default())).collect())
            .collect::<Result<Vec<Vec<Transaction>>, _>>()
            .map_err(|error| error.to_string())?;
        let pool = Arc::new(WorkerPool::start(&WorkerPoolConfig { n_workers: workers, stack_size: STACK }));
        Ok(Self { tip, block, chunks, sequential, pool })
    }

    /// Runs the block once, and measures from its start to its close.
    pub fn round(&mut self) -> Result<Ran, String> {
        let snapshot = self.tip.snapshot().ok_or("no tip")?;
        match self.sequential {
            // The virtual machine needs a deep stack.
            true => on_big_stack(|| run_sequential(snapshot, &self.block, &self.chunks))?,
            false => run_concurrent(snapshot, &self.block, &self.chunks, self.pool.clone()),
        }
    }
}

#[derive(Default)]
struct Outcomes {
    taken: usize,
    included: usize,
    calls: Counters,
}

impl Outcomes {
    fn take(&mut self, outcomes: Vec<TransactionExecutorResult<TransactionExecutionOutput>>) {
        for outcome in outcomes {
            self.taken += 1;
            if let Ok((info, _)) = outcome {
                self.included += 1;
                self.calls.count(&info);
            }
        }
    }

    fn ran(self, elapsed: Duration, diff: &CommitmentStateDiff) -> Ran {
        Ran {
            included: self.included,
            rejected: self.taken - self.included,
            elapsed,
            diff_length: length(diff),
            native: self.calls.native.into_inner(),
            vm: self.calls.vm.into_inner(),
        }
    }
}

fn run_concurrent(
    snapshot: Snapshot,
    block: &Block,
    chunks: &[Vec<Transaction>],
    pool: Arc<WorkerPool<CachedState<Snapshot>>>,
) -> Result<Ran, String> {
    let context = block.context.as_ref().clone();
    let wanted: usize = chunks.iter().map(Vec::len).sum();
    let begun = Instant::now();
    let mut executor = ConcurrentTransactionExecutor::start_block(snapshot, context, block.old_hash, pool, None)
        .map_err(|error| error.to_string())?;
    for chunk in chunks {
        executor.add_txs(chunk);
    }
    let mut outcomes = Outcomes::default();
    while outcomes.taken < wanted && !executor.is_done() {
        outcomes.take(executor.get_new_results());
        std::thread::sleep(Duration::from_millis(1));
    }
    let summary = executor.close_block(outcomes.taken).map_err(|error| error.to_string())?;
    Ok(outcomes.ran(begun.elapsed(), &summary.state_diff))
}

fn run_sequential(snapshot: Snapshot, block: &Block, chunks: &[Vec<Transaction>]) -> Result<Ran, String> {
    let context = block.context.as_ref().clone();
    let begun = Instant::now();
    let mut executor = TransactionExecutor::pre_process_and_create(
        snapshot,
        context,
        block.old_hash,
        TransactionExecutorConfig::default(),
    )
    .map_err(|error| error.to_string())?;
    let mut outcomes = Outcomes::default();
    for chunk in chunks {
        outcomes.take(executor.execute_txs(chunk, None));
    }
    let summary = executor.finalize().map_err(|error| error.to_string())?;
    Ok(outcomes.ran(begun.elapsed(), &summary.state_diff))
}

fn length(diff: &CommitmentStateDiff) -> usize {
    diff.storage_updates.values().map(indexmap_len).sum::<usize>()
        + diff.address_to_class_hash.len()
        + diff.address_to_nonce.len()
        + diff.class_hash_to_compiled_class_hash.len()
}

fn indexmap_len<K, V>(map: impl IntoIterator<Item = (K, V)>) -> usize {
    map.into_iter().count()
}
