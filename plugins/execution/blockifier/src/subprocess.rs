//! Child processes with limits, for work that may loop, crash or use too much memory. This process only reads how they ended.
//!
//! The limits are set by `setrlimit` in `pre_exec`, which is needed for the signal at the parent's end (PDEATHSIG) and the OOM
//! score anyway, and the wait must not reap the child before its group is killed: so crates for resource limits or for waiting
//! with a timeout would not replace what is here.

use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::cancel::CancellationToken;

/// Limits of one child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Address space, in bytes.
    pub memory: u64,
    /// Processor time. The time by the clock is ten times that, because a loaded machine is no fault of the input.
    pub cpu: Duration,
    /// Bytes of the answer.
    pub output: u64,
    /// Added to the niceness, for work that has a lower priority than blocks.
    pub nice: i32,
}

/// How a child ended without an answer. The text is for the sender of the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// The child reached a limit.
    Exceeded(String),
    /// The child crashed, or said why it failed.
    Crashed(String),
    /// The answer was not wanted any more.
    Cancelled,
    /// The child could not be started, which is no fault of the input.
    NotStarted(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exceeded(text) | Self::Crashed(text) | Self::NotStarted(text) => out.write_str(text),
            Self::Cancelled => out.write_str("it was given up"),
        }
    }
}

/// The longest pause between two checks of a child.
const POLL: Duration = Duration::from_millis(50);
/// Bytes of stderr that are kept.
const STDERR: u64 = 4 << 10;

/// Runs `program` on `input` and returns what it wrote to stdout.
///
/// It must be called from a thread that exists as long as the process (`threads::Threads`). Linux kills the child when the *thread*
/// that started it ends, so no child stays behind when this process is killed.
pub fn run(
    program: &Path,
    arguments: &[&str],
    input: &[u8],
    limits: Limits,
    cancel: &CancellationToken,
) -> Result<Vec<u8>, Failure> {
    if cancel.is_cancelled() {
        return Err(Failure::Cancelled);
    }
    let mut child =
        spawn(program, arguments, limits).map_err(|error| Failure::NotStarted(format!("child process: {error}")))?;
    let group = child.id();
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let ended = std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            // A child that ends early closes its stdin. Its status says why.
            let _ = stdin.map(|mut stdin| stdin.write_all(input));
        });
        let output = scope.spawn(move || read(stdout, limits.output + 1));
        let words = scope.spawn(move || read(stderr, STDERR));
        let in_time = wait(group, limits, cancel, || output.is_finished());
        // This kills its own children (a linker), too, so the pipes end for which the three threads wait. The child is reaped
        // afterwards: until then no other process can have its number.
        kill_group(group);
        let status = child.wait();
        let _ = writer.join();
        (!in_time, status, output.join().unwrap_or_default(), words.join().unwrap_or_default())
    });
    let (late, status, output, words) = ended;
    if cancel.is_cancelled() {
        return Err(Failure::Cancelled);
    }
    if output.len() as u64 > limits.output {
        return Err(Failure::Exceeded(format!("the result has more than {} bytes", limits.output)));
    }
    if late {
        return Err(Failure::Exceeded(format!("not done within {} s", wall(limits).as_secs_f64())));
    }
    let status = status.map_err(|error| Failure::NotStarted(format!("child process: {error}")))?;
    if status.success() {
        return Ok(output);
    }
    Err(explain(status, &String::from_utf8_lossy(&words), limits))
}

fn wall(limits: Limits) -> Duration {
    limits.cpu * 10
}

fn spawn(program: &Path, arguments: &[&str], limits: Limits) -> std::io::Result<Child> {
    let parent = std::process::id();
    let seconds = limits.cpu.as_secs_f64().ceil() as u64;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    // The child gets nothing of the environment but what its linker needs.
    for (name, _) in std::env::vars_os() {
        if name != "PATH" && name != "TMPDIR" {
            command.env_remove(name);
        }
    }
    // SAFETY: this runs between fork and exec. All calls are safe there, and nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            if libc::getppid() as u32 != parent {
                return Err(std::io::Error::from_raw_os_error(libc::ESRCH)); // the parent ended before the line above
            }
            let set = |what, soft: u64, hard: u64| {
                let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
                match libc::setrlimit(what, &limit) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            };
            set(libc::RLIMIT_AS, limits.memory, limits.memory)?;
            // The parent may have set a lower limit for itself. The child is bounded by `RLIMIT_AS`.
            let _ = set(libc::RLIMIT_DATA, libc::RLIM_INFINITY, libc::RLIM_INFINITY);
            // When the machine has no more memory the kernel kills a compilation before other processes of the node.
            prefer_as_victim();
            set(libc::RLIMIT_CPU, seconds, seconds + 1)?;
            set(libc::RLIMIT_CORE, 0, 0)?;
            libc::setpriority(libc::PRIO_PROCESS, 0, limits.nice);
            Ok(())
        });
    }
    command.spawn()
}

/// Sets `oom_score_adj` of this process to the highest. It allocates nothing, because it runs between fork and exec.
///
/// # Safety
/// It makes plain system calls. The process must have only one thread.
unsafe fn prefer_as_victim() {
    let file = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
    if file >= 0 {
        libc::write(file, c"1000".as_ptr().cast(), 4);
        libc::close(file);
    }
}

/// Waits for the end of a child without reaping it. False stands for out of time, or cancelled.
fn wait(child: u32, limits: Limits, cancel: &CancellationToken, answered: impl Fn() -> bool) -> bool {
    let until = Instant::now() + wall(limits);
    let mut pause = Duration::from_millis(1);
    loop {
        // SAFETY: `info` is plain data that the call fills; the child is ours and not reaped yet.
        let ended = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
            libc::waitid(libc::P_PID, child, &mut info, flags) != 0 || info.si_pid() != 0
        };
        if ended {
            return true;
        }
        if Instant::now() >= until || cancel.is_cancelled() {
            return false;
        }
        // Once stdout was read to the limit, or closed, the child ends soon.
        pause = if answered() { Duration::from_millis(1) } else { (pause * 2).min(POLL) };
        std::thread::sleep(pause);
    }
}

fn kill_group(group: u32) {
    // SAFETY: no preconditions. The child was made the leader of its group before it ran.
    unsafe { libc::kill(-(group as i32), libc::SIGKILL) };
}

fn read(from: Option<impl Read>, most: u64) -> Vec<u8> {
    let mut read = Vec::new();
    if let Some(from) = from {
        let _ = from.take(most).read_to_end(&mut read);
    }
    read // dropping `from` closes the pipe, which ends a child that writes more
}

/// Makes a failure of an exit status and of what the child wrote to stderr.
fn explain(status: ExitStatus, words: &str, limits: Limits) -> Failure {
    let last = words.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    let memory = limits.memory >> 20;
    let out_of_memory = ["memory allocation of", "out of memory", "failed to allocate", "bad_alloc"]
        .iter()
        .any(|sign| words.contains(sign));
    if out_of_memory {
        return Failure::Exceeded(format!("more than {memory} MiB of memory are needed"));
    }
    match status.signal() {
        Some(libc::SIGKILL) => Failure::Exceeded("it was killed: out of its time, or the machine of memory".into()),
        Some(libc::SIGXCPU) => {
            Failure::Exceeded(format!("not done within {} s of processor time", limits.cpu.as_secs_f64()))
        }
        Some(libc::SIGPIPE) => Failure::Exceeded(format!("the result has more than {} bytes", limits.output)),
        Some(libc::SIGABRT) if words.contains("has overflowed its stack") => {
            Failure::Exceeded("it nests too deep: the stack overflowed".into())
        }
        Some(signal) => Failure::Crashed(format!("it crashed (signal {signal}){}", told(last))),
        None => Failure::Crashed(format!("it failed (exit code {}){}", status.code().unwrap_or(-1), told(last))),
    }
}

fn told(line: &str) -> String {
    let mut end = line.len().min(300);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    if line.is_empty() {
        String::new()
    } else {
        format!(": {}", &line[..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Limits = Limits { memory: 1 << 30, cpu: Duration::from_secs(1), output: 1 << 16, nice: 0 };

    fn shell(script: &str, limits: Limits) -> Result<Vec<u8>, Failure> {
        run(Path::new("/bin/sh"), &["-c", script], b"some input", limits, &CancellationToken::default())
    }

    #[test]
    fn an_answer_is_what_was_written() {
        assert_eq!(shell("cat; echo; echo more >&2", SMALL), Ok(b"some input\n".to_vec()));
    }

    #[test]
    fn every_way_to_misbehave_has_its_reason() {
        let short = Limits { cpu: Duration::from_millis(200), ..SMALL };
        for (script, limits, expected) in [
            ("while :; do :; done", SMALL, "not done within 1"), // of processor time, or by the clock where it gets little
            ("sleep 60", short, "not done within 2 s"),
            ("sleep 60 & sleep 60", short, "not done within 2 s"),
            ("yes", SMALL, "the result has more than 65536 bytes"),
            ("kill -SEGV $$", SMALL, "it crashed (signal 11)"),
            ("echo no such thing >&2; exit 3", SMALL, "it failed (exit code 3): no such thing"),
            (
                "echo memory allocation of 9 bytes failed >&2; kill -ABRT $$",
                SMALL,
                "more than 1024 MiB of memory are needed",
            ),
        ] {
            let begun = Instant::now();
            let failure = shell(script, limits).unwrap_err().to_string();
            assert!(failure.starts_with(expected), "{script}: {failure}");
            assert!(begun.elapsed() < Duration::from_secs(20), "{script}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_no_fault_of_the_input() {
        let failure = run(Path::new("/nowhere/compiler"), &[], b"", SMALL, &CancellationToken::default()).unwrap_err();
        assert!(matches!(&failure, Failure::NotStarted(text) if text.contains("No such file")), "{failure:?}");
    }

    #[test]
    fn a_child_that_is_not_wanted_any_more_ends() {
        let cancel = CancellationToken::default();
        let asks = cancel.clone();
        let mut ended = None;
        std::thread::scope(|scope| {
            let ended = &mut ended;
            scope.spawn(move || {
                *ended = Some(run(Path::new("/bin/sh"), &["-c", "sleep 600"], b"", SMALL, &cancel));
            });
            asks.cancel();
        });
        assert_eq!(ended, Some(Err(Failure::Cancelled)));
    }

    #[test]
    fn nothing_of_a_late_child_is_left() {
        let short = Limits { cpu: Duration::from_millis(200), ..SMALL };
        let mark = format!("ordo-child-{}", std::process::id());
        assert!(shell(&format!("sh -c 'sleep 61; : {mark}' & sleep 62"), short).is_err());
        let alive = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).any(|entry| {
            std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(&mark))
        });
        assert!(!alive);
    }
}
