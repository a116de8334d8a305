//! Simulations: transactions that run for their answer only. They serve estimates, traces, and replays of a real block.

use std::collections::HashMap;

use blockifier::fee::fee_utils::get_fee_by_gas_vector;
use blockifier::fee::gas_usage::estimate_minimal_gas_vector;
use blockifier::state::cached_state::{CachedState, StateMaps, TransactionalState};
use blockifier::state::state_api::{StateReader, UpdatableState};
use blockifier::transaction::errors::TransactionExecutionError;
use blockifier::transaction::objects::{RevertError, TransactionExecutionInfo};
use blockifier::transaction::transaction_execution::Transaction;
use blockifier::transaction::transactions::ExecutableTransaction;
use ordo_sdk::v1;
use ordo_sdk::v1::view_error::Code;
use ordo_sdk::v1::{TransactionType, ViewError};
use starknet_api::block::FeeType;
use starknet_api::core::ClassHash;
use starknet_api::execution_resources::{GasAmount, GasVector};
use starknet_api::transaction::fields::{Fee, GasVectorComputationMode, Tip};
use starknet_types_core::felt::Felt;

use crate::cancel::CancellationToken;
use crate::classes;
use crate::context::Block;
use crate::diff;
use crate::felts::from_amount;
use crate::results;
use crate::run::caught;
use crate::trace::trace;
use crate::transactions::{self, ClassInfos, Flags, NONCE_WINDOW};
use crate::view_error::{contract_error, error};

/// The search for an L2 gas bound ends when its interval is as small as this.
const SEARCH_MARGIN: u64 = 1_000_000;

/// The outcome of one transaction.
pub struct Ran {
    info: TransactionExecutionInfo,
    changes: StateMaps,
    reads: StateMaps,
}

/// Runs the transactions of a simulation one after the other, each on the state after those before it.
pub fn run<S: StateReader>(
    state: &mut CachedState<S>,
    block: &Block,
    wanted: &v1::Simulation,
    cancel: &CancellationToken,
) -> Result<v1::SimulationResults, ViewError> {
    let mut infos: ClassInfos = HashMap::new();
    for class in &wanted.classes {
        let (hash, info, _) =
            classes::declared(class).map_err(|cause| error(Code::ExecutionError, 0, cause.to_string()))?;
        infos.insert(hash, info);
    }
    let simulation = Simulation { block, wanted, infos: &infos, cancel };
    let (mut results, mut reads, mut written) = (Vec::new(), StateMaps::default(), StateMaps::default());
    for (index, transaction) in wanted.transactions.iter().enumerate() {
        simulation.raise_nonce(state, transaction, &mut reads, &written);
        let (ran, estimated) = simulation.one(state, index, transaction)?;
        diff::merge_reads(&mut reads, &ran.reads, &written);
        let traced = wanted.trace && index >= wanted.trace_from as usize;
        results.push(simulation.result(transaction, &ran, estimated, traced));
        written.extend(&ran.changes);
    }
    Ok(v1::SimulationResults {
        transactions: results,
        initial_reads: wanted.initial_reads.then(|| diff::reads_to_wire(&reads)),
    })
}

struct Simulation<'a> {
    block: &'a Block,
    wanted: &'a v1::Simulation,
    infos: &'a ClassInfos,
    cancel: &'a CancellationToken,
}

impl Simulation<'_> {
    /// Sets the nonce of an account to that of its first transaction in the list, when that one is ahead by no more than admission
    /// allows. Clients that send several transactions at once sign them with the nonces that they will have, and estimate each at
    /// `latest`, where those before it have not run. The further transactions of the account must follow without a gap, so a list
    /// that cannot run is still rejected.
    fn raise_nonce<S: StateReader>(
        &self,
        state: &mut CachedState<S>,
        wire: &v1::Transaction,
        reads: &mut StateMaps,
        written: &StateMaps,
    ) {
        if self.wanted.replay || !matches!(wire.r#type(), TransactionType::Invoke | TransactionType::Declare) {
            return;
        }
        // A field that cannot be read is rejected, with the reason, when the transaction runs.
        let (Ok(account), Ok(nonce)) = (transactions::address("sender", &wire.sender), transactions::nonce(wire))
        else {
            return;
        };
        let Ok(current) = state.get_nonce_at(account) else { return };
        if written.nonces.contains_key(&account) || nonce <= current || nonce.0 > current.0 + Felt::from(NONCE_WINDOW) {
            return;
        }
        reads.nonces.entry(account).or_insert(current); // the run reads the raised one
        let raised = StateMaps { nonces: HashMap::from([(account, nonce)]), ..StateMaps::default() };
        state.apply_writes(&raised, &HashMap::new());
    }

    /// Runs one transaction and keeps what it wrote. The second value is the gas of the estimate.
    fn one<S: StateReader>(
        &self,
        state: &mut CachedState<S>,
        index: usize,
        wire: &v1::Transaction,
    ) -> Result<(Ran, Option<GasVector>), ViewError> {
        if !self.wanted.estimate {
            let ran = self.execute(state, index, &self.bounded(wire), self.flags(), true)?;
            return Ok((ran, None));
        }
        if wire.r#type() == TransactionType::L1Handler {
            let ran = self.execute(state, index, &paid(wire), self.flags(), true)?;
            self.reject_revert(index, &ran)?;
            let gas = ran.info.receipt.gas;
            return Ok((ran, Some(gas)));
        }
        let (ran, gas) = self.estimate(state, index, wire)?;
        Ok((ran, Some(gas)))
    }

    fn flags(&self) -> Flags {
        if self.wanted.replay {
            return Flags::default();
        }
        Flags {
            charge_fee: !self.wanted.skip_fee_charge && !self.wanted.estimate,
            validate: !self.wanted.skip_validate,
            strict_nonce: true,
        }
    }

    fn highest_bound(&self) -> u64 {
        let constants = &self.block.context.versioned_constants().os_constants;
        constants.execute_max_sierra_gas.0 + constants.validate_max_sierra_gas.0
    }

    /// The transaction with bounds that let it run. Without a fee the bounds have no effect but for the L2 amount, which is the gas
    /// that the code begins with, and clients that skip the fee send zero.
    fn bounded(&self, wire: &v1::Transaction) -> v1::Transaction {
        let unbounded = wire.resource_bounds.as_ref().is_none_or(|bounds| bounds.l2_gas_amount == 0);
        if !self.wanted.replay && self.wanted.skip_fee_charge && unbounded {
            return with_l2_bound(wire, self.highest_bound());
        }
        if wire.r#type() == TransactionType::L1Handler && !self.wanted.replay {
            return paid(wire);
        }
        wire.clone()
    }

    fn execute<S: StateReader>(
        &self,
        state: &mut CachedState<S>,
        index: usize,
        wire: &v1::Transaction,
        flags: Flags,
        keep: bool,
    ) -> Result<Ran, ViewError> {
        if self.cancel.is_cancelled() {
            return Err(error(Code::Timeout, index, "given up"));
        }
        let run = transactions::executable(wire, self.infos, flags).map_err(|cause| {
            let code = match cause {
                transactions::Unusable::ClassMissing(_) => Code::ClassNotFound,
                transactions::Unusable::Malformed(_) => Code::ExecutionError,
            };
            error(code, index, cause.to_string())
        })?;
        caught(|| self.execute_on(state, &run, keep))
            .map_err(|panicked| {
                error(Code::ExecutionError, index, format!("the virtual machine panicked: {}", panicked.0))
            })?
            .map_err(|cause| failed(index, &cause))
    }

    fn execute_on<S: StateReader>(
        &self,
        state: &mut CachedState<S>,
        run: &Transaction,
        keep: bool,
    ) -> Result<Ran, TransactionExecutionError> {
        execute_on(state, run, &self.block.context, keep)
    }

    fn reject_revert(&self, index: usize, ran: &Ran) -> Result<(), ViewError> {
        match &ran.info.revert_error {
            None => Ok(()),
            Some(RevertError::Execution(stack)) => {
                let error = Some(contract_error(stack));
                Err(ViewError { code: Code::ExecutionError.into(), index: index as u32, error })
            }
            Some(other) => Err(error(Code::ExecutionError, index, other.to_string())),
        }
    }

    /// The gas that a transaction needs. Usually that is what it uses when it has plenty. A contract that reads the gas it has left may
    /// need more: then the lowest sufficient bound is searched.
    fn estimate<S: StateReader>(
        &self,
        state: &mut CachedState<S>,
        index: usize,
        wire: &v1::Transaction,
    ) -> Result<(Ran, GasVector), ViewError> {
        let highest = self.highest_bound();
        let mut bound = highest;
        let ran = self.execute(state, index, &with_l2_bound(wire, highest), self.flags(), false)?;
        self.reject_revert(index, &ran)?;
        let mut gas = ran.info.receipt.gas;
        let used = gas.l2_gas.0;

        let mut suffices = |bound: u64| -> Result<bool, ViewError> {
            match self.execute(state, index, &with_l2_bound(wire, bound), self.flags(), false) {
                Ok(ran) => Ok(!ran.info.is_reverted()),
                Err(error) if error.code() == Code::Timeout => Err(error),
                Err(_) => Ok(false),
            }
        };
        let roomy = used + used / 10;
        if roomy < highest {
            if suffices(roomy)? {
                bound = roomy;
            } else {
                let (mut low, mut high) = (roomy, highest);
                while high - low > SEARCH_MARGIN {
                    let middle = low + (high - low) / 2;
                    if suffices(middle)? {
                        high = middle;
                    } else {
                        low = middle;
                    }
                }
                bound = high;
                gas.l2_gas = GasAmount(high);
            }
        }
        let ran = self.execute(state, index, &with_l2_bound(wire, bound), self.flags(), true)?;
        self.reject_revert(index, &ran)?;

        // Admission rejects less than this, whatever the transaction uses.
        if let Ok(Transaction::Account(account)) = transactions::executable(wire, self.infos, self.flags()) {
            let least = estimate_minimal_gas_vector(&self.block.context, &account, &GasVectorComputationMode::All);
            gas.l1_gas = gas.l1_gas.max(least.l1_gas);
            gas.l1_data_gas = gas.l1_data_gas.max(least.l1_data_gas);
            gas.l2_gas = gas.l2_gas.max(least.l2_gas);
        }
        Ok((ran, gas))
    }

    fn result(
        &self,
        wire: &v1::Transaction,
        ran: &Ran,
        estimated: Option<GasVector>,
        traced: bool,
    ) -> v1::SimulatedTransaction {
        let constants = self.block.context.versioned_constants();
        let was_deployed =
            |address: &_| ran.reads.class_hashes.get(address).is_some_and(|class| *class != ClassHash::default());
        v1::SimulatedTransaction {
            fee: Some(self.fee(wire, ran, estimated)),
            trace: traced
                .then(|| trace(wire.r#type(), &ran.info, constants, diff::to_wire(&ran.changes, was_deployed))),
            result: Some(results::included(wire.hash.clone(), &ran.info)),
        }
    }

    fn fee(&self, wire: &v1::Transaction, ran: &Ran, estimated: Option<GasVector>) -> v1::FeeEstimate {
        let wei = wire.r#type() == TransactionType::L1Handler;
        let kind = if wei { FeeType::Eth } else { FeeType::Strk };
        let info = self.block.context.block_info();
        let prices = info.gas_prices.gas_price_vector(&kind);
        let gas = estimated.unwrap_or(ran.info.receipt.gas);
        // A simulation that charged has the fee that was charged. After a revert over the bounds it is less than the gas costs.
        let overall = match estimated {
            None if ran.info.receipt.fee != Fee(0) => ran.info.receipt.fee,
            _ => get_fee_by_gas_vector(info, gas, &kind, Tip(wire.tip)),
        };
        v1::FeeEstimate {
            gas: Some(results::gas(&gas)),
            l1_gas_price: from_amount(prices.l1_gas_price.get().0),
            l1_data_gas_price: from_amount(prices.l1_data_gas_price.get().0),
            l2_gas_price: from_amount(prices.l2_gas_price.get().0),
            overall_fee: from_amount(overall.0),
            wei,
        }
    }
}

/// Runs one transaction on a state. Its changes stay there if `keep` is set.
pub fn execute_on<U: UpdatableState>(
    state: &mut U,
    run: &Transaction,
    context: &blockifier::context::BlockContext,
    keep: bool,
) -> Result<Ran, TransactionExecutionError> {
    let mut layer = TransactionalState::create_transactional(state);
    let info = run.execute_raw(&mut layer, context, false)?;
    let changes = layer.to_state_diff()?.state_maps;
    let reads = layer.get_initial_reads()?;
    if keep {
        layer.commit();
    }
    Ok(Ran { info, changes, reads })
}

/// The error of a transaction that cannot run.
fn failed(index: usize, cause: &TransactionExecutionError) -> ViewError {
    let stack = blockifier::execution::stack_trace::gen_tx_execution_error_trace(cause);
    let mut error = contract_error(&stack);
    if error.frames.is_empty() {
        error.message = cause.to_string();
    }
    ViewError { code: Code::ExecutionError.into(), index: index as u32, error: Some(error) }
}

fn with_l2_bound(wire: &v1::Transaction, amount: u64) -> v1::Transaction {
    let mut wire = wire.clone();
    wire.resource_bounds.get_or_insert_default().l2_gas_amount = amount;
    wire
}

/// A message with a fee paid on L1. blockifier rejects one that paid nothing, and an estimate comes before the payment.
fn paid(wire: &v1::Transaction) -> v1::Transaction {
    let mut wire = wire.clone();
    if wire.paid_fee_on_l1.iter().all(|byte| *byte == 0) {
        wire.paid_fee_on_l1 = from_amount(1);
    }
    wire
}
