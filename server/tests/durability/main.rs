//! Nothing leaks, nothing is given twice: the shipped binary is killed at every request it makes to
//! the vendor, loses every answer, and runs in two processes on one database.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at the first surprise")]

mod dns;
#[path = "../dns_beds/mod.rs"]
mod dns_beds;
mod gate;
mod process;
mod stacks;
mod verbs;

use std::{sync::Arc, time::Duration};

use futures::StreamExt as _;
use process::{Engine, Hangar, Home, TOKEN, engines};
use serde_json::json;
use simulators::{Fault, FaultEffect, Hetzner, HetznerConfig, Match, RateLimit, TokenAccess};

/// Cases at work at once: most of their time is waiting.
const AT_ONCE: usize = 6;
/// A stage that makes more requests than this is not one of ours.
const MOST_REQUESTS: u32 = 40;

async fn vendor() -> Hetzner {
    Hetzner::start(HetznerConfig {
        tokens: vec![(TOKEN.to_owned(), TokenAccess::ReadWrite)],
        action_time: Duration::from_millis(5),
        rate_limit: RateLimit { limit: 36_000, refill_per_second: 1_000.0 },
        ..HetznerConfig::default()
    })
    .await
    .unwrap()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Provision,
    Destroy,
}

/// Runs `stage` with `effect` at its request `nth`; answers whether there was such a request.
async fn run(engine: Engine, stage: Stage, nth: u32, effect: FaultEffect, kill: bool) -> bool {
    let vendor = vendor().await;
    let home = Home::new(engine).await;
    let mut hangar = Hangar::start(&home, &[]).await;
    let provider = hangar.connect(&vendor).await;
    let keys = vendor.ssh_keys().len();
    let fault = || Fault { nth, ..Fault::next(Match::Any, effect.clone()) };

    let mut armed = (stage == Stage::Provision).then(|| vendor.fault(fault()));
    let (node, _) = hangar.acquire(&provider, "alpha").await;
    let mut hit = false;
    if let Some(id) = armed.take() {
        let path = format!("/api/v1/nodes/{node}");
        tokio::select! {
            () = vendor.fault_hit(id) => hit = true,
            _ = hangar.wait_for(&path, "ready or failed", |n| n["state"] == "ready") => {}
        }
        if hit && kill {
            hangar.kill().await;
            vendor.clear_faults();
            hangar = Hangar::start(&home, &[]).await;
        }
        // What was not met in this stage is not left lying for the next.
        vendor.clear_faults();
    }
    let ready = hangar.node_becomes(&node, "ready").await;
    let servers = vendor.servers();
    assert_eq!(servers.len(), 1, "{engine:?} {stage:?} at request {nth}: {servers:#?}");
    assert_eq!(ready["infra_id"], servers[0].id.to_string());
    assert_eq!(ready["cleanup"], "none");
    assert_eq!(vendor.ssh_keys().len(), keys, "the managed key is registered once");

    if stage == Stage::Destroy {
        armed = Some(vendor.fault(fault()));
    }
    hangar.post(&format!("/api/v1/nodes/{node}/actions/destroy-node"), json!({}), 202).await;
    if let Some(id) = armed {
        let path = format!("/api/v1/nodes/{node}");
        tokio::select! {
            () = vendor.fault_hit(id) => hit = true,
            _ = hangar.wait_for(&path, "destroyed", |n| n["state"] == "destroyed") => {}
        }
        if hit && kill {
            hangar.kill().await;
            vendor.clear_faults();
            hangar = Hangar::start(&home, &[]).await;
        }
        // What was not met in this stage is not left lying for the next.
        vendor.clear_faults();
    }
    hangar.node_becomes(&node, "destroyed").await;
    assert!(vendor.servers().is_empty(), "{engine:?} {stage:?} at request {nth}: {:#?}", vendor.servers());
    let open = hangar.get("/api/v1/jobs?status=running").await;
    assert_eq!(open["items"].as_array().unwrap().len(), 0, "no job is left: {open:#}");
    hangar.end().await;
    vendor.shutdown().await;
    home.end().await;
    hit
}

/// Runs the whole matrix: every request of a stage, on every engine, with every effect.
async fn matrix(stage: Stage, effects: &[FaultEffect], kill: bool) {
    for engine in engines() {
        for effect in effects {
            let mut reached = 0;
            let mut first = 1;
            // Cases run in batches until a batch finds no further request.
            while first <= MOST_REQUESTS {
                let batch = first..first + u32::try_from(AT_ONCE).unwrap();
                let hits: Vec<bool> = futures::stream::iter(batch)
                    .map(|nth| run(engine, stage, nth, effect.clone(), kill))
                    .buffered(AT_ONCE)
                    .collect()
                    .await;
                reached += hits.iter().filter(|hit| **hit).count();
                if hits.contains(&false) {
                    break;
                }
                first += u32::try_from(AT_ONCE).unwrap();
            }
            let least = if stage == Stage::Provision { 4 } else { 2 };
            assert!(reached >= least, "{engine:?} {stage:?} {effect:?}: only {reached} requests were reached");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acquisition_survives_a_kill_at_every_request() {
    let effects = [FaultEffect::Hang { after_effect: false }, FaultEffect::Hang { after_effect: true }];
    matrix(Stage::Provision, &effects, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destruction_survives_a_kill_at_every_request() {
    let effects = [FaultEffect::Hang { after_effect: false }, FaultEffect::Hang { after_effect: true }];
    matrix(Stage::Destroy, &effects, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acquisition_survives_every_lost_answer() {
    matrix(Stage::Provision, &[FaultEffect::LostAnswer, FaultEffect::Reset { after_effect: true }], false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destruction_survives_every_lost_answer() {
    matrix(Stage::Destroy, &[FaultEffect::LostAnswer, FaultEffect::Reset { after_effect: true }], false).await;
}

/// Two processes share one PostgreSQL; one is killed in the middle of 60 acquisitions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_make_sixty_nodes_though_one_is_killed() {
    if !engines().contains(&Engine::Postgres) {
        return;
    }
    let vendor = Arc::new(vendor().await);
    let home = Home::new(Engine::Postgres).await;
    let first = Hangar::start_as(&home, "first", &[]).await;
    let provider = first.connect(&vendor).await;
    let second = Hangar::start_as(&home, "second", &[]).await;
    let middle =
        vendor.fault(Fault { nth: 30, ..Fault::next(Match::ServerCreate, FaultEffect::Hang { after_effect: true }) });
    let mut nodes = Vec::new();
    for n in 0..60 {
        let at = if n % 2 == 0 { &first } else { &second };
        nodes.push(at.acquire(&provider, &format!("node-{n}")).await.0);
    }
    vendor.fault_hit(middle).await;
    first.kill().await;
    vendor.clear_faults();
    for node in &nodes {
        let ready = second.node_becomes(node, "ready").await;
        assert_eq!(ready["code"], serde_json::Value::Null, "{ready:#}");
    }
    let servers = vendor.servers();
    assert_eq!(servers.len(), 60);
    let mut labelled: Vec<_> = servers.iter().filter_map(|s| s.labels.get("hangar-node").cloned()).collect();
    labelled.sort();
    nodes.sort();
    assert_eq!(labelled, nodes, "each server belongs to one node, and each node has one");
    let failed = second.get("/api/v1/jobs?status=failed").await;
    assert_eq!(failed["items"].as_array().unwrap().len(), 0, "{failed:#}");
    second.end().await;
    home.end().await;
}
