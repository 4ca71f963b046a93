//! Names: the shipped binary is killed at every request it makes to the DNS vendor, while a name is made
//! and while it is taken away, with a node and by hand. In the end there is one name or none, and no
//! server is left without one.

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

/// The same for a record made by hand.
async fn run_by_hand<B: DnsBed>(engine: Engine, stage: Stage, nth: u32, after_effect: bool) -> bool {
    let bed = B::start().await;
    let before = bed.records().await;
    let home = Home::new(engine).await;
    let deadline = format!("{}ms", B::NAME_DEADLINE.as_millis());
    let quiet = [("HANGAR_OBSERVE_INTERVAL", "1h"), ("HANGAR_NAME_DEADLINE", deadline.as_str())];
    let mut hangar = Hangar::start(&home, &quiet).await;
    let names = hangar.post("/api/v1/providers", bed.connection("names"), 201).await;
    let what = format!("{engine:?} {stage:?} at request {nth}");
    let mut hit = false;
    let mut record = String::new();
    for now in [Stage::Provision, Stage::Destroy] {
        if now == stage {
            assert!(bed.trouble(Call::Any, nth, Trouble::Hang { after_effect }));
        }
        let wish = json!({
            "provider_id": names["id"], "zone": bed.zone(), "name": "alpha", "type": "A", "content": "192.0.2.7",
        });
        let (path, wish) = match now {
            Stage::Provision => ("/api/v1/dns-records".to_owned(), wish),
            Stage::Destroy => (format!("/api/v1/dns-records/{record}/actions/delete-dns-record"), json!({})),
        };
        let accepted = tokio::select! {
            accepted = hangar.post(&path, wish, 202) => Some(accepted),
            () = bed.met(), if now == stage => None,
        };
        let mut met = accepted.is_none();
        if let (Some(accepted), Stage::Provision) = (&accepted, now) {
            record = accepted["dns_record_id"].as_str().unwrap().to_owned();
        }
        let wanted = if now == Stage::Provision { "active" } else { "deleted" };
        if now == stage && !met {
            let path = format!("/api/v1/dns-records/{record}");
            tokio::select! {
                () = bed.met() => met = true,
                _ = hangar.wait_for(&path, wanted, |it| it["state"] == wanted) => {}
            }
        }
        if met {
            hit = true;
            hangar.kill().await;
            bed.calm();
            hangar = Hangar::start(&home, &quiet).await;
        }
        bed.calm();
        if record.is_empty() {
            // The zone is looked at before the record is written down: whoever was cut off there was
            // promised nothing.
            let written = hangar.get("/api/v1/dns-records").await;
            let Some(first) = written["items"].get(0) else { break };
            record = first["id"].as_str().unwrap().to_owned();
        }
        let path = format!("/api/v1/dns-records/{record}");
        // Nor was whoever was cut off before the deletion was written down: what met the trouble then
        // was a last look of what made the record.
        if now == Stage::Destroy && accepted.is_none() && hangar.get(&path).await["state"] == "active" {
            hangar.post(&format!("{path}/actions/delete-dns-record"), json!({}), 202).await;
        }
        let at_rest = |it: &Value| it["state"] == wanted && it["job"]["status"] == "succeeded";
        hangar.wait_for(&path, wanted, at_rest).await;
        let stands = bed.contents("alpha", "A").await;
        assert_eq!(stands.len(), usize::from(now == Stage::Provision), "{what}: {stands:?}");
    }
    assert_eq!(bed.records().await, before, "{what}");
    hangar.end().await;
    home.end().await;
    hit
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    WithANode,
    ByHand,
}

async fn matrix<B: DnsBed>(engines: &[Engine], made: Made, stage: Stage, least: usize) {
    for engine in engines {
        for after_effect in [false, true] {
            let mut reached = 0;
            let mut first = 1;
            while first <= MOST_REQUESTS {
                let batch = first..first + u32::try_from(AT_ONCE).unwrap();
                let hits: Vec<bool> = futures::stream::iter(batch)
                    .map(|nth| async move {
                        match made {
                            Made::WithANode => run::<B>(*engine, stage, nth, after_effect).await,
                            Made::ByHand => run_by_hand::<B>(*engine, stage, nth, after_effect).await,
                        }
                    })
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
async fn killed<B: DnsBed>(engines: &[Engine], made: Made, stage: Stage, least: usize) {
    if B::is_here() {
        tokio::time::timeout(Duration::from_secs(900), matrix::<B>(engines, made, stage, least)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_survives_a_kill_at_every_request() {
    killed::<CloudflareBed>(&engines(), Made::WithANode, Stage::Provision, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_name_survives_a_kill_at_every_request() {
    killed::<CloudflareBed>(&engines(), Made::WithANode, Stage::Destroy, 3).await;
}

// What the vendor sees does not depend on the database: one is enough for all the others.

macro_rules! at {
    ($name:ident: $bed:ty, $($test:ident: $made:ident $stage:ident)*) => {
        mod $name {
            use super::{Engine, Made, Stage, killed};

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    killed::<$bed>(&[Engine::Sqlite], Made::$made, Stage::$stage, 2).await;
                }
            )*
        }
    };
}

at! { cloudflare: super::CloudflareBed,
    a_record_survives_a_kill_at_every_request: ByHand Provision
    the_end_of_a_record_survives_a_kill_at_every_request: ByHand Destroy
}
at! { bind9: super::BindBed,
    a_name_survives_a_kill_at_every_request: WithANode Provision
    the_end_of_a_name_survives_a_kill_at_every_request: WithANode Destroy
    a_record_survives_a_kill_at_every_request: ByHand Provision
    the_end_of_a_record_survives_a_kill_at_every_request: ByHand Destroy
}
at! { hetzner: super::HetznerBed,
    a_name_survives_a_kill_at_every_request: WithANode Provision
    the_end_of_a_name_survives_a_kill_at_every_request: WithANode Destroy
    a_record_survives_a_kill_at_every_request: ByHand Provision
    the_end_of_a_record_survives_a_kill_at_every_request: ByHand Destroy
}
