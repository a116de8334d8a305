//! The gRPC service: who may call when, and which thread does it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use ordo_sdk::v1::build_request::Step;
use ordo_sdk::v1::diagnostic::Severity;
use ordo_sdk::v1::execution_server::{Execution, ExecutionServer};
use ordo_sdk::v1::plugin_server::{Plugin, PluginServer};
use ordo_sdk::v1::{
    build_response, ApplyRequest, ApplyResponse, BuildRequest, BuildResponse, CompileRequest, CompileResponse,
    ConfigureRequest, ConfigureResponse, DescribeRequest, DescribeResponse, Diagnostic, DrainRequest, DrainResponse,
    Refusal, Stage, ValidateRequest, ValidateResponse, ViewRequest, ViewResponse,
};
use ordo_sdk::{logging, Host, MAX_MESSAGE};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, OwnedMutexGuard};
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use crate::attempt::{Attempt, Closed, Mode, Pool};
use crate::classes;
use crate::config::{self, Config};
use crate::context::{Block, Chain};
use crate::diff;
use crate::felts::Malformed;
use crate::state::{Limits, Overlay, Remote, Snapshot, Tip};
use crate::stream::{self, Ended};
use crate::threads::{caught, Threads, STACK};
use crate::{compile, validate, view};

pub const NAME: &str = "blockifier";

/// How long a new attempt waits for the one before to let go.
const TURN: Duration = Duration::from_secs(5);

pub fn routes(host: &Host) -> Routes {
    let service = Service(Arc::new(Shared { runtime: host.runtime.clone(), stage: OnceLock::new() }));
    Routes::new(
        PluginServer::new(service.clone())
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE),
    )
    .add_service(
        ExecutionServer::new(service).max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE),
    )
}

#[derive(Clone)]
pub struct Service(Arc<Shared>);

struct Shared {
    runtime: Handle,
    stage: OnceLock<Arc<Running>>,
}

/// What exists from Configure on.
struct Running {
    config: Config,
    chain: Chain,
    tip: Tip,
    pool: Arc<Pool>,
    views: Threads,
    /// Held by the open attempt.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// The open attempt's state, for views.
    open: Mutex<Option<Overlay>>,
    closed: Mutex<HashMap<u64, Closed>>,
    draining: std::sync::atomic::AtomicBool,
}

impl Service {
    #[allow(clippy::result_large_err)] // tonic's own error type
    fn running(&self) -> Result<Arc<Running>, Status> {
        let running = self.0.stage.get().ok_or_else(|| Status::failed_precondition("execution: not configured yet"))?;
        if running.draining.load(std::sync::atomic::Ordering::Acquire) {
            return Err(Status::failed_precondition("execution: draining, no new work is taken"));
        }
        Ok(running.clone())
    }
}

fn malformed(what: &str) -> impl Fn(Malformed) -> Status + '_ {
    move |error| Status::invalid_argument(format!("{what}: {error}"))
}

fn refuse(path: &str, summary: String) -> Diagnostic {
    Diagnostic { severity: Severity::Error.into(), summary, detail: String::new(), path: path.into() }
}

impl Running {
    fn start(request: &ConfigureRequest, runtime: Handle) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
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
    fn snapshot(&self) -> Result<Snapshot, Status> {
        self.tip
            .snapshot()
            .ok_or_else(|| Status::failed_precondition("execution: there is no tip yet, call Apply first"))
    }

    fn overlay(&self) -> Option<Overlay> {
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
    fn open(&self, open: &ordo_sdk::v1::build_request::Open) -> Result<Attempt, Status> {
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
    fn build(&self, open: ordo_sdk::v1::build_request::Open, mut steps: mpsc::Receiver<Step>, out: stream::Out) {
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
    fn apply(&self, request: &ApplyRequest) -> Result<(), Status> {
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

#[tonic::async_trait]
impl Plugin for Service {
    async fn describe(&self, _: Request<DescribeRequest>) -> Result<Response<DescribeResponse>, Status> {
        let mut capabilities = vec!["view".to_string(), "compile".to_string()];
        let workers = self.0.stage.get().map_or_else(config::cores, |running| running.config.workers);
        let sequential =
            self.0.stage.get().is_some_and(|running| running.config.executor == config::Executor::Sequential);
        if workers > 1 && !sequential {
            capabilities.push("concurrent".into());
        }
        Ok(Response::new(DescribeResponse {
            name: NAME.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            stage: Stage::Execution.into(),
            api_minor: 0,
            capabilities,
            config_schema: config::SCHEMA.into(),
        }))
    }

    async fn configure(&self, request: Request<ConfigureRequest>) -> Result<Response<ConfigureResponse>, Status> {
        if self.0.stage.get().is_some() {
            return Err(Status::failed_precondition("configure: was called before; start the plugin anew"));
        }
        let runtime = self.0.runtime.clone();
        let diagnostics = match Running::start(request.get_ref(), runtime) {
            Ok((running, notes)) => {
                logging::info(
                    "configured",
                    &[
                        ("executor", &format!("{:?}", running.config.executor).to_lowercase()),
                        ("workers", &running.config.workers),
                        ("chain", &running.chain.info.chain_id),
                        ("generation", &request.get_ref().generation),
                    ],
                );
                let _ = self.0.stage.set(Arc::new(running));
                notes
            }
            Err(diagnostics) => diagnostics,
        };
        Ok(Response::new(ConfigureResponse { diagnostics }))
    }

    async fn drain(&self, request: Request<DrainRequest>) -> Result<Response<DrainResponse>, Status> {
        if let Some(running) = self.0.stage.get() {
            running.draining.store(true, std::sync::atomic::Ordering::Release);
            // An open attempt ends by the core's hand; nothing durable is here, so the wait is all there is to do.
            let most = Duration::from_millis(request.get_ref().deadline_ms.into());
            let _ = tokio::time::timeout(most, running.turn.lock()).await;
        }
        Ok(Response::new(DrainResponse {}))
    }
}

#[tonic::async_trait]
impl Execution for Service {
    type BuildStream = ReceiverStream<Result<BuildResponse, Status>>;

    async fn build(&self, request: Request<Streaming<BuildRequest>>) -> Result<Response<Self::BuildStream>, Status> {
        let running = self.running()?;
        let mut inward = request.into_inner();
        let (out, outward) = mpsc::channel(64);
        tokio::spawn(async move {
            if let Err(status) = serve_build(running, &mut inward, out.clone()).await {
                let _ = out.send(Err(status)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(outward)))
    }

    async fn apply(&self, request: Request<ApplyRequest>) -> Result<Response<ApplyResponse>, Status> {
        let running = self.running()?;
        let request = request.into_inner();
        // Parsing classes and moving a big diff takes a while: not on a thread of the server.
        let tip = tokio::task::spawn_blocking(move || running.apply(&request).map(|()| running.tip.height()))
            .await
            .map_err(|error| Status::internal(format!("apply: {error}")))??;
        Ok(Response::new(ApplyResponse { has_tip: tip.is_some(), tip: tip.unwrap_or_default() }))
    }

    async fn validate(&self, request: Request<ValidateRequest>) -> Result<Response<ValidateResponse>, Status> {
        let running = self.running()?;
        let request = request.into_inner();
        let context = request.context.unwrap_or_default();
        let block = Arc::new(validate::block(&running.chain, &context).map_err(malformed("validate"))?);
        let snapshot = running.snapshot()?;
        let mut waiting = Vec::with_capacity(request.items.len());
        for item in request.items {
            let (snapshot, block) = (snapshot.clone(), block.clone());
            let views = running.views.clone();
            waiting.push(tokio::spawn(
                async move { views.run(move || validate::verdict(&snapshot, &block, &item)).await },
            ));
        }
        let mut verdicts = Vec::with_capacity(waiting.len());
        for verdict in waiting {
            let verdict = verdict
                .await
                .map_err(|error| Status::internal(format!("validate: {error}")))?
                .map_err(|panicked| Status::internal(format!("validate: panicked: {}", panicked.0)))?
                .map_err(|cause| Status::unavailable(format!("validate: {cause}")))?;
            verdicts.push(verdict);
        }
        Ok(Response::new(ValidateResponse { verdicts }))
    }

    async fn view(&self, request: Request<ViewRequest>) -> Result<Response<ViewResponse>, Status> {
        let running = self.running()?;
        let request = request.into_inner();
        let timeout = request.timeout_ms;
        let views = running.views.clone();
        let given_up = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stop = given_up.clone();
        let work = views.run(move || {
            let open = running.overlay();
            let at = view::At { tip: running.snapshot()?, open, remote: running.tip.remote().cloned(), stop };
            view::answer(&running.chain, at, &request)
        });
        let answer = if timeout == 0 {
            work.await
        } else {
            match tokio::time::timeout(Duration::from_millis(timeout.into()), work).await {
                Ok(answer) => answer,
                Err(_) => {
                    // The thread goes on to its gas limit; nobody waits for it, and work that has not begun never does.
                    given_up.store(true, std::sync::atomic::Ordering::Release);
                    return Ok(Response::new(view::timed_out(timeout)));
                }
            }
        };
        answer.map_err(|panicked| Status::internal(format!("view: panicked: {}", panicked.0)))?.map(Response::new)
    }

    async fn compile(&self, request: Request<CompileRequest>) -> Result<Response<CompileResponse>, Status> {
        let running = self.running()?;
        let sierra = request.into_inner().sierra;
        let compiled = running
            .views
            .run(move || compile::compile(&sierra))
            .await
            .map_err(|panicked| Status::internal(format!("compile: panicked: {}", panicked.0)))?;
        Ok(Response::new(match compiled {
            Ok(class) => {
                CompileResponse { refusal: Refusal::Unspecified.into(), reason: String::new(), class: Some(class) }
            }
            Err(refused) => CompileResponse { refusal: refused.code.into(), reason: refused.reason, class: None },
        }))
    }
}

/// Waits for the turn, starts the thread, and feeds it the steps of the stream.
async fn serve_build(
    running: Arc<Running>,
    inward: &mut Streaming<BuildRequest>,
    out: stream::Out,
) -> Result<(), Status> {
    let first = match inward.message().await {
        Ok(Some(first)) => first.step,
        Ok(None) | Err(_) => return Ok(()),
    };
    let Some(Step::Open(open)) = first else {
        return Err(Status::invalid_argument("build: the first step must be Open"));
    };
    let turn: OwnedMutexGuard<()> = tokio::time::timeout(TURN, running.turn.clone().lock_owned())
        .await
        .map_err(|_| Status::failed_precondition("open: another attempt is still open"))?;
    let (feed, steps) = mpsc::channel(16);
    std::thread::Builder::new()
        .name("build".into())
        .stack_size(STACK)
        .spawn(move || {
            let _turn = turn;
            running.build(open, steps, out);
        })
        .map_err(|error| Status::resource_exhausted(format!("open: thread: {error}")))?;
    // The end of the stream, in whatever way, drops `feed`: the attempt sees it as an abort.
    while let Ok(Some(request)) = inward.message().await {
        let Some(step) = request.step else { continue };
        if feed.send(step).await.is_err() {
            break;
        }
    }
    Ok(())
}
