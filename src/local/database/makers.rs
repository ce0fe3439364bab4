//! Who makes snapshots: the id of this local state, and the hosts of the snapshots that it knows.

use anyhow::Result;
use rusqlite::{OptionalExtension, params};

use super::Database;
use crate::format::descriptor::Maker;
use crate::format::snapshot_name::SnapshotName;

impl Database {
    /// Returns the id of this local state; none before the first snapshot.
    pub fn state_id(&self) -> Result<Option<String>> {
        let sql = "SELECT id FROM state LIMIT 1";
        let found = self.connection.query_row(sql, [], |row| row.get(0));
        self.sql(found.optional())
    }

    /// Remembers who made a snapshot that this local state has made itself. The id of the local state never changes.
    pub fn set_maker(&self, name: &SnapshotName, maker: &Maker) -> Result<()> {
        if let Some(state) = &maker.state {
            let sql = "INSERT INTO state (id) SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM state)";
            self.sql(self.connection.execute(sql, params![state]))?;
        }
        self.set_host(name, maker.host.as_deref())
    }

    /// Remembers on which machine a snapshot was made.
    pub fn set_host(&self, name: &SnapshotName, host: Option<&str>) -> Result<()> {
        let sql = "UPDATE snapshot SET host = ?2 WHERE name = ?1";
        let row = params![name.to_string(), host];
        self.sql(self.connection.execute(sql, row)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_state_keeps_the_id_of_its_first_snapshot() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let database = Database::open(dir.path()).expect("opens");
        assert_eq!(database.state_id().expect("looks"), None);
        let name = SnapshotName::parse("a-20260101T000000").expect("a name");
        for id in ["first", "second"] {
            let maker = Maker {
                host: Some("desk".to_owned()),
                state: Some(id.to_owned()),
            };
            database.set_maker(&name, &maker).expect("is remembered");
            let id = database.state_id().expect("looks");
            assert_eq!(id.as_deref(), Some("first"));
        }
    }
}
