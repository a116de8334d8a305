//! Views: calls and simulations, on the state that the request names.

use std::sync::Arc;

use blockifier::bouncer::BouncerConfig;
use blockifier::context::{BlockContext, TransactionContext};
use blockifier::execution::call_info::CallInfo;
use blockifier::execution::common_hints::ExecutionMode;
use blockifier::execution::contract_class::RunnableCompiledClass;
use blockifier::execution::entry_point::{
    CallEntryPoint, CallType, EntryPointExecutionContext, SierraGasRevertTracker,
};
use blockifier::execution::errors::{AnnotatedEntryPointExecutionError, EntryPointExecutionError, PreExecutionError};
use blockifier::execution::stack_trace::{
    extract_trailing_cairo1_revert_trace, gen_tx_execution_error_trace, Cairo1RevertHeader,
};
use blockifier::state::cached_state::{CachedState, TransactionalState};
use blockifier::state::state_api::State;
use blockifier::transaction::errors::TransactionExecutionError;
use blockifier::transaction::objects::TransactionInfo;
use ordo_sdk::prost::Message;
use ordo_sdk::v1;
use ordo_sdk::v1::state_at;
use ordo_sdk::v1::view_error::Code;
use ordo_sdk::v1::view_request::View;
use ordo_sdk::v1::view_response::Result as Answer;
use starknet_api::contract_class::EntryPointType;
use starknet_api::core::{ClassHash, ContractAddress, EntryPointSelector};
use starknet_api::execution_utils::format_panic_data;
use starknet_api::transaction::fields::Calldata;
use starknet_types_core::felt::Felt;
use tonic::Status;

use crate::cancel::CancellationToken;
use crate::context::{Block, Chain};
use crate::felts::{self, wire, wire_list};
use crate::run::{bounded, caught, Interrupted, Limits};
use crate::simulate;
use crate::state::{Historical, Overlay, ReadError, Snapshot, Source, StorageClient, Watched};
use crate::view_error::{contract_error, error};

/// Most bytes of an answer. The core holds several copies of each, and has up to eight views at a time.
const MAX_ANSWER: usize = 64 << 20;

/// Limits of one call, beside those of the protocol.
#[derive(Clone, Copy)]
pub struct Bounds {
    /// L2 gas.
    pub gas: u64,
    /// Felts of calldata.
    pub calldata: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { gas: u64::MAX, calldata: usize::MAX }
    }
}

/// The states that a view may read, and what it may use.
pub struct At {
    pub tip: Snapshot,
    pub open: Option<Overlay>,
    pub client: Option<Arc<StorageClient>>,
    /// Cancelled when the answer is not wanted any more.
    pub cancel: CancellationToken,
    pub bounds: Bounds,
    /// Limits of the run.
    pub limits: Limits,
}

/// The answer of a view that took longer than `ms`.
pub fn timed_out(ms: u32) -> v1::ViewResponse {
    respond(Answer::Error(error(Code::Timeout, 0, format!("no answer within {ms} ms"))))
}

fn respond(answer: Answer) -> v1::ViewResponse {
    v1::ViewResponse { result: Some(answer) }
}

/// Runs a view within its limits.
#[allow(clippy::result_large_err)] // tonic's own error type
pub fn answer(chain: &Chain, at: At, request: &v1::ViewRequest) -> Result<v1::ViewResponse, Status> {
    let (limits, cancel) = (at.limits, at.cancel.clone());
    match bounded(limits, Some(&cancel), || unbounded(chain, at, request)) {
        Ok(Ok(answer)) if answer.encoded_len() > MAX_ANSWER => Ok(respond(Answer::Error(error(
            Code::Memory,
            0,
            format!("its answer is larger than {} MiB", MAX_ANSWER >> 20),
        )))),
        Ok(answer) => answer,
        Err(Interrupted::Cancelled) => Ok(timed_out(request.timeout_ms)),
        Err(over) => Ok(respond(Answer::Error(error(Code::Memory, 0, over.to_string())))),
    }
}

#[allow(clippy::result_large_err)]
fn unbounded(chain: &Chain, at: At, request: &v1::ViewRequest) -> Result<v1::ViewResponse, Status> {
    if at.cancel.is_cancelled() {
        return Ok(timed_out(request.timeout_ms));
    }
    let context = request.context.as_ref().ok_or_else(|| Status::invalid_argument("view: context: is missing"))?;
    let block = Block::new(chain, context, BouncerConfig::max())
        .map_err(|error| Status::invalid_argument(format!("view: {error}")))?;
    let (cancel, bounds) = (at.cancel.clone(), at.bounds);
    let source = match source(at, request.at.as_ref().and_then(|at| at.at.as_ref())) {
        Ok(source) => source,
        Err(ReadError::NotKept) => {
            return Ok(respond(Answer::Error(error(Code::StateNotFound, 0, "there is no state of that height here"))))
        }
        Err(ReadError::Cancelled) => return Ok(timed_out(request.timeout_ms)),
        Err(ReadError::Fault(cause)) => return Err(Status::unavailable(format!("view: {cause}"))),
    };
    let state = CachedState::new(Watched { state: source, cancel: cancel.clone() });
    let (answer, source) = match &request.view {
        Some(View::Call(call)) => {
            let mut state = state;
            let called = caught(|| {
                let mut layer = TransactionalState::create_transactional(&mut state);
                run_call(&mut layer, block.context.clone(), call, bounds)
            });
            let called = called.unwrap_or_else(|panicked| {
                let text = format!("the virtual machine panicked: {}", panicked.0);
                Err(CallFailed::View(error(Code::ContractError, 0, text)))
            });
            let answer = match called {
                Ok(result) => Answer::Call(result),
                Err(CallFailed::Malformed(cause)) => return Err(Status::invalid_argument(format!("view: {cause}"))),
                Err(CallFailed::View(error)) => Answer::Error(error),
            };
            (answer, state.state.state)
        }
        Some(View::Simulate(wanted)) => {
            let mut state = state;
            let answer = match simulate::run(&mut state, &block, wanted, &cancel) {
                Ok(results) => Answer::Simulation(results),
                Err(error) => Answer::Error(error),
            };
            (answer, state.state.state)
        }
        None => return Err(Status::invalid_argument("view: neither call nor simulate")),
    };
    match source.fault() {
        None => Ok(respond(answer)),
        Some(ReadError::NotKept) => {
            Ok(respond(Answer::Error(error(Code::StateNotFound, 0, "the state of that height is not kept any more"))))
        }
        Some(ReadError::Cancelled) => Ok(timed_out(request.timeout_ms)),
        Some(ReadError::Fault(cause)) => Err(Status::unavailable(format!("view: {cause}"))),
    }
}

/// Opens the state that the request names.
fn source(at: At, wanted: Option<&state_at::At>) -> Result<Source, ReadError> {
    Ok(match wanted {
        None | Some(state_at::At::Tip(_)) => Source::Tip(at.tip.fresh(at.cancel)),
        Some(state_at::At::OpenBlock(_)) => match at.open {
            Some(overlay) => Source::Open(Overlay { under: overlay.under.fresh(at.cancel), ..overlay }),
            None => Source::Tip(at.tip.fresh(at.cancel)),
        },
        Some(state_at::At::Height(height)) if *height == at.tip.height() => Source::Tip(at.tip.fresh(at.cancel)),
        Some(state_at::At::Height(height)) => {
            Source::Historical(Historical::new(at.client.ok_or(ReadError::NotKept)?, *height, at.cancel)?)
        }
    })
}

enum CallFailed {
    Malformed(String),
    View(v1::ViewError),
}

impl From<felts::Malformed> for CallFailed {
    fn from(error: felts::Malformed) -> Self {
        Self::Malformed(error.0)
    }
}

/// Calls a function of a contract.
fn run_call(
    state: &mut dyn State,
    context: Arc<BlockContext>,
    call: &v1::CallView,
    bounds: Bounds,
) -> Result<bytes::Bytes, CallFailed> {
    if call.calldata.len() / felts::FELT > bounds.calldata {
        let (given, most) = (call.calldata.len() / felts::FELT, bounds.calldata);
        let text = format!("calldata: {given} felts, this node runs calls with at most {most}");
        return Err(CallFailed::View(error(Code::ContractError, 0, text)));
    }
    let contract = felts::felt("contract", &call.contract)?;
    let selector = EntryPointSelector(felts::felt("selector", &call.selector)?);
    let calldata = felts::felts("calldata", &call.calldata)?;
    let not_found = || CallFailed::View(error(Code::ContractNotFound, 0, format!("no contract at {contract:#x}")));
    // There is no contract at an address out of range.
    let contract = ContractAddress::try_from(contract).map_err(|_| not_found())?;
    let internal = |cause: &dyn std::fmt::Display| CallFailed::View(error(Code::ContractError, 0, cause.to_string()));
    let class = state.get_class_hash_at(contract).map_err(|error| internal(&error))?;
    if class == ClassHash::default() {
        return Err(not_found());
    }
    let compiled = state.get_compiled_class(class).map_err(|error| internal(&error))?;

    let constants = context.versioned_constants();
    let mut gas = constants.os_constants.execute_max_sierra_gas.0.min(bounds.gas);
    let entry = CallEntryPoint {
        class_hash: None,
        code_address: None,
        entry_point_type: EntryPointType::External,
        entry_point_selector: selector,
        calldata: Calldata(Arc::new(calldata)),
        storage_address: contract,
        caller_address: ContractAddress::default(),
        call_type: CallType::Call,
        initial_gas: gas,
    };
    let limit = SierraGasRevertTracker::new(starknet_api::execution_resources::GasAmount(gas));
    let transaction =
        Arc::new(TransactionContext { block_context: context.clone(), tx_info: TransactionInfo::default() });
    let mut execution = EntryPointExecutionContext::new(transaction, ExecutionMode::Execute, false, limit);

    let info = entry.execute(state, &mut execution, &mut gas).map_err(|cause| {
        if is_entry_point_missing(&cause) {
            return CallFailed::View(error(Code::EntrypointNotFound, 0, cause.to_string()));
        }
        let cause = TransactionExecutionError::ExecutionError {
            error: Box::new(cause),
            class_hash: class,
            storage_address: contract,
            selector,
        };
        let error = contract_error(&gen_tx_execution_error_trace(&cause));
        CallFailed::View(v1::ViewError { code: Code::ContractError.into(), index: 0, error: Some(error) })
    })?;
    if info.execution.failed {
        return Err(CallFailed::View(failed_call(&info, &compiled, selector)));
    }
    Ok(wire_list(&info.execution.retdata.0))
}

fn is_entry_point_missing(error: &AnnotatedEntryPointExecutionError) -> bool {
    matches!(
        error.unannotated(),
        EntryPointExecutionError::PreExecutionError(
            PreExecutionError::EntryPointNotFound(_) | PreExecutionError::NoEntryPointOfTypeFound(_)
        )
    )
}

/// The error of a call that panicked.
fn failed_call(info: &CallInfo, class: &RunnableCompiledClass, selector: EntryPointSelector) -> v1::ViewError {
    let retdata = &info.execution.retdata.0;
    // A contract may panic with the felt that the protocol has for a missing function. Only the class tells the two apart.
    if info.inner_calls.is_empty() && retdata[..] == [not_found_felt()] && !has_function(class, selector) {
        return error(Code::EntrypointNotFound, 0, format!("no function with selector {:#x}", selector.0));
    }
    let summary = extract_trailing_cairo1_revert_trace(info, Cairo1RevertHeader::Execution);
    let frames = summary
        .stack
        .iter()
        .map(|frame| v1::contract_error::Frame {
            contract: wire(&frame.contract_address),
            class_hash: wire(&frame.class_hash.unwrap_or_default()),
            selector: wire(&frame.selector.0),
        })
        .collect();
    let message = format_panic_data(&summary.last_retdata.0);
    v1::ViewError { code: Code::ContractError.into(), index: 0, error: Some(v1::ContractError { frames, message }) }
}

fn not_found_felt() -> Felt {
    blockifier::execution::syscalls::hint_processor::ENTRYPOINT_NOT_FOUND_ERROR_FELT
}

fn has_function(class: &RunnableCompiledClass, selector: EntryPointSelector) -> bool {
    match class {
        RunnableCompiledClass::V0(class) => class
            .entry_points_by_type
            .get(&EntryPointType::External)
            .is_some_and(|points| points.iter().any(|point| point.selector == selector)),
        RunnableCompiledClass::V1(class) => {
            class.entry_points_by_type[EntryPointType::External].iter().any(|point| point.selector == selector)
        }
        #[cfg(feature = "native")]
        RunnableCompiledClass::V1Native(class) => has_function(&RunnableCompiledClass::V1(class.casm()), selector),
    }
}
