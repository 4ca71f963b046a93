//! Browser sessions. The rule: a session is changed only while it exists, so that a late request
//! cannot bring back one that was ended.

use domain::{id::UserId, time::Timestamp};

use crate::{Conn, StoreError, args::args, record::Record};

/// A session.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// SHA-256 of its id, in hex; the id itself is never stored.
    pub id_hash: String,
    /// Who is signed in by it.
    pub user_id: Option<UserId>,
    /// What it holds, as the caller writes it.
    pub data: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for SessionRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionRow").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

const INSERT: &str = "INSERT INTO sessions (id_hash, user_id, data, expires_at) VALUES ($1, $2, $3, $4)";
const GET: &str = "SELECT id_hash, user_id, data, expires_at FROM sessions WHERE id_hash = $1 AND expires_at > $2";
const UPDATE: &str = "UPDATE sessions SET user_id = $2, data = $3, expires_at = $4 WHERE id_hash = $1";
const DELETE: &str = "DELETE FROM sessions WHERE id_hash = $1";
const DELETE_OF: &str = "DELETE FROM sessions WHERE user_id = $1";
const PURGE: &str = "DELETE FROM sessions WHERE expires_at <= $1";

fn row(record: &Record) -> Result<SessionRow, StoreError> {
    Ok(SessionRow {
        id_hash: record.text("id_hash")?,
        user_id: record.opt_parse("user_id")?,
        data: record.text("data")?,
        expires_at: record.time("expires_at")?,
    })
}

impl Conn {
    /// Adds a session.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the id is taken.
    pub async fn session_insert(&mut self, session: &SessionRow) -> Result<(), StoreError> {
        let args = args![&session.id_hash, &session.user_id, &session.data, session.expires_at];
        self.change(INSERT, args).await.map(drop)
    }

    /// The session, unless it has ended by `now`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn session_get(&mut self, id_hash: &str, now: Timestamp) -> Result<Option<SessionRow>, StoreError> {
        self.row(GET, args![id_hash, now]).await?.as_ref().map(row).transpose()
    }

    /// Changes the session if it still exists; answers whether it does.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn session_update(&mut self, session: &SessionRow) -> Result<bool, StoreError> {
        self.change_one(UPDATE, args![&session.id_hash, &session.user_id, &session.data, session.expires_at]).await
    }

    /// Ends a session; answers whether there was one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn session_delete(&mut self, id_hash: &str) -> Result<bool, StoreError> {
        self.change_one(DELETE, args![id_hash]).await
    }

    /// Ends every session of a person; answers how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sessions_delete_of(&mut self, user: &UserId) -> Result<u64, StoreError> {
        self.change(DELETE_OF, args![user]).await
    }

    /// Deletes the sessions that have ended; answers how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sessions_purge(&mut self, now: Timestamp) -> Result<u64, StoreError> {
        self.change(PURGE, args![now]).await
    }
}
