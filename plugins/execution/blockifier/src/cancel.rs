//! Cancellation of work whose answer is not wanted any more.
//!
//! The token has the methods of `tokio_util::sync::CancellationToken`. It is our own because each step of the virtual machine asks
//! it: here that is one load of an atomic, there it takes a mutex.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use tokio::sync::Notify;

/// A flag that clones share. It is set once, and can be polled or waited for.
#[derive(Clone, Default)]
pub struct CancellationToken(Arc<Inner>);

#[derive(Default)]
struct Inner {
    cancelled: AtomicBool,
    wake: Notify,
}

impl CancellationToken {
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Release);
        self.0.wake.notify_waiters();
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    pub async fn cancelled(&self) {
        let woken = self.0.wake.notified();
        tokio::pin!(woken);
        woken.as_mut().enable(); // before the flag is read, so that a cancellation between the two is not missed
        if !self.is_cancelled() {
            woken.await;
        }
    }
}

/// Cancels its token when it is dropped: at the end of a call, also when the caller went away.
#[derive(Default)]
pub struct CancelOnDrop(pub CancellationToken);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl std::fmt::Debug for CancellationToken {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "CancellationToken({})", self.is_cancelled())
    }
}
