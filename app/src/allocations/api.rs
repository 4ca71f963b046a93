//! The server functions of allocations. The rule: seam first, answer last, nothing between.
#![expect(missing_docs, reason = "the fields that the macro makes are the arguments of the functions")]

use domain::{
    allocation::AllocationView,
    id::AllocationId,
    list::{Filter, Listing},
};
use leptos::{prelude::*, server_fn::codec::Json};

#[cfg(feature = "ssr")]
use crate::seam::seam;
use crate::{Fault, ui::ActedView};

/// One page of the allocations.
#[server(name = ListAllocations, prefix = "/rpc", endpoint = "allocations/list", input = Json)]
pub async fn list(filter: Filter) -> Result<Listing<AllocationView>, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.allocations.list(&seam.who, filter).await)
}

/// Carries out an action by its identity.
#[server(name = ActOnAllocation, prefix = "/rpc", endpoint = "allocations/act")]
pub async fn act(id: AllocationId, identity: String) -> Result<ActedView, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.allocations.act(&seam.who, id, identity).await)
}
