//! The REST handlers, one file a noun. The rule: a handler reads the request, calls one service and
//! writes the answer; it decides nothing.

pub(crate) mod allocations;
pub(crate) mod backups;
pub(crate) mod blueprints;
pub(crate) mod dns;
pub(crate) mod infra;
pub(crate) mod jobs;
pub(crate) mod nodes;
pub(crate) mod orphans;
pub(crate) mod people;
pub(crate) mod pools;
pub(crate) mod profiles;
pub(crate) mod providers;
pub(crate) mod settings;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use domain::{
    audit::AuditEntry,
    id::JobId,
    job::Subject,
    list::{Filter, Listing, Page},
};
use serde::Serialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    http::{extract::Who, problem::Answer, state::AppState},
    services::Acted,
};

/// Every REST route.
pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(super::sign_in::forge_start))
        .routes(routes!(super::sign_in::forge_callback))
        .routes(routes!(super::sign_in::by_secret))
        .routes(routes!(super::sign_in::logout))
        .routes(routes!(super::meta::healthz))
        .routes(routes!(super::meta::readyz))
        .routes(routes!(super::metrics::show))
        .routes(routes!(super::meta::openapi))
        .routes(routes!(super::meta::docs))
        .routes(routes!(super::error_docs::show))
        .routes(routes!(super::events::listen))
        .merge(people::routes())
        .merge(providers::routes())
        .merge(nodes::routes())
        .merge(dns::routes())
        .merge(infra::routes())
        .merge(jobs::routes())
        .merge(pools::routes())
        .merge(profiles::routes())
        .merge(blueprints::routes())
        .merge(backups::routes())
        .merge(allocations::routes())
        .merge(orphans::routes())
        .merge(settings::routes())
}

/// The answer to an action that goes on as a job.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Accepted {
    /// The job that does it.
    pub job_id: JobId,
}

/// 202 with the job, or 200 with what the action says.
fn acted(acted: Acted) -> Response {
    match acted {
        Acted::Accepted { job_id } => (StatusCode::ACCEPTED, Json(Accepted { job_id })).into_response(),
        Acted::Done(value) => Json(value).into_response(),
    }
}

/// A page of a list without the count, which only the browser's pages show.
fn page<T>(listing: Listing<T>) -> Json<Page<T>> {
    Json(Page { items: listing.items, next_cursor: listing.next_cursor })
}

async fn history(state: &AppState, who: &Who, kind: &str, id: &str, filter: Filter) -> Answer<Json<Page<AuditEntry>>> {
    Ok(Json(state.services.history(who, &Subject::new(kind, id), filter).await?))
}
