//! From the journal's verbs, which block, to the client's calls, which do not.
//!
//! The client runs on a thread of its own. Whoever calls a verb waits on their own thread, without a
//! hand-over of what is asked; only where that thread already serves a runtime, which must not be
//! blocked from within, another one waits in its place.

use std::thread;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::StoreError;

/// The thread that the client runs on.
pub(super) struct Calls {
    /// None only while it is dropped.
    runtime: Option<Runtime>,
}

impl Calls {
    pub(super) fn start() -> Result<Self, StoreError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("maepyo-postgres")
            .enable_all()
            .build()
            .map_err(|error| StoreError::Unavailable(format!("no thread: {error}")))?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Waits for what `begin` begins.
    pub(super) fn wait<F: Future>(&self, begin: impl FnOnce() -> F + Send) -> F::Output
    where
        F::Output: Send,
    {
        let runtime = self.runtime.as_ref().expect("it is there until it is dropped").handle();
        if Handle::try_current().is_err() {
            return runtime.block_on(begin());
        }
        thread::scope(|scope| scope.spawn(|| runtime.block_on(begin())).join())
            .expect("a panic in a verb is a bug of its own")
    }
}

impl Drop for Calls {
    /// Without waiting, for it may be dropped where nobody may wait.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
