//! The stack of machine code: how much of it there is, and what happens when it is used up.
//!
//! Each function of a compiled class compares the stack pointer with a limit in the control block of its thread before it takes
//! its frame (`patches/cairo-native.patch` asks LLVM for that). Below the limit there is room for this program's own functions,
//! which do not look: those of system calls, with calls of further contracts on the virtual machine inside.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::exhausted;

/// What is left for functions that do not look at the limit.
const RESERVE: usize = 16 << 20;
/// What machine code may use of a stack before the process knows how much memory it has.
const LEAST: usize = 32 << 20;
/// What a thread keeps of its stack when a run is over; pages below are given back.
const KEPT: usize = 1 << 20;

thread_local! {
    /// The lowest address of this thread's stack, and the one behind its highest; 0: not asked yet.
    static BOUNDS: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// The symbol of a compiled class that holds the address of [`no_room`]. A class without it does not look at its stack.
pub const SYMBOL: &str = "ordo__stack_exhausted";

/// What compiled code calls when there is no room for its frame.
pub fn handler() -> *const () {
    no_room as *const ()
}

extern "C-unwind" fn no_room() {
    exhausted()
}

/// Bytes of a stack that machine code may use, in all threads.
static USABLE: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Lets the stacks of all threads together take no more than this share of the memory that the process may have.
pub fn share(memory: u64) {
    let usable = usize::try_from(memory / 8).unwrap_or(usize::MAX).max(LEAST);
    USABLE.store(usable, Ordering::Relaxed);
}

/// Lets machine code use this thread's stack down to the reserve, or to its share.
pub fn arm() {
    let (lowest, end) = bounds();
    set_limit((lowest + RESERVE).max(end.saturating_sub(USABLE.load(Ordering::Relaxed))));
}

/// Makes the next function of machine code believe that the stack is used up.
pub(super) fn trip() {
    set_limit(usize::MAX);
}

/// What stands for a stack of which the system does not say where it is.
const UNKNOWN: (usize, usize) = (usize::MAX - RESERVE, usize::MAX);

fn bounds() -> (usize, usize) {
    match BOUNDS.get() {
        (0, _) => {
            let found = ask_bounds().unwrap_or(UNKNOWN);
            BOUNDS.set(found);
            found
        }
        known => known,
    }
}

/// None where the system does not say: then machine code is never entered.
fn ask_bounds() -> Option<(usize, usize)> {
    // SAFETY: the attributes are initialised by the first call and destroyed after use.
    unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        if libc::pthread_getattr_np(libc::pthread_self(), &mut attributes) != 0 {
            return None;
        }
        let (mut lowest, mut size) = (std::ptr::null_mut(), 0);
        let found = libc::pthread_attr_getstack(&attributes, &mut lowest, &mut size);
        libc::pthread_attr_destroy(&mut attributes);
        (found == 0).then_some((lowest as usize, lowest as usize + size))
    }
}

/// Gives the pages back that a deep run has touched.
pub(super) fn give_back() {
    let here = 0u8;
    let top = (&raw const here as usize).saturating_sub(KEPT) & !4095;
    let (lowest, end) = bounds();
    if (lowest, end) != UNKNOWN && top > lowest {
        // SAFETY: all of it is this thread's own stack, far below every frame that is in use.
        unsafe { libc::madvise(lowest as *mut _, top - lowest, libc::MADV_DONTNEED) };
    }
}

/// Where glibc keeps the limit for split stacks, and where LLVM's prologues look: `__private_ss` of `tcbhead_t`.
#[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]
fn set_limit(limit: usize) {
    // SAFETY: the word is reserved for this, and nothing else of this program uses it.
    unsafe { std::arch::asm!("mov fs:[0x70], {}", in(reg) limit, options(nostack, preserves_flags)) };
}

/// Machine code does not look at its stack here, and so it is not used: see `native::queue`.
#[cfg(not(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu")))]
fn set_limit(_: usize) {}
