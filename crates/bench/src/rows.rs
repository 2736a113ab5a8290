//! Every row there is, in the order of the document: what it measures and what it must reach.

/// A row of one of the document's tables.
#[derive(Debug)]
pub(crate) struct Row {
    /// The word by which it is asked for.
    pub(crate) name: &'static str,
    /// What is measured.
    pub(crate) what: &'static str,
    /// What it must be, in words; empty where it is only shown.
    pub(crate) must: &'static str,
    /// Where it stands.
    pub(crate) part: Part,
}

/// A part of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// What must be reached.
    Table,
    /// How it grows.
    Growth,
    /// What happens when too many come.
    Overload,
    /// That each answered write was on disk before.
    Durability,
}

/// All rows.
pub(crate) const ROWS: [Row; 17] = [
    Row {
        name: "hold",
        what: "durable seat hold: token verified, JSON in and out, on disk before the answer",
        must: "0.80 of the floor",
        part: Part::Table,
    },
    Row {
        name: "status",
        what: "`GET /queue/status`, 1,000,000 distinct tokens",
        must: "0.90 of the floor",
        part: Part::Table,
    },
    Row {
        name: "join",
        what: "`POST /queue/token`: durable join, token signed",
        must: "0.70 of the floor",
        part: Part::Table,
    },
    Row {
        name: "pay",
        what: "`POST /payment` with the sandbox gateway (two journal entries)",
        must: "0.50 of the floor",
        part: Part::Table,
    },
    Row {
        name: "seats",
        what: "seat list of a 50,000-seat hall while 1,000 seats a second change",
        must: "0.90 of a static file of that size",
        part: Part::Table,
    },
    Row {
        name: "position",
        what: "position lookup among 10,000,000 waiting",
        must: "under 100 ns, and within 1.5 times of that among 10,000",
        part: Part::Table,
    },
    Row {
        name: "memory",
        what: "memory for each waiting entry: resident growth after 10,000,000 joins, snapshots \
               running",
        must: "32 bytes at most",
        part: Part::Table,
    },
    Row {
        name: "restart",
        what: "restart with 1,000,000 journalled events and a snapshot",
        must: "serving within 1 s",
        part: Part::Table,
    },
    Row {
        name: "postgres",
        what: "the same hold on the PostgreSQL journal",
        must: "0.80 of the SQLite journal",
        part: Part::Table,
    },
    Row {
        name: "latency",
        what: "hold latency at half of the full load",
        must: "p99 at most 5 ms or 4 times this disk's fsync p99",
        part: Part::Table,
    },
    Row {
        name: "streams",
        what: "`GET /queue/events`: 20,000 open streams while the line moves",
        must: "16 KiB of memory for each; positions at most 1 s old",
        part: Part::Table,
    },
    Row { name: "line", what: "the line grows", must: "", part: Part::Growth },
    Row { name: "hall", what: "the hall grows", must: "", part: Part::Growth },
    Row { name: "sales", what: "more sales at a time", must: "", part: Part::Growth },
    Row {
        name: "nodes",
        what: "holds on one, two and three nodes over one PostgreSQL, beside a plain transaction for each",
        must: "one hot sale: three carry 0.8 of what one does; no node's p99 is over 5 times another's",
        part: Part::Growth,
    },
    Row {
        name: "overload",
        what: "holds at 2 and at 10 times what can be served, open loop",
        must: "0.9 and 0.7 of the best goes on; memory bounded; normal within 2 s after",
        part: Part::Overload,
    },
    Row {
        name: "trace",
        what: "the system calls of a short run, looked at one after the other",
        must: "each answered write was synced before its answer was sent",
        part: Part::Durability,
    },
];

/// The row of this name.
pub(crate) fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_has_a_name_of_its_own() {
        let names: BTreeSet<_> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
        assert!(ROWS.iter().all(|row| find(row.name).is_some()));
        assert!(find("rows").is_none());
    }
}
