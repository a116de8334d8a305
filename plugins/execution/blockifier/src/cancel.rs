//! A sign that nobody waits for a piece of work any more.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use tokio::sync::Notify;

#[derive(Clone, Default)]
pub struct Stop(Arc<Inner>);

#[derive(Default)]
struct Inner {
    asked: AtomicBool,
    wake: Notify,
}

impl Stop {
    pub fn ask(&self) {
        self.0.asked.store(true, Ordering::Release);
        self.0.wake.notify_waiters();
    }

    pub fn asked(&self) -> bool {
        self.0.asked.load(Ordering::Acquire)
    }

    pub async fn wait(&self) {
        let woken = self.0.wake.notified();
        tokio::pin!(woken);
        woken.as_mut().enable(); // before the look at the flag: what is asked between the two is not missed
        if !self.asked() {
            woken.await;
        }
    }
}

/// Asks to stop when the call that it belongs to is over, also when the caller went away.
#[derive(Default)]
pub struct Gone(pub Stop);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.ask();
    }
}

impl std::fmt::Debug for Stop {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Stop({})", self.asked())
    }
}
