//! What administrators set for the whole installation.

use axum::{Json, extract::State};
use domain::spending::{AcquisitionPolicy, AcquisitionView};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    extract::{Body, Who},
    problem::Answer,
    state::AppState,
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(acquisition, acquisition_set))
}

/// The rules for acquiring, and what is spent.
#[utoipa::path(get, path = "/api/v1/settings/acquisition", tag = "settings",
    responses((status = 200, body = AcquisitionView)))]
pub(crate) async fn acquisition(State(state): State<AppState>, who: Who) -> Answer<Json<AcquisitionView>> {
    Ok(Json(state.services.acquisition(&who).await?))
}

/// Sets the rules for acquiring; what is absent is taken away.
#[utoipa::path(put, path = "/api/v1/settings/acquisition", tag = "settings", request_body = AcquisitionPolicy,
    responses((status = 200, body = AcquisitionView), (status = 422, description = "A field cannot be used")))]
pub(crate) async fn acquisition_set(
    State(state): State<AppState>,
    who: Who,
    Body(wish): Body<AcquisitionPolicy>,
) -> Answer<Json<AcquisitionView>> {
    Ok(Json(state.services.acquisition_set(&who, wish).await?))
}
