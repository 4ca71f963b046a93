//! The audit trail: one line for everything that was asked or happened. It is also the history of
//! each thing and the stream of live updates, so that the three can never tell different stories.

use serde::{Deserialize, Serialize};

use crate::{code::Code, id::AuditId, job::Subject, state::words, time::Timestamp};

words! {
    /// How it went.
    Outcome {
        /// It was done or begun.
        Ok = "ok",
        /// It was not allowed or a gate held it back.
        Refused = "refused",
        /// It went wrong.
        Failed = "failed",
    }
}

/// One line of the trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditEntry {
    /// Its id; the order of ids is the order of events.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// Who: a user id, or `system`.
    pub actor: String,
    /// What people call them.
    pub actor_name: Option<String>,
    /// What, such as `node.acquire` or `destroy-node`.
    pub action: String,
    /// To what.
    pub subject: Subject,
    /// How it went.
    pub outcome: Outcome,
    /// The code, if it did not go well.
    pub code: Option<Code>,
    /// More in one sentence.
    pub detail: Option<String>,
}

/// A live update: something of this kind and id has a new version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LiveEvent {
    /// `node`, `job`, `allocation`, `provider`, `pool`, `user`, `orphan` (of the account `id`), `setting`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: i64,
}
