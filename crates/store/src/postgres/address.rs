//! Where PostgreSQL is: `postgres://USER@HOST:PORT/DATABASE`, as PostgreSQL's own programs write it.
//!
//! A password may stand in it, so an address is never shown, nor is any part of one that cannot be
//! read: the part may be a piece of the password.

use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};

use super::Access;
use crate::StoreError;

/// How long one host may take until it accepts a connection.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// After so long without a sign of life, a connection is asked for one.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// How it is known in the database's own reports, unless the address says otherwise.
const APPLICATION_NAME: &str = "maepyo";

/// Whether a location is an address of PostgreSQL.
pub(crate) fn is_address(location: &str) -> bool {
    ["postgres://", "postgresql://"].iter().any(|scheme| location.starts_with(scheme))
}

/// Reads an address; the password is for one that has none.
pub(super) fn read(
    location: &str,
    password: Option<&str>,
    access: Access,
) -> Result<Config, StoreError> {
    let mut config: Config = location.parse().map_err(|_unshown| {
        StoreError::NotAStore(
            "the address of PostgreSQL cannot be read; write \
             postgres://USER@HOST:PORT/DATABASE, special characters as %XX"
                .to_owned(),
        )
    })?;
    if config.get_ssl_mode() == SslMode::Require {
        return Err(StoreError::NotAStore(
            "this program speaks to PostgreSQL without TLS; use a socket, a private network or a \
             tunnel, and say sslmode=disable"
                .to_owned(),
        ));
    }
    config.ssl_mode(SslMode::Disable);
    if config.get_password().is_none()
        && let Some(password) = password
    {
        config.password(password);
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_MAX);
    }
    if config.get_application_name().is_none() {
        config.application_name(APPLICATION_NAME);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(SILENCE_MAX);
    }
    config.keepalives_idle(SILENCE_MAX);
    match access {
        // Of several hosts, the one that may be written to.
        Access::Write => config.target_session_attrs(TargetSessionAttrs::ReadWrite),
        Access::Read => &mut config,
    };
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(location: &str) -> String {
        read(location, None, Access::Write).expect_err("it is refused").to_string()
    }

    #[test]
    fn what_cannot_be_read_is_refused_without_showing_it() {
        for location in [
            "postgres://ann:geheim@db:geheim/maepyo",
            "postgres://ann:geheim@db/maepyo?sslmode=geheim",
            "postgres://ann:geheim@db/maepyo?geheim=1",
        ] {
            let sentence = refusal(location);
            assert!(!sentence.contains("geh") && !sentence.contains("eim"), "{sentence}");
        }
        assert!(refusal("postgres://db/maepyo?sslmode=require").contains("TLS"));
    }

    #[test]
    fn the_password_of_the_address_goes_first() {
        let password = |location: &str| {
            let config = read(location, Some("other"), Access::Write).expect("an address");
            config.get_password().map(<[u8]>::to_vec)
        };
        assert_eq!(password("postgres://ann:secret@db/d"), Some(b"secret".to_vec()));
        assert_eq!(password("postgres://ann@db/d"), Some(b"other".to_vec()));
    }

    #[test]
    fn whoever_writes_looks_for_a_host_that_can_be_written_to() {
        let attrs = |access| {
            let config = read("postgres://one,two/d", None, access).expect("an address");
            config.get_target_session_attrs()
        };
        assert_eq!(attrs(Access::Write), TargetSessionAttrs::ReadWrite);
        assert_eq!(attrs(Access::Read), TargetSessionAttrs::Any);
    }
}
