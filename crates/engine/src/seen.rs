//! When each buyer in line was last seen: written by readers, without a lock, and read by the
//! engine once a second.
//!
//! A poll decides nothing; it leaves a mark here. The engine journals the marks that matter.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use domain::id::EntryIndex;
use domain::time::Second;

const CHUNK: usize = 4096;

/// One mark of four bytes for each entry, in chunks that are shared by all versions of the table.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeenTable {
    chunks: Arc<Vec<Arc<[AtomicU32]>>>,
}

impl SeenTable {
    /// Makes room for `entries` entries.
    pub(crate) fn grow(&mut self, entries: usize) {
        let chunks = entries.div_ceil(CHUNK);
        if self.chunks.len() < chunks {
            let all = Arc::make_mut(&mut self.chunks);
            all.resize_with(chunks, || (0..CHUNK).map(|_| AtomicU32::new(0)).collect());
        }
    }

    /// Notes that an entry was seen; says whether this is the first time in this second.
    pub(crate) fn mark(&self, entry: EntryIndex, now: Second) -> bool {
        // Relaxed: a mark stands alone, nothing else is read by its light.
        self.slot(entry).is_some_and(|slot| slot.swap(now.0, Ordering::Relaxed) != now.0)
    }

    /// When an entry was last marked, `now` at the latest; 0 when never. An outage that is taken out
    /// of a sale's time sets that time back, and what was marked meanwhile lies ahead of it: it is set
    /// back too, or it would say, for as long as the outage lasted, that somebody has just been there.
    pub(crate) fn last(&self, entry: EntryIndex, now: Second) -> Second {
        let Some(slot) = self.slot(entry) else { return Second(0) };
        let marked = slot.load(Ordering::Relaxed);
        if marked > now.0 {
            slot.fetch_min(now.0, Ordering::Relaxed);
        }
        Second(marked.min(now.0))
    }

    fn slot(&self, entry: EntryIndex) -> Option<&AtomicU32> {
        self.chunks.get(entry.at() / CHUNK)?.get(entry.at() % CHUNK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_versions_of_the_table_share_their_marks() {
        let mut table = SeenTable::default();
        table.grow(1);
        let older = table.clone();
        table.grow(CHUNK + 1);
        assert!(older.mark(EntryIndex(5), Second(10)));
        assert!(!table.mark(EntryIndex(5), Second(10)));
        assert!(table.mark(EntryIndex(5), Second(11)));
        assert_eq!(older.last(EntryIndex(5), Second(20)), Second(11));
        assert!(!older.mark(EntryIndex::after(CHUNK), Second(10)), "no room, and no panic");
        assert_eq!(table.last(EntryIndex::after(CHUNK), Second(20)), Second(0));
    }

    #[test]
    fn a_mark_ahead_of_time_counts_once_and_not_for_as_long_as_it_is_ahead() {
        let mut table = SeenTable::default();
        table.grow(1);
        table.mark(EntryIndex(0), Second(1_000));
        assert_eq!(table.last(EntryIndex(0), Second(100)), Second(100), "just now");
        assert_eq!(table.last(EntryIndex(0), Second(200)), Second(100), "and not since");
    }
}
