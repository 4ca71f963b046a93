//! Allocations.

use axum::{Json, extract::State, http::StatusCode, response::Response};
use domain::{
    allocation::{AllocationCreate, AllocationExtend, AllocationStatus, AllocationView},
    audit::AuditEntry,
    id::AllocationId,
    list::Page,
};
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Accepted, acted, page};
use crate::http::{
    extract::{Body, Id, ListQuery, Narrow, Who},
    idempotency::Creating,
    problem::Answer,
    state::AppState,
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show))
        .routes(routes!(history))
        .routes(routes!(release))
        .routes(routes!(extend))
        .routes(routes!(act))
}

/// The allocations the caller may see, newest first.
#[utoipa::path(get, path = "/api/v1/allocations", tag = "allocations", params(ListQuery),
    responses((status = 200, body = Page<AllocationView>)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    who: Who,
    Narrow(filter): Narrow,
) -> Answer<Json<Page<AllocationView>>> {
    Ok(page(state.services.allocations_page(&who, filter).await?))
}

/// Asks for a machine: 201 when one was free, 202 with `position` and `reason` when not.
#[utoipa::path(post, path = "/api/v1/allocations", tag = "allocations", request_body = AllocationCreate,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, description = "Active", body = AllocationView),
        (status = 202, description = "Waiting", body = AllocationView)))]
pub(crate) async fn create(State(state): State<AppState>, creating: Creating) -> Answer<Response> {
    let (services, who) = (state.services.clone(), creating.who());
    creating
        .run(
            &state,
            |made: &AllocationView| match made.status {
                AllocationStatus::Waiting => StatusCode::ACCEPTED,
                _ => StatusCode::CREATED,
            },
            |wish: AllocationCreate, key| async move { services.allocation_create(&who, wish, key).await },
        )
        .await
}

/// One allocation.
#[utoipa::path(get, path = "/api/v1/allocations/{id}", tag = "allocations", params(("id" = String, Path)),
    responses((status = 200, body = AllocationView)))]
pub(crate) async fn show(
    State(state): State<AppState>,
    who: Who,
    Id(id): Id<AllocationId>,
) -> Answer<Json<AllocationView>> {
    Ok(Json(state.services.allocation_show(&who, &id).await?))
}

/// Everything that happened to it.
#[utoipa::path(get, path = "/api/v1/allocations/{id}/history", tag = "allocations",
    params(("id" = String, Path), ListQuery), responses((status = 200, body = Page<AuditEntry>)))]
pub(crate) async fn history(
    State(state): State<AppState>,
    who: Who,
    Id(id): Id<AllocationId>,
    Narrow(filter): Narrow,
) -> Answer<Json<Page<AuditEntry>>> {
    super::history(&state, &who, "allocation", id.as_str(), filter).await
}

/// Gives the machine back; a second time answers the same.
#[utoipa::path(post, path = "/api/v1/allocations/{id}/release", tag = "allocations", params(("id" = String, Path)),
    responses((status = 200, body = AllocationView)))]
pub(crate) async fn release(
    State(state): State<AppState>,
    who: Who,
    Id(id): Id<AllocationId>,
) -> Answer<Json<AllocationView>> {
    Ok(Json(state.services.allocation_release(&who, &id).await?))
}

/// Moves the end, within the pool's cap.
#[utoipa::path(post, path = "/api/v1/allocations/{id}/extend", tag = "allocations", params(("id" = String, Path)),
    request_body = AllocationExtend, responses((status = 200, body = AllocationView)))]
pub(crate) async fn extend(
    State(state): State<AppState>,
    who: Who,
    Id(id): Id<AllocationId>,
    Body(wish): Body<AllocationExtend>,
) -> Answer<Json<AllocationView>> {
    Ok(Json(state.services.allocation_extend(&who, &id, wish).await?))
}

/// Carries out one of its actions.
#[utoipa::path(post, path = "/api/v1/allocations/{id}/actions/{identity}", tag = "allocations",
    params(("id" = String, Path), ("identity" = String, Path)), request_body = Object,
    responses((status = 200, description = "Done", body = Object), (status = 202, body = Accepted)))]
pub(crate) async fn act(
    State(state): State<AppState>,
    who: Who,
    Id((id, identity)): Id<(AllocationId, String)>,
    Body(input): Body<Value>,
) -> Answer<Response> {
    Ok(acted(state.services.allocation_act(&who, &id, &identity, input).await?))
}
