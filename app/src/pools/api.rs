//! The server functions of pools. The rule: seam first, answer last, nothing between.
#![expect(missing_docs, reason = "the fields that the macro makes are the arguments of the functions")]

use domain::{
    list::{Filter, Listing},
    pool::{PoolView, PoolVmStatus, PoolVmView},
    valid::{PoolName, PoolVmId},
};
use leptos::{prelude::*, server_fn::codec::Json};

use super::{PoolForm, PoolPage};
use crate::Fault;
#[cfg(feature = "ssr")]
use crate::seam::seam;

/// One page of the pools.
#[server(name = ListPools, prefix = "/rpc", endpoint = "pools/list", input = Json)]
pub async fn list(filter: Filter) -> Result<Listing<PoolView>, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.pools.list(&seam.who, filter).await)
}

/// A pool and one page of its VMs.
#[server(name = ShowPool, prefix = "/rpc", endpoint = "pools/show", input = Json)]
pub async fn show(name: PoolName, filter: Filter) -> Result<PoolPage, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.pools.show(&seam.who, name, filter).await)
}

/// Makes a pool; form fields are `form[name]` and so on.
#[server(name = CreatePool, prefix = "/rpc", endpoint = "pools/create")]
pub async fn create(form: PoolForm) -> Result<PoolView, Fault> {
    let seam = seam()?;
    let wish = seam.answer(form.read())?;
    seam.answer(seam.ports.pools.create(&seam.who, wish).await)
}

/// Sets the status of a pool VM.
#[server(name = SetVmStatus, prefix = "/rpc", endpoint = "pools/vm_status")]
pub async fn vm_status(pool: PoolName, vm: PoolVmId, status: PoolVmStatus) -> Result<PoolVmView, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.pools.vm_status(&seam.who, pool, vm, domain::pool::PoolVmPatch { status }).await)
}
