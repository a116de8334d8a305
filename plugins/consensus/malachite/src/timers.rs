//! The timers of a node. Their numbers are never used again, so that one of a height that is over is told from those of this height.

use malachite_types::Timeout;
use ordo_sdk::consensus::{CancelTimer, SetTimer};

use crate::host::Host;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One of Malachite's.
    Core(Timeout),
    /// What failed is tried again.
    Retry,
}

#[derive(Default)]
pub struct Timers {
    last: u64,
    running: Vec<(u64, Kind)>,
}

impl Timers {
    /// Sets a timer, in the place of one of the same kind.
    pub fn set(&mut self, host: &Host, kind: Kind, after_ms: u32) {
        let id = match self.running.iter().find(|(_, running)| *running == kind) {
            Some((id, _)) => *id,
            None => {
                self.last += 1;
                self.running.push((self.last, kind));
                self.last
            }
        };
        host.act(SetTimer { id, after_ms });
    }

    pub fn cancel(&mut self, host: &Host, kind: Kind) {
        self.cancel_all(host, |running| running == kind);
    }

    pub fn cancel_all(&mut self, host: &Host, which: impl Fn(Kind) -> bool) {
        self.running.retain(|(id, kind)| {
            let cancelled = which(*kind);
            if cancelled {
                host.act(CancelTimer { id: *id });
            }
            !cancelled
        });
    }

    /// The timer that has fired; none when it was cancelled meanwhile.
    pub fn fired(&mut self, id: u64) -> Option<Kind> {
        let place = self.running.iter().position(|(running, _)| *running == id)?;
        Some(self.running.swap_remove(place).1)
    }
}
