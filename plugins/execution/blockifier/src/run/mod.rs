//! One run of contract code, with the limits that gas does not know: stack, memory, and whether the answer is still wanted.
//!
//! Gas bounds the time of a run. It does not bound the stack of machine code, whose frames are as large as the compiler makes
//! them, and not what a system call copies. So a run is interrupted where it can be left without harm: at each step of the
//! virtual machine, at each system call, and in machine code where a function takes its frame or memory. There the thread
//! unwinds to [`bounded`] or [`caught`] with an [`Interrupted`], and everything that the run held is freed on the way.
//!
//! Machine code that has no more stack runs again on the virtual machine, which keeps Cairo's stack in its own memory. The
//! results of both are equal, so a caller does not see which of them answered. docs/adr/0007 has the measurements.

pub mod memory;
pub mod stack;

use std::any::Any;
use std::cell::Cell;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use ordo_sdk::logging;

use crate::cancel::Stop;
use crate::threads::Panicked;

/// What one run may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory; `u64::MAX` for no limit of its own.
    pub memory: u64,
    /// The run ends when the process holds more than this, in bytes.
    pub process: u64,
}

impl Limits {
    pub const NONE: Self = Self { memory: u64::MAX, process: u64::MAX };
}

/// Why a run was interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupted {
    /// Machine code has no more stack.
    Stack,
    /// The run holds more than its limit, in bytes.
    Memory(u64),
    /// The process holds more than its limit, in bytes.
    Process(u64),
    /// The answer is not wanted any more.
    Stopped,
}

impl std::fmt::Display for Interrupted {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stack => write!(out, "the stack is exhausted"),
            Self::Memory(limit) => write!(out, "it needs more than {} MiB of memory", limit >> 20),
            Self::Process(limit) => write!(out, "the executor holds more than {} MiB of memory", limit >> 20),
            Self::Stopped => write!(out, "it was given up"),
        }
    }
}

/// The run of a thread, as long as [`bounded`] is on its stack.
struct Run {
    stop: Option<Stop>,
    /// Set by the allocator, which must not unwind itself.
    over: Cell<Option<Interrupted>>,
}

thread_local! {
    static RUN: Cell<*const Run> = const { Cell::new(ptr::null()) };
    static VM_ONLY: Cell<bool> = const { Cell::new(false) };
}

/// Puts a value back when it goes out of scope, also when the thread unwinds.
struct Restored<T: Copy + 'static>(&'static std::thread::LocalKey<Cell<T>>, T);

impl<T: Copy + 'static> Restored<T> {
    fn set(key: &'static std::thread::LocalKey<Cell<T>>, value: T) -> Self {
        Self(key, key.replace(value))
    }
}

impl<T: Copy + 'static> Drop for Restored<T> {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}

/// Runs `task` within limits. A panic that is no interruption goes on. Inside of another bounded run the limits are the
/// outer one's.
pub fn bounded<T>(limits: Limits, stop: Option<&Stop>, task: impl FnOnce() -> T) -> Result<T, Interrupted> {
    if !RUN.get().is_null() {
        return Ok(task());
    }
    let run = Run { stop: stop.cloned(), over: Cell::new(None) };
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

/// Runs `task`, on the virtual machine again when machine code has no more stack: it must begin anew each time. A panic is an
/// error; other interruptions go on to the [`bounded`] around it.
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

/// Ends the run of this thread if it has to.
pub fn check() {
    let run = RUN.get();
    // SAFETY: it points to a local of `bounded`, further up on this thread's stack, and is taken away before that returns.
    let Some(run) = (unsafe { run.as_ref() }) else { return };
    if let Some(interrupted) = run.over.get() {
        leave(interrupted);
    }
    if run.stop.as_ref().is_some_and(Stop::asked) {
        leave(Interrupted::Stopped);
    }
}

/// Unwinds to [`bounded`] or [`caught`]. No hook hears of it: it is no fault of this program.
fn leave(interrupted: Interrupted) -> ! {
    stack::arm(); // destructors may run machine code's neighbours, and the next run begins here
    resume_unwind(Box::new(interrupted))
}

/// Notes that this thread's run is over a limit: it ends at its next check.
fn over(interrupted: Interrupted) {
    // SAFETY: as in `check`.
    if let Some(run) = unsafe { RUN.get().as_ref() } {
        run.over.set(Some(interrupted));
        stack::trip();
    }
}

/// Called where machine code has no room for its next frame, or was tripped.
fn exhausted() -> ! {
    check();
    leave(Interrupted::Stack)
}

// What the mended crates ask for (patches/*.patch). They know no crate of ours, so the linker brings them together.

#[no_mangle]
extern "C-unwind" fn ordo__check() {
    check();
}

#[no_mangle]
extern "C-unwind" fn ordo__vm_only() -> bool {
    VM_ONLY.get()
}

/// Limits of each transaction of the open block, for the threads of blockifier's pool.
static BLOCK_MEMORY: AtomicU64 = AtomicU64::new(u64::MAX);
static BLOCK_PROCESS: AtomicU64 = AtomicU64::new(u64::MAX);

/// Sets the limits of each transaction of the block that is executed from here on.
pub fn limit_block(limits: Limits) {
    BLOCK_MEMORY.store(limits.memory, Ordering::Relaxed);
    BLOCK_PROCESS.store(limits.process, Ordering::Relaxed);
}

/// Held by a transaction that runs again because the process held too much.
static ALONE: Mutex<()> = Mutex::new(());

/// How a reason of [`ordo__transaction`] begins.
pub const REFUSED: &str = "ordo: ";

/// Runs one transaction of a block. An answer is the reason why it was not run to its end.
#[no_mangle]
#[allow(non_snake_case)]
fn ordo__transaction(run: &mut dyn FnMut()) -> Option<String> {
    let limits =
        Limits { memory: BLOCK_MEMORY.load(Ordering::Relaxed), process: BLOCK_PROCESS.load(Ordering::Relaxed) };
    let mut ended = bounded(limits, None, || caught(&mut *run));
    if let Err(Interrupted::Process(_)) = ended {
        // Others may hold what is missing, and no transaction is rejected for them: those that grow go one by one from here.
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let process = if limits.memory == u64::MAX { limits.process } else { u64::MAX };
        ended = bounded(Limits { process, ..limits }, None, || caught(&mut *run));
    }
    match ended {
        Ok(Ok(())) => None,
        // As without these limits: the attempt finds out which transaction it was.
        Ok(Err(Panicked(text))) => resume_unwind(Box::new(text)),
        Err(interrupted) => Some(format!("{REFUSED}{interrupted}")),
    }
}

#[cfg(test)]
mod tests {
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
        let stop = Stop::default();
        let ended: Result<(), _> = bounded(Limits::NONE, Some(&stop), || loop {
            stop.ask();
            check();
        });
        assert_eq!(ended, Err(Interrupted::Stopped));
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
