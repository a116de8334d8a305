//! Traces: what a transaction did, call by call.

use blockifier::blockifier_versioned_constants::VersionedConstants;
use blockifier::execution::call_info::CallInfo;
use blockifier::execution::entry_point::CallType;
use blockifier::transaction::objects::TransactionExecutionInfo;
use ordo_sdk::v1;
use ordo_sdk::v1::function_invocation as wire_call;
use starknet_api::contract_class::EntryPointType;
use starknet_api::transaction::fields::GasVectorComputationMode;

use crate::felts::{wire, wire_list};
use crate::results::gas;
use crate::run;

pub fn trace(
    kind: v1::TransactionType,
    info: &TransactionExecutionInfo,
    constants: &VersionedConstants,
    state_diff: v1::StateDiff,
) -> v1::Trace {
    let call = |call: &Option<CallInfo>| call.as_ref().map(|call| invocation(call, constants));
    v1::Trace {
        r#type: kind.into(),
        validate: call(&info.validate_call_info),
        execute: call(&info.execute_call_info),
        fee_transfer: call(&info.fee_transfer_call_info),
        revert_reason: info.revert_error.as_ref().map(ToString::to_string).unwrap_or_default(),
        state_diff: Some(state_diff),
        gas: Some(gas(&info.receipt.gas)),
    }
}

fn invocation(info: &CallInfo, constants: &VersionedConstants) -> v1::FunctionInvocation {
    run::check(); // a trace takes as much memory as the calls that it describes
    let call = &info.call;
    let used = info.summarize(constants).to_partial_gas_vector(constants, &GasVectorComputationMode::All);
    v1::FunctionInvocation {
        contract: wire(&call.storage_address),
        selector: wire(&call.entry_point_selector.0),
        calldata: wire_list(call.calldata.0.iter()),
        caller: wire(&call.caller_address),
        class_hash: wire(&call.class_hash.unwrap_or_default()),
        entry_point: match call.entry_point_type {
            EntryPointType::External => wire_call::EntryPoint::External,
            EntryPointType::L1Handler => wire_call::EntryPoint::L1HandlerEntry,
            EntryPointType::Constructor => wire_call::EntryPoint::Constructor,
        }
        .into(),
        call_type: match call.call_type {
            CallType::Call => wire_call::CallType::Call,
            // A library call names a class. The delegate call of Cairo 0 names the contract that has the code.
            CallType::Delegate if call.code_address.is_some() => wire_call::CallType::Delegate,
            CallType::Delegate => wire_call::CallType::LibraryCall,
        }
        .into(),
        result: wire_list(info.execution.retdata.0.iter()),
        calls: info.inner_calls.iter().map(|call| invocation(call, constants)).collect(),
        events: info
            .execution
            .events
            .iter()
            .map(|event| v1::OrderedEvent {
                order: event.order as u32,
                keys: wire_list(event.event.keys.iter().map(|key| &key.0)),
                data: wire_list(event.event.data.0.iter()),
            })
            .collect(),
        messages: info
            .execution
            .l2_to_l1_messages
            .iter()
            .map(|message| v1::OrderedMessage {
                order: message.order as u32,
                from_address: wire(&call.storage_address),
                to_address: wire(&message.message.to_address.0),
                payload: wire_list(message.message.payload.0.iter()),
            })
            .collect(),
        gas: Some(gas(&used)),
        reverted: info.execution.failed,
    }
}
