//! One's own services, and the allocations of everybody.

use app::{
    ports::{AllocationsPort, Answer, ServicesPort},
    ui::ActedView,
};
use async_trait::async_trait;
use domain::{
    access::Principal,
    allocation::{AllocationCreate, AllocationExtend, AllocationView},
    id::AllocationId,
    list::{Filter, Listing},
    user::{Dashboard, ServicePage},
};
use serde_json::json;

use super::{Backend, acted, answer};

#[async_trait]
impl ServicesPort for Backend {
    async fn dashboard(&self, who: &Principal) -> Answer<Dashboard> {
        answer(self.services.dashboard(who).await)
    }

    async fn show(&self, who: &Principal, id: AllocationId) -> Answer<ServicePage> {
        answer(self.services.service_page(who, &id).await)
    }

    async fn request(&self, who: &Principal, wish: AllocationCreate) -> Answer<AllocationView> {
        answer(self.services.allocation_create(who, wish, None).await)
    }

    async fn release(&self, who: &Principal, id: AllocationId) -> Answer<AllocationView> {
        answer(self.services.allocation_release(who, &id).await)
    }

    async fn extend(&self, who: &Principal, id: AllocationId, wish: AllocationExtend) -> Answer<AllocationView> {
        answer(self.services.allocation_extend(who, &id, wish).await)
    }
}

#[async_trait]
impl AllocationsPort for Backend {
    async fn list(&self, who: &Principal, filter: Filter) -> Answer<Listing<AllocationView>> {
        answer(self.services.allocations_page(who, filter).await)
    }

    async fn act(&self, who: &Principal, id: AllocationId, identity: String) -> Answer<ActedView> {
        acted(self.services.allocation_act(who, &id, &identity, json!({})).await)
    }
}
