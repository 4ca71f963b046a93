//! The server functions of settings. The rule: seam first, answer last, nothing between.
#![expect(missing_docs, reason = "the fields that the macro makes are the arguments of the functions")]

use domain::spending::AcquisitionView;
use leptos::{prelude::*, server_fn::codec::Json};

use super::AcquisitionForm;
use crate::Fault;
#[cfg(feature = "ssr")]
use crate::seam::seam;

/// The rules for acquiring, and what is spent.
#[server(name = ShowAcquisition, prefix = "/rpc", endpoint = "settings/acquisition", input = Json)]
pub async fn acquisition() -> Result<AcquisitionView, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.settings.acquisition(&seam.who).await)
}

/// Sets the rules for acquiring; form fields are `form[paused]` and so on.
#[server(name = SetAcquisition, prefix = "/rpc", endpoint = "settings/acquisition_set")]
pub async fn acquisition_set(#[server(default)] form: AcquisitionForm) -> Result<AcquisitionView, Fault> {
    let seam = seam()?;
    let wish = seam.answer(form.read())?;
    seam.answer(seam.ports.settings.acquisition_set(&seam.who, wish).await)
}
