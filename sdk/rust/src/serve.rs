//! Serving: from the start of the process to its end.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tonic::service::Routes;

use crate::go_plugin::grpc_controller_server::GrpcControllerServer;
use crate::handshake::{self, stage_name, Start};
use crate::health::health_server::HealthServer;
use crate::lifecycle::{watch_owner, watch_parent, watch_signals, Alive, Controller, Stop};
use crate::v1::plugin_client::PluginClient;
use crate::v1::{DescribeRequest, DescribeResponse};
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

/// Serves a plugin until the host ends it. `build` is called once, inside the runtime, before anything is announced. A start
/// by hand calls it too, to print the plugin's own answer to `Describe`, and ends.
pub fn serve<F>(build: F) -> ExitCode
where
    F: FnOnce(&Host) -> Routes,
{
    serve_as::<F, F>(build)
}

/// Serves for the crate that `C` is of, whose log lines are the plugin's own.
pub(crate) fn serve_as<C, F>(build: F) -> ExitCode
where
    F: FnOnce(&Host) -> Routes,
{
    let program = std::env::args().next().unwrap_or_else(|| "this program".into());
    let start = match handshake::start(&handshake::Environment::of_the_process()) {
        Ok(start) => start,
        Err(text) => {
            eprintln!("{program}: {text}");
            return ExitCode::FAILURE;
        }
    };
    if !matches!(start, Start::ByHand) {
        logging::install(std::env::var("ORDO_PLUGIN_LOG").ok().as_deref(), &[crate_of::<C>()]);
    }
    let result = match start {
        Start::ByHand => {
            return match introduce(build, &program) {
                Ok(()) => ExitCode::from(2),
                Err(error) => {
                    eprintln!(
                        "{program} is a plugin of ordo: a node starts it. It cannot say more about itself: {error}"
                    );
                    ExitCode::from(2)
                }
            }
        }
        Start::ByHost => run(build),
        Start::Attached { address, socket } => run_attached(build, &address, socket),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(cause = %error, "plugin: cannot serve");
            ExitCode::FAILURE
        }
    }
}

/// The crate that a function or closure is of.
fn crate_of<F>() -> &'static str {
    std::any::type_name::<F>().split("::").next().unwrap_or_default()
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn new_runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("grpc").build()
}

fn new_host(version: u32, socket: &Path) -> Host {
    Host { runtime: tokio::runtime::Handle::current(), version, socket: socket.into() }
}

/// Serves for the host that started the process.
fn run<F>(build: F) -> Result<()>
where
    F: FnOnce(&Host) -> Routes,
{
    let runtime = new_runtime()?;
    let version =
        handshake::choose_version(std::env::var("PLUGIN_PROTOCOL_VERSIONS").ok().as_deref(), &[handshake::APP_VERSION]);
    let socket = socket_path()?;
    let result = runtime.block_on(async {
        let stop = Stop::new();
        watch_signals(stop.clone())?;
        watch_parent()?;
        let listener = sockets::bind(&socket)?;
        let routes = build(&new_host(version, &socket));
        handshake::announce(version, &socket)?;
        serve_until(stop, listener, routes).await
    });
    end(runtime, &socket, result)
}

/// Serves at an address of the owner's choice, without the handshake line, for a node that attaches: in a debugger, say.
fn run_attached<F>(build: F, address: &str, socket: PathBuf) -> Result<()>
where
    F: FnOnce(&Host) -> Routes,
{
    let runtime = new_runtime()?;
    let result = runtime.block_on(async {
        let stop = Stop::new();
        watch_owner(stop.clone())?;
        let listener = sockets::bind(&socket)?;
        let routes = build(&new_host(handshake::APP_VERSION, &socket));
        let plugin = describe(routes.clone()).await?;
        let stage = stage_name(&plugin);
        eprintln!("{stage} {:?} is listening: ordo dev --{stage}-attach {address}", plugin.name);
        serve_until(stop, listener, routes).await
    });
    end(runtime, &socket, result)
}

async fn serve_until(stop: Stop, listener: tokio::net::UnixListener, routes: Routes) -> Result<()> {
    let routes =
        routes.add_service(HealthServer::new(Alive)).add_service(GrpcControllerServer::new(Controller(stop.clone())));
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
}

fn end(runtime: tokio::runtime::Runtime, socket: &Path, result: Result<()>) -> Result<()> {
    let _ = std::fs::remove_file(socket);
    // Threads of the plugin may still compute. Nothing durable depends on them.
    runtime.shutdown_background();
    result
}

/// Prints what the plugin is, after a start by hand: its own `Describe`, called in the process.
fn introduce<F>(build: F, program: &str) -> Result<()>
where
    F: FnOnce(&Host) -> Routes,
{
    let runtime = new_runtime()?;
    let plugin = runtime.block_on(async {
        let routes = build(&new_host(handshake::APP_VERSION, &socket_path()?));
        describe(routes).await
    });
    runtime.shutdown_background();
    eprint!("{}", handshake::introduction(program, &plugin?));
    Ok(())
}

async fn describe(routes: Routes) -> Result<DescribeResponse> {
    Ok(PluginClient::new(routes).describe(DescribeRequest {}).await?.into_inner())
}

fn socket_path() -> std::io::Result<PathBuf> {
    let folder = std::env::var_os("PLUGIN_UNIX_SOCKET_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let nanos =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    Ok(folder.join(format!("plugin-{}-{nanos:08x}.sock", std::process::id())))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_crate_of_a_plugin_is_that_of_its_closure() {
        fn of<F: Fn()>(_: F) -> &'static str {
            super::crate_of::<F>()
        }
        fn function() {}
        assert_eq!((of(|| {}), of(function)), ("ordo_sdk", "ordo_sdk"));
    }
}
