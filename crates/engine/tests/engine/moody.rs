//! A journal that does not always do what it should.

use std::sync::{Arc, Condvar, Mutex};

use store::{
    Append, Appended, Batch, Epoch, Format, Head, Journal, Lock, Locked, StoreError, StreamId,
    WriteSnapshot,
};

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// What it should.
    Sound,
    /// Appends without a lock come to nothing and to no end, until it is in another mood.
    AppendsHang,
    /// So does waiting for a lock.
    LocksHang,
    /// No lock is to be had.
    LocksFail,
    /// What is appended with a lock does not come in.
    TurnsFail,
    /// It comes in, and nobody is told.
    TurnsAreNotAnswered,
}

#[derive(Debug)]
struct Now {
    mood: Mood,
    /// In which mood those began to hang who do.
    hanging: Vec<Mood>,
}

pub(crate) struct Moody {
    inner: Arc<dyn Journal>,
    now: Mutex<Now>,
    changed: Condvar,
}

impl Moody {
    pub(crate) fn new(inner: Arc<dyn Journal>) -> Arc<Self> {
        let now = Mutex::new(Now { mood: Mood::Sound, hanging: Vec::new() });
        Arc::new(Self { inner, now, changed: Condvar::new() })
    }

    pub(crate) fn becomes(&self, mood: Mood) {
        self.now.lock().unwrap().mood = mood;
        self.changed.notify_all();
    }

    /// Whether somebody hangs who began to in this mood.
    pub(crate) fn hangs_since(&self, mood: Mood) -> bool {
        self.now.lock().unwrap().hanging.contains(&mood)
    }

    fn mood(&self) -> Mood {
        self.now.lock().unwrap().mood
    }

    fn hang_in(&self, mood: Mood) {
        let mut now = self.now.lock().unwrap();
        if now.mood != mood {
            return;
        }
        now.hanging.push(mood);
        now = self.changed.wait_while(now, |now| now.mood == mood).unwrap();
        now.hanging.retain(|other| *other != mood);
    }
}

fn lost() -> StoreError {
    StoreError::Unavailable("the connection is lost".to_owned())
}

struct Turn<'j> {
    moody: &'j Moody,
    lock: Box<dyn Lock + 'j>,
}

impl Lock for Turn<'_> {
    fn append(self: Box<Self>, appends: &[Append]) -> Result<Vec<Appended>, StoreError> {
        let Self { moody, lock } = *self;
        match moody.mood() {
            Mood::TurnsFail => Err(lost()),
            Mood::TurnsAreNotAnswered => lock.append(appends).and(Err(lost())),
            Mood::Sound | Mood::AppendsHang | Mood::LocksHang | Mood::LocksFail => {
                lock.append(appends)
            }
        }
    }
}

impl Journal for Moody {
    fn append(&self, appends: &[Append]) -> Result<Vec<Appended>, StoreError> {
        self.hang_in(Mood::AppendsHang);
        self.inner.append(appends)
    }

    fn lock(&self, streams: &[(StreamId, Head)]) -> Result<Locked<'_>, StoreError> {
        self.hang_in(Mood::LocksHang);
        if self.mood() == Mood::LocksFail {
            return Err(lost());
        }
        let Locked { newer, lock } = self.inner.lock(streams)?;
        Ok(Locked { newer, lock: Box::new(Turn { moody: self, lock }) })
    }

    fn epoch(&self) -> Epoch {
        self.inner.epoch()
    }

    fn format(&self) -> Result<Format, StoreError> {
        self.inner.format()
    }

    fn raise_format(&self, to: Format) -> Result<(), StoreError> {
        self.inner.raise_format(to)
    }

    fn writers(&self) -> Result<Vec<Format>, StoreError> {
        self.inner.writers()
    }

    fn read(&self, stream: StreamId, after: Head, max: usize) -> Result<Vec<Batch>, StoreError> {
        self.inner.read(stream, after, max)
    }

    fn head(&self, stream: StreamId) -> Result<Head, StoreError> {
        self.inner.head(stream)
    }

    fn heads(&self) -> Result<Vec<(StreamId, Head)>, StoreError> {
        self.inner.heads()
    }

    fn heartbeat(&self, at_ms: u64) -> Result<(), StoreError> {
        self.inner.heartbeat(at_ms)
    }

    fn last_heartbeat(&self) -> Result<Option<u64>, StoreError> {
        self.inner.last_heartbeat()
    }

    fn now_ms(&self) -> Result<u64, StoreError> {
        self.inner.now_ms()
    }

    fn save_snapshot(
        &self,
        stream: StreamId,
        head: Head,
        snapshot: WriteSnapshot<'_>,
    ) -> Result<(), StoreError> {
        self.inner.save_snapshot(stream, head, snapshot)
    }

    fn load_snapshot(&self, stream: StreamId) -> Result<Option<(Head, Vec<u8>)>, StoreError> {
        self.inner.load_snapshot(stream)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.inner.sync()
    }

    fn sync_count(&self) -> u64 {
        self.inner.sync_count()
    }
}
