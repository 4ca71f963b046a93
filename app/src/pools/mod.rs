//! Pools and their VMs.

use domain::{
    audit::AuditEntry,
    list::Listing,
    pool::{PoolView, PoolVmView},
};
use serde::{Deserialize, Serialize};

pub mod api;
mod detail;
mod form;
mod list;
mod template;

pub use detail::PoolDetailPage;
pub use form::PoolForm;
pub use list::PoolsListPage;

/// What the port knows of a pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolPage {
    /// The pool with its actions.
    pub pool: PoolView,
    /// One page of its VMs.
    pub vms: Listing<PoolVmView>,
}

/// What a pool's page shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolDetail {
    /// The pool with its actions.
    pub pool: PoolView,
    /// One page of its VMs.
    pub vms: Listing<PoolVmView>,
    /// What happened to it, newest first.
    pub history: Vec<AuditEntry>,
}
