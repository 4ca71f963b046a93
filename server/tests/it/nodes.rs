//! The life of a node over REST, against a simulated vendor: nothing is left to bill unseen.

use std::time::Duration;

use domain::{
    code::Code,
    id::NodeId,
    time::{HOUR, SECOND},
};
use serde_json::{Value, json};
use simulators::{Fault, FaultEffect, Hetzner, HetznerConfig, Hosts, Match, RateLimit, Ssh, TokenAccess};

use crate::{
    allocations::{all, ask, release},
    app::{Reply, Setup, TestApp, on_each},
};

pub const TOKEN: &str = "tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt";
pub const READ_ONLY: &str = "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr";

pub async fn vendor() -> Hetzner {
    vendor_with(Hosts::None).await
}

pub async fn vendor_with(hosts: Hosts) -> Hetzner {
    Hetzner::start(HetznerConfig {
        tokens: vec![(TOKEN.to_owned(), TokenAccess::ReadWrite), (READ_ONLY.to_owned(), TokenAccess::ReadOnly)],
        action_time: Duration::from_millis(5),
        rate_limit: RateLimit { limit: 36_000, refill_per_second: 1_000.0 },
        hosts,
        ..HetznerConfig::default()
    })
    .await
    .unwrap()
}

/// Connects the vendor's account and reads its catalogue once.
pub async fn connect(app: &TestApp, vendor: &Hetzner) -> String {
    connect_with(app, json!({"endpoint": vendor.endpoint()})).await
}

pub async fn connect_with(app: &TestApp, settings: Value) -> String {
    let body = json!({"kind": "hetzner", "name": "account", "settings": settings, "secret": {"api_token": TOKEN}});
    let made = app.admin().post("/api/v1/providers", body).await;
    assert_eq!((made.status, &made.json()["status"]), (201, &json!("connected")), "{}", made.body);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(app.admin().get(&format!("/api/v1/providers/{id}/catalog")).await.status, 200);
    id
}

/// A node of the profile `none`, with `more` in the request.
pub async fn acquire(app: &TestApp, provider: &str, more: Value) -> (String, String) {
    let mut wish = json!({"provider_id": provider, "name": "alpha", "server_type": "cx23", "location": "fsn1",
        "image": "debian-12", "profile": "none"});
    wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let reply = app.admin().post("/api/v1/nodes", wish).await;
    assert_eq!(reply.status, 202, "{}", reply.body);
    let id = |key: &str| reply.json()[key].as_str().unwrap().to_owned();
    (id("node_id"), id("job_id"))
}

pub async fn act(app: &TestApp, node: &str, identity: &str) -> Reply {
    app.admin().post(&format!("/api/v1/nodes/{node}/actions/{identity}"), json!({})).await
}

/// Runs the readiness checks; what they found.
pub async fn check_health(app: &TestApp, node: &str) -> Value {
    let begun = act(app, node, "check-health").await;
    assert_eq!(begun.status, 202, "{}", begun.body);
    app.job_is(begun.json()["job_id"].as_str().unwrap(), "succeeded").await;
    app.admin().get(&format!("/api/v1/nodes/{node}")).await.json()["health"].clone()
}

pub async fn gone(app: &TestApp, vendor: &Hetzner, node: &str) {
    let destroying = act(app, node, "destroy-node").await;
    assert_eq!(destroying.status, 202, "{}", destroying.body);
    app.node_is(node, "destroyed").await;
    assert_eq!(vendor.servers(), []);
}

pub fn step<'a>(job: &'a Value, name: &str) -> &'a Value {
    let steps = job["steps"].as_array().unwrap();
    steps.iter().find(|s| s["name"] == name).unwrap_or_else(|| panic!("no step {name}: {job:#}"))
}

#[tokio::test]
async fn a_node_is_acquired_handed_out_replaced_and_destroyed() {
    on_each(Setup::usual().with("VM_POOL_JSON", "").with_jobs(), async |app: &TestApp| {
        let vendor = vendor().await;
        let (admin, user) = (app.admin(), app.user().await);
        let provider = connect(app, &vendor).await;
        let cockpit = "http://{ipv4}:8080/{name}";
        let (first, job) = acquire(app, &provider, json!({"pool": "default", "cockpit_url": cockpit})).await;
        let done = app.job_is(&job, "succeeded").await;
        assert_eq!((&done["attempt"], &done["progress"]), (&json!(1), &json!(100)));
        for name in ["choose", "create_server", "start_server", "fetch_server", "verify"] {
            let step = step(&done, name);
            assert_eq!(step["status"], "succeeded", "{done:#}");
            assert!(step["started_at"].is_string() && step["finished_at"].is_string());
        }
        assert_eq!(step(&done, "wait_for_ssh")["status"], "skipped");
        let node = app.node_is(&first, "ready").await;
        let server = &vendor.servers()[0];
        assert_eq!(node["infra_id"], server.id.to_string());
        assert_eq!(node["host"], server.ipv4.unwrap().to_string());
        assert_eq!(node["currency"], "EUR");
        assert!(node["price_monthly"].as_str().unwrap().starts_with("4.15"), "the gross price: {node:#}");
        assert_eq!((&node["health"]["ready"], &node["cleanup"]), (&json!(true), &json!("none")));
        assert_eq!(server.labels["hangar-node"], first);

        let mine = ask(&user, "default").await.json();
        assert_eq!(mine["pool_vm_id"], json!(first));
        assert_eq!(mine["cockpit_url"], format!("http://{}:8080/alpha", server.ipv4.unwrap()));
        let next = ask(&app.other_user().await, "default").await;
        assert_eq!(next.status, 202);
        // Nothing is taken from under whoever holds it.
        for refused in [act(app, &first, "destroy-node").await, act(app, &first, "delete-server").await] {
            let problem = refused.is_problem(409, "action_blocked");
            let gates = problem["gates"].as_array().unwrap();
            let blocked: Vec<_> = gates.iter().filter(|g| g["result"] == "blocked").map(|g| &g["name"]).collect();
            assert_eq!(blocked, ["no-active-allocation"], "{problem:#}");
            for field in ["cause", "policy_context", "next_step", "safe_retry"] {
                assert!(problem["recovery"][field].is_string(), "{problem:#}");
            }
        }
        let operation = admin.post("/api/v1/infra/delete-server", json!({"node_id": first})).await;
        operation.is_problem(409, "action_blocked");
        let account = format!("/api/v1/providers/{provider}");
        admin.method("DELETE", &account, json!({})).await.is_problem(409, "action_blocked");
        admin.method("DELETE", "/api/v1/pools/default", json!({})).await.is_problem(409, "action_blocked");

        // Given back: another server takes its place, and goes to who waited.
        assert_eq!(release(&user, &mine["id"]).await.json()["status"], "released");
        app.node_is(&first, "destroyed").await;
        let path = format!("/api/v1/allocations/{}", next.json()["id"].as_str().unwrap());
        let theirs = app.until(&path, "active", |a| a["status"] == "active").await;
        let second = theirs["pool_vm_id"].as_str().unwrap().to_owned();
        assert_ne!(second, first);
        let servers = vendor.servers();
        assert_eq!(servers.len(), 1, "{servers:#?}");
        assert_eq!(servers[0].labels["hangar-node"], second);
        assert_ne!(servers[0].id, server.id, "not the same disk");

        assert_eq!(release(&admin, &next.json()["id"]).await.status, 200);
        let pool = app.until("/api/v1/pools/default", "full again", |p| p["counts"]["available"] == 1).await;
        assert_eq!(pool["counts"]["cleaning"], 0);
        let third = all(&admin, "/api/v1/nodes?status=ready").await[0]["id"].as_str().unwrap().to_owned();
        gone(app, &vendor, &third).await;
        assert_eq!(app.admin().get("/api/v1/pools/default").await.json()["counts"]["available"], 0);
        assert_eq!(admin.method("DELETE", &account, json!({})).await.status, 204);
        // What is over still has its record.
        let over = admin.get(&format!("/api/v1/nodes/{first}")).await.json();
        assert!(
            over["actions"]
                .as_array()
                .unwrap()
                .iter()
                .any(|a| a["identity"] == "record-history" && a["enabled"] == true)
        );
        vendor.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn where_there_is_no_room_the_next_is_tried_within_the_ceiling() {
    on_each(Setup::usual().with_jobs(), async |app: &TestApp| {
        let vendor = vendor().await;
        let provider = connect(app, &vendor).await;
        vendor.set_capacity("cx23", "fsn1", false);
        let fallbacks = json!([{"server_type": "cx33", "location": "nbg1"}]);
        let (node, _) = acquire(app, &provider, json!({"fallbacks": fallbacks})).await;
        let ready = app.node_is(&node, "ready").await;
        assert_eq!((&ready["server_type"], &ready["location"]), (&json!("cx33"), &json!("nbg1")));
        assert!(ready["price_monthly"].as_str().unwrap().starts_with("6.53"), "of what was had: {ready:#}");
        // The same with a ceiling between the two: there is nothing left to try.
        let (dear, job) =
            acquire(app, &provider, json!({"name": "beta", "fallbacks": fallbacks, "max_price_monthly": "5.00"})).await;
        let failed = app.job_is(&job, "failed").await;
        assert_eq!(
            (&failed["error"]["code"], &failed["attempt"]),
            (&json!("PROVIDER_CAPACITY"), &json!(1)),
            "{failed:#}"
        );
        let failed = app.node_is(&dear, "failed").await;
        assert_eq!((&failed["code"], &failed["cleanup"]), (&json!("PROVIDER_CAPACITY"), &json!("done")));
        assert_eq!(vendor.servers().len(), 1);
        gone(app, &vendor, &node).await;
        vendor.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_had_is_said_at_once() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let vendor = vendor().await;
        let provider = connect(app, &vendor).await;
        let admin = app.admin();
        for (field, value, pointer) in [
            ("server_type", json!("cx9000"), "/server_type"),
            ("location", json!("mars1"), "/location"),
            ("image", json!("windows-95"), "/image"),
            ("fallbacks", json!([{"server_type": "cx33", "location": "mars1"}]), "/fallbacks/0/location"),
            ("max_price_monthly", json!("0.01"), "/max_price_monthly"),
            ("max_price_monthly", json!("cheap"), "/max_price_monthly"),
            ("name", json!("Not A Name"), "/name"),
            ("cockpit_url", json!("javascript:alert(1)"), "/cockpit_url"),
            ("pool", json!("nowhere"), "/pool"),
            ("provider_id", json!("prv_unknown"), "/provider_id"),
            ("labels", json!({"hangar-node": "mine"}), "/labels/hangar-node"),
        ] {
            let mut wish = json!({"provider_id": provider, "name": "alpha", "server_type": "cx23", "location": "fsn1",
                "image": "debian-12", "profile": "none"});
            wish[field] = value;
            for path in ["/api/v1/nodes", "/api/v1/infra/create-server"] {
                let problem = admin.post(path, wish.clone()).await.is_problem(422, "validation");
                assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem:#}");
            }
        }
        assert_eq!(all(&admin, "/api/v1/nodes").await, Vec::<Value>::new());
        vendor.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn an_action_that_fails_is_undone_and_can_be_tried_afresh() {
    on_each(Setup::usual().with_jobs(), async |app: &TestApp| {
        let vendor = vendor().await;
        let provider = connect(app, &vendor).await;
        let effect =
            FaultEffect::ActionError { code: "action_failed".to_owned(), message: "vendor text 4711".to_owned() };
        vendor.fault(Fault::next(Match::ServerCreate, effect));
        let (node, job) = acquire(app, &provider, json!({})).await;
        let failed = app.job_is(&job, "failed").await;
        assert_eq!(failed["error"]["code"], "PROVIDER_ACQUISITION_FAILED");
        assert!(!failed.to_string().contains("4711"), "no vendor text: {failed:#}");
        assert!(failed["steps"].as_array().unwrap().iter().any(|s| s["name"].as_str().unwrap().starts_with("undo_")));
        let failed = app.node_is(&node, "failed").await;
        assert_eq!((&failed["cleanup"], &failed["code"]), (&json!("done"), &json!("PROVIDER_ACQUISITION_FAILED")));
        assert!(failed["failed_stage"].is_string());
        assert_eq!(vendor.servers(), []);
        // Nothing is there, so nothing holds the account.
        let retried = act(app, &node, "retry-node").await;
        assert_eq!(retried.status, 202, "{}", retried.body);
        let ready = app.node_is(&node, "ready").await;
        assert_eq!((&ready["code"], &ready["cleanup"]), (&Value::Null, &json!("none")));
        assert_eq!(vendor.servers().len(), 1);
        gone(app, &vendor, &node).await;
        vendor.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn what_could_not_be_undone_stays_visible_and_is_done_later() {
    let setup = Setup::usual().with_work(|work| work.back_off = vec![5 * SECOND]);
    on_each(setup, async |app: &TestApp| {
        let vendor = vendor().await;
        let provider = connect(app, &vendor).await;
        let effect = FaultEffect::ActionError { code: "action_failed".to_owned(), message: "no".to_owned() };
        vendor.fault(Fault::next(Match::ServerCreate, effect));
        let effect =
            FaultEffect::Status { status: 403, code: "forbidden".to_owned(), message: "no".to_owned(), body: None };
        vendor.fault(Fault { times: 1_000, ..Fault::next(Match::ServerDelete, effect) });
        let (node, job) = acquire(app, &provider, json!({})).await;
        app.job_is(&job, "failed").await;
        let failed = app.node_is(&node, "failed").await;
        assert_eq!((&failed["cleanup"], vendor.servers().len()), (&json!("pending"), 1));
        act(app, &node, "retry-node").await.is_problem(409, "action_blocked");
        app.admin()
            .method("DELETE", &format!("/api/v1/providers/{provider}"), json!({}))
            .await
            .is_problem(409, "action_blocked");
        let cleanup = all(&app.admin(), "/api/v1/jobs?kind=node_cleanup").await;
        assert_eq!((cleanup.len(), &cleanup[0]["status"]), (1, &json!("queued")), "{cleanup:#?}");
        let cleanup = cleanup[0]["id"].as_str().unwrap();
        for attempt in 1..=4 {
            app.advance(7 * SECOND).await;
            let path = format!("/api/v1/jobs/{cleanup}");
            let waits = app.until(&path, "tried", |j| j["attempt"] == attempt && j["status"] == "queued").await;
            assert_eq!(waits["error"]["code"], "PROVIDER_CREDENTIAL_REJECTED", "more than its attempts: {waits:#}");
        }
        vendor.clear_faults();
        app.advance(7 * SECOND).await;
        app.job_is(cleanup, "succeeded").await;
        assert_eq!((&app.node_is(&node, "failed").await["cleanup"], vendor.servers().len()), (&json!("done"), 0));
        vendor.shutdown().await;
    })
    .await;
}

/// A node that is being replaced cannot be taken away at first: whoever waits gets theirs anyway.
#[tokio::test]
async fn a_replacement_comes_though_the_old_one_was_hard_to_remove() {
    let setup = Setup::usual().with("VM_POOL_JSON", "").with_work(|work| work.back_off = vec![5 * SECOND]);
    on_each(setup, async |app: &TestApp| {
        let vendor = vendor().await;
        let provider = connect(app, &vendor).await;
        let (node, _) = acquire(app, &provider, json!({"pool": "default"})).await;
        app.node_is(&node, "ready").await;
        let admin = app.admin();
        let (mine, next) = (ask(&admin, "default").await.json(), ask(&admin, "default").await.json());
        let effect =
            FaultEffect::Status { status: 403, code: "forbidden".to_owned(), message: "no".to_owned(), body: None };
        vendor.fault(Fault { times: 1_000, ..Fault::next(Match::ServerDelete, effect) });
        release(&admin, &mine["id"]).await;
        let path = format!("/api/v1/nodes/{node}");
        app.until(&path, "cleaned up later", |n| n["state"] == "failed" && n["cleanup"] == "pending").await;
        vendor.clear_faults();
        app.advance(7 * SECOND).await;
        app.node_is(&node, "destroyed").await;
        let path = format!("/api/v1/allocations/{}", next["id"].as_str().unwrap());
        app.until(&path, "active", |a| a["status"] == "active").await;
        assert_eq!(vendor.servers().len(), 1);
        vendor.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn cancelled_before_it_began_nothing_was_asked_of_the_vendor() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let vendor = vendor().await;
        let provider = connect(app, &vendor).await;
        let (node, job) = acquire(app, &provider, json!({})).await;
        let asked = vendor.requests().len();
        act(app, &node, "destroy-node").await.is_problem(409, "action_blocked");
        let cancelled = app.admin().post(&format!("/api/v1/jobs/{job}/cancel"), json!({})).await;
        assert_eq!(cancelled.status, 200, "{}", cancelled.body);
        let worker = app.worker();
        let over = app.job_is(&job, "cancelled").await;
        assert_eq!(over["error"]["code"], "JOB_CANCELLED");
        let failed = app.node_is(&node, "failed").await;
        assert_eq!((&failed["cleanup"], &failed["code"]), (&json!("none"), &json!("JOB_CANCELLED")));
        assert_eq!(vendor.requests().len(), asked);
        app.begin_end();
        worker.await.unwrap();
        vendor.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn cancelled_on_the_way_it_is_undone() {
    on_each(Setup::usual().with_jobs(), async |app: &TestApp| {
        let vendor = vendor().await;
        let provider = connect(app, &vendor).await;
        for on in [Match::ServerCreate, Match::ActionGet] {
            let hang = vendor.fault(Fault::next(on, FaultEffect::Hang { after_effect: true }));
            let (node, job) = acquire(app, &provider, json!({})).await;
            tokio::time::timeout(Duration::from_secs(60), vendor.fault_hit(hang)).await.unwrap();
            assert_eq!(vendor.servers().len(), 1);
            let destroy = act(app, &node, "destroy-node").await.is_problem(409, "action_blocked");
            assert!(
                destroy["gates"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|g| g["name"] == "no-running-job" && g["result"] == "blocked")
            );
            assert_eq!(app.admin().post(&format!("/api/v1/jobs/{job}/cancel"), json!({})).await.status, 200);
            let over = app.job_is(&job, "cancelled").await;
            assert_eq!(over["attempt"], 1, "never retried as something else: {over:#}");
            let failed = app.node_is(&node, "failed").await;
            assert_eq!((&failed["cleanup"], &failed["code"]), (&json!("done"), &json!("JOB_CANCELLED")), "{failed:#}");
            assert_eq!(vendor.servers(), []);
            vendor.clear_faults();
        }
        vendor.shutdown().await;
    })
    .await;
}

/// After the hand-over the server is kept, shown and billed until somebody or the clock decides.
#[tokio::test]
async fn a_failure_after_the_hand_over_keeps_the_node() {
    let setup = Setup::usual().with_work(|work| {
        work.back_off = vec![0];
        work.verify_deadline = Duration::from_millis(1_500);
    });
    on_each(setup, async |app: &TestApp| {
        let vendor = vendor().await;
        let provider = connect(app, &vendor).await;
        let (node, job) = acquire(app, &provider, json!({"profile": "base", "keep_failed_for": 3_600})).await;
        app.node_is(&node, "provisioning").await;
        assert_eq!(app.admin().post(&format!("/api/v1/jobs/{job}/cancel"), json!({})).await.status, 200);
        app.job_is(&job, "cancelled").await;
        let kept = app.node_is(&node, "failed").await;
        assert_eq!((&kept["failed_stage"], &kept["cleanup"]), (&json!("provisioning"), &json!("none")), "{kept:#}");
        let server = vendor.servers()[0].id;
        // A retry goes on with the same server; nothing answers there, so it fails as provisioning does.
        assert_eq!(act(app, &node, "retry-node").await.status, 202);
        let failed = app
            .until(&format!("/api/v1/nodes/{node}"), "failed again", |n| {
                n["state"] == "failed" && n["code"] != "JOB_CANCELLED"
            })
            .await;
        assert_eq!(failed["code"], "PROVISION_SSH_UNREACHABLE", "{failed:#}");
        assert_eq!(vendor.servers().iter().map(|s| s.id).collect::<Vec<_>>(), [server]);
        // The clock takes it away when its time is up, and not before.
        app.advance(HOUR - 1).await;
        assert_eq!(app.services.nodes_keep_sweep().await.unwrap(), 0);
        let id: NodeId = node.parse().unwrap();
        assert_eq!(app.services.node_keep_end(&id).await.unwrap_err().code, Code::ConflictState);
        assert_eq!(app.admin().get(&format!("/api/v1/nodes/{node}")).await.json()["state"], "failed");
        app.advance(1).await;
        app.watched(app.node_is(&node, "destroyed")).await;
        assert_eq!(vendor.servers(), []);
        vendor.shutdown().await;
    })
    .await;
}

/// Whoever saw that a node's time was up comes too late when somebody brought it back meanwhile.
#[tokio::test]
async fn what_was_taken_up_again_is_not_destroyed_after_all() {
    on_each(Setup::usual().with_jobs(), async |app: &TestApp| {
        let vendor = vendor().await;
        let provider = connect(app, &vendor).await;
        let (node, _) = acquire(app, &provider, json!({"keep_failed_for": 3_600})).await;
        app.node_is(&node, "ready").await;
        app.advance(2 * HOUR).await;
        let id: NodeId = node.parse().unwrap();
        assert_eq!(app.services.node_keep_end(&id).await.unwrap_err().code, Code::ConflictState);
        app.node_is(&node, "ready").await;
        assert_eq!(all(&app.admin(), "/api/v1/jobs?kind=node_destroy").await, Vec::<Value>::new());
        assert_eq!(vendor.servers().len(), 1);
        vendor.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_name_that_another_server_has_is_left_alone() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let vendor = vendor().await;
        let provider = connect(app, &vendor).await;
        let (node, job) = acquire(app, &provider, json!({})).await;
        let name = format!("alpha-{}", node.parse::<NodeId>().unwrap().short());
        let foreign = reqwest::Client::new()
            .post(format!("{}/servers", vendor.endpoint()))
            .bearer_auth(TOKEN)
            .json(&json!({"name": name, "server_type": "cx23", "image": "debian-12", "location": "hel1"}))
            .send()
            .await
            .unwrap();
        assert_eq!(foreign.status(), 201);
        let worker = app.worker();
        let failed = app.job_is(&job, "failed").await;
        assert_eq!(failed["error"]["code"], "PROVIDER_NAME_CONFLICT", "{failed:#}");
        let failed = app.node_is(&node, "failed").await;
        assert_eq!(failed["cleanup"], "done");
        let servers = vendor.servers();
        assert_eq!((servers.len(), servers[0].name.as_str(), servers[0].location.as_str()), (1, name.as_str(), "hel1"));
        app.begin_end();
        worker.await.unwrap();
        vendor.shutdown().await;
    })
    .await;
}

/// With the profile `base`, over a real SSH server; and a node that is not healthy is not handed out.
#[tokio::test]
async fn a_node_is_verified_over_ssh_and_held_back_while_it_is_ill() {
    let hosts = Hosts::Loopback { cockpit_port: 0, ssh: Ssh::Auto { port: 0 } };
    let setup = Setup::usual().with("VM_POOL_JSON", "").with_jobs();
    on_each(setup, async |app: &TestApp| {
        let vendor = vendor_with(hosts.clone()).await;
        let (Some(port), Some(user)) = (vendor.ssh_port(), vendor.ssh_user()) else {
            assert!(vendor.ssh_unavailable_reason().is_some());
            return vendor.shutdown().await;
        };
        let settings = json!({"endpoint": vendor.endpoint(), "ssh_port": port, "ssh_user": user});
        let provider = connect_with(app, settings).await;
        let (node, job) = acquire(app, &provider, json!({"profile": "base", "pool": "default"})).await;
        let done = app.job_is(&job, "succeeded").await;
        assert_eq!(step(&done, "wait_for_ssh")["status"], "succeeded");
        let server = vendor.servers()[0].name.clone();
        vendor.power_off(&server);
        let ill = check_health(app, &node).await;
        assert_eq!((&ill["ready"], &ill["reason_codes"]), (&json!(false), &json!(["node_unreachable"])));
        let waits = ask(&app.user().await, "default").await;
        assert_eq!(waits.status, 202, "only a healthy node is handed out: {}", waits.body);
        let pool = app.admin().get("/api/v1/pools/default").await.json();
        assert_eq!((&pool["counts"]["available"], &pool["counts"]["maintenance"]), (&json!(0), &json!(1)));
        let status = act(app, &node, "get-server-status").await.json();
        assert_eq!(status["drift"][0]["field"], "status", "{status:#}");
        vendor.set_server_status(&server, simulators::ServerStatus::Running);
        let path = format!("/api/v1/allocations/{}", waits.json()["id"].as_str().unwrap());
        for _ in 0..20 {
            if check_health(app, &node).await["ready"] == true {
                break;
            }
        }
        assert_eq!(app.admin().get(&path).await.json()["pool_vm_id"], json!(node));
        vendor.shutdown().await;
    })
    .await;
}

/// Without an IPv4 address a node is reached over IPv6; what needs the other is refused first.
#[tokio::test]
async fn a_node_with_ipv6_alone() {
    on_each(Setup::usual().with_jobs(), async |app: &TestApp| {
        let vendor = vendor().await;
        let provider = connect(app, &vendor).await;
        let wish = json!({"provider_id": provider, "name": "alpha", "profile": "none", "ipv4": false,
            "cockpit_url": "http://{ipv4}/"});
        let refused = app.admin().post("/api/v1/nodes", wish).await;
        assert_eq!((refused.status, &refused.json()["errors"][0]["pointer"]), (422, &json!("/cockpit_url")));
        let (node, _) = acquire(app, &provider, json!({"ipv4": false})).await;
        let ready = app.node_is(&node, "ready").await;
        let (host, ipv6) = (ready["host"].as_str().unwrap(), ready["ipv6"].as_str().unwrap());
        assert_eq!((host, &ready["ipv4"]), (ipv6, &Value::Null));
        assert!(ipv6.parse::<std::net::Ipv6Addr>().unwrap().segments()[7] == 1, "a host, not a network: {ipv6}");
        gone(app, &vendor, &node).await;
        vendor.shutdown().await;
    })
    .await;
}
