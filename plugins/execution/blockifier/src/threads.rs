//! Threads with the stack that deep calls need. A panic ends one task only.
//!
//! They are our own and not rayon's: tasks run in the order in which they come, some threads have a lower priority, and one that got
//! idle priority is replaced.

use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ordo_sdk::logging;

/// Stack of a thread that runs contract code. It is only reserved: pages take memory once they are used. Machine code that needs
/// more runs on the virtual machine instead (`run::stack`).
pub const STACK: usize = 256 << 20;

type Task = Box<dyn FnOnce() + Send>;

/// A fixed set of threads, which run tasks in the order in which they come.
#[derive(Clone)]
pub struct Threads(mpsc::Sender<Task>);

/// The error of a task that panicked, with the text of the panic.
#[derive(Debug)]
pub struct Panicked(pub String);

impl Threads {
    pub fn start(name: &str, count: usize) -> std::io::Result<Self> {
        Self::start_nice(name, count, 0)
    }

    /// Starts threads with this niceness.
    pub fn start_nice(name: &str, count: usize, nice: i32) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel::<Task>();
        // A thread has the priority of the thread that starts it, so this one keeps the usual priority.
        let (successors, started) = mpsc::channel::<Worker>();
        std::thread::Builder::new().name(format!("{name}-start")).spawn(move || {
            for worker in started {
                if let Err(error) = worker.start() {
                    tracing::warn!(%error, "cannot start a thread in the place of one that ended");
                }
            }
        })?;
        let worker = Worker { name: name.into(), nice, tasks: Arc::new(Mutex::new(receiver)), successors };
        for _ in 0..count.max(1) {
            worker.clone().start()?;
        }
        Ok(Self(sender))
    }

    /// Runs `task` on one of the threads later. A panic ends the task only.
    pub fn spawn(&self, task: impl FnOnce() + Send + 'static) {
        let _ = self.0.send(Box::new(move || {
            let _ = caught(task);
        }));
    }

    /// Runs `task` on one of the threads, and waits for it.
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

/// One thread of a set.
#[derive(Clone)]
struct Worker {
    name: String,
    nice: i32,
    tasks: Arc<Mutex<mpsc::Receiver<Task>>>,
    successors: mpsc::Sender<Worker>,
}

impl Worker {
    fn start(self) -> std::io::Result<()> {
        let builder = std::thread::Builder::new().name(self.name.clone()).stack_size(STACK);
        builder.spawn(move || self.work()).map(drop)
    }

    fn work(self) {
        set_nice(self.nice);
        loop {
            let task = self.tasks.lock().expect("no task runs under this lock").recv();
            match task {
                Ok(task) => task(),
                Err(_) => return,
            }
            if IDLE.get() && self.successors.send(self.clone()).is_ok() {
                return; // a thread cannot get back from idle priority without privileges
            }
        }
    }
}

thread_local! {
    /// Whether this thread runs at idle priority.
    static IDLE: Cell<bool> = const { Cell::new(false) };
}

/// The thread that runs a task, as long as it runs. By it the priority of a task that takes long can be lowered.
#[derive(Default)]
pub struct Place(Mutex<State>);

#[derive(Default)]
enum State {
    #[default]
    Waiting,
    Running(libc::pid_t),
    RunningIdle,
    Done,
}

impl Place {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `task` here.
    pub fn hold<T>(&self, task: impl FnOnce() -> T) -> T {
        // SAFETY: no preconditions.
        *self.state() = State::Running(unsafe { libc::gettid() });
        let _leave = Leave(self);
        task()
    }

    /// Gives the task idle priority: it runs only when no other thread needs a processor. The system interrupts it at once for a
    /// thread that wakes up, which it does not do for a thread that is only nice.
    pub fn make_idle(&self) {
        let mut state = self.state();
        if let State::Running(thread) = *state {
            let none = libc::sched_param { sched_priority: 0 };
            // SAFETY: the thread exists: it changes the state, under this lock, before the task ends.
            if unsafe { libc::sched_setscheduler(thread, libc::SCHED_IDLE, &none) } == 0 {
                *state = State::RunningIdle;
            }
        }
    }
}

struct Leave<'a>(&'a Place);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let left = std::mem::replace(&mut *self.0.state(), State::Done);
        if matches!(left, State::RunningIdle) {
            IDLE.set(true);
        }
    }
}

/// Sets the niceness of this thread.
fn set_nice(nice: i32) {
    if nice > 0 {
        // SAFETY: no preconditions. On Linux the priority of 0 is that of the calling thread.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
    }
}

/// The processor time of a thread, which must not end before [`Self::since`] is called for the last time.
#[derive(Clone, Copy)]
pub struct ProcessorTime {
    clock: libc::clockid_t,
    begun: Duration,
}

impl ProcessorTime {
    pub fn of_this_thread() -> Self {
        let mut clock = libc::CLOCK_THREAD_CPUTIME_ID;
        // SAFETY: the thread is this one, and `clock` is a valid place.
        unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &mut clock) };
        Self { clock, begun: Self::now(clock) }
    }

    /// The processor time that the thread has used since.
    pub fn since(self) -> Duration {
        Self::now(self.clock).saturating_sub(self.begun)
    }

    fn now(clock: libc::clockid_t) -> Duration {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is a valid place. A clock that is gone leaves it as it is.
        unsafe { libc::clock_gettime(clock, &mut time) };
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
}

/// Runs `task`. A panic is an error.
pub fn caught<T>(task: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(task)).map_err(|payload| Panicked(logging::panic_text(&*payload)))
}

/// Stack of a thread that compiles, or runs for a measurement. It is smaller because the address space of a compilation is limited.
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

    // SAFETY: no preconditions; 0 is the calling thread.
    fn policy() -> i32 {
        unsafe { libc::sched_getscheduler(0) }
    }

    #[tokio::test]
    async fn a_thread_of_idle_priority_is_replaced_by_one_of_the_usual_priority() {
        let threads = Threads::start("test", 1).unwrap();
        let (place, (told, tell)) = (Arc::new(Place::default()), mpsc::channel());
        let held = place.clone();
        let long = threads.run(move || {
            held.hold(|| {
                let before = policy();
                tell.recv().unwrap();
                (before, policy())
            })
        });
        let aside = async {
            while matches!(*place.state(), State::Waiting) {
                tokio::task::yield_now().await;
            }
            place.make_idle();
            told.send(()).unwrap();
        };
        let (policies, ()) = tokio::join!(long, aside);
        assert_eq!(policies.unwrap(), (libc::SCHED_OTHER, libc::SCHED_IDLE));
        assert_eq!(threads.run(policy).await.unwrap(), libc::SCHED_OTHER, "the next task runs as always");
        place.make_idle(); // the thread runs another task now
        assert_eq!(threads.run(policy).await.unwrap(), libc::SCHED_OTHER);
    }
}
