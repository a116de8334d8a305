//! Serving: from the start of the process to its end.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tonic::service::Routes;

use crate::go_plugin::grpc_controller_server::GrpcControllerServer;
use crate::handshake;
use crate::health::health_server::HealthServer;
use crate::lifecycle::{watch_parent, watch_signals, Alive, Controller, Stop};
use crate::{logging, sockets};

/// How long open streams may take to end after Shutdown. The host kills the process after two seconds.
const GRACE: Duration = Duration::from_millis(1500);

/// The process, for a plugin that makes its services.
pub struct Host {
    /// The runtime of the server. `block_on` may be called from a thread of the plugin, and never from a handler.
    pub runtime: tokio::runtime::Handle,
    /// The version of the plugin protocol that was chosen.
    pub version: u32,
    socket: PathBuf,
}

impl Host {
    /// The socket that the host dials.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

/// Serves a plugin until the host ends it. `build` is called once, after the cookie was checked and before anything is
/// announced, inside the runtime.
pub fn serve<F>(build: F) -> ExitCode
where
    F: FnOnce(&Host) -> Routes,
{
    let program = std::env::args().next().unwrap_or_else(|| "this program".into());
    let program = Path::new(&program).file_name().map_or(program.clone(), |name| name.to_string_lossy().into());
    if let Err(text) = handshake::check_cookie(std::env::var(handshake::COOKIE_KEY).ok().as_deref(), &program) {
        eprintln!("{text}");
        return ExitCode::from(2);
    }
    logging::install(std::env::var("ORDO_PLUGIN_LOG").ok().as_deref());
    match run(build) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(cause = %error, "plugin: cannot serve");
            ExitCode::FAILURE
        }
    }
}

fn run<F>(build: F) -> Result<(), Box<dyn std::error::Error>>
where
    F: FnOnce(&Host) -> Routes,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("grpc").build()?;
    let version =
        handshake::choose_version(std::env::var("PLUGIN_PROTOCOL_VERSIONS").ok().as_deref(), &[handshake::APP_VERSION]);
    let socket = socket_path()?;
    let result = runtime.block_on(async {
        let stop = Stop::new();
        watch_signals(stop.clone())?;
        watch_parent()?;
        let listener = sockets::bind(&socket)?;
        let host = Host { runtime: tokio::runtime::Handle::current(), version, socket: socket.clone() };
        let routes = build(&host)
            .add_service(HealthServer::new(Alive))
            .add_service(GrpcControllerServer::new(Controller(stop.clone())));
        handshake::announce(version, &socket)?;

        let asked = stop.clone();
        let server = sockets::run(listener, routes, async move { asked.asked().await });
        let overdue = async {
            stop.asked().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            ended = server => ended?,
            () = overdue => {}
        }
        Ok(())
    });
    let _ = std::fs::remove_file(&socket);
    // Threads of the plugin may still compute. Nothing durable depends on them.
    runtime.shutdown_background();
    result
}

fn socket_path() -> std::io::Result<PathBuf> {
    let folder = std::env::var_os("PLUGIN_UNIX_SOCKET_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let nanos =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    Ok(folder.join(format!("plugin-{}-{nanos:08x}.sock", std::process::id())))
}
