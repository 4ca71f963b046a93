//! Blueprints.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use domain::{
    blueprint::{BlueprintDefinition, BlueprintView},
    valid::BlueprintName,
};
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    extract::{Ask, Body, Id, Who},
    problem::Answer,
    state::AppState,
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(show, save, delete))
}

/// Which version of a blueprint is meant.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Version {
    /// The newest when absent.
    version: Option<u32>,
}

/// A blueprint under a name.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BlueprintCreate {
    /// The name.
    name: BlueprintName,
    /// What it holds.
    definition: BlueprintDefinition,
}

/// The blueprints, each in its newest version and without its file.
#[utoipa::path(get, path = "/api/v1/blueprints", tag = "blueprints",
    responses((status = 200, body = Vec<BlueprintView>)))]
pub(crate) async fn list(State(state): State<AppState>, who: Who) -> Answer<Json<Vec<BlueprintView>>> {
    Ok(Json(state.services.blueprints(&who).await?))
}

/// Stores a new blueprint, or a new version of one.
#[utoipa::path(post, path = "/api/v1/blueprints", tag = "blueprints", request_body = BlueprintCreate,
    responses((status = 201, body = BlueprintView)))]
pub(crate) async fn create(
    State(state): State<AppState>,
    who: Who,
    Body(BlueprintCreate { name, definition }): Body<BlueprintCreate>,
) -> Answer<Response> {
    let stored = state.services.blueprint_save(&who, &name, definition).await?;
    Ok((StatusCode::CREATED, Json(stored)).into_response())
}

/// One blueprint with its versions.
#[utoipa::path(get, path = "/api/v1/blueprints/{name}", tag = "blueprints", params(("name" = String, Path), Version),
    responses((status = 200, body = BlueprintView)))]
pub(crate) async fn show(
    State(state): State<AppState>,
    who: Who,
    Id(name): Id<BlueprintName>,
    Ask(Version { version }): Ask<Version>,
) -> Answer<Json<BlueprintView>> {
    Ok(Json(state.services.blueprint_show(&who, &name, version).await?))
}

/// Stores a new version of a blueprint, or a new blueprint.
#[utoipa::path(put, path = "/api/v1/blueprints/{name}", tag = "blueprints", params(("name" = String, Path)),
    request_body = BlueprintDefinition, responses((status = 200, body = BlueprintView)))]
pub(crate) async fn save(
    State(state): State<AppState>,
    who: Who,
    Id(name): Id<BlueprintName>,
    Body(wish): Body<BlueprintDefinition>,
) -> Answer<Json<BlueprintView>> {
    Ok(Json(state.services.blueprint_save(&who, &name, wish).await?))
}

/// Retires a blueprint. Its versions stay readable, and the nodes that were made from them keep them.
#[utoipa::path(delete, path = "/api/v1/blueprints/{name}", tag = "blueprints", params(("name" = String, Path)),
    responses((status = 204), (status = 409, description = "A live node or a pool's template needs it")))]
pub(crate) async fn delete(State(state): State<AppState>, who: Who, Id(name): Id<BlueprintName>) -> Answer<StatusCode> {
    state.services.blueprint_retire(&who, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
