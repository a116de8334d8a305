//! The driver of one Build stream: it gives the steps of the core to a build, and sends its results.

use std::time::{Duration, Instant};

use ordo_sdk::v1::build_request::Step;
use ordo_sdk::v1::{build_response, BuildResponse};
use tokio::sync::mpsc;
use tonic::Status;

use crate::build::{Build, BuildError, Closed};

/// Shortest time between two messages of results while more are to come, so that a busy block has few messages.
const HOLD: Duration = Duration::from_millis(4);
/// Pause between two polls of the pool.
const POLL: Duration = Duration::from_millis(1);

/// The side of the stream that goes to the core.
pub type Out = mpsc::Sender<Result<BuildResponse, Status>>;

/// How a build ended.
pub enum Ended {
    Closed(Box<Closed>),
    Aborted,
}

/// The status that ends a stream whose build failed.
pub fn status(error: &BuildError) -> Status {
    match error {
        BuildError::Storage(cause) => Status::unavailable(format!("build: {cause}; the build is void, try another")),
        BuildError::Memory(cause) => Status::resource_exhausted(format!(
            "build: {cause}; give the execution plugin more memory_mib; the build is void"
        )),
        BuildError::Internal(cause) => Status::internal(format!("build: {cause}; the build is void")),
    }
}

fn response(step: build_response::Step) -> BuildResponse {
    BuildResponse { step: Some(step) }
}

/// Runs a build to its end, on the calling thread. `sent` is called whenever results are about to be sent.
pub fn drive(
    mut build: Build,
    steps: &mut mpsc::Receiver<Step>,
    out: &Out,
    chunk: usize,
    mut sent: impl FnMut(&Build),
) -> Result<Ended, Status> {
    let mut last_sent: Option<Instant> = None;
    let mut sent_full = false;
    loop {
        loop {
            let step = if build.is_idle() && build.waiting() == 0 {
                match steps.blocking_recv() {
                    Some(step) => step,
                    None => return Ok(Ended::Aborted),
                }
            } else {
                match steps.try_recv() {
                    Ok(step) => step,
                    Err(mpsc::error::TryRecvError::Empty) => break,
                    Err(mpsc::error::TryRecvError::Disconnected) => return Ok(Ended::Aborted),
                }
            };
            match step {
                Step::Add(add) => build.add(add),
                Step::Abort(_) => return Ok(Ended::Aborted),
                Step::Open(_) => return Err(Status::invalid_argument("build: a second Open in one stream")),
                Step::Close(close) => {
                    let n = usize::try_from(close.n).unwrap_or(usize::MAX);
                    if n > build.sent() {
                        return Err(Status::invalid_argument(format!(
                            "build: Close({n}) with only {} results sent",
                            build.sent()
                        )));
                    }
                    let closed = build.close(n).map_err(|error| status(&error))?;
                    // Freeing the build takes a while, and the next block waits for the answer.
                    let _ = std::thread::Builder::new().name("free".into()).spawn(move || drop(build));
                    return Ok(Ended::Closed(Box::new(closed)));
                }
            }
        }

        build.advance().map_err(|error| status(&error))?;

        let due = build.waiting() >= chunk
            || build.waiting() > 0
                && (build.is_idle()
                    || build.waiting() + build.sent() == build.added()
                    || last_sent.is_none_or(|at| at.elapsed() >= HOLD));
        if due {
            last_sent = Some(Instant::now());
            if let Some(results) = build.take_results() {
                sent(&build);
                // A message that is not taken means that the core is gone, which is an abort.
                if out.blocking_send(Ok(response(build_response::Step::Results(results)))).is_err() {
                    return Ok(Ended::Aborted);
                }
            }
        }
        if let (Some(why), false, 0) = (build.full(), sent_full, build.waiting()) {
            sent_full = true;
            let full = build_response::Full { n: build.sent() as u64, why: why.into() };
            if out.blocking_send(Ok(response(build_response::Step::Full(full)))).is_err() {
                return Ok(Ended::Aborted);
            }
        }
        if build.in_segment() {
            std::thread::sleep(POLL);
        }
    }
}
