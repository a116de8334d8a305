//! Malachite as a hosted consensus protocol of ordo: `docs/spec/consensus.md`.
//!
//! Malachite's core decides; this crate says in the terms of the core what it wants (`height`), and what happened (`run`). README.md has the
//! configuration and what is not here.

mod alone;
mod blocks;
mod config;
mod context;
mod height;
mod host;
mod messages;
mod node;
mod run;
mod signatures;
mod timers;
mod verify;
mod wire;

use ordo_sdk::consensus::{Description, CAP_NETWORK};

pub use host::Machine;
pub use verify::Certificates;

/// What the plugin says of itself.
pub fn description() -> Description {
    Description {
        name: "malachite",
        version: env!("CARGO_PKG_VERSION"),
        capabilities: &[CAP_NETWORK],
        config_schema: config::SCHEMA,
    }
}

/// A state machine for one Run stream.
pub fn begin() -> Machine {
    Machine::new(run::run)
}
