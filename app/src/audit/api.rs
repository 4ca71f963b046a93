//! The server functions of the audit trail. The rule: seam first, answer last, nothing between.
#![expect(missing_docs, reason = "the fields that the macro makes are the arguments of the functions")]

use domain::{
    audit::AuditEntry,
    list::{Filter, Listing},
};
use leptos::{prelude::*, server_fn::codec::Json};

use crate::Fault;
#[cfg(feature = "ssr")]
use crate::seam::seam;

/// One page of the trail.
#[server(name = ListAudit, prefix = "/rpc", endpoint = "audit/list", input = Json)]
pub async fn list(filter: Filter) -> Result<Listing<AuditEntry>, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.audit.list(&seam.who, filter).await)
}
