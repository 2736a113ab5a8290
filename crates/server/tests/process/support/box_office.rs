//! The real program, started in a directory of its own on ports that were free.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::book::Book;
use super::client::{Ask, Connection};
use super::{Buyer, PATIENCE, note, until};

/// How a box office is started, beside what every test needs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) words: Vec<&'static str>,
    pub(crate) environment: Vec<(&'static str, String)>,
    /// A program that starts it, with its words.
    pub(crate) through: Vec<&'static str>,
}

impl Options {
    pub(crate) fn words(words: &[&'static str]) -> Self {
        Self { words: words.to_vec(), ..Self::default() }
    }
}

/// A box office that is open. It dies with the test.
#[derive(Debug)]
pub(crate) struct BoxOffice {
    child: Child,
    closed: Closed,
    pub(crate) public: SocketAddr,
    pub(crate) operators: SocketAddr,
    admin_key: String,
}

/// The directory of a box office that is closed.
#[derive(Debug)]
pub(crate) struct Closed {
    dir: TempDir,
    options: Options,
}

/// What `maepyo journal show` prints, a line an event.
#[derive(Debug)]
pub(crate) struct History(pub(crate) Vec<Value>);

impl BoxOffice {
    /// Opens one in a new directory.
    pub(crate) async fn open(options: Options) -> Self {
        Closed::new(options).open().await
    }

    /// Opens one that has one sale: `sale`, as a sale's file has it.
    pub(crate) async fn with_sale(sale_id: &str, sale: &Value) -> Self {
        let office = Self::open(Options::default()).await;
        office.schedule(sale_id, sale).await;
        office
    }

    pub(crate) fn dir(&self) -> &Path {
        self.closed.dir.path()
    }

    /// A connection as buyers have it.
    pub(crate) fn connect(&self) -> Connection {
        Connection::to(self.public)
    }

    /// Somebody who has not joined yet.
    pub(crate) fn buyer(&self) -> Buyer {
        Buyer::new(self.public)
    }

    /// An operator's request, with the admin key.
    pub(crate) async fn operate(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let ask = Ask { token: Some(&self.admin_key), ..body.map(Ask::json).unwrap_or_default() };
        let answer = Connection::to(self.operators).ask(method, path, ask).await;
        assert!(matches!(answer.status, 200 | 201), "{method} {path}: {}", answer.text);
        answer.json
    }

    pub(crate) fn admin_key(&self) -> &str {
        &self.admin_key
    }

    pub(crate) async fn schedule(&self, sale_id: &str, sale: &Value) {
        self.operate("PUT", &format!("/admin/sales/{sale_id}"), Some(sale)).await;
    }

    /// Waits until this one lists so many performances, whichever node scheduled them.
    pub(crate) async fn lists(&self, performances: usize) {
        until("the sales to be known", async || {
            let listed = self.connect().get("/performances", None).await.expect(200);
            (listed["performances"].as_array()?.len() == performances).then_some(())
        })
        .await;
    }

    /// What operators see of a sale.
    pub(crate) async fn sale(&self, sale_id: &str) -> Value {
        self.operate("GET", &format!("/admin/sales/{sale_id}"), None).await
    }

    /// The sandbox's book, as it is now.
    pub(crate) fn book(&self) -> Book {
        self.closed.book()
    }

    /// The program, beside it and in its directory.
    pub(crate) fn program(&self) -> Command {
        self.closed.program()
    }

    /// Runs `maepyo journal` beside it.
    pub(crate) async fn journal(&self, words: &[&str]) -> Output {
        self.closed.journal(words).await
    }

    /// Runs `maepyo ledger` beside it.
    pub(crate) async fn ledger(&self, words: &[&str]) -> Output {
        self.closed.ledger(words).await
    }

    /// What has happened, so far.
    pub(crate) async fn history(&self, words: &[&str]) -> History {
        self.closed.history(words).await
    }

    /// Kills it where it stands: nothing is finished, nothing said.
    pub(crate) async fn kill(mut self) -> Closed {
        self.child.kill().await.expect("it can be killed");
        self.closed
    }

    /// Asks it to stop.
    pub(crate) async fn terminate(&self) {
        self.signal("TERM").await;
    }

    /// Sends it a signal, by its name without SIG.
    pub(crate) async fn signal(&self, name: &str) {
        // The shell's own `kill`: the standard library knows SIGKILL only.
        let kill = format!("kill -{name} {}", self.process());
        let sent = Command::new("sh").args(["-c", &kill]).status().await;
        assert!(sent.expect("a shell").success());
    }

    /// The number of its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Tells it that the sales' files are to be read again.
    pub(crate) async fn hang_up(&self) {
        self.signal("HUP").await;
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        self.closed.log()
    }

    /// Waits for its end.
    pub(crate) async fn end(mut self) -> (ExitStatus, Closed) {
        let end = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        (end.expect("it stops in time").expect("it can be waited for"), self.closed)
    }

    /// Stops it as an operator does.
    pub(crate) async fn stop(self) -> Closed {
        self.terminate().await;
        let (status, closed) = self.end().await;
        assert!(status.success(), "{status}");
        closed
    }
}

impl Closed {
    pub(crate) fn new(options: Options) -> Self {
        Self { dir: tempfile::tempdir().expect("a directory"), options }
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The program in this directory, with nothing from the environment of the tests.
    pub(crate) fn program(&self) -> Command {
        let binary = env!("CARGO_BIN_EXE_maepyo");
        let mut program = match self.options.through.split_first() {
            Some((first, words)) => {
                let mut program = Command::new(first);
                program.args(words).arg(binary);
                program
            }
            None => Command::new(binary),
        };
        for (name, _) in std::env::vars_os() {
            let named = name.to_string_lossy();
            if named.starts_with("MAEPYO_") || named.starts_with("OTEL_") {
                program.env_remove(name);
            }
        }
        program.env("MAEPYO_DATA", self.data()).stdin(Stdio::null()).kill_on_drop(true);
        program
    }

    /// Opens it, on ports that are free.
    pub(crate) async fn open(self) -> BoxOffice {
        let log = self.dir.path().join("log");
        let log = std::fs::OpenOptions::new().append(true).create(true).open(log).expect("a log");
        let mut program = self.program();
        program.args(["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
        program.args(&self.options.words);
        program.envs(self.options.environment.iter().map(|(name, value)| (name, value)));
        let mut child = program.stdout(Stdio::piped()).stderr(log).spawn().expect("the program");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let line =
            tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("it opens in time");
        let line = line.expect("its output").unwrap_or_default();
        // What else it prints must not fill the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let (public, operators) = read_addresses(&line).unwrap_or_else(|| {
            panic!("it did not open: {line:?}\n{}", self.log());
        });
        let admin_key =
            self.options.environment.iter().find(|(name, _)| *name == "MAEPYO_ADMIN_KEY");
        let admin_key = match admin_key {
            Some((_, key)) => key.clone(),
            None => std::fs::read_to_string(self.data().join("admin.key")).expect("the admin key"),
        };
        let admin_key = admin_key.trim().to_owned();
        BoxOffice { child, closed: self, public, operators, admin_key }
    }

    /// The same directory, opened another way from now on.
    pub(crate) fn with(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// The same files in another directory, as they lie there now.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new(self.options.clone());
        copy_directory(&self.data(), &copy.data());
        copy
    }

    /// What it says when it is asked to open and cannot: one sentence, with exit code 1.
    pub(crate) async fn refuses_to_open(&self) -> String {
        let words = ["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];
        let mut program = self.program();
        let ended = tokio::time::timeout(PATIENCE, program.args(words).output()).await;
        let output = ended.expect("it does not open").expect("the program");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let sentences = said.lines().filter(|line| line.starts_with("maepyo: "));
        let [sentence] = *sentences.collect::<Vec<_>>() else { panic!("{said}") };
        sentence.to_owned()
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn book(&self) -> Book {
        Book::read(&self.data().join("sandbox-book.jsonl"))
    }

    pub(crate) async fn journal(&self, words: &[&str]) -> Output {
        self.told(&[&["journal"], words].concat()).await
    }

    pub(crate) async fn ledger(&self, words: &[&str]) -> Output {
        self.told(&[&["ledger"], words].concat()).await
    }

    /// What the program says about the history that this box office has, wherever it is.
    async fn told(&self, words: &[&str]) -> Output {
        let mut program = self.program();
        program.envs(self.options.environment.iter().map(|(name, value)| (name, value)));
        program.args(words).output().await.expect("the program")
    }

    pub(crate) async fn history(&self, words: &[&str]) -> History {
        let shown = self.journal(&[&["show"], words].concat()).await;
        assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
        let lines = String::from_utf8(shown.stdout).expect("text");
        History(
            lines.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect(),
        )
    }

    /// Every invariant holds, after everything that ever happened.
    pub(crate) async fn verify(&self) {
        let verdict = self.journal(&["verify"]).await;
        let text = String::from_utf8_lossy(&verdict.stdout).into_owned();
        assert!(verdict.status.success(), "{text}{}", String::from_utf8_lossy(&verdict.stderr));
        assert!(text.lines().all(|line| line.contains("sound")), "{text}");
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail = log.lines().rev().take(50).collect::<Vec<_>>();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            note(format_args!("the end of its log:\n{}", tail.join("\n")));
        }
    }
}

impl History {
    /// The events of this name.
    pub(crate) fn events<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h Value> {
        self.0.iter().filter(move |line| line["event"] == name)
    }

    /// The names of all events, in order.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.0.iter().filter_map(|line| line["event"].as_str()).collect()
    }
}

fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy_directory(&from, &to);
        } else {
            std::fs::copy(&from, &to).expect("a copy");
        }
    }
}

/// Reads "listening on http://A (operators: http://B)".
fn read_addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let rest = line.strip_prefix("listening on http://")?;
    let (public, rest) = rest.split_once(" (operators: http://")?;
    Some((public.parse().ok()?, rest.strip_suffix(')')?.parse().ok()?))
}

/// How long two observations of one clock may lie apart, over HTTP on a busy machine.
pub(crate) const HASTE: Duration = Duration::from_secs(2);
