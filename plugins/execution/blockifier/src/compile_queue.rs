//! The queue of Sierra classes that are compiled to CASM. Each one has a child process, because the class comes from outside and can
//! make the compiler loop, recurse or allocate without end.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ordo_sdk::prost::Message;
use ordo_sdk::v1::{CompileResponse, RejectionCode};

use crate::cancel::CancelOnDrop;
use crate::casm;
use crate::rejection::Rejection;
use crate::subprocess::{self, Failure, Limits};
use crate::threads::{on_big_stack, Panicked, Threads};

/// The sub-command that a child runs.
pub const COMMAND: &str = "compile-stdin";

/// How many classes may wait for a child. Beyond that the caller has to try again later.
const MAX_WAITING: usize = 32;

/// Most bytes of a compiled class, far above the largest that the network takes.
const MAX_ANSWER: u64 = 128 << 20;

/// Why there is no answer about a class.
#[derive(Debug)]
pub enum Unanswered {
    Busy(String),
    Failed(String),
}

/// The queue.
#[derive(Clone)]
pub struct CompileQueue {
    program: PathBuf,
    limits: Limits,
    threads: Threads,
    waiting: Arc<AtomicUsize>,
}

impl CompileQueue {
    /// Starts the queue. At most `children` processes run at a time.
    pub fn start(program: &Path, children: usize, memory: u64, cpu: Duration) -> std::io::Result<Self> {
        Ok(Self {
            program: program.into(),
            limits: Limits { memory, cpu, output: MAX_ANSWER, nice: 5 },
            threads: Threads::start("compile", children)?,
            waiting: Arc::default(),
        })
    }

    pub async fn compile(&self, sierra: Bytes) -> Result<CompileResponse, Unanswered> {
        // A class that is too large needs no process.
        if sierra.len() > casm::MAX_JSON {
            return Ok(answer(casm::compile(&sierra)));
        }
        let Some(_place) = Place::take(&self.waiting) else {
            return Err(Unanswered::Busy(format!("{MAX_WAITING} classes are waiting to be compiled, try again later")));
        };
        let (program, limits) = (self.program.clone(), self.limits);
        let gone = CancelOnDrop::default();
        let cancel = gone.0.clone();
        let ended = self.threads.run(move || subprocess::run(&program, &[COMMAND], &sierra, limits, &cancel)).await;
        match ended {
            Ok(Ok(output)) => CompileResponse::decode(&output[..])
                .map_err(|error| Unanswered::Failed(format!("child process: its answer cannot be read: {error}"))),
            Ok(Err(Failure::NotStarted(cause))) => Err(Unanswered::Failed(cause)),
            Ok(Err(Failure::Cancelled)) => Err(Unanswered::Failed("it was cancelled".into())),
            Ok(Err(failure)) => {
                Ok(answer(Err(Rejection::new(RejectionCode::CompilationFailed, format!("compiler: {failure}")))))
            }
            Err(Panicked(cause)) => Err(Unanswered::Failed(cause)),
        }
    }
}

/// A place among the classes that wait or run.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(waiting: &Arc<AtomicUsize>) -> Option<Self> {
        let taken = |now| (now < MAX_WAITING).then_some(now + 1);
        waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, taken).ok()?;
        Some(Self(waiting.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn answer(compiled: Result<ordo_sdk::v1::Class, Rejection>) -> CompileResponse {
    match compiled {
        Ok(class) => {
            CompileResponse { rejection: RejectionCode::Unspecified.into(), reason: String::new(), class: Some(class) }
        }
        Err(rejection) => CompileResponse { rejection: rejection.code.into(), reason: rejection.reason, class: None },
    }
}

/// The work of the child: it reads a class from stdin and writes the answer to stdout.
pub fn stdin_to_stdout() -> Result<(), String> {
    use std::io::{Read, Write};
    let mut sierra = Vec::new();
    let most = casm::MAX_JSON as u64 + 1;
    std::io::stdin().lock().take(most).read_to_end(&mut sierra).map_err(|error| format!("stdin: {error}"))?;
    let sierra = Bytes::from(sierra);
    let answer = on_big_stack(|| answer(casm::compile(&sierra)))?;
    std::io::stdout().lock().write_all(&answer.encode_to_vec()).map_err(|error| format!("stdout: {error}"))
}
