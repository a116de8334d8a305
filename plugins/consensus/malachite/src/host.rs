//! The desk between the core and the task that runs the protocol.
//!
//! Malachite's core asks for a signature in the middle of its work and goes on with the answer. The protocol is therefore written as one task
//! that waits for its next event where it needs one. A [`Machine`] is that task as a state machine: a step hands an event in, lets the task run
//! until it waits again, and takes what it wants done. Nothing else ever wakes the task, and no thread is behind it.

use std::future::{poll_fn, Future};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use ordo_sdk::consensus::{Action, Input, Protocol};

#[derive(Default)]
struct Desk {
    event: Option<Input>,
    actions: Vec<Action>,
}

/// The task's end of the desk.
#[derive(Clone, Default)]
pub struct Host(Arc<Mutex<Desk>>);

impl Host {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what is to be done, behind what was said before.
    pub fn act(&self, action: impl Into<Action>) {
        self.desk().actions.push(action.into());
    }

    /// The next event. What was said until now is the answer to the one before.
    pub async fn next(&self) -> Input {
        poll_fn(|_| self.desk().event.take().map_or(Poll::Pending, Poll::Ready)).await
    }
}

/// A task as a protocol.
pub struct Machine {
    host: Host,
    task: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Machine {
    pub fn new<F, T>(task: F) -> Self
    where
        F: FnOnce(Host) -> T,
        T: Future<Output = ()> + Send + 'static,
    {
        let host = Host::default();
        Self { task: Some(Box::pin(task(host.clone()))), host }
    }
}

impl Protocol for Machine {
    fn step(&mut self, input: Input) -> Vec<Action> {
        self.host.desk().event = Some(input);
        if let Some(task) = &mut self.task {
            if task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                self.task = None; // it has stopped the node
            }
        }
        let mut desk = self.host.desk();
        desk.event = None;
        std::mem::take(&mut desk.actions)
    }
}

#[cfg(test)]
mod tests {
    use ordo_sdk::consensus::{Event, Seal, Timer};

    use super::*;

    fn timer(id: u64) -> Input {
        Input { now_ms: 0, event: Event::Timer(Timer { id }) }
    }

    #[test]
    fn a_task_answers_each_event_with_what_it_said_until_it_waits_again() {
        let mut machine = Machine::new(|host| async move {
            while let Event::Timer(Timer { id }) = host.next().await.event {
                host.act(Seal { attempt: id });
                if id == 2 {
                    host.next().await; // in the middle of its work
                    host.act(Seal { attempt: 20 });
                }
                if id == 3 {
                    return;
                }
            }
        });
        let seal = |attempt| Action::from(Seal { attempt });
        assert_eq!(machine.step(timer(1)), [seal(1)]);
        assert_eq!(machine.step(timer(2)), [seal(2)]);
        assert_eq!(machine.step(timer(7)), [seal(20)]);
        assert_eq!(machine.step(timer(3)), [seal(3)]);
        assert_eq!(machine.step(timer(4)), []);
    }
}
