//! Values that the installation keeps about itself.

use std::sync::LazyLock;

use crate::{Conn, StoreError, args::args, sql::Statement};

const GET: &str = "SELECT value FROM settings WHERE key = $1";
const PUT_NEW: &str = "INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING";
const PUT: &str =
    "INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";

static LOCK: LazyLock<Statement> =
    LazyLock::new(|| Statement::new("SELECT {columns} FROM settings WHERE key = $1{lock}", "value"));

impl Conn {
    /// The value under `key`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn setting_get(&mut self, key: &str) -> Result<Option<String>, StoreError> {
        self.row(GET, args![key]).await?.map(|record| record.text("value")).transpose()
    }

    /// Stores `value` if there is none yet; answers what stands there now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn setting_put_new(&mut self, key: &str, value: &str) -> Result<String, StoreError> {
        self.change(PUT_NEW, args![key, value]).await?;
        Ok(self.setting_get(key).await?.unwrap_or_else(|| value.to_owned()))
    }

    /// Stores `value`, whatever stood there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn setting_put(&mut self, key: &str, value: &str) -> Result<(), StoreError> {
        self.change(PUT, args![key, value]).await.map(drop)
    }

    /// The value under `key`, held until the transaction ends: whoever decides by it decides one
    /// after the other. A key that is not there yet holds nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn setting_lock(&mut self, key: &str) -> Result<Option<String>, StoreError> {
        self.row(&LOCK, args![key]).await?.map(|record| record.text("value")).transpose()
    }
}
