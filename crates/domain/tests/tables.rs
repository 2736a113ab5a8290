//! The rules as a box-office clerk would check them: every file in `tables/` is a list of what
//! people do and what they are told. `clerk/mod.rs` says what may stand there.

mod clerk;

use std::fs;
use std::path::Path;

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tables"))
}

fn check(table: &str) {
    let text = fs::read_to_string(folder().join(table).with_extension("txt")).expect("a table");
    let unexpected = clerk::unexpected_answers(&text);
    assert!(unexpected.is_empty(), "in tables/{table}.txt\n{}", unexpected.join("\n"));
}

macro_rules! tables {
    ($($table:ident),+ $(,)?) => {
        $(#[test]
        fn $table() {
            check(stringify!($table));
        })+

        #[test]
        fn every_table_is_checked() {
            let mut checked: Vec<_> =
                [$(stringify!($table)),+].iter().map(|name| format!("{name}.txt")).collect();
            let mut there: Vec<_> = fs::read_dir(folder())
                .expect("the tables")
                .map(|file| file.expect("a table").file_name().into_string().expect("a name"))
                .collect();
            checked.sort();
            there.sort();
            assert_eq!(checked, there);
        }
    };
}

tables! {
    best,
    calendar,
    hold,
    limits,
    line,
    operator,
    outage,
    payment,
    presence,
    repeat,
    sold_out,
    use_case,
}

/// A wrong answer is reported with its line, what was expected and what came.
#[test]
fn an_unexpected_answer_is_told_with_its_line() {
    let table = "\
        performance seoul A1 at 100\n\
        join by ann -> admitted until 12:05:00\n\
        hold A1 by ann -> held until 12:06:00\n\
        \n\
        hold A1 by ann\n\
        dance by ann\n";
    let told = clerk::unexpected_answers(table);
    assert_eq!(
        told,
        [
            "line 3: hold A1 by ann\n  expected: held until 12:06:00\n  got:      held until \
             12:05:00",
            "line 5: hold A1 by ann\n  expected: no refusal\n  got:      refused: \
             reservation_exists",
            "line 6: dance by ann\n  expected: something a clerk knows\n  got:      no such thing",
        ]
    );
}
