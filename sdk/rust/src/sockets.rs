//! Unix sockets with the limits of the plugin protocol: messages of 256 MiB, windows of 8 MiB.

use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::codegen::Service;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint, Server, Uri};

/// Set on every generated server and client: `.max_decoding_message_size(MAX_MESSAGE)`.
pub const MAX_MESSAGE: usize = 256 << 20;

/// Both windows: with only one of them raised the other stays at 64 KiB and throttles.
const WINDOW: u32 = 8 << 20;

/// sun_path holds 108 bytes with the final zero.
const MAX_PATH: usize = 107;

pub fn bind(path: &Path) -> io::Result<UnixListener> {
    if path.as_os_str().len() > MAX_PATH {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("socket path of more than {MAX_PATH} bytes: choose a shorter run directory"),
        ));
    }
    // A socket that a process left behind when it ended refuses the bind.
    if let Err(error) = std::fs::remove_file(path) {
        if error.kind() != io::ErrorKind::NotFound {
            return Err(error);
        }
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

pub async fn run(
    listener: UnixListener,
    routes: Routes,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), tonic::transport::Error> {
    Server::builder()
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_frame_size(1 << 20)
        .add_routes(routes)
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), stop)
        .await
}

/// A socket of `Configure.listen`, served until this is dropped.
pub struct Listening {
    path: PathBuf,
    _stop: watch::Sender<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Serves further routes on a socket of their own. Call it inside the runtime (any gRPC handler is).
pub fn listen(path: &Path, routes: Routes) -> io::Result<Listening> {
    let listener = bind(path)?;
    let (stop, mut stopped) = watch::channel(());
    tokio::spawn(async move {
        let until = async move {
            let _ = stopped.changed().await; // an error: the sender is gone, which is the sign
        };
        if let Err(error) = run(listener, routes, until).await {
            tracing::error!(cause = %error, "socket: serving ended");
        }
    });
    Ok(Listening { path: path.into(), _stop: stop })
}

/// A channel to a socket of `Configure.peers`. It connects at the first call and again after a loss.
pub fn connect(path: impl Into<PathBuf>) -> Channel {
    // The authority is a name: h2 refuses a path there.
    Endpoint::from_static("http://localhost")
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .connect_with_connector_lazy(Connector(path.into()))
}

#[derive(Clone)]
struct Connector(PathBuf);

impl Service<Uri> for Connector {
    type Response = TokioIo<UnixStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let path = self.0.clone();
        Box::pin(async move { UnixStream::connect(path).await.map(TokioIo::new) })
    }
}
