//! The run of the current thread.

use std::cell::Cell;
use std::ptr;

use super::limits::Interrupted;
use super::stack;
use crate::cancel::CancellationToken;

/// The run of a thread, as long as [`super::bounded`] is on its stack.
pub(super) struct Run {
    pub(super) cancel: Option<CancellationToken>,
    /// The limit that the run is over, set by the allocator.
    pub(super) over: Cell<Option<Interrupted>>,
}

impl Run {
    pub(super) fn new(cancel: Option<&CancellationToken>) -> Self {
        Self { cancel: cancel.cloned(), over: Cell::new(None) }
    }
}

thread_local! {
    pub(super) static RUN: Cell<*const Run> = const { Cell::new(ptr::null()) };
    pub(super) static VM_ONLY: Cell<bool> = const { Cell::new(false) };
}

/// Puts a value back when it goes out of scope, also when the thread unwinds.
pub(super) struct Restored<T: Copy + 'static>(&'static std::thread::LocalKey<Cell<T>>, T);

impl<T: Copy + 'static> Restored<T> {
    pub(super) fn set(key: &'static std::thread::LocalKey<Cell<T>>, value: T) -> Self {
        Self(key, key.replace(value))
    }
}

impl<T: Copy + 'static> Drop for Restored<T> {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}

/// Marks this thread's run as over a limit, so that it ends at its next check. The allocator calls this and must not unwind.
pub(super) fn over(interrupted: Interrupted) {
    // SAFETY: it points to a local of `bounded`, further up on this thread's stack, and is taken away before that returns.
    if let Some(run) = unsafe { RUN.get().as_ref() } {
        run.over.set(Some(interrupted));
        stack::trip();
    }
}
