//! What enters a build: transactions and the classes that they declare.

use std::sync::Arc;

use blockifier::transaction::account_transaction::AccountTransaction;
use blockifier::transaction::transaction_execution::Transaction;
use ordo_sdk::v1;
use starknet_api::executable_transaction::AccountTransaction as Executable;

use super::{Build, Slot};
use crate::classes;
use crate::prefetch::Prefetch;
use crate::rejection::Rejection;
use crate::transactions::{self, Flags};

impl Build {
    /// Adds transactions behind those that are there. A full block takes none.
    pub fn add(&mut self, add: v1::build_request::Add) {
        if self.full.is_some() {
            return; // the core has them in the next block
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
                Err(rejection) => self.slots.push(Slot::Rejected(hash, rejection)),
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

    fn executable(&self, wire: &v1::Transaction) -> Result<Transaction, Rejection> {
        // The query version is for simulations. Such a transaction would have another hash in a block.
        if wire.query_only {
            return Err(Rejection::new(v1::RejectionCode::Other, "a query-only transaction cannot be in a block"));
        }
        transactions::executable(wire, &self.class_infos, Flags::default()).map_err(|error| match &error {
            transactions::Unusable::ClassMissing(hash) => match self.broken_classes.get(hash) {
                Some(cause) => Rejection::new(v1::RejectionCode::CompilationFailed, cause),
                None => Rejection::from(&error),
            },
            _ => Rejection::from(&error),
        })
    }

    /// Reads from storage, in one request, what the transactions from index `from` on will need.
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
            wanted.read();
        }
    }
}
