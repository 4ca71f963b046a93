//! Where sessions are kept. The rule: saving is an update only, so that a request that ends after
//! a sign-out cannot bring the session back.

use std::{collections::HashMap, fmt, sync::Arc};

use async_trait::async_trait;
use domain::{
    id::UserId,
    time::{MINUTE, Timestamp},
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use store::{SessionRow, StoreError};
use time::OffsetDateTime;
use tokio::sync::broadcast;
use tower_sessions::{
    SessionStore,
    session::{Id, Record},
    session_store::{Error, Result},
};

use super::{UNTIL, USER};
use crate::{fault::Fault, http::auth::hex, services::Services};

/// A browser that has not signed in gets a session only for the way to the Forge and back.
const ANONYMOUS: i64 = 15 * MINUTE;

/// The sessions in the database.
#[derive(Clone)]
pub struct Sessions {
    services: Arc<Services>,
    ended: broadcast::Sender<String>,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions")
    }
}

/// What the database knows of an id.
pub fn id_hash(id: &Id) -> String {
    hex(&Sha256::digest(id.0.to_le_bytes()))
}

impl Sessions {
    /// The sessions of `services`' database.
    pub fn new(services: Arc<Services>) -> Self {
        Self { services, ended: broadcast::channel(256).0 }
    }

    /// Hears the hash of every session that ends in this process.
    pub fn ended(&self) -> broadcast::Receiver<String> {
        self.ended.subscribe()
    }

    /// Whether the session with this hash still stands.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn stands(&self, hash: &str) -> std::result::Result<bool, Fault> {
        let now = self.services.clock().now();
        Ok(self.services.store().read().await?.session_get(hash, now).await?.is_some())
    }

    fn row(&self, record: &Record) -> Result<SessionRow> {
        let now = self.services.clock().now();
        let user_id: Option<UserId> = match record.data.get(USER) {
            Some(value) => serde_json::from_value(value.clone()).map_err(|e| Error::Encode(e.to_string()))?,
            None => None,
        };
        let idle = millis(record.expiry_date - OffsetDateTime::now_utc());
        let until = record.data.get(UNTIL).and_then(Value::as_i64).unwrap_or(i64::MAX);
        let end = now.plus(if user_id.is_some() { idle } else { idle.min(ANONYMOUS) });
        Ok(SessionRow {
            id_hash: id_hash(&record.id),
            user_id,
            data: serde_json::to_string(&record.data).map_err(|e| Error::Encode(e.to_string()))?,
            expires_at: end.min(Timestamp::from_millis(until)),
        })
    }
}

fn millis(span: time::Duration) -> i64 {
    i64::try_from(span.whole_milliseconds()).unwrap_or(i64::MAX)
}

fn backend(error: impl fmt::Display) -> Error {
    Error::Backend(error.to_string())
}

#[async_trait]
impl SessionStore for Sessions {
    async fn create(&self, record: &mut Record) -> Result<()> {
        // The record may still carry an id from before; a session that begins gets its own.
        record.id = Id::default();
        let row = self.row(record)?;
        let inserted = self.services.store().write::<(), StoreError, _>(move |c| {
            let row = row.clone();
            Box::pin(async move { c.session_insert(&row).await })
        });
        inserted.await.map_err(backend)
    }

    async fn save(&self, record: &Record) -> Result<()> {
        let row = self.row(record)?;
        let updated = self.services.store().write::<bool, StoreError, _>(move |c| {
            let row = row.clone();
            Box::pin(async move { c.session_update(&row).await })
        });
        // No row: it was ended meanwhile, and stays so.
        updated.await.map(|_| ()).map_err(backend)
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let now = self.services.clock().now();
        let mut c = self.services.store().read().await.map_err(backend)?;
        let Some(row) = c.session_get(&id_hash(id), now).await.map_err(backend)? else { return Ok(None) };
        let data: HashMap<String, Value> = serde_json::from_str(&row.data).map_err(|e| Error::Decode(e.to_string()))?;
        let left = time::Duration::milliseconds(row.expires_at.since(now));
        Ok(Some(Record { id: *id, data, expiry_date: OffsetDateTime::now_utc().saturating_add(left) }))
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        let hash = id_hash(id);
        let gone = hash.clone();
        let deleted = self.services.store().write::<(), StoreError, _>(move |c| {
            let hash = hash.clone();
            Box::pin(async move {
                c.session_delete(&hash).await?;
                Ok(())
            })
        });
        deleted.await.map_err(backend)?;
        // Nobody listening is fine.
        let _ = self.ended.send(gone);
        Ok(())
    }
}
