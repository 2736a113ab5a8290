//! A real PostgreSQL server, from the system's packages, in a temporary directory: for the tests, and
//! for what is measured. It listens on a socket in that directory and nowhere else, lets everybody in
//! who can reach it, and is gone when it is dropped, or when its owner's process ends in whatever way.
//!
//! PostgreSQL does not run as root. Where the tests do, it runs as the user that its package made.
//!
//! Deliberately absent: any knowledge of what is kept in it.

mod plainly;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

pub use plainly::PlainHolds;

/// The user of the system that Debian's package makes.
const SYSTEM_USER: &str = "postgres";
/// Who owns everything in the database.
const DATABASE_USER: &str = "postgres";
/// What a socket is named after, too.
const DEFAULT_PORT: u16 = 5432;
/// Where Debian keeps the programs of each version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// What a standby is called by the server that it follows.
pub const STANDBY: &str = "standby";

/// Kills a server with all its processes; each of them is in a group of its own. What it shared between
/// them is given back, for nobody else will.
const KILL: &str = r#"
children=$(cat "/proc/$1/task/$1/children")
kill -KILL "$1" $children
ipcrm -m "$2" || true
"#;

/// Starts the server, says so, and stops it when the owner closes the pipe or is gone.
const KEEP: &str = r#"
"$1/pg_ctl" -D "$2" -l "$3" -o "$4" -w -t 60 -s start >&2 || exit 1
echo ready
cat
"$1/pg_ctl" -D "$2" -m immediate -w -t 60 -s stop >&2
"#;

/// How a server is made.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// A directory in which a fresh database is kept, to be copied by the next one: making one takes
    /// a second.
    pub cache: Option<PathBuf>,
    /// Where its temporary directory is made, instead of where the system has them.
    pub within: Option<PathBuf>,
    /// What the server's settings are beside the defaults, as `name=value`.
    pub settings: Vec<String>,
    /// Users of the database who must say a password; everybody else is let in.
    pub with_password: Vec<String>,
    /// A program that starts it, with its words.
    pub through: Vec<String>,
    /// Where it listens beside its socket.
    pub network: Network,
}

/// Whether a server also listens on a port of this machine, one that was free.
#[derive(Clone, Debug, Default)]
pub enum Network {
    /// It does not.
    #[default]
    No,
    /// It does, and whoever comes speaks without TLS.
    Plain,
    /// It does, and whoever comes must speak with TLS. The files are PEM.
    Tls {
        /// Who it is.
        certificate: PathBuf,
        /// What proves it.
        key: PathBuf,
    },
}

/// A server. It listens until it is dropped.
#[derive(Debug)]
pub struct Server {
    dir: TempDir,
    setup: Setup,
    programs: PathBuf,
    /// Whether it must be started as another user.
    is_root: bool,
    /// Where it listens beside its socket.
    port: Option<u16>,
    running: Option<Child>,
}

impl Server {
    /// Makes one, and waits until it listens.
    ///
    /// # Errors
    /// A sentence that says what is missing, or what PostgreSQL says.
    pub fn start(setup: Setup) -> Result<Self, String> {
        let mut server = Self::empty(setup)?;
        server.make()?;
        server.let_in()?;
        server.start_again()?;
        Ok(server)
    }

    /// Makes one that follows `primary`, and waits until it listens.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_standby(setup: Setup, primary: &Self) -> Result<Self, String> {
        let mut server = Self::empty(setup)?;
        server.follow(primary)?;
        Ok(server)
    }

    /// The directory for one.
    fn empty(setup: Setup) -> Result<Self, String> {
        let programs = programs()?;
        let mut made = tempfile::Builder::new();
        let made = match &setup.within {
            Some(within) => made.prefix("pg-").tempdir_in(within),
            None => made.prefix("pg-").tempdir(),
        };
        let dir = made.map_err(told("a directory"))?;
        let is_root = fs::metadata(dir.path()).map_err(told("the directory"))?.uid() == 0;
        let port = match &setup.network {
            Network::No => None,
            Network::Plain | Network::Tls { .. } => Some(free_port()?),
        };
        let server = Self { dir, setup, programs, is_root, port, running: None };
        server.give_away(server.dir.path())?;
        Ok(server)
    }

    /// Makes it a standby of `primary`, in the place of what it was, and waits until it listens.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub fn follow(&mut self, primary: &Self) -> Result<(), String> {
        self.crash();
        if self.data().exists() {
            fs::remove_dir_all(self.data()).map_err(told("the old data"))?;
        }
        let from = format!(
            "host={} port={} user={DATABASE_USER} application_name={STANDBY}",
            primary.dir.path().display(),
            primary.port.unwrap_or(DEFAULT_PORT)
        );
        let mut copy = self.program("pg_basebackup");
        copy.arg("-D").arg(self.data()).args(["-d", &from, "--write-recovery-conf"]);
        done(copy.args(["--checkpoint=fast", "--wal-method=stream", "--no-sync"]))?;
        self.start_again()
    }

    /// Makes a standby the primary, and waits until it can be written to.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub fn promote(&self) -> Result<(), String> {
        done(self.program("pg_ctl").arg("-D").arg(self.data()).args(["-w", "-s", "promote"]))
    }

    /// Lets a standby follow nobody any more, and waits until it gets nothing new.
    ///
    /// # Panics
    /// When PostgreSQL does not.
    pub fn stop_following(&self) {
        self.run("public", "ALTER SYSTEM SET primary_conninfo = ''");
        self.run("public", "SELECT pg_reload_conf()");
        self.wait_until("SELECT count(*) FROM pg_stat_wal_receiver", "0");
    }

    /// Its clock, in milliseconds since the Unix epoch.
    ///
    /// # Panics
    /// When it does not say.
    #[must_use]
    pub fn clock_ms(&self) -> u64 {
        let asked = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
        self.run("public", asked).parse().expect("a number")
    }

    /// Lets commits wait until one of these standbys has them, or, with none, until they are on disk here;
    /// and waits until that is so.
    ///
    /// # Panics
    /// When PostgreSQL does not.
    pub fn commits_wait_for(&self, names: &str) {
        let set = format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'");
        self.run("public", &set);
        self.run("public", "SELECT pg_reload_conf()");
        self.wait_until("SHOW synchronous_standby_names", names);
    }

    /// Waits until a standby has everything, and commits wait for it.
    ///
    /// # Panics
    /// When none comes.
    pub fn commits_wait_for_standby(&self) {
        self.commits_wait_for(STANDBY);
        self.wait_until("SELECT sync_state FROM pg_stat_replication", "sync");
    }

    /// Asks again until this is the answer, for a minute at least.
    #[expect(
        clippy::disallowed_methods,
        reason = "a server in another process has no clock to move"
    )]
    fn wait_until(&self, question: &str, answer: &str) {
        for _ in 0..6_000 {
            if self.run("public", question) == answer {
                return;
            }
            // paces: what a server does can only be looked at.
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{question} was never {answer:?}");
    }

    /// The address of its one database. What is made in it goes into `schema`, which must be there:
    /// see [`Server::make_schema`].
    #[must_use]
    pub fn url(&self, schema: &str) -> String {
        let host = self.host();
        format!(
            "postgres://{DATABASE_USER}@{host}/{DATABASE_USER}?options=-csearch_path%3D{schema}"
        )
    }

    /// The same by the network, where this machine is called `host`.
    ///
    /// # Panics
    /// When it does not listen there.
    #[must_use]
    pub fn network_url(&self, host: &str, schema: &str) -> String {
        let port = self.port.expect("it was made to listen on a port");
        format!(
            "postgres://{DATABASE_USER}@{host}:{port}/{DATABASE_USER}?options=-csearch_path%3D{schema}"
        )
    }

    /// Its socket, as an address names a host.
    #[must_use]
    pub fn host(&self) -> String {
        let directory = self.dir.path().to_string_lossy().replace('/', "%2F");
        match self.port {
            Some(port) => format!("{directory}:{port}"),
            None => directory,
        }
    }

    /// Makes an empty schema and says its address.
    ///
    /// # Panics
    /// When PostgreSQL does not.
    #[must_use]
    pub fn make_schema(&self, schema: &str) -> String {
        self.run("public", &format!("CREATE SCHEMA {schema}"));
        self.url(schema)
    }

    /// Makes a database beside the usual one, and says its address.
    ///
    /// # Panics
    /// When PostgreSQL does not.
    #[must_use]
    pub fn make_database(&self, name: &str) -> String {
        self.run("public", &format!("CREATE DATABASE {name}"));
        format!("postgres://{DATABASE_USER}@{}/{name}", self.host())
    }

    /// Runs statements, and says what they gave: a row a line, `|` between the columns.
    ///
    /// # Panics
    /// When PostgreSQL refuses them.
    pub fn run(&self, schema: &str, statements: &str) -> String {
        let mut psql = self.program("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
        let output = psql.args(["-c", statements, &self.url(schema)]).output();
        let output = output.unwrap_or_else(|error| panic!("psql: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{statements}: {said}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Ends the connections of a program, by what the name that it gives itself begins with.
    ///
    /// # Panics
    /// When PostgreSQL does not.
    pub fn end_connections(&self, program: &str) {
        let end = format!(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
            WHERE starts_with(application_name, '{program}')"
        );
        self.run("public", &end);
    }

    /// Ends it as a loss of power would: nothing is finished, and the next start recovers.
    pub fn crash(&mut self) {
        if let Some(mut running) = self.running.take() {
            // The pipe is closed by waiting.
            let _gone = running.wait();
        }
    }

    /// Ends it as a loss of the whole machine would: not even its parts can say goodbye to each other.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        let noted = fs::read_to_string(self.data().join("postmaster.pid")).expect("it runs");
        let lines: Vec<&str> = noted.lines().collect();
        let shared = lines.get(6).and_then(|line| line.split_whitespace().last()).unwrap_or("");
        let mut kill = Command::new("sh");
        kill.args(["-c", KILL, "sh", lines[0], shared]);
        done(&mut kill).expect("it can be killed");
        self.crash();
    }

    /// Runs one of PostgreSQL's programs, such as `pg_dump`, and says what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn run_program(&self, name: &str, words: &[&str]) -> String {
        let output = self.program(name).args(words).output();
        let output = output.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Starts it, after a crash.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub fn start_again(&mut self) -> Result<(), String> {
        let socket = self.dir.path().display().to_string();
        let mut options = format!("-k {socket} -c listen_addresses=");
        if let Some(port) = self.port {
            options.push_str(&format!("{} -c port={port}", Ipv4Addr::LOCALHOST));
        }
        for setting in &self.setup.settings {
            options.push_str(" -c ");
            options.push_str(setting);
        }
        let mut keep = self.program("sh");
        keep.args(["-c", KEEP, "sh"]).arg(&self.programs).arg(self.data()).arg(self.log());
        keep.arg(options).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut running = keep.spawn().map_err(told("the server"))?;
        let stdout = running.stdout.take().expect("standard output was asked to be a pipe");
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        self.running = Some(running);
        match read {
            Ok(_) if line.trim() == "ready" => Ok(()),
            Ok(_) | Err(_) => Err(format!("PostgreSQL did not start:\n{}", self.said())),
        }
    }

    /// The number of its first process, whose children the others are; none while it does not run.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        let noted = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        noted.lines().next()?.trim().parse().ok()
    }

    /// Where it listens beside its socket.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// What it logged.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// The directory that it is in.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.dir.path()
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// A fresh database: copied, if there is one to copy.
    fn make(&self) -> Result<(), String> {
        let version = self.programs.parent().and_then(Path::file_name).unwrap_or_default();
        let kept = self
            .setup
            .cache
            .as_ref()
            .map(|cache| cache.join(format!("postgresql-{}-fresh", version.to_string_lossy())));
        if let Some(kept) = &kept
            && kept.exists()
        {
            return copy(kept, &self.data());
        }
        let mut initdb = self.program("initdb");
        initdb.arg("-D").arg(self.data()).args(["-U", DATABASE_USER, "-A", "trust"]);
        done(initdb.args(["-E", "UTF8", "--locale=C", "--no-sync"]))?;
        if let (Some(kept), Some(cache)) = (&kept, &self.setup.cache) {
            fs::create_dir_all(cache).map_err(told("the cache"))?;
            let new = self.dir.path().file_name().expect("it has a name");
            let new = cache.join(new);
            copy(&self.data(), &new)?;
            if fs::rename(&new, kept).is_err() {
                // Somebody else was sooner.
                fs::remove_dir_all(&new).map_err(told("the cache"))?;
            }
        }
        Ok(())
    }

    /// The first line that fits says how somebody is let in.
    fn let_in(&self) -> Result<(), String> {
        let path = self.data().join("pg_hba.conf");
        let mut lines = String::new();
        for user in &self.setup.with_password {
            lines.push_str(&format!("local all {user} scram-sha-256\n"));
            lines.push_str(&format!("host all {user} all scram-sha-256\n"));
        }
        if let Network::Tls { certificate, key } = &self.setup.network {
            lines.insert_str(0, "hostnossl all all all reject\n");
            for (from, to) in [(certificate, "server.crt"), (key, "server.key")] {
                let to = self.data().join(to);
                fs::copy(from, &to).map_err(told("a certificate"))?;
                let for_its_owner = fs::Permissions::from_mode(0o600);
                fs::set_permissions(&to, for_its_owner).map_err(told("a certificate"))?;
                self.give_away(&to)?;
            }
            let settings = self.data().join("postgresql.auto.conf");
            fs::write(settings, "ssl = on\n").map_err(told("postgresql.auto.conf"))?;
        }
        lines += &fs::read_to_string(&path).map_err(told("pg_hba.conf"))?;
        fs::write(path, lines).map_err(told("pg_hba.conf"))
    }

    /// Makes something its own, if it runs as another user.
    fn give_away(&self, path: &Path) -> Result<(), String> {
        if self.is_root {
            let (user, group) = (self.id("-u")?, self.id("-g")?);
            chown(path, Some(user), Some(group)).map_err(told("the directory"))?;
        }
        Ok(())
    }

    /// A program of PostgreSQL, or any other, as the user that may run it, started as the server is.
    fn program(&self, name: &str) -> Command {
        self.program_through(name, self.setup.through.clone())
    }

    /// The same, started as whoever calls was.
    fn program_beside(&self, name: &str) -> Command {
        self.program_through(name, Vec::new())
    }

    fn program_through(&self, name: &str, mut words: Vec<String>) -> Command {
        let path = self.programs.join(name);
        let path = if path.exists() { path } else { PathBuf::from(name) };
        if self.is_root {
            let give_up = ["setpriv", "--reuid", SYSTEM_USER, "--regid", SYSTEM_USER];
            words.extend(give_up.iter().map(ToString::to_string));
            words.push("--clear-groups".to_owned());
        }
        words.push(path.to_string_lossy().into_owned());
        let (first, rest) = words.split_first().expect("there is the program");
        let mut program = Command::new(first);
        // Wherever the tests are: another user may not be allowed to be there.
        program.args(rest).current_dir(self.dir.path()).stdin(Stdio::null());
        program
    }

    fn id(&self, option: &str) -> Result<u32, String> {
        let output = Command::new("id").args([option, SYSTEM_USER]).output();
        let output = output.map_err(told("`id`"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        text.trim().parse().map_err(|_| {
            format!("as root, PostgreSQL needs the user `{SYSTEM_USER}`, which its package makes")
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.crash();
    }
}

/// A port that nobody has.
fn free_port() -> Result<u16, String> {
    let found = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|bound| bound.local_addr());
    found.map(|address| address.port()).map_err(told("a port"))
}

/// The programs of the newest version.
fn programs() -> Result<PathBuf, String> {
    let missing = || format!("PostgreSQL is not installed: there is no {VERSIONS}/*/bin/initdb");
    let entries = fs::read_dir(VERSIONS).map_err(|_| missing())?;
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.join("bin/initdb").exists())
        .max_by_key(version)
        .map(|path| path.join("bin"))
        .ok_or_else(missing)
}

/// Copies a directory with its owners.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    done(Command::new("cp").arg("-a").arg(from).arg(to))
}

fn done(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(told("a program"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn told<E: std::fmt::Display>(what: &str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error}")
}
