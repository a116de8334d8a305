//! Settings of machine code.

use std::path::PathBuf;
use std::time::Duration;

/// How machine code is made and kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The path of this binary, for child processes.
    pub program: PathBuf,
    /// The folder of the cache.
    pub cache: PathBuf,
    /// Bytes that the cache may take on disk.
    pub most: u64,
    /// Processor time for one class.
    pub seconds: Duration,
    /// Whether a load waits while machine code is made.
    pub wait: Wait,
}

/// Whether loading a class waits for its machine code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It does not wait: the virtual machine runs the class until then.
    No,
    /// It waits as long as a block may be silent, and then goes on as with `No`.
    Some,
    /// It waits until the machine code is there.
    All,
}

/// The folder of machine code when the configuration names none.
pub fn default_cache() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?;
    user.is_absolute().then(|| user.join("ordo").join("native"))
}
