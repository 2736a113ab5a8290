//! Which format a store is in, and which nodes know how much.

use store::{Format, StoreError};

use super::{DROP_TURNS, ONE, SCHEMA, after, append, options, server, until};

#[test]
fn a_store_in_a_later_format_is_refused_at_the_start_and_no_later() {
    let server = server(&[]);
    let url = server.make_schema(SCHEMA);
    let journal = store::open(&url, options()).unwrap();
    server.run(SCHEMA, "UPDATE journal_meta SET format = 3");
    let newer = StoreError::NewerFormat { found: Format(3), known: Format(2) };
    assert_eq!(store::open(&url, options()).err(), Some(newer.clone()));
    assert_eq!(store::open_read_only(&url, options()).err(), Some(newer));
    // Whoever is at work writes what everybody can read, and goes on, also on a new connection.
    assert_eq!(journal.format(), Ok(Format(3)));
    append(&*journal, &after(None, b"first"));
    server.end_connections("maepyo");
    until(|| journal.heads().ok().filter(|heads| heads.len() == 1));
}

/// The tables of the version before, in which a format was not said.
#[test]
fn older_tables_are_in_the_first_format_until_it_is_raised() {
    let server = server(&[]);
    let url = server.make_schema(SCHEMA);
    let first = after(None, b"first");
    append(&*store::open(&url, options()).unwrap(), &first);
    server.run(SCHEMA, "ALTER TABLE journal_meta DROP COLUMN format");
    server.run(SCHEMA, DROP_TURNS);
    server.run(SCHEMA, "UPDATE journal_schema SET version = 2");
    let reader = store::open_read_only(&url, options()).unwrap();
    assert_eq!(reader.format(), Ok(Format(1)));
    assert_eq!(reader.heads().unwrap(), [(ONE, first.head())]);
    assert_eq!(reader.raise_format(Format(2)), Err(StoreError::ReadOnly));

    let (one, two) = (store::open(&url, options()).unwrap(), store::open(&url, options()).unwrap());
    assert_eq!((one.format(), two.format()), (Ok(Format(1)), Ok(Format(1))));
    one.raise_format(Format(2)).unwrap();
    assert_eq!((two.format(), reader.format()), (Ok(Format(2)), Ok(Format(2))));
    drop((one, two));
    assert_eq!(store::open(&url, options()).unwrap().format(), Ok(Format(2)));
}

/// Each node says by itself what it knows, on every connection; who only reads says nothing.
#[test]
fn who_writes_is_known_with_what_it_knows() {
    let server = server(&[]);
    let url = server.make_schema(SCHEMA);
    let elsewhere = store::open(&server.make_schema("elsewhere"), options()).unwrap();
    let one = store::open(&url, options()).unwrap();
    let two = store::open(&format!("{url}&application_name=the_second_of_two"), options()).unwrap();
    let reader = store::open_read_only(&url, options()).unwrap();
    let is = |expected: &[u32]| {
        let expected: Vec<Format> = expected.iter().copied().map(Format).collect();
        until(|| (reader.writers() == Ok(expected.clone())).then_some(()));
    };
    is(&[2, 2]);
    assert_eq!(one.writers(), reader.writers());
    // An older program, by the name that it would give itself.
    let epoch = one.epoch();
    let name = format!("old%2C%20format%201%2C%20node%2000000001%2C%20journal%20{epoch}");
    let old = store::open_read_only(&format!("{url}&application_name={name}"), options()).unwrap();
    is(&[1, 2, 2]);
    drop(old);
    is(&[2, 2]);
    // New connections say it too.
    server.end_connections("maepyo");
    until(|| one.heads().ok());
    is(&[2, 2]);
    drop(two);
    is(&[2]);
    assert_eq!(elsewhere.writers().unwrap(), [Format(2)]);
}
