//! One run of contract code, with limits that gas does not have: stack, memory, and cancellation.
//!
//! Gas bounds the time of a run. It does not bound the stack of machine code, whose frames are as large as the compiler makes
//! them, and not what a system call copies. So a run is interrupted where unwinding is safe: at each step of the
//! virtual machine, at each system call, and in machine code where a function takes its frame or memory. There the thread
//! unwinds to [`bounded`] or [`caught`] with an [`Interrupted`], and everything that the run held is freed on the way.
//!
//! Machine code that has no more stack runs again on the virtual machine, which keeps Cairo's stack in its own memory. The
//! results of both are equal, so a caller does not see which of them answered. docs/adr/0007 has the measurements.

mod current;
mod limits;
pub mod memory;
pub mod stack;

use std::any::Any;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use ordo_sdk::logging;

use crate::cancel::CancellationToken;
use crate::threads::Panicked;
use current::{Restored, Run, RUN, VM_ONLY};
pub use limits::{Interrupted, Limits};

/// Runs `task` within limits. A panic that is no interruption goes on unwinding. Inside of another bounded run the limits of the
/// outer one apply.
pub fn bounded<T>(
    limits: Limits,
    cancel: Option<&CancellationToken>,
    task: impl FnOnce() -> T,
) -> Result<T, Interrupted> {
    if !RUN.get().is_null() {
        return Ok(task());
    }
    let run = Run::new(cancel);
    let result = {
        let _run = Restored::set(&RUN, &run);
        let _counted = memory::Counted::begin(limits);
        stack::arm();
        catch_unwind(AssertUnwindSafe(task))
    };
    stack::give_back();
    result.map_err(|payload| match payload.downcast::<Interrupted>() {
        Ok(interrupted) => *interrupted,
        Err(payload) => resume_unwind(payload),
    })
}

/// Runs `task`, and once more on the virtual machine when machine code has no more stack: it must begin again each time. A panic is
/// an error. Other interruptions go on to the [`bounded`] around it.
pub fn caught<T>(mut task: impl FnMut() -> T) -> Result<T, Panicked> {
    stack::arm();
    catch_unwind(AssertUnwindSafe(&mut task)).or_else(|payload| {
        if !is_stack(&*payload) {
            return panicked(payload);
        }
        stack::arm();
        let _vm_only = Restored::set(&VM_ONLY, true);
        catch_unwind(AssertUnwindSafe(&mut task)).or_else(panicked)
    })
}

fn is_stack(payload: &(dyn Any + Send)) -> bool {
    !VM_ONLY.get() && payload.downcast_ref() == Some(&Interrupted::Stack)
}

fn panicked<T>(payload: Box<dyn Any + Send>) -> Result<T, Panicked> {
    match payload.downcast::<Interrupted>() {
        Ok(interrupted) if !RUN.get().is_null() => resume_unwind(interrupted),
        Ok(interrupted) => Err(Panicked(interrupted.to_string())),
        Err(payload) => Err(Panicked(logging::panic_text(&*payload))),
    }
}

/// Interrupts the run of this thread when it is cancelled or over a limit.
pub fn check() {
    let run = RUN.get();
    // SAFETY: it points to a local of `bounded`, further up on this thread's stack, and is taken away before that returns.
    let Some(run) = (unsafe { run.as_ref() }) else { return };
    if let Some(interrupted) = run.over.get() {
        interrupt(interrupted);
    }
    if run.cancel.as_ref().is_some_and(CancellationToken::is_cancelled) {
        interrupt(Interrupted::Cancelled);
    }
}

/// Unwinds to [`bounded`] or [`caught`]. The panic hook is not called, because this is no fault of the program.
fn interrupt(interrupted: Interrupted) -> ! {
    stack::arm(); // the limit may be tripped, and destructors need stack
    resume_unwind(Box::new(interrupted))
}

/// The function that machine code calls, by the symbol [`stack::SYMBOL`] of its class, where its stack is used up.
pub fn stack_handler() -> *const () {
    exhausted as *const ()
}

/// Interrupts machine code that has no room for its next frame, or that [`stack::trip`] has stopped.
extern "C-unwind" fn exhausted() {
    check();
    interrupt(Interrupted::Stack)
}

// Functions that the patched crates call (patches/*.patch). Those crates do not depend on this one, so the linker connects them.

#[no_mangle]
extern "C-unwind" fn ordo__check() {
    check();
}

#[no_mangle]
extern "C-unwind" fn ordo__vm_only() -> bool {
    VM_ONLY.get()
}

/// Limits of each transaction of the open block. They are global because blockifier starts the threads of its pool and calls
/// [`ordo__transaction`] from them by its name, with nothing of ours in reach; and a published blockifier must compile, too, so its
/// types cannot carry them. A process has one open block.
static BLOCK_MEMORY: AtomicU64 = AtomicU64::new(u64::MAX);
static BLOCK_PROCESS: AtomicU64 = AtomicU64::new(u64::MAX);

/// Sets the limits of each transaction of the block that is executed from here on.
pub fn limit_block(limits: Limits) {
    BLOCK_MEMORY.store(limits.memory, Ordering::Relaxed);
    BLOCK_PROCESS.store(limits.process, Ordering::Relaxed);
}

/// Held by a transaction that runs again because the process held too much memory.
static ALONE: Mutex<()> = Mutex::new(());

/// The prefix of the reasons of [`ordo__transaction`].
pub const REJECTED: &str = "ordo: ";

/// Runs one transaction of a block. The answer is the reason why it was interrupted, if it was.
#[no_mangle]
#[allow(non_snake_case)]
fn ordo__transaction(run: &mut dyn FnMut()) -> Option<String> {
    let limits =
        Limits { memory: BLOCK_MEMORY.load(Ordering::Relaxed), process: BLOCK_PROCESS.load(Ordering::Relaxed) };
    let mut ended = bounded(limits, None, || caught(&mut *run));
    if let Err(Interrupted::Process(_)) = ended {
        // Other transactions may hold the memory, and none is rejected because of others. So those that grow run one by one.
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let process = if limits.memory == u64::MAX { limits.process } else { u64::MAX };
        ended = bounded(Limits { process, ..limits }, None, || caught(&mut *run));
    }
    match ended {
        Ok(Ok(())) => None,
        // A panic goes on as without these limits: the build finds out which transaction it was.
        Ok(Err(Panicked(text))) => resume_unwind(Box::new(text)),
        Err(interrupted) => Some(format!("{REJECTED}{interrupted}")),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const SMALL: Limits = Limits { memory: 8 << 20, process: u64::MAX };

    #[test]
    fn a_run_over_its_memory_ends_at_its_next_check_and_frees_what_it_held() {
        let turns = Cell::new(0);
        let ended: Result<(), _> = bounded(SMALL, None, || {
            let mut held = Vec::new();
            loop {
                held.push(vec![1u8; 1 << 20]);
                turns.set(held.len());
                check();
            }
        });
        assert_eq!(ended, Err(Interrupted::Memory(8 << 20)));
        assert!((7..=11).contains(&turns.get()), "{}", turns.get());
        assert_eq!(bounded(SMALL, None, || 7), Ok(7), "the next run begins with nothing");
    }

    #[test]
    fn what_is_freed_counts_no_more() {
        let sum = bounded(SMALL, None, || {
            (0..100)
                .map(|_| {
                    let held = vec![1u8; 1 << 20];
                    check();
                    held.len()
                })
                .sum::<usize>()
        });
        assert_eq!(sum, Ok(100 << 20));
    }

    #[test]
    fn a_stopped_run_ends_at_its_next_check() {
        let cancel = CancellationToken::default();
        let ended: Result<(), _> = bounded(Limits::NONE, Some(&cancel), || loop {
            cancel.cancel();
            check();
        });
        assert_eq!(ended, Err(Interrupted::Cancelled));
    }

    #[test]
    fn a_full_stack_runs_again_on_the_virtual_machine() {
        let mut runs = Vec::new();
        let answer = caught(|| {
            runs.push(VM_ONLY.get());
            if !VM_ONLY.get() {
                exhausted();
            }
            7
        });
        assert_eq!(answer.unwrap(), 7);
        assert_eq!(runs, [false, true]);
        assert!(!VM_ONLY.get());
    }

    #[test]
    fn an_inner_run_leaves_interruptions_to_the_outer_and_keeps_panics() {
        let ended = bounded(SMALL, None, || {
            assert_eq!(caught(|| -> u8 { panic!("so") }).unwrap_err().0, "so");
            let inner = bounded(Limits::NONE, None, || {
                caught(|| {
                    let held = vec![1u8; 20 << 20];
                    check();
                    held.len()
                })
            });
            inner.map(|_| ())
        });
        assert_eq!(ended, Err(Interrupted::Memory(8 << 20)));
    }

    #[test]
    fn a_process_over_its_ceiling_ends_a_run_that_grows() {
        let ended: Result<(), _> = bounded(Limits { memory: u64::MAX, process: 1 << 20 }, None, || {
            let mut held = Vec::new();
            loop {
                held.push(vec![1u8; 1 << 20]);
                check();
            }
        });
        assert_eq!(ended, Err(Interrupted::Process(1 << 20)));
    }
}
