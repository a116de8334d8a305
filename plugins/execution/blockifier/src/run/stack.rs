//! The stack limit of machine code.
//!
//! Each function of a compiled class compares the stack pointer with a limit in the control block of its thread before it takes
//! its frame (`patches/cairo-native.patch` makes LLVM do that). Below the limit there is room for functions of this program, which
//! do not check it: those of system calls, and the virtual machine for contracts that are called there.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes for functions that do not check the limit.
const RESERVE: usize = 16 << 20;
/// The smallest share of a stack that machine code may use.
const LEAST: usize = 32 << 20;
/// Bytes of its stack that a thread keeps when a run is over. Pages below are given back.
const KEPT: usize = 1 << 20;

thread_local! {
    /// The lowest address of this thread's stack, and the end of it; 0 until they are read.
    static BOUNDS: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// The symbol of a compiled class that holds the address of [`super::stack_handler`]. A class without it does not
/// check its stack.
pub const SYMBOL: &str = "ordo__stack_exhausted";

/// Bytes of its stack that machine code may use, for each thread.
static USABLE: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Bounds the stack of each thread to an eighth of the memory that the process may have.
pub fn share(memory: u64) {
    let usable = usize::try_from(memory / 8).unwrap_or(usize::MAX).max(LEAST);
    USABLE.store(usable, Ordering::Relaxed);
}

/// Sets the limit of this thread: machine code may use the stack down to the reserve, or up to its share.
pub fn arm() {
    let (lowest, end) = bounds();
    set_limit((lowest + RESERVE).max(end.saturating_sub(USABLE.load(Ordering::Relaxed))));
}

/// Sets a limit that is always reached, so that the next function of machine code is interrupted.
pub(super) fn trip() {
    set_limit(usize::MAX);
}

/// The bounds of a stack whose place the system does not tell.
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

/// The bounds of the stack as the system has them. Without them no function of machine code gets past its check.
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

/// Gives the pages back that a deep run has used.
pub(super) fn give_back() {
    let here = 0u8;
    let top = (&raw const here as usize).saturating_sub(KEPT) & !4095;
    let (lowest, end) = bounds();
    if (lowest, end) != UNKNOWN && top > lowest {
        // SAFETY: all of it is this thread's own stack, far below every frame that is in use.
        unsafe { libc::madvise(lowest as *mut _, top - lowest, libc::MADV_DONTNEED) };
    }
}

/// Writes the limit where LLVM's prologues read it: the word that glibc reserves for split stacks, `__private_ss` of `tcbhead_t`.
#[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]
fn set_limit(limit: usize) {
    // SAFETY: the word is reserved for this, and nothing else of this program uses it.
    unsafe { std::arch::asm!("mov fs:[0x70], {}", in(reg) limit, options(nostack, preserves_flags)) };
}

/// Machine code does not check its stack on this platform, so `native::queue` does not use it.
#[cfg(not(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu")))]
fn set_limit(_: usize) {}
