//! The server functions of the dashboard. The rule: seam first, answer last, nothing between.

use domain::user::Dashboard;
use leptos::{prelude::*, server_fn::codec::Json};

use crate::Fault;
#[cfg(feature = "ssr")]
use crate::seam::seam;

/// One's own services.
#[server(name = ShowDashboard, prefix = "/rpc", endpoint = "dashboard/show", input = Json)]
pub async fn show() -> Result<Dashboard, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.services.dashboard(&seam.who).await)
}
