//! Nodes.

use axum::{Json, extract::State, http::StatusCode, response::Response};
use domain::{
    audit::AuditEntry,
    id::NodeId,
    list::Page,
    node::{NodeAccepted, NodeCreate, NodeView},
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
        .routes(routes!(act))
}

/// The nodes.
#[utoipa::path(get, path = "/api/v1/nodes", tag = "nodes", params(ListQuery),
    responses((status = 200, body = Page<NodeView>)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    who: Who,
    Narrow(filter): Narrow,
) -> Answer<Json<Page<NodeView>>> {
    Ok(page(state.services.nodes_page(&who, filter).await?))
}

/// Acquires a node.
#[utoipa::path(post, path = "/api/v1/nodes", tag = "nodes", request_body = NodeCreate,
    params(("Idempotency-Key" = Option<String>, Header)), responses((status = 202, body = NodeAccepted)))]
pub(crate) async fn create(State(state): State<AppState>, creating: Creating) -> Answer<Response> {
    acquire(state, creating).await
}

/// The same under its plain name.
pub(super) async fn acquire(state: AppState, creating: Creating) -> Answer<Response> {
    let (services, who) = (state.services.clone(), creating.who());
    creating
        .run(
            &state,
            |_: &NodeAccepted| StatusCode::ACCEPTED,
            |wish: NodeCreate, key| async move { services.node_acquire(&who, wish, key).await },
        )
        .await
}

/// One node.
#[utoipa::path(get, path = "/api/v1/nodes/{id}", tag = "nodes", params(("id" = String, Path)),
    responses((status = 200, body = NodeView)))]
pub(crate) async fn show(State(state): State<AppState>, who: Who, Id(id): Id<NodeId>) -> Answer<Json<NodeView>> {
    Ok(Json(state.services.node_show(&who, &id).await?))
}

/// Everything that happened to it.
#[utoipa::path(get, path = "/api/v1/nodes/{id}/history", tag = "nodes",
    params(("id" = String, Path), ListQuery), responses((status = 200, body = Page<AuditEntry>)))]
pub(crate) async fn history(
    State(state): State<AppState>,
    who: Who,
    Id(id): Id<NodeId>,
    Narrow(filter): Narrow,
) -> Answer<Json<Page<AuditEntry>>> {
    super::history(&state, &who, "node", id.as_str(), filter).await
}

/// Carries out one of its actions.
#[utoipa::path(post, path = "/api/v1/nodes/{id}/actions/{identity}", tag = "nodes",
    params(("id" = String, Path), ("identity" = String, Path)), request_body = Object,
    responses((status = 200, description = "Done", body = Object), (status = 202, body = Accepted),
        (status = 409, description = "Blocked, with gates and recovery")))]
pub(crate) async fn act(
    State(state): State<AppState>,
    who: Who,
    Id((id, identity)): Id<(NodeId, String)>,
    Body(input): Body<Value>,
) -> Answer<Response> {
    Ok(acted(state.services.node_act(&who, &id, &identity, input).await?))
}
