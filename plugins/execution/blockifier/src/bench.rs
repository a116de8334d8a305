//! The bare crate on a recorded block: blockifier's own concurrent executor over the same state in memory, without
//! gRPC, streams, or results on a wire. What the plugin reaches is measured against this.
//!
//! The file holds length-delimited messages: one `ApplyRequest` (height, state_diff, classes), then the
//! `BuildRequest`s of a stream (`Open`, `Add`*, `Close`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use blockifier::blockifier::concurrent_transaction_executor::ConcurrentTransactionExecutor;
use blockifier::blockifier::config::{TransactionExecutorConfig, WorkerPoolConfig};
use blockifier::blockifier::transaction_executor::TransactionExecutor;
use blockifier::concurrency::worker_pool::WorkerPool;
use blockifier::transaction::transaction_execution::Transaction;
use bytes::{Buf, Bytes};
use ordo_sdk::prost::Message;
use ordo_sdk::v1;
use ordo_sdk::v1::build_request::{Open, Step};
use serde_json::json;

use crate::classes;
use crate::config::{cores, Config};
use crate::context::{Block, Chain};
use crate::diff;
use crate::state::{Limits, Snapshot, Tip};
use crate::threads::STACK;
use crate::transactions::{executable, ClassInfos, Flags};

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
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or(format!("{argument}: a value is missing"));
        match argument.as_str() {
            "--workers" => workers = value()?.parse().map_err(|_| "--workers: not a number".to_string())?,
            "--executor" => sequential = value()? == "sequential",
            "--chain-id" => chain_id = value()?.clone(),
            flag if flag.starts_with("--") => return Err(format!("{flag}: unknown flag")),
            path => file = Some(path.to_string()),
        }
    }
    let file = file.ok_or("bench: a file is missing")?;
    let bytes = std::fs::read(&file).map_err(|error| format!("{file}: {error}"))?;
    let recorded = read(Bytes::from(bytes)).map_err(|error| format!("{file}: {error}"))?;
    let chain = Chain::new(&v1::Chain { chain_id, ..Default::default() }).map_err(|error| error.to_string())?;
    let workers = workers.max(1);
    let ran = run(&recorded, &chain, workers, sequential)?;
    println!(
        "{}",
        json!({
            "tx": ran.included,
            "rejected": ran.rejected,
            "seconds": ran.elapsed.as_secs_f64(),
            "workers": if sequential { 1 } else { workers },
            "executor": if sequential { "sequential" } else { "concurrent" },
            "state_diff_length": ran.diff_length,
        })
    );
    Ok(())
}

pub struct Ran {
    pub included: usize,
    pub rejected: usize,
    pub elapsed: Duration,
    pub diff_length: usize,
}

/// Prepares everything, then measures from the start of the block to its close.
pub fn run(recorded: &Recorded, chain: &Chain, workers: usize, sequential: bool) -> Result<Ran, String> {
    let text = |error: crate::felts::Malformed| error.to_string();
    let tip = Tip::new(Limits { cells: usize::MAX / 4, classes: usize::MAX }, None);
    let changes =
        diff::from_wire(recorded.apply.state_diff.as_ref().unwrap_or(&v1::StateDiff::default())).map_err(text)?;
    let declared = recorded
        .apply
        .classes
        .iter()
        .map(|class| Ok((classes::hash(class)?, classes::load(class)?)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(text)?;
    tip.begin_with(recorded.apply.height, &changes, declared);
    let snapshot = tip.snapshot().ok_or("no tip")?;

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
    if sequential {
        // The virtual machine wants a deep stack.
        return std::thread::scope(|scope| {
            std::thread::Builder::new()
                .stack_size(STACK)
                .spawn_scoped(scope, || run_sequential(snapshot, &block, &chunks))
                .map_err(|error| format!("thread: {error}"))?
                .join()
                .map_err(|_| "the virtual machine panicked".to_string())?
        });
    }
    run_concurrent(snapshot, &block, &chunks, workers)
}

fn run_concurrent(
    snapshot: Snapshot,
    block: &Block,
    chunks: &[Vec<Transaction>],
    workers: usize,
) -> Result<Ran, String> {
    let pool = Arc::new(WorkerPool::start(&WorkerPoolConfig { n_workers: workers, stack_size: STACK }));
    let context = block.context.as_ref().clone();
    let wanted: usize = chunks.iter().map(Vec::len).sum();
    let begun = Instant::now();
    let mut executor =
        ConcurrentTransactionExecutor::start_block(snapshot, context, block.old_hash, pool.clone(), None)
            .map_err(|error| error.to_string())?;
    for chunk in chunks {
        executor.add_txs(chunk);
    }
    let (mut taken, mut included) = (0, 0);
    while taken < wanted && !executor.is_done() {
        let outcomes = executor.get_new_results();
        taken += outcomes.len();
        included += outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        std::thread::sleep(Duration::from_millis(1));
    }
    let summary = executor.close_block(taken).map_err(|error| error.to_string())?;
    let elapsed = begun.elapsed();
    drop(executor);
    if let Some(pool) = Arc::into_inner(pool) {
        pool.join();
    }
    let diff_length = length(&summary.state_diff);
    Ok(Ran { included, rejected: taken - included, elapsed, diff_length })
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
    let (mut taken, mut included) = (0, 0);
    for chunk in chunks {
        let outcomes = executor.execute_txs(chunk, None);
        taken += outcomes.len();
        included += outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    }
    let summary = executor.finalize().map_err(|error| error.to_string())?;
    let diff_length = length(&summary.state_diff);
    Ok(Ran { included, rejected: taken - included, elapsed: begun.elapsed(), diff_length })
}

fn length(diff: &blockifier::state::cached_state::CommitmentStateDiff) -> usize {
    diff.storage_updates.values().map(indexmap_len).sum::<usize>()
        + diff.address_to_class_hash.len()
        + diff.address_to_nonce.len()
        + diff.class_hash_to_compiled_class_hash.len()
}

fn indexmap_len<K, V>(map: impl IntoIterator<Item = (K, V)>) -> usize {
    map.into_iter().count()
}
