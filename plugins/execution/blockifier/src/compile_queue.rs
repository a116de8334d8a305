//! Sierra classes of strangers are compiled in child processes: the compiler may loop, recurse or allocate without end.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ordo_sdk::prost::Message;
use ordo_sdk::v1::{CompileResponse, Refusal};

use crate::cancel::Gone;
use crate::casm;
use crate::rejection::Refused;
use crate::subprocess::{self, Fate, Limits};
use crate::threads::{on_big_stack, Panicked, Threads};

/// The sub-command that a child runs.
pub const COMMAND: &str = "compile-stdin";

/// Classes that may wait for a child; what comes beyond is told to come again.
const WAITING: usize = 32;

/// A compiled class is a few times its Sierra; this is far beyond the largest that the network takes.
const ANSWER: u64 = 128 << 20;

/// Why there is no answer, and none about the class.
#[derive(Debug)]
pub enum Unanswered {
    Busy(String),
    Failed(String),
}

#[derive(Clone)]
pub struct Compiler {
    program: PathBuf,
    limits: Limits,
    threads: Threads,
    waiting: Arc<AtomicUsize>,
}

impl Compiler {
    /// `children` run at a time.
    pub fn start(program: &Path, children: usize, memory: u64, cpu: Duration) -> std::io::Result<Self> {
        Ok(Self {
            program: program.into(),
            limits: Limits { memory, cpu, output: ANSWER, nice: 5 },
            threads: Threads::start("compile", children)?,
            waiting: Arc::default(),
        })
    }

    pub async fn compile(&self, sierra: Bytes) -> Result<CompileResponse, Unanswered> {
        // Before a process is started for it.
        if sierra.len() > casm::MAX_JSON {
            return Ok(answer(casm::compile(&sierra)));
        }
        let Some(_place) = Place::take(&self.waiting) else {
            return Err(Unanswered::Busy(format!("{WAITING} classes are waiting to be compiled, try again later")));
        };
        let (program, limits) = (self.program.clone(), self.limits);
        let gone = Gone::default();
        let stop = gone.0.clone();
        let ended = self.threads.run(move || subprocess::run(&program, &[COMMAND], &sierra, limits, &stop)).await;
        match ended {
            Ok(Ok(output)) => CompileResponse::decode(&output[..])
                .map_err(|error| Unanswered::Failed(format!("child process: its answer cannot be read: {error}"))),
            Ok(Err(Fate::Unstarted(cause))) => Err(Unanswered::Failed(cause)),
            Ok(Err(Fate::Unwanted)) => Err(Unanswered::Failed("given up".into())),
            Ok(Err(fate)) => Ok(answer(Err(Refused::new(Refusal::CompilationFailed, format!("compiler: {fate}"))))),
            Err(Panicked(cause)) => Err(Unanswered::Failed(cause)),
        }
    }
}

/// One of the places of those that wait or run.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(waiting: &Arc<AtomicUsize>) -> Option<Self> {
        let taken = |now| (now < WAITING).then_some(now + 1);
        waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, taken).ok()?;
        Some(Self(waiting.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn answer(compiled: Result<ordo_sdk::v1::Class, Refused>) -> CompileResponse {
    match compiled {
        Ok(class) => {
            CompileResponse { refusal: Refusal::Unspecified.into(), reason: String::new(), class: Some(class) }
        }
        Err(refused) => CompileResponse { refusal: refused.code.into(), reason: refused.reason, class: None },
    }
}

/// What the child does: a class on stdin, the answer on stdout.
pub fn stdin_to_stdout() -> Result<(), String> {
    use std::io::{Read, Write};
    let mut sierra = Vec::new();
    let most = casm::MAX_JSON as u64 + 1;
    std::io::stdin().lock().take(most).read_to_end(&mut sierra).map_err(|error| format!("stdin: {error}"))?;
    let sierra = Bytes::from(sierra);
    let answer = on_big_stack(|| answer(casm::compile(&sierra)))?;
    std::io::stdout().lock().write_all(&answer.encode_to_vec()).map_err(|error| format!("stdout: {error}"))
}
