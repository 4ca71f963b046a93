//! Differences between vendors and database.

use axum::{Json, extract::State};
use domain::orphan::{OrphanReport, OrphanSweep};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    extract::{Ask, Who},
    problem::Answer,
    state::AppState,
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(report)).routes(routes!(sweep))
}

/// What vendor and database do not have in common.
#[utoipa::path(get, path = "/api/v1/orphans", tag = "orphans", responses((status = 200, body = OrphanReport)))]
pub(crate) async fn report(State(state): State<AppState>, who: Who) -> Answer<Json<OrphanReport>> {
    Ok(Json(state.services.orphans(&who).await?))
}

/// How a sweep is asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SweepQuery {
    /// `1`: tell what would be taken away and do nothing.
    #[serde(default)]
    dry_run: Option<String>,
}

/// Takes away what has been an orphan for longer than the grace period, by a job for each account;
/// with `dry_run=1` nothing is begun.
#[utoipa::path(post, path = "/api/v1/orphans/sweep", tag = "orphans", params(SweepQuery),
    responses((status = 200, body = OrphanSweep)))]
pub(crate) async fn sweep(
    State(state): State<AppState>,
    who: Who,
    Ask(query): Ask<SweepQuery>,
) -> Answer<Json<OrphanSweep>> {
    Ok(Json(match query.dry_run.as_deref() {
        None | Some("0" | "false" | "no") => state.services.orphans_sweep(&who).await?,
        // Whoever writes anything else meant to be careful.
        Some(_) => state.services.orphans_sweep_plan(&who).await?,
    }))
}
