//! Where PostgreSQL is: `postgres://USER@HOST:PORT/DATABASE`, as PostgreSQL's own programs write it.
//!
//! A password may stand in it, so an address is never shown, nor is any part of one that cannot be
//! read: the part may be a piece of the password. Only the file of `sslrootcert=` is, which has a name
//! before it.
//!
//! Two settings are read here, for the client does not know them as PostgreSQL's programs do: `sslmode=`
//! and `sslrootcert=`. A socket is never encrypted.

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use super::Access;
use super::tls::{self, Tls, Trust};
use crate::StoreError;

/// How long a host may take until it accepts a connection.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// And all of them, one after the other: less than a question may take.
const CONNECT_ALL_MAX: Duration = Duration::from_secs(6);

/// After so long without a sign of life, a connection is asked for one.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// How it is known in the database's own reports, unless the address says otherwise.
const APPLICATION_NAME: &str = "maepyo";

/// Whether a location is an address of PostgreSQL.
pub(crate) fn is_address(location: &str) -> bool {
    ["postgres://", "postgresql://"].iter().any(|scheme| location.starts_with(scheme))
}

/// One of the servers, and how it is spoken to.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) config: Config,
    /// None where nothing is encrypted.
    pub(super) tls: Option<Tls>,
}

/// Reads an address; the password is for one that has none. The servers come in the order of the
/// address.
pub(super) fn read(
    location: &str,
    password: Option<&str>,
    access: Access,
) -> Result<Vec<Server>, StoreError> {
    let (location, privacy) = take_privacy(location)?;
    let mut all: Config = location.parse().map_err(|_unshown| cannot_be_read())?;
    let count = all.get_hosts().len().max(all.get_hostaddrs().len());
    let fits = |given: usize| given <= 1 || given == count;
    if count == 0 || !fits(all.get_ports().len()) || !all_or_none(&all, count) {
        return Err(cannot_be_read());
    }
    if all.get_password().is_none()
        && let Some(password) = password
    {
        all.password(password);
    }
    if all.get_connect_timeout().is_none() {
        let hosts = u32::try_from(count).unwrap_or(u32::MAX);
        all.connect_timeout(CONNECT_MAX.min(CONNECT_ALL_MAX / hosts));
    }
    if all.get_application_name().is_none() {
        all.application_name(APPLICATION_NAME);
    }
    if all.get_tcp_user_timeout().is_none() {
        all.tcp_user_timeout(SILENCE_MAX);
    }
    all.keepalives_idle(SILENCE_MAX);
    match access {
        // Of several hosts, the one that may be written to.
        Access::Write => all.target_session_attrs(TargetSessionAttrs::ReadWrite),
        Access::Read => &mut all,
    };
    let (mode, tls) = privacy.means()?;
    let servers = (0..count).map(|at| {
        let mut config = one(&all, at);
        let is_socket = matches!(config.get_hosts(), [Host::Unix(_)]);
        let tls = tls.clone().filter(|_| !is_socket);
        config.ssl_mode(if tls.is_some() { mode } else { SslMode::Disable });
        Server { config, tls }
    });
    let servers: Vec<Server> = servers.collect();
    if privacy.is_in_vain() && servers.iter().any(|server| server.tls.is_some()) {
        tracing::warn!(
            "whoever stands between here and PostgreSQL may read and change everything; \
             sslmode=verify-full ends that, and sslmode=disable says that nobody does"
        );
    }
    Ok(servers)
}

fn cannot_be_read() -> StoreError {
    StoreError::NotAStore(
        "the address of PostgreSQL cannot be read; write \
         postgres://USER@HOST:PORT/DATABASE, special characters as %XX"
            .to_owned(),
    )
}

fn all_or_none(all: &Config, count: usize) -> bool {
    [all.get_hosts().len(), all.get_hostaddrs().len()].iter().all(|is| *is == 0 || *is == count)
}

/// The settings for one of the servers.
fn one(all: &Config, at: usize) -> Config {
    let mut one = Config::new();
    match all.get_hosts().get(at) {
        Some(Host::Tcp(host)) => one.host(host),
        Some(Host::Unix(directory)) => one.host_path(directory),
        None => &mut one,
    };
    if let Some(address) = all.get_hostaddrs().get(at) {
        one.hostaddr(*address);
    }
    if let Some(port) = all.get_ports().get(at).or(all.get_ports().first()) {
        one.port(*port);
    }
    if let Some(user) = all.get_user() {
        one.user(user);
    }
    if let Some(password) = all.get_password() {
        one.password(password);
    }
    if let Some(database) = all.get_dbname() {
        one.dbname(database);
    }
    if let Some(options) = all.get_options() {
        one.options(options);
    }
    if let Some(name) = all.get_application_name() {
        one.application_name(name);
    }
    if let Some(most) = all.get_connect_timeout() {
        one.connect_timeout(*most);
    }
    if let Some(most) = all.get_tcp_user_timeout() {
        one.tcp_user_timeout(*most);
    }
    if let Some(interval) = all.get_keepalives_interval() {
        one.keepalives_interval(interval);
    }
    if let Some(retries) = all.get_keepalives_retries() {
        one.keepalives_retries(retries);
    }
    one.keepalives(all.get_keepalives())
        .keepalives_idle(all.get_keepalives_idle())
        .ssl_negotiation(all.get_ssl_negotiation())
        .channel_binding(all.get_channel_binding())
        .load_balance_hosts(all.get_load_balance_hosts())
        .target_session_attrs(all.get_target_session_attrs());
    one
}

/// What an address says of TLS.
#[derive(Debug, Default)]
struct Privacy {
    mode: Mode,
    authorities: Option<PathBuf>,
}

/// `sslmode=`, in the words of PostgreSQL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    /// `disable`.
    Never,
    /// `prefer`, and what an address means that says nothing.
    #[default]
    WhereOffered,
    /// `require`. With `sslrootcert=` it is `verify-ca`, as it is for PostgreSQL's own programs.
    Always,
    /// `verify-ca`.
    OfAnAuthority,
    /// `verify-full`.
    OfTheName,
}

impl Privacy {
    /// How it is asked for, and what is made of a connection.
    fn means(&self) -> Result<(SslMode, Option<Tls>), StoreError> {
        let Self { mode, authorities } = self;
        let Some(path) = authorities else {
            return match mode {
                Mode::Never => Ok((SslMode::Disable, None)),
                Mode::WhereOffered => Ok((SslMode::Prefer, Some(Tls::new(Trust::Anybody)))),
                Mode::Always => Ok((SslMode::Require, Some(Tls::new(Trust::Anybody)))),
                Mode::OfAnAuthority | Mode::OfTheName => Err(StoreError::NotAStore(
                    "sslmode=verify-ca and verify-full need sslrootcert=FILE, the certificates of \
                     the authorities; those of the system may be in \
                     /etc/ssl/certs/ca-certificates.crt"
                        .to_owned(),
                )),
            };
        };
        let trust = match mode {
            Mode::Never | Mode::WhereOffered => {
                return Err(StoreError::NotAStore(
                    "sslrootcert= verifies nothing without sslmode=verify-full, verify-ca or \
                     require"
                        .to_owned(),
                ));
            }
            Mode::Always | Mode::OfAnAuthority => Trust::AnyNameOf,
            Mode::OfTheName => Trust::TheNameOf,
        };
        Ok((SslMode::Require, Some(Tls::new(trust(tls::read_authorities(path)?)))))
    }

    /// Whether somebody between could be the one who answers.
    fn is_in_vain(&self) -> bool {
        match self.mode {
            Mode::WhereOffered | Mode::Always => self.authorities.is_none(),
            Mode::Never | Mode::OfAnAuthority | Mode::OfTheName => false,
        }
    }
}

/// Takes what is said of TLS out of an address.
fn take_privacy(location: &str) -> Result<(String, Privacy), StoreError> {
    // As the client reads it: what stands before the first `@` says who we are.
    let after_user = location.find('@').map_or(0, |at| at + 1);
    let Some(at) = location[after_user..].find('?').map(|at| after_user + at) else {
        return Ok((location.to_owned(), Privacy::default()));
    };
    let mut privacy = Privacy::default();
    let mut rest = Vec::new();
    for setting in location[at + 1..].split('&') {
        match setting.split_once('=') {
            Some(("sslmode", mode)) => {
                privacy.mode = match mode {
                    "disable" => Mode::Never,
                    "prefer" => Mode::WhereOffered,
                    "require" => Mode::Always,
                    "verify-ca" => Mode::OfAnAuthority,
                    "verify-full" => Mode::OfTheName,
                    _ => {
                        return Err(StoreError::NotAStore(
                            "sslmode= is disable, prefer, require, verify-ca or verify-full"
                                .to_owned(),
                        ));
                    }
                }
            }
            Some(("sslrootcert", path)) => {
                let path = percent_decode_str(path).decode_utf8().map_err(|_| cannot_be_read())?;
                privacy.authorities = Some(PathBuf::from(path.as_ref()));
            }
            Some(_) | None => rest.push(setting),
        }
    }
    let address = &location[..at];
    let rest = rest.join("&");
    let location = if rest.is_empty() { address.to_owned() } else { format!("{address}?{rest}") };
    Ok((location, privacy))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(location: &str) -> String {
        let error = read(location, None, Access::Write).err();
        error.expect("it is refused").to_string()
    }

    fn servers(location: &str, access: Access) -> Vec<Server> {
        read(location, Some("other"), access).expect("an address")
    }

    #[test]
    fn what_cannot_be_read_is_refused_without_showing_it() {
        for location in [
            "postgres://ann:geheim@db:geheim/maepyo",
            "postgres://ann:geheim@db/maepyo?sslmode=geheim",
            "postgres://ann:geheim@db/maepyo?geheim=1",
            "postgres://ann:geheim@/maepyo",
            "postgres://ann:geheim@one,two/maepyo?port=5433",
            "postgres://ann:geheim@one,two/maepyo?hostaddr=127.0.0.1",
        ] {
            let sentence = refusal(location);
            assert!(!sentence.contains("geh") && !sentence.contains("eim"), "{sentence}");
        }
    }

    #[test]
    fn the_password_of_the_address_goes_first() {
        let password = |location: &str| {
            let [server] = &servers(location, Access::Write)[..] else { panic!("one server") };
            server.config.get_password().map(<[u8]>::to_vec)
        };
        assert_eq!(password("postgres://ann:secret@db/d"), Some(b"secret".to_vec()));
        assert_eq!(password("postgres://ann@db/d"), Some(b"other".to_vec()));
    }

    #[test]
    fn whoever_writes_looks_for_a_host_that_can_be_written_to() {
        for (access, attrs) in [
            (Access::Write, TargetSessionAttrs::ReadWrite),
            (Access::Read, TargetSessionAttrs::Any),
        ] {
            let servers = servers("postgres://one:1,two:2/d?options=-cx%3Dy", access);
            let hosts: Vec<_> = servers.iter().map(|one| one.config.get_hosts()).collect();
            assert_eq!(hosts, [[Host::Tcp("one".to_owned())], [Host::Tcp("two".to_owned())]]);
            let ports: Vec<_> = servers.iter().map(|one| one.config.get_ports()).collect();
            assert_eq!(ports, [[1], [2]]);
            for server in &servers {
                assert_eq!(server.config.get_target_session_attrs(), attrs);
                assert_eq!(server.config.get_dbname(), Some("d"));
                assert_eq!(server.config.get_options(), Some("-cx=y"));
            }
        }
    }

    /// A question may take 8 s with connecting for it.
    #[test]
    fn each_of_many_hosts_gets_its_turn_in_time() {
        for (hosts, seconds) in [("one", 3), ("one,two", 3), ("one,two,three", 2)] {
            for server in servers(&format!("postgres://{hosts}/d"), Access::Write) {
                let most = server.config.get_connect_timeout();
                assert_eq!(most, Some(&Duration::from_secs(seconds)), "{hosts}");
            }
        }
    }

    #[test]
    fn tls_is_asked_for_as_the_address_says_and_never_of_a_socket() {
        for (location, mode) in [
            ("postgres://db/d", SslMode::Prefer),
            ("postgres://db/d?sslmode=prefer", SslMode::Prefer),
            ("postgres://db/d?sslmode=disable", SslMode::Disable),
            ("postgres://db/d?application_name=x&sslmode=require", SslMode::Require),
            ("postgres://%2Frun%2Fpostgresql/d?sslmode=require", SslMode::Disable),
            ("postgres://ann:a?sslmode=disable@db/d", SslMode::Prefer),
        ] {
            let [server] = &servers(location, Access::Write)[..] else { panic!("one server") };
            assert_eq!(server.config.get_ssl_mode(), mode, "{location}");
            assert_eq!(server.tls.is_some(), mode != SslMode::Disable, "{location}");
        }
    }

    #[test]
    fn nobody_believes_that_something_is_verified_that_is_not() {
        for (settings, said) in [
            ("sslmode=verify-full", "need sslrootcert=FILE"),
            ("sslmode=verify-ca", "need sslrootcert=FILE"),
            ("sslrootcert=/ca.pem", "verifies nothing"),
            ("sslmode=prefer&sslrootcert=/ca.pem", "verifies nothing"),
            ("sslmode=verify-full&sslrootcert=%2Fno%2Fsuch.pem", "/no/such.pem: "),
            ("sslmode=allow", "sslmode= is disable"),
        ] {
            let sentence = refusal(&format!("postgres://db/d?{settings}"));
            assert!(sentence.contains(said), "{settings}: {sentence}");
        }
    }
}
