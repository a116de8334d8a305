//! Write an ordo plugin in Rust.
//!
//! [`serve`] does what `docs/spec/plugin.md` demands of every plugin: the magic cookie, the choice of a version, the socket
//! and the handshake line, health, shutdown, logs, signals and the watch on the parent. The plugin brings its services:
//!
//! ```no_run
//! use ordo_sdk::tonic::service::Routes;
//!
//! fn main() -> std::process::ExitCode {
//!     ordo_sdk::serve(|_host| {
//!         // Routes::default().add_service(v1::plugin_server::PluginServer::new(..)).add_service(..)
//!         Routes::default()
//!     })
//! }
//! ```
//!
//! [`v1`] is the generated plugin protocol. [`listen`] and [`connect`] are for the sockets that `Configure` names. A plugin logs by
//! the macros of [`tracing`], see [`logging`]. A consensus protocol brings only its state machine: [`consensus`].

pub mod consensus;
mod handshake;
mod lifecycle;
pub mod logging;
mod serve;
mod sockets;

pub use handshake::{APP_VERSION, COOKIE_KEY, COOKIE_VALUE};
pub use serve::{serve, Host};
pub use sockets::{connect, listen, Listening, MAX_MESSAGE};
pub use {bytes, prost, tonic, tracing};

/// The plugin protocol: `sdk/proto/ordo/v1`.
#[allow(clippy::all)]
pub mod v1 {
    tonic::include_proto!("ordo.v1");
}

#[allow(clippy::all)]
mod go_plugin {
    tonic::include_proto!("plugin");
}

#[allow(clippy::all)]
mod health {
    tonic::include_proto!("grpc.health.v1");
}
