//! The server functions of orphans. The rule: seam first, answer last, nothing between.
#![expect(missing_docs, reason = "the fields that the macro makes are the arguments of the functions")]

use domain::orphan::OrphanSweep;
use leptos::{prelude::*, server_fn::codec::Json};

use super::OrphansShown;
use crate::Fault;
#[cfg(feature = "ssr")]
use crate::seam::seam;

/// What differs; with `dry` also what a sweep would take away.
#[server(name = ShowOrphans, prefix = "/rpc", endpoint = "orphans/report", input = Json)]
pub async fn report(#[server(default)] dry: bool) -> Result<OrphansShown, Fault> {
    let seam = seam()?;
    let report = seam.answer(seam.ports.orphans.report(&seam.who).await)?;
    let dry = if dry { Some(seam.answer(seam.ports.orphans.sweep_dry(&seam.who).await)?) } else { None };
    Ok(OrphansShown { report, dry })
}

/// What a sweep would take away. A plain form goes on to the page that shows it.
#[server(name = DrySweepOrphans, prefix = "/rpc", endpoint = "orphans/sweep_dry")]
pub async fn sweep_dry() -> Result<OrphanSweep, Fault> {
    let seam = seam()?;
    seam.plain_form_goes_to(crate::routes::ORPHANS_DRY);
    seam.answer(seam.ports.orphans.sweep_dry(&seam.who).await)
}

/// Takes away what is due. A plain form goes on to the jobs that do it.
#[server(name = SweepOrphans, prefix = "/rpc", endpoint = "orphans/sweep")]
pub async fn sweep() -> Result<OrphanSweep, Fault> {
    let seam = seam()?;
    let sweep = seam.answer(seam.ports.orphans.sweep(&seam.who).await)?;
    match sweep.jobs.as_slice() {
        [one] => seam.plain_form_goes_to(&crate::routes::job(one)),
        _ => seam.plain_form_goes_to(crate::routes::JOBS),
    }
    Ok(sweep)
}
