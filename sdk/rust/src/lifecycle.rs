//! The lifecycle of a plugin: health, shutdown, signals and the end of its parent.

use std::pin::Pin;
use std::time::Duration;

use tokio::signal::unix::{signal, SignalKind};
use tokio::sync::watch;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use crate::go_plugin::grpc_controller_server::GrpcController;
use crate::go_plugin::Empty;
use crate::health::health_check_response::ServingStatus;
use crate::health::health_server::Health;
use crate::health::{HealthCheckRequest, HealthCheckResponse};

const PARENT_POLL: Duration = Duration::from_millis(500);

/// The flag that ends the process in order.
#[derive(Clone)]
pub struct Stop(watch::Sender<bool>);

impl Stop {
    pub fn new() -> Self {
        Self(watch::channel(false).0)
    }

    pub fn now(&self) {
        self.0.send_replace(true);
    }

    pub async fn asked(&self) {
        let mut flag = self.0.subscribe();
        // The sender is in self, so this cannot fail.
        let _ = flag.wait_for(|asked| *asked).await;
    }
}

pub struct Controller(pub Stop);

#[tonic::async_trait]
impl GrpcController for Controller {
    async fn shutdown(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        self.0.now();
        Ok(Response::new(Empty {}))
    }
}

/// The health of the service `plugin`, for which go-plugin asks, and of the process (the empty name).
pub struct Alive;

fn status(service: &str) -> Option<HealthCheckResponse> {
    ["plugin", ""].contains(&service).then(|| HealthCheckResponse { status: ServingStatus::Serving.into() })
}

#[tonic::async_trait]
impl Health for Alive {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        status(&request.get_ref().service)
            .map(Response::new)
            .ok_or_else(|| Status::not_found("health: no such service here"))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        use tokio_stream::StreamExt;
        let first = status(&request.get_ref().service)
            .unwrap_or(HealthCheckResponse { status: ServingStatus::ServiceUnknown.into() });
        // The answer never changes. The stream stays open, so that its end shows the end of the process.
        let stream = tokio_stream::once(Ok(first)).chain(tokio_stream::pending());
        Ok(Response::new(Box::pin(stream)))
    }
}

/// Handles signals. SIGINT reaches the whole process group of a terminal, and the core handles it. SIGTERM ends the plugin in order.
pub fn watch_signals(stop: Stop) -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move { while interrupt.recv().await.is_some() {} });
    tokio::spawn(async move {
        if terminate.recv().await.is_some() {
            stop.now();
        }
    });
    Ok(())
}

/// Ends an attached plugin in order on its owner's SIGINT, SIGTERM and SIGHUP, as for any program in a terminal.
pub fn watch_owner(stop: Stop) -> std::io::Result<()> {
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let (mut signals, stop) = (signal(kind)?, stop.clone());
        tokio::spawn(async move {
            if signals.recv().await.is_some() {
                stop.now();
            }
        });
    }
    Ok(())
}

/// Ends the process when the core is gone. It uses threads of its own, because a runtime that is stuck must not keep the process.
///
/// stdin is watched only when the host says so (`ORDO_PLUGIN_WATCH_STDIN`): go-plugin passes its own stdin on, and an empty one (a
/// service manager, a pipeline) ends at once although the host runs.
pub fn watch_parent() -> std::io::Result<()> {
    // SAFETY: getppid has no preconditions and cannot fail.
    let parent = || unsafe { libc::getppid() };
    let first = parent();
    std::thread::Builder::new().name("parent-watch".into()).spawn(move || loop {
        std::thread::sleep(PARENT_POLL);
        if parent() != first {
            gone("the parent process changed");
        }
    })?;
    if std::env::var_os("ORDO_PLUGIN_WATCH_STDIN").is_some() {
        std::thread::Builder::new().name("stdin-watch".into()).spawn(|| {
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            gone("stdin ended");
        })?;
    }
    Ok(())
}

fn gone(sign: &str) -> ! {
    tracing::warn!(sign, "the core is gone, ending");
    std::process::exit(0)
}
