//! Nodes.

use domain::{audit::AuditEntry, job::JobView, node::NodeView};
use serde::{Deserialize, Serialize};

mod acquire;
pub mod api;
mod choose;
mod detail;
mod form;
mod list;

pub use detail::NodeDetailPage;
pub use form::AcquireForm;
pub use list::NodesListPage;

/// What a node's page shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodePage {
    /// The node with its actions.
    pub node: NodeView,
    /// Its jobs with their steps, newest first.
    pub jobs: Vec<JobView>,
    /// What happened to it, newest first.
    pub history: Vec<AuditEntry>,
}
