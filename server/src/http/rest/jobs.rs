//! Jobs.

use axum::{Json, extract::State};
use domain::{audit::AuditEntry, id::JobId, job::JobView, list::Page};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::page;
use crate::http::{
    extract::{Id, ListQuery, Narrow, Who},
    problem::Answer,
    state::AppState,
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(history))
        .routes(routes!(cancel))
        .routes(routes!(retry))
        .routes(routes!(act))
}

/// The jobs, newest first.
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", params(ListQuery),
    responses((status = 200, body = Page<JobView>)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    who: Who,
    Narrow(filter): Narrow,
) -> Answer<Json<Page<JobView>>> {
    Ok(page(state.services.jobs_page(&who, filter).await?))
}

/// One job with its steps.
#[utoipa::path(get, path = "/api/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path)),
    responses((status = 200, body = JobView)))]
pub(crate) async fn show(State(state): State<AppState>, who: Who, Id(id): Id<JobId>) -> Answer<Json<JobView>> {
    Ok(Json(state.services.job_show(&who, &id).await?))
}

/// Everything that happened to it.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/history", tag = "jobs", params(("id" = String, Path), ListQuery),
    responses((status = 200, body = Page<AuditEntry>)))]
pub(crate) async fn history(
    State(state): State<AppState>,
    who: Who,
    Id(id): Id<JobId>,
    Narrow(filter): Narrow,
) -> Answer<Json<Page<AuditEntry>>> {
    super::history(&state, &who, "job", id.as_str(), filter).await
}

/// Stops it; what it created before the hand-over is undone.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/cancel", tag = "jobs", params(("id" = String, Path)),
    responses((status = 200, body = JobView)))]
pub(crate) async fn cancel(State(state): State<AppState>, who: Who, Id(id): Id<JobId>) -> Answer<Json<JobView>> {
    Ok(Json(state.services.job_act(&who, &id, "cancel-job").await?))
}

/// Queues it again with fresh attempts.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/retry", tag = "jobs", params(("id" = String, Path)),
    responses((status = 200, body = JobView)))]
pub(crate) async fn retry(State(state): State<AppState>, who: Who, Id(id): Id<JobId>) -> Answer<Json<JobView>> {
    Ok(Json(state.services.job_act(&who, &id, "retry-job").await?))
}

/// Carries out one of its actions.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/actions/{identity}", tag = "jobs",
    params(("id" = String, Path), ("identity" = String, Path)), responses((status = 200, body = JobView)))]
pub(crate) async fn act(
    State(state): State<AppState>,
    who: Who,
    Id((id, identity)): Id<(JobId, String)>,
) -> Answer<Json<JobView>> {
    Ok(Json(state.services.job_act(&who, &id, &identity).await?))
}
