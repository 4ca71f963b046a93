//! The server functions of DNS records. The rule: seam first, answer last, nothing between.
#![expect(missing_docs, reason = "the fields that the macro makes are the arguments of the functions")]

#[cfg(feature = "ssr")]
use domain::provider::Capability;
use domain::{
    dns::{DnsAccount, DnsRecordAccepted, DnsRecordPage},
    id::{DnsRecordId, ProviderId},
    list::Filter,
};
use leptos::{prelude::*, server_fn::codec::Json};

use super::{DnsPage, RecordForm};
#[cfg(feature = "ssr")]
use crate::seam::seam;
use crate::{Fault, ui::ActedView};

/// One page of the records, and the accounts to narrow it by.
#[server(name = ListDnsRecords, prefix = "/rpc", endpoint = "dns/list", input = Json)]
pub async fn list(filter: Filter) -> Result<DnsPage, Fault> {
    let seam = seam()?;
    let records = seam.answer(seam.ports.dns.list(&seam.who, filter).await)?;
    let accounts = seam.answer(seam.ports.providers.list(&seam.who).await)?.accounts;
    let accounts = accounts.into_iter().filter(|account| account.capabilities.contains(&Capability::Dns));
    Ok(DnsPage { records, accounts: accounts.map(|account| (account.id, account.name)).collect() })
}

/// A record with its jobs and history.
#[server(name = ShowDnsRecord, prefix = "/rpc", endpoint = "dns/show", input = Json)]
pub async fn show(id: DnsRecordId) -> Result<DnsRecordPage, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.dns.show(&seam.who, id).await)
}

/// The accounts that hold zones, with those.
#[server(name = ListZones, prefix = "/rpc", endpoint = "dns/zones", input = Json)]
pub async fn zones(provider: Option<ProviderId>) -> Result<Vec<DnsAccount>, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.dns.zones(&seam.who, provider).await)
}

/// Makes a record and goes on to its page; form fields are `form[zone]`, `form[name]` and so on.
#[server(name = CreateDnsRecord, prefix = "/rpc", endpoint = "dns/create")]
pub async fn create(#[server(default)] form: RecordForm) -> Result<DnsRecordAccepted, Fault> {
    let seam = seam()?;
    let wish = seam.answer(form.read())?;
    let accepted = seam.answer(seam.ports.dns.create(&seam.who, wish).await)?;
    leptos_axum::redirect(&crate::routes::dns_record(&accepted.record_id));
    Ok(accepted)
}

/// Carries out an action by its identity.
#[server(name = ActOnDnsRecord, prefix = "/rpc", endpoint = "dns/act")]
pub async fn act(id: DnsRecordId, identity: String) -> Result<ActedView, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.dns.act(&seam.who, id, identity).await)
}
