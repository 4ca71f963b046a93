//! Nodes.

use domain::{
    audit::AuditEntry, dns::DnsRecordView, id::ProviderId, job::JobView, list::Listing, node::NodeView,
    provider::Catalog,
};
use serde::{Deserialize, Serialize};

use crate::ui::Lists;

mod acquire;
pub mod api;
mod choose;
mod detail;
mod drift;
mod exec;
mod facts;
mod form;
mod list;
mod machine;
mod naming;
mod records;
mod services;
mod stack;
mod upgrade;
mod usage;

pub use acquire::{Asked, Choosing, Fields, Template, fields};
pub use detail::NodeDetailPage;
pub use exec::ExecForm;
pub use form::AcquireForm;
pub use list::NodesListPage;
pub use upgrade::UpgradeForm;

/// What the port knows of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodePage {
    /// The node with its actions.
    pub node: NodeView,
    /// Its jobs with their steps, newest first.
    pub jobs: Vec<JobView>,
    /// What happened to it, newest first.
    pub history: Vec<AuditEntry>,
}

/// What a node's page shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeDetail {
    /// The node with its actions.
    pub node: NodeView,
    /// Its jobs with their steps, newest first.
    pub jobs: Vec<JobView>,
    /// What happened to it, newest first.
    pub history: Vec<AuditEntry>,
    /// The DNS records that name it.
    pub records: Vec<DnsRecordView>,
    /// What it could become, or why that is not known; only when it was asked for.
    pub offers: Option<Result<Catalog, String>>,
}

/// What the page of the nodes shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodesPage {
    /// One page of the nodes.
    pub nodes: Listing<NodeView>,
    /// The accounts to choose from, with their names.
    pub accounts: Vec<(ProviderId, String)>,
}

impl Lists for NodesPage {
    type Item = NodeView;

    fn into_listing(self) -> Listing<NodeView> {
        self.nodes
    }
}
