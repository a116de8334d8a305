//! Admission: may this transaction go into the pool?

use std::collections::HashMap;
use std::sync::Arc;

use blockifier::blockifier::stateful_validator::StatefulValidator;
use blockifier::bouncer::BouncerConfig;
use blockifier::context::BlockContext;
use blockifier::state::cached_state::CachedState;
use blockifier::state::state_api::StateReader;
use blockifier::transaction::transaction_execution::Transaction;
use ordo_sdk::v1;
use ordo_sdk::v1::{Refusal, TransactionType};
use starknet_api::core::Nonce;
use starknet_types_core::felt::Felt;

use crate::classes;
use crate::context::{Block, Chain};
use crate::felts::{self, wire};
use crate::prefetch::Prefetch;
use crate::refusal::Refused;
use crate::results::bounded;
use crate::state::Snapshot;
use crate::stop::Stop;
use crate::threads::caught;
use crate::transactions::{self, ClassInfos, Flags};

/// How far an INVOKE may run ahead of its account.
const NONCE_WINDOW: u64 = 200;

/// The block that validation sees. Its limits never refuse: whether a transaction fits is found when it is built in.
pub fn block(chain: &Chain, wire: &v1::BlockContext) -> felts::Result<Block> {
    let mut block = Block::new(chain, wire, BouncerConfig::max())?;
    // Validation runs no block: hashes that a first use would migrate are no concern of it.
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

/// Whether memory lacks some of these accounts.
pub fn is_news(snapshot: &Snapshot, block: &Block, items: &[v1::validate_request::Item]) -> bool {
    senders(snapshot, block, items).is_needed()
}

/// Brings the accounts that memory lacks. What fails here fails again, with its cause, when it is read.
pub fn bring(snapshot: &Snapshot, block: &Block, items: &[v1::validate_request::Item]) {
    senders(snapshot, block, items).bring();
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

/// One verdict. An error says that the state could not be read, which is no verdict.
pub fn verdict(
    snapshot: &Snapshot,
    block: &Block,
    item: &v1::validate_request::Item,
    stop: Stop,
) -> Result<v1::validate_response::Verdict, String> {
    let snapshot = snapshot.fresh(stop);
    let account_nonce = item
        .transaction
        .as_ref()
        .and_then(|transaction| transactions::address("sender", &transaction.sender).ok())
        .and_then(|sender| snapshot.get_nonce_at(sender).ok())
        .unwrap_or_default();
    let refused = caught(|| check(&snapshot, block, item, account_nonce))
        .unwrap_or_else(|panicked| Err(Refused::panicked(&panicked.0)))
        .err();
    if let Some(cause) = snapshot.fault() {
        return Err(cause.into());
    }
    let (refusal, reason) = match refused {
        Some(refused) => (refused.code, bounded(&refused.reason)),
        None => (Refusal::Unspecified, String::new()),
    };
    Ok(v1::validate_response::Verdict { refusal: refusal.into(), reason, account_nonce: wire(&account_nonce) })
}

fn check(
    snapshot: &Snapshot,
    block: &Block,
    item: &v1::validate_request::Item,
    account_nonce: Nonce,
) -> Result<(), Refused> {
    let Some(wire) = &item.transaction else {
        return Err(Refused::new(Refusal::Other, "transaction: is missing"));
    };
    let kind = wire.r#type();
    if kind == TransactionType::L1Handler {
        return Err(Refused::new(Refusal::Other, "an L1 handler transaction is not admitted from outside"));
    }
    let nonce = transactions::nonce(wire).map_err(|error| Refused::new(Refusal::Other, error))?;
    check_nonce(kind, nonce, account_nonce)?;

    let mut infos = ClassInfos::new();
    if let Some(class) = item.class.as_ref().filter(|_| kind == TransactionType::Declare) {
        let (hash, info, _) =
            classes::declared(class).map_err(|error| Refused::new(Refusal::CompilationFailed, error))?;
        infos = HashMap::from([(hash, info)]);
    }
    let flags =
        Flags { charge_fee: true, validate: !item.skip_validate, strict_nonce: kind != TransactionType::Invoke };
    let run = transactions::executable(wire, &infos, flags).map_err(|error| Refused::from(&error))?;
    let Transaction::Account(account) = run else {
        return Err(Refused::new(Refusal::Other, "not a transaction of an account"));
    };
    let state = CachedState::new(snapshot.clone());
    StatefulValidator::create(state, block.context.as_ref().clone())
        .perform_validations(account)
        .map_err(|error| Refused::from(&error))
}

fn check_nonce(kind: TransactionType, nonce: Nonce, account: Nonce) -> Result<(), Refused> {
    let refuse = |wanted: &str| {
        Err(Refused::new(
            Refusal::InvalidNonce,
            format!("invalid transaction nonce: account nonce {:#x}, got {:#x}; {wanted}", account.0, nonce.0),
        ))
    };
    match kind {
        TransactionType::Invoke if nonce < account || nonce.0 > account.0 + Felt::from(NONCE_WINDOW) => {
            refuse("an INVOKE may be up to 200 ahead")
        }
        TransactionType::Declare if nonce != account => refuse("a DECLARE must have it exactly"),
        TransactionType::DeployAccount if nonce.0 != Felt::ZERO || account.0 != Felt::ZERO => {
            refuse("a DEPLOY_ACCOUNT has nonce 0 and a new address")
        }
        _ => Ok(()),
    }
}
