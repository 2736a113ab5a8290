//! The real box office as a process, with its sales, and the floor as another, with its answers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

use stampede::load::{Closed, Shared, closed, runtime};
use tempfile::TempDir;

use crate::calls::{Calls, Holds, Inside, Joins, Renewals};
use crate::hall::Hall;
use crate::measure::Target;
use crate::plainly::{self, Wire};
use crate::process::{Process, addresses};
use crate::tokens::Texts;
use crate::{Fault, Plan, fault};

/// Connections over which everything is made ready.
const CONNECTIONS: usize = 256;
/// Making ready ends by itself when all is done; this ends it when nothing moves.
const READY_MAX: std::time::Duration = std::time::Duration::from_secs(3_600);

/// What signs tokens where several nodes are measured.
const TOKEN_KEYS: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// A box office that is open.
#[derive(Debug)]
pub(crate) struct Office {
    /// Its process.
    pub(crate) process: Process,
    /// Where buyers reach it.
    pub(crate) public: SocketAddr,
    /// Where operators reach it.
    pub(crate) operators: SocketAddr,
    dir: TempDir,
    key: String,
}

impl Office {
    /// Opens one without any sale, on ports that are free.
    pub(crate) fn open(plan: &Plan) -> Result<Self, Fault> {
        let dir = plan.directory()?;
        Self::open_in(plan, dir)
    }

    /// Opens one in a directory, which may hold a history.
    pub(crate) fn open_in(plan: &Plan, dir: TempDir) -> Result<Self, Fault> {
        let data = dir.path().join("data");
        let mut command = plan.cores.server(&plan.maepyo);
        command.args(["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
        command.arg("--data").arg(&data);
        if let Some(store) = &plan.store {
            // Other nodes are to know its tokens.
            command.args(["--store", store]).env("MAEPYO_TOKEN_KEYS", TOKEN_KEYS);
        }
        let (process, line) = Process::start(command, &dir.path().join("log"))?;
        let Some((public, Some(operators))) = addresses(&line) else {
            return Err(Fault(format!("it does not listen: {line}")));
        };
        let key = std::fs::read_to_string(data.join("admin.key"));
        let key = key.map_err(|error| fault("the admin key", &error))?.trim().to_owned();
        Ok(Self { process, public, operators, dir, key })
    }

    /// What is measured of it.
    pub(crate) fn target(&self) -> Target<'_> {
        Target { process: &self.process, public: self.public, operators: Some(self.operators) }
    }

    /// Kills it where it stands; its directory is left.
    pub(crate) fn kill(mut self) -> TempDir {
        self.process.kill();
        self.dir
    }

    /// Puts a sale through the operator's door.
    pub(crate) fn schedule(&self, sale: &str, hall: &Hall, default: bool) -> Result<(), Fault> {
        let file = hall.file(sale, default).to_string();
        let path = format!("/admin/sales/{sale}");
        let answer = plainly::ask(self.operators, "PUT", &path, Some(&self.key), Some(&file))?;
        match answer.status {
            200 | 201 => Ok(()),
            _ => answer.expect(201).map(|_| ()),
        }
    }

    /// Lets so many join a sale; the joins know their tokens.
    pub(crate) fn join(&self, sale: &str, count: u32) -> Result<Joined, Fault> {
        self.join_keeping(sale, count, 1)
    }

    /// The same, and one token of so many is kept.
    pub(crate) fn join_keeping(&self, sale: &str, count: u32, each: u32) -> Result<Joined, Fault> {
        let joins = self.all(Calls::Join(Joins::keeping(sale, count, each)))?;
        let Calls::Join(joins) = joins else { unreachable!("joins were put in") };
        Ok(Joined { admitted: Rc::new(joins.admitted), waiting: Rc::new(joins.waiting) })
    }

    /// Fresh tokens for the places of old ones.
    pub(crate) fn renew(&self, old: &Rc<Texts>) -> Result<Rc<Texts>, Fault> {
        let renewals = self.all(Calls::Renew(Renewals::new(Rc::clone(old))))?;
        let Calls::Renew(renewals) = renewals else { unreachable!("renewals were put in") };
        Ok(Rc::new(renewals.fresh))
    }

    /// Lets buyers hold seats; the holds know their reservations.
    pub(crate) fn hold(&self, inside: Inside, count: u32) -> Result<Holds, Fault> {
        let calls = self.all(Calls::Hold(Holds::keeping(inside, 0, count)))?;
        let Calls::Hold(holds) = calls else { unreachable!("holds were put in") };
        Ok(holds)
    }

    /// Makes calls until they run out. All must be answered as they are wanted.
    fn all(&self, calls: Calls) -> Result<Calls, Fault> {
        let wanted = calls.wanted();
        let calls = Shared::new(calls);
        let runtime = runtime().map_err(|error| fault("the load", &error))?;
        let closing = Closed::new(self.public, CONNECTIONS, READY_MAX);
        let outcome = runtime.block_on(closed(&closing, &calls));
        drop(runtime);
        let good: u64 = wanted.iter().map(|status| outcome.count(*status)).sum();
        if good < outcome.offered() {
            let example = calls.with(Calls::take_example).unwrap_or_default();
            let (all, bad) = (outcome.offered(), outcome.offered() - good);
            return Err(Fault(format!("making ready: {bad} of {all} failed: {example}")));
        }
        Ok(calls.with(|calls| std::mem::replace(calls, Calls::Join(Joins::new("", 0)))))
    }

    /// One call of a buyer.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        token: Option<&[u8]>,
        body: Option<&str>,
    ) -> Result<Wire, Fault> {
        let token = token.map(String::from_utf8_lossy);
        plainly::ask(self.public, method, path, token.as_deref(), body)
    }

    /// The directory in which it keeps everything.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }
}

/// Those who joined.
#[derive(Clone, Debug)]
pub(crate) struct Joined {
    /// The tokens of those whose turn it was at once.
    pub(crate) admitted: Rc<Texts>,
    /// The tokens of those who wait.
    pub(crate) waiting: Rc<Texts>,
}

/// A server that answers what the box office answered, and does nothing.
#[derive(Debug)]
pub(crate) struct Floor {
    /// Its process.
    pub(crate) process: Process,
    /// Where it listens.
    pub(crate) addr: SocketAddr,
}

impl Floor {
    /// What is measured of it.
    pub(crate) fn target(&self) -> Target<'_> {
        Target { process: &self.process, public: self.addr, operators: None }
    }

    /// Starts it with these answers.
    pub(crate) fn start(plan: &Plan, answers: &Answers) -> Result<Self, Fault> {
        let mut command = plan.cores.server(&plan.floor);
        command.arg("127.0.0.1:0").arg(answers.dir.path());
        let (process, line) = Process::start(command, &answers.dir.path().join("log"))?;
        let (addr, _) =
            addresses(&line).ok_or_else(|| Fault(format!("the floor does not listen: {line}")))?;
        Ok(Self { process, addr })
    }
}

/// Answers of the box office, as files that the floor reads.
#[derive(Debug)]
pub(crate) struct Answers {
    dir: TempDir,
}

impl Answers {
    /// None yet.
    pub(crate) fn new(plan: &Plan) -> Result<Self, Fault> {
        Ok(Self { dir: plan.directory()? })
    }

    /// Keeps an answer, which must have this status, under the name that the floor knows.
    pub(crate) fn keep(&self, name: &str, wire: &Wire, status: u16) -> Result<(), Fault> {
        if wire.status != status {
            let said = String::from_utf8_lossy(wire.body()).into_owned();
            return Err(Fault(format!("`{name}`: expected {status}, got {}: {said}", wire.status)));
        }
        std::fs::write(self.dir.path().join(name), &wire.bytes)
            .map_err(|error| fault("an answer for the floor", &error))
    }
}
