//! Profiles of nodes.

use app::ports::{Answer, ProfilesPort};
use async_trait::async_trait;
use domain::{
    access::Principal,
    profile::{ProfileDefinition, ProfileView},
    valid::ProfileName,
};

use super::{Backend, answer};

#[async_trait]
impl ProfilesPort for Backend {
    async fn list(&self, who: &Principal) -> Answer<Vec<ProfileView>> {
        answer(self.services.profiles(who).await)
    }

    async fn show(&self, who: &Principal, name: ProfileName, version: Option<u32>) -> Answer<ProfileView> {
        answer(self.services.profile_show(who, &name, version).await)
    }

    async fn save(&self, who: &Principal, name: ProfileName, wish: ProfileDefinition) -> Answer<ProfileView> {
        answer(self.services.profile_save(who, &name, wish).await)
    }
}
