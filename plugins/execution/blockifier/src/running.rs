//! The stage from Configure on: the tip, the open attempt, closed ones that wait for Apply.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ordo_sdk::logging;
use ordo_sdk::v1::build_request::{Open, Step};
use ordo_sdk::v1::diagnostic::Severity;
use ordo_sdk::v1::{build_response, ApplyRequest, BuildResponse, ConfigureRequest, Diagnostic};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tonic::Status;

use crate::attempt::{Attempt, Closed, Mode, Pool};
use crate::classes;
use crate::config::{self, Config};
use crate::context::{Block, Chain};
use crate::diff;
use crate::felts::Malformed;
use crate::state::{Limits, Overlay, Remote, Snapshot, Tip};
use crate::stream::{self, Ended};
use crate::threads::{caught, Threads};

/// What exists from Configure on.
pub struct Running {
    pub config: Config,
    pub chain: Chain,
    pub tip: Tip,
    pool: Arc<Pool>,
    pub views: Threads,
    /// Held by the open attempt.
    pub turn: Arc<tokio::sync::Mutex<()>>,
    /// The open attempt's state, for views.
    open: Mutex<Option<Overlay>>,
    closed: Mutex<HashMap<u64, Closed>>,
    pub draining: std::sync::atomic::AtomicBool,
}

pub fn malformed(what: &str) -> impl Fn(Malformed) -> Status + '_ {
    move |error| Status::invalid_argument(format!("{what}: {error}"))
}

fn refuse(path: &str, summary: String) -> Diagnostic {
    Diagnostic { severity: Severity::Error.into(), summary, detail: String::new(), path: path.into() }
}

impl Running {
    pub fn start(request: &ConfigureRequest, runtime: Handle) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        let config = config::parse(&request.config)?;
        let chain = request.chain.clone().unwrap_or_default();
        let chain = Chain::new(&chain).map_err(|error| vec![refuse("chain", error.0)])?;
        let mut notes = Vec::new();
        let remote = match request.peers.get("storage.read") {
            Some(socket) if Path::new(socket).is_absolute() => Some(Arc::new(Remote::new(socket, runtime))),
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
        let views = Threads::start("view", config.view_workers)
            .map_err(|error| vec![refuse("view_workers", format!("threads: {error}"))])?;
        let limits = Limits { cells: config.cached_cells, classes: config.cached_classes };
        Ok((
            Self {
                tip: Tip::new(limits, remote),
                pool: Arc::new(Pool::new(config.workers)),
                views,
                turn: Arc::default(),
                open: Mutex::default(),
                closed: Mutex::default(),
                draining: false.into(),
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

    pub fn overlay(&self) -> Option<Overlay> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_overlay(&self, overlay: Option<Overlay>) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = overlay;
    }

    /// What was sent and closed stays readable until a block is applied; what ran beyond the close does not.
    fn keep_closed(&self, closed: &Closed) {
        if let Some(overlay) = self.open.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            overlay.changes = Arc::new(closed.changes.clone());
            overlay.classes = Arc::new(closed.classes.iter().cloned().collect());
        }
    }

    #[allow(clippy::result_large_err)]
    fn open(&self, open: &Open) -> Result<Attempt, Status> {
        let context = open.context.as_ref().ok_or_else(|| Status::invalid_argument("open: context: is missing"))?;
        let snapshot = self.snapshot()?;
        if context.number != snapshot.height() + 1 {
            return Err(Status::failed_precondition(format!(
                "open: block {} cannot be built on the tip {}",
                context.number,
                snapshot.height()
            )));
        }
        let block = Block::new(&self.chain, context, self.config.block.bouncer()).map_err(malformed("open"))?;
        block.check_old_hash().map_err(malformed("open"))?;
        let mode = Mode { executor: self.config.executor, concurrent_from: self.config.concurrent_from };
        Attempt::open(snapshot, block, mode, self.pool.clone()).map_err(|broken| stream::status(&broken))
    }

    /// The whole life of an attempt, on a thread of its own.
    pub fn build(&self, open: Open, mut steps: mpsc::Receiver<Step>, out: stream::Out) {
        let begun = Instant::now();
        let result = caught(|| {
            let attempt = self.open(&open)?;
            self.set_overlay(Some(attempt.overlay()));
            let opened = BuildResponse { step: Some(build_response::Step::Opened(build_response::Opened {})) };
            if out.blocking_send(Ok(opened)).is_err() {
                return Ok(Ended::Aborted);
            }
            stream::drive(attempt, &mut steps, &out, self.config.chunk, |attempt| {
                self.set_overlay(Some(attempt.overlay()));
            })
        });
        match &result {
            Ok(Ok(Ended::Closed(closed))) => self.keep_closed(closed),
            _ => self.set_overlay(None),
        }
        let result = result.unwrap_or_else(|panicked| {
            self.pool.discard();
            Err(Status::internal(format!("build: panicked: {}; the attempt is void", panicked.0)))
        });
        match result {
            Ok(Ended::Closed(closed)) => {
                let message = closed.message.clone();
                let (n, height) = (message.n, closed.height);
                self.closed.lock().unwrap_or_else(PoisonError::into_inner).insert(open.attempt, *closed);
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
            self.closed.lock().unwrap_or_else(PoisonError::into_inner).clear();
            self.set_overlay(None);
            return Ok(());
        }
        if tip.is_some_and(|tip| height <= tip) {
            return Ok(());
        }
        let (changes, declared) = if request.attempt != 0 {
            let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
            match closed.get(&request.attempt) {
                Some(found) if found.height == height => {
                    let found = closed.remove(&request.attempt).expect("just found");
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
                .map(|class| Ok((classes::hash(class)?, classes::load(class)?)))
                .collect::<Result<Vec<_>, Malformed>>()
                .map_err(malformed("apply"))?;
            (changes, declared)
        };
        let length = diff::length(&changes);
        self.tip.apply(height, &changes, declared).map_err(|gap| {
            let tip = gap.tip.map_or_else(|| "no tip".to_string(), |tip| format!("the tip {tip}"));
            Status::failed_precondition(format!("apply: block {height} does not follow {tip}"))
        })?;
        self.set_overlay(None); // after the tip has moved: a view takes the overlay first
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, other| other.height > height);
        logging::debug("applied", &[("height", &height), ("changes", &length), ("cells", &self.tip.cells())]);
        Ok(())
    }
}
