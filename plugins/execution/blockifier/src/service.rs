//! The gRPC service: who may call when, and which thread does it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ordo_sdk::v1::build_request::Step;
use ordo_sdk::v1::execution_server::{Execution, ExecutionServer};
use ordo_sdk::v1::plugin_server::{Plugin, PluginServer};
use ordo_sdk::v1::state_at::At;
use ordo_sdk::v1::validate_response::Verdict;
use ordo_sdk::v1::{
    ApplyRequest, ApplyResponse, BuildRequest, BuildResponse, CompileRequest, CompileResponse, ConfigureRequest,
    ConfigureResponse, DescribeRequest, DescribeResponse, DrainRequest, DrainResponse, Stage, ValidateRequest,
    ValidateResponse, ViewRequest, ViewResponse,
};
use ordo_sdk::{logging, Host, MAX_MESSAGE};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, OwnedMutexGuard};
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use crate::build_stream;
use crate::cancel::{Gone, Stop};
use crate::native::Engine;
use crate::stage::{malformed, Running};
use crate::threads::STACK;
use crate::view_pool::Unanswered;
use crate::{compile_queue, config, validate, view};

pub const NAME: &str = "blockifier";

/// How long a new attempt waits for the one before to let go.
const TURN: Duration = Duration::from_secs(5);
/// How long an attempt that nobody waits for may take to end before the next one starts beside it.
const EASE: Duration = Duration::from_millis(50);
/// How many of those there may be; a transaction ends at its gas limit, after seconds.
const MOST_LEFT: usize = 4;

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

impl Service {
    #[allow(clippy::result_large_err)] // tonic's own error type
    fn running(&self) -> Result<Arc<Running>, Status> {
        let running = self.0.stage.get().ok_or_else(|| Status::failed_precondition("execution: not configured yet"))?;
        if running.draining.load(Ordering::Acquire) {
            return Err(Status::failed_precondition("execution: draining, no new work is taken"));
        }
        Ok(running.clone())
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
        let native = match self.0.stage.get() {
            Some(running) => running.tip.engine().on(),
            None => Engine::BUILT,
        };
        if native {
            capabilities.push("native".into());
        }
        let counters = self.0.stage.get().map(|running| running.counters()).unwrap_or_default();
        Ok(Response::new(DescribeResponse {
            counters,
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
                        ("native", &if running.tip.engine().on() { "on" } else { "off" }),
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
            running.draining.store(true, Ordering::Release);
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
        let limits = running.ceiling.view(request.memory_mib);
        let context = request.context.unwrap_or_default();
        let block = Arc::new(validate::block(&running.chain, &context).map_err(malformed("validate"))?);
        // Before the tip, as views do: Apply moves the tip first.
        let (at, tried) = (request.at.and_then(|at| at.at), request.trial);
        let open = matches!(at, Some(At::OpenBlock(_))).then(|| running.overlay()).flatten();
        if let Some(At::Height(_)) = at {
            return Err(Status::invalid_argument("validate: at: a past height is not served"));
        }
        let snapshot = running.snapshot()?;
        let gone = Gone::default();
        let items = Arc::new(request.items);
        if validate::is_news(&snapshot, &block, &items) {
            let (snapshot, block, items) = (snapshot.fresh(gone.0.clone()), block.clone(), items.clone());
            let brought = running.validators.run(move || validate::bring(&snapshot, &block, &items)).await;
            brought.map_err(|panicked| Status::internal(format!("validate: panicked: {}", panicked.0)))?;
        }
        let next = Arc::new(AtomicUsize::new(0));
        let process = running.ceiling.view(0).process;
        let trial = tried.then(|| validate::Trial { timer: Handle::current(), time: validate::Trial::TIME, process });
        let trial = Arc::new(trial);
        let base = validate::Base { tip: snapshot, open };
        let mut waiting = Vec::new();
        for _ in 0..items.len().min(running.config.view_workers) {
            let (base, block, items, next) = (base.clone(), block.clone(), items.clone(), next.clone());
            let (threads, stop, trial) = (running.validators.clone(), gone.0.clone(), trial.clone());
            waiting.push(tokio::spawn(async move {
                // Each thread takes one after the other: passing each to a thread would cost as much as some validations.
                threads
                    .run(move || {
                        let mut verdicts = Vec::new();
                        loop {
                            let index = next.fetch_add(1, Ordering::Relaxed);
                            let Some(item) = items.get(index) else { return Ok(verdicts) };
                            let trial = trial.as_ref().as_ref();
                            let verdict = validate::verdict(&base, &block, item, stop.clone(), limits, trial)?;
                            verdicts.push((index, verdict));
                        }
                    })
                    .await
            }));
        }
        let mut verdicts = vec![Verdict::default(); items.len()];
        for part in waiting {
            let part: Vec<(usize, Verdict)> = part
                .await
                .map_err(|error| Status::internal(format!("validate: {error}")))?
                .map_err(|panicked| Status::internal(format!("validate: panicked: {}", panicked.0)))?
                .map_err(|cause: String| Status::unavailable(format!("validate: {cause}")))?;
            for (index, verdict) in part {
                verdicts[index] = verdict;
            }
        }
        Ok(Response::new(ValidateResponse { verdicts }))
    }

    async fn view(&self, request: Request<ViewRequest>) -> Result<Response<ViewResponse>, Status> {
        let running = self.running()?;
        let request = request.into_inner();
        let timeout = request.timeout_ms;
        let limit = (timeout > 0).then(|| Duration::from_millis(timeout.into()));
        let stop = Stop::default();
        let stage = running.clone();
        let task = {
            let stop = stop.clone();
            move || {
                let open = stage.overlay();
                let bounds = view::Bounds {
                    gas: if stage.config.call_gas == 0 { u64::MAX } else { stage.config.call_gas },
                    calldata: stage.config.call_calldata,
                };
                let remote = stage.tip.remote().cloned();
                let limits = stage.ceiling.view(request.memory_mib);
                let at = view::At { tip: stage.snapshot()?, open, remote, stop, bounds, limits };
                view::answer(&stage.chain, at, &request)
            }
        };
        match running.views.run(limit, stop, task).await {
            Ok(answer) => answer.map(Response::new),
            Err(Unanswered::Late) => Ok(Response::new(view::timed_out(timeout))),
            Err(Unanswered::Busy(cause)) => Err(Status::resource_exhausted(format!("view: busy: {cause}"))),
            Err(Unanswered::Panicked(cause)) => Err(Status::internal(format!("view: panicked: {cause}"))),
        }
    }

    async fn compile(&self, request: Request<CompileRequest>) -> Result<Response<CompileResponse>, Status> {
        let running = self.running()?;
        match running.compiler.compile(request.into_inner().sierra).await {
            Ok(answer) => Ok(Response::new(answer)),
            Err(compile_queue::Unanswered::Busy(cause)) => {
                Err(Status::resource_exhausted(format!("compile: busy: {cause}")))
            }
            Err(compile_queue::Unanswered::Failed(cause)) => Err(Status::internal(format!("compile: {cause}"))),
        }
    }
}

/// Gives the turn back once: the thread of the attempt when it ends, or before that the stream when nobody waits any more.
struct Turn(Mutex<Option<OwnedMutexGuard<()>>>);

impl Turn {
    fn give_back(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }
}

/// Waits for the turn, starts the thread, and feeds it the steps of the stream.
async fn serve_build(
    running: Arc<Running>,
    inward: &mut Streaming<BuildRequest>,
    out: build_stream::Out,
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
    let turn = Arc::new(Turn(Mutex::new(Some(turn))));
    let stop = Stop::default();
    let (feed, steps) = mpsc::channel(16);
    let number = running.next_turn();
    let (stage, ending, asked) = (running.clone(), turn.clone(), stop.clone());
    std::thread::Builder::new()
        .name("build".into())
        .stack_size(STACK)
        .spawn(move || {
            stage.build(number, open, steps, out, asked);
            if !ending.give_back() {
                stage.left.fetch_sub(1, Ordering::AcqRel);
            }
        })
        .map_err(|error| Status::resource_exhausted(format!("open: thread: {error}")))?;
    // The end of the stream, in whatever way, drops `feed`: the attempt sees it as an abort.
    while let Ok(Some(request)) = inward.message().await {
        let Some(step) = request.step else { continue };
        let last = matches!(step, Step::Close(_) | Step::Abort(_));
        let aborted = matches!(step, Step::Abort(_));
        if feed.send(step).await.is_err() || last && !aborted {
            return Ok(()); // it ended, or is about to, by itself
        }
        if aborted {
            break;
        }
    }
    // It may wait for storage, or be deep in a transaction: the next attempt does not wait for that.
    stop.ask();
    drop(feed);
    tokio::time::sleep(EASE).await;
    if running.left.fetch_add(1, Ordering::AcqRel) >= MOST_LEFT || !turn.give_back() {
        running.left.fetch_sub(1, Ordering::AcqRel);
    }
    Ok(())
}
