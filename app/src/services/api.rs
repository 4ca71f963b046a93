//! The server functions of services. The rule: seam first, answer last, nothing between.
#![expect(missing_docs, reason = "the fields that the macro makes are the arguments of the functions")]

use domain::{allocation::AllocationView, id::AllocationId, user::ServicePage};
use leptos::{prelude::*, server_fn::codec::Json};

use super::form::RequestForm;
use crate::Fault;
#[cfg(feature = "ssr")]
use crate::seam::seam;

/// A service and what happened to it.
#[server(name = ShowService, prefix = "/rpc", endpoint = "services/show", input = Json)]
pub async fn show(id: AllocationId) -> Result<ServicePage, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.services.show(&seam.who, id).await)
}

/// Asks for a service from a pool.
#[server(name = RequestService, prefix = "/rpc", endpoint = "services/request")]
pub async fn request(form: RequestForm) -> Result<AllocationView, Fault> {
    let seam = seam()?;
    let wish = seam.answer(form.read())?;
    seam.answer(seam.ports.services.request(&seam.who, wish).await)
}

/// Gives a service back.
#[server(name = ReleaseService, prefix = "/rpc", endpoint = "services/release")]
pub async fn release(id: AllocationId) -> Result<AllocationView, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.services.release(&seam.who, id).await)
}

/// Asks for more time.
#[server(name = ExtendService, prefix = "/rpc", endpoint = "services/extend")]
pub async fn extend(id: AllocationId, #[server(default)] hours: Option<u32>) -> Result<AllocationView, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.services.extend(&seam.who, id, domain::allocation::AllocationExtend { hours }).await)
}
