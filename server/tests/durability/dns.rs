//! A node with a name: the shipped binary is killed at every request it makes to the DNS vendor, while
//! the name is made and while it is taken away. In the end there is one name or none, and no server is
//! left without one.

use std::time::Duration;

use futures::StreamExt as _;
use serde_json::{Value, json};
use simulators::{Fault, FaultEffect, Match};

use crate::{
    AT_ONCE, MOST_REQUESTS, Stage,
    dns_beds::{Call, DnsBed, Trouble, bind::BindBed, cloudflare::CloudflareBed, hetzner::HetznerBed},
    process::{Engine, Hangar, Home, engines},
    vendor,
};

/// Runs `stage` and kills Hangar at its request `nth` to the DNS vendor, before or after that was
/// carried out; answers whether there was such a request.
async fn run<B: DnsBed>(engine: Engine, stage: Stage, nth: u32, after_effect: bool) -> bool {
    let (servers, bed) = (vendor().await, B::start().await);
    let before = bed.records().await;
    let home = Home::new(engine).await;
    let deadline = format!("{}ms", B::NAME_DEADLINE.as_millis());
    // Nothing but the job asks the vendor meanwhile.
    let quiet = [("HANGAR_OBSERVE_INTERVAL", "1h"), ("HANGAR_NAME_DEADLINE", deadline.as_str())];
    let mut hangar = Hangar::start(&home, &quiet).await;
    let provider = hangar.connect(&servers).await;
    let names = hangar.post("/api/v1/providers", bed.connection("names"), 201).await;
    assert_eq!(names["status"], "connected", "{names:#}");
    let hang = || assert!(bed.trouble(Call::Any, nth, Trouble::Hang { after_effect }));
    // The name is asked for once the server stands, so that there is time to set the trap.
    servers.fault(Fault::next(Match::ServerCreate, FaultEffect::Slow { ms: 500 }));
    let wish = json!({
        "provider_id": provider, "name": "alpha", "server_type": "cx23", "location": "fsn1", "image": "debian-12",
        "profile": "none", "dns": {"provider_id": names["id"], "zone": bed.zone(), "name": "alpha"},
    });
    let accepted = hangar.post("/api/v1/nodes", wish, 202).await;
    let node = accepted["node_id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/nodes/{node}");
    let mut hit = false;
    if stage == Stage::Provision {
        hang();
        tokio::select! {
            () = bed.met() => hit = true,
            _ = hangar.wait_for(&path, "ready", |n| n["state"] == "ready") => {}
        }
        if hit {
            hangar.kill().await;
            bed.calm();
            hangar = Hangar::start(&home, &quiet).await;
        }
        bed.calm();
    }
    let what = format!("{engine:?} {stage:?} at request {nth}");
    let ready = hangar.node_becomes(&node, "ready").await;
    assert_eq!(ready["fqdn"], json!(format!("alpha.{}", bed.zone())), "{what}: {ready:#}");
    for kind in ["A", "AAAA"] {
        assert_eq!(bed.contents("alpha", kind).await.len(), 1, "{what}: {kind}");
    }
    assert_eq!(servers.servers().len(), 1, "{what}");

    if stage == Stage::Destroy {
        hang();
    }
    hangar.post(&format!("{path}/actions/destroy-node"), json!({}), 202).await;
    if stage == Stage::Destroy {
        tokio::select! {
            () = bed.met() => hit = true,
            _ = hangar.wait_for(&path, "destroyed", |n| n["state"] == "destroyed") => {}
        }
        if hit {
            assert_eq!(servers.servers().len(), 1, "names first, then the server");
            hangar.kill().await;
            bed.calm();
            hangar = Hangar::start(&home, &quiet).await;
        }
        bed.calm();
    }
    hangar.node_becomes(&node, "destroyed").await;
    assert_eq!((servers.servers(), bed.records().await), (vec![], before), "{what}");
    let own = hangar.get("/api/v1/dns-records").await;
    let at_rest = |it: &Value| it["state"] == "deleted" && it["cleanup"] != "pending";
    assert!(own["items"].as_array().unwrap().iter().all(at_rest), "{own:#}");
    hangar.end().await;
    servers.shutdown().await;
    home.end().await;
    hit
}

async fn matrix<B: DnsBed>(engines: &[Engine], stage: Stage, least: usize) {
    for engine in engines {
        for after_effect in [false, true] {
            let mut reached = 0;
            let mut first = 1;
            while first <= MOST_REQUESTS {
                let batch = first..first + u32::try_from(AT_ONCE).unwrap();
                let hits: Vec<bool> = futures::stream::iter(batch)
                    .map(|nth| run::<B>(*engine, stage, nth, after_effect))
                    .buffered(AT_ONCE)
                    .collect()
                    .await;
                reached += hits.iter().filter(|hit| **hit).count();
                if hits.contains(&false) {
                    break;
                }
                first += u32::try_from(AT_ONCE).unwrap();
            }
            assert!(reached >= least, "{engine:?} {stage:?}: only {reached} requests were reached");
        }
    }
}

/// A stage at one vendor, where that can be had here.
async fn killed<B: DnsBed>(engines: &[Engine], stage: Stage, least: usize) {
    if B::is_here() {
        tokio::time::timeout(Duration::from_secs(900), matrix::<B>(engines, stage, least)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_survives_a_kill_at_every_request() {
    killed::<CloudflareBed>(&engines(), Stage::Provision, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_name_survives_a_kill_at_every_request() {
    killed::<CloudflareBed>(&engines(), Stage::Destroy, 3).await;
}

// What the vendor sees does not depend on the database: one is enough for the others.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_at_bind_survives_a_kill_at_every_request() {
    killed::<BindBed>(&[Engine::Sqlite], Stage::Provision, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_name_at_bind_survives_a_kill_at_every_request() {
    killed::<BindBed>(&[Engine::Sqlite], Stage::Destroy, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_at_hetzner_survives_a_kill_at_every_request() {
    killed::<HetznerBed>(&[Engine::Sqlite], Stage::Provision, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_name_at_hetzner_survives_a_kill_at_every_request() {
    killed::<HetznerBed>(&[Engine::Sqlite], Stage::Destroy, 3).await;
}
