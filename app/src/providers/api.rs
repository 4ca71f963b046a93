//! The server functions of provider accounts. The rule: seam first, answer last, nothing between.
#![expect(missing_docs, reason = "the fields that the macro makes are the arguments of the functions")]

use std::collections::BTreeMap;

#[cfg(feature = "ssr")]
use domain::provider::Capability;
use domain::{
    id::ProviderId,
    provider::{ProviderView, ProvidersPage},
};
use leptos::{prelude::*, server_fn::codec::Json};

use super::ProviderPage;
#[cfg(feature = "ssr")]
use crate::seam::seam;
use crate::{Fault, ui::ActedView};

/// The accounts and the kinds.
#[server(name = ListProviders, prefix = "/rpc", endpoint = "providers/list", input = Json)]
pub async fn list() -> Result<ProvidersPage, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.providers.list(&seam.who).await)
}

/// One account with its history, and what its secret is made of.
#[server(name = ShowProvider, prefix = "/rpc", endpoint = "providers/show", input = Json)]
pub async fn show(id: ProviderId) -> Result<ProviderPage, Fault> {
    let seam = seam()?;
    let provider = seam.answer(seam.ports.providers.show(&seam.who, id).await)?;
    let kinds = seam.answer(seam.ports.providers.list(&seam.who).await)?.kinds;
    let kind = kinds.into_iter().find(|kind| kind.kind == provider.kind);
    let zones = if provider.capabilities.contains(&Capability::Dns) {
        let accounts = seam.answer(seam.ports.dns.zones(&seam.who, Some(provider.id.clone())).await)?;
        accounts.into_iter().find(|account| account.provider_id == provider.id).map(|account| account.zones)
    } else {
        None
    };
    let filter = domain::list::Filter { subject: Some(provider.id.to_string()), ..Default::default() };
    let history = seam.answer(seam.ports.audit.list(&seam.who, filter).await)?.items;
    let (secret_schema, has_blueprints) =
        kind.map(|kind| (kind.secret_schema, kind.has_blueprints)).unwrap_or_default();
    Ok(ProviderPage { provider, secret_schema, has_blueprints, zones, history })
}

/// Connects an account; form fields are `kind`, `name`, `settings[key]` and `secret[key]`.
#[server(name = ConnectProvider, prefix = "/rpc", endpoint = "providers/connect")]
pub async fn connect(
    kind: String,
    #[server(default)] name: String,
    #[server(default)] settings: BTreeMap<String, String>,
    #[server(default)] secret: BTreeMap<String, String>,
) -> Result<ProviderView, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.providers.connect(&seam.who, kind, name, settings, secret).await)
}

/// Replaces an account's secret; form fields are `id` and `secret[key]`.
#[server(name = ReplaceSecret, prefix = "/rpc", endpoint = "providers/replace_secret")]
pub async fn replace_secret(
    id: ProviderId,
    #[server(default)] secret: BTreeMap<String, String>,
) -> Result<ProviderView, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.providers.replace_secret(&seam.who, id, secret).await)
}

/// Carries out an action by its identity. What was disconnected has no page any more.
#[server(name = ActOnProvider, prefix = "/rpc", endpoint = "providers/act")]
pub async fn act(id: ProviderId, identity: String) -> Result<ActedView, Fault> {
    let seam = seam()?;
    let gone = identity == "disconnect";
    let acted = seam.answer(seam.ports.providers.act(&seam.who, id, identity).await)?;
    if gone {
        leptos_axum::redirect(crate::routes::PROVIDERS);
    }
    Ok(acted)
}
