//! The choice of the engine of each class: machine code, or the virtual machine.

use std::sync::atomic::Ordering;
use std::sync::Arc;

use blockifier::execution::contract_class::RunnableCompiledClass;
use ordo_sdk::v1;
use ordo_sdk::v1::class::Kind;
use starknet_api::contract_class::SierraVersion;
use starknet_api::core::ClassHash;
use tracing::info;

#[cfg(feature = "native")]
use super::queue::Queue;
use super::settings::Settings;
use super::slot::{shown, Counts, Slot};

/// The first version of Sierra that counts gas in a way that machine code can follow.
const FIRST: (u64, u64, u64) = (1, 7, 0);

/// The engine of all classes of a process.
pub struct Engine {
    counts: Arc<Counts>,
    #[cfg(feature = "native")]
    queue: Option<Queue>,
}

impl Engine {
    /// An engine that runs everything on the virtual machine.
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
        let queue = Queue::start(settings, counts.clone())?;
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

    /// Numbers of loaded classes: native, and on the virtual machine.
    pub fn counts(&self) -> (u64, u64) {
        (self.counts.native.load(Ordering::Relaxed), self.counts.vm.load(Ordering::Relaxed))
    }

    /// Chooses the engine of a class that was just loaded. Its machine code is put into `slot` when there is some. `vm` is the
    /// class as the virtual machine runs it.
    pub fn attach(&self, hash: ClassHash, class: &v1::Class, vm: &RunnableCompiledClass, slot: &Slot) {
        if !self.on() {
            self.counts.vm.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if let Err(why) = eligible(class) {
            self.counts.vm.fetch_add(1, Ordering::Relaxed);
            info!(class = shown(hash), why, "class runs on the virtual machine");
            return;
        }
        #[cfg(feature = "native")]
        if let (Some(queue), RunnableCompiledClass::V1(vm)) = (&self.queue, vm) {
            queue.attach(hash, class, vm, slot);
        }
        #[cfg(not(feature = "native"))]
        let _ = (vm, slot);
    }
}

/// Checks whether a class can run natively. The error says why not.
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
