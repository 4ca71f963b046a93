//! Live events, numbered. The rule: who has seen number n and asks for what comes after n misses
//! nothing, also when several processes write.

use domain::{audit::LiveEvent, id::UserId};

use crate::{Conn, StoreError, args::args, record::Record};

/// An event with its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Its number; they ascend, with gaps.
    pub seq: i64,
    /// What happened.
    pub event: LiveEvent,
    /// Who may hear of it besides administrators.
    pub user_id: Option<UserId>,
}

pub(crate) const COLUMNS: &[&str] = &["kind", "subject_id", "version", "user_id"];

const AFTER: &str = "SELECT seq, kind, subject_id, version, user_id FROM events WHERE seq > $1 ORDER BY seq LIMIT $2";
const LAST: &str = "SELECT CAST(COALESCE(MAX(seq), 0) AS BIGINT) AS seq FROM events";
const PURGE: &str = "DELETE FROM events WHERE seq <= (SELECT MAX(seq) FROM events) - $1";

fn row(record: &Record) -> Result<EventRow, StoreError> {
    Ok(EventRow {
        seq: record.int("seq")?,
        event: LiveEvent {
            kind: record.text("kind")?,
            id: record.text("subject_id")?,
            version: record.int("version")?,
        },
        user_id: record.opt_parse("user_id")?,
    })
}

impl Conn {
    /// Announces changes, each for administrators and for its user. They are numbered and written
    /// just before the commit.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] outside a write.
    pub async fn event_insert(&mut self, events: &[(LiveEvent, Option<UserId>)]) -> Result<(), StoreError> {
        self.may_change()?;
        for (event, user) in events {
            self.pending.event(args![&event.kind, &event.id, event.version, user]);
        }
        Ok(())
    }

    /// The first `limit` events after the number `seq`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events_after(&mut self, seq: i64, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        self.rows(AFTER, args![seq, limit]).await?.iter().map(row).collect()
    }

    /// The number of the newest event; 0 if there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events_last_seq(&mut self) -> Result<i64, StoreError> {
        self.row(LAST, Vec::new()).await?.map_or(Ok(0), |record| record.int("seq"))
    }

    /// Deletes all but about the newest `keep_last` events; answers how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events_purge(&mut self, keep_last: i64) -> Result<u64, StoreError> {
        self.change(PURGE, args![keep_last]).await
    }
}
