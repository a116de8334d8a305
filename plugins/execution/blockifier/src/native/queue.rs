//! The queue of classes that are compiled to machine code.

use std::collections::HashMap;
use std::fs;
use std::sync::atomic::Ordering;
use std::sync::{mpsc, Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use blockifier::execution::contract_class::{CompiledClassV1, RunnableCompiledClass};
use blockifier::execution::native::contract_class::NativeCompiledClassV1;
use bytes::Bytes;
use cairo_native::executor::AotContractExecutor;
use ordo_sdk::v1;
use starknet_api::core::ClassHash;
use tracing::{info, warn};

use super::cache::Cache;
use super::settings::{Settings, Wait};
use super::slot::{shown, Counts, Slot};
use super::{make, runtime};
use crate::cancel::CancellationToken;
use crate::subprocess::{self, Limits};
use crate::threads::Threads;

/// Memory of one compilation. MLIR and LLVM need far more than the Sierra compiler.
const MEMORY: u64 = 16 << 30;
/// How long loads may wait for machine code within one [`WINDOW`], with [`Wait::Some`]: the core takes a block that is silent for
/// 30 s for stuck. A class that takes longer runs on the virtual machine until its code is there.
const MAX_WAIT: Duration = Duration::from_secs(10);
const WINDOW: Duration = Duration::from_secs(25);
/// How many classes may wait, and how many failures are remembered. A class that finds no place is requested again when it is
/// loaded the next time.
const MAX_CLASSES: usize = 1024;

/// The queue, and the thread that compiles.
#[derive(Clone)]
pub struct Queue(Arc<Inner>);

struct Inner {
    settings: Settings,
    cache: Cache,
    threads: Threads,
    counts: Arc<Counts>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pending: HashMap<ClassHash, Vec<(CompiledClassV1, Slot)>>,
    failed: HashMap<ClassHash, String>,
    /// The begin of the window, and how long loads have waited in it.
    waited: Option<(Instant, Duration)>,
}

impl Queue {
    pub fn start(settings: Settings, counts: Arc<Counts>) -> Result<Self, String> {
        if !cfg!(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu")) {
            return Err("machine code looks at its stack on x86-64 Linux with glibc only".into());
        }
        let cache = Cache::open(&settings.cache, settings.most)?;
        let threads = Threads::start("native", 1).map_err(|error| format!("thread: {error}"))?;
        Ok(Self(Arc::new(Inner { settings, cache, threads, counts, state: Mutex::default() })))
    }

    /// Puts the machine code of a class into `slot`: at once when it is on disk, and after compiling it otherwise.
    pub fn attach(&self, hash: ClassHash, class: &v1::Class, vm: &CompiledClassV1, slot: &Slot) {
        match self.0.cache.load(hash) {
            Ok(Some(executor)) => return self.0.ready(hash, executor, vec![(vm.clone(), slot.clone())], None),
            Ok(None) => {}
            Err(cause) => warn!(class = shown(hash), cause, "machine code on disk is damaged and is made again"),
        }
        {
            let mut state = self.0.state();
            if let Some(why) = state.failed.get(&hash) {
                return self.0.on_vm(hash, why);
            }
            let full = state.pending.len() >= MAX_CLASSES;
            let waiting = state.pending.entry(hash).or_default();
            waiting.push((vm.clone(), slot.clone()));
            if waiting.len() > 1 && self.0.settings.wait == Wait::No {
                return;
            }
            if full {
                state.pending.remove(&hash);
                drop(state);
                return self.0.on_vm(hash, "too many classes are waiting to be compiled");
            }
        }
        let (inner, definition) = (self.0.clone(), class.definition.clone());
        let (done, ended) = mpsc::channel();
        self.0.threads.spawn(move || {
            inner.compile(hash, &definition);
            let _ = done.send(());
        });
        match self.0.settings.wait {
            Wait::No => {}
            Wait::Some => self.0.wait(&ended),
            Wait::All => drop(ended.recv()),
        }
    }
}

impl Inner {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a class as long as the window allows.
    fn wait(&self, ended: &mpsc::Receiver<()>) {
        let begun = Instant::now();
        let left = {
            let mut state = self.state();
            let (since, spent) = *state.waited.get_or_insert((begun, Duration::ZERO));
            if begun.duration_since(since) > WINDOW {
                state.waited = Some((begun, Duration::ZERO));
                MAX_WAIT
            } else {
                MAX_WAIT.saturating_sub(spent)
            }
        };
        let _ = ended.recv_timeout(left);
        if let Some((_, spent)) = &mut self.state().waited {
            *spent += begun.elapsed();
        }
    }

    fn compile(&self, hash: ClassHash, definition: &Bytes) {
        let begun = Instant::now();
        if !self.state().pending.contains_key(&hash) {
            return; // it was requested twice, and is compiled already
        }
        let made = self.make(hash, definition);
        let waiting = self.state().pending.remove(&hash).unwrap_or_default();
        let cause = match made.and_then(|()| self.cache.load(hash)) {
            Ok(Some(executor)) => return self.ready(hash, executor, waiting, Some(begun)),
            Ok(None) => "its machine code went away".to_string(),
            Err(cause) => cause,
        };
        self.on_vm(hash, &cause);
        let mut state = self.state();
        if state.failed.len() >= MAX_CLASSES {
            state.failed.clear();
        }
        state.failed.insert(hash, cause);
    }

    fn make(&self, hash: ClassHash, definition: &Bytes) -> Result<(), String> {
        let scratch = self.cache.scratch(hash).map_err(|error| format!("cache: {error}"))?;
        // A compilation for which no load waits has a lower priority than blocks.
        let nice = if self.settings.wait == Wait::No { 10 } else { 0 };
        let limits = Limits { memory: MEMORY, cpu: self.settings.seconds, output: 0, nice };
        let folder = scratch.to_string_lossy();
        let made = subprocess::run(
            &self.settings.program,
            &[make::COMMAND, &folder],
            definition,
            limits,
            &CancellationToken::default(),
        )
        .map_err(|failure| failure.to_string())
        .and_then(|_| self.cache.keep(hash, &scratch).map_err(|error| format!("cache: {error}")));
        if made.is_err() {
            let _ = fs::remove_dir_all(&scratch);
        }
        made
    }

    /// Gives the machine code of a class to all slots that wait for it.
    fn ready(
        &self,
        hash: ClassHash,
        executor: AotContractExecutor,
        waiting: Vec<(CompiledClassV1, Slot)>,
        begun: Option<Instant>,
    ) {
        self.counts.native.fetch_add(1, Ordering::Relaxed);
        runtime::install(&executor);
        let how = begun
            .map_or("found on disk".to_string(), |begun| format!("compiled in {:.1} s", begun.elapsed().as_secs_f64()));
        for (vm, slot) in waiting {
            let native = NativeCompiledClassV1::new(executor.clone(), vm);
            let _ = slot.set(RunnableCompiledClass::V1Native(native));
        }
        info!(class = shown(hash), how, "class runs natively");
    }

    /// Counts and logs a class without machine code.
    fn on_vm(&self, hash: ClassHash, why: &str) {
        self.counts.vm.fetch_add(1, Ordering::Relaxed);
        info!(class = shown(hash), why, "class runs on the virtual machine");
    }
}
