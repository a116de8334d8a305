//! Write a hosted consensus protocol: `docs/spec/consensus.md`.
//!
//! A [`Protocol`] is a state machine. It gets one event and returns what is to be done, in order; it knows no clock, socket, file, key or
//! random number, and no order of a hash map. The core owns all of these, so that it can play faults and replay a run exactly.
//!
//! ```no_run
//! use ordo_sdk::consensus::{serve_protocol, Build, Decide, Description, Event, Input, Protocol};
//! use ordo_sdk::v1::Action;
//!
//! /// A chain of one sequencer: it decides each block that it built.
//! #[derive(Default)]
//! struct Alone {
//!     attempt: u64,
//! }
//!
//! impl Protocol for Alone {
//!     fn step(&mut self, input: Input) -> Vec<Action> {
//!         match input.event {
//!             Event::Ready(_) | Event::CreateBlock(_) => {
//!                 self.attempt += 1;
//!                 let build = Build { attempt: self.attempt, idle_ms: 5, deadline_ms: 1000, allow_empty: true, ..Default::default() };
//!                 vec![build.into()]
//!             }
//!             Event::Built(built) => vec![Decide { attempt: built.attempt, value: built.value, ..Default::default() }.into()],
//!             _ => vec![],
//!         }
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     let description = Description { name: "alone", version: "0.1.0", ..Default::default() };
//!     serve_protocol(description, None, Alone::default)
//! }
//! ```
//!
//! A protocol logs by the macros of [`tracing`], as every plugin does ([`crate::logging`]).

mod config;
mod protocol;
mod service;
mod sign;

pub use config::{Problem, Schema};
pub use protocol::{Input, Protocol, Verifier, CAP_CERTIFICATES, CAP_NETWORK};
pub use service::{serve_protocol, Description};
pub use sign::{signed_bytes, test_signature, verify_signature, Scheme};

pub use crate::v1::action::{
    Abandon, Build, CancelTimer, Decide, Halt, Persist, Report, Seal, Send, SetTimer, Sign, Validate,
};
pub use crate::v1::consensus_event::{
    Built, CreateBlock, Decided, Event, Failed, Message, Parent, Ready, Signed, Start, Timer, Verdict,
};
pub use crate::v1::{Action, Validator, VerifyRequest};
