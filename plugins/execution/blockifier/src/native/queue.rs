//! Classes on their way to machine code.

use std::collections::HashMap;
use std::fs;
use std::sync::atomic::Ordering;
use std::sync::{mpsc, Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use blockifier::execution::contract_class::{CompiledClassV1, RunnableCompiledClass};
use blockifier::execution::native::contract_class::NativeCompiledClassV1;
use bytes::Bytes;
use cairo_native::executor::AotContractExecutor;
use ordo_sdk::{logging, v1};
use starknet_api::core::ClassHash;

use super::cache::Cache;
use super::{make, runtime, shown, Counts, Settings, Slot, Wait};
use crate::cancel::Stop;
use crate::subprocess::{self, Limits};
use crate::threads::Threads;

/// MLIR and LLVM want far more than the Sierra compiler.
const MEMORY: u64 = 16 << 30;
/// How long loads wait for machine code in [`WINDOW`], with [`Wait::Some`]. A block that is silent for 30 s is taken for stuck: what takes
/// longer runs on the virtual machine until it is there.
const PATIENCE: Duration = Duration::from_secs(10);
const WINDOW: Duration = Duration::from_secs(25);
/// Classes that wait at a time, and failures that are remembered; a class that finds no place is asked for again when it
/// is loaded the next time.
const MOST: usize = 1024;

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
    /// Begin of the window, and how long loads have waited in it.
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

    pub fn take(&self, hash: ClassHash, class: &v1::Class, vm: &CompiledClassV1, slot: &Slot) {
        match self.0.cache.load(hash) {
            Ok(Some(executor)) => return self.0.ready(hash, executor, vec![(vm.clone(), slot.clone())], None),
            Ok(None) => {}
            Err(cause) => logging::warn(
                "machine code on disk is damaged and is made again",
                &[("class", &shown(hash)), ("cause", &cause)],
            ),
        }
        {
            let mut state = self.0.state();
            if let Some(why) = state.failed.get(&hash) {
                return self.0.on_vm(hash, why);
            }
            let full = state.pending.len() >= MOST;
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

    /// Waits for a class, as long as the window allows.
    fn wait(&self, ended: &mpsc::Receiver<()>) {
        let begun = Instant::now();
        let left = {
            let mut state = self.state();
            let (since, spent) = *state.waited.get_or_insert((begun, Duration::ZERO));
            if begun.duration_since(since) > WINDOW {
                state.waited = Some((begun, Duration::ZERO));
                PATIENCE
            } else {
                PATIENCE.saturating_sub(spent)
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
            return; // it was asked for twice, and is done
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
        if state.failed.len() >= MOST {
            state.failed.clear();
        }
        state.failed.insert(hash, cause);
    }

    fn make(&self, hash: ClassHash, definition: &Bytes) -> Result<(), String> {
        let scratch = self.cache.scratch(hash).map_err(|error| format!("cache: {error}"))?;
        // Where nobody waits it steps back behind blocks.
        let nice = if self.settings.wait == Wait::No { 10 } else { 0 };
        let limits = Limits { memory: MEMORY, cpu: self.settings.seconds, output: 0, nice };
        let folder = scratch.to_string_lossy();
        let made =
            subprocess::run(&self.settings.program, &[make::COMMAND, &folder], definition, limits, &Stop::default())
                .map_err(|fate| fate.to_string())
                .and_then(|_| self.cache.keep(hash, &scratch).map_err(|error| format!("cache: {error}")));
        if made.is_err() {
            let _ = fs::remove_dir_all(&scratch);
        }
        made
    }

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
        logging::info("class runs natively", &[("class", &shown(hash)), ("how", &how)]);
    }

    fn on_vm(&self, hash: ClassHash, why: &str) {
        self.counts.vm.fetch_add(1, Ordering::Relaxed);
        logging::info("class runs on the virtual machine", &[("class", &shown(hash)), ("why", &why)]);
    }
}
