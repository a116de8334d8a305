//! Threads with the stack that deep call chains need, and panics that stay in one task.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use ordo_sdk::logging;

/// Stack of a thread that runs contract code. Reserved, not used: only touched pages cost memory. Machine code that needs more
/// runs on the virtual machine instead (`run::stack`).
pub const STACK: usize = 256 << 20;

type Task = Box<dyn FnOnce() + Send>;

/// A fixed set of threads that run tasks in the order they come.
#[derive(Clone)]
pub struct Threads(mpsc::Sender<Task>);

/// The task panicked; the text is the panic's.
#[derive(Debug)]
pub struct Panicked(pub String);

impl Threads {
    pub fn start(name: &str, count: usize) -> std::io::Result<Self> {
        Self::start_nice(name, count, 0)
    }

    /// Threads that step back behind others of this machine, by so much niceness.
    pub fn start_nice(name: &str, count: usize, nice: i32) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel::<Task>();
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..count.max(1) {
            let receiver = receiver.clone();
            std::thread::Builder::new().name(name.into()).stack_size(STACK).spawn(move || {
                step_back(nice);
                loop {
                    let task = receiver.lock().expect("no task runs under this lock").recv();
                    match task {
                        Ok(task) => task(),
                        Err(_) => return,
                    }
                }
            })?;
        }
        Ok(Self(sender))
    }

    /// Runs `task` on one of the threads, some time. A panic ends the task alone.
    pub fn spawn(&self, task: impl FnOnce() + Send + 'static) {
        let _ = self.0.send(Box::new(move || {
            let _ = caught(task);
        }));
    }

    /// Runs `task` on one of the threads.
    pub async fn run<T: Send + 'static>(&self, task: impl FnOnce() -> T + Send + 'static) -> Result<T, Panicked> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let guarded: Task = Box::new(move || {
            let _ = sender.send(caught(task));
        });
        if self.0.send(guarded).is_err() {
            return Err(Panicked("the threads have ended".into()));
        }
        receiver.await.unwrap_or_else(|_| Err(Panicked("the thread has ended".into())))
    }
}

fn step_back(nice: i32) {
    if nice > 0 {
        // SAFETY: no preconditions. On Linux the priority of 0 is that of the calling thread.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
    }
}

pub fn caught<T>(task: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(task)).map_err(|payload| Panicked(logging::panic_text(&*payload)))
}

/// Stack of a thread that compiles, or runs for a measurement: the address space of a compilation is limited.
const SMALLER_STACK: usize = 64 << 20;

/// Runs `task` on a thread of its own and waits for it.
pub fn on_big_stack<T: Send>(task: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(SMALLER_STACK)
            .spawn_scoped(scope, task)
            .map_err(|error| format!("thread: {error}"))?
            .join()
            .map_err(|payload| format!("panicked: {}", logging::panic_text(&*payload)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_stays_in_its_task() {
        let threads = Threads::start("test", 1).unwrap();
        let failed = threads.run(|| -> u8 { panic!("so {}", 1) }).await;
        assert_eq!(failed.unwrap_err().0, "so 1");
        assert_eq!(threads.run(|| 7).await.unwrap(), 7);
    }
}
