//! The consensus plugin malachite as a program.

use ordo_consensus_malachite::{begin, description, Certificates};

fn main() -> std::process::ExitCode {
    ordo_sdk::consensus::serve_protocol(description(), Some(Box::new(Certificates)), begin)
}
