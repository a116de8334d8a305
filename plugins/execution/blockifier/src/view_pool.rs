//! Who may run a view, and how many that nobody waits for may still be running.
//!
//! A view that is out of time ends at its next step, system call or allocation (`run`). Until then it keeps its thread. As many
//! of those are put up with as views may run; then new ones wait a moment and are refused.

use std::sync::atomic::{AtomicIsize, AtomicU8, AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::cancel::Stop;
use crate::threads::{Panicked, Place, Threads};

/// Views that wait, for each that may run.
const WAITING: usize = 64;
/// Niceness of views: blocks and admission come first, and what is left of the processors is theirs.
const NICE: i32 = 15;
/// How long a view runs at that priority. From then on it runs only when nothing else wants a processor.
const SHORT: Duration = Duration::from_millis(20);
/// How long a view waits for those that were given up.
const EASE: Duration = Duration::from_millis(500);

pub struct Views {
    threads: Threads,
    running: Semaphore,
    most_running: usize,
    entered: AtomicUsize,
    abandoned: Arc<AtomicIsize>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Unanswered {
    Busy(String),
    Late,
    Panicked(String),
}

const AT_WORK: u8 = 0;
const GIVEN_UP: u8 = 1;
const DONE: u8 = 2;

impl Views {
    pub fn start(count: usize) -> std::io::Result<Self> {
        let count = count.max(1);
        Ok(Self {
            // Half of them for views that were given up.
            threads: Threads::start_nice("view", count * 2, NICE)?,
            running: Semaphore::new(count),
            most_running: count,
            entered: AtomicUsize::new(0),
            abandoned: Arc::default(),
        })
    }

    /// Views that run on although nobody waits for them.
    pub fn abandoned(&self) -> usize {
        // Below zero for a moment when a task ends while it is being given up.
        usize::try_from(self.abandoned.load(Ordering::Acquire)).unwrap_or_default()
    }

    /// How many of those there are; what was given up ends in a moment, which is waited for.
    async fn without_abandoned(&self) -> usize {
        let until = tokio::time::Instant::now() + EASE;
        loop {
            let abandoned = self.abandoned();
            if abandoned < self.most_running || tokio::time::Instant::now() >= until {
                return abandoned;
            }
            tokio::time::sleep(EASE / 100).await;
        }
    }

    /// Runs `task` within `limit`. Dropping the future is giving up, too; either way `stop` is asked.
    pub async fn run<T: Send + 'static>(
        &self,
        limit: Option<Duration>,
        stop: Stop,
        task: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Unanswered> {
        let _entered = Entered::new(&self.entered, self.most_running * (WAITING + 1))?;
        let work = async {
            let _permit = self.running.acquire().await.map_err(|_| Unanswered::Late)?;
            let abandoned = self.without_abandoned().await;
            if abandoned >= self.most_running {
                return Err(Unanswered::Busy(format!(
                    "{abandoned} calls or simulations that were out of time still run, try again later"
                )));
            }
            let state = Arc::new(AtomicU8::new(AT_WORK));
            let _watch = Watch { state: state.clone(), abandoned: self.abandoned.clone(), stop };
            let gauge = self.abandoned.clone();
            let place = Arc::new(Place::default());
            let held = place.clone();
            let result = self.threads.run(move || {
                let _end = End { state, abandoned: gauge };
                held.hold(task)
            });
            tokio::pin!(result);
            let result = match tokio::time::timeout(SHORT, result.as_mut()).await {
                Ok(result) => result,
                Err(_) => {
                    place.step_aside();
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

/// On the side of the one who waits.
struct Watch {
    state: Arc<AtomicU8>,
    abandoned: Arc<AtomicIsize>,
    stop: Stop,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.state.compare_exchange(AT_WORK, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.abandoned.fetch_add(1, Ordering::AcqRel);
        }
        self.stop.ask();
    }
}

/// On the side of the task.
struct End {
    state: Arc<AtomicU8>,
    abandoned: Arc<AtomicIsize>,
}

impl Drop for End {
    fn drop(&mut self) {
        if self.state.swap(DONE, Ordering::AcqRel) == GIVEN_UP {
            self.abandoned.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const SOON: Option<Duration> = Some(Duration::from_millis(30));

    /// A task that ends when the sender says so, whatever it is asked.
    fn stubborn() -> (mpsc::Sender<()>, impl FnOnce() -> u8 + Send + 'static) {
        let (end, ended) = mpsc::channel();
        (end, move || {
            let _ = ended.recv();
            1
        })
    }

    #[tokio::test]
    async fn views_that_were_given_up_are_bounded_and_counted_down() {
        let views = Views::start(2).unwrap();
        let mut ends = Vec::new();
        for _ in 0..2 {
            let (end, task) = stubborn();
            let stop = Stop::default();
            assert_eq!(views.run(SOON, stop.clone(), task).await, Err(Unanswered::Late));
            assert!(stop.asked());
            ends.push(end);
        }
        assert_eq!(views.abandoned(), 2);
        let refused = views.run(None, Stop::default(), || 7).await.unwrap_err();
        assert!(matches!(&refused, Unanswered::Busy(why) if why.starts_with("2 calls or simulations")), "{refused:?}");
        ends.clear();
        while views.abandoned() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(views.run(None, Stop::default(), || 7).await, Ok(7));
    }

    #[tokio::test]
    async fn one_that_was_given_up_takes_nobodys_place() {
        let views = Views::start(1).unwrap();
        let (_end, task) = stubborn();
        let gone = tokio::time::timeout(Duration::from_millis(30), views.run(None, Stop::default(), task)).await;
        assert!(gone.is_err(), "the caller went away");
        assert_eq!(views.abandoned(), 1);
        drop(_end);
        while views.abandoned() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(views.run(SOON, Stop::default(), || 8).await, Ok(8));
        assert_eq!(
            views.run(SOON, Stop::default(), || -> u8 { panic!("so") }).await,
            Err(Unanswered::Panicked("so".into()))
        );
        assert_eq!(views.abandoned(), 0);
    }

    #[tokio::test]
    async fn a_crowd_is_told_to_come_again() {
        let views = Arc::new(Views::start(1).unwrap());
        let (end, task) = stubborn();
        let mut all = vec![tokio::spawn({
            let views = views.clone();
            async move { views.run(None, Stop::default(), task).await }
        })];
        for _ in 0..WAITING {
            let views = views.clone();
            all.push(tokio::spawn(async move { views.run(None, Stop::default(), || 2).await }));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        let refused = views.run(None, Stop::default(), || 3).await.unwrap_err();
        assert!(matches!(&refused, Unanswered::Busy(why) if why.starts_with("65 calls")), "{refused:?}");
        drop(end);
        for one in all {
            assert!(one.await.unwrap().is_ok());
        }
    }
}
