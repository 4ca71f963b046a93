//! The server functions of blueprints. The rule: seam first, answer last, nothing between.
#![expect(missing_docs, reason = "the fields that the macro makes are the arguments of the functions")]

#[cfg(feature = "ssr")]
use domain::provider::{ProviderStatus, ProviderView, ProvidersPage};
use domain::{blueprint::BlueprintView, valid::BlueprintName};
use leptos::{prelude::*, server_fn::codec::Json};

use super::{BlueprintForm, BlueprintPage};
use crate::Fault;
#[cfg(feature = "ssr")]
use crate::seam::seam;

/// Every blueprint in its newest version.
#[server(name = ListBlueprints, prefix = "/rpc", endpoint = "blueprints/list", input = Json)]
pub async fn list() -> Result<Vec<BlueprintView>, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.blueprints.list(&seam.who).await)
}

/// One blueprint with its versions and history; in the newest version unless one is named.
#[server(name = ShowBlueprint, prefix = "/rpc", endpoint = "blueprints/show", input = Json)]
pub async fn show(name: BlueprintName, version: Option<u32>) -> Result<BlueprintPage, Fault> {
    let seam = seam()?;
    let about = domain::list::Filter {
        subject: Some(name.to_string()),
        kind: Some("blueprint".to_owned()),
        ..Default::default()
    };
    let blueprint = seam.answer(seam.ports.blueprints.show(&seam.who, name, version).await)?;
    let history = seam.answer(seam.ports.audit.list(&seam.who, about).await)?.items;
    let ProvidersPage { accounts, kinds, .. } = seam.answer(seam.ports.providers.list(&seam.who).await)?;
    let fits = |account: &ProviderView| {
        let makes_stacks = kinds.iter().any(|kind| kind.kind == account.kind && kind.has_blueprints);
        makes_stacks && account.status == ProviderStatus::Connected
    };
    let account = accounts.into_iter().find(fits).map(|account| account.id);
    Ok(BlueprintPage { blueprint, account, history })
}

/// Stores a new version, or a new blueprint, and goes on to its page; form fields are `form[name]` and
/// so on.
#[server(name = SaveBlueprint, prefix = "/rpc", endpoint = "blueprints/save")]
pub async fn save(#[server(default)] form: BlueprintForm) -> Result<BlueprintView, Fault> {
    let seam = seam()?;
    let (name, wish) = seam.answer(form.read())?;
    let saved = seam.answer(seam.ports.blueprints.save(&seam.who, name, wish).await);
    let saved = saved.map_err(|fault| form.at_its_rows(fault))?;
    leptos_axum::redirect(&crate::routes::blueprint(&saved.name));
    Ok(saved)
}

/// Retires a blueprint and goes on to the others.
#[server(name = RetireBlueprint, prefix = "/rpc", endpoint = "blueprints/retire")]
pub async fn retire(name: BlueprintName) -> Result<(), Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.blueprints.retire(&seam.who, name).await)?;
    leptos_axum::redirect(crate::routes::BLUEPRINTS);
    Ok(())
}
