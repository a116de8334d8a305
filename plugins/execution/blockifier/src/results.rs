//! Results of transactions, as the receipt has them.

use blockifier::execution::call_info::{CallInfo, OrderedEvent, OrderedL2ToL1Message};
use blockifier::transaction::objects::TransactionExecutionInfo;
use bytes::{Bytes, BytesMut};
use ordo_sdk::v1;
use ordo_sdk::v1::transaction_result::Status;
use starknet_api::execution_resources::GasVector;
use starknet_types_core::felt::Felt;

use crate::felts::{from_amount, wire, wire_list, FELT};
use crate::rejection::Rejection;

/// The longest text of a rejection. Revert reasons are not cut, because they are hashed; blockifier bounds them.
const MAX_REASON: usize = 8 << 10;

pub fn gas(vector: &GasVector) -> v1::Gas {
    v1::Gas { l1_gas: vector.l1_gas.0, l1_data_gas: vector.l1_data_gas.0, l2_gas: vector.l2_gas.0 }
}

/// The result of a transaction that is in the block: SUCCEEDED or REVERTED.
pub fn included(hash: Bytes, info: &TransactionExecutionInfo) -> v1::TransactionResult {
    // This is the text that the receipt commitment hashes.
    let reason = info.revert_error.as_ref().map(ToString::to_string);
    v1::TransactionResult {
        hash,
        status: if reason.is_some() { Status::Reverted } else { Status::Succeeded }.into(),
        reason: reason.unwrap_or_default(),
        rejection: v1::RejectionCode::Unspecified.into(),
        actual_fee: from_amount(info.receipt.fee.0),
        gas: Some(gas(&info.receipt.gas)),
        da_gas: Some(gas(&info.receipt.da_gas)),
        events: events(info),
        messages: messages(info),
    }
}

/// The result of a transaction that is not in the block.
pub fn rejected(hash: Bytes, rejection: &Rejection) -> v1::TransactionResult {
    v1::TransactionResult {
        hash,
        status: Status::Rejected.into(),
        reason: bounded(&rejection.reason),
        rejection: rejection.code.into(),
        ..Default::default()
    }
}

pub fn bounded(text: &str) -> String {
    if text.len() <= MAX_REASON {
        return text.into();
    }
    let mut end = MAX_REASON;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", &text[..end])
}

/// Items of all calls within one call, in the order in which they were emitted.
fn in_order<'a, T>(
    call: &'a CallInfo,
    items: impl Fn(&'a CallInfo) -> &'a [T],
    order: impl Fn(&T) -> usize,
) -> Vec<(&'a CallInfo, &'a T)> {
    let mut found: Vec<_> = call.iter().flat_map(|call| items(call).iter().map(move |item| (call, item))).collect();
    found.sort_by_key(|(_, item)| order(item));
    found
}

/// Felts as the wire has them, in one allocation.
fn packed<'a>(felts: impl ExactSizeIterator<Item = &'a Felt>) -> Bytes {
    let mut out = BytesMut::with_capacity(felts.len() * FELT);
    for felt in felts {
        out.extend_from_slice(&felt.to_bytes_be());
    }
    out.freeze()
}

fn events(info: &TransactionExecutionInfo) -> Vec<v1::Event> {
    let of_call = |call: &CallInfo| {
        in_order(call, |call| &call.execution.events, |event: &OrderedEvent| event.order)
            .into_iter()
            .map(|(call, event)| v1::Event {
                from_address: wire(&call.call.storage_address),
                keys: packed(event.event.keys.iter().map(|key| &key.0)),
                data: packed(event.event.data.0.iter()),
            })
            .collect::<Vec<_>>()
    };
    info.non_optional_call_infos().flat_map(of_call).collect()
}

fn messages(info: &TransactionExecutionInfo) -> Vec<v1::MessageToL1> {
    let of_call = |call: &CallInfo| {
        in_order(call, |call| &call.execution.l2_to_l1_messages, |message: &OrderedL2ToL1Message| message.order)
            .into_iter()
            .map(|(call, message)| v1::MessageToL1 {
                from_address: wire(&call.call.storage_address),
                to_address: wire(&message.message.to_address.0),
                payload: wire_list(message.message.payload.0.iter()),
            })
            .collect::<Vec<_>>()
    };
    info.non_optional_call_infos().flat_map(of_call).collect()
}

/// Gas of all transactions that are in the block.
#[derive(Default, Clone, Copy)]
pub struct GasSum(v1::Gas);

impl GasSum {
    pub fn add(&mut self, gas: &v1::Gas) {
        self.0.l1_gas = self.0.l1_gas.saturating_add(gas.l1_gas);
        self.0.l1_data_gas = self.0.l1_data_gas.saturating_add(gas.l1_data_gas);
        self.0.l2_gas = self.0.l2_gas.saturating_add(gas.l2_gas);
    }

    pub fn total(self) -> v1::Gas {
        self.0
    }
}
