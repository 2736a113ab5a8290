//! What can happen to a directory: crashes, cut files, flipped bits, a full disk, other processes.
//!
//! A crash is imitated by a copy of the files as they lie there while the journal is open: what a
//! killed process leaves behind.
//!
//! One idea: what this backend promises beyond the suite that all backends pass.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::thread;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::head_file::Slot;
use super::*;
use crate::BatchId;

const ONE: StreamId = StreamId(1);
const TWO: StreamId = StreamId(2);
const NO_LIMIT: usize = usize::MAX;

/// A directory of a journal.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("journal").join(name)
    }

    fn dir(&self) -> PathBuf {
        self.path("")
    }

    fn open(&self) -> Result<SqliteJournal, StoreError> {
        SqliteJournal::open(&self.dir(), options())
    }

    fn open_read_only(&self) -> Result<SqliteReader, StoreError> {
        SqliteReader::open(&self.dir(), options())
    }

    fn accept(&self) -> SqliteJournal {
        let accept = Options { accept_shorter_history: true, ..options() };
        SqliteJournal::open(&self.dir(), accept).unwrap()
    }

    /// The files as a crash would leave them now. To be asked for while no checkpoint is under way:
    /// one after the other is copied.
    fn crash(&self) -> Self {
        let copy = Self::new();
        fs::create_dir_all(copy.path("snapshots")).unwrap();
        for name in ["journal.sqlite", "journal.sqlite-wal", "head"] {
            fs::copy(self.path(name), copy.path(name)).unwrap();
        }
        for entry in fs::read_dir(self.path("snapshots")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.path("snapshots").join(entry.file_name())).unwrap();
        }
        copy
    }

    /// The files of a directory that nobody has open.
    fn crash_free_copy(&self) -> Self {
        fs::write(self.path("journal.sqlite-wal"), b"").unwrap();
        self.crash()
    }

    fn cut(&self, name: &str, length: u64) {
        File::options().write(true).open(self.path(name)).unwrap().set_len(length).unwrap();
    }

    /// Flips a bit in each place where `pattern` stands: a database keeps pieces that it has moved.
    fn flip(&self, name: &str, pattern: &[u8]) {
        let mut bytes = fs::read(self.path(name)).unwrap();
        let is_there = |at: &usize| bytes[*at..].starts_with(pattern);
        let places: Vec<usize> = (0..bytes.len()).filter(is_there).collect();
        assert!(!places.is_empty());
        places.into_iter().for_each(|at| bytes[at] ^= 1);
        fs::write(self.path(name), bytes).unwrap();
    }

    fn slots(&self) -> Vec<(StreamId, Slot)> {
        head_file::read_slots(&self.path("head")).unwrap().unwrap()
    }

    fn snapshots(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("snapshots")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn options() -> Options {
    Options::new(Arc::new(|| 0))
}

/// A recognisable body, longer than a page.
fn body(number: u64) -> Vec<u8> {
    format!("this is the body of batch {number}; ").repeat(200).into_bytes()
}

fn batch(number: u64) -> Batch {
    let id = |number| BatchId(u128::from(number));
    Batch {
        number,
        id: id(number),
        previous: id(number - 1),
        at_ms: number * 10,
        body: body(number),
    }
}

fn append(journal: &dyn Journal, stream: StreamId, batch: Batch) -> Result<Appended, StoreError> {
    journal.append(&[Append { stream, batch }]).map(|answers| answers[0])
}

fn fill(journal: &dyn Journal, stream: StreamId, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        assert_eq!(append(journal, stream, batch(number)).unwrap(), Appended::Appended);
    }
}

fn numbers(journal: &dyn Journal, stream: StreamId) -> Result<Vec<u64>, StoreError> {
    let batches = journal.read(stream, Head::EMPTY, NO_LIMIT)?;
    Ok(batches.iter().map(|batch| batch.number).collect())
}

/// Asserts that it is refused as damaged, with a sentence that says this.
#[track_caller]
fn assert_corrupt<T>(answer: Result<T, StoreError>, saying: &str) {
    match answer {
        Err(StoreError::Corrupt(sentence)) => {
            assert!(sentence.contains(saying), "{sentence:?} does not say {saying:?}");
        }
        Err(error) => panic!("refused otherwise: {error}"),
        Ok(_) => panic!("not refused: {saying}"),
    }
}

#[test]
fn reopening_keeps_everything() {
    let place = Place::new();
    let journal = place.open().unwrap();
    fill(&journal, ONE, 1..=5);
    fill(&journal, TWO, 1..=2);
    journal.heartbeat(77).unwrap();
    journal.save_snapshot(ONE, batch(4).head(), &|to| to.write_all(b"four")).unwrap();
    let epoch = journal.epoch();
    drop(journal);

    for _ in 0..2 {
        let journal = place.open().unwrap();
        assert_eq!(journal.epoch(), epoch);
        assert_eq!(journal.heads().unwrap(), [(ONE, batch(5).head()), (TWO, batch(2).head())]);
        assert_eq!(numbers(&journal, ONE).unwrap(), [1, 2, 3, 4, 5]);
        assert_eq!(journal.last_heartbeat().unwrap(), Some(77));
        assert_eq!(journal.load_snapshot(ONE).unwrap(), Some((batch(4).head(), b"four".to_vec())));
        // Memory of the ends of streams is made again: what was there is there, what follows fits.
        assert_eq!(append(&journal, ONE, batch(5)).unwrap(), Appended::AlreadyThere);
        journal.sync().unwrap();
    }
    let journal = place.open().unwrap();
    fill(&journal, ONE, 6..=6);
    journal.heartbeat(76).unwrap();
    assert_eq!(journal.last_heartbeat().unwrap(), Some(77));
}

#[test]
fn what_was_answered_survives_a_crash_and_a_lost_answer_is_told_again() {
    let place = Place::new();
    let journal = place.open().unwrap();
    let mut left_behind = Vec::new();
    for number in 1..=5 {
        fill(&journal, ONE, number..=number);
        left_behind.push(place.crash());
    }
    for (place, number) in left_behind.into_iter().zip(1..) {
        let journal = place.open().unwrap();
        assert_eq!(journal.head(ONE).unwrap(), batch(number).head());
        assert_eq!(append(&journal, ONE, batch(number)).unwrap(), Appended::AlreadyThere);
        let foreign = Batch { id: BatchId(99), ..batch(number) };
        let head = batch(number).head();
        assert_eq!(append(&journal, ONE, foreign).unwrap(), Appended::Conflict { head });
        fill(&journal, ONE, number + 1..=7);
    }
}

#[test]
fn a_wal_cut_in_half_is_refused_until_an_operator_accepts_it() {
    let place = Place::new();
    let journal = place.open().unwrap();
    fill(&journal, TWO, 1..=3);
    fill(&journal, ONE, 1..=2);
    journal.save_snapshot(ONE, batch(2).head(), &|to| to.write_all(b"two")).unwrap();
    journal.sync().unwrap();
    fill(&journal, ONE, 3..=20);
    journal.save_snapshot(ONE, batch(19).head(), &|to| to.write_all(b"nineteen")).unwrap();
    journal.save_snapshot(ONE, batch(20).head(), &|to| to.write_all(b"twenty")).unwrap();
    journal.save_snapshot(TWO, batch(3).head(), &|to| to.write_all(b"of two")).unwrap();
    let epoch = journal.epoch();
    let left = place.crash();
    assert_eq!(left.open().unwrap().head(ONE).unwrap().number, 20, "it is whole before the cut");

    let length = fs::metadata(left.path("journal.sqlite-wal")).unwrap().len();
    left.cut("journal.sqlite-wal", length / 2);
    // Refused as often as it is tried: trying changes nothing.
    for _ in 0..2 {
        assert_corrupt(left.open(), "acknowledged up to 20");
        assert_corrupt(left.open_read_only(), "the history of stream 1 ends at ");
    }

    let journal = left.accept();
    assert_ne!(journal.epoch(), epoch);
    let end = journal.head(ONE).unwrap().number;
    assert!((3..19).contains(&end), "{end}");
    assert_eq!(numbers(&journal, TWO).unwrap(), [1, 2, 3]);
    // The snapshots of what is lost are passed over, and do not crowd out the next good one.
    assert_eq!(journal.load_snapshot(ONE).unwrap(), None);
    fill(&journal, ONE, end + 1..=end + 1);
    journal.save_snapshot(ONE, batch(end + 1).head(), &|to| to.write_all(b"new")).unwrap();
    let accepted = journal.epoch();
    drop(journal);
    assert_eq!(left.snapshots(), [format!("1-{}.snapshot", end + 1), "2-3.snapshot".to_owned()]);

    let journal = left.open().unwrap();
    assert_eq!(journal.epoch(), accepted);
    let kept = Some((batch(end + 1).head(), b"new".to_vec()));
    assert_eq!(journal.load_snapshot(ONE).unwrap(), kept);
}

#[test]
fn a_file_that_went_missing_is_refused() {
    let place = Place::new();
    let journal = place.open().unwrap();
    fill(&journal, ONE, 1..=4);

    let left = place.crash();
    fs::remove_file(left.path("journal.sqlite-wal")).unwrap();
    for _ in 0..2 {
        assert_corrupt(left.open(), "ends at 0 but was acknowledged up to 4");
    }

    journal.sync().unwrap();
    fill(&journal, ONE, 5..=6);
    let left = place.crash();
    fs::remove_file(left.path("journal.sqlite-wal")).unwrap();
    assert_corrupt(left.open(), "ends at 4 but was acknowledged up to 6");

    let left = place.crash();
    fs::remove_file(left.path("journal.sqlite")).unwrap();
    assert_corrupt(left.open(), "journal.sqlite is missing");
    assert!(!left.path("journal.sqlite").exists(), "a refused start makes no database");
    assert_corrupt(left.open_read_only(), "journal.sqlite is missing");
    assert_eq!(left.accept().heads().unwrap(), []);

    let left = place.crash();
    fs::remove_file(left.path("head")).unwrap();
    assert_corrupt(left.open(), "the head file is missing");
    assert_corrupt(left.open_read_only(), "the head file is missing");
    assert!(!left.path("head").exists(), "a refused start makes no head file");
    let accepted = left.accept();
    assert_eq!(numbers(&accepted, ONE).unwrap(), [1, 2, 3, 4, 5, 6]);
    assert_ne!(accepted.epoch(), journal.epoch());
}

#[test]
fn a_head_file_of_another_history_is_refused() {
    let place = Place::new();
    let journal = place.open().unwrap();
    fill(&journal, ONE, 1..=4);
    let other = Place::new();
    let other_journal = other.open().unwrap();
    fill(&other_journal, ONE, 1..=4);
    let left = place.crash();
    fs::copy(other.path("head"), left.path("head")).unwrap();
    assert_corrupt(left.open(), "another history");

    let left = place.crash();
    let file = HeadFile::open(&left.path("head")).unwrap();
    let foreign = Head { number: 3, id: BatchId(99) };
    file.write(ONE, journal.epoch(), foreign).unwrap();
    assert_corrupt(left.open(), "batch 3 of stream 1 is not the one that was acknowledged");
}

#[test]
fn an_old_or_torn_slot_speaks_against_nothing_and_is_written_anew() {
    let place = Place::new();
    let journal = place.open().unwrap();
    fill(&journal, ONE, 1..=4);
    let said = [(StreamId(0), Slot::Empty), (ONE, acknowledged(&journal, 4))];

    let old = place.crash();
    let file = HeadFile::open(&old.path("head")).unwrap();
    file.write(ONE, journal.epoch(), batch(2).head()).unwrap();
    let torn = place.crash();
    torn.flip("head", b"head");
    let empty = place.crash();
    empty.cut("head", 0);
    for left in [old, torn, empty] {
        assert_eq!(numbers(&left.open().unwrap(), ONE).unwrap(), [1, 2, 3, 4]);
        assert_eq!(left.slots(), said);
    }
}

fn acknowledged(journal: &dyn Journal, number: u64) -> Slot {
    Slot::Acknowledged { epoch: journal.epoch(), head: batch(number).head() }
}

#[test]
fn a_flipped_bit_is_noticed_when_it_is_read() {
    let place = Place::new();
    let journal = place.open().unwrap();
    fill(&journal, ONE, 1..=6);
    journal.sync().unwrap();

    let left = place.crash();
    left.flip("journal.sqlite", b"the body of batch 3;");
    let journal = left.open().unwrap();
    assert_corrupt(numbers(&journal, ONE), "the checksum of batch 3 is wrong");
    let before = journal.read(ONE, Head::EMPTY, 2 * body(1).len() + 200).unwrap();
    assert_eq!(before, [batch(1), batch(2)]);
    assert_eq!(journal.read(ONE, batch(3).head(), NO_LIMIT).unwrap().len(), 3);
    // It is not taken for the batch that was sent, either.
    assert_corrupt(append(&journal, ONE, batch(3)), "the checksum of batch 3 is wrong");

    let left = place.crash();
    left.flip("journal.sqlite", b"the body of batch 6;");
    assert_corrupt(left.open(), "the checksum of batch 6 is wrong");
}

#[test]
fn rows_that_were_removed_exchanged_or_moved_are_noticed() {
    let tampered = |statement: &str| {
        let place = Place::new();
        fill(&place.open().unwrap(), ONE, 1..=6);
        let connection = Connection::open(place.path("journal.sqlite")).unwrap();
        connection.execute_batch(statement).unwrap();
        drop(connection);
        numbers(&place.open().unwrap(), ONE)
    };
    let stream = history::key(ONE, 0);
    assert_corrupt(
        tampered(&format!("DELETE FROM batch WHERE key = {stream} + 3")),
        "after 2 (00000000000000000000000000000002): it is followed by batch 4",
    );
    assert_corrupt(
        tampered(&format!("UPDATE batch SET at_ms = 0 WHERE key = {stream} + 3")),
        "the checksum of batch 3 is wrong",
    );
    assert_corrupt(
        tampered(&format!(
            "DELETE FROM batch WHERE key = {stream} + 3;
             UPDATE batch SET key = {stream} + 3 WHERE key = {stream} + 4"
        )),
        "the checksum of batch 3 is wrong",
    );
    assert_corrupt(
        tampered(&format!("UPDATE batch SET key = {stream} WHERE key = {stream} + 1")),
        "it is followed by batch 0",
    );
}

#[test]
fn a_damaged_snapshot_is_passed_over() {
    let place = Place::new();
    let journal = place.open().unwrap();
    fill(&journal, ONE, 1..=6);
    for number in [2, 3, 5] {
        let bytes = format!("the snapshot of {number}");
        journal
            .save_snapshot(ONE, batch(number).head(), &|to| to.write_all(bytes.as_bytes()))
            .unwrap();
    }
    assert_eq!(place.snapshots(), ["1-3.snapshot", "1-5.snapshot"], "two are kept");
    let of_three = Some((batch(3).head(), b"the snapshot of 3".to_vec()));

    place.flip("snapshots/1-5.snapshot", b"the snapshot");
    assert_eq!(journal.load_snapshot(ONE).unwrap(), of_three);
    place.cut("snapshots/1-5.snapshot", 95);
    assert_eq!(journal.load_snapshot(ONE).unwrap(), of_three);
    place.cut("snapshots/1-5.snapshot", 20);
    assert_eq!(journal.load_snapshot(ONE).unwrap(), of_three);
    // A file under another stream's name is not that stream's.
    fill(&journal, TWO, 1..=6);
    fs::copy(place.path("snapshots/1-3.snapshot"), place.path("snapshots/2-3.snapshot")).unwrap();
    assert_eq!(journal.load_snapshot(TWO).unwrap(), None);

    place.flip("snapshots/1-3.snapshot", &batch(3).id.0.to_be_bytes());
    assert_eq!(journal.load_snapshot(ONE).unwrap(), None);
    journal.save_snapshot(ONE, batch(6).head(), &|to| to.write_all(b"six")).unwrap();
    assert_eq!(journal.load_snapshot(ONE).unwrap(), Some((batch(6).head(), b"six".to_vec())));
    assert_eq!(place.snapshots(), ["1-6.snapshot", "2-3.snapshot"], "the damaged ones went");
}

#[test]
fn what_a_dying_process_was_writing_is_removed() {
    let place = Place::new();
    drop(place.open().unwrap());
    fs::write(place.path("snapshots/1-3.snapshot.tmp"), b"half").unwrap();
    fs::write(place.path("snapshots/note.txt"), b"not ours").unwrap();
    drop(place.open().unwrap());
    assert_eq!(place.snapshots(), ["note.txt"]);
}

#[test]
fn a_second_process_is_turned_away_with_one_sentence() {
    let place = Place::new();
    let journal = place.open().unwrap();
    let error = place.open().err().unwrap();
    assert_eq!(error, StoreError::InUse(place.dir()));
    assert!(error.to_string().contains("in use by another process; stop that one"), "{error}");
    fill(&journal, ONE, 1..=1);
    drop(journal);
    assert_eq!(place.open().unwrap().head(ONE).unwrap(), batch(1).head());
}

#[test]
fn a_reader_reads_beside_the_writer() {
    let place = Place::new();
    let journal = place.open().unwrap();
    fill(&journal, ONE, 1..=3);
    journal.heartbeat(5).unwrap();
    journal.save_snapshot(ONE, batch(2).head(), &|to| to.write_all(b"two")).unwrap();

    let reader = place.open_read_only().unwrap();
    assert_eq!(reader.epoch(), journal.epoch());
    assert_eq!(numbers(&reader, ONE).unwrap(), [1, 2, 3]);
    assert_eq!(reader.last_heartbeat().unwrap(), Some(5));
    assert_eq!(reader.load_snapshot(ONE).unwrap(), journal.load_snapshot(ONE).unwrap());

    fill(&journal, ONE, 4..=5);
    journal.sync().unwrap();
    fill(&journal, ONE, 6..=6);
    assert_eq!(reader.heads().unwrap(), [(ONE, batch(6).head())]);
    assert_eq!(numbers(&reader, ONE).unwrap(), [1, 2, 3, 4, 5, 6]);

    assert_eq!(append(&reader, ONE, batch(7)), Err(StoreError::ReadOnly));
    assert_eq!(reader.heartbeat(9), Err(StoreError::ReadOnly));
    assert_eq!(
        reader.save_snapshot(ONE, batch(2).head(), &|to| to.write_all(b"")),
        Err(StoreError::ReadOnly)
    );
    assert_eq!(reader.sync(), Err(StoreError::ReadOnly));
    // And after the writer is gone, whether it was closed or killed.
    drop(journal);
    assert_eq!(numbers(&reader, ONE).unwrap(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(numbers(&place.crash().open_read_only().unwrap(), ONE).unwrap().len(), 6);
}

#[test]
fn a_reader_makes_nothing() {
    let place = Place::new();
    let missing = place.open_read_only().err().unwrap();
    assert!(matches!(missing, StoreError::NotAStore(_)), "{missing}");
    assert!(!place.dir().exists());
}

#[test]
fn a_database_of_a_newer_program_or_of_something_else_is_refused() {
    let place = Place::new();
    drop(place.open().unwrap());
    let connection = Connection::open(place.path("journal.sqlite")).unwrap();
    connection.execute_batch("UPDATE meta SET schema_version = 9").unwrap();
    drop(connection);
    let newer = StoreError::NewerSchema { found: 9, known: 2 };
    assert_eq!(place.open().err(), Some(newer.clone()));
    assert_eq!(place.open_read_only().err(), Some(newer));

    let place = Place::new();
    fs::create_dir(place.dir()).unwrap();
    let connection = Connection::open(place.path("journal.sqlite")).unwrap();
    connection.execute_batch("CREATE TABLE other (a INTEGER)").unwrap();
    drop(connection);
    let error = place.open().err().unwrap();
    assert!(matches!(error, StoreError::NotAStore(_)), "{error}");

    fs::write(place.path("journal.sqlite"), "this is no database at all ".repeat(100)).unwrap();
    assert_corrupt(place.open(), "not a database");
}

#[test]
fn a_store_in_a_later_format_is_refused_in_one_sentence() {
    let place = Place::new();
    drop(place.open().unwrap());
    let connection = Connection::open(place.path("journal.sqlite")).unwrap();
    connection.execute_batch("UPDATE meta SET format = 3").unwrap();
    drop(connection);
    let newer = StoreError::NewerFormat { found: Format(3), known: Format(2) };
    assert_eq!(
        newer.to_string(),
        "the store is in format 3, and this program knows formats up to 2; use the program that \
         raised it, or a newer one"
    );
    assert_eq!(place.open().err(), Some(newer.clone()));
    assert_eq!(place.open_read_only().err(), Some(newer));
}

/// The tables of the first version, in which a format was not said.
#[test]
fn older_tables_are_read_as_they_are_and_brought_up_by_a_start_that_is_not_refused() {
    let place = Place::new();
    let journal =
        SqliteJournal::open(&place.dir(), Options { first_format: Format(1), ..options() });
    let journal = journal.unwrap();
    fill(&journal, ONE, 1..=3);
    journal.sync().unwrap();
    drop(journal);
    let by_hand = |statements: &str| {
        let connection = Connection::open(place.path("journal.sqlite")).unwrap();
        connection.execute_batch(statements).unwrap();
    };
    by_hand("ALTER TABLE meta DROP COLUMN format; UPDATE meta SET schema_version = 1");
    let version = || -> u32 {
        let connection = Connection::open(place.path("journal.sqlite")).unwrap();
        connection.query_row("SELECT schema_version FROM meta", [], |row| row.get(0)).unwrap()
    };

    let reader = place.open_read_only().unwrap();
    assert_eq!((reader.format(), numbers(&reader, ONE)), (Ok(Format(1)), Ok(vec![1, 2, 3])));
    assert_eq!(reader.raise_format(Format(2)), Err(StoreError::ReadOnly));
    assert_eq!(version(), 1);

    // A history that ends too early: whoever made it can still be asked.
    by_hand("CREATE TABLE kept AS SELECT * FROM batch; DELETE FROM batch WHERE key & 255 = 3");
    assert_corrupt(place.open(), "");
    assert_eq!(version(), 1);
    by_hand("INSERT INTO batch SELECT * FROM kept WHERE key & 255 = 3; DROP TABLE kept");

    let journal = place.open().unwrap();
    assert_eq!((journal.format(), version()), (Ok(Format(1)), 2));
    // Beside it, and opened before the tables were brought up.
    assert_eq!(reader.format(), Ok(Format(1)));
    journal.raise_format(Format(2)).unwrap();
    assert_eq!(reader.format(), Ok(Format(2)));
    assert_eq!(numbers(&journal, ONE), Ok(vec![1, 2, 3]));
    assert_eq!(place.crash().open().unwrap().format(), Ok(Format(2)), "it was durable");
}

/// A later version of the file, whole and with a right checksum.
#[test]
fn a_snapshot_of_a_later_version_is_passed_over() {
    let place = Place::new();
    let journal = place.open().unwrap();
    fill(&journal, ONE, 1..=2);
    journal.save_snapshot(ONE, batch(1).head(), &|to| to.write_all(b"one")).unwrap();
    journal.save_snapshot(ONE, batch(2).head(), &|to| to.write_all(b"two")).unwrap();
    let path = place.path("snapshots/1-2.snapshot");
    let mut bytes = fs::read(&path).unwrap();
    let rewrite = |bytes: &mut [u8], version: u32| {
        bytes[8..12].copy_from_slice(&version.to_be_bytes());
        let digest = Sha256::new().chain_update(&bytes[88..]).chain_update(&bytes[..56]).finalize();
        bytes[56..88].copy_from_slice(&digest);
        fs::write(&path, bytes).unwrap();
    };
    rewrite(&mut bytes, 2);
    assert_eq!(journal.load_snapshot(ONE).unwrap().unwrap().1, b"two", "this is how it is made");
    rewrite(&mut bytes, 3);
    assert_eq!(journal.load_snapshot(ONE).unwrap().unwrap().1, b"one");
}

#[test]
fn a_full_disk_is_survived() {
    let place = Place::new();
    let journal = place.open().unwrap();
    fill(&journal, ONE, 1..=3);
    let count = journal.sync_count();
    let set_pages_max = |pages: i64| {
        let writer = journal.writer.lock();
        // The answer is the limit from now on.
        writer
            .connection
            .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
            .unwrap();
    };

    set_pages_max(1);
    for _ in 0..3 {
        let answer = append(&journal, ONE, batch(4));
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    }
    let both = [ONE, TWO].map(|stream| Append { stream, batch: batch(4) });
    assert!(matches!(journal.append(&both), Err(StoreError::Unavailable(_))));
    assert_eq!(journal.head(ONE).unwrap(), batch(3).head());
    assert_eq!(journal.sync_count(), count);
    // What needs no room goes on.
    assert_eq!(append(&journal, ONE, batch(3)).unwrap(), Appended::AlreadyThere);
    journal.heartbeat(8).unwrap();
    assert_eq!(numbers(&journal, ONE).unwrap(), [1, 2, 3]);

    set_pages_max(i64::from(i32::MAX));
    fill(&journal, ONE, 4..=6);
    drop(journal);
    assert_eq!(numbers(&place.open().unwrap(), ONE).unwrap(), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_head_file_that_cannot_be_written_takes_nothing_back() {
    let place = Place::new();
    let journal = place.open().unwrap();
    fill(&journal, ONE, 1..=2);
    // A file that answers every write with "no space left".
    let full = Arc::new(HeadFile::open(Path::new("/dev/full")).unwrap());
    let head_file = std::mem::replace(&mut journal.writer.lock().head_file, full);
    fill(&journal, ONE, 3..=4);
    assert_eq!(place.slots(), [(StreamId(0), Slot::Empty), (ONE, acknowledged(&journal, 2))]);

    journal.writer.lock().head_file = head_file;
    fill(&journal, TWO, 1..=1);
    let caught_up = [(ONE, acknowledged(&journal, 4)), (TWO, acknowledged(&journal, 1))];
    assert_eq!(place.slots()[1..], caught_up);
}

#[test]
fn a_snapshot_that_cannot_be_written_costs_nothing_else() {
    let place = Place::new();
    let journal = place.open().unwrap();
    fill(&journal, ONE, 1..=2);
    journal.save_snapshot(ONE, batch(1).head(), &|to| to.write_all(b"one")).unwrap();
    fs::rename(place.path("snapshots"), place.path("elsewhere")).unwrap();
    let answer = journal.save_snapshot(ONE, batch(2).head(), &|to| to.write_all(b"two"));
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    assert_eq!(journal.load_snapshot(ONE).unwrap(), None);
    fill(&journal, ONE, 3..=3);
    fs::rename(place.path("elsewhere"), place.path("snapshots")).unwrap();
    assert_eq!(journal.load_snapshot(ONE).unwrap(), Some((batch(1).head(), b"one".to_vec())));
}

#[test]
fn the_wal_stays_short_under_continuous_load() {
    const LIMITS: Limits = Limits {
        start_bytes: 256 << 10,
        small_bytes: 64 << 10,
        rounds_max: 4,
        high_bytes: 1 << 20,
    };
    // The high mark, and generously what is written during a round on a busy machine; without
    // checkpoints it would be three times as much.
    const WAL_MAX_BYTES: u64 = 16 << 20;
    const BATCHES: u64 = 1_000;
    const BODY_BYTES: usize = 40_000;

    let place = Place::new();
    let journal = SqliteJournal::open_with(&place.dir(), options(), LIMITS).unwrap();
    let done = AtomicBool::new(false);
    let longest = thread::scope(|scope| {
        // A reader that never rests must not keep the WAL from being started anew.
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                journal.read(ONE, Head::EMPTY, 1 << 20).unwrap();
            }
        });
        let mut longest = 0;
        for number in 1..=BATCHES {
            let large = Batch { body: vec![7; BODY_BYTES], ..batch(number) };
            assert_eq!(append(&journal, ONE, large).unwrap(), Appended::Appended);
            let wal = fs::metadata(place.path("journal.sqlite-wal")).unwrap();
            longest = longest.max(wal.len());
        }
        done.store(true, Ordering::Relaxed);
        longest
    });
    let written = fs::metadata(place.path("journal.sqlite")).unwrap().len() + longest;
    assert!(written > BATCHES * BODY_BYTES as u64, "{written} bytes were written");
    assert!(longest < WAL_MAX_BYTES, "the WAL had {longest} bytes");

    drop(journal);
    let journal = place.open().unwrap();
    assert_eq!(numbers(&journal, ONE).unwrap().len() as u64, BATCHES);
    journal.sync().unwrap();
    assert_eq!(fs::metadata(place.path("journal.sqlite-wal")).unwrap().len(), 0);
    assert_eq!(numbers(&journal, ONE).unwrap().len() as u64, BATCHES);
}

#[test]
fn only_the_owner_may_look() {
    let place = Place::new();
    let journal = place.open().unwrap();
    fill(&journal, ONE, 1..=1);
    journal.save_snapshot(ONE, batch(1).head(), &|to| to.write_all(b"one")).unwrap();
    let mode = |name| fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777;
    for dir in ["", "snapshots"] {
        assert_eq!(mode(dir), 0o700, "of {dir:?}");
    }
    let files = [
        "journal.sqlite",
        "journal.sqlite-wal",
        "journal.sqlite-shm",
        "head",
        "lock",
        "snapshots/1-1.snapshot",
    ];
    for file in files {
        assert_eq!(mode(file), 0o600, "of {file}");
    }
}

#[test]
fn a_backup_beside_the_writer_is_whole_and_has_no_epoch() {
    let place = Place::new();
    let journal = place.open().unwrap();
    fill(&journal, ONE, 1..=40);
    journal.save_snapshot(ONE, batch(30).head(), &|to| to.write_all(b"thirty")).unwrap();
    fs::write(place.path("token.key"), b"secret").unwrap();
    let copy = Place::new();

    let stop = AtomicBool::new(false);
    let backed_up = thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 41;
            while !stop.load(Ordering::Relaxed) {
                fill(&journal, ONE, number..=number);
                number += 1;
            }
        });
        let backed_up = back_up(&place.dir(), &copy.dir(), &["token.key", "missing"]);
        stop.store(true, Ordering::Relaxed);
        backed_up.unwrap()
    });
    let [(ONE, head)] = *backed_up.heads else { panic!("{:?}", backed_up.heads) };
    assert!(head.number >= 40, "{head}");
    assert_eq!(backed_up.snapshots, 1);
    assert_eq!(fs::read(copy.path("token.key")).unwrap(), b"secret");
    for name in ["journal.sqlite", "head", "token.key"] {
        let mode = fs::metadata(copy.path(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }

    // It can be read as it is, and gone on from under a new epoch, each time another one.
    let reader = copy.open_read_only().unwrap();
    assert_eq!(reader.epoch(), Epoch::OF_A_BACKUP);
    assert_eq!(reader.head(ONE).unwrap(), head);
    drop(reader);
    let (first, second) = (copy.crash_free_copy(), copy.crash_free_copy());
    let (first, second) = (first.open().unwrap(), second.open().unwrap());
    for restored in [&first, &second] {
        assert_eq!(restored.load_snapshot(ONE).unwrap().unwrap().0, batch(30).head());
        fill(restored, ONE, head.number + 1..=head.number + 3);
    }
    let epochs = BTreeSet::from([journal.epoch().0, first.epoch().0, second.epoch().0]);
    assert_eq!(epochs.len(), 3, "{epochs:?}");
    assert!(!epochs.contains(&Epoch::OF_A_BACKUP.0));
}

#[test]
fn a_backup_is_not_made_of_what_is_not_sound_nor_over_anything() {
    let place = Place::new();
    let journal = place.open().unwrap();
    fill(&journal, ONE, 1..=4);
    journal.sync().unwrap();
    drop(journal);
    let copy = Place::new();
    let answer = back_up(&place.dir(), copy.0.path(), &[]);
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");

    place.flip("journal.sqlite", &body(2)[..1_000]);
    let answer = back_up(&place.dir(), &copy.dir(), &[]);
    assert!(matches!(answer, Err(StoreError::Corrupt(_))), "{answer:?}");
    assert!(!copy.dir().exists());

    let answer = back_up(&copy.dir(), &copy.path("of-nothing"), &[]);
    assert!(matches!(answer, Err(StoreError::NotAStore(_))), "{answer:?}");
    assert!(!copy.path("of-nothing").exists());
}
