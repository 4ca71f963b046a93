//! Pools and their VMs.

use axum::{Json, extract::State, http::StatusCode, response::Response};
use domain::{
    audit::AuditEntry,
    list::Page,
    pool::{PoolCreate, PoolPatch, PoolView, PoolVmPatch, PoolVmView},
    valid::{PoolName, PoolVmId},
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
        .routes(routes!(show, change, remove))
        .routes(routes!(history))
        .routes(routes!(act))
        .routes(routes!(vms))
        .routes(routes!(vm_change))
}

/// The pools.
#[utoipa::path(get, path = "/api/v1/pools", tag = "pools", params(ListQuery),
    responses((status = 200, body = Page<PoolView>)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    who: Who,
    Narrow(filter): Narrow,
) -> Answer<Json<Page<PoolView>>> {
    Ok(page(state.services.pools_page(&who, filter).await?))
}

/// Makes a pool.
#[utoipa::path(post, path = "/api/v1/pools", tag = "pools", request_body = PoolCreate,
    params(("Idempotency-Key" = Option<String>, Header)), responses((status = 201, body = PoolView)))]
pub(crate) async fn create(State(state): State<AppState>, creating: Creating) -> Answer<Response> {
    let (services, who) = (state.services.clone(), creating.who());
    creating
        .run(
            &state,
            |_: &PoolView| StatusCode::CREATED,
            |wish: PoolCreate, key| async move { services.pool_create(&who, wish, key).await },
        )
        .await
}

/// One pool.
#[utoipa::path(get, path = "/api/v1/pools/{name}", tag = "pools", params(("name" = String, Path)),
    responses((status = 200, body = PoolView)))]
pub(crate) async fn show(State(state): State<AppState>, who: Who, Id(name): Id<PoolName>) -> Answer<Json<PoolView>> {
    Ok(Json(state.services.pool_show(&who, &name).await?))
}

/// Changes a pool; what is absent stays.
#[utoipa::path(patch, path = "/api/v1/pools/{name}", tag = "pools", params(("name" = String, Path)),
    request_body = PoolPatch, responses((status = 200, body = PoolView)))]
pub(crate) async fn change(
    State(state): State<AppState>,
    who: Who,
    Id(name): Id<PoolName>,
    Body(patch): Body<PoolPatch>,
) -> Answer<Json<PoolView>> {
    Ok(Json(state.services.pool_patch(&who, &name, patch).await?))
}

/// Removes an empty pool.
#[utoipa::path(delete, path = "/api/v1/pools/{name}", tag = "pools", params(("name" = String, Path)),
    responses((status = 204), (status = 409, description = "It is not empty")))]
pub(crate) async fn remove(State(state): State<AppState>, who: Who, Id(name): Id<PoolName>) -> Answer<StatusCode> {
    state.services.pool_delete(&who, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Everything that happened to it.
#[utoipa::path(get, path = "/api/v1/pools/{name}/history", tag = "pools",
    params(("name" = String, Path), ListQuery), responses((status = 200, body = Page<AuditEntry>)))]
pub(crate) async fn history(
    State(state): State<AppState>,
    who: Who,
    Id(name): Id<PoolName>,
    Narrow(filter): Narrow,
) -> Answer<Json<Page<AuditEntry>>> {
    super::history(&state, &who, "pool", name.as_str(), filter).await
}

/// Carries out one of its actions.
#[utoipa::path(post, path = "/api/v1/pools/{name}/actions/{identity}", tag = "pools",
    params(("name" = String, Path), ("identity" = String, Path)), request_body = Object,
    responses((status = 200, description = "Done", body = Object), (status = 202, body = Accepted)))]
pub(crate) async fn act(
    State(state): State<AppState>,
    who: Who,
    Id((name, identity)): Id<(PoolName, String)>,
    Body(input): Body<Value>,
) -> Answer<Response> {
    Ok(acted(state.services.pool_act(&who, &name, &identity, input).await?))
}

/// Its machines.
#[utoipa::path(get, path = "/api/v1/pools/{name}/vms", tag = "pools", params(("name" = String, Path), ListQuery),
    responses((status = 200, body = Page<PoolVmView>)))]
pub(crate) async fn vms(
    State(state): State<AppState>,
    who: Who,
    Id(name): Id<PoolName>,
    Narrow(filter): Narrow,
) -> Answer<Json<Page<PoolVmView>>> {
    Ok(page(state.services.pool_vms(&who, &name, filter).await?))
}

/// Holds a machine back, drains it, or marks it clean.
#[utoipa::path(patch, path = "/api/v1/pools/{name}/vms/{vm}", tag = "pools",
    params(("name" = String, Path), ("vm" = String, Path)), request_body = PoolVmPatch,
    responses((status = 200, body = PoolVmView)))]
pub(crate) async fn vm_change(
    State(state): State<AppState>,
    who: Who,
    Id((name, vm)): Id<(PoolName, PoolVmId)>,
    Body(patch): Body<PoolVmPatch>,
) -> Answer<Json<PoolVmView>> {
    Ok(Json(state.services.pool_vm_patch(&who, &name, &vm, patch).await?))
}
