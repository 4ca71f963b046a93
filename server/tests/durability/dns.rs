//! A node with a name: the shipped binary is killed at every request it makes to the DNS vendor, while
//! the name is made and while it is taken away. In the end there is one name or none, and no server is
//! left without one.

use std::time::Duration;

use futures::StreamExt as _;
use serde_json::{Value, json};
use simulators::{
    Cloudflare, CloudflareCall, CloudflareConfig, CloudflareEffect, CloudflareFault, Fault, FaultEffect, Match,
    RecordSeed,
};

use crate::{
    AT_ONCE, MOST_REQUESTS, Stage,
    process::{Engine, Hangar, Home, engines},
    vendor,
};

const ZONE: &str = "hangar.test";

async fn names() -> Cloudflare {
    let sim = Cloudflare::start(CloudflareConfig { zones: vec![ZONE.to_owned()], ..CloudflareConfig::default() })
        .await
        .unwrap();
    assert!(sim.put_records(&[RecordSeed::new("www.hangar.test", "A", "198.51.100.1")]));
    sim
}

async fn connect(hangar: &Hangar, sim: &Cloudflare) -> String {
    let settings = json!({"endpoint": sim.endpoint(), "dns_servers": sim.dns_address().to_string()});
    let secret = json!({"api_token": "c".repeat(40)});
    let body = json!({"kind": "cloudflare", "name": "names", "settings": settings, "secret": secret});
    hangar.post("/api/v1/providers", body, 201).await["id"].as_str().unwrap().to_owned()
}

/// Runs `stage` and kills Hangar at its request `nth` to the DNS vendor, before or after that was
/// carried out; answers whether there was such a request.
async fn run(engine: Engine, stage: Stage, nth: u32, after_effect: bool) -> bool {
    let (servers, sim) = (vendor().await, names().await);
    let before = sim.records(ZONE);
    let home = Home::new(engine).await;
    // Nothing but the job asks the vendor meanwhile.
    let quiet = [("HANGAR_OBSERVE_INTERVAL", "1h")];
    let mut hangar = Hangar::start(&home, &quiet).await;
    let (provider, dns) = (hangar.connect(&servers).await, connect(&hangar, &sim).await);
    let hang = || CloudflareFault {
        nth,
        ..CloudflareFault::next(CloudflareCall::Any, CloudflareEffect::Hang { after_effect })
    };
    // The name is asked for once the server stands, so that there is time to set the trap.
    servers.fault(Fault::next(Match::ServerCreate, FaultEffect::Slow { ms: 500 }));
    let wish = json!({
        "provider_id": provider, "name": "alpha", "server_type": "cx23", "location": "fsn1", "image": "debian-12",
        "profile": "none", "dns": {"provider_id": dns, "zone": ZONE, "name": "alpha"},
    });
    let accepted = hangar.post("/api/v1/nodes", wish, 202).await;
    let node = accepted["node_id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/nodes/{node}");
    let mut hit = false;
    if stage == Stage::Provision {
        let fault = sim.fault(hang());
        tokio::select! {
            () = sim.fault_hit(fault) => hit = true,
            _ = hangar.wait_for(&path, "ready", |n| n["state"] == "ready") => {}
        }
        if hit {
            hangar.kill().await;
            sim.clear_faults();
            hangar = Hangar::start(&home, &quiet).await;
        }
        sim.clear_faults();
    }
    let ready = hangar.node_becomes(&node, "ready").await;
    assert_eq!(ready["fqdn"], "alpha.hangar.test", "{ready:#}");
    let ours: Vec<Value> = sim.records(ZONE).into_iter().filter(|it| it["name"] == "alpha.hangar.test").collect();
    let mut kinds: Vec<_> = ours.iter().map(|it| it["type"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!((kinds, servers.servers().len()), (vec!["A", "AAAA"], 1), "{engine:?} at request {nth}: {ours:#?}");

    let fault = (stage == Stage::Destroy).then(|| sim.fault(hang()));
    hangar.post(&format!("{path}/actions/destroy-node"), json!({}), 202).await;
    if let Some(fault) = fault {
        tokio::select! {
            () = sim.fault_hit(fault) => hit = true,
            _ = hangar.wait_for(&path, "destroyed", |n| n["state"] == "destroyed") => {}
        }
        if hit {
            assert_eq!(servers.servers().len(), 1, "names first, then the server");
            hangar.kill().await;
            sim.clear_faults();
            hangar = Hangar::start(&home, &quiet).await;
        }
        sim.clear_faults();
    }
    hangar.node_becomes(&node, "destroyed").await;
    assert_eq!((servers.servers(), sim.records(ZONE)), (vec![], before), "{engine:?} {stage:?} at request {nth}");
    let own = hangar.get("/api/v1/dns-records").await;
    let at_rest = |it: &Value| it["state"] == "deleted" && it["cleanup"] != "pending";
    assert!(own["items"].as_array().unwrap().iter().all(at_rest), "{own:#}");
    hangar.end().await;
    servers.shutdown().await;
    sim.shutdown().await;
    home.end().await;
    hit
}

async fn matrix(stage: Stage, least: usize) {
    for engine in engines() {
        for after_effect in [false, true] {
            let mut reached = 0;
            let mut first = 1;
            while first <= MOST_REQUESTS {
                let batch = first..first + u32::try_from(AT_ONCE).unwrap();
                let hits: Vec<bool> = futures::stream::iter(batch)
                    .map(|nth| run(engine, stage, nth, after_effect))
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_survives_a_kill_at_every_request() {
    tokio::time::timeout(Duration::from_secs(900), matrix(Stage::Provision, 3)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_name_survives_a_kill_at_every_request() {
    tokio::time::timeout(Duration::from_secs(900), matrix(Stage::Destroy, 3)).await.unwrap();
}
