//! What the vendor has and nobody answers for: reported, left alone for a while, and taken away only
//! when somebody asks; never anything else.

use std::collections::BTreeSet;

use domain::{
    id::NodeId,
    time::{MINUTE, SECOND},
};
use serde_json::{Value, json};
use simulators::{Fault, FaultEffect, ForeignServer, Hetzner, Match};

use crate::{
    allocations::all,
    app::{Setup, TestApp, on_each},
    nodes::{acquire, act, connect, vendor},
};

/// A server with this installation's labels, for a node of this id.
fn leave(app: &TestApp, vendor: &Hetzner, name: &str, node: Option<&str>) -> u64 {
    let mut labels = vec![("managed-by", "hangar"), ("hangar-instance", app.services.instance())];
    labels.extend(node.map(|node| ("hangar-node", node)));
    vendor.add_server(ForeignServer::new(name, &labels)).unwrap().id
}

async fn report(app: &TestApp) -> Value {
    app.admin().get("/api/v1/orphans").await.json()
}

async fn sweep(app: &TestApp, query: &str) -> Value {
    let reply = app.admin().post(&format!("/api/v1/orphans/sweep{query}"), json!({})).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()
}

fn names(items: &Value) -> Vec<&str> {
    items.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect()
}

const UNKNOWN: &str = "nod_0190a5b4000070008000000000000001";

#[tokio::test]
async fn what_nobody_answers_for_is_reported_first_and_swept_alone() {
    on_each(Setup::usual().with_jobs(), async |app: &TestApp| {
        let vendor = vendor().await;
        let provider = connect(app, &vendor).await;
        let (live, _) = acquire(app, &provider, json!({})).await;
        app.node_is(&live, "ready").await;
        // Somebody else's, another installation's, ours of nobody, one of a live node that has another.
        vendor.add_server(ForeignServer::new("theirs", &[("managed-by", "terraform")])).unwrap();
        let other = [("managed-by", "hangar"), ("hangar-instance", "another"), ("hangar-node", UNKNOWN)];
        vendor.add_server(ForeignServer::new("other-hangar", &other)).unwrap();
        leave(app, &vendor, "left", Some(UNKNOWN));
        leave(app, &vendor, "double", Some(&live));
        leave(app, &vendor, "nameless", None);
        app.observed().await;
        let found = report(app).await;
        let known: BTreeSet<_> = names(&found["items"]).into_iter().collect();
        assert_eq!(known, BTreeSet::from(["left", "double", "nameless"]), "{found:#}");
        assert_eq!((&found["can_sweep"], &found["grace_seconds"]), (&json!(false), &json!(1_800)));
        for it in found["items"].as_array().unwrap() {
            assert!(it["reason"].as_str().unwrap().ends_with('.') && it["guidance"].as_str().unwrap().ends_with('.'));
        }
        let early = sweep(app, "").await;
        assert_eq!((&early["swept"], &early["jobs"]), (&json!([]), &json!([])), "within the grace period: {early:#}");
        assert_eq!(early["kept"].as_array().unwrap().len(), 3);
        for _ in 0..30 {
            app.observed().await;
        }
        let before = vendor.servers();
        let dry = sweep(app, "?dry_run=1").await;
        let swept: BTreeSet<_> = names(&dry["swept"]).into_iter().collect();
        assert_eq!(
            (swept, &dry["jobs"], &dry["dry_run"]),
            (BTreeSet::from(["left", "double"]), &json!([]), &json!(true))
        );
        assert_eq!(names(&dry["kept"]), ["nameless"]);
        assert_eq!(vendor.servers(), before, "a dry run does nothing");
        assert_eq!(report(app).await["can_sweep"], true);
        let begun = sweep(app, "").await;
        let job = begun["jobs"][0].as_str().unwrap();
        let done = app.job_is(job, "succeeded").await;
        assert_eq!((&done["kind"], done["steps"].as_array().unwrap().len()), (&json!("orphan_sweep"), 2), "{done:#}");
        let left: Vec<_> = before.into_iter().filter(|it| it.name != "left" && it.name != "double").collect();
        assert_eq!(vendor.servers(), left, "exactly those, and nothing of the others changed");
        assert_eq!(names(&report(app).await["items"]), ["nameless"]);
        let history = app.admin().get(&format!("/api/v1/providers/{provider}/history")).await.json();
        let told = history["items"].as_array().unwrap().iter().filter(|it| it["action"] == "orphan.swept").count();
        assert_eq!(told, 2, "one line for each: {history:#}");
        vendor.shutdown().await;
    })
    .await;
}

/// Between the decision and the deletion things change: each is looked at once more.
#[tokio::test]
async fn each_is_looked_at_again_before_it_is_deleted() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let vendor = vendor().await;
        let provider = connect(app, &vendor).await;
        for name in ["adopted", "vanished", "relabelled", "left"] {
            leave(app, &vendor, name, Some(UNKNOWN));
        }
        for _ in 0..31 {
            app.observed().await;
        }
        let begun = sweep(app, "").await;
        assert_eq!(begun["swept"].as_array().unwrap().len(), 4, "{begun:#}");
        let again = sweep(app, "").await;
        assert_eq!((&again["swept"], again["kept"].as_array().unwrap().len()), (&json!([]), 4), "{again:#}");
        vendor.remove_server("vanished");
        vendor.set_server_labels("relabelled", &[("keep", "me")]);
        // A node has taken this one for its own meanwhile.
        let id = vendor.servers().iter().find(|it| it.name == "adopted").unwrap().id.to_string();
        let (node, node_job) = acquire(app, &provider, json!({})).await;
        assert_eq!(app.admin().post(&format!("/api/v1/jobs/{node_job}/cancel"), json!({})).await.status, 200);
        let node: NodeId = node.parse().unwrap();
        app.services
            .store()
            .write::<(), store::StoreError, _>(move |c| {
                let (node, id) = (node.clone(), id.clone());
                Box::pin(async move {
                    let mut row = c.node_lock(&node).await?.unwrap();
                    row.infra_id = Some(id);
                    c.node_save(&row).await.map(drop)
                })
            })
            .await
            .unwrap();
        let worker = app.worker();
        let done = app.job_is(begun["jobs"][0].as_str().unwrap(), "succeeded").await;
        let ends: Vec<_> = done["steps"].as_array().unwrap().iter().map(|it| it["status"].as_str().unwrap()).collect();
        assert_eq!(ends, ["skipped", "succeeded", "skipped", "succeeded"], "{done:#}");
        assert_eq!(vendor.servers().iter().map(|it| it.name.as_str()).collect::<BTreeSet<_>>().len(), 2);
        assert!(vendor.servers().iter().all(|it| it.name == "adopted" || it.name == "relabelled"));
        app.begin_end();
        worker.await.unwrap();
        vendor.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_sweep_that_fails_stays_visible_and_is_finished_later() {
    on_each(Setup::usual().with_work(|work| work.back_off = vec![5 * SECOND]), async |app: &TestApp| {
        let vendor = vendor().await;
        connect(app, &vendor).await;
        for name in ["one", "two"] {
            leave(app, &vendor, name, Some(UNKNOWN));
        }
        for _ in 0..31 {
            app.observed().await;
        }
        let refused =
            FaultEffect::Status { status: 403, code: "forbidden".to_owned(), message: "no".to_owned(), body: None };
        vendor.fault(Fault { times: 1_000, ..Fault::next(Match::ServerDelete, refused) });
        let begun = sweep(app, "").await;
        let path = format!("/api/v1/jobs/{}", begun["jobs"][0].as_str().unwrap());
        for attempt in 1..=4 {
            let waits = app.until(&path, "tried", |j| j["attempt"] == attempt && j["status"] == "queued").await;
            assert!(waits["error"]["code"].is_string(), "{waits:#}");
            app.advance(7 * SECOND).await;
        }
        app.observed().await;
        assert_eq!(report(app).await["items"].as_array().unwrap().len(), 2, "still to be seen");
        vendor.clear_faults();
        app.advance(MINUTE).await;
        app.until(&path, "done", |j| j["status"] == "succeeded").await;
        assert_eq!((vendor.servers(), &report(app).await["items"]), (vec![], &json!([])));
        vendor.shutdown().await;
    })
    .await;
}

/// A retry would take the server over by its name: it waits until the sweep is over.
#[tokio::test]
async fn what_is_being_swept_is_not_taken_over_by_a_retry() {
    on_each(Setup::usual().with_jobs(), async |app: &TestApp| {
        let vendor = vendor().await;
        let provider = connect(app, &vendor).await;
        let effect = FaultEffect::ActionError { code: "action_failed".to_owned(), message: "no".to_owned() };
        vendor.fault(Fault::next(Match::ServerCreate, effect));
        let (node, _) = acquire(app, &provider, json!({})).await;
        app.until(&format!("/api/v1/nodes/{node}"), "undone", |n| n["cleanup"] == "done").await;
        // What was thought never to come does.
        let late = format!("alpha-{}", node.parse::<NodeId>().unwrap().short());
        leave(app, &vendor, &late, Some(&node));
        for _ in 0..31 {
            app.observed().await;
        }
        assert_eq!(names(&report(app).await["items"]), [late.as_str()]);
        let slow = vendor.fault(Fault::next(Match::ServerDelete, FaultEffect::Slow { ms: 700 }));
        let begun = sweep(app, "").await;
        vendor.fault_hit(slow).await;
        let refused = act(app, &node, "retry-node").await.is_problem(409, "action_blocked");
        assert!(
            refused["gates"].as_array().unwrap().iter().any(|g| g["name"] == "cleanup" && g["result"] == "blocked")
        );
        app.job_is(begun["jobs"][0].as_str().unwrap(), "succeeded").await;
        assert_eq!(vendor.servers(), []);
        assert_eq!(act(app, &node, "retry-node").await.status, 202);
        app.node_is(&node, "ready").await;
        vendor.shutdown().await;
    })
    .await;
}

/// What becomes of a second server says nothing of the one that its node has, and a sweep leaves a node
/// as it found it.
#[tokio::test]
async fn a_sweep_of_a_second_server_writes_no_other_one_off() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let vendor = vendor().await;
        let provider = connect(app, &vendor).await;
        // One that never asked for a server.
        let (never, job) = acquire(app, &provider, json!({"name": "never"})).await;
        assert_eq!(app.admin().post(&format!("/api/v1/jobs/{job}/cancel"), json!({})).await.status, 200);
        let worker = app.worker();
        app.node_is(&never, "failed").await;
        // And one that failed after its server was made, and is kept.
        let (kept, job) = acquire(app, &provider, json!({"profile": "base"})).await;
        app.node_is(&kept, "provisioning").await;
        assert_eq!(app.admin().post(&format!("/api/v1/jobs/{job}/cancel"), json!({})).await.status, 200);
        app.job_is(&job, "cancelled").await;
        let own = vendor.servers()[0].id;
        leave(app, &vendor, "double", Some(&kept));
        leave(app, &vendor, "stray", Some(&never));
        for _ in 0..31 {
            app.observed().await;
        }
        let cleanup = async |node: &str| {
            app.admin().get(&format!("/api/v1/nodes/{node}")).await.json()["cleanup"].as_str().unwrap().to_owned()
        };
        let begun = sweep(app, "").await;
        assert_eq!(begun["swept"].as_array().unwrap().len(), 2, "{begun:#}");
        app.job_is(begun["jobs"][0].as_str().unwrap(), "succeeded").await;
        assert_eq!(vendor.servers().iter().map(|it| it.id).collect::<Vec<_>>(), [own]);
        assert_eq!((cleanup(&kept).await, cleanup(&never).await), ("none".to_owned(), "none".to_owned()));
        let spent = app.admin().get("/api/v1/settings/acquisition").await.json();
        assert_eq!(spent["spend"][0]["nodes"], 1, "it bills: {spent:#}");
        for node in [&kept, &never] {
            assert_eq!(act(app, node, "destroy-node").await.status, 202);
            app.node_is(node, "destroyed").await;
        }
        assert_eq!(vendor.servers(), []);
        app.begin_end();
        worker.await.unwrap();
        vendor.shutdown().await;
    })
    .await;
}

/// What the vendor refuses for good stays reported, and holds up no later sweep of its account.
#[tokio::test]
async fn what_cannot_be_deleted_blocks_no_later_sweep() {
    on_each(Setup::usual().with_jobs(), async |app: &TestApp| {
        let vendor = vendor().await;
        connect(app, &vendor).await;
        for name in ["one", "two"] {
            leave(app, &vendor, name, Some(UNKNOWN));
        }
        for _ in 0..31 {
            app.observed().await;
        }
        let refused =
            FaultEffect::Status { status: 423, code: "protected".to_owned(), message: "no".to_owned(), body: None };
        vendor.fault(Fault::next(Match::ServerDelete, refused));
        let begun = sweep(app, "").await;
        let done = app.job_is(begun["jobs"][0].as_str().unwrap(), "failed").await;
        assert_eq!(done["error"]["code"], "PROVIDER_INVALID_REQUEST", "{done:#}");
        let ends: Vec<_> = done["steps"].as_array().unwrap().iter().map(|it| it["status"].as_str().unwrap()).collect();
        assert_eq!(ends, ["failed", "succeeded"], "{done:#}");
        assert!(done["steps"][0]["detail"].as_str().unwrap().contains("protected"), "{done:#}");
        let left = vendor.servers()[0].name.clone();
        assert_eq!((vendor.servers().len(), names(&report(app).await["items"])), (1, vec![left.as_str()]));
        let again = sweep(app, "").await;
        app.job_is(again["jobs"][0].as_str().unwrap(), "succeeded").await;
        assert_eq!((vendor.servers(), &report(app).await["items"]), (vec![], &json!([])));
        vendor.shutdown().await;
    })
    .await;
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Servers are made and taken away with answers lost in every way, while everything that may be swept
/// is swept at once: no node ever loses its server, and nothing is left in the end.
#[tokio::test]
async fn nothing_that_is_being_made_is_ever_swept() {
    let setup = Setup::usual().with_work(|work| {
        work.back_off = vec![0];
        work.orphan_grace = 1;
        work.max_attempts = 6;
    });
    on_each(setup, async |app: &TestApp| {
        for seed in 1..=4_u64 {
            let vendor = vendor().await;
            let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let body = json!({"kind": "hetzner", "name": format!("seed {seed}"), "settings": {"endpoint": vendor.endpoint()},
                "secret": {"api_token": crate::nodes::TOKEN}});
            let made = app.admin().post("/api/v1/providers", body).await;
            let provider = made.json()["id"].as_str().unwrap().to_owned();
            app.admin().get(&format!("/api/v1/providers/{provider}/catalog")).await;
            let mut nodes = Vec::new();
            for round in 0..12 {
                let effect = match dice.roll(6) {
                    0 => FaultEffect::LostAnswer,
                    1 => FaultEffect::Reset { after_effect: true },
                    2 => FaultEffect::UnreadableBody,
                    3 => FaultEffect::HtmlBadGateway,
                    4 => FaultEffect::Late { ms: dice.roll(40) },
                    _ => FaultEffect::Slow { ms: dice.roll(60) },
                };
                let on = if dice.roll(4) == 0 { Match::ServerDelete } else { Match::ServerCreate };
                vendor.fault(Fault::next(on, effect));
                let name = json!({"name": format!("n{round}")});
                nodes.push(acquire(app, &provider, name).await);
                if dice.roll(3) == 0 {
                    // Another one goes meanwhile; refused while something works on it.
                    let index = usize::try_from(dice.roll(nodes.len() as u64)).unwrap();
                    act(app, &nodes[index].0, "destroy-node").await;
                }
                for _ in 0..3 {
                    app.observed().await;
                    sweep(app, "").await;
                }
            }
            vendor.clear_faults();
            for (node, _) in &nodes {
                let path = format!("/api/v1/nodes/{node}");
                let settled = |n: &Value| {
                    matches!(n["state"].as_str().unwrap(), "ready" | "destroyed")
                        || (n["state"] == "failed" && n["cleanup"] != "pending")
                };
                app.until(&path, "settled", settled).await;
            }
            // What came after all is swept too.
            for _ in 0..3 {
                app.observed().await;
                for job in sweep(app, "").await["jobs"].as_array().unwrap() {
                    app.job_is(job.as_str().unwrap(), "succeeded").await;
                }
            }
            let mut kept = BTreeSet::new();
            for (node, _) in &nodes {
                let node = app.admin().get(&format!("/api/v1/nodes/{node}")).await.json();
                if node["state"] == "ready" {
                    assert_eq!(node["drift"], json!([]), "seed {seed}: {node:#}");
                    kept.insert(node["infra_id"].as_str().unwrap().to_owned());
                }
            }
            let there: BTreeSet<_> = vendor.servers().iter().map(|it| it.id.to_string()).collect();
            assert_eq!(there, kept, "seed {seed}: what is ready has its server, and nothing else is there");
            assert!(!kept.is_empty(), "seed {seed}");
            for job in all(&app.admin(), "/api/v1/jobs?kind=orphan_sweep").await {
                assert!(["succeeded", "queued", "running"].contains(&job["status"].as_str().unwrap()), "{job:#}");
            }
            vendor.shutdown().await;
        }
    })
    .await;
}
