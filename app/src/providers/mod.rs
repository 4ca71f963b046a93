//! Provider accounts.

use domain::{audit::AuditEntry, dns::DnsZoneView, provider::ProviderView};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub mod api;
mod connect;
mod detail;
mod domains;
mod list;
mod schema;

pub use detail::ProviderDetailPage;
pub use list::ProvidersListPage;

/// What an account's page shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProviderPage {
    /// The account with its actions.
    pub provider: ProviderView,
    /// JSON Schema of its kind's secret.
    pub secret_schema: Value,
    /// Whether it makes stacks, out of blueprints.
    pub has_blueprints: bool,
    /// Its zones, or why they are not known; `None` where its kind holds none.
    pub zones: Option<Result<Vec<DnsZoneView>, String>>,
    /// What happened to it, newest first.
    pub history: Vec<AuditEntry>,
}
