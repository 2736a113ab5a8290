//! TLS to a real server, whose certificates are made for each test.

use std::path::{Path, PathBuf};
use std::process::Command;

use pgserver::{Network, Server, Setup};
use store::{Options, StoreError};
use tempfile::TempDir;

use super::{SCHEMA, after, append, options, setup};

/// An authority, and what it says of a server.
struct Authority {
    dir: TempDir,
}

impl Authority {
    fn new(name: &str) -> Self {
        let authority = Self { dir: tempfile::tempdir().unwrap() };
        authority.openssl(&format!(
            "req -x509 {KEY} -keyout ca.key -out ca.pem -subj /CN={name} -days 2 \
             -addext keyUsage=critical,keyCertSign"
        ));
        authority
    }

    /// A certificate for these names, and its key.
    fn certify(&self, names: &str) -> (PathBuf, PathBuf) {
        self.openssl(&format!(
            "req -new {KEY} -keyout server.key -out server.csr -subj /CN=server"
        ));
        std::fs::write(self.file("names"), format!("subjectAltName={names}\n")).unwrap();
        self.openssl(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem \
             -days 2 -extfile names",
        );
        (self.file("server.pem"), self.file("server.key"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn openssl(&self, words: &str) {
        let mut openssl = Command::new("openssl");
        let output = openssl.args(words.split_whitespace()).current_dir(self.dir.path()).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

fn server_with((certificate, key): (PathBuf, PathBuf)) -> Server {
    let with_password = vec!["ann".to_owned()];
    let network = Network::Tls { certificate, key };
    let server = Server::start(Setup { with_password, network, ..setup(&[]) }).unwrap();
    server.run("public", "CREATE ROLE ann LOGIN PASSWORD 'geheim'");
    server.run("public", &format!("CREATE SCHEMA {SCHEMA} AUTHORIZATION ann"));
    server
}

/// With a password, whose exchange takes what is private into account.
fn open(server: &Server, host: &str, settings: &str) -> Result<(), StoreError> {
    let url = server.network_url(host, SCHEMA).replace("//postgres@", "//ann@");
    let with_password = Options { password: Some("geheim".to_owned()), ..options() };
    store::open(&format!("{url}{settings}"), with_password).map(drop)
}

fn refusal(server: &Server, host: &str, settings: &str) -> String {
    open(server, host, settings).expect_err("it is refused").to_string()
}

fn root(path: &Path) -> String {
    format!("&sslrootcert={}", path.to_string_lossy().replace('/', "%2F"))
}

#[test]
fn whom_we_speak_to_is_who_the_address_says() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let server = server_with(ours.certify("DNS:localhost"));
    let (known, unknown) = (root(&ours.file("ca.pem")), root(&other.file("ca.pem")));

    open(&server, "localhost", &format!("&sslmode=verify-full{known}")).unwrap();
    // The name of the address is not in the certificate.
    let said = refusal(&server, "127.0.0.1", &format!("&sslmode=verify-full{known}"));
    assert!(said.contains("not valid for name"), "{said}");
    open(&server, "127.0.0.1", &format!("&sslmode=verify-ca{known}")).unwrap();
    open(&server, "127.0.0.1", &format!("&sslmode=require{known}")).unwrap();
    for mode in ["verify-full", "verify-ca", "require"] {
        let said = refusal(&server, "localhost", &format!("&sslmode={mode}{unknown}"));
        assert!(said.contains("UnknownIssuer"), "{mode}: {said}");
    }
    // Nobody is asked who they are.
    open(&server, "127.0.0.1", "&sslmode=require").unwrap();
    open(&server, "127.0.0.1", "&sslmode=prefer").unwrap();
    open(&server, "127.0.0.1", "").unwrap();
    let said = refusal(&server, "localhost", "&sslmode=disable");
    assert!(said.contains("no encryption"), "{said}");
}

#[test]
fn an_address_of_numbers_can_be_certified_too() {
    let authority = Authority::new("ours");
    let server = server_with(authority.certify("IP:127.0.0.1"));
    let root = root(&authority.file("ca.pem"));
    open(&server, "127.0.0.1", &format!("&sslmode=verify-full{root}")).unwrap();
    let said = refusal(&server, "localhost", &format!("&sslmode=verify-full{root}"));
    assert!(said.contains("not valid for name"), "{said}");
}

#[test]
fn a_server_without_tls_is_refused_by_who_asks_for_it() {
    let authority = Authority::new("ours");
    let server = Server::start(Setup { network: Network::Plain, ..setup(&[]) }).unwrap();
    drop(server.make_schema(SCHEMA));
    let url = server.network_url("localhost", SCHEMA);
    let root = root(&authority.file("ca.pem"));
    for settings in [
        "&sslmode=require".to_owned(),
        format!("&sslmode=require{root}"),
        format!("&sslmode=verify-ca{root}"),
        format!("&sslmode=verify-full{root}"),
    ] {
        let error = store::open(&format!("{url}{settings}"), options()).err().unwrap();
        assert!(error.to_string().contains("server does not support TLS"), "{settings}: {error}");
    }
    for settings in ["", "&sslmode=prefer", "&sslmode=disable"] {
        drop(store::open(&format!("{url}{settings}"), options()).unwrap());
    }
}

#[test]
fn a_file_of_authorities_that_has_none_is_refused_with_its_name() {
    let authority = Authority::new("ours");
    let (_, key) = authority.certify("DNS:localhost");
    for (file, said) in
        [(key, "no certificate is in this file"), (authority.file("none"), "none: ")]
    {
        let url = format!("postgres://ann@localhost:1/d?sslmode=verify-full{}", root(&file));
        let error = store::open(&url, options()).err().unwrap().to_string();
        assert!(error.contains(said) && error.contains(&*file.to_string_lossy()), "{error}");
    }
}

/// What is answered by several megabytes, in both directions.
#[test]
fn large_batches_come_through() {
    let authority = Authority::new("ours");
    let server = server_with(authority.certify("DNS:localhost"));
    let url = server.network_url("localhost", SCHEMA);
    let url = format!("{url}&sslmode=verify-full{}", root(&authority.file("ca.pem")));
    let journal = store::open(&url, options()).unwrap();
    let first = after(None, &vec![7; 5 << 20]);
    append(&*journal, &first);
    let second = after(Some(&first), &vec![8; 3 << 20]);
    append(&*journal, &second);
    let read = journal.read(super::ONE, store::Head::EMPTY, usize::MAX).unwrap();
    assert!(read == [first, second]);
    let how = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ";
    assert_eq!(server.run("public", &format!("{how}{}", super::OURS)), "t");
}
