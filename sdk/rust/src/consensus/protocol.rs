//! A consensus protocol as its author writes it.

use crate::v1::action::{
    Abandon, Build, CancelTimer, Decide, Halt, Persist, Report, Seal, Send, SetTimer, Sign, Validate,
};
use crate::v1::consensus_event::Event;
use crate::v1::{Action, VerifyRequest};

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
