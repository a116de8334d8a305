//! The gRPC service of the plugin: it checks when a method may be called, and chooses the thread that serves it.

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
    ConfigureResponse, DescribeRequest, DescribeResponse, DrainRequest, DrainResponse, ValidateRequest,
    ValidateResponse, ViewRequest, ViewResponse,
};
use ordo_sdk::{v1, Host, MAX_MESSAGE};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, OwnedMutexGuard};
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};
use tracing::info;

use crate::build_stream;
use crate::cancel::{CancelOnDrop, CancellationToken};
use crate::native::Engine;
use crate::stage::{malformed, Stage};
use crate::threads::STACK;
use crate::view_pool::Unanswered;
use crate::{compile_queue, config, validate, view};

pub const NAME: &str = "blockifier";

/// How long a new build waits for the one before it to end.
const BUILD_LOCK_WAIT: Duration = Duration::from_secs(5);
/// How long an aborted build may take to end before the next one starts beside it.
const ABORT_WAIT: Duration = Duration::from_millis(50);
/// How many aborted builds may still run. A transaction ends at its gas limit, after seconds.
const MAX_ABANDONED_BUILDS: usize = 4;

/// The services of the plugin.
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

/// The service. It has no stage until Configure.
#[derive(Clone)]
pub struct Service(Arc<Shared>);

struct Shared {
    runtime: Handle,
    stage: OnceLock<Arc<Stage>>,
}

impl Service {
    /// The stage, where it takes new work.
    #[allow(clippy::result_large_err)] // tonic's own error type
    fn stage(&self) -> Result<Arc<Stage>, Status> {
        let stage = self.0.stage.get().ok_or_else(|| Status::failed_precondition("execution: not configured yet"))?;
        if stage.draining.load(Ordering::Acquire) {
            return Err(Status::failed_precondition("execution: draining, no new work is taken"));
        }
        Ok(stage.clone())
    }
}

#[tonic::async_trait]
impl Plugin for Service {
    async fn describe(&self, _: Request<DescribeRequest>) -> Result<Response<DescribeResponse>, Status> {
        let mut capabilities = vec!["view".to_string(), "compile".to_string()];
        let workers = self.0.stage.get().map_or_else(config::cores, |stage| stage.config.workers);
        let sequential = self.0.stage.get().is_some_and(|stage| stage.config.executor == config::Executor::Sequential);
        if workers > 1 && !sequential {
            capabilities.push("concurrent".into());
        }
        let native = match self.0.stage.get() {
            Some(stage) => stage.tip.engine().on(),
            None => Engine::BUILT,
        };
        if native {
            capabilities.push("native".into());
        }
        let counters = self.0.stage.get().map(|stage| stage.counters()).unwrap_or_default();
        Ok(Response::new(DescribeResponse {
            counters,
            name: NAME.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            stage: v1::Stage::Execution.into(),
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
        let diagnostics = match Stage::start(request.get_ref(), runtime) {
            Ok((stage, notes)) => {
                info!(
                    executor = format!("{:?}", stage.config.executor).to_lowercase(),
                    workers = stage.config.workers,
                    native = if stage.tip.engine().on() { "on" } else { "off" },
                    chain = %stage.chain.info.chain_id,
                    generation = request.get_ref().generation,
                    "configured"
                );
                let _ = self.0.stage.set(Arc::new(stage));
                notes
            }
            Err(diagnostics) => diagnostics,
        };
        Ok(Response::new(ConfigureResponse { diagnostics }))
    }

    async fn drain(&self, request: Request<DrainRequest>) -> Result<Response<DrainResponse>, Status> {
        if let Some(stage) = self.0.stage.get() {
            stage.draining.store(true, Ordering::Release);
            // The core ends an open build. Nothing durable is here, so waiting for that is all there is to do.
            let most = Duration::from_millis(request.get_ref().deadline_ms.into());
            let _ = tokio::time::timeout(most, stage.build_lock.lock()).await;
        }
        Ok(Response::new(DrainResponse {}))
    }
}

#[tonic::async_trait]
impl Execution for Service {
    type BuildStream = ReceiverStream<Result<BuildResponse, Status>>;

    async fn build(&self, request: Request<Streaming<BuildRequest>>) -> Result<Response<Self::BuildStream>, Status> {
        let stage = self.stage()?;
        let mut inward = request.into_inner();
        let (out, outward) = mpsc::channel(64);
        tokio::spawn(async move {
            if let Err(status) = serve_build(stage, &mut inward, out.clone()).await {
                let _ = out.send(Err(status)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(outward)))
    }

    async fn apply(&self, request: Request<ApplyRequest>) -> Result<Response<ApplyResponse>, Status> {
        let stage = self.stage()?;
        let request = request.into_inner();
        // Parsing classes and applying a big diff takes a while, so it has no thread of the server.
        let tip = tokio::task::spawn_blocking(move || stage.apply(&request).map(|()| stage.tip.height()))
            .await
            .map_err(|error| Status::internal(format!("apply: {error}")))??;
        Ok(Response::new(ApplyResponse { has_tip: tip.is_some(), tip: tip.unwrap_or_default() }))
    }

    async fn validate(&self, request: Request<ValidateRequest>) -> Result<Response<ValidateResponse>, Status> {
        let stage = self.stage()?;
        let request = request.into_inner();
        let limits = stage.ceiling.view(request.memory_mib);
        let context = request.context.unwrap_or_default();
        let block = Arc::new(validate::block(&stage.chain, &context).map_err(malformed("validate"))?);
        // The overlay is taken before the tip, as views do: Apply moves the tip first.
        let (at, tried) = (request.at.and_then(|at| at.at), request.trial);
        let open = matches!(at, Some(At::OpenBlock(_))).then(|| stage.overlay()).flatten();
        if let Some(At::Height(_)) = at {
            return Err(Status::invalid_argument("validate: at: a past height is not served"));
        }
        let snapshot = stage.snapshot()?;
        let gone = CancelOnDrop::default();
        let items = Arc::new(request.items);
        if validate::needs_prefetch(&snapshot, &block, &items) {
            let (snapshot, block, items) = (snapshot.fresh(gone.0.clone()), block.clone(), items.clone());
            let read = stage.validators.run(move || validate::prefetch(&snapshot, &block, &items)).await;
            read.map_err(|panicked| Status::internal(format!("validate: panicked: {}", panicked.0)))?;
        }
        let next = Arc::new(AtomicUsize::new(0));
        let process = stage.ceiling.view(0).process;
        let pool = stage.pool.clone();
        let trial =
            tried.then(|| validate::Trial { timer: Handle::current(), time: validate::Trial::TIME, process, pool });
        let trial = Arc::new(trial);
        let base = validate::Base { tip: snapshot, open };
        let mut waiting = Vec::new();
        for _ in 0..items.len().min(stage.config.view_workers) {
            let (base, block, items, next) = (base.clone(), block.clone(), items.clone(), next.clone());
            let (threads, cancel, trial) = (stage.validators.clone(), gone.0.clone(), trial.clone());
            waiting.push(tokio::spawn(async move {
                // Each thread takes one item after the other: handing single items to threads would cost as much as some validations.
                threads
                    .run(move || {
                        let mut verdicts = Vec::new();
                        loop {
                            let index = next.fetch_add(1, Ordering::Relaxed);
                            let Some(item) = items.get(index) else { return Ok(verdicts) };
                            let trial = trial.as_ref().as_ref();
                            let verdict = validate::verdict(&base, &block, item, cancel.clone(), limits, trial)?;
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
        let stage = self.stage()?;
        let request = request.into_inner();
        let timeout = request.timeout_ms;
        let limit = (timeout > 0).then(|| Duration::from_millis(timeout.into()));
        let cancel = CancellationToken::default();
        let viewed = stage.clone();
        let task = {
            let cancel = cancel.clone();
            move || {
                let open = viewed.overlay();
                let bounds = view::Bounds {
                    gas: if viewed.config.call_gas == 0 { u64::MAX } else { viewed.config.call_gas },
                    calldata: viewed.config.call_calldata,
                };
                let client = viewed.tip.client().cloned();
                let limits = viewed.ceiling.view(request.memory_mib);
                let at = view::At { tip: viewed.snapshot()?, open, client, cancel, bounds, limits };
                view::answer(&viewed.chain, at, &request)
            }
        };
        match stage.view_pool.run(limit, cancel, task).await {
            Ok(answer) => answer.map(Response::new),
            Err(Unanswered::Late) => Ok(Response::new(view::timed_out(timeout))),
            Err(Unanswered::Busy(cause)) => Err(Status::resource_exhausted(format!("view: busy: {cause}"))),
            Err(Unanswered::Panicked(cause)) => Err(Status::internal(format!("view: panicked: {cause}"))),
        }
    }

    async fn compile(&self, request: Request<CompileRequest>) -> Result<Response<CompileResponse>, Status> {
        let stage = self.stage()?;
        match stage.compile_queue.compile(request.into_inner().sierra).await {
            Ok(answer) => Ok(Response::new(answer)),
            Err(compile_queue::Unanswered::Busy(cause)) => {
                Err(Status::resource_exhausted(format!("compile: busy: {cause}")))
            }
            Err(compile_queue::Unanswered::Failed(cause)) => Err(Status::internal(format!("compile: {cause}"))),
        }
    }
}

/// The lock of a build, which is released once: by the thread of the build when it ends, or before that by the stream of an
/// aborted one.
struct BuildLock(Mutex<Option<OwnedMutexGuard<()>>>);

impl BuildLock {
    fn release(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }
}

/// Serves one Build stream: it waits for the lock, starts the thread, and gives it the steps.
async fn serve_build(
    stage: Arc<Stage>,
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
    let lock: OwnedMutexGuard<()> = tokio::time::timeout(BUILD_LOCK_WAIT, stage.build_lock.clone().lock_owned())
        .await
        .map_err(|_| Status::failed_precondition("open: another build is still open"))?;
    let lock = Arc::new(BuildLock(Mutex::new(Some(lock))));
    let cancel = CancellationToken::default();
    let (feed, steps) = mpsc::channel(16);
    let number = stage.next_build();
    let (own, ending, asked) = (stage.clone(), lock.clone(), cancel.clone());
    std::thread::Builder::new()
        .name("build".into())
        .stack_size(STACK)
        .spawn(move || {
            own.build(number, open, steps, out, asked);
            if !ending.release() {
                own.abandoned_builds.fetch_sub(1, Ordering::AcqRel);
            }
        })
        .map_err(|error| Status::resource_exhausted(format!("open: thread: {error}")))?;
    // Every end of the stream drops `feed`, which the build sees as an abort.
    while let Ok(Some(request)) = inward.message().await {
        let Some(step) = request.step else { continue };
        let last = matches!(step, Step::Close(_) | Step::Abort(_));
        let aborted = matches!(step, Step::Abort(_));
        if feed.send(step).await.is_err() || last && !aborted {
            return Ok(()); // the build ends by itself
        }
        if aborted {
            break;
        }
    }
    // The build may wait for storage, or be in a long transaction. The next build does not wait for that.
    cancel.cancel();
    drop(feed);
    tokio::time::sleep(ABORT_WAIT).await;
    if stage.abandoned_builds.fetch_add(1, Ordering::AcqRel) >= MAX_ABANDONED_BUILDS || !lock.release() {
        stage.abandoned_builds.fetch_sub(1, Ordering::AcqRel);
    }
    Ok(())
}
