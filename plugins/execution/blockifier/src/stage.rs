//! The configured stage: the tip, the open build, and closed builds until they are applied.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ordo_sdk::v1::build_request::{Open, Step};
use ordo_sdk::v1::diagnostic::Severity;
use ordo_sdk::v1::{build_response, ApplyRequest, BuildResponse, ConfigureRequest, Diagnostic};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tonic::Status;
use tracing::{debug, warn};

use crate::build::{Build, Closed, Mode, Pool};
use crate::build_stream::{self, Ended};
use crate::cancel::CancellationToken;
use crate::classes;
use crate::compile_queue::CompileQueue;
use crate::config::{self, Config, Native};
use crate::context::{Block, Chain};
use crate::diff;
use crate::felts::Malformed;
use crate::native::{self, Engine, Wait};
use crate::run::memory::Ceiling;
use crate::run::stack;
use crate::state::{Limits, Overlay, Snapshot, StorageClient, Tip};
use crate::threads::{caught, Threads};
use crate::view_pool::ViewPool;

/// All that exists from Configure on.
pub struct Stage {
    pub config: Config,
    pub chain: Chain,
    pub ceiling: Ceiling,
    pub tip: Tip,
    pub pool: Arc<Pool>,
    pub validators: Threads,
    pub view_pool: ViewPool,
    pub compile_queue: CompileQueue,
    /// Held by the open build, or by a drain.
    pub build_lock: Arc<tokio::sync::Mutex<()>>,
    /// Number of aborted builds whose thread has not ended yet.
    pub abandoned_builds: AtomicUsize,
    /// The state of the open block, for views.
    open: Mutex<OpenBlock>,
    /// Closed builds by their id.
    closed: Mutex<HashMap<u64, Closed>>,
    pub draining: std::sync::atomic::AtomicBool,
}

/// What views see as the open block. A build that is not the newest one cannot change it.
#[derive(Default)]
struct OpenBlock {
    /// The number of the newest build in this process.
    build: u64,
    overlay: Option<Overlay>,
}

/// The status of a request whose field cannot be read.
pub fn malformed(what: &str) -> impl Fn(Malformed) -> Status + '_ {
    move |error| Status::invalid_argument(format!("{what}: {error}"))
}

/// An error in the configuration.
fn diagnostic(path: &str, summary: String) -> Diagnostic {
    Diagnostic { severity: Severity::Error.into(), summary, detail: String::new(), path: path.into() }
}

/// Starts the engine that the configuration asks for. With `auto` a failure is a warning, and the virtual machine runs all.
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
        Err(cause) => Err(vec![diagnostic("native", format!("native: {cause}"))]),
    }
}

impl Stage {
    /// Starts the stage. The diagnostics of a success are warnings.
    pub fn start(request: &ConfigureRequest, runtime: Handle) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        let config = config::parse(&request.config)?;
        let chain = request.chain.clone().unwrap_or_default();
        let chain = Chain::new(&chain).map_err(|error| vec![diagnostic("chain", error.0)])?;
        let mut notes = Vec::new();
        let patience = Duration::from_secs(config.storage_patience);
        let client = match request.peers.get("storage.read") {
            Some(socket) if Path::new(socket).is_absolute() => {
                Some(Arc::new(StorageClient::new(socket, runtime, patience)))
            }
            Some(socket) => {
                return Err(vec![diagnostic("peers.storage.read", format!("{socket:?} is no absolute path"))])
            }
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
        let threads = |error: std::io::Error| vec![diagnostic("view_workers", format!("threads: {error}"))];
        // This names the file that runs, also when another one was put in its place since.
        let program = PathBuf::from("/proc/self/exe");
        let (memory, cpu) = (config.compile_memory << 20, Duration::from_secs(config.compile_seconds));
        let compile_queue = CompileQueue::start(&program, config.view_workers, memory, cpu).map_err(threads)?;
        let engine = Arc::new(engine(&config, program, &mut notes)?);
        let ceiling = Ceiling::of(config.memory_mib);
        ceiling.tell_kernel();
        stack::share(ceiling.bytes());
        let limits = Limits { cells: config.cached_cells, classes: config.cached_classes };
        Ok((
            Self {
                tip: Tip::new(limits, engine, client),
                pool: Arc::new(Pool::new(config.workers)),
                validators: Threads::start("validate", config.view_workers).map_err(threads)?,
                view_pool: ViewPool::start(config.view_workers).map_err(threads)?,
                compile_queue,
                build_lock: Arc::default(),
                abandoned_builds: AtomicUsize::new(0),
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
    /// The state of the tip.
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

    /// The state of the open block, if there is one.
    pub fn overlay(&self) -> Option<Overlay> {
        self.open_block().overlay.clone()
    }

    fn set_overlay(&self, build: u64, overlay: Option<Overlay>) {
        let mut open = self.open_block();
        if open.build == build {
            open.overlay = overlay;
        }
    }

    /// Makes the closed block the one that views see, until a block is applied: transactions beyond the close are not in it.
    fn keep_closed(&self, build: u64, closed: &Closed) {
        let mut open = self.open_block();
        if open.build != build {
            return;
        }
        if let Some(overlay) = open.overlay.as_mut() {
            overlay.changes = closed.changes.clone().into();
            overlay.classes = Arc::new(closed.classes.iter().cloned().collect());
        }
    }

    /// The counters of `Describe`, by name.
    pub fn counters(&self) -> HashMap<String, u64> {
        let done = &self.pool.counters;
        let (native, vm) = self.tip.engine().counts();
        HashMap::from([
            ("transactions".into(), done.transactions.load(Ordering::Relaxed)),
            ("calls.native".into(), done.native.load(Ordering::Relaxed)),
            ("calls.vm".into(), done.vm.load(Ordering::Relaxed)),
            ("classes.native".into(), native),
            ("classes.vm".into(), vm),
            ("views.abandoned".into(), self.view_pool.abandoned() as u64),
            ("cells".into(), self.tip.cells() as u64),
        ])
    }

    #[allow(clippy::result_large_err)]
    /// Opens a build on the tip.
    fn open(&self, open: &Open, cancel: CancellationToken) -> Result<Build, Status> {
        let context = open.context.as_ref().ok_or_else(|| Status::invalid_argument("open: context: is missing"))?;
        let snapshot = self.snapshot()?.fresh(cancel);
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
        Build::open(snapshot, block, mode, self.pool.clone()).map_err(|error| build_stream::status(&error))
    }

    /// The number of a new build. From here on the builds before it cannot change what views see.
    pub fn next_build(&self) -> u64 {
        let mut open = self.open_block();
        *open = OpenBlock { build: open.build + 1, overlay: open.overlay.take() };
        open.build
    }

    /// Runs a build from its Open to its end. It has a thread of its own, and `cancel` ends its waits for storage.
    pub fn build(
        &self,
        number: u64,
        open: Open,
        mut steps: mpsc::Receiver<Step>,
        out: build_stream::Out,
        cancel: CancellationToken,
    ) {
        let begun = Instant::now();
        let result = caught(|| {
            let build = self.open(&open, cancel)?;
            // The proposal of another node is not verified yet, so views do not see what it does.
            let shown = |build: &Build| (!open.hidden).then(|| build.overlay());
            self.set_overlay(number, shown(&build));
            let opened = BuildResponse { step: Some(build_response::Step::Opened(build_response::Opened {})) };
            if out.blocking_send(Ok(opened)).is_err() {
                return Ok(Ended::Aborted);
            }
            build_stream::drive(build, &mut steps, &out, self.config.chunk, |build| {
                self.set_overlay(number, shown(build));
            })
        });
        match &result {
            Ok(Ok(Ended::Closed(closed))) => self.keep_closed(number, closed),
            _ => self.set_overlay(number, None),
        }
        let result = result.unwrap_or_else(|panicked| {
            self.pool.discard();
            Err(Status::internal(format!("build: panicked: {}; the build is void", panicked.0)))
        });
        match result {
            Ok(Ended::Closed(closed)) => {
                let message = closed.message.clone();
                let (n, height) = (message.n, closed.height);
                self.closed().insert(open.build_id, *closed);
                debug!(build_id = open.build_id, height, n, ms = begun.elapsed().as_millis() as u64, "build closed");
                let _ = out.blocking_send(Ok(BuildResponse { step: Some(build_response::Step::Closed(message)) }));
            }
            Ok(Ended::Aborted) => debug!(build_id = open.build_id, "build aborted"),
            Err(status) => {
                warn!(build_id = open.build_id, cause = status.message(), "build failed");
                let _ = out.blocking_send(Err(status));
            }
        }
    }

    #[allow(clippy::result_large_err)]
    /// Moves the tip by one block, or adopts the height that storage holds.
    pub fn apply(&self, request: &ApplyRequest) -> Result<(), Status> {
        let height = request.height;
        let tip = self.tip.height();
        if request.adopt {
            // This is the only way to a lower height: storage has reverted blocks, and the memory of them is void.
            if tip != Some(height) {
                self.tip.adopt(height);
            }
            self.closed().clear();
            let mut open = self.open_block();
            *open = OpenBlock { build: open.build + 1, overlay: None };
            return Ok(());
        }
        if tip.is_some_and(|tip| height <= tip) {
            return Ok(());
        }
        let (changes, declared) = if request.build_id != 0 {
            let mut closed = self.closed();
            match closed.get(&request.build_id) {
                Some(found) if !self.tip.is_base_of(&found.base) => {
                    return Err(Status::failed_precondition(format!(
                        "apply: build {} was made on a state that is gone; apply the diff, or adopt the height",
                        request.build_id
                    )))
                }
                Some(found) if found.height == height => {
                    let found = closed.remove(&request.build_id).expect("just found");
                    for ((hash, loaded), class) in found.classes.iter().zip(&found.message.classes) {
                        loaded.attach_native(self.tip.engine(), *hash, class);
                    }
                    (found.changes, found.classes)
                }
                Some(found) => {
                    return Err(Status::invalid_argument(format!(
                        "apply: build {} is of block {}, not {height}",
                        request.build_id, found.height
                    )))
                }
                None => {
                    return Err(Status::failed_precondition(format!(
                        "apply: there is no closed build {} here; apply the diff, or adopt the height",
                        request.build_id
                    )))
                }
            }
        } else {
            let wire = request
                .state_diff
                .as_ref()
                .ok_or_else(|| Status::invalid_argument("apply: neither a build, nor state_diff, nor adopt"))?;
            let changes = diff::from_wire(wire).map_err(malformed("apply: state_diff"))?;
            let declared = request
                .classes
                .iter()
                .map(|class| {
                    let (hash, loaded) = (classes::hash(class)?, classes::load(class)?);
                    loaded.attach_native(self.tip.engine(), hash, class);
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
        self.open_block().overlay = None; // this comes after the tip has moved: a view takes the overlay first
        self.closed().retain(|_, other| other.height > height);
        debug!(height, changes = length, cells = self.tip.cells(), "block applied");
        Ok(())
    }
}
