//! Idempotency keys. The rule: the answer is stored in the same transaction as what it answers
//! for, so that a repeat after a crash finds either both or neither.

use domain::code::Code;
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
        if row.body_hash == request.body_hash {
            Ok(Some(StoredAnswer { status: row.status, body: row.body }))
        } else {
            Err(Fault::new(Code::IdempotencyConflict, "This Idempotency-Key came earlier with another body."))
        }
    }
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
