//! The server functions of the session. The rule: seam first, answer last, nothing between.

use domain::user::Frame;
use leptos::{prelude::*, server_fn::codec::Json};

use crate::Fault;
#[cfg(feature = "ssr")]
use crate::seam::open_seam;

/// What the frame shows: who is signed in, and what the installation offers.
#[server(name = ShowFrame, prefix = "/rpc", endpoint = "session/me", input = Json)]
pub async fn me() -> Result<Frame, Fault> {
    let seam = open_seam()?;
    seam.answer(seam.ports.session.frame(seam.who.as_ref()).await)
}
