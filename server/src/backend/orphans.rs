//! Differences between vendors and database.

use app::ports::{Answer, OrphansPort};
use async_trait::async_trait;
use domain::{
    access::Principal,
    orphan::{OrphanReport, OrphanSweep},
};

use super::{Backend, answer};

#[async_trait]
impl OrphansPort for Backend {
    async fn report(&self, who: &Principal) -> Answer<OrphanReport> {
        answer(self.services.orphans(who).await)
    }

    async fn sweep_dry(&self, who: &Principal) -> Answer<OrphanSweep> {
        answer(self.services.orphans_sweep_plan(who).await)
    }

    async fn sweep(&self, who: &Principal) -> Answer<OrphanSweep> {
        answer(self.services.orphans_sweep(who).await)
    }
}
