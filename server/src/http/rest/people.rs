//! People, and what they did.

use axum::{Json, extract::State};
use domain::{
    audit::AuditEntry,
    id::UserId,
    list::Page,
    user::{UserPatch, UserView},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::page;
use crate::http::{
    extract::{Body, Id, ListQuery, Narrow, Who},
    problem::Answer,
    state::AppState,
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(me)).routes(routes!(list)).routes(routes!(change)).routes(routes!(audit))
}

/// The caller.
#[utoipa::path(get, path = "/api/v1/me", tag = "people", responses((status = 200, body = UserView)))]
pub(crate) async fn me(State(state): State<AppState>, who: Who) -> Answer<Json<UserView>> {
    Ok(Json(state.services.me(&who).await?))
}

/// The people.
#[utoipa::path(get, path = "/api/v1/users", tag = "people", params(ListQuery),
    responses((status = 200, body = Page<UserView>)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    who: Who,
    Narrow(filter): Narrow,
) -> Answer<Json<Page<UserView>>> {
    Ok(page(state.services.users_page(&who, filter).await?))
}

/// Changes a person's role, standing or quota.
#[utoipa::path(patch, path = "/api/v1/users/{id}", tag = "people", params(("id" = String, Path)),
    request_body = UserPatch, responses((status = 200, body = UserView)))]
pub(crate) async fn change(
    State(state): State<AppState>,
    who: Who,
    Id(id): Id<UserId>,
    Body(patch): Body<UserPatch>,
) -> Answer<Json<UserView>> {
    Ok(Json(state.services.user_patch(&who, &id, patch).await?))
}

/// The audit trail, newest first.
#[utoipa::path(get, path = "/api/v1/audit", tag = "people", params(ListQuery),
    responses((status = 200, body = Page<AuditEntry>)))]
pub(crate) async fn audit(
    State(state): State<AppState>,
    who: Who,
    Narrow(filter): Narrow,
) -> Answer<Json<Page<AuditEntry>>> {
    Ok(page(state.services.audit_page(&who, filter).await?))
}
