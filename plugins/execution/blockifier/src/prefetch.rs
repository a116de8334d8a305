//! Prefetching: the state that transactions will need is read in one request to storage, before workers wait for each value of it.

use blockifier::fee::fee_utils::get_address_balance_keys;
use starknet_api::abi::abi_utils::selector_from_name;
use starknet_api::core::ContractAddress;
use starknet_types_core::felt::Felt;

use crate::state::{Keys, Snapshot};

/// The keys that a number of transactions will need.
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

    /// Adds the nonce, class and fee balance of a sender.
    pub fn account(&mut self, account: ContractAddress) {
        if self.snapshot.knows_account(&account) {
            return;
        }
        self.balance(self.fee_token, account);
        self.keys.nonces.push(account);
        self.contract(account);
    }

    /// Adds what the calls of an `__execute__` need. The calldata has the usual form (count, (to, selector, length, arguments)*), and the
    /// balances of a transfer are read where nearly all tokens have them.
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

    /// Adds the balance of an address.
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

    /// Reads it, and loads the classes of contracts that are called for the first time: otherwise a worker would parse them while
    /// it holds the state.
    pub fn read(mut self) {
        self.snapshot.prefetch(self.keys);
        self.contracts.sort_unstable();
        self.contracts.dedup();
        self.snapshot.load_classes(&self.contracts);
    }
}
