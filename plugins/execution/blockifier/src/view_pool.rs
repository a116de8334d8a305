//! The threads of views, with a bound on views that wait, run, or were abandoned.
//!
//! A view is abandoned when it is out of time or its caller went away. It ends at its next step, system call or allocation (`run`),
//! and keeps its thread until then. As many may be abandoned as may run. Beyond that new ones wait a moment and are rejected.

use std::sync::atomic::{AtomicIsize, AtomicU8, AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::cancel::CancellationToken;
use crate::threads::{Panicked, Place, Threads};

/// How many views may wait, for each that may run.
const WAITING: usize = 64;
/// The niceness of views. Blocks and admission have a higher priority.
const NICE: i32 = 15;
/// How long a view runs at that priority. Afterwards it has idle priority.
const NICE_TIME: Duration = Duration::from_millis(20);
/// How long a view waits for abandoned ones to end.
const ABANDONED_WAIT: Duration = Duration::from_millis(500);

/// The pool.
pub struct ViewPool {
    threads: Threads,
    running: Semaphore,
    most_running: usize,
    entered: AtomicUsize,
    abandoned: Arc<AtomicIsize>,
}

/// Why a view has no answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Unanswered {
    Busy(String),
    Late,
    Panicked(String),
}

const RUNNING: u8 = 0;
const ABANDONED: u8 = 1;
const DONE: u8 = 2;

impl ViewPool {
    pub fn start(count: usize) -> std::io::Result<Self> {
        let count = count.max(1);
        Ok(Self {
            // Half of the threads are for abandoned views.
            threads: Threads::start_nice("view", count * 2, NICE)?,
            running: Semaphore::new(count),
            most_running: count,
            entered: AtomicUsize::new(0),
            abandoned: Arc::default(),
        })
    }

    /// The number of abandoned views that still run.
    pub fn abandoned(&self) -> usize {
        // It is below zero for a moment when a task ends while it is abandoned.
        usize::try_from(self.abandoned.load(Ordering::Acquire)).unwrap_or_default()
    }

    /// Waits a moment until fewer views are abandoned than may run, and gives their number.
    async fn settled_abandoned(&self) -> usize {
        let until = tokio::time::Instant::now() + ABANDONED_WAIT;
        loop {
            let abandoned = self.abandoned();
            if abandoned < self.most_running || tokio::time::Instant::now() >= until {
                return abandoned;
            }
            tokio::time::sleep(ABANDONED_WAIT / 100).await;
        }
    }

    /// Runs `task` within the time `limit`. `cancel` is cancelled at the end, also when the future is dropped.
    pub async fn run<T: Send + 'static>(
        &self,
        limit: Option<Duration>,
        cancel: CancellationToken,
        task: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Unanswered> {
        let _entered = Entered::new(&self.entered, self.most_running * (WAITING + 1))?;
        let work = async {
            let _permit = self.running.acquire().await.map_err(|_| Unanswered::Late)?;
            let abandoned = self.settled_abandoned().await;
            if abandoned >= self.most_running {
                return Err(Unanswered::Busy(format!(
                    "{abandoned} calls or simulations that were out of time still run, try again later"
                )));
            }
            let state = Arc::new(AtomicU8::new(RUNNING));
            let _watch = Watch { state: state.clone(), abandoned: self.abandoned.clone(), cancel };
            let gauge = self.abandoned.clone();
            let place = Arc::new(Place::default());
            let held = place.clone();
            let result = self.threads.run(move || {
                let _end = End { state, abandoned: gauge };
                held.hold(task)
            });
            tokio::pin!(result);
            let result = match tokio::time::timeout(NICE_TIME, result.as_mut()).await {
                Ok(result) => result,
                Err(_) => {
                    place.make_idle();
                    result.await
                }
            };
            result.map_err(|Panicked(cause)| Unanswered::Panicked(cause))
        };
        match limit {
            None => work.await,
            Some(limit) => tokio::time::timeout(limit, work).await.unwrap_or(Err(Unanswered::Late)),
        }
    }
}

/// A place among the views that wait or run.
struct Entered<'a>(&'a AtomicUsize);

impl<'a> Entered<'a> {
    fn new(entered: &'a AtomicUsize, most: usize) -> Result<Self, Unanswered> {
        let next = |now| (now < most).then_some(now + 1);
        match entered.fetch_update(Ordering::AcqRel, Ordering::Acquire, next) {
            Ok(_) => Ok(Self(entered)),
            Err(now) => Err(Unanswered::Busy(format!("{now} calls and simulations are waiting, try again later"))),
        }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The caller's side: it marks the task as abandoned unless that is done.
struct Watch {
    state: Arc<AtomicU8>,
    abandoned: Arc<AtomicIsize>,
    cancel: CancellationToken,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.state.compare_exchange(RUNNING, ABANDONED, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.abandoned.fetch_add(1, Ordering::AcqRel);
        }
        self.cancel.cancel();
    }
}

/// The task's side: it marks the task as done.
struct End {
    state: Arc<AtomicU8>,
    abandoned: Arc<AtomicIsize>,
}

impl Drop for End {
    fn drop(&mut self) {
        if self.state.swap(DONE, Ordering::AcqRel) == ABANDONED {
            self.abandoned.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const SOON: Option<Duration> = Some(Duration::from_millis(30));

    /// A task that ignores its cancellation, and ends when the sender is dropped.
    fn stubborn() -> (mpsc::Sender<()>, impl FnOnce() -> u8 + Send + 'static) {
        let (end, ended) = mpsc::channel();
        (end, move || {
            let _ = ended.recv();
            1
        })
    }

    #[tokio::test]
    async fn abandoned_views_are_bounded_and_counted_down() {
        let views = ViewPool::start(2).unwrap();
        let mut ends = Vec::new();
        for _ in 0..2 {
            let (end, task) = stubborn();
            let cancel = CancellationToken::default();
            assert_eq!(views.run(SOON, cancel.clone(), task).await, Err(Unanswered::Late));
            assert!(cancel.is_cancelled());
            ends.push(end);
        }
        assert_eq!(views.abandoned(), 2);
        let busy = views.run(None, CancellationToken::default(), || 7).await.unwrap_err();
        assert!(matches!(&busy, Unanswered::Busy(why) if why.starts_with("2 calls or simulations")), "{busy:?}");
        ends.clear();
        while views.abandoned() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(views.run(None, CancellationToken::default(), || 7).await, Ok(7));
    }

    #[tokio::test]
    async fn an_abandoned_view_takes_no_place_of_others() {
        let views = ViewPool::start(1).unwrap();
        let (_end, task) = stubborn();
        let gone =
            tokio::time::timeout(Duration::from_millis(30), views.run(None, CancellationToken::default(), task)).await;
        assert!(gone.is_err(), "the caller went away");
        assert_eq!(views.abandoned(), 1);
        drop(_end);
        while views.abandoned() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(views.run(SOON, CancellationToken::default(), || 8).await, Ok(8));
        assert_eq!(
            views.run(SOON, CancellationToken::default(), || -> u8 { panic!("so") }).await,
            Err(Unanswered::Panicked("so".into()))
        );
        assert_eq!(views.abandoned(), 0);
    }

    #[tokio::test]
    async fn too_many_waiting_views_are_rejected() {
        let views = Arc::new(ViewPool::start(1).unwrap());
        let (end, task) = stubborn();
        let mut all = vec![tokio::spawn({
            let views = views.clone();
            async move { views.run(None, CancellationToken::default(), task).await }
        })];
        for _ in 0..WAITING {
            let views = views.clone();
            all.push(tokio::spawn(async move { views.run(None, CancellationToken::default(), || 2).await }));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        let busy = views.run(None, CancellationToken::default(), || 3).await.unwrap_err();
        assert!(matches!(&busy, Unanswered::Busy(why) if why.starts_with("65 calls")), "{busy:?}");
        drop(end);
        for one in all {
            assert!(one.await.unwrap().is_ok());
        }
    }
}
