//! The stage from Configure on: the tip, the open attempt, closed ones that wait for Apply.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ordo_sdk::logging;
use ordo_sdk::v1::build_request::{Open, Step};
use ordo_sdk::v1::diagnostic::Severity;
use ordo_sdk::v1::{build_response, ApplyRequest, BuildResponse, ConfigureRequest, Diagnostic};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tonic::Status;

use crate::build::{Attempt, Closed, Mode, Pool};
use crate::build_stream::{self, Ended};
use crate::cancel::Stop;
use crate::classes;
use crate::compile_queue::Compiler;
use crate::config::{self, Config, Native};
use crate::context::{Block, Chain};
use crate::diff;
use crate::felts::Malformed;
use crate::native::{self, Engine, Wait};
use crate::run::memory::Ceiling;
use crate::run::stack;
use crate::state::{Limits, Overlay, Remote, Snapshot, Tip};
use crate::threads::{caught, Threads};
use crate::view_pool::Views;

/// What exists from Configure on.
pub struct Running {
    pub config: Config,
    pub chain: Chain,
    pub ceiling: Ceiling,
    pub tip: Tip,
    pool: Arc<Pool>,
    pub validators: Threads,
    pub views: Views,
    pub compiler: Compiler,
    /// Held by the open attempt.
    pub turn: Arc<tokio::sync::Mutex<()>>,
    /// Attempts that nobody waits for and whose thread is not back yet.
    pub left: AtomicUsize,
    /// The open attempt's state, for views.
    open: Mutex<OpenBlock>,
    closed: Mutex<HashMap<u64, Closed>>,
    pub draining: std::sync::atomic::AtomicBool,
}

/// What views see as the open block. An attempt that was left behind shows nothing any more.
#[derive(Default)]
struct OpenBlock {
    attempt: u64,
    overlay: Option<Overlay>,
}

pub fn malformed(what: &str) -> impl Fn(Malformed) -> Status + '_ {
    move |error| Status::invalid_argument(format!("{what}: {error}"))
}

fn refuse(path: &str, summary: String) -> Diagnostic {
    Diagnostic { severity: Severity::Error.into(), summary, detail: String::new(), path: path.into() }
}

/// The engine that the configuration asks for; a warning where it cannot be had and was not insisted on.
fn engine(config: &Config, program: PathBuf, notes: &mut Vec<Diagnostic>) -> Result<Engine, Vec<Diagnostic>> {
    if config.native == Native::Off {
        return Ok(Engine::off());
    }
    let cache = match config.native_cache.as_str() {
        "" => native::default_cache(),
        folder => Some(PathBuf::from(folder)),
    };
    let started =
        cache.ok_or("neither HOME nor XDG_CACHE_HOME is set: set native_cache".to_string()).and_then(|cache| {
            Engine::start(native::Settings {
                program,
                cache,
                most: config.native_cache_size << 20,
                seconds: Duration::from_secs(config.native_seconds),
                wait: if config.native == Native::Wait { Wait::Some } else { Wait::No },
            })
        });
    match started {
        Ok(engine) => Ok(engine),
        Err(cause) if config.native == Native::Auto => {
            notes.push(Diagnostic {
                severity: Severity::Warning.into(),
                summary: format!("all classes run on the virtual machine: {cause}"),
                detail: "the results are the same, several times slower; native = \"off\" silences this".into(),
                path: "native".into(),
            });
            Ok(Engine::off())
        }
        Err(cause) => Err(vec![refuse("native", format!("native: {cause}"))]),
    }
}

impl Running {
    pub fn start(request: &ConfigureRequest, runtime: Handle) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        let config = config::parse(&request.config)?;
        let chain = request.chain.clone().unwrap_or_default();
        let chain = Chain::new(&chain).map_err(|error| vec![refuse("chain", error.0)])?;
        let mut notes = Vec::new();
        let patience = Duration::from_secs(config.storage_patience);
        let remote = match request.peers.get("storage.read") {
            Some(socket) if Path::new(socket).is_absolute() => Some(Arc::new(Remote::new(socket, runtime, patience))),
            Some(socket) => return Err(vec![refuse("peers.storage.read", format!("{socket:?} is no absolute path"))]),
            None => {
                notes.push(Diagnostic {
                    severity: Severity::Warning.into(),
                    summary: "no storage to read from: all state stays in memory".into(),
                    detail: "give the socket of a storage plugin as the peer storage.read".into(),
                    path: "peers".into(),
                });
                None
            }
        };
        let threads = |error: std::io::Error| vec![refuse("view_workers", format!("threads: {error}"))];
        // The file that runs, even when another was put in its place since.
        let program = PathBuf::from("/proc/self/exe");
        let (memory, cpu) = (config.compile_memory << 20, Duration::from_secs(config.compile_seconds));
        let compiler = Compiler::start(&program, config.view_workers, memory, cpu).map_err(threads)?;
        let engine = Arc::new(engine(&config, program, &mut notes)?);
        let ceiling = Ceiling::of(config.memory_mib);
        ceiling.tell_kernel();
        stack::share(ceiling.bytes());
        let limits = Limits { cells: config.cached_cells, classes: config.cached_classes };
        Ok((
            Self {
                tip: Tip::new(limits, engine, remote),
                pool: Arc::new(Pool::new(config.workers)),
                validators: Threads::start("validate", config.view_workers).map_err(threads)?,
                views: Views::start(config.view_workers).map_err(threads)?,
                compiler,
                turn: Arc::default(),
                left: AtomicUsize::new(0),
                open: Mutex::default(),
                closed: Mutex::default(),
                draining: false.into(),
                ceiling,
                config,
                chain,
            },
            notes,
        ))
    }

    #[allow(clippy::result_large_err)]
    pub fn snapshot(&self) -> Result<Snapshot, Status> {
        self.tip
            .snapshot()
            .ok_or_else(|| Status::failed_precondition("execution: there is no tip yet, call Apply first"))
    }

    fn open_block(&self) -> std::sync::MutexGuard<'_, OpenBlock> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn closed(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Closed>> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn overlay(&self) -> Option<Overlay> {
        self.open_block().overlay.clone()
    }

    fn set_overlay(&self, attempt: u64, overlay: Option<Overlay>) {
        let mut open = self.open_block();
        if open.attempt == attempt {
            open.overlay = overlay;
        }
    }

    /// What was sent and closed stays readable until a block is applied; what ran beyond the close does not.
    fn keep_closed(&self, attempt: u64, closed: &Closed) {
        let mut open = self.open_block();
        if open.attempt != attempt {
            return;
        }
        if let Some(overlay) = open.overlay.as_mut() {
            overlay.changes = closed.changes.clone().into();
            overlay.classes = Arc::new(closed.classes.iter().cloned().collect());
        }
    }

    /// What this process has done so far, by name.
    pub fn counters(&self) -> HashMap<String, u64> {
        let done = &self.pool.counters;
        let (native, vm) = self.tip.engine().counts();
        HashMap::from([
            ("transactions".into(), done.transactions.load(Ordering::Relaxed)),
            ("calls.native".into(), done.native.load(Ordering::Relaxed)),
            ("calls.vm".into(), done.vm.load(Ordering::Relaxed)),
            ("classes.native".into(), native),
            ("classes.vm".into(), vm),
            ("views.abandoned".into(), self.views.abandoned() as u64),
            ("cells".into(), self.tip.cells() as u64),
        ])
    }

    #[allow(clippy::result_large_err)]
    fn open(&self, open: &Open, stop: Stop) -> Result<Attempt, Status> {
        let context = open.context.as_ref().ok_or_else(|| Status::invalid_argument("open: context: is missing"))?;
        let snapshot = self.snapshot()?.fresh(stop);
        if context.number != snapshot.height() + 1 {
            return Err(Status::failed_precondition(format!(
                "open: block {} cannot be built on the tip {}",
                context.number,
                snapshot.height()
            )));
        }
        let block = Block::new(&self.chain, context, self.config.block.bouncer()).map_err(malformed("open"))?;
        block.check_old_hash().map_err(malformed("open"))?;
        let mode = Mode {
            executor: self.config.executor,
            concurrent_from: self.config.concurrent_from,
            limits: self.ceiling.block(open.memory_mib),
            rejects: open.memory_mib > 0,
        };
        Attempt::open(snapshot, block, mode, self.pool.clone()).map_err(|broken| build_stream::status(&broken))
    }

    /// From here on the attempts before show nothing any more.
    pub fn next_turn(&self) -> u64 {
        let mut open = self.open_block();
        *open = OpenBlock { attempt: open.attempt + 1, overlay: open.overlay.take() };
        open.attempt
    }

    /// The whole life of an attempt, on a thread of its own. `stop` ends its waits for storage.
    pub fn build(&self, turn: u64, open: Open, mut steps: mpsc::Receiver<Step>, out: build_stream::Out, stop: Stop) {
        let begun = Instant::now();
        let result = caught(|| {
            let attempt = self.open(&open, stop)?;
            // What a proposal of another node does is shown to no view: it is not verified yet.
            let shown = |attempt: &Attempt| (!open.hidden).then(|| attempt.overlay());
            self.set_overlay(turn, shown(&attempt));
            let opened = BuildResponse { step: Some(build_response::Step::Opened(build_response::Opened {})) };
            if out.blocking_send(Ok(opened)).is_err() {
                return Ok(Ended::Aborted);
            }
            build_stream::drive(attempt, &mut steps, &out, self.config.chunk, |attempt| {
                self.set_overlay(turn, shown(attempt));
            })
        });
        match &result {
            Ok(Ok(Ended::Closed(closed))) => self.keep_closed(turn, closed),
            _ => self.set_overlay(turn, None),
        }
        let result = result.unwrap_or_else(|panicked| {
            self.pool.discard();
            Err(Status::internal(format!("build: panicked: {}; the attempt is void", panicked.0)))
        });
        match result {
            Ok(Ended::Closed(closed)) => {
                let message = closed.message.clone();
                let (n, height) = (message.n, closed.height);
                self.closed().insert(open.attempt, *closed);
                logging::debug(
                    "attempt closed",
                    &[("attempt", &open.attempt), ("height", &height), ("n", &n), ("ms", &begun.elapsed().as_millis())],
                );
                let _ = out.blocking_send(Ok(BuildResponse { step: Some(build_response::Step::Closed(message)) }));
            }
            Ok(Ended::Aborted) => logging::debug("attempt aborted", &[("attempt", &open.attempt)]),
            Err(status) => {
                logging::warn("attempt failed", &[("attempt", &open.attempt), ("cause", &status.message())]);
                let _ = out.blocking_send(Err(status));
            }
        }
    }

    #[allow(clippy::result_large_err)]
    pub fn apply(&self, request: &ApplyRequest) -> Result<(), Status> {
        let height = request.height;
        let tip = self.tip.height();
        if request.adopt {
            // The one way back: storage reverted blocks, and what was in memory of them is void.
            if tip != Some(height) {
                self.tip.adopt(height);
            }
            self.closed().clear();
            let mut open = self.open_block();
            *open = OpenBlock { attempt: open.attempt + 1, overlay: None };
            return Ok(());
        }
        if tip.is_some_and(|tip| height <= tip) {
            return Ok(());
        }
        let (changes, declared) = if request.attempt != 0 {
            let mut closed = self.closed();
            match closed.get(&request.attempt) {
                Some(found) if !found.base.same_memory(&self.tip) => {
                    return Err(Status::failed_precondition(format!(
                        "apply: attempt {} was built on a state that is gone; apply the diff, or adopt the height",
                        request.attempt
                    )))
                }
                Some(found) if found.height == height => {
                    let found = closed.remove(&request.attempt).expect("just found");
                    for ((hash, loaded), class) in found.classes.iter().zip(&found.message.classes) {
                        loaded.engage(self.tip.engine(), *hash, class);
                    }
                    (found.changes, found.classes)
                }
                Some(found) => {
                    return Err(Status::invalid_argument(format!(
                        "apply: attempt {} is of block {}, not {height}",
                        request.attempt, found.height
                    )))
                }
                None => {
                    return Err(Status::failed_precondition(format!(
                        "apply: no closed attempt {} here; apply the diff, or adopt the height",
                        request.attempt
                    )))
                }
            }
        } else {
            let wire = request
                .state_diff
                .as_ref()
                .ok_or_else(|| Status::invalid_argument("apply: neither attempt, nor state_diff, nor adopt"))?;
            let changes = diff::from_wire(wire).map_err(malformed("apply: state_diff"))?;
            let declared = request
                .classes
                .iter()
                .map(|class| {
                    let (hash, loaded) = (classes::hash(class)?, classes::load(class)?);
                    loaded.engage(self.tip.engine(), hash, class);
                    Ok((hash, loaded))
                })
                .collect::<Result<Vec<_>, Malformed>>()
                .map_err(malformed("apply"))?;
            (changes, declared)
        };
        let length = diff::length(&changes);
        self.tip.apply(height, &changes, declared).map_err(|gap| {
            let tip = gap.tip.map_or_else(|| "no tip".to_string(), |tip| format!("the tip {tip}"));
            Status::failed_precondition(format!("apply: block {height} does not follow {tip}"))
        })?;
        self.open_block().overlay = None; // after the tip has moved: a view takes the overlay first
        self.closed().retain(|_, other| other.height > height);
        logging::debug("applied", &[("height", &height), ("changes", &length), ("cells", &self.tip.cells())]);
        Ok(())
    }
}
