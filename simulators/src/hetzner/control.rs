//! The control endpoint, for tests in other processes: faults, state, the request log, drift.
//! Rule: it lies outside `/v1`, needs no token, and is never counted as a request.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::{delete, get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    fault::{Fault, FaultId, FaultView},
    shared::Shared,
    view::RequestView,
    world::ServerStatus,
};

type Sim = State<Arc<Shared>>;

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/faults", get(faults).post(fault_add).delete(faults_clear))
        .route("/faults/{id}", get(fault))
        .route("/state", get(state))
        .route("/requests", get(requests))
        .route("/servers/{id}/power-off", post(server_off))
        .route("/servers/{id}/status", post(server_status))
        .route("/servers/{id}", delete(server_remove))
        .route("/capacity", post(capacity))
}

async fn fault_add(State(shared): Sim, Json(fault): Json<Fault>) -> (StatusCode, Json<Value>) {
    let id = shared.with(|state| state.faults.add(fault));
    (StatusCode::CREATED, Json(json!({"id": id})))
}

async fn faults(State(shared): Sim) -> Json<Vec<FaultView>> {
    Json(shared.with(|state| state.faults.views()))
}

#[derive(Deserialize)]
struct Wait {
    /// Answer only once the fault has fired.
    #[serde(default)]
    wait: bool,
}

async fn fault(
    State(shared): Sim,
    Path(id): Path<u64>,
    Query(Wait { wait }): Query<Wait>,
) -> Result<Json<FaultView>, StatusCode> {
    let id = FaultId(id);
    let mut hits = shared.with(|state| state.faults.watch(id)).ok_or(StatusCode::NOT_FOUND)?;
    if wait {
        // An error means that the fault was cleared, which the look-up below will tell.
        let _ = hits.wait_for(|hits| *hits > 0).await;
    }
    let views = shared.with(|state| state.faults.views());
    views.into_iter().find(|view| view.id == id).map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn faults_clear(State(shared): Sim) -> StatusCode {
    shared.with(|state| state.faults.clear());
    StatusCode::NO_CONTENT
}

async fn state(State(shared): Sim) -> Json<Value> {
    Json(json!({"servers": shared.servers(), "ssh_keys": shared.ssh_keys()}))
}

async fn requests(State(shared): Sim) -> Json<Vec<RequestView>> {
    Json(shared.requests())
}

fn found(found: bool) -> StatusCode {
    if found { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

async fn server_off(State(shared): Sim, Path(id): Path<u64>) -> StatusCode {
    found(shared.server_set(|it, _| it == id, ServerStatus::Off))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Status {
    status: ServerStatus,
}

async fn server_status(State(shared): Sim, Path(id): Path<u64>, Json(Status { status }): Json<Status>) -> StatusCode {
    found(shared.server_set(|it, _| it == id, status))
}

async fn server_remove(State(shared): Sim, Path(id): Path<u64>) -> StatusCode {
    found(shared.server_remove(|it, _| it == id))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Capacity {
    server_type: String,
    location: String,
    available: bool,
}

async fn capacity(State(shared): Sim, Json(it): Json<Capacity>) -> StatusCode {
    shared.capacity_set(&it.server_type, &it.location, it.available);
    StatusCode::NO_CONTENT
}
