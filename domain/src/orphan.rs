//! Orphans: what the vendor has and Hangar does not know, and what Hangar records and the vendor
//! does not have. The rule: what is found is reported first; only what was seen for longer than the
//! grace period, carries this installation's labels, and belongs to no live node is taken away.

use serde::{Deserialize, Serialize};

use crate::{
    id::{DnsRecordId, JobId, NodeId, ProviderId},
    state::words,
    time::Timestamp,
};

words! {
    /// Where something is that the other side lacks.
    OrphanKind {
        /// At the vendor with our labels; no live node here answers for it. It bills.
        Unknown = "unknown",
        /// Recorded here; the vendor does not have it. Nothing bills.
        Gone = "gone",
    }
}

words! {
    /// What differs.
    OrphanSubject {
        /// A machine.
        Server = "server",
        /// A DNS record.
        DnsRecord = "dns_record",
    }
}

/// A difference between vendor and database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrphanView {
    /// On which side it is.
    pub kind: OrphanKind,
    /// What it is.
    pub subject: OrphanSubject,
    /// The account.
    pub provider_id: ProviderId,
    /// The account's name.
    pub provider_name: String,
    /// The vendor's id.
    pub infra_id: String,
    /// Its name at the vendor, or the node's.
    pub name: String,
    /// The node that its label names, or whose record it is.
    pub node_id: Option<NodeId>,
    /// The DNS record that its marker names, or which it is.
    #[serde(default)]
    pub record_id: Option<DnsRecordId>,
    /// Why it is taken for an orphan, in one sentence.
    pub reason: String,
    /// When it was first seen.
    pub first_seen_at: Timestamp,
    /// When it was last seen.
    pub last_seen_at: Timestamp,
    /// From when on a sweep takes it away; `None` for what only the record has.
    pub sweepable_at: Option<Timestamp>,
    /// What to do about it.
    pub guidance: String,
}

/// The differences that are known now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrphanReport {
    /// What differs, the longest known first.
    pub items: Vec<OrphanView>,
    /// When the accounts were last compared; the oldest of them.
    pub observed_at: Option<Timestamp>,
    /// For how long something must have been seen before it is taken away, in seconds.
    pub grace_seconds: i64,
    /// Accounts that could not be compared, with the reason.
    pub unknown: Vec<String>,
    /// Whether the caller may sweep and something is to be swept.
    pub can_sweep: bool,
}

/// What a sweep does, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrphanSweep {
    /// Whether nothing was begun.
    pub dry_run: bool,
    /// What is taken away.
    pub swept: Vec<OrphanView>,
    /// What is left alone, each with the reason.
    pub kept: Vec<OrphanView>,
    /// The jobs that take it away, one for each account.
    pub jobs: Vec<JobId>,
}
