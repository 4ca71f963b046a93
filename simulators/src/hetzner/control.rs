//! The control endpoint, for tests in other processes: faults, state, the request log, drift.
//! Rule: it lies outside `/v1`, needs no token, and is never counted as a request.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::{delete, get, post, put},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    behind::ForeignServer,
    config::RateLimit,
    fault::{Fault, FaultId, FaultView},
    shared::Shared,
    view::{RequestView, ServerView},
    world::{OfferChange, ServerStatus},
};

type Sim = State<Arc<Shared>>;

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/faults", get(faults).post(fault_add).delete(faults_clear))
        .route("/faults/{id}", get(fault))
        .route("/state", get(state))
        .route("/requests", get(requests))
        .route("/servers", post(server_add))
        .route("/servers/{id}/power-off", post(server_off))
        .route("/servers/{id}/labels", put(server_labels))
        .route("/servers/{id}/name", put(server_name))
        .route("/servers/{id}/address", post(server_address))
        .route("/servers/{id}/ignore-shutdown", put(server_ignore_shutdown))
        .route("/servers/{id}/status", post(server_status))
        .route("/servers/{id}", delete(server_remove))
        .route("/capacity", post(capacity))
        .route("/catalogue", post(catalogue))
        .route("/rate-limit", put(rate_limit))
        .route("/quota", put(quota))
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

async fn server_add(
    State(shared): Sim,
    Json(server): Json<ForeignServer>,
) -> Result<(StatusCode, Json<ServerView>), StatusCode> {
    let view = shared.server_add(server).ok_or(StatusCode::CONFLICT)?;
    Ok((StatusCode::CREATED, Json(view)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewLabels {
    labels: BTreeMap<String, String>,
}

async fn server_labels(State(shared): Sim, Path(id): Path<u64>, Json(new): Json<NewLabels>) -> StatusCode {
    found(shared.server_change(|it, _| it == id, |server| server.labels = new.labels))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewName {
    name: String,
}

async fn server_name(State(shared): Sim, Path(id): Path<u64>, Json(new): Json<NewName>) -> StatusCode {
    found(shared.server_change(|it, _| it == id, |server| server.name = new.name))
}

async fn server_address(State(shared): Sim, Path(id): Path<u64>) -> Result<Json<Value>, StatusCode> {
    let address = shared.server_move(|it, _| it == id).ok_or(StatusCode::NOT_FOUND)?;
    Ok(Json(json!({"ipv4": address})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ignore {
    ignore: bool,
}

async fn server_ignore_shutdown(State(shared): Sim, Path(id): Path<u64>, Json(it): Json<Ignore>) -> StatusCode {
    found(shared.server_change(|it, _| it == id, |server| server.ignores_shutdown = it.ignore))
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Going {
    announced: String,
    unavailable_after: String,
}

/// What is absent stays as it was.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfferBody {
    server_type: String,
    location: String,
    available: Option<bool>,
    recommended: Option<bool>,
    deprecation: Option<Going>,
}

async fn catalogue(State(shared): Sim, Json(it): Json<OfferBody>) -> StatusCode {
    shared.offer_set(OfferChange {
        server_type: it.server_type,
        location: it.location,
        available: it.available,
        recommended: it.recommended,
        deprecation: it.deprecation.map(|it| (it.announced, it.unavailable_after)),
    });
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitBody {
    limit: u32,
    /// In which an empty bucket refills; 0 is never.
    window_seconds: f64,
    /// A full bucket when absent.
    left: Option<u32>,
}

async fn rate_limit(State(shared): Sim, Json(it): Json<LimitBody>) -> StatusCode {
    let Ok(window) = Duration::try_from_secs_f64(it.window_seconds) else { return StatusCode::UNPROCESSABLE_ENTITY };
    shared.rate_limit_set(RateLimit::per_window(it.limit, window), it.left);
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Quota {
    servers: usize,
}

async fn quota(State(shared): Sim, Json(it): Json<Quota>) -> StatusCode {
    shared.server_quota_set(it.servers);
    StatusCode::NO_CONTENT
}
