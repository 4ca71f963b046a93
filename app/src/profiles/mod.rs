//! Profiles: how Hangar prepares and checks a machine.

use domain::{audit::AuditEntry, profile::ProfileView};
use serde::{Deserialize, Serialize};

pub mod api;
mod detail;
mod editor;
mod form;
mod list;

pub use detail::ProfileDetailPage;
pub use form::ProfileForm;
pub use list::ProfilesListPage;

/// What a profile's page shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProfilePage {
    /// The profile in the version that was asked for, with its versions.
    pub profile: ProfileView,
    /// What happened to it, newest first.
    pub history: Vec<AuditEntry>,
}
