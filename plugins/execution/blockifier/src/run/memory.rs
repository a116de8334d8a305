//! The allocator of this process, which counts what the run of each thread holds.
//!
//! It counts per thread, without atomics, because a run allocates and frees on its own thread. Every mebibyte it compares the count
//! with the limit of the run, and every 16 MiB the memory of the process, as the kernel counts it, with the limit of the process.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

use mimalloc::MiMalloc;

use super::current::over;
use super::limits::{Interrupted, Limits};

/// How far a count may grow before it is compared with the limit.
const STEP: i64 = 1 << 20;
/// How far a run may grow before the memory of the process is compared with its limit.
const PROCESS_STEP: i64 = 16 << 20;

/// The count of a run.
#[derive(Clone, Copy)]
struct Count {
    /// Bytes that the run holds. The number is below zero when the run freed memory from before it.
    held: i64,
    /// The next count at which the run is checked.
    look: i64,
    /// The next count at which the process is checked.
    look_process: i64,
    limits: Limits,
}

const IDLE: Count = Count { held: 0, look: i64::MAX, look_process: i64::MAX, limits: Limits::NONE };

thread_local! {
    static HELD: Cell<i64> = const { Cell::new(0) };
    static LOOK: Cell<i64> = const { Cell::new(i64::MAX) };
    static REST: Cell<(i64, Limits)> = const { Cell::new((i64::MAX, Limits::NONE)) };
}

/// Counts for a run from here until it is dropped.
pub(super) struct Counted(Count);

impl Counted {
    pub(super) fn begin(limits: Limits) -> Self {
        let (look_process, before) = REST.get();
        let before = Count { held: HELD.get(), look: LOOK.get(), look_process, limits: before };
        let none = limits == Limits::NONE;
        let first = if none { i64::MAX } else { STEP };
        let first_process = if limits.process == u64::MAX { i64::MAX } else { PROCESS_STEP };
        set(Count { held: 0, look: first, look_process: first_process, limits });
        Self(before)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        set(if self.0.look == i64::MAX { IDLE } else { self.0 });
    }
}

fn set(count: Count) {
    HELD.set(count.held);
    REST.set((count.look_process, count.limits));
    LOOK.set(count.look);
}

/// The allocator: mimalloc with a count.
pub struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: mimalloc does all of it. Counting allocates nothing: the cells are made at compile time and need no destructor.
unsafe impl GlobalAlloc for Counting {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        MiMalloc.alloc(layout)
    }

    #[inline]
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.set(HELD.get().wrapping_sub(layout.size() as i64));
        MiMalloc.dealloc(at, layout)
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        MiMalloc.alloc_zeroed(layout)
    }

    #[inline]
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        HELD.set(HELD.get().wrapping_sub(layout.size() as i64));
        took(size);
        MiMalloc.realloc(at, layout, size)
    }
}

#[inline]
fn took(bytes: usize) {
    let held = HELD.get().wrapping_add(bytes as i64);
    HELD.set(held);
    if held >= LOOK.get() {
        look(held);
    }
}

#[cold]
#[inline(never)]
fn look(held: i64) {
    let (look_process, limits) = REST.get();
    LOOK.set(held.saturating_add(STEP));
    if held as u64 > limits.memory {
        return over(Interrupted::Memory(limits.memory));
    }
    if held >= look_process {
        REST.set((held.saturating_add(PROCESS_STEP), limits));
        if resident().is_some_and(|bytes| bytes > limits.process) {
            over(Interrupted::Process(limits.process));
        }
    }
}

/// Bytes of memory that the process holds, without those of files. It allocates nothing, because the allocator calls it.
fn resident() -> Option<u64> {
    let mut text = [0u8; 128];
    // SAFETY: plain system calls on a buffer of ours and a descriptor that is closed here.
    let length = unsafe {
        let file = libc::open(c"/proc/self/statm".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return None;
        }
        let length = libc::read(file, text.as_mut_ptr().cast(), text.len());
        libc::close(file);
        usize::try_from(length).ok()?
    };
    let mut numbers = text[..length].split(|byte| *byte == b' ').skip(1).map(number);
    let (resident, shared) = (numbers.next()??, numbers.next()??);
    Some((resident.saturating_sub(shared)) * 4096)
}

/// Bytes for the stacks of threads that start later. They are only reserved, but the kernel counts them like memory in use.
const STACKS: u64 = 16 << 30;

/// Bytes of private memory that the process has reserved, as `RLIMIT_DATA` counts them.
fn data() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmData:"))?.trim().strip_suffix(" kB")?;
    Some(kib.parse::<u64>().ok()? << 10)
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |sum, digit| Some(sum * 10 + u64::from(digit.checked_sub(b'0').filter(|d| *d < 10)?)))
}

/// Bytes of memory that this process may have: those of the machine, or of the control group that it is in.
pub fn available() -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    // SAFETY: no preconditions.
    let machine = unsafe { libc::sysconf(libc::_SC_PHYS_PAGES) as u64 * libc::sysconf(libc::_SC_PAGE_SIZE) as u64 };
    let mut least = machine;
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            list if list.split(',').any(|name| name == "memory") => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        // The limits of all groups above apply, too. A container sees its own group as the root.
        let mut path = path.trim_end_matches('/');
        loop {
            least = read(&format!("{root}{path}/{file}")).map_or(least, |limit| least.min(limit));
            match path.rfind('/') {
                Some(end) => path = &path[..end],
                None => break,
            }
        }
    }
    least
}

/// The memory limit of the process, and the limits of its runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceiling(u64);

impl Ceiling {
    /// The smallest limit in which a block can run.
    pub const LEAST_MIB: u64 = 256;

    /// The limit of `mib` as configured. 0 stands for half of the memory that is available.
    pub fn of(mib: u64) -> Self {
        match mib {
            0 => Self((available() / 2).max(Self::LEAST_MIB << 20)),
            _ => Self(mib << 20),
        }
    }

    pub fn bytes(self) -> u64 {
        self.0
    }

    /// Sets the limit in the kernel, too, for memory that no run counts. The process can reserve the ceiling and a quarter more on
    /// top of what it has reserved now. Beyond that an allocation fails and ends this process, and not others on the machine.
    pub fn tell_kernel(self) {
        let Some(reserved) = data() else { return };
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the calls fill and read plain data of ours.
        unsafe {
            if libc::getrlimit(libc::RLIMIT_DATA, &mut limit) == 0 {
                limit.rlim_cur = limit.rlim_max.min(reserved + STACKS + self.0 / 4 * 5);
                libc::setrlimit(libc::RLIMIT_DATA, &limit);
            }
        }
    }

    /// Limits of a view or a validation that may hold `mib`; 0 stands for no limit of its own. A quarter of the process is kept for
    /// blocks.
    pub fn view(self, mib: u64) -> Limits {
        Limits { memory: at_most(mib, self.0 / 2), process: self.0 / 4 * 3 }
    }

    /// Limits of a transaction in a block that may hold `mib`; 0 stands for no limit of its own. On the virtual machine a
    /// transaction that uses all gas takes less than 384 MiB.
    pub fn block(self, mib: u64) -> Limits {
        Limits { memory: at_most(mib, self.0 / 2), process: self.0 }
    }
}

fn at_most(mib: u64, most: u64) -> u64 {
    match mib {
        0 => u64::MAX,
        _ => mib.saturating_mul(1 << 20).min(most),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_holds_what_it_touched() {
        let before = resident().unwrap();
        let held = vec![1u8; 64 << 20];
        let after = resident().unwrap();
        assert!(after >= before + (48 << 20), "{before} {after} {}", held.len());
        assert!(available() >= 256 << 20);
    }
}
