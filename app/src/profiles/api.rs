//! The server functions of profiles. The rule: seam first, answer last, nothing between.
#![expect(missing_docs, reason = "the fields that the macro makes are the arguments of the functions")]

use domain::{profile::ProfileView, valid::ProfileName};
use leptos::{prelude::*, server_fn::codec::Json};

use super::{ProfileForm, ProfilePage};
use crate::Fault;
#[cfg(feature = "ssr")]
use crate::seam::seam;

/// Every profile in its newest version.
#[server(name = ListProfiles, prefix = "/rpc", endpoint = "profiles/list", input = Json)]
pub async fn list() -> Result<Vec<ProfileView>, Fault> {
    let seam = seam()?;
    seam.answer(seam.ports.profiles.list(&seam.who).await)
}

/// One profile with its versions and history; in the newest version unless one is named.
#[server(name = ShowProfile, prefix = "/rpc", endpoint = "profiles/show", input = Json)]
pub async fn show(name: ProfileName, version: Option<u32>) -> Result<ProfilePage, Fault> {
    let seam = seam()?;
    let about = domain::list::Filter {
        subject: Some(name.to_string()),
        kind: Some("profile".to_owned()),
        ..Default::default()
    };
    let profile = seam.answer(seam.ports.profiles.show(&seam.who, name, version).await)?;
    let history = seam.answer(seam.ports.audit.list(&seam.who, about).await)?.items;
    Ok(ProfilePage { profile, history })
}

/// Stores a new version, or a new profile, and goes on to its page; form fields are `form[name]` and
/// so on.
#[server(name = SaveProfile, prefix = "/rpc", endpoint = "profiles/save")]
pub async fn save(#[server(default)] form: ProfileForm) -> Result<ProfileView, Fault> {
    let seam = seam()?;
    let (name, wish) = seam.answer(form.read())?;
    let saved = seam.answer(seam.ports.profiles.save(&seam.who, name, wish).await)?;
    leptos_axum::redirect(&crate::routes::profile(&saved.name));
    Ok(saved)
}
