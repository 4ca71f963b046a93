//! The server functions of one's account. The rule: seam first, answer last, nothing between.

use domain::user::AccountPage;
use leptos::{prelude::*, server_fn::codec::Json};

use crate::Fault;
#[cfg(feature = "ssr")]
use crate::seam::seam;

/// The signed-in person and their ways in.
#[server(name = ShowAccount, prefix = "/rpc", endpoint = "account/show", input = Json)]
pub async fn show() -> Result<AccountPage, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.account.show(&seam.who).await)
}
