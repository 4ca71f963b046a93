//! DNS records.

use app::{
    ports::{Answer, DnsPort},
    ui::ActedView,
};
use async_trait::async_trait;
use domain::{
    access::Principal,
    dns::{DnsAccount, DnsRecordAccepted, DnsRecordCreate, DnsRecordPage, DnsRecordView},
    id::{DnsRecordId, ProviderId},
    list::{Filter, Listing},
};

use super::{Backend, acted, answer};

#[async_trait]
impl DnsPort for Backend {
    async fn list(&self, who: &Principal, filter: Filter) -> Answer<Listing<DnsRecordView>> {
        answer(self.services.dns_records(who, filter).await)
    }

    async fn show(&self, who: &Principal, id: DnsRecordId) -> Answer<DnsRecordPage> {
        answer(self.services.dns_record_page(who, &id).await)
    }

    async fn create(&self, who: &Principal, wish: DnsRecordCreate) -> Answer<DnsRecordAccepted> {
        answer(self.services.dns_record_create(who, wish, None).await)
    }

    async fn act(&self, who: &Principal, id: DnsRecordId, identity: String) -> Answer<ActedView> {
        acted(self.services.dns_record_act(who, &id, &identity).await)
    }

    async fn zones(&self, who: &Principal, provider: Option<ProviderId>) -> Answer<Vec<DnsAccount>> {
        answer(self.services.dns_accounts(who, provider.as_ref()).await)
    }
}
