//! State that transactions are going to read, brought in one request to storage before a worker stops over each piece of it.

use blockifier::fee::fee_utils::get_address_balance_keys;
use starknet_api::abi::abi_utils::selector_from_name;
use starknet_api::core::ContractAddress;
use starknet_types_core::felt::Felt;

use crate::state::{Keys, Snapshot};

/// What is looked for, collected over a number of transactions.
pub struct Prefetch<'a> {
    snapshot: &'a Snapshot,
    fee_token: ContractAddress,
    transfer: Felt,
    keys: Keys,
    contracts: Vec<ContractAddress>,
}

impl<'a> Prefetch<'a> {
    pub fn new(snapshot: &'a Snapshot, fee_token: ContractAddress) -> Self {
        let transfer = selector_from_name("transfer").0;
        Self { snapshot, fee_token, transfer, keys: Keys::default(), contracts: Vec::new() }
    }

    /// Nonce, class and fee balance of a sender.
    pub fn account(&mut self, account: ContractAddress) {
        if self.snapshot.knows_account(&account) {
            return;
        }
        self.balance(self.fee_token, account);
        self.keys.nonces.push(account);
        self.contract(account);
    }

    /// What the calls of an `__execute__` with the usual calldata need: (count, (to, selector, length, arguments)*). Balances
    /// of a transfer lie where nearly all tokens have them; elsewhere they are read for nothing.
    pub fn calls(&mut self, sender: ContractAddress, calldata: &[Felt]) {
        let mut rest = calldata.get(1..).unwrap_or_default();
        while let [to, selector, length, after @ ..] = rest {
            let (Ok(to), Ok(length)) = (ContractAddress::try_from(*to), usize::try_from(*length)) else { return };
            let Some((arguments, next)) = after.split_at_checked(length) else { return };
            rest = next;
            if !self.snapshot.knows_contract(&to) {
                self.contract(to);
            }
            if *selector != self.transfer {
                continue;
            }
            if let Some(Ok(recipient)) = arguments.first().map(|recipient| ContractAddress::try_from(*recipient)) {
                self.balance(to, recipient);
                self.balance(to, sender);
            }
        }
    }

    pub fn balance(&mut self, token: ContractAddress, of: ContractAddress) {
        let (low, high) = get_address_balance_keys(of);
        if !self.snapshot.knows_storage(&token, &low) {
            self.keys.storage.extend([(token, low), (token, high)]);
        }
    }

    fn contract(&mut self, contract: ContractAddress) {
        self.keys.class_hashes.push(contract);
        self.contracts.push(contract);
    }

    /// Whether anything is missing.
    pub fn is_needed(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Brings it, and the classes of contracts that nobody called yet, so that no worker has to parse one while it holds the state.
    pub fn bring(mut self) {
        self.snapshot.prefetch(self.keys);
        self.contracts.sort_unstable();
        self.contracts.dedup();
        self.snapshot.load_classes(&self.contracts);
    }
}
