//! Answers that wrote nothing, where other nodes write too: they wait for a look at the journal.
//!
//! A refusal is true of the state that it was decided after. Whether there was a newer one when its
//! request came, the journal alone can say. So it waits for a look that begins after it was decided,
//! and one look serves all who wait: when nothing newer was found, it is told; otherwise its request
//! is decided again, from there.
//!
//! A batch of our own that comes in says the same as a look. What was decided behind a batch that was
//! still open is of the newest state once that is durable; and what was decided after the batch before
//! it was so until it came in, which was after the request did.

use domain::id::EntryIndex;

use super::Waiting;
use crate::Reply;

/// An answer that is durable, and not known to be of the newest state.
#[derive(Debug)]
pub(super) struct UnsureAnswer<R> {
    pub(super) waiting: Waiting<R>,
    pub(super) entry: Option<EntryIndex>,
    pub(super) reply: Reply,
}

/// All that wait for a look.
#[derive(Debug)]
pub(super) struct Unsure<R> {
    /// For the one that was asked for.
    asked: Vec<UnsureAnswer<R>>,
    /// For the next one, for that one may have begun before these were decided.
    next: Vec<UnsureAnswer<R>>,
    is_asked: bool,
}

impl<R> Default for Unsure<R> {
    fn default() -> Self {
        Self { asked: Vec::new(), next: Vec::new(), is_asked: false }
    }
}

impl<R> Unsure<R> {
    pub(super) fn len(&self) -> usize {
        self.asked.len() + self.next.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn add(&mut self, answer: UnsureAnswer<R>) {
        self.next.push(answer);
    }

    /// Whether a look is to be asked for now: for those who wait, or for another reason.
    pub(super) fn asks(&mut self, reason: bool) -> bool {
        let asks = !self.is_asked && (reason || !self.next.is_empty());
        if asks {
            self.asked.append(&mut self.next);
            self.is_asked = true;
        }
        asks
    }

    /// A batch of this number came in, from here.
    pub(super) fn followed_by(&mut self, number: u64) -> Vec<UnsureAnswer<R>> {
        let is_before = |answer: &mut UnsureAnswer<R>| answer.reply.as_of + 1 == number;
        let mut sure: Vec<_> = self.asked.extract_if(.., is_before).collect();
        sure.extend(self.next.extract_if(.., is_before));
        sure
    }

    /// The look that was asked for is over.
    pub(super) fn looked(&mut self) -> Vec<UnsureAnswer<R>> {
        self.is_asked = false;
        std::mem::take(&mut self.asked)
    }

    /// Those that have waited too long.
    pub(super) fn late(
        &mut self,
        is_late: impl Fn(&Waiting<R>) -> bool,
    ) -> impl Iterator<Item = Waiting<R>> {
        let is_late = move |answer: &mut UnsureAnswer<R>| is_late(&answer.waiting);
        let mut late: Vec<_> = self.asked.extract_if(.., &is_late).collect();
        late.extend(self.next.extract_if(.., &is_late));
        late.into_iter().map(|answer| answer.waiting)
    }
}
