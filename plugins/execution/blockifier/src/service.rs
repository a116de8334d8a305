//! The gRPC service: who may call when, and which thread does it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ordo_sdk::v1::build_request::Step;
use ordo_sdk::v1::execution_server::{Execution, ExecutionServer};
use ordo_sdk::v1::plugin_server::{Plugin, PluginServer};
use ordo_sdk::v1::{
    ApplyRequest, ApplyResponse, BuildRequest, BuildResponse, CompileRequest, CompileResponse, ConfigureRequest,
    ConfigureResponse, DescribeRequest, DescribeResponse, DrainRequest, DrainResponse, Refusal, Stage, ValidateRequest,
    ValidateResponse, ViewRequest, ViewResponse,
};
use ordo_sdk::{logging, Host, MAX_MESSAGE};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, OwnedMutexGuard};
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use crate::running::{malformed, Running};
use crate::stream;
use crate::threads::STACK;
use crate::{compile, config, validate, view};

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
