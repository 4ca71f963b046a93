//! The operations by their plain names, and the operator's routes under `/admin`.

use axum::{Json, extract::State, response::Response};
use domain::{allocation::AutoReleaseReport, pool::PoolRefreshReport};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Accepted, acted};
use crate::{
    http::{
        extract::{Ask, Id, Raw, Who, json},
        idempotency::Creating,
        problem::Answer,
        state::AppState,
    },
    services::DryRun,
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(operate)).routes(routes!(pool_refresh)).routes(routes!(auto_release))
}

/// `create-server`, `delete-server`, `get-server-status`, `create-dns-record` or `delete-dns-record`;
/// input and output as provider-kinds says.
#[utoipa::path(post, path = "/api/v1/infra/{operation}", tag = "infra", params(("operation" = String, Path),
    ("Idempotency-Key" = Option<String>, Header)), request_body = Object,
    responses((status = 200, description = "Done", body = Object), (status = 202, body = Accepted)))]
pub(crate) async fn operate(
    State(state): State<AppState>,
    Id(operation): Id<String>,
    creating: Creating,
) -> Answer<Response> {
    if operation == "create-server" {
        return super::nodes::acquire(state, creating).await;
    }
    if operation == "create-dns-record" {
        return super::dns::made(state, creating).await;
    }
    let who = creating.who();
    let input = json(creating.body())?;
    Ok(acted(state.services.infra_operation(&who, &operation, input).await?))
}

/// Whether to change anything.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RefreshQuery {
    /// `1`: tell what would be done and do nothing.
    #[serde(default)]
    dry_run: Option<String>,
}

/// Replaces the operator's list of pool machines, all or nothing.
#[utoipa::path(post, path = "/admin/pool-refresh", tag = "admin", params(RefreshQuery), request_body = Object,
    responses((status = 200, body = PoolRefreshReport), (status = 400, description = "Nothing was changed"),
        (status = 503, description = "There is no pool yet")))]
pub(crate) async fn pool_refresh(
    State(state): State<AppState>,
    who: Who,
    Ask(query): Ask<RefreshQuery>,
    Raw(body): Raw,
) -> Answer<Json<PoolRefreshReport>> {
    let dry_run = match query.dry_run.as_deref() {
        None | Some("0" | "false" | "no") => DryRun::No,
        // Whoever writes anything else meant to be careful.
        Some(_) => DryRun::Yes,
    };
    Ok(Json(state.services.pool_refresh(&who, &body, dry_run).await?))
}

/// Releases now what has expired.
#[utoipa::path(post, path = "/admin/auto-release-now", tag = "admin",
    responses((status = 200, body = AutoReleaseReport)))]
pub(crate) async fn auto_release(State(state): State<AppState>, who: Who) -> Answer<Json<AutoReleaseReport>> {
    Ok(Json(state.services.auto_release_now(&who).await?))
}
