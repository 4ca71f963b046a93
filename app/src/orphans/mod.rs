//! Orphans: what differs between vendors and database.

use domain::orphan::{OrphanReport, OrphanSweep};
use serde::{Deserialize, Serialize};

pub mod api;
mod page;

pub use page::OrphansPage;

/// What the page of the orphans shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrphansShown {
    /// What differs.
    pub report: OrphanReport,
    /// What a sweep would take away; only when it was asked for.
    pub dry: Option<OrphanSweep>,
}
