//! Validation of transactions at admission.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use blockifier::blockifier::stateful_validator::StatefulValidator;
use blockifier::bouncer::BouncerConfig;
use blockifier::context::BlockContext;
use blockifier::state::cached_state::CachedState;
use blockifier::state::errors::StateError;
use blockifier::state::state_api::StateReader;
use blockifier::transaction::transaction_execution::Transaction;
use ordo_sdk::v1;
use ordo_sdk::v1::{RejectionCode, TransactionType};
use starknet_api::core::{ClassHash, Nonce};
use starknet_types_core::felt::Felt;
use tokio::runtime::Handle;

use crate::build::Pool;
use crate::cancel::CancellationToken;
use crate::classes;
use crate::context::{Block, Chain};
use crate::felts::{self, wire};
use crate::prefetch::Prefetch;
use crate::rejection::Rejection;
use crate::results::bounded as shortened;
use crate::run::{bounded, caught, Interrupted, Limits};
use crate::simulate;
use crate::state::{Overlay, Snapshot};
use crate::threads::ProcessorTime;
use crate::transactions::{self, ClassInfos, Flags, NONCE_WINDOW};

/// The trial run of an INVOKE. It finds transactions that would delay a block, before they are in one.
pub struct Trial {
    /// The runtime whose timer ends a trial that takes more processor time than `time`.
    pub timer: Handle,
    pub time: Duration,
    /// Bytes that the process may hold.
    pub process: u64,
    /// It has the weights of kinds of transaction, which builds and trials share.
    pub pool: Arc<Pool>,
}

impl Trial {
    /// The L2 gas of the bounds from which a transaction is tried. With less it has no gas for enough large calls to fill the memory
    /// of a run.
    const FROM: u64 = 30_000_000;
    /// The time of a trial.
    pub const TIME: Duration = Duration::from_millis(10);
    /// The memory of a trial.
    const MEMORY: u64 = 64 << 20;

    /// Whether the whole run of an accepted item takes more time or memory than a trial has.
    fn is_heavy<S: StateReader + Clone>(&self, state: &S, block: &Block, item: &v1::validate_request::Item) -> bool {
        let Some(wire) = item.transaction.as_ref().filter(|wire| {
            let gas = wire.resource_bounds.as_ref().map_or(0, |bounds| bounds.l2_gas_amount);
            wire.r#type() == TransactionType::Invoke && gas >= Self::FROM && !item.skip_validate
        }) else {
            return false;
        };
        let flags = Flags { charge_fee: true, validate: true, strict_nonce: false };
        let Ok(run) = transactions::executable(wire, &ClassInfos::new(), flags) else { return false };
        let kind = self.pool.weights.kind(state, &run);
        if kind.as_ref().is_some_and(|kind| self.pool.weights.is_light(kind)) {
            return false;
        }
        let cancel = CancellationToken::default();
        let (late, time, used) = (cancel.clone(), self.time, ProcessorTime::of_this_thread());
        let timer = self.timer.spawn(async move {
            let mut left = time;
            while !left.is_zero() {
                tokio::time::sleep(left).await;
                left = time.saturating_sub(used.since());
            }
            late.cancel();
        });
        let limits = Limits { memory: Self::MEMORY, process: self.process };
        let ended = bounded(limits, Some(&cancel), || {
            caught(|| simulate::execute_on(&mut CachedState::new(state.clone()), &run, &block.context, false).is_ok())
        });
        timer.abort();
        if let (Ok(_), Some(kind)) = (&ended, &kind) {
            self.pool.weights.was_light(kind);
        }
        ended.is_err()
    }
}

/// The block of validation. It has no limits: the build finds whether a transaction fits into the block.
pub fn block(chain: &Chain, wire: &v1::BlockContext) -> felts::Result<Block> {
    let mut block = Block::new(chain, wire, BouncerConfig::max())?;
    // Validation runs no block, so it does not migrate the hashes of classes.
    let context = block.context.as_ref();
    let mut constants = context.versioned_constants().clone();
    constants.disable_casm_hash_migration();
    block.context = Arc::new(BlockContext::new(
        context.block_info().clone(),
        context.chain_info().clone(),
        constants,
        context.bouncer_config.clone(),
    ));
    Ok(block)
}

/// Whether some of these accounts are not in memory.
pub fn needs_prefetch(snapshot: &Snapshot, block: &Block, items: &[v1::validate_request::Item]) -> bool {
    senders(snapshot, block, items).is_needed()
}

/// Reads the accounts that are not in memory. A failure is ignored here: the read of the value reports it.
pub fn prefetch(snapshot: &Snapshot, block: &Block, items: &[v1::validate_request::Item]) {
    senders(snapshot, block, items).read();
}

fn senders<'a>(snapshot: &'a Snapshot, block: &Block, items: &[v1::validate_request::Item]) -> Prefetch<'a> {
    let mut wanted = Prefetch::new(snapshot, block.context.chain_info().fee_token_addresses.strk_fee_token_address);
    for transaction in items.iter().filter_map(|item| item.transaction.as_ref()) {
        if let Ok(sender) = transactions::address("sender", &transaction.sender) {
            wanted.account(sender);
        }
    }
    wanted
}

/// The state of validation: the open block when there is one and the request names it, or the tip.
#[derive(Clone)]
pub struct Base {
    pub tip: Snapshot,
    pub open: Option<Overlay>,
}

/// The verdict on one transaction. An error says that the state could not be read: then there is no verdict.
pub fn verdict(
    base: &Base,
    block: &Block,
    item: &v1::validate_request::Item,
    cancel: CancellationToken,
    limits: Limits,
    trial: Option<&Trial>,
) -> Result<v1::validate_response::Verdict, String> {
    let tip = base.tip.fresh(cancel.clone());
    let sender =
        item.transaction.as_ref().and_then(|transaction| transactions::address("sender", &transaction.sender).ok());
    let tip_nonce = sender.and_then(|sender| tip.get_nonce_at(sender).ok()).unwrap_or_default();
    let (checked, fault) = match &base.open {
        None => (run(&tip, tip_nonce, block, item, &cancel, limits, trial), tip.fault().map(String::from)),
        Some(open) => {
            let state = Overlay { under: open.under.fresh(cancel.clone()), ..open.clone() };
            let nonce = sender.and_then(|sender| state.get_nonce_at(sender).ok()).unwrap_or_default();
            let checked = run(&state, nonce, block, item, &cancel, limits, trial);
            (checked, state.under.fault().or(tip.fault()).map(String::from))
        }
    };
    if let Some(cause) = fault {
        return Err(cause);
    }
    let (code, reason, heavy) = match checked? {
        Checked::Rejected(rejection) => (rejection.code, shortened(&rejection.reason), false),
        Checked::Accepted { heavy } => (RejectionCode::Unspecified, String::new(), heavy),
    };
    Ok(v1::validate_response::Verdict { rejection: code.into(), reason, account_nonce: wire(&tip_nonce), heavy })
}

/// A verdict.
enum Checked {
    Accepted { heavy: bool },
    Rejected(Rejection),
}

/// Checks an item within limits.
fn run<S: StateReader + Clone>(
    state: &S,
    account_nonce: Nonce,
    block: &Block,
    item: &v1::validate_request::Item,
    cancel: &CancellationToken,
    limits: Limits,
    trial: Option<&Trial>,
) -> Result<Checked, String> {
    let checked = bounded(limits, Some(cancel), || caught(|| check(state, block, item, account_nonce)));
    Ok(match checked {
        Ok(Ok(Ok(()))) => Checked::Accepted { heavy: trial.is_some_and(|trial| trial.is_heavy(state, block, item)) },
        Ok(Ok(Err(rejection))) => Checked::Rejected(rejection),
        Ok(Err(panicked)) => Checked::Rejected(Rejection::panicked(&panicked.0)),
        Err(Interrupted::Cancelled) => return Err("it was cancelled".into()),
        Err(over) => Checked::Rejected(Rejection::new(RejectionCode::MemoryExceeded, format!("validation: {over}"))),
    })
}

fn check<S: StateReader + Clone>(
    state: &S,
    block: &Block,
    item: &v1::validate_request::Item,
    account_nonce: Nonce,
) -> Result<(), Rejection> {
    let Some(wire) = &item.transaction else {
        return Err(Rejection::new(RejectionCode::Other, "transaction: is missing"));
    };
    let kind = wire.r#type();
    if kind == TransactionType::L1Handler {
        return Err(Rejection::new(RejectionCode::Other, "an L1 handler transaction is not admitted from outside"));
    }
    let nonce = transactions::nonce(wire).map_err(|error| Rejection::new(RejectionCode::Other, error))?;
    check_nonce(kind, nonce, account_nonce)?;

    let mut infos = ClassInfos::new();
    if kind == TransactionType::Declare {
        let (hash, info) = match item.class.as_ref() {
            Some(class) => classes::declared(class).map(|(hash, info, _)| (hash, info)),
            None => classes::stand_in(wire),
        }
        .map_err(|error| Rejection::new(RejectionCode::CompilationFailed, error))?;
        infos = HashMap::from([(hash, info)]);
    }
    // The deployment for which the caller still waits may have run in the open block.
    let deployed = || {
        let sender = transactions::address("sender", &wire.sender).ok()?;
        state.get_class_hash_at(sender).ok().filter(|class| *class != ClassHash::default())
    };
    let flags = Flags {
        charge_fee: true,
        validate: !item.skip_validate || deployed().is_some(),
        strict_nonce: kind != TransactionType::Invoke,
    };
    let run = transactions::executable(wire, &infos, flags).map_err(|error| Rejection::from(&error))?;
    let Transaction::Account(account) = run else {
        return Err(Rejection::new(RejectionCode::Other, "not a transaction of an account"));
    };
    StatefulValidator::create(CachedState::new(state.clone()), block.context.as_ref().clone())
        .perform_validations(account)
        .map_err(|error| Rejection::from(&error))
        .or_else(|rejection| match rejection.code {
            // This is the last of all checks, and the stand-in fails it always.
            RejectionCode::CompiledClassHashMismatch if kind == TransactionType::Declare && item.class.is_none() => {
                check_undeclared(state, wire)
            }
            _ => Err(rejection),
        })
}

fn check_undeclared<S: StateReader>(state: &S, wire: &v1::Transaction) -> Result<(), Rejection> {
    let hash =
        felts::felt("class_hash", &wire.class_hash).map_err(|error| Rejection::new(RejectionCode::Other, error))?;
    match state.get_compiled_class(ClassHash(hash)) {
        Err(StateError::UndeclaredClassHash(_)) => Ok(()),
        Ok(_) => {
            Err(Rejection::new(RejectionCode::ClassAlreadyDeclared, format!("class {hash:#x} is declared already")))
        }
        Err(error) => Err(Rejection::new(RejectionCode::Other, error)),
    }
}

fn check_nonce(kind: TransactionType, nonce: Nonce, account: Nonce) -> Result<(), Rejection> {
    let reject = |wanted: &str| {
        Err(Rejection::new(
            RejectionCode::InvalidNonce,
            format!("invalid transaction nonce: account nonce {:#x}, got {:#x}; {wanted}", account.0, nonce.0),
        ))
    };
    match kind {
        TransactionType::Invoke if nonce < account || nonce.0 > account.0 + Felt::from(NONCE_WINDOW) => {
            reject("an INVOKE may be up to 200 ahead")
        }
        TransactionType::Declare if nonce != account => reject("a DECLARE must have it exactly"),
        TransactionType::DeployAccount if nonce.0 != Felt::ZERO || account.0 != Felt::ZERO => {
            reject("a DEPLOY_ACCOUNT has nonce 0 and a new address")
        }
        _ => Ok(()),
    }
}
