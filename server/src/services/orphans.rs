//! Differences between vendors and database.

use domain::{
    access::Principal,
    orphan::{OrphanReport, OrphanSweep},
};

use super::{Services, need_admin};
use crate::fault::Fault;

impl Services {
    /// What is known now.
    ///
    /// # Errors
    /// `forbidden` for everybody but administrators.
    pub async fn orphans(&self, who: &Principal) -> Result<OrphanReport, Fault> {
        need_admin(who)?;
        Err(Fault::not_found("report"))
    }

    /// What a sweep would take away.
    ///
    /// # Errors
    /// `forbidden` for everybody but administrators.
    pub async fn orphans_sweep_plan(&self, who: &Principal) -> Result<OrphanSweep, Fault> {
        need_admin(who)?;
        Err(Fault::not_found("report"))
    }

    /// Takes away what is due.
    ///
    /// # Errors
    /// `forbidden` for everybody but administrators.
    pub async fn orphans_sweep(&self, who: &Principal) -> Result<OrphanSweep, Fault> {
        need_admin(who)?;
        Err(Fault::not_found("report"))
    }
}
