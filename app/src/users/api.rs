//! The server functions of people. The rule: seam first, answer last, nothing between.
#![expect(missing_docs, reason = "the fields that the macro makes are the arguments of the functions")]

use domain::{
    access::{Role, UserStatus},
    id::UserId,
    list::{Filter, Listing},
    user::UserView,
};
use leptos::{prelude::*, server_fn::codec::Json};

use crate::Fault;
#[cfg(feature = "ssr")]
use crate::seam::seam;

/// One page of the people.
#[server(name = ListUsers, prefix = "/rpc", endpoint = "users/list", input = Json)]
pub async fn list(filter: Filter) -> Result<Listing<UserView>, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.users.list(&seam.who, filter).await)
}

/// Changes a person; what is absent or empty stays.
#[server(name = UpdateUser, prefix = "/rpc", endpoint = "users/update")]
pub async fn update(
    id: UserId,
    #[server(default)] role: Option<Role>,
    #[server(default)] status: Option<UserStatus>,
    #[server(default)] max_active: Option<u32>,
) -> Result<UserView, Fault> {
    let seam = seam()?;
    let wish = domain::user::UserPatch { role, status, max_active };
    seam.answer(seam.ports.users.update(&seam.who, id, wish).await)
}
