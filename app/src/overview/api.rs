//! The server functions of the overview. The rule: seam first, answer last, nothing between.

use domain::overview::Overview;
use leptos::{prelude::*, server_fn::codec::Json};

use crate::Fault;
#[cfg(feature = "ssr")]
use crate::seam::seam;

/// What an administrator sees first.
#[server(name = ShowOverview, prefix = "/rpc", endpoint = "overview/show", input = Json)]
pub async fn show() -> Result<Overview, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.overview.show(&seam.who).await)
}
