//! Weights: the kinds of transaction that ran light so far. Only others are tried at admission.
//!
//! A kind is the class of the account with the functions that its calls name: their classes and selectors. A transaction that turns out to be
//! heavy in a block, although its kind was light, takes that away from all kinds with one of these contracts: a class that holds up
//! a block does so once.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use blockifier::state::state_api::StateReader;
use blockifier::transaction::account_transaction::AccountTransaction;
use blockifier::transaction::transaction_execution::Transaction;
use starknet_api::core::{ClassHash, ContractAddress};
use starknet_api::executable_transaction::AccountTransaction as Executable;

/// How many kinds and classes are kept. Beyond that all are dropped, and tried again.
const MAX_KEPT: usize = 1 << 16;

/// The weights, shared by admission and builds.
#[derive(Default)]
pub struct Weights {
    /// The hasher of kinds. Its keys are random, so no sender can make two kinds with the same number.
    hasher: RandomState,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    light: HashSet<u64>,
    heavy: HashSet<ClassHash>,
}

/// The kind of a transaction.
pub struct Kind {
    number: u64,
    called: Vec<ClassHash>,
}

impl Weights {
    /// The kind of an INVOKE. Other transactions have none, nor has calldata that is not the usual list of calls.
    pub fn kind(&self, state: &impl StateReader, run: &Transaction) -> Option<Kind> {
        let Transaction::Account(AccountTransaction { tx: Executable::Invoke(invoke), .. }) = run else { return None };
        let calldata = invoke.calldata();
        let (count, mut rest) = calldata.0.split_first()?;
        let mut called = Vec::new();
        while let [to, selector, length, after @ ..] = rest {
            rest = after.get(usize::try_from(*length).ok()?..)?;
            called.push((state.get_class_hash_at(ContractAddress::try_from(*to).ok()?).ok()?, *selector));
        }
        if !rest.is_empty() || usize::try_from(*count).ok()? != called.len() {
            return None;
        }
        called.sort_unstable();
        called.dedup();
        let account = state.get_class_hash_at(invoke.sender_address()).ok()?;
        let number = self.hasher.hash_one((account, &called));
        Some(Kind { number, called: called.into_iter().map(|(class, _)| class).collect() })
    }

    /// Whether a kind ran light, and none of its classes was heavy in a block.
    pub fn is_light(&self, kind: &Kind) -> bool {
        let known = self.known();
        known.light.contains(&kind.number) && !kind.called.iter().any(|class| known.heavy.contains(class))
    }

    /// Records that a trial of this kind ended within its limits.
    pub fn was_light(&self, kind: &Kind) {
        let light = &mut self.known().light;
        if light.len() >= MAX_KEPT {
            light.clear();
        }
        light.insert(kind.number);
    }

    /// Records that a transaction of this kind was rejected in a block for the memory that it held.
    pub fn was_heavy(&self, kind: &Kind) {
        let known = &mut *self.known();
        known.light.remove(&kind.number);
        if known.heavy.len() >= MAX_KEPT {
            known.heavy.clear();
        }
        known.heavy.extend(&kind.called);
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
