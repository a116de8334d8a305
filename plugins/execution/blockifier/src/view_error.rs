//! Errors of calls and simulations, as the wire has them.

use blockifier::execution::stack_trace::{ErrorStack, ErrorStackSegment};
use ordo_sdk::v1;
use ordo_sdk::v1::view_error::Code;
use starknet_api::execution_utils::format_panic_data;

use crate::felts::wire;

/// An error without a stack of calls.
pub fn error(code: Code, index: usize, message: impl Into<String>) -> v1::ViewError {
    let error = v1::ContractError { frames: Vec::new(), message: message.into() };
    v1::ViewError { code: code.into(), index: index as u32, error: Some(error) }
}

/// An error with the frames of the calls, and the text of the failure in the innermost.
pub fn contract_error(stack: &ErrorStack) -> v1::ContractError {
    let mut frames = Vec::new();
    let mut text: Vec<String> = Vec::new();
    for segment in &stack.stack {
        match segment {
            ErrorStackSegment::EntryPoint(frame) => frames.push(v1::contract_error::Frame {
                contract: wire(&frame.storage_address),
                class_hash: wire(&frame.class_hash),
                selector: wire(&frame.selector.unwrap_or_default().0),
            }),
            ErrorStackSegment::Cairo1RevertSummary(summary) => {
                // Its outermost frame is the innermost of the list already.
                for frame in &summary.stack {
                    let frame = v1::contract_error::Frame {
                        contract: wire(&frame.contract_address),
                        class_hash: wire(&frame.class_hash.unwrap_or_default()),
                        selector: wire(&frame.selector.0),
                    };
                    if frames.last() != Some(&frame) {
                        frames.push(frame);
                    }
                }
                text.push(format_panic_data(&summary.last_retdata.0));
            }
            other => text.push(String::from(other)),
        }
    }
    let message = if text.is_empty() { stack.to_string() } else { text.join("\n") };
    v1::ContractError { frames, message: crate::results::bounded(message.trim_end()) }
}
