//! Idempotency keys. The rule: the answer is stored in the same transaction as what it answers
//! for, so that a repeat after a crash finds either both or neither.

use domain::{access::Principal, code::Code, id::ProviderId};
use serde::Serialize;
use store::{Conn, StoreError};

use super::Services;
use crate::fault::Fault;

/// A create that a caller named with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotent {
    /// Who asks.
    pub principal: String,
    /// On which route.
    pub route: String,
    /// Under which key.
    pub key: String,
    /// SHA-256 of the request body, in hex.
    pub body_hash: String,
}

/// An answer that was given before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// Its HTTP status.
    pub status: u16,
    /// Its JSON body.
    pub body: String,
}

impl Services {
    /// The answer that was given to the same request before.
    ///
    /// # Errors
    /// `idempotency_conflict` if the key was used with another body.
    pub async fn idempotency_find(&self, request: &Idempotent) -> Result<Option<StoredAnswer>, Fault> {
        let mut c = self.store.read().await?;
        let Some(row) = c.idempotency_get(&request.principal, &request.route, &request.key).await? else {
            return Ok(None);
        };
        drop(c);
        if row.body_hash != request.body_hash {
            return Err(Fault::new(Code::IdempotencyConflict, "This Idempotency-Key came earlier with another body."));
        }
        let body = match begun(&row.body) {
            None => row.body,
            // The process ended between the account's row and its first check: the account as it
            // stands now is the answer.
            Some(id) => {
                let view = self.provider_show(&Principal::system(), &id).await?;
                serde_json::to_string(&view).map_err(|e| Fault::internal(&e))?
            }
        };
        Ok(Some(StoredAnswer { status: row.status, body }))
    }

    /// Puts the full answer in the place of the one that was begun with the row.
    pub(super) async fn idempotency_complete(&self, request: &Idempotent, body: &impl Serialize) -> Result<(), Fault> {
        let body = serde_json::to_string(body).map_err(|e| Fault::internal(&e))?;
        let request = request.clone();
        self.write::<(), Fault, _>(move |c| {
            let (request, body) = (request.clone(), body.clone());
            Box::pin(async move {
                c.idempotency_body_set(&request.principal, &request.route, &request.key, &body).await?;
                Ok(())
            })
        })
        .await
    }
}

/// What stands for the answer until it is complete: the account that was made.
pub(super) fn begun_with(id: &ProviderId) -> serde_json::Value {
    serde_json::json!({ "ref": id })
}

fn begun(body: &str) -> Option<ProviderId> {
    let value: serde_json::Value = serde_json::from_str(body).ok()?;
    value.get("ref")?.as_str()?.parse().ok()
}

/// Stores the answer of a create within its transaction. When the same key is stored meanwhile,
/// the transaction fails and the caller's repeat finds the other's answer.
pub(super) async fn store_in(
    c: &mut Conn,
    request: Option<&Idempotent>,
    status: u16,
    body: &impl Serialize,
    now: domain::time::Timestamp,
) -> Result<(), Fault> {
    let Some(request) = request else { return Ok(()) };
    let body = serde_json::to_string(body).map_err(|e| Fault::internal(&e))?;
    match c
        .idempotency_put(&request.principal, &request.route, &request.key, &request.body_hash, status, &body, now)
        .await
    {
        Ok(()) => Ok(()),
        Err(StoreError::Conflict { .. }) => Err(Fault {
            retry_after_s: Some(1),
            ..Fault::new(
                Code::ConflictState,
                "A request with the same Idempotency-Key was just carried out; repeat it to get its answer.",
            )
        }),
        Err(error) => Err(error.into()),
    }
}
