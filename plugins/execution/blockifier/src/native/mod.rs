//! Which engine runs a class: Cairo Native's machine code, or the virtual machine. The results are the same.
//!
//! A class is looked up on disk when it is loaded; what is not there is compiled in the background, in a child process with
//! limits, and used from then on. Only Sierra from 1.7.0 on can run natively, and once one frame of a call stack runs on
//! the virtual machine, all frames above it do.

#[cfg(feature = "native")]
mod cache;
#[cfg(feature = "native")]
mod make;
#[cfg(feature = "native")]
mod queue;
#[cfg(feature = "native")]
mod runtime;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use blockifier::execution::contract_class::RunnableCompiledClass;
use ordo_sdk::logging;
use ordo_sdk::v1;
use ordo_sdk::v1::class::Kind;
use starknet_api::contract_class::SierraVersion;
use starknet_api::core::ClassHash;

#[cfg(feature = "native")]
pub use make::{stdin_to_folder, COMMAND};

/// First version of Sierra that counts gas in a way that machine code can follow.
const FIRST: (u64, u64, u64) = (1, 7, 0);

/// Where the machine code of one loaded class appears, once there is some.
pub type Slot = Arc<OnceLock<RunnableCompiledClass>>;

/// How machine code is made and kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This binary, for the child processes.
    pub program: PathBuf,
    pub cache: PathBuf,
    /// Bytes on disk.
    pub most: u64,
    /// Processor time for one class.
    pub seconds: Duration,
    /// What a class that is loaded does while its machine code is made.
    pub wait: Wait,
}

/// Whether loading a class waits for its machine code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The virtual machine runs it until then.
    No,
    /// For as long as a block may be silent; then as `No`.
    Some,
    /// Until it is there.
    All,
}

/// Loaded classes by what runs them.
#[derive(Default)]
pub struct Counts {
    pub native: AtomicU64,
    pub vm: AtomicU64,
}

pub struct Engine {
    counts: Arc<Counts>,
    #[cfg(feature = "native")]
    queue: Option<queue::Queue>,
}

impl Engine {
    /// The virtual machine for everything.
    pub fn off() -> Self {
        Self {
            counts: Arc::default(),
            #[cfg(feature = "native")]
            queue: None,
        }
    }

    /// Whether this build can make machine code.
    pub const BUILT: bool = cfg!(feature = "native");

    #[cfg(feature = "native")]
    pub fn start(settings: Settings) -> Result<Self, String> {
        let counts = Arc::<Counts>::default();
        let queue = queue::Queue::start(settings, counts.clone())?;
        Ok(Self { counts, queue: Some(queue) })
    }

    #[cfg(not(feature = "native"))]
    pub fn start(_: Settings) -> Result<Self, String> {
        Err("this build has no Cairo Native: LLVM 19 was not there when it was built".into())
    }

    #[cfg(feature = "native")]
    pub fn on(&self) -> bool {
        self.queue.is_some()
    }

    #[cfg(not(feature = "native"))]
    pub fn on(&self) -> bool {
        false
    }

    pub fn counts(&self) -> (u64, u64) {
        (self.counts.native.load(Ordering::Relaxed), self.counts.vm.load(Ordering::Relaxed))
    }

    /// Finds the engine of a class that was just loaded. `vm` is the class as the virtual machine runs it.
    pub fn take(&self, hash: ClassHash, class: &v1::Class, vm: &RunnableCompiledClass, slot: &Slot) {
        if !self.on() {
            self.counts.vm.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if let Err(why) = eligible(class) {
            self.counts.vm.fetch_add(1, Ordering::Relaxed);
            logging::info("class runs on the virtual machine", &[("class", &shown(hash)), ("why", &why)]);
            return;
        }
        #[cfg(feature = "native")]
        if let (Some(queue), RunnableCompiledClass::V1(vm)) = (&self.queue, vm) {
            queue.take(hash, class, vm, slot);
        }
        #[cfg(not(feature = "native"))]
        let _ = (vm, slot);
    }
}

fn shown(hash: ClassHash) -> String {
    format!("{:#066x}", hash.0)
}

/// Why a class cannot run natively.
fn eligible(class: &v1::Class) -> Result<(), String> {
    if class.kind() != Kind::Sierra {
        return Err("it is of Cairo 0".into());
    }
    let version = class.sierra_version.as_str();
    let parsed: SierraVersion = version.parse().map_err(|_| format!("{version:?} is no version of Sierra"))?;
    let first = SierraVersion::new(FIRST.0, FIRST.1, FIRST.2);
    if parsed < first {
        return Err(format!("Sierra {version} is older than {first}"));
    }
    Ok(())
}

/// Where machine code is kept when the configuration does not say.
pub fn default_cache() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?;
    user.is_absolute().then(|| user.join("ordo").join("native"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_classes_are_told_apart() {
        let class = |kind: Kind, version: &str| v1::Class {
            kind: kind.into(),
            sierra_version: version.into(),
            ..Default::default()
        };
        assert_eq!(eligible(&class(Kind::Sierra, "1.7.0")), Ok(()));
        assert_eq!(eligible(&class(Kind::Sierra, "1.10.2")), Ok(()));
        assert_eq!(eligible(&class(Kind::Sierra, "1.6.9")), Err("Sierra 1.6.9 is older than 1.7.0".into()));
        assert_eq!(eligible(&class(Kind::Cairo0, "")), Err("it is of Cairo 0".into()));
        assert!(eligible(&class(Kind::Sierra, "new")).is_err());
    }
}
