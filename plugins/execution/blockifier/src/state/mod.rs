//! The state of the tip in this process, and snapshots of it.
//!
//! Applied blocks are written into memory, and other values are read from storage. A key that is not in memory was changed by no
//! block since the adopted height, or its change is stored already. So the head of storage has its value.

mod cache;
mod historical;
mod layers;
mod memory;
mod snapshot;
mod storage_client;
mod tip;
mod watched;

pub use historical::{Historical, Overlay, Source};
pub use layers::Layers;
pub use memory::Limits;
pub use snapshot::Snapshot;
pub use storage_client::{Keys, ReadError, StorageClient};
pub use tip::{Gap, Tip};
pub use watched::Watched;
