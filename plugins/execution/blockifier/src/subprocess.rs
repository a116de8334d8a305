//! Work that may run away, in a child process with limits: whatever it does to itself, this process only reads how it ended.

use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::cancel::Stop;

/// What one child may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Address space, in bytes.
    pub memory: u64,
    /// Processor time. The wall clock gets ten times that: a loaded machine is no fault of the input.
    pub cpu: Duration,
    /// Bytes of its answer.
    pub output: u64,
    /// Added to its niceness: work that nobody waits for steps back behind blocks.
    pub nice: i32,
}

/// How a child ended without an answer. The text is for whoever sent the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    /// The input made it use more than it may.
    Exceeded(String),
    /// The input made it crash, or it said why it failed.
    Crashed(String),
    /// The answer was not wanted any more.
    Unwanted,
    /// No fault of the input: the child could not be started or talked to.
    Unstarted(String),
}

impl std::fmt::Display for Fate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exceeded(text) | Self::Crashed(text) | Self::Unstarted(text) => out.write_str(text),
            Self::Unwanted => out.write_str("it was given up"),
        }
    }
}

/// How often a waiting parent looks at the clock.
const LOOK: Duration = Duration::from_millis(50);
/// Last words that are kept.
const STDERR: u64 = 4 << 10;

/// Runs `program` on `input` and returns what it wrote to stdout.
///
/// Call it from a thread that lives as long as the process (`threads::Threads`): Linux kills the child when the *thread*
/// that started it ends, and that is what leaves no orphan when this process is killed.
pub fn run(program: &Path, arguments: &[&str], input: &[u8], limits: Limits, stop: &Stop) -> Result<Vec<u8>, Fate> {
    if stop.asked() {
        return Err(Fate::Unwanted);
    }
    let mut child =
        spawn(program, arguments, limits).map_err(|error| Fate::Unstarted(format!("child process: {error}")))?;
    let group = child.id();
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let ended = std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            // A child that gave up early closes its end; its status says why.
            let _ = stdin.map(|mut stdin| stdin.write_all(input));
        });
        let output = scope.spawn(move || read(stdout, limits.output + 1));
        let words = scope.spawn(move || read(stderr, STDERR));
        let in_time = wait(group, limits, stop, || output.is_finished());
        // Its own children (a linker) die with it, and so the pipes end that the three threads wait for. It is not reaped
        // before, so its number is still its own.
        kill_group(group);
        let status = child.wait();
        let _ = writer.join();
        (!in_time, status, output.join().unwrap_or_default(), words.join().unwrap_or_default())
    });
    let (late, status, output, words) = ended;
    if stop.asked() {
        return Err(Fate::Unwanted);
    }
    if output.len() as u64 > limits.output {
        return Err(Fate::Exceeded(format!("the result has more than {} bytes", limits.output)));
    }
    if late {
        return Err(Fate::Exceeded(format!("not done within {} s", wall(limits).as_secs_f64())));
    }
    let status = status.map_err(|error| Fate::Unstarted(format!("child process: {error}")))?;
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
    // What the host told this process is none of the child's business; the linker needs the path.
    for (name, _) in std::env::vars_os() {
        if name != "PATH" && name != "TMPDIR" {
            command.env_remove(name);
        }
    }
    // SAFETY: between fork and exec, and only calls that are safe there; nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            if libc::getppid() as u32 != parent {
                return Err(std::io::Error::from_raw_os_error(libc::ESRCH)); // the parent died before the line above
            }
            let set = |what, soft: u64, hard: u64| {
                let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
                match libc::setrlimit(what, &limit) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            };
            set(libc::RLIMIT_AS, limits.memory, limits.memory)?;
            // That of the parent is lower where its memory is bounded; `RLIMIT_AS` bounds this one.
            let _ = set(libc::RLIMIT_DATA, libc::RLIM_INFINITY, libc::RLIM_INFINITY);
            // Where memory runs out the kernel ends a compilation before anything else of the node.
            prefer_as_victim();
            set(libc::RLIMIT_CPU, seconds, seconds + 1)?;
            set(libc::RLIMIT_CORE, 0, 0)?;
            libc::setpriority(libc::PRIO_PROCESS, 0, limits.nice);
            Ok(())
        });
    }
    command.spawn()
}

/// Raises `oom_score_adj` of this process to the highest. For between fork and exec: nothing is allocated.
///
/// # Safety
/// Plain system calls; call it from a child that has only one thread.
unsafe fn prefer_as_victim() {
    let file = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
    if file >= 0 {
        libc::write(file, c"1000".as_ptr().cast(), 4);
        libc::close(file);
    }
}

/// Waits for the end without reaping. False: the time is up.
fn wait(child: u32, limits: Limits, stop: &Stop, answered: impl Fn() -> bool) -> bool {
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
        if Instant::now() >= until || stop.asked() {
            return false;
        }
        // stdout was read to the limit, or closed: either way little is left to do.
        pause = if answered() { Duration::from_millis(1) } else { (pause * 2).min(LOOK) };
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
    read // dropping `from` closes the pipe: a child that writes on dies of it
}

fn explain(status: ExitStatus, words: &str, limits: Limits) -> Fate {
    let last = words.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    let memory = limits.memory >> 20;
    let out_of_memory = ["memory allocation of", "out of memory", "failed to allocate", "bad_alloc"]
        .iter()
        .any(|sign| words.contains(sign));
    if out_of_memory {
        return Fate::Exceeded(format!("more than {memory} MiB of memory are needed"));
    }
    match status.signal() {
        Some(libc::SIGKILL) => Fate::Exceeded("it was killed: out of its time, or the machine of memory".into()),
        Some(libc::SIGXCPU) => {
            Fate::Exceeded(format!("not done within {} s of processor time", limits.cpu.as_secs_f64()))
        }
        Some(libc::SIGPIPE) => Fate::Exceeded(format!("the result has more than {} bytes", limits.output)),
        Some(libc::SIGABRT) if words.contains("has overflowed its stack") => {
            Fate::Exceeded("it nests too deep: the stack overflowed".into())
        }
        Some(signal) => Fate::Crashed(format!("it crashed (signal {signal}){}", told(last))),
        None => Fate::Crashed(format!("it failed (exit code {}){}", status.code().unwrap_or(-1), told(last))),
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

    fn shell(script: &str, limits: Limits) -> Result<Vec<u8>, Fate> {
        run(Path::new("/bin/sh"), &["-c", script], b"some input", limits, &Stop::default())
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
            let fate = shell(script, limits).unwrap_err().to_string();
            assert!(fate.starts_with(expected), "{script}: {fate}");
            assert!(begun.elapsed() < Duration::from_secs(20), "{script}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_no_fault_of_the_input() {
        let fate = run(Path::new("/nowhere/compiler"), &[], b"", SMALL, &Stop::default()).unwrap_err();
        assert!(matches!(&fate, Fate::Unstarted(text) if text.contains("No such file")), "{fate:?}");
    }

    #[test]
    fn a_child_that_is_not_wanted_any_more_ends() {
        let stop = Stop::default();
        let asks = stop.clone();
        let mut ended = None;
        std::thread::scope(|scope| {
            let ended = &mut ended;
            scope.spawn(move || {
                *ended = Some(run(Path::new("/bin/sh"), &["-c", "sleep 600"], b"", SMALL, &stop));
            });
            asks.ask();
        });
        assert_eq!(ended, Some(Err(Fate::Unwanted)));
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
