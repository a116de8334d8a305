//! A Build stream: steps in, responses out, one attempt between.

use std::time::{Duration, Instant};

use ordo_sdk::v1::build_request::Step;
use ordo_sdk::v1::{build_response, BuildResponse};
use tokio::sync::mpsc;
use tonic::Status;

use crate::build::{Attempt, Broken, Closed};

/// Shortest time between two messages of results, while there are more to come: those of a busy block share one.
const HOLD: Duration = Duration::from_millis(4);
/// Pause between two looks at the pool.
const LOOK: Duration = Duration::from_millis(1);

pub type Out = mpsc::Sender<Result<BuildResponse, Status>>;

/// How an attempt ended.
pub enum Ended {
    Closed(Box<Closed>),
    Aborted,
}

pub fn status(broken: &Broken) -> Status {
    match broken {
        Broken::Storage(cause) => Status::unavailable(format!("build: {cause}; the attempt is void, try another")),
        Broken::Memory(cause) => Status::resource_exhausted(format!(
            "build: {cause}; give the execution plugin more memory_mib; the attempt is void"
        )),
        Broken::Internal(cause) => Status::internal(format!("build: {cause}; the attempt is void")),
    }
}

fn response(step: build_response::Step) -> BuildResponse {
    BuildResponse { step: Some(step) }
}

/// Runs an attempt to its end, on the calling thread. `sent` is told whenever results went out.
pub fn drive(
    mut attempt: Attempt,
    steps: &mut mpsc::Receiver<Step>,
    out: &Out,
    chunk: usize,
    mut sent: impl FnMut(&Attempt),
) -> Result<Ended, Status> {
    let mut told: Option<Instant> = None;
    let mut told_full = false;
    loop {
        loop {
            let step = if attempt.quiet() && attempt.waiting() == 0 {
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
                Step::Add(add) => attempt.add(add),
                Step::Abort(_) => return Ok(Ended::Aborted),
                Step::Open(_) => return Err(Status::invalid_argument("build: a second Open in one stream")),
                Step::Close(close) => {
                    let n = usize::try_from(close.n).unwrap_or(usize::MAX);
                    if n > attempt.sent() {
                        return Err(Status::invalid_argument(format!(
                            "build: Close({n}) with only {} results sent",
                            attempt.sent()
                        )));
                    }
                    let closed = attempt.close(n).map_err(|broken| status(&broken))?;
                    // What it leaves takes a while to free, and the next block waits for the answer.
                    let _ = std::thread::Builder::new().name("free".into()).spawn(move || drop(attempt));
                    return Ok(Ended::Closed(Box::new(closed)));
                }
            }
        }

        attempt.pump().map_err(|broken| status(&broken))?;

        let due = attempt.waiting() >= chunk
            || attempt.waiting() > 0
                && (attempt.quiet()
                    || attempt.waiting() + attempt.sent() == attempt.added()
                    || told.is_none_or(|at| at.elapsed() >= HOLD));
        if due {
            told = Some(Instant::now());
            if let Some(results) = attempt.take_results() {
                sent(&attempt);
                // The core is gone when nobody takes the message: that is an abort.
                if out.blocking_send(Ok(response(build_response::Step::Results(results)))).is_err() {
                    return Ok(Ended::Aborted);
                }
            }
        }
        if let (Some(why), false, 0) = (attempt.full(), told_full, attempt.waiting()) {
            told_full = true;
            let full = build_response::Full { n: attempt.sent() as u64, why: why.into() };
            if out.blocking_send(Ok(response(build_response::Step::Full(full)))).is_err() {
                return Ok(Ended::Aborted);
            }
        }
        if attempt.in_segment() {
            std::thread::sleep(LOOK);
        }
    }
}
