//! Blueprints: what stacks are made from.

use domain::{audit::AuditEntry, blueprint::BlueprintView, id::ProviderId};
use serde::{Deserialize, Serialize};

pub mod api;
mod detail;
mod editor;
mod form;
mod list;
mod start;

pub use detail::BlueprintDetailPage;
pub use form::BlueprintForm;
pub use list::BlueprintsListPage;

/// What a blueprint's page shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlueprintPage {
    /// The blueprint in the version that was asked for, with its versions.
    pub blueprint: BlueprintView,
    /// A connected account that makes nodes from blueprints, if there is one.
    pub account: Option<ProviderId>,
    /// What happened to it, newest first.
    pub history: Vec<AuditEntry>,
}
