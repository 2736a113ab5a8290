//! Files that are cut, changed, gone or older than the rest; backups, and what is restored from them.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::support::{BoxOffice, Buyer, Closed, Options, reservation_id, small_sale};

const ACCEPT: &[&str] = &["--accept-shorter-history"];

/// A box office that has sold A1 and holds A2, with the buyer of A2.
async fn one_sold_one_held() -> (BoxOffice, Buyer) {
    let (office, buyer, _) = one_sold_with_tickets().await;
    (office, buyer)
}

/// The same, with the path of the reservation that is sold and the token that reads its tickets.
async fn one_sold_with_tickets() -> (BoxOffice, Buyer, (String, String)) {
    let sale = small_sale("small-1", "E", 15, &json!({ "active_limit": 2 }));
    let office = BoxOffice::with_sale("small", &sale).await;
    let mut first = office.buyer();
    let sold = reservation_id(&first.join_and_hold(None, "A1").await);
    let paid = first.pay(&sold, "tok_ok").await.expect(200);
    let tickets = paid["tickets_token"].as_str().expect("a token").to_owned();
    let mut second = office.buyer();
    second.join_and_hold(None, "A2").await;
    (office, second, (format!("/me/reservations/{sold}"), tickets))
}

/// Whether all is as it was left: sold, held, and the buyer known.
async fn is_as_it_was(closed: Closed, buyer: &Buyer) -> Closed {
    let office = closed.open().await;
    let mut buyer = buyer.again(office.public);
    assert_eq!(buyer.status().await["status"], "holding");
    let seats = &office.sale("small").await["seats"];
    assert_eq!((&seats["sold"], &seats["held"]), (&json!(1), &json!(1)));
    let closed = office.stop().await;
    closed.verify().await;
    closed
}

/// Goes on from what is there, which is another history than that which the buyer knows.
async fn is_another_history(closed: Closed, words: &[&'static str], buyer: &Buyer) -> Closed {
    let office = closed.with(Options::words(words)).open().await;
    buyer.again(office.public).get("/queue/status").await.refused(401, "token_invalid");
    office.stop().await.with(Options::default())
}

fn cut_in_half(path: &Path) {
    let file = fs::File::options().write(true).open(path).expect("the file");
    let length = file.metadata().expect("its length").len();
    assert!(length > 1);
    file.set_len(length / 2).expect("it is cut");
}

/// Flips a bit wherever this stands.
fn flip(path: &Path, pattern: &[u8]) {
    let mut bytes = fs::read(path).expect("the file");
    let places: Vec<usize> =
        (0..bytes.len()).filter(|at| bytes[*at..].starts_with(pattern)).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|at| bytes[at] ^= 1);
    fs::write(path, bytes).expect("the file");
}

fn newest_snapshot(closed: &Closed) -> std::path::PathBuf {
    let entries = fs::read_dir(closed.data().join("snapshots")).expect("snapshots");
    let number = |path: &std::path::PathBuf| -> Option<u64> {
        path.file_stem()?.to_str()?.strip_prefix("1-")?.parse().ok()
    };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.max_by_key(number).expect("a snapshot")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wal_that_was_cut_in_half_is_refused_until_it_is_accepted() {
    let (office, buyer) = one_sold_one_held().await;
    let killed = office.kill().await;
    let whole = killed.copy();
    cut_in_half(&killed.data().join("journal.sqlite-wal"));
    let sentence = killed.refuses_to_open().await;
    assert!(
        sentence.contains("acknowledged") && sentence.contains("--accept-shorter-history"),
        "{sentence}"
    );
    // Nothing was made worse by trying: what is missing can still be put back.
    let wal = "journal.sqlite-wal";
    fs::copy(whole.data().join(wal), killed.data().join(wal)).expect("it is put back");
    is_as_it_was(killed, &buyer).await;

    cut_in_half(&whole.data().join(wal));
    is_another_history(whole, ACCEPT, &buyer).await.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_byte_is_refused_or_passed_over_and_never_believed() {
    let (office, buyer) = one_sold_one_held().await;
    let closed = office.stop().await;

    // In the history: the start reads what came after the snapshot, `verify` reads everything.
    let copy = closed.copy();
    flip(&copy.data().join("journal.sqlite"), "소극장".as_bytes());
    let verdict = copy.journal(&["verify"]).await;
    assert_eq!(verdict.status.code(), Some(1));
    fs::remove_dir_all(copy.data().join("snapshots")).expect("snapshots");
    let sentence = copy.refuses_to_open().await;
    assert!(sentence.contains("checksum of batch 1"), "{sentence}");

    // In the newest snapshot: the one before serves, or the history itself.
    let copy = closed.copy();
    let path = newest_snapshot(&copy);
    let bytes = fs::read(&path).expect("the snapshot");
    flip(&path, &bytes[100..140]);
    let copy = is_as_it_was(copy, &buyer).await;
    assert!(copy.log().contains("a snapshot is passed over"));

    // In the head file: a slot that says nothing does not speak against the history.
    let copy = closed.copy();
    flip(&copy.data().join("head"), b"head");
    let copy = is_as_it_was(copy, &buyer).await;
    assert!(copy.log().contains("torn"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_file_is_named_unless_it_can_be_made_anew() {
    let (office, buyer) = one_sold_one_held().await;
    let closed = office.stop().await;
    for (name, expected) in
        [("journal.sqlite", "journal.sqlite is missing"), ("head", "the head file is missing")]
    {
        let copy = closed.copy();
        fs::remove_file(copy.data().join(name)).expect(name);
        let sentence = copy.refuses_to_open().await;
        assert!(sentence.contains(expected), "{name}: {sentence}");
    }
    let copy = closed.copy();
    fs::remove_dir_all(copy.data().join("snapshots")).expect("snapshots");
    fs::remove_file(copy.data().join("lock")).expect("the lock");
    is_as_it_was(copy, &buyer).await;

    // Without the key, tokens of the old one are nobody's.
    let copy = closed.copy();
    fs::remove_file(copy.data().join("token.key")).expect("the key");
    is_another_history(copy, &[], &buyer).await.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_is_refused_or_is_another_history() {
    let (office, _) = one_sold_one_held().await;
    let older = office.stop().await;
    let newer = older.copy();
    let office = newer.open().await;
    let mut buyer = office.buyer();
    buyer.join(None).await.expect(201);
    let newer = office.stop().await;

    // The database alone was put back: the head file knows better.
    let copy = newer.copy();
    let name = "journal.sqlite";
    fs::copy(older.data().join(name), copy.data().join(name)).expect("it is put back");
    let sentence = copy.refuses_to_open().await;
    assert!(sentence.contains("was acknowledged up to"), "{sentence}");

    // Everything was put back, so only an operator can know that it is older.
    is_another_history(older, ACCEPT, &buyer).await.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_backed_up_while_it_sold_can_be_sold_on() {
    let (office, mut buyer, (path, tickets)) = one_sold_with_tickets().await;
    let backups = tempfile::tempdir().expect("a directory");
    let backup = backups.path().join("monday");
    let back_up = async |closed: &Closed, data: &Path| {
        let mut program = closed.program();
        program.env("MAEPYO_DATA", data).arg("backup").arg(&backup);
        program.output().await.expect("the program")
    };
    let data = office.dir().join("data");
    let stranger = Closed::new(Options::default());
    let made = back_up(&stranger, &data).await;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let said = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(said.contains("backed up to") && said.contains("each checked"), "{said}");
    // What was sold after it is not in it.
    let reservation = buyer.status().await["reservation_id"].as_str().expect("an id").to_owned();
    buyer.pay(&reservation, "tok_ok").await.expect(200);

    // Never over anything, and what is no box office is none.
    let again = back_up(&stranger, &data).await;
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("is there already"));
    let closed = office.kill().await;
    fs::remove_dir_all(closed.data()).expect("it is destroyed");
    assert!(!String::from_utf8_lossy(&back_up(&closed, &closed.data()).await.stderr).is_empty());

    fs::rename(&backup, closed.data()).expect("it is restored");
    closed.verify().await;
    let office = closed.open().await;
    assert!(office.admin_key().len() >= 32);
    let seats = office.sale("small").await["seats"].clone();
    assert_eq!((&seats["sold"], &seats["held"]), (&json!(1), &json!(1)));
    // Whoever paid before it keeps the tickets.
    let reservation = office.connect().get(&path, Some(&tickets)).await.expect(200);
    assert_eq!(reservation["status"], "confirmed");
    // A token of the history that was lost is refused, and says so.
    buyer.again(office.public).get("/queue/status").await.refused(401, "token_invalid");
    let mut newcomer = office.buyer();
    let held = reservation_id(&newcomer.join_and_hold(None, "A3").await);
    newcomer.pay(&held, "tok_ok").await.expect(200);
    office.stop().await.verify().await;
}
