//! Failed sign-ins, counted here so that the limit holds over restarts and processes.

use domain::time::Timestamp;

use crate::{Conn, StoreError, args::args};

const ADD: &str = "INSERT INTO login_failures (key, at) VALUES ($1, $2)";
const SINCE: &str = "SELECT CAST(COUNT(*) AS BIGINT) AS n FROM login_failures WHERE key = $1 AND at >= $2";
const CLEAR: &str = "DELETE FROM login_failures WHERE key = $1";
const PURGE: &str = "DELETE FROM login_failures WHERE at < $1";

impl Conn {
    /// Notes a failure of `key`, such as an address.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn login_failure_add(&mut self, key: &str, now: Timestamp) -> Result<(), StoreError> {
        self.change(ADD, args![key, now]).await.map(drop)
    }

    /// How many failures of `key` there were since `since`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn login_failures_since(&mut self, key: &str, since: Timestamp) -> Result<u32, StoreError> {
        self.count(SINCE, args![key, since]).await
    }

    /// Forgets the failures of `key`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn login_failures_clear(&mut self, key: &str) -> Result<(), StoreError> {
        self.change(CLEAR, args![key]).await.map(drop)
    }

    /// Forgets failures before `before`; answers how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn login_failures_purge(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        self.change(PURGE, args![before]).await
    }
}
