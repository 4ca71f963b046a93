//! The server functions of pools. The rule: seam first, answer last, nothing between.
#![expect(missing_docs, reason = "the fields that the macro makes are the arguments of the functions")]

use domain::{
    list::{Filter, Listing},
    pool::{PoolView, PoolVmStatus, PoolVmView},
    valid::{PoolName, PoolVmId},
};
use leptos::{prelude::*, server_fn::codec::Json};

#[cfg(feature = "ssr")]
use domain::pool::PoolPatch;

#[cfg(feature = "ssr")]
use super::PoolPage;
use super::{PoolDetail, PoolForm};
#[cfg(feature = "ssr")]
use crate::seam::seam;
use crate::{Fault, nodes::AcquireForm, ui::ActedView};

/// One page of the pools.
#[server(name = ListPools, prefix = "/rpc", endpoint = "pools/list", input = Json)]
pub async fn list(filter: Filter) -> Result<Listing<PoolView>, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.pools.list(&seam.who, filter).await)
}

/// A pool and one page of its VMs.
#[server(name = ShowPool, prefix = "/rpc", endpoint = "pools/show", input = Json)]
pub async fn show(name: PoolName, filter: Filter) -> Result<PoolDetail, Fault> {
    let seam = seam()?;
    let about = Filter { subject: Some(name.to_string()), kind: Some("pool".to_owned()), ..Filter::default() };
    let PoolPage { pool, vms } = seam.answer(seam.ports.pools.show(&seam.who, name, filter).await)?;
    let history = seam.answer(seam.ports.audit.list(&seam.who, about).await)?.items;
    Ok(PoolDetail { pool, vms, history })
}

/// Makes a pool and goes on to its page; form fields are `form[name]` and so on.
#[server(name = CreatePool, prefix = "/rpc", endpoint = "pools/create")]
pub async fn create(form: PoolForm) -> Result<PoolView, Fault> {
    let seam = seam()?;
    let wish = seam.answer(form.read())?;
    let pool = seam.answer(seam.ports.pools.create(&seam.who, wish).await)?;
    leptos_axum::redirect(&crate::routes::pool(&pool.name));
    Ok(pool)
}

/// Changes a pool; an emptied target or limit is taken away. Form fields are `name`, `form[target_ready]` and so on.
#[server(name = UpdatePool, prefix = "/rpc", endpoint = "pools/update")]
pub async fn update(name: PoolName, form: PoolForm) -> Result<PoolView, Fault> {
    let seam = seam()?;
    let wish = seam.answer(form.read_change())?;
    seam.answer(seam.ports.pools.update(&seam.who, name, wish).await)
}

/// Changes a pool's template, or takes it away when no account is chosen; form fields are `pool` and
/// those of the form that acquires a node.
#[server(name = SetPoolTemplate, prefix = "/rpc", endpoint = "pools/template")]
pub async fn template(pool: PoolName, #[server(default)] form: AcquireForm) -> Result<PoolView, Fault> {
    let seam = seam()?;
    let before = seam.answer(seam.ports.pools.show(&seam.who, pool.clone(), Filter::default()).await)?.pool.template;
    let template = Some(seam.answer(form.read_template(before))?);
    let wish = PoolPatch { template, ..PoolPatch::default() };
    let changed = seam.answer(seam.ports.pools.update(&seam.who, pool.clone(), wish).await).map_err(of_form)?;
    leptos_axum::redirect(&crate::routes::pool(&pool));
    Ok(changed)
}

/// A template's fields stand in a form of their own.
#[cfg(feature = "ssr")]
fn of_form(fault: Fault) -> Fault {
    let own = |pointer: &str| pointer.strip_prefix("/template").filter(|own| !own.is_empty()).map(ToOwned::to_owned);
    fault.pointing(|pointer| own(pointer).unwrap_or_else(|| pointer.to_owned()))
}

/// Carries out an action by its identity; `id` is the pool's name. What was deleted has no page any
/// more.
#[server(name = ActOnPool, prefix = "/rpc", endpoint = "pools/act")]
pub async fn act(id: PoolName, identity: String) -> Result<ActedView, Fault> {
    let seam = seam()?;
    let gone = identity == "delete-pool";
    let acted = seam.answer(seam.ports.pools.act(&seam.who, id, identity).await)?;
    if gone {
        leptos_axum::redirect(crate::routes::POOLS);
    }
    Ok(acted)
}

/// Sets the status of a pool VM.
#[server(name = SetVmStatus, prefix = "/rpc", endpoint = "pools/vm_status")]
pub async fn vm_status(pool: PoolName, vm: PoolVmId, status: PoolVmStatus) -> Result<PoolVmView, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.pools.vm_status(&seam.who, pool, vm, domain::pool::PoolVmPatch { status }).await)
}
