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
mod service;
mod sign;

pub use config::{Problem, Schema};
pub use service::{serve_protocol, Description};
pub use sign::{signed_bytes, test_signature, verify_signature, Scheme};

pub use crate::v1::action::{
    Abandon, Build, CancelTimer, Decide, Halt, Persist, Report, Seal, Send, SetTimer, Sign, Validate,
};
pub use crate::v1::consensus_event::{
    Built, CreateBlock, Decided, Event, Failed, Message, Parent, Ready, Signed, Start, Timer, Verdict,
};
pub use crate::v1::{Action, Validator, VerifyRequest};

/// A proposal travels from node to node: `Built` carries it, and votes are sent.
pub const CAP_NETWORK: &str = "network";
/// `Verify` is served. A [`Verifier`] adds it.
pub const CAP_CERTIFICATES: &str = "certificates";

/// What a protocol gets: an event and the time, which is the only clock that it may use.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    pub now_ms: u64,
    pub event: Event,
}

/// A consensus protocol as a pure state machine: the same inputs give the same actions, on any machine. There is one for each Run stream,
/// that is, after every restart, and they share nothing. The first event is [`Event::Start`], and `Start.config` is complete: what the
/// operator left out has its default.
///
/// An event of a later minor of the plugin protocol never reaches `step`: it is answered with no action.
pub trait Protocol: std::marker::Send + 'static {
    fn step(&mut self, input: Input) -> Vec<Action>;
}

/// Checks certificates for a protocol. It is pure, and everything in the request is from a stranger.
pub trait Verifier: std::marker::Send + Sync + 'static {
    /// Returns why the certificate does not prove that the value was decided.
    fn verify(&self, request: &VerifyRequest) -> Result<(), String>;
}

macro_rules! actions {
    ($($name:ident),*) => {$(
        impl From<$name> for Action {
            fn from(content: $name) -> Self {
                Self { action: Some(crate::v1::action::Action::$name(content)) }
            }
        }
    )*};
}
actions!(Abandon, Build, CancelTimer, Decide, Halt, Persist, Report, Seal, Send, SetTimer, Sign, Validate);
