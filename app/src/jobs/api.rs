//! The server functions of jobs. The rule: seam first, answer last, nothing between.
#![expect(missing_docs, reason = "the fields that the macro makes are the arguments of the functions")]

use domain::{
    id::JobId,
    job::JobView,
    list::{Filter, Listing},
};
use leptos::{prelude::*, server_fn::codec::Json};

#[cfg(feature = "ssr")]
use crate::seam::seam;
use crate::{Fault, ui::ActedView};

/// One page of the jobs.
#[server(name = ListJobs, prefix = "/rpc", endpoint = "jobs/list", input = Json)]
pub async fn list(filter: Filter) -> Result<Listing<JobView>, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.jobs.list(&seam.who, filter).await)
}

/// One job with its steps.
#[server(name = ShowJob, prefix = "/rpc", endpoint = "jobs/show", input = Json)]
pub async fn show(id: JobId) -> Result<JobView, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.jobs.show(&seam.who, id).await)
}

/// Carries out an action by its identity.
#[server(name = ActOnJob, prefix = "/rpc", endpoint = "jobs/act")]
pub async fn act(id: JobId, identity: String) -> Result<ActedView, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.jobs.act(&seam.who, id, identity).await)
}
