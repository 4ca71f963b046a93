//! The server functions of nodes. The rule: seam first, answer last, nothing between.
#![expect(missing_docs, reason = "the fields that the macro makes are the arguments of the functions")]

use domain::{
    id::{NodeId, ProviderId},
    list::{Filter, Listing},
    node::{AcquireOptions, NodeAccepted, NodeView},
};
use leptos::{prelude::*, server_fn::codec::Json};

use super::{AcquireForm, NodePage};
#[cfg(feature = "ssr")]
use crate::seam::seam;
use crate::{Fault, ui::ActedView};

/// One page of the nodes.
#[server(name = ListNodes, prefix = "/rpc", endpoint = "nodes/list", input = Json)]
pub async fn list(filter: Filter) -> Result<Listing<NodeView>, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.nodes.list(&seam.who, filter).await)
}

/// A node with its jobs and history.
#[server(name = ShowNode, prefix = "/rpc", endpoint = "nodes/show", input = Json)]
pub async fn show(id: NodeId) -> Result<NodePage, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.nodes.show(&seam.who, id).await)
}

/// What the acquire form offers.
#[server(name = ShowAcquireOptions, prefix = "/rpc", endpoint = "nodes/acquire_options", input = Json)]
pub async fn acquire_options(provider: Option<ProviderId>) -> Result<AcquireOptions, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.nodes.acquire_options(&seam.who, provider).await)
}

/// Acquires a node and goes on to its page; form fields are `form[name]` and so on.
#[server(name = AcquireNode, prefix = "/rpc", endpoint = "nodes/acquire")]
pub async fn acquire(form: AcquireForm) -> Result<NodeAccepted, Fault> {
    let seam = seam()?;
    let wish = seam.answer(form.read())?;
    let accepted = seam.answer(seam.ports.nodes.acquire(&seam.who, wish).await)?;
    leptos_axum::redirect(&crate::routes::node(&accepted.node_id));
    Ok(accepted)
}

/// Carries out an action by its identity.
#[server(name = ActOnNode, prefix = "/rpc", endpoint = "nodes/act")]
pub async fn act(id: NodeId, identity: String) -> Result<ActedView, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.nodes.act(&seam.who, id, identity).await)
}
