//! Answers kept for callers who repeat a request under the same key.

use domain::time::Timestamp;

use crate::{Conn, StoreError, args::args};

/// A kept answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyRow {
    /// The hash of the request's body.
    pub body_hash: String,
    /// The HTTP status that was answered.
    pub status: u16,
    /// The body that was answered.
    pub body: String,
    /// When.
    pub created_at: Timestamp,
}

const GET: &str = "SELECT body_hash, status, body, created_at FROM idempotency \
    WHERE principal = $1 AND route = $2 AND key = $3";
const PUT: &str = "INSERT INTO idempotency (principal, route, key, body_hash, status, body, created_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7)";
const BODY: &str = "UPDATE idempotency SET body = $4 WHERE principal = $1 AND route = $2 AND key = $3";
const PURGE: &str = "DELETE FROM idempotency WHERE created_at < $1";

impl Conn {
    /// The answer kept for `principal` on `route` under `key`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn idempotency_get(
        &mut self,
        principal: &str,
        route: &str,
        key: &str,
    ) -> Result<Option<IdempotencyRow>, StoreError> {
        let Some(record) = self.row(GET, args![principal, route, key]).await? else { return Ok(None) };
        Ok(Some(IdempotencyRow {
            body_hash: record.text("body_hash")?,
            status: record.number("status")?,
            body: record.text("body")?,
            created_at: record.time("created_at")?,
        }))
    }

    /// Keeps an answer.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] of [`constraint::IDEMPOTENCY`](crate::constraint::IDEMPOTENCY) if one
    /// is kept already; then the operation must end with an error.
    #[expect(clippy::too_many_arguments, reason = "they are the columns, each of its own meaning")]
    pub async fn idempotency_put(
        &mut self,
        principal: &str,
        route: &str,
        key: &str,
        body_hash: &str,
        status: u16,
        body: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.change(PUT, args![principal, route, key, body_hash, u32::from(status), body, now]).await.map(drop)
    }

    /// Puts the full answer in the place of one that was only begun; answers whether there was one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn idempotency_body_set(
        &mut self,
        principal: &str,
        route: &str,
        key: &str,
        body: &str,
    ) -> Result<bool, StoreError> {
        self.change_one(BODY, args![principal, route, key, body]).await
    }

    /// Forgets answers given before `before`; answers how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn idempotency_purge(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        self.change(PURGE, args![before]).await
    }
}
