//! Profiles.

use axum::{Json, extract::State};
use domain::{
    profile::{ProfileDefinition, ProfileView},
    valid::ProfileName,
};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    extract::{Ask, Body, Id, Who},
    problem::Answer,
    state::AppState,
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show, save))
}

/// Which version of a profile is meant.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Version {
    /// The newest when absent; 0 is what Hangar ships.
    version: Option<u32>,
}

/// The profiles, each in its newest version.
#[utoipa::path(get, path = "/api/v1/profiles", tag = "profiles", responses((status = 200, body = Vec<ProfileView>)))]
pub(crate) async fn list(State(state): State<AppState>, who: Who) -> Answer<Json<Vec<ProfileView>>> {
    Ok(Json(state.services.profiles(&who).await?))
}

/// One profile with its versions.
#[utoipa::path(get, path = "/api/v1/profiles/{name}", tag = "profiles", params(("name" = String, Path), Version),
    responses((status = 200, body = ProfileView)))]
pub(crate) async fn show(
    State(state): State<AppState>,
    who: Who,
    Id(name): Id<ProfileName>,
    Ask(Version { version }): Ask<Version>,
) -> Answer<Json<ProfileView>> {
    Ok(Json(state.services.profile_show(&who, &name, version).await?))
}

/// Stores a new version of a profile, or a new profile.
#[utoipa::path(put, path = "/api/v1/profiles/{name}", tag = "profiles", params(("name" = String, Path)),
    request_body = ProfileDefinition, responses((status = 200, body = ProfileView)))]
pub(crate) async fn save(
    State(state): State<AppState>,
    who: Who,
    Id(name): Id<ProfileName>,
    Body(wish): Body<ProfileDefinition>,
) -> Answer<Json<ProfileView>> {
    Ok(Json(state.services.profile_save(&who, &name, wish).await?))
}
