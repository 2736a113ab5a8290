//! The sandbox against the promises of `gateway`, with the money counted in its book.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use super::book::Book;
use super::*;

const P: PaymentId = PaymentId(1);
const Q: PaymentId = PaymentId(u128::MAX);
const PRICE: Money = Money(200);
const KRW: Currency = Currency::KRW;

/// A sandbox whose clock counts the batches.
struct Till {
    directory: TempDir,
    gateway: Arc<SandboxGateway>,
}

impl Till {
    fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let gateway = open(&directory.path().join("sandbox-book.jsonl")).unwrap();
        Self { directory, gateway: Arc::new(gateway) }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("sandbox-book.jsonl")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    fn book(&self) -> Book {
        Book::read(&self.path()).unwrap()
    }

    /// What was charged and what was refunded.
    fn money(&self) -> (u64, u64) {
        (self.book().charged(KRW), self.book().refunded(KRW))
    }

    /// The same book, opened by somebody else: another node, or us after a restart.
    fn elsewhere(&self) -> SandboxGateway {
        open(&self.path()).unwrap()
    }
}

fn open(path: &Path) -> Result<SandboxGateway, BookError> {
    let batches = AtomicU64::new(0);
    SandboxGateway::open(path, move || batches.fetch_add(1, Ordering::Relaxed))
}

async fn pay(gateway: &SandboxGateway, payment: PaymentId, token: &str) -> Charge {
    let instrument = Instrument { method: "card".into(), token: token.into() };
    gateway.confirm(payment, PRICE, KRW, &instrument).await
}

fn declined(reason: &'static str) -> Decline {
    Decline { reason: reason.into(), retryable: true }
}

#[tokio::test]
async fn each_token_does_what_it_is_called() {
    let till = Till::open();
    let table = [
        ("tok_declined", "card_declined"),
        ("tok_insufficient_funds", "insufficient_funds"),
        ("tok_unheard_of", "unknown_token"),
        ("", "unknown_token"),
    ];
    for (payment, (token, reason)) in (1..).map(PaymentId).zip(table) {
        assert_eq!(pay(&till.gateway, payment, token).await, Charge::Declined(declined(reason)));
        assert_eq!(till.gateway.find(payment).await, Finding::Declined(declined(reason)));
    }
    assert_eq!(till.money(), (0, 0));
    assert_eq!(pay(&till.gateway, Q, "tok_ok").await, Charge::Approved);
    assert_eq!(till.gateway.find(Q).await, Finding::Approved);
    assert_eq!(till.money(), (200, 0));
    assert_eq!(till.gateway.find(PaymentId(99)).await, Finding::NotFound);
}

#[tokio::test]
async fn the_book_says_what_its_format_says() {
    let till = Till::open();
    pay(&till.gateway, P, "tok_ok").await;
    pay(&till.gateway, Q, "tok_declined").await;
    till.gateway.void(PaymentId(2)).await;
    till.gateway.refund(P, Money(150)).await;
    let expected = concat!(
        r#"{"at_ms":0,"payment":"00000000000000000000000001","entry":{"charge":{"amount":200,"currency":"KRW"}}}"#,
        "\n",
        r#"{"at_ms":1,"payment":"7zzzzzzzzzzzzzzzzzzzzzzzzz","entry":{"decline":{"amount":200,"currency":"KRW","reason":"card_declined","retryable":true}}}"#,
        "\n",
        r#"{"at_ms":2,"payment":"00000000000000000000000002","entry":"void"}"#,
        "\n",
        r#"{"at_ms":3,"payment":"00000000000000000000000001","entry":{"refund":{"amount":150}}}"#,
        "\n",
    );
    assert_eq!(till.text(), expected);
    assert_eq!(till.money(), (200, 150));
    assert_eq!(till.book().charged(Currency::parse("USD").unwrap()), 0);
    assert_eq!(till.book().payments().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_payment_is_charged_once_and_keeps_its_first_answer() {
    let till = Till::open();
    assert_eq!(pay(&till.gateway, P, "tok_ok").await, Charge::Approved);
    assert_eq!(
        pay(&till.gateway, Q, "tok_declined").await,
        Charge::Declined(declined("card_declined"))
    );
    let booked = till.text();
    for token in ["tok_ok", "tok_declined", "tok_slow", "tok_timeout", "tok_lost", "other"] {
        assert_eq!(pay(&till.gateway, P, token).await, Charge::Approved, "{token}");
        let second = pay(&till.gateway, Q, token).await;
        assert_eq!(second, Charge::Declined(declined("card_declined")), "{token}");
    }
    assert_eq!(till.text(), booked);

    let again = till.elsewhere();
    assert_eq!(pay(&again, P, "tok_declined").await, Charge::Approved);
    assert_eq!(pay(&again, Q, "tok_ok").await, Charge::Declined(declined("card_declined")));
    assert_eq!(till.text(), booked);
}

#[tokio::test(start_paused = true)]
async fn a_void_is_a_tombstone_and_does_not_undo() {
    let till = Till::open();
    assert_eq!(till.gateway.void(P).await, Voiding::Voided);
    assert_eq!(till.gateway.void(P).await, Voiding::Voided);
    assert_eq!(till.gateway.find(P).await, Finding::Declined(declined("voided")));
    for gateway in [&till.gateway, &Arc::new(till.elsewhere())] {
        for token in ["tok_ok", "tok_slow", "tok_timeout", "tok_lost", "tok_declined"] {
            assert_eq!(pay(gateway, P, token).await, Charge::Declined(declined("voided")));
        }
    }
    assert_eq!(till.book().payments().len(), 1);
    assert_eq!(till.text().lines().count(), 1);

    pay(&till.gateway, Q, "tok_ok").await;
    assert_eq!(till.gateway.void(Q).await, Voiding::AlreadyApproved);
    assert_eq!(till.gateway.find(Q).await, Finding::Approved);
    assert_eq!(till.gateway.refund(Q, PRICE).await, Refund::Refunded);
    assert_eq!(till.gateway.void(Q).await, Voiding::AlreadyApproved);

    let third = PaymentId(3);
    pay(&till.gateway, third, "tok_declined").await;
    assert_eq!(till.gateway.void(third).await, Voiding::Voided);
    assert_eq!(till.gateway.find(third).await, Finding::Declined(declined("card_declined")));
    assert_eq!(till.money(), (200, 200));
}

#[tokio::test]
async fn money_goes_back_once_and_only_if_it_came() {
    let till = Till::open();
    assert_eq!(till.gateway.refund(P, PRICE).await, Refund::Refused, "nothing was charged");
    pay(&till.gateway, P, "tok_ok").await;
    assert_eq!(till.gateway.refund(P, Money(201)).await, Refund::Refused, "more than was charged");
    assert_eq!(till.money(), (200, 0));
    assert_eq!(till.gateway.refund(P, PRICE).await, Refund::Refunded);
    assert_eq!(till.gateway.refund(P, PRICE).await, Refund::Refunded);
    assert_eq!(till.elsewhere().refund(P, Money(1)).await, Refund::Refunded);
    assert_eq!(till.money(), (200, 200));
    assert_eq!(till.gateway.find(P).await, Finding::Approved);
    assert_eq!(pay(&till.gateway, P, "tok_ok").await, Charge::Approved);

    pay(&till.gateway, Q, "tok_declined").await;
    assert_eq!(till.gateway.refund(Q, PRICE).await, Refund::Refused);
    till.gateway.void(PaymentId(3)).await;
    assert_eq!(till.gateway.refund(PaymentId(3), PRICE).await, Refund::Refused);
    assert_eq!(till.money(), (200, 200));
}

#[tokio::test(start_paused = true)]
async fn a_silent_token_never_answers_and_the_book_knows_why() {
    let till = Till::open();
    let waited = Duration::from_secs(3_600);
    assert!(timeout(waited, pay(&till.gateway, P, "tok_timeout")).await.is_err());
    assert!(timeout(waited, pay(&till.gateway, Q, "tok_lost")).await.is_err());
    assert_eq!(till.gateway.find(P).await, Finding::Approved);
    assert_eq!(till.gateway.find(Q).await, Finding::NotFound);
    assert_eq!(till.money(), (200, 0));
    assert_eq!(till.gateway.void(P).await, Voiding::AlreadyApproved);
    assert_eq!(till.gateway.void(Q).await, Voiding::Voided);
    assert_eq!(pay(&till.gateway, P, "tok_timeout").await, Charge::Approved);
}

#[tokio::test(start_paused = true)]
async fn a_slow_token_is_booked_when_it_is_approved() {
    let till = Till::open();
    let begun = Instant::now();
    let watch = async {
        sleep(Duration::from_millis(2_999)).await;
        (till.money(), Instant::now() - begun)
    };
    let (charge, before) = tokio::join!(pay(&till.gateway, P, "tok_slow"), watch);
    assert_eq!(before, ((0, 0), Duration::from_millis(2_999)));
    assert_eq!((charge, begun.elapsed()), (Charge::Approved, SLOW));
    assert_eq!(till.money(), (200, 0));
}

#[tokio::test(start_paused = true)]
async fn a_slow_charge_goes_on_when_its_caller_has_gone() {
    let till = Till::open();
    assert!(timeout(Duration::from_secs(1), pay(&till.gateway, P, "tok_slow")).await.is_err());
    assert_eq!(till.gateway.find(P).await, Finding::NotFound);
    sleep(SLOW).await;
    // The order is in the queue by now, in front of this one.
    assert_eq!(till.gateway.find(P).await, Finding::Approved);
    assert_eq!(till.money(), (200, 0));
}

#[test]
fn a_slow_charge_dies_with_its_process() {
    let till = Till::open();
    let process = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    process.block_on(async {
        // One step: it has begun, and nothing came of it yet.
        let step = Duration::ZERO;
        assert!(timeout(step, pay(&till.gateway, P, "tok_slow")).await.is_err());
    });
    drop(process);
    let process = tokio::runtime::Builder::new_current_thread().build().unwrap();
    process.block_on(async {
        let restarted = till.elsewhere();
        assert_eq!(restarted.find(P).await, Finding::NotFound);
        assert_eq!(restarted.void(P).await, Voiding::Voided);
        assert_eq!(pay(&restarted, P, "tok_ok").await, Charge::Declined(declined("voided")));
        assert_eq!(till.money(), (0, 0));
    });
}

#[tokio::test(start_paused = true)]
async fn a_void_races_a_slow_charge_and_one_wins() {
    let (mut voided, mut approved) = (0, 0);
    for after_ms in [0, 1, 2_999, 3_000, 3_001, 10_000] {
        let till = Till::open();
        let void = async {
            sleep(Duration::from_millis(after_ms)).await;
            till.gateway.void(P).await
        };
        match tokio::join!(pay(&till.gateway, P, "tok_slow"), void) {
            (Charge::Approved, Voiding::AlreadyApproved) => {
                assert!(after_ms >= 3_000);
                assert_eq!(till.money(), (200, 0));
                approved += 1;
            }
            (Charge::Declined(decline), Voiding::Voided) => {
                assert!(after_ms <= 3_000);
                assert_eq!((decline, till.money()), (declined("voided"), (0, 0)));
                voided += 1;
            }
            (charge, void) => panic!("both say they won, or none: {charge:?}, {void:?}"),
        }
    }
    assert!(voided >= 3 && approved >= 2);
}

/// Charges, voids and refunds of the same payments, by threads and by two processes at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_races_the_money_is_counted_once() {
    let till = Till::open();
    let nodes = [Arc::clone(&till.gateway), Arc::new(till.elsewhere())];
    let mut outcomes = Vec::new();
    for payment in (0..300).map(PaymentId) {
        let [here, there] = nodes.clone();
        let [a, b, c, d] = [&here, &there, &here, &there].map(Arc::clone);
        outcomes.push((
            payment,
            [
                tokio::spawn(async move { pay(&a, payment, "tok_ok").await }),
                tokio::spawn(async move { pay(&b, payment, "tok_ok").await }),
            ],
            tokio::spawn(async move { c.void(payment).await }),
            tokio::spawn(async move { d.refund(payment, PRICE).await }),
        ));
    }
    let (mut charged, mut refunded) = (0, 0);
    for (payment, charges, void, refund) in outcomes {
        let [first, second] = charges;
        let (first, second) = (first.await.unwrap(), second.await.unwrap());
        assert_eq!(first, second);
        match (first, void.await.unwrap()) {
            (Charge::Approved, Voiding::AlreadyApproved) => charged += PRICE.0,
            (Charge::Declined(decline), Voiding::Voided) => assert_eq!(decline, declined("voided")),
            (charge, void) => panic!("{payment:?}: {charge:?}, {void:?}"),
        }
        match refund.await.unwrap() {
            Refund::Refunded => refunded += PRICE.0,
            Refund::Refused => {}
            Refund::Unavailable => panic!("{payment:?} was not answered"),
        }
    }
    assert_eq!(till.money(), (charged, refunded));
    assert_eq!(till.elsewhere().find(PaymentId(300)).await, Finding::NotFound);
}

#[tokio::test]
async fn two_nodes_see_one_provider() {
    let till = Till::open();
    let other = till.elsewhere();
    assert_eq!(pay(&till.gateway, P, "tok_ok").await, Charge::Approved);
    assert_eq!(other.find(P).await, Finding::Approved);
    assert_eq!(other.void(Q).await, Voiding::Voided);
    assert_eq!(pay(&till.gateway, Q, "tok_ok").await, Charge::Declined(declined("voided")));
    assert_eq!(other.refund(P, PRICE).await, Refund::Refunded);
    assert_eq!(till.gateway.refund(P, PRICE).await, Refund::Refunded);
    assert_eq!(till.money(), (200, 200));
}

#[tokio::test]
async fn orders_that_wait_share_a_batch_and_too_many_are_not_taken() {
    let till = Till::open();
    let stalled = File::open(till.path()).unwrap();
    stalled.lock().unwrap();
    // Polled once, an order is taken or not; none can be answered while we have the lock.
    let mut context = Context::from_waker(Waker::noop());
    let (mut taken, mut unknown) = (Vec::new(), 0);
    for payment in (0..20_000).map(PaymentId) {
        let mut asked = Box::pin(pay(&till.gateway, payment, "tok_ok"));
        match asked.as_mut().poll(&mut context) {
            Poll::Pending => taken.push(asked),
            Poll::Ready(charge) => {
                assert_eq!(charge, Charge::Unknown);
                unknown += 1;
            }
        }
    }
    assert_eq!(till.gateway.find(P).await, Finding::Unavailable);
    assert_eq!(till.gateway.void(P).await, Voiding::Unavailable);
    assert_eq!(till.gateway.refund(P, PRICE).await, Refund::Unavailable);
    assert_eq!(till.text(), "");
    stalled.unlock().unwrap();

    // One batch may have left the queue before it stalled.
    assert!((8_192..=2 * 8_192).contains(&taken.len()), "{} taken, {unknown} not", taken.len());
    let charged = taken.len() as u64 * PRICE.0;
    for asked in taken {
        assert_eq!(asked.await, Charge::Approved);
    }
    assert_eq!(till.money(), (charged, 0));
    let batches = till.text().lines().map(at_ms).max().unwrap() + 1;
    assert!(batches <= 2, "{batches} batches");
}

fn at_ms(line: &str) -> u64 {
    serde_json::from_str::<serde_json::Value>(line).unwrap()["at_ms"].as_u64().unwrap()
}

#[tokio::test]
async fn a_torn_last_line_is_cut_off() {
    let till = Till::open();
    pay(&till.gateway, P, "tok_ok").await;
    let whole = till.text();
    pay(&till.gateway, Q, "tok_ok").await;
    let both = till.text();
    for length in whole.len()..both.len() {
        fs::write(till.path(), &both.as_bytes()[..length]).unwrap();
        let reopened = till.elsewhere();
        assert_eq!(till.text(), whole, "{length}");
        assert_eq!(reopened.find(P).await, Finding::Approved);
        assert_eq!(reopened.find(Q).await, Finding::NotFound);
        assert_eq!(pay(&reopened, Q, "tok_ok").await, Charge::Approved);
        assert_eq!(till.money(), (400, 0));
    }
}

#[tokio::test]
async fn a_line_that_another_process_has_torn_is_cut_off_while_running() {
    let till = Till::open();
    pay(&till.gateway, P, "tok_ok").await;
    let whole = till.text();
    let mut file = OpenOptions::new().append(true).open(till.path()).unwrap();
    file.write_all(&whole.as_bytes()[..40]).unwrap();
    assert_eq!(till.gateway.find(P).await, Finding::Approved);
    assert_eq!(till.text(), whole);
    assert_eq!(till.gateway.refund(P, PRICE).await, Refund::Refunded);
    assert_eq!(till.money(), (200, 200));
}

#[tokio::test]
async fn a_broken_line_elsewhere_is_refused_and_left_alone() {
    let till = Till::open();
    pay(&till.gateway, P, "tok_ok").await;
    pay(&till.gateway, Q, "tok_declined").await;
    let sound = till.text();
    let (charge, _) = sound.split_once('\n').unwrap();
    let first = charge.len() + 1;
    let broken = [
        (0, format!("\n{sound}")),
        (0, sound.replacen("200", "2oo", 1)),
        (0, sound.replacen("200", "-200", 1)),
        (0, sound.replacen("KRW", "krw", 1)),
        (0, sound.replacen("charge", "gift", 1)),
        (0, sound.replacen("0000000001", "000000000I", 1)),
        (0, sound.replacen('{', "", 1)),
        (0, "\0".repeat(50) + "\n"),
        (0, "x".repeat(5_000)),
        (first, sound.replacen("declined", "\u{0}", 1)),
        (sound.len(), format!("{sound}{charge}\n")), // a second charge
        (sound.len(), format!("{sound}{charge} {charge}\n")),
        (sound.len(), format!("{sound}{}\n", charge.replace("200", "100"))),
        (sound.len(), format!("{sound}{}", "\0".repeat(1_024))),
    ];
    for (at, text) in broken {
        fs::write(till.path(), &text).unwrap();
        for refused in [Book::read(&till.path()).err(), open(&till.path()).err()] {
            let refused = refused.expect(&text).to_string();
            assert!(refused.contains(&format!("broken at byte {at}: ")), "{refused}: {text}");
        }
        assert_eq!(till.text(), text);
    }
}

#[tokio::test]
async fn a_book_that_becomes_shorter_answers_nobody() {
    let till = Till::open();
    pay(&till.gateway, P, "tok_ok").await;
    File::create(till.path()).unwrap();
    assert_eq!(pay(&till.gateway, P, "tok_ok").await, Charge::Unknown);
    assert_eq!(till.gateway.find(P).await, Finding::Unavailable);
    assert_eq!(till.gateway.void(P).await, Voiding::Unavailable);
    assert_eq!(till.gateway.refund(P, PRICE).await, Refund::Unavailable);
    assert_eq!(till.text(), "");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_books_nothing_and_is_survived() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sandbox-book.jsonl");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let gateway = open(&path).unwrap();
    assert_eq!(pay(&gateway, P, "tok_ok").await, Charge::Unknown);
    assert_eq!(gateway.void(Q).await, Voiding::Unavailable);
    assert_eq!(gateway.find(P).await, Finding::NotFound);
    assert_eq!(gateway.find(Q).await, Finding::NotFound);
}

#[test]
fn a_book_that_cannot_be_opened_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let refused = open(&directory.path().join("missing").join("book")).err().unwrap();
    assert!(refused.to_string().starts_with("the sandbox's book cannot be used: "), "{refused}");
    assert!(open(directory.path()).is_err());
}
