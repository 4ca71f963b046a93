//! Pools and their VMs.

use app::{
    pools::PoolPage,
    ports::{Answer, PoolsPort},
    ui::ActedView,
};
use async_trait::async_trait;
use domain::{
    access::Principal,
    list::{Filter, Listing},
    pool::{PoolCreate, PoolPatch, PoolView, PoolVmPatch, PoolVmView},
    valid::{PoolName, PoolVmId},
};
use serde_json::json;

use super::{Backend, acted, answer};

#[async_trait]
impl PoolsPort for Backend {
    async fn list(&self, who: &Principal, filter: Filter) -> Answer<Listing<PoolView>> {
        answer(self.services.pools_page(who, filter).await)
    }

    async fn show(&self, who: &Principal, name: PoolName, filter: Filter) -> Answer<PoolPage> {
        let pool = answer(self.services.pool_show(who, &name).await)?;
        Ok(PoolPage { pool, vms: answer(self.services.pool_vms(who, &name, filter).await)? })
    }

    async fn create(&self, who: &Principal, wish: PoolCreate) -> Answer<PoolView> {
        answer(self.services.pool_create(who, wish, None).await)
    }

    async fn update(&self, who: &Principal, name: PoolName, wish: PoolPatch) -> Answer<PoolView> {
        answer(self.services.pool_patch(who, &name, wish).await)
    }

    async fn act(&self, who: &Principal, name: PoolName, identity: String) -> Answer<ActedView> {
        acted(self.services.pool_act(who, &name, &identity, json!({})).await)
    }

    async fn vm_status(&self, who: &Principal, pool: PoolName, vm: PoolVmId, wish: PoolVmPatch) -> Answer<PoolVmView> {
        answer(self.services.pool_vm_patch(who, &pool, &vm, wish).await)
    }
}
