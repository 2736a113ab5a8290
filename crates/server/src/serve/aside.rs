//! A future that waits beside another one, in the same task, and costs it nothing.
//!
//! A connection's task is woken for each request and each answer. What is also waited for there,
//! until nothing has moved for long or the end is called, would be polled each time, which took a
//! twentieth of a poll's answer. An [`Aside`] is polled only when its own future was woken.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// A future that is polled only after it was woken itself, not whenever its task was.
#[derive(Debug)]
pub(super) struct Aside<F> {
    future: F,
    bell: Option<Arc<Bell>>,
}

/// What the future wakes: notes that it did, and wakes the task.
#[derive(Debug)]
struct Bell {
    rung: AtomicBool,
    task: Waker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Before the task: it looks for this when it is polled.
        self.rung.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl<F: Future + Unpin> Aside<F> {
    pub(super) fn new(future: F) -> Self {
        Self { future, bell: None }
    }

    /// Polls the future if it was woken, or never was polled by this task.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<F::Output> {
        let bell = match &self.bell {
            Some(bell) if bell.task.will_wake(context.waker()) => {
                if !bell.rung.load(Ordering::Acquire) {
                    return Poll::Pending;
                }
                // Before polling: what rings meanwhile counts for the next time.
                bell.rung.store(false, Ordering::Release);
                bell
            }
            Some(_) | None => {
                let task = context.waker().clone();
                self.bell.insert(Arc::new(Bell { rung: AtomicBool::new(false), task }))
            }
        };
        let waker = Waker::from(Arc::clone(bell));
        Pin::new(&mut self.future).poll(&mut Context::from_waker(&waker))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::AtomicU32;

    use tokio::sync::oneshot;

    use super::*;

    /// Wakes nobody, and counts.
    struct Counter(AtomicU32);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn it_is_polled_when_it_was_woken_and_not_else() {
        let (tell, mut told) = oneshot::channel::<u8>();
        let polls = AtomicU32::new(0);
        let mut aside = Aside::new(poll_fn(|context| {
            polls.fetch_add(1, Ordering::Relaxed);
            Pin::new(&mut told).poll(context)
        }));
        let counter = Arc::new(Counter(AtomicU32::new(0)));
        let waker = Waker::from(Arc::clone(&counter));
        for _ in 0..10 {
            assert_eq!(aside.poll(&mut Context::from_waker(&waker)), Poll::Pending);
        }
        assert_eq!(polls.load(Ordering::Relaxed), 1);

        // By another task it is polled once more, so that it knows whom to wake.
        let other = Arc::new(Counter(AtomicU32::new(0)));
        let waker = Waker::from(Arc::clone(&other));
        assert_eq!(aside.poll(&mut Context::from_waker(&waker)), Poll::Pending);
        assert_eq!(polls.load(Ordering::Relaxed), 2);

        tell.send(5).expect("it is waited for");
        assert_eq!((counter.0.load(Ordering::Relaxed), other.0.load(Ordering::Relaxed)), (0, 1));
        assert_eq!(aside.poll(&mut Context::from_waker(&waker)), Poll::Ready(Ok(5)));
        assert_eq!(polls.load(Ordering::Relaxed), 3);
    }
}
