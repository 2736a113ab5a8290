//! The database copied, lost and put back with PostgreSQL's own programs, and served by a role that may do
//! no more than it must: as `docs/operations.md` says. With real servers.

use std::path::PathBuf;

use pgserver::{Server, Setup};
use serde_json::json;

use crate::postgres::{on, verify};
use crate::support::{BoxOffice, Buyer, Connection, Options, reservation_id, small_sale, until};

/// Where the document has its statements.
const OPERATIONS: &str = include_str!("../../../../docs/operations.md");

fn setup() -> Setup {
    let cache: PathBuf = env!("CARGO_TARGET_TMPDIR").into();
    let settings = vec!["fsync=off".to_owned()];
    Setup { cache: Some(cache), settings, ..Setup::default() }
}

fn server() -> Server {
    Server::start(setup()).expect("a server")
}

/// A box office that has sold A1 and holds A2: with the buyer of A2, and where the tickets of A1 are.
struct Sold {
    office: BoxOffice,
    holder: Buyer,
    held: String,
    tickets: String,
    ticket_token: String,
}

impl Sold {
    async fn on(url: &str) -> Self {
        let office = BoxOffice::open(on(url)).await;
        office.schedule("small", &small_sale("small-1", "C", 5, &json!({}))).await;
        let mut owner = office.buyer();
        let sold = reservation_id(&owner.join_and_hold(None, "A1").await);
        let paid = owner.pay(&sold, "tok_ok").await.expect(200);
        let ticket_token = paid["tickets_token"].as_str().expect("a token").to_owned();
        let mut holder = office.buyer();
        let held = reservation_id(&holder.join_and_hold(None, "A2").await);
        Self { office, holder, held, tickets: format!("/me/reservations/{sold}"), ticket_token }
    }

    /// It goes on from what was copied before A2 was paid for.
    async fn goes_on_in(self, url: &str, words: &[&'static str], said: &str) {
        let Self { mut holder, held, tickets, ticket_token, office } = self;
        holder.pay(&held, "tok_ok").await.expect(200);
        let closed = office.kill().await;
        let office = closed.with(Options { words: words.to_vec(), ..on(url) }).open().await;
        assert!(office.log().contains(said), "{}", office.log());
        let seats = office.sale("small").await["seats"].clone();
        assert_eq!((&seats["sold"], &seats["held"]), (&json!(1), &json!(1)));
        // Whoever paid before it keeps the tickets; a place of the history that was lost is none.
        let reservation = office.connect().get(&tickets, Some(&ticket_token)).await.expect(200);
        assert_eq!(reservation["status"], "confirmed");
        holder.again(office.public).get("/queue/status").await.refused(401, "token_invalid");
        let mut newcomer = office.buyer();
        let held = reservation_id(&newcomer.join_and_hold(None, "A3").await);
        newcomer.pay(&held, "tok_ok").await.expect(200);
        // Once: the next start is as any other, and the epoch stays.
        let office = office.stop().await.with(on(url)).open().await;
        assert_eq!(newcomer.again(office.public).status().await["status"], "done");
        verify(&office.stop().await, url).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_is_put_back_into_another_server() {
    let server = server();
    let sold = Sold::on(&server.make_schema("maepyo")).await;
    let dump = server.directory().join("maepyo.dump");
    let dump = dump.to_str().expect("text");
    // While it is sold.
    server.run_program("pg_dump", &["--format=custom", "--file", dump, &server.url("maepyo")]);

    // Made anew: those that are copied are one server to themselves.
    let other = Server::start(Setup { cache: None, ..setup() }).expect("another server");
    let url = other.url("maepyo");
    other.run_program(
        "pg_restore",
        &["--exit-on-error", "--single-transaction", "--dbname", &url, dump],
    );
    // It is noticed that this is another server.
    sold.goes_on_in(&url, &[], "it has a new epoch").await;
}

/// A copy of all of the server, which becomes one of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_base_backup_is_put_back_as_a_server() {
    let server = server();
    let url = server.make_schema("maepyo");
    let sold = Sold::on(&url).await;
    let other = Server::start_standby(setup(), &server).expect("a copy");
    other.promote().expect("it is one of its own");
    let words = ["--accept-shorter-history"];
    sold.goes_on_in(&other.url("maepyo"), &words, "under a new epoch").await;
}

/// A node that runs while its database is put back goes on with nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_runs_notices_that_its_database_was_put_back() {
    let server = server();
    let url = server.make_schema("maepyo");
    let mut sold = Sold::on(&url).await;
    let dump = server.directory().join("maepyo.dump");
    let dump = dump.to_str().expect("text");
    server.run_program("pg_dump", &["--format=custom", "--file", dump, &url]);
    sold.holder.pay(&sold.held, "tok_ok").await.expect(200);
    server.run("public", "DROP SCHEMA maepyo, ledger CASCADE");
    server.end_connections("maepyo");
    server.run_program("pg_restore", &["--exit-on-error", "--dbname", &url, dump]);
    let mut stranger = sold.office.buyer();
    let mut operators = Connection::to(sold.office.operators);
    until("it to be noticed", async || {
        assert_eq!(stranger.join(None).await.status, 503);
        let told = operators.get("/readyz", None).await.expect(503);
        let why = told["trouble"].as_str().expect("a sentence");
        why.contains("is no longer in the history").then_some(())
    })
    .await;
}

/// Whoever serves need not own the tables.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_with_the_rights_of_the_document_serves() {
    let server = server();
    let url = server.make_schema("maepyo");
    // By starting once.
    drop(BoxOffice::open(on(&url)).await.stop().await);
    let grants = OPERATIONS.lines().map(str::trim);
    let grants = grants.filter(|line| line.starts_with("GRANT ") && line.ends_with(" TO serving;"));
    let grants: Vec<&str> = grants.collect();
    assert_eq!(grants.len(), 10, "{grants:?}");
    server.run("maepyo", &format!("CREATE ROLE serving LOGIN; {}", grants.join(" ")));
    let url = url.replace("//postgres@", "//serving@");
    let mut sold = Sold::on(&url).await;
    let taken = sold.office.buyer().join_and_hold(None, "A3").await;
    assert_eq!(taken["status"], "held");
    sold.holder.pay(&sold.held, "tok_ok").await.expect(200);
    let closed = sold.office.stop().await;
    let verdict = closed.journal(&["verify"]).await;
    let verdict = String::from_utf8_lossy(&verdict.stdout).into_owned();
    assert!(verdict.contains("sound") && verdict.contains("the ledger says the same"), "{verdict}");
}
