//! The control endpoint, for tests in other processes: faults, state, the log of calls, what is done
//! behind everybody's back. Rule: it lies outside the API, needs no token, and is never counted.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::{delete, get, patch, post, put},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    behind::{RecordChange, RecordSeed},
    config::CallLimit,
    fault::{CloudflareFault, CloudflareFaultId, FaultView},
    limit::Calls,
    shared::{CallView, Shared},
};

type Sim = State<Arc<Shared>>;

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/faults", get(faults).post(fault_add).delete(faults_clear))
        .route("/faults/{id}", get(fault))
        .route("/state", get(state))
        .route("/requests", get(requests))
        .route("/records", post(record_put))
        .route("/records/{id}", patch(record_change).delete(record_remove))
        .route("/zones", post(zone_add))
        .route("/zones/{name}", delete(zone_remove))
        .route("/quota", put(quota))
        .route("/rate-limit", put(rate_limit))
}

async fn fault_add(State(shared): Sim, Json(fault): Json<CloudflareFault>) -> (StatusCode, Json<Value>) {
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
) -> Result<Json<u32>, StatusCode> {
    let id = CloudflareFaultId(id);
    let mut hits = shared.with(|state| state.faults.watch(id)).ok_or(StatusCode::NOT_FOUND)?;
    if wait && hits.wait_for(|hits| *hits > 0).await.is_err() {
        return Err(StatusCode::NOT_FOUND);
    }
    Ok(Json(*hits.borrow()))
}

async fn faults_clear(State(shared): Sim) -> StatusCode {
    shared.with(|state| state.faults.clear());
    StatusCode::NO_CONTENT
}

async fn state(State(shared): Sim) -> Json<Value> {
    let zones = shared.with(|state| {
        let names: Vec<_> = state.world.saved.zones.iter().map(|zone| (zone.id.clone(), zone.name.clone())).collect();
        let view = |(id, name): (String, String)| {
            let records = state.world.records_of(&name);
            json!({"id": id, "name": name, "records": records})
        };
        names.into_iter().map(view).collect::<Vec<_>>()
    });
    Json(json!({"zones": zones}))
}

async fn requests(State(shared): Sim) -> Json<Vec<CallView>> {
    Json(shared.calls())
}

fn found(found: bool) -> StatusCode {
    if found { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

async fn record_put(State(shared): Sim, Json(seed): Json<RecordSeed>) -> StatusCode {
    found(shared.with(|state| state.world.record_put(&[seed])))
}

async fn record_change(State(shared): Sim, Path(id): Path<String>, Json(change): Json<RecordChange>) -> StatusCode {
    found(shared.with(|state| state.world.record_change(|record| record.id == id, &change)) > 0)
}

async fn record_remove(State(shared): Sim, Path(id): Path<String>) -> StatusCode {
    found(shared.with(|state| state.world.record_remove(|record| record.id == id)) > 0)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewZone {
    name: String,
}

async fn zone_add(State(shared): Sim, Json(zone): Json<NewZone>) -> StatusCode {
    let added = shared.with(|state| state.world.zone_add(&zone.name));
    if added { StatusCode::CREATED } else { StatusCode::CONFLICT }
}

async fn zone_remove(State(shared): Sim, Path(name): Path<String>) -> StatusCode {
    found(shared.with(|state| state.world.zone_remove(&name)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Quota {
    records: usize,
}

async fn quota(State(shared): Sim, Json(it): Json<Quota>) -> StatusCode {
    shared.with(|state| state.world.record_quota = it.records);
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitBody {
    calls: u32,
    window_seconds: u64,
    block_seconds: u64,
}

async fn rate_limit(State(shared): Sim, Json(it): Json<LimitBody>) -> StatusCode {
    let limit = CallLimit {
        calls: it.calls,
        window: Duration::from_secs(it.window_seconds),
        block: Duration::from_secs(it.block_seconds),
    };
    shared.with(|state| state.calls = Calls::new(limit));
    StatusCode::NO_CONTENT
}
