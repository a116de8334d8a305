//! Limits of a run, and the reasons why one is interrupted.

/// Limits of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that the run may hold; `u64::MAX` for no limit.
    pub memory: u64,
    /// Bytes that the process may hold while the run grows.
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
    Cancelled,
}

impl std::fmt::Display for Interrupted {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stack => write!(out, "the stack is exhausted"),
            Self::Memory(limit) => write!(out, "it needs more than {} MiB of memory", limit >> 20),
            Self::Process(limit) => write!(out, "the executor holds more than {} MiB of memory", limit >> 20),
            Self::Cancelled => write!(out, "it was given up"),
        }
    }
}
