//! The server functions of nodes. The rule: seam first, answer last, nothing between.
#![expect(missing_docs, reason = "the fields that the macro makes are the arguments of the functions")]

#[cfg(feature = "ssr")]
use domain::node::NodeDestroy;
use domain::{
    id::{NodeId, ProviderId},
    list::Filter,
    node::{AcquireOptions, NodeAccepted},
};
use leptos::{prelude::*, server_fn::codec::Json};

#[cfg(feature = "ssr")]
use super::NodePage;
use super::{AcquireForm, ExecForm, NodeDetail, NodesPage, UpgradeForm};
#[cfg(feature = "ssr")]
use crate::seam::seam;
use crate::{Fault, ui::ActedView};

/// One page of the nodes, and the accounts to narrow it by.
#[server(name = ListNodes, prefix = "/rpc", endpoint = "nodes/list", input = Json)]
pub async fn list(filter: Filter) -> Result<NodesPage, Fault> {
    let seam = seam()?;
    let nodes = seam.answer(seam.ports.nodes.list(&seam.who, filter).await)?;
    let accounts = seam.answer(seam.ports.providers.list(&seam.who).await)?.accounts;
    Ok(NodesPage { nodes, accounts: accounts.into_iter().map(|account| (account.id, account.name)).collect() })
}

/// A node with its jobs and history; with `offers` also what it could become.
#[server(name = ShowNode, prefix = "/rpc", endpoint = "nodes/show", input = Json)]
pub async fn show(id: NodeId, #[server(default)] offers: bool) -> Result<NodeDetail, Fault> {
    let seam = seam()?;
    let NodePage { node, jobs, history } = seam.answer(seam.ports.nodes.show(&seam.who, id).await)?;
    let own = super::records::of_node(&node.id);
    let records = seam.answer(seam.ports.dns.list(&seam.who, own).await)?.items;
    let offers = if offers {
        let account = node.provider_id.clone();
        let options = seam.answer(seam.ports.nodes.acquire_options(&seam.who, Some(account.clone())).await)?;
        let of_this = options.selected == Some(account);
        Some(if of_this { options.catalog } else { Err("The catalogue of its account cannot be read now.".to_owned()) })
    } else {
        None
    };
    Ok(NodeDetail { node, jobs, history, records, offers })
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

/// Carries out an action by its identity; with `destroy-node` goes whether a backup is made first.
#[server(name = ActOnNode, prefix = "/rpc", endpoint = "nodes/act")]
pub async fn act(id: NodeId, identity: String, #[server(default)] backup: Option<bool>) -> Result<ActedView, Fault> {
    let seam = seam()?;
    if backup.is_some() && identity == "destroy-node" {
        return seam.answer(seam.ports.nodes.destroy(&seam.who, id, NodeDestroy { backup }).await);
    }
    seam.answer(seam.ports.nodes.act(&seam.who, id, identity).await)
}

/// Changes a node's type, image or tag; form fields are `id` and `form[server_type]`, `form[image]` or `form[tag]`. A
/// plain form goes on to the job.
#[server(name = UpgradeNode, prefix = "/rpc", endpoint = "nodes/upgrade")]
pub async fn upgrade(id: NodeId, #[server(default)] form: UpgradeForm) -> Result<ActedView, Fault> {
    let seam = seam()?;
    let wish = seam.answer(form.read())?;
    let acted = seam.answer(seam.ports.nodes.upgrade(&seam.who, id, wish).await)?;
    if let Some(job) = &acted.job_id {
        seam.plain_form_goes_to(&crate::routes::job(job));
    }
    Ok(acted)
}

/// Runs a command on a node; form fields are `id`, `form[command]` and `form[timeout_seconds]`. A
/// plain form goes on to the job, which shows what it wrote.
#[server(name = ExecOnNode, prefix = "/rpc", endpoint = "nodes/exec")]
pub async fn exec(id: NodeId, #[server(default)] form: ExecForm) -> Result<ActedView, Fault> {
    let seam = seam()?;
    let wish = seam.answer(form.read())?;
    let acted = seam.answer(seam.ports.nodes.exec(&seam.who, id, wish).await)?;
    if let Some(job) = &acted.job_id {
        seam.plain_form_goes_to(&crate::routes::job(job));
    }
    Ok(acted)
}
