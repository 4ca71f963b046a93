//! People, and the shapes of the pages that are theirs.

use serde::{Deserialize, Serialize};

use crate::{
    access::{Role, UserStatus},
    allocation::AllocationView,
    audit::AuditEntry,
    id::UserId,
    time::Timestamp,
    valid::PoolName,
};

/// A person as the API and the pages show them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UserView {
    /// Their id.
    pub id: UserId,
    /// The Forge's id of them.
    pub forge_id: Option<String>,
    /// Their login at the Forge.
    pub forge_login: Option<String>,
    /// What people call them.
    pub display_name: String,
    /// What they are here.
    pub role: Role,
    /// Whether they may ask for services.
    pub status: UserStatus,
    /// How many services they may hold at once.
    pub max_active: u32,
    /// When they were here last.
    pub last_seen_at: Option<Timestamp>,
    /// When they came first.
    pub created_at: Timestamp,
    /// Counts every change.
    pub version: i64,
}

/// The request to change a person. What is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UserPatch {
    /// The role.
    #[serde(default)]
    pub role: Option<Role>,
    /// The standing.
    #[serde(default)]
    pub status: Option<UserStatus>,
    /// The quota.
    #[serde(default)]
    pub max_active: Option<u32>,
}

/// What every page's frame needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Who is signed in.
    pub me: Option<FrameUser>,
    /// Whether the demo runs.
    pub demo: bool,
    /// Whether one can sign in by Forge.
    pub forge: bool,
    /// Whether one can sign in by the admin secret.
    pub secret_login: bool,
    /// The version of Hangar.
    pub version: String,
}

/// The signed-in person, as the frame shows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameUser {
    /// Their id.
    pub id: UserId,
    /// What people call them.
    pub display_name: String,
    /// What they are here.
    pub role: Role,
    /// Whether they may ask for services.
    pub status: UserStatus,
}

/// What the dashboard shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dashboard {
    /// The open services: waiting, active, and those being released.
    pub active: Vec<AllocationView>,
    /// The newest ones that are over.
    pub past: Vec<AllocationView>,
    /// From which pools one can ask.
    pub pools: Vec<PoolChoice>,
    /// How many services one may hold at once; `None` for administrators.
    pub max_active: Option<u32>,
    /// Why one cannot ask for a service now, if so.
    pub blocked: Option<String>,
}

/// A pool one can ask a service from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolChoice {
    /// Its name.
    pub name: PoolName,
    /// How many machines are free now.
    pub available: u32,
    /// How many requests wait.
    pub waiting: u32,
    /// The longest time in hours.
    pub max_duration_hours: u32,
}

/// What a service's page shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePage {
    /// The service.
    pub allocation: AllocationView,
    /// What happened to it, newest first.
    pub history: Vec<AuditEntry>,
}

/// What the account page shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountPage {
    /// The person.
    pub user: UserView,
    /// Their ways in.
    pub identities: Vec<Identity>,
}

/// One way in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The Forge's address.
    pub forge: String,
    /// The login there.
    pub login: String,
    /// Since when it is linked.
    pub linked_at: Timestamp,
}
