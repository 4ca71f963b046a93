//! Blueprints of stacks, and backups.

use app::ports::{Answer, BackupsPort, BlueprintsPort};
use async_trait::async_trait;
use domain::{
    access::Principal,
    blueprint::{BackupView, BlueprintDefinition, BlueprintView},
    id::BackupId,
    list::{Filter, Listing},
    valid::BlueprintName,
};

use super::{Backend, answer};

#[async_trait]
impl BlueprintsPort for Backend {
    async fn list(&self, who: &Principal) -> Answer<Vec<BlueprintView>> {
        answer(self.services.blueprints(who).await)
    }

    async fn show(&self, who: &Principal, name: BlueprintName, version: Option<u32>) -> Answer<BlueprintView> {
        answer(self.services.blueprint_show(who, &name, version).await)
    }

    async fn save(&self, who: &Principal, name: BlueprintName, wish: BlueprintDefinition) -> Answer<BlueprintView> {
        answer(self.services.blueprint_save(who, &name, wish).await)
    }

    async fn retire(&self, who: &Principal, name: BlueprintName) -> Answer<()> {
        answer(self.services.blueprint_retire(who, &name).await)
    }
}

#[async_trait]
impl BackupsPort for Backend {
    async fn list(&self, who: &Principal, filter: Filter) -> Answer<Listing<BackupView>> {
        answer(self.services.backups_page(who, filter).await)
    }

    async fn delete(&self, who: &Principal, id: BackupId, missing: bool) -> Answer<()> {
        answer(self.services.backup_delete(who, &id, missing).await)
    }
}
