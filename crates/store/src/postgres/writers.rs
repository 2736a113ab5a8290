//! Which nodes have the journal open for writing, and what they know.
//!
//! Each of their connections says so in its name, where PostgreSQL shows it to everybody
//! (`pg_stat_activity`): nothing is written for it, and who is gone is not there. A node that is cut off
//! at the moment is not there either; when it comes back it refuses what it cannot read.

use std::collections::BTreeMap;

use super::connection::{Connection, value};
use crate::codec::FORMAT_MAX;
use crate::{Epoch, Format, StoreError};

/// What stands before the format, the node and the journal's epoch in a name. An operator's own name stays
/// before that, as far as there is room: PostgreSQL keeps 63 bytes.
const FORMAT: &str = ", format ";
const NODE: &str = ", node ";
const JOURNAL: &str = ", journal ";

const SAY_WRITER: &str = "
-- say_writer
SELECT set_config(
    'application_name',
    left(split_part(current_setting('application_name'), ', format ', 1), 10) || $1::text,
    false
)
";

/// Whoever is asleep or cut off in its turn keeps the others waiting for as long as the first of these, or as
/// the second, when the server has not got rid of what it is to read. And what comes last in a stream is found
/// from the end of its key, however much there is before it.
const SET_WRITER: &str = "
-- set_writer
SET idle_in_transaction_session_timeout = '1s';
SET tcp_user_timeout = '5s';
SET enable_sort = off;
SET enable_bitmapscan = off
";

/// Several journals may be in one database.
const LIST_WRITERS: &str = "
-- list_writers
SELECT application_name
FROM pg_stat_activity
WHERE datname = current_database()
    AND right(application_name, length($1::text)) = $1::text
";

/// What the connections of one node say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writer(u32);

impl Writer {
    /// This node, under a name that no other has.
    pub(super) fn new() -> Result<Self, StoreError> {
        let random = getrandom::u32().map_err(|error| {
            StoreError::Unavailable(format!("no randomness for a node's name: {error}"))
        })?;
        Ok(Self(random))
    }

    /// Says on a connection to a journal who has it, and sets it up for taking turns ([`super::turns`]).
    pub(super) async fn say(self, connection: &Connection, epoch: Epoch) -> Result<(), StoreError> {
        let name = format!("{FORMAT}{FORMAT_MAX}{NODE}{:08x}{JOURNAL}{epoch}", self.0);
        connection.execute(SAY_WRITER, &[&name]).await?;
        connection.run(SET_WRITER).await
    }
}

/// What each node knows that has this journal open, lowest first.
pub(super) async fn list(connection: &Connection, epoch: Epoch) -> Result<Vec<Format>, StoreError> {
    let journal = format!("{JOURNAL}{epoch}");
    let rows = connection.rows(LIST_WRITERS, &[&journal]).await?;
    let names = rows.iter().map(|row| value::<&str>(row, 0)).collect::<Result<Vec<_>, _>>()?;
    // A node has several connections.
    let nodes: BTreeMap<&str, Format> = names.into_iter().filter_map(read).collect();
    let mut formats: Vec<Format> = nodes.into_values().collect();
    formats.sort_unstable();
    Ok(formats)
}

/// The node and the format of a name.
fn read(name: &str) -> Option<(&str, Format)> {
    let (_, said) = name.rsplit_once(FORMAT)?;
    let (format, node) = said.split_once(NODE)?;
    Some((node, Format(format.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_who_and_what() {
        let name = "maepyo, format 12, node 00c0ffee, journal 0123456789abcdef";
        assert_eq!(read(name), Some(("00c0ffee, journal 0123456789abcdef", Format(12))));
        assert_eq!(read("maepyo"), None);
        assert_eq!(read("a, format x, node 1, journal 2"), None);
    }
}
