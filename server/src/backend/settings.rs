//! What administrators set for the whole installation.

use app::ports::{Answer, SettingsPort};
use async_trait::async_trait;
use domain::{
    access::Principal,
    spending::{AcquisitionPolicy, AcquisitionView},
};

use super::{Backend, answer};

#[async_trait]
impl SettingsPort for Backend {
    async fn acquisition(&self, who: &Principal) -> Answer<AcquisitionView> {
        answer(self.services.acquisition(who).await)
    }

    async fn acquisition_set(&self, who: &Principal, wish: AcquisitionPolicy) -> Answer<AcquisitionView> {
        answer(self.services.acquisition_set(who, wish).await)
    }
}
