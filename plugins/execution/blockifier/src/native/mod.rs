//! Machine code of classes, by Cairo Native. The virtual machine runs the classes that have none; the results are the same.
//!
//! A class is looked up on disk when it is loaded. If it is not there, it is compiled in the background, in a child process with
//! limits, and its machine code is used from then on. Only Sierra from 1.7.0 on can run natively, and once one frame of a call
//! stack runs on the virtual machine, all frames above it do.

#[cfg(feature = "native")]
mod cache;
mod engine;
#[cfg(feature = "native")]
mod make;
#[cfg(feature = "native")]
mod queue;
#[cfg(feature = "native")]
mod runtime;
mod settings;
mod slot;

pub use engine::Engine;
#[cfg(feature = "native")]
pub use make::{stdin_to_folder, COMMAND};
pub use settings::{default_cache, Settings, Wait};
pub use slot::Slot;
