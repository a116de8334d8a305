//! A chain of one sequencer: there are no votes, and what is built is decided.

use ordo_sdk::consensus::{Build, Decide, Event, Seal, SetTimer};

use crate::config::Config;
use crate::host::Host;

const RETRY: u64 = 1;

/// Builds a block when there is something to put in it, when the operator wants one, or all the time.
pub async fn run(host: Host, config: Config, mut pending: bool) {
    let mut attempt = 0;
    let mut open = None; // the attempt that is under way
    let mut demanded = false;
    let mut sealed = false;
    let mut resting = false; // after a failure
    loop {
        if open.is_none() && !resting && (pending || demanded || config.empty_blocks) {
            attempt += 1;
            let (deadline_ms, idle_ms) = (config.build_ms, config.idle_ms);
            host.act(Build {
                attempt,
                deadline_ms,
                idle_ms,
                allow_empty: demanded || config.empty_blocks,
                ..Default::default()
            });
            (open, sealed, pending) = (Some(attempt), false, false);
        }
        if demanded && !sealed && open == Some(attempt) {
            host.act(Seal { attempt });
            sealed = true;
        }
        match host.next().await.event {
            Event::Ready(_) => (pending, resting) = (true, false),
            Event::CreateBlock(_) => (demanded, resting) = (true, false),
            Event::Timer(timer) if timer.id == RETRY => resting = false,
            Event::Built(built) if open == Some(built.attempt) => {
                host.act(Decide { attempt: built.attempt, value: built.value, ..Default::default() });
            }
            Event::Failed(failed) if open == Some(failed.attempt) => {
                open = None;
                pending |= !failed.empty;
                resting = true;
                host.act(SetTimer { id: RETRY, after_ms: config.resend_ms });
            }
            Event::Decided(decided) => {
                (open, demanded, resting) = (None, false, false);
                pending = decided.pending > 0;
            }
            _ => {}
        }
    }
}
