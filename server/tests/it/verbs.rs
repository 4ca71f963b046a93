//! The verbs of a node that is there, over REST against a simulated vendor: each is a job, each has
//! its gates, and what fails is put back.

use std::time::Duration;

use domain::time::{HOUR, SECOND};
use serde_json::{Value, json};
use simulators::{Fault, FaultEffect, Hetzner, Hosts, Match, ServerStatus, Ssh};

use crate::{
    allocations::{all, ask, release},
    app::{Reply, Setup, TestApp, on_each},
    nodes::{acquire, act, check_health, connect, connect_with, gone, step, vendor, vendor_with},
};

/// Without listed machines, with a worker, and with little patience for machines.
fn setup() -> Setup {
    Setup::usual().with("VM_POOL_JSON", "").with_jobs().with_work(|work| {
        work.shutdown_grace = Duration::from_millis(300);
        work.verify_deadline = Duration::from_secs(20);
    })
}

pub async fn act_with(app: &TestApp, node: &str, identity: &str, input: Value) -> Reply {
    app.admin().post(&format!("/api/v1/nodes/{node}/actions/{identity}"), input).await
}

/// Begins an action and waits until its job has ended as `status`.
pub async fn acted(app: &TestApp, node: &str, identity: &str, input: Value, status: &str) -> Value {
    let begun = act_with(app, node, identity, input).await;
    assert_eq!(begun.status, 202, "{}", begun.body);
    app.job_is(begun.json()["job_id"].as_str().unwrap(), status).await
}

async fn node_of(app: &TestApp, node: &str) -> Value {
    app.admin().get(&format!("/api/v1/nodes/{node}")).await.json()
}

async fn machine(app: &TestApp) -> Value {
    all(&app.admin(), "/api/v1/pools/default/vms").await.remove(0)
}

async fn ready(app: &TestApp, vendor: &Hetzner) -> String {
    let provider = connect(app, vendor).await;
    let (node, _) = acquire(app, &provider, json!({"pool": "default"})).await;
    app.node_is(&node, "ready").await;
    node
}

fn refused(status: u16) -> FaultEffect {
    FaultEffect::Status { status, code: "forbidden".to_owned(), message: "vendor text 4711".to_owned(), body: None }
}

fn always(on: Match, effect: FaultEffect) -> Fault {
    Fault { times: 1_000, ..Fault::next(on, effect) }
}

/// A vendor whose machines can be logged in to, an account for it, and none where that cannot be.
async fn with_ssh(app: &TestApp) -> Option<(Hetzner, String)> {
    let vendor = vendor_with(Hosts::Loopback { cockpit_port: 0, ssh: Ssh::Auto { port: 0 } }).await;
    let (Some(port), Some(user)) = (vendor.ssh_port(), vendor.ssh_user()) else {
        assert!(vendor.ssh_unavailable_reason().is_some());
        vendor.shutdown().await;
        return None;
    };
    let settings = json!({"endpoint": vendor.endpoint(), "ssh_port": port, "ssh_user": user});
    let provider = connect_with(app, settings).await;
    Some((vendor, provider))
}

#[tokio::test]
async fn suspended_it_is_held_back_and_resumed_it_is_handed_out() {
    on_each(setup(), async |app: &TestApp| {
        let vendor = vendor().await;
        let node = ready(app, &vendor).await;
        let job = acted(app, &node, "suspend-node", json!({}), "succeeded").await;
        assert_eq!((&job["kind"], &job["progress"]), (&json!("node_suspend"), &json!(100)));
        assert_eq!(step(&job, "shut_down")["status"], "succeeded", "{job:#}");
        assert_eq!(step(&job, "power_off")["status"], "skipped", "{job:#}");
        let suspended = node_of(app, &node).await;
        assert_eq!((&suspended["state"], &suspended["health"]["ready"]), (&json!("suspended"), &json!(false)));
        assert_eq!(vendor.servers()[0].status, ServerStatus::Off);
        let vm = machine(app).await;
        assert_eq!(
            (&vm["status"], &vm["note"]),
            (&json!("maintenance"), &json!("Its node is not fit: it is suspended."))
        );
        // Nobody gets it, not even by hand, and it cannot be suspended twice.
        let waits = ask(&app.user().await, "default").await;
        assert_eq!(waits.status, 202, "{}", waits.body);
        let path = format!("/api/v1/pools/default/vms/{node}");
        app.admin().method("PATCH", &path, json!({"status": "available"})).await.is_problem(409, "node_not_ready");
        act(app, &node, "suspend-node").await.is_problem(409, "action_blocked");
        let job = acted(app, &node, "resume-node", json!({}), "succeeded").await;
        assert_eq!((&job["kind"], &step(&job, "verify")["status"]), (&json!("node_resume"), &json!("succeeded")));
        let back = node_of(app, &node).await;
        assert_eq!((&back["state"], &back["health"]["ready"]), (&json!("ready"), &json!(true)));
        assert_eq!(vendor.servers()[0].status, ServerStatus::Running);
        let path = format!("/api/v1/allocations/{}", waits.json()["id"].as_str().unwrap());
        assert_eq!(app.admin().get(&path).await.json()["pool_vm_id"], json!(node));
        // Held by somebody, it is not taken from under them.
        for identity in ["suspend-node", "rebuild-node", "upgrade-node"] {
            let problem = act(app, &node, identity).await.is_problem(409, "action_blocked");
            let gates = problem["gates"].as_array().unwrap();
            let blocked: Vec<_> = gates.iter().filter(|g| g["result"] == "blocked").map(|g| &g["name"]).collect();
            assert_eq!(blocked, ["no-active-allocation"], "{problem:#}");
        }
        let history = all(&app.admin(), &format!("/api/v1/nodes/{node}/history")).await;
        let actions: Vec<_> = history.iter().filter_map(|h| h["action"].as_str()).collect();
        assert!(actions.contains(&"suspend-node") && actions.contains(&"resume-node"), "{actions:?}");
        vendor.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_server_that_does_not_listen_is_switched_off() {
    on_each(setup(), async |app: &TestApp| {
        let vendor = vendor().await;
        let node = ready(app, &vendor).await;
        vendor.set_ignores_shutdown(&vendor.servers()[0].name, true);
        let job = acted(app, &node, "suspend-node", json!({}), "succeeded").await;
        assert_eq!(step(&job, "power_off")["status"], "succeeded", "{job:#}");
        assert_eq!(vendor.servers()[0].status, ServerStatus::Off);
        // Suspended, it can be destroyed.
        gone(app, &vendor, &node).await;
        vendor.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_suspension_and_a_resumption_that_fail_are_put_back() {
    on_each(setup(), async |app: &TestApp| {
        let vendor = vendor().await;
        let node = ready(app, &vendor).await;
        vendor.fault(always(Match::ServerShutdown, refused(403)));
        vendor.fault(always(Match::ServerPoweroff, refused(403)));
        let job = acted(app, &node, "suspend-node", json!({}), "failed").await;
        assert_eq!(job["error"]["code"], "PROVIDER_CREDENTIAL_REJECTED", "{job:#}");
        assert!(!job.to_string().contains("4711"), "no vendor text: {job:#}");
        let back = node_of(app, &node).await;
        assert_eq!(
            (&back["state"], &back["code"], &back["health"]["ready"]),
            (&json!("ready"), &Value::Null, &json!(true))
        );
        assert_eq!(machine(app).await["status"], "available");
        assert_eq!(vendor.servers()[0].status, ServerStatus::Running);
        // What was put back is not repeated behind one's back.
        let id = job["id"].as_str().unwrap();
        let retry = app.admin().post(&format!("/api/v1/jobs/{id}/retry"), json!({})).await;
        retry.is_problem(409, "action_blocked");
        vendor.clear_faults();

        acted(app, &node, "suspend-node", json!({}), "succeeded").await;
        vendor.fault(always(Match::ServerPoweron, refused(403)));
        acted(app, &node, "resume-node", json!({}), "failed").await;
        assert_eq!(node_of(app, &node).await["state"], "suspended");
        assert_eq!(machine(app).await["status"], "maintenance");
        vendor.clear_faults();
        acted(app, &node, "resume-node", json!({}), "succeeded").await;
        assert_eq!(machine(app).await["status"], "available");

        // Gone behind one's back: said as it is, and nothing but a destruction is left.
        assert!(vendor.remove_server(&vendor.servers()[0].name));
        let job = acted(app, &node, "suspend-node", json!({}), "failed").await;
        assert_eq!(job["error"]["code"], "PROVIDER_RESOURCE_GONE", "{job:#}");
        let failed = node_of(app, &node).await;
        assert_eq!((&failed["state"], &failed["failed_stage"]), (&json!("failed"), &json!("suspending")));
        gone(app, &vendor, &node).await;
        vendor.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn an_upgrade_changes_type_and_price() {
    on_each(setup(), async |app: &TestApp| {
        let vendor = vendor().await;
        let node = ready(app, &vendor).await;
        for (input, pointer) in [
            (json!({}), "/server_type"),
            (json!({"server_type": "cx33", "image": "debian-12"}), "/image"),
            (json!({"server_type": "cx9000"}), "/server_type"),
            (json!({"server_type": "cx23"}), "/server_type"),
            (json!({"server_type": "cax21"}), "/server_type"),
            (json!({"image": "windows-95"}), "/image"),
        ] {
            let problem = act_with(app, &node, "upgrade-node", input.clone()).await.is_problem(422, "validation");
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{input}: {problem:#}");
        }
        let unknown = act_with(app, &node, "upgrade-node", json!({"type": "cx33"})).await;
        unknown.is_problem(400, "bad_request");
        let before = node_of(app, &node).await;
        let job = acted(app, &node, "upgrade-node", json!({"server_type": "cx33"}), "succeeded").await;
        for name in ["shut_down", "change_type", "power_on", "verify"] {
            assert_eq!(step(&job, name)["status"], "succeeded", "{job:#}");
        }
        let after = app.node_is(&node, "ready").await;
        assert_eq!((&after["server_type"], &after["infra_id"]), (&json!("cx33"), &before["infra_id"]));
        assert_ne!(after["price_monthly"], before["price_monthly"]);
        assert_ne!(after["price_hourly"], before["price_hourly"]);
        assert_eq!(
            (vendor.servers()[0].server_type.as_str(), vendor.servers()[0].status),
            ("cx33", ServerStatus::Running)
        );
        assert_eq!(machine(app).await["status"], "available");
        let history = all(&app.admin(), &format!("/api/v1/nodes/{node}/history")).await;
        let line = history.iter().find(|h| h["action"] == "upgrade-node" && h["outcome"] == "ok").unwrap();
        assert!(line["detail"].as_str().unwrap().contains("to cx33 ("), "{line:#}");
        assert!(line["detail"].as_str().unwrap().contains("EUR a month"), "{line:#}");
        // A smaller disk does not hold what is on it: the vendor keeps the disk, so the way back is open.
        let back = act_with(app, &node, "upgrade-node", json!({"server_type": "cx23"})).await;
        back.is_problem(422, "validation");
        vendor.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn an_upgrade_without_room_leaves_the_node_as_it_was() {
    on_each(setup(), async |app: &TestApp| {
        let vendor = vendor().await;
        let node = ready(app, &vendor).await;
        vendor.set_capacity("cx33", "fsn1", false);
        let job = acted(app, &node, "upgrade-node", json!({"server_type": "cx33"}), "failed").await;
        assert_eq!(job["error"]["code"], "PROVIDER_CAPACITY", "{job:#}");
        assert_eq!(step(&job, "undo_power_on")["status"], "succeeded", "{job:#}");
        let back = node_of(app, &node).await;
        assert_eq!((&back["state"], &back["server_type"]), (&json!("ready"), &json!("cx23")));
        assert_eq!(
            (vendor.servers()[0].server_type.as_str(), vendor.servers()[0].status),
            ("cx23", ServerStatus::Running)
        );
        assert_eq!(machine(app).await["status"], "available");
        vendor.shutdown().await;
    })
    .await;
}

/// The type is changed, and then the server does not start: it is kept, however long that lasts, and
/// taken up again as what it is now.
#[tokio::test]
async fn a_half_done_upgrade_is_kept_and_taken_up_again() {
    on_each(setup(), async |app: &TestApp| {
        let vendor = vendor().await;
        let node = ready(app, &vendor).await;
        vendor.fault(always(Match::ServerPoweron, refused(403)));
        acted(app, &node, "upgrade-node", json!({"server_type": "cx33"}), "failed").await;
        let failed = node_of(app, &node).await;
        assert_eq!((&failed["state"], &failed["failed_stage"]), (&json!("failed"), &json!("upgrading")), "{failed:#}");
        assert_eq!(machine(app).await["status"], "maintenance");
        app.advance(48 * HOUR).await;
        assert_eq!(app.services.nodes_keep_sweep().await.unwrap(), 0, "what served is not taken away");
        vendor.clear_faults();
        acted(app, &node, "retry-node", json!({}), "succeeded").await;
        let back = node_of(app, &node).await;
        assert_eq!((&back["state"], &back["server_type"]), (&json!("ready"), &json!("cx33")), "{back:#}");
        assert_eq!(machine(app).await["status"], "available");
        assert_eq!(vendor.servers()[0].status, ServerStatus::Running);
        vendor.shutdown().await;
    })
    .await;
}

/// The vendor is away in the middle of an upgrade, and for some time: what was switched off is
/// started again once it is back, without anybody asking.
#[tokio::test]
async fn what_an_upgrade_switched_off_is_started_when_the_vendor_is_back() {
    let setup = setup().with_work(|work| work.back_off = vec![5 * SECOND]);
    on_each(setup, async |app: &TestApp| {
        let vendor = vendor().await;
        let node = ready(app, &vendor).await;
        let change = vendor.fault(Fault::next(Match::ServerChangeType, refused(422)));
        vendor.fault(always(Match::ServerPoweron, FaultEffect::EmptyBody { status: 503 }));
        let begun = act_with(app, &node, "upgrade-node", json!({"server_type": "cx33"})).await.json();
        tokio::time::timeout(Duration::from_secs(30), vendor.fault_hit(change)).await.unwrap();
        let path = format!("/api/v1/jobs/{}", begun["job_id"].as_str().unwrap());
        for _ in 0..4 {
            let waits = app.until(&path, "waiting", |j| j["status"] == "queued").await;
            assert_eq!(waits["error"]["code"], "PROVIDER_INVALID_REQUEST", "{waits:#}");
            assert_eq!(node_of(app, &node).await["state"], "upgrading");
            let version = waits["version"].clone();
            app.advance(7 * SECOND).await;
            app.until(&path, "tried", |j| j["version"] != version && j["status"] == "queued").await;
        }
        vendor.clear_faults();
        app.advance(7 * SECOND).await;
        app.until(&path, "failed", |j| j["status"] == "failed").await;
        let back = node_of(app, &node).await;
        assert_eq!((&back["state"], &back["server_type"]), (&json!("ready"), &json!("cx23")));
        assert_eq!(vendor.servers()[0].status, ServerStatus::Running);
        vendor.shutdown().await;
    })
    .await;
}

/// Laid anew, a machine shows a key that nobody before has seen, and nothing of what was on it.
#[tokio::test]
async fn a_rebuild_begins_anew_with_a_fresh_key() {
    on_each(setup(), async |app: &TestApp| {
        let Some((vendor, provider)) = with_ssh(app).await else { return };
        let (node, _) = acquire(app, &provider, json!({"profile": "base", "pool": "default"})).await;
        app.node_is(&node, "ready").await;
        let before = vendor.servers().remove(0);
        acted(app, &node, "exec-command", json!({"argv": ["touch", "/root/mine"]}), "succeeded").await;
        let job = acted(app, &node, "rebuild-node", json!({}), "succeeded").await;
        for name in ["rebuild", "wait_for_ssh", "run_profile", "verify"] {
            assert_eq!(step(&job, name)["status"], "succeeded", "{job:#}");
        }
        let after = vendor.servers().remove(0);
        assert_eq!((after.id, &after.image), (before.id, &before.image));
        assert_ne!(after.host_key, before.host_key, "the former holder knows the old key");
        let gone = acted(app, &node, "exec-command", json!({"argv": ["test", "-e", "/root/mine"]}), "succeeded").await;
        assert_eq!(gone["output"]["exit_code"], 1, "{gone:#}");
        assert_eq!(check_health(app, &node).await["ready"], true);
        assert_eq!(machine(app).await["status"], "available");
        // To another image, by the other name of the same.
        let job = acted(app, &node, "upgrade-node", json!({"image": "debian-13"}), "succeeded").await;
        assert_eq!(job["kind"], "node_upgrade");
        let node_now = app.node_is(&node, "ready").await;
        assert_eq!((&node_now["image"], vendor.servers()[0].image.as_str()), (&json!("debian-13"), "debian-13"));
        vendor.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_rebuild_that_was_never_begun_changes_nothing_and_one_that_was_is_done_again() {
    on_each(setup(), async |app: &TestApp| {
        let vendor = vendor().await;
        let node = ready(app, &vendor).await;
        vendor.fault(Fault::next(Match::ServerRebuild, refused(422)));
        let job = acted(app, &node, "rebuild-node", json!({}), "failed").await;
        assert_eq!(job["error"]["code"], "PROVIDER_INVALID_REQUEST", "{job:#}");
        assert_eq!(
            (&node_of(app, &node).await["state"], &machine(app).await["status"]),
            (&json!("ready"), &json!("available"))
        );

        let effect = FaultEffect::ActionError { code: "action_failed".to_owned(), message: "no".to_owned() };
        vendor.fault(Fault::next(Match::ServerRebuild, effect));
        acted(app, &node, "rebuild-node", json!({"image": "debian-13"}), "failed").await;
        let failed = node_of(app, &node).await;
        assert_eq!((&failed["state"], &failed["failed_stage"]), (&json!("failed"), &json!("rebuilding")), "{failed:#}");
        assert_eq!(machine(app).await["status"], "maintenance", "nobody gets what may be half laid");
        let job = acted(app, &node, "retry-node", json!({}), "succeeded").await;
        assert_eq!(job["kind"], "node_rebuild");
        let back = node_of(app, &node).await;
        assert_eq!((&back["state"], &back["image"]), (&json!("ready"), &json!("debian-13")));
        assert_eq!(machine(app).await["status"], "available");
        vendor.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_machine_is_cleaned_by_laying_it_anew() {
    on_each(setup(), async |app: &TestApp| {
        let Some((vendor, provider)) = with_ssh(app).await else { return };
        let (admin, user, other) = (app.admin(), app.user().await, app.other_user().await);
        let (node, _) = acquire(app, &provider, json!({"profile": "base", "pool": "default"})).await;
        app.node_is(&node, "ready").await;
        let changed = admin.method("PATCH", "/api/v1/pools/default", json!({"cleaning": "rebuild"})).await;
        assert_eq!(changed.status, 200, "{}", changed.body);
        let mine = ask(&user, "default").await.json();
        let next = ask(&other, "default").await.json();
        let before = vendor.servers().remove(0);
        release(&user, &mine["id"]).await;
        let path = format!("/api/v1/allocations/{}", next["id"].as_str().unwrap());
        let theirs = app.until(&path, "active", |a| a["status"] == "active").await;
        assert_eq!(theirs["pool_vm_id"], json!(node), "the same machine, laid anew");
        let after = vendor.servers().remove(0);
        assert_eq!((after.id, vendor.servers().len()), (before.id, 1));
        assert_ne!(after.host_key, before.host_key);

        // One whose cleaning fails for good is replaced, and never handed on before.
        let effect = FaultEffect::ActionError { code: "action_failed".to_owned(), message: "no".to_owned() };
        vendor.fault(always(Match::ServerRebuild, effect));
        let next = ask(&user, "default").await.json();
        release(&other, &theirs["id"]).await;
        let path = format!("/api/v1/allocations/{}", next["id"].as_str().unwrap());
        let got = app.until(&path, "active", |a| a["status"] == "active").await;
        assert_ne!(got["pool_vm_id"], json!(node), "another machine");
        assert_eq!(app.node_is(&node, "destroyed").await["cleanup"], "none");
        let failed = all(&admin, "/api/v1/jobs?kind=node_rebuild&status=failed").await;
        assert_eq!(
            (failed.len(), &failed[0]["attempt"]),
            (1, &json!(3)),
            "visible, and tried again first: {failed:#?}"
        );
        assert_eq!(vendor.servers().len(), 1);
        vendor.shutdown().await;
    })
    .await;
}

/// Given back while it is being started again, a machine is cleaned first, or goes; one that is being
/// drained stays with whoever has it until it is given back.
#[tokio::test]
async fn what_is_given_back_while_it_is_resumed_is_never_handed_on_as_it_is() {
    on_each(setup(), async |app: &TestApp| {
        let vendor = vendor().await;
        let provider = connect(app, &vendor).await;
        for (name, drained, given_back) in [("back", false, true), ("both", true, true), ("drained", true, false)] {
            let pool = format!("/api/v1/pools/{name}");
            assert_eq!(app.admin().post("/api/v1/pools", json!({"name": name})).await.status, 201);
            let (node, _) = acquire(app, &provider, json!({"name": name, "pool": name})).await;
            app.node_is(&node, "ready").await;
            let mine = ask(&app.user().await, name).await.json();
            assert_eq!(mine["pool_vm_id"], json!(node));
            let server = vendor.servers().into_iter().find(|it| it.name.starts_with(name)).unwrap().name;
            vendor.power_off(&server);
            assert_eq!(act(app, &node, "get-server-status").await.status, 200);
            let slow = vendor.fault(Fault::next(Match::ServerPoweron, FaultEffect::SlowAction { ms: 1_000 }));
            let resumed = act_with(app, &node, "resume-node", json!({})).await;
            assert_eq!(resumed.status, 202, "{}", resumed.body);
            tokio::time::timeout(Duration::from_secs(30), vendor.fault_hit(slow)).await.unwrap();
            if drained {
                let path = format!("{pool}/vms/{node}");
                let patched = app.admin().method("PATCH", &path, json!({"status": "draining"})).await;
                assert_eq!(patched.status, 200, "{}", patched.body);
            }
            if given_back {
                assert_eq!(release(&app.admin(), &mine["id"]).await.status, 200);
            }
            app.job_is(resumed.json()["job_id"].as_str().unwrap(), "succeeded").await;
            let vms = all(&app.admin(), &format!("{pool}/vms")).await;
            let vm = vms.iter().find(|vm| vm["id"] == json!(node)).map_or("gone", |vm| vm["status"].as_str().unwrap());
            if given_back {
                assert!(!["available", "allocated"].contains(&vm), "{name}: {vm}");
                app.node_is(&node, "destroyed").await;
            } else {
                assert_eq!(vm, "draining");
                assert_eq!(release(&app.admin(), &mine["id"]).await.status, 200);
                app.node_is(&node, "destroyed").await;
            }
        }
        vendor.shutdown().await;
    })
    .await;
}

/// A machine that is being laid anew comes back: nothing is acquired in its place.
#[tokio::test]
async fn a_pool_counts_on_what_is_being_laid_anew() {
    on_each(setup(), async |app: &TestApp| {
        let vendor = vendor().await;
        let provider = connect(app, &vendor).await;
        let (admin, user) = (app.admin(), app.user().await);
        let body = json!({"name": "kept", "cleaning": "rebuild", "target_ready": 2, "template": {
            "provider_id": provider, "name": "kept", "server_type": "cx23", "location": "fsn1",
            "image": "debian-12", "profile": "none"}});
        assert_eq!(admin.post("/api/v1/pools", body).await.status, 201);
        assert_eq!(app.services.pools_fill().await.unwrap().acquired, 2);
        let path = "/api/v1/pools/kept";
        app.until(path, "full", |p| p["counts"]["available"] == 2).await;
        let mine = ask(&user, "kept").await.json();
        let slow = vendor.fault(Fault::next(Match::ServerRebuild, FaultEffect::SlowAction { ms: 1_000 }));
        release(&user, &mine["id"]).await;
        tokio::time::timeout(Duration::from_secs(30), vendor.fault_hit(slow)).await.unwrap();
        let filled = app.services.pools_fill().await.unwrap();
        assert_eq!((filled.acquired, filled.retired), (0, 0));
        app.until(path, "full again", |p| p["counts"]["available"] == 2).await;
        assert_eq!(vendor.servers().len(), 2);
        vendor.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_command_runs_once_and_its_outcome_is_data() {
    on_each(setup(), async |app: &TestApp| {
        let Some((vendor, provider)) = with_ssh(app).await else { return };
        let (node, _) = acquire(app, &provider, json!({"profile": "base", "pool": "default"})).await;
        app.node_is(&node, "ready").await;
        for (input, pointer) in [
            (json!({}), "/argv"),
            (json!({"argv": [""]}), "/argv/0"),
            (json!({"argv": ["true"], "timeout_seconds": 0}), "/timeout_seconds"),
            (json!({"argv": ["true"], "service": "web"}), "/service"),
        ] {
            let problem = act_with(app, &node, "exec-command", input).await.is_problem(422, "validation");
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem:#}");
        }
        let script = "echo out; echo err >&2; echo password=hunter22; exit 3";
        let job = acted(app, &node, "exec-command", json!({"argv": ["sh", "-c", script]}), "succeeded").await;
        let output = &job["output"];
        assert_eq!((&output["exit_code"], &output["stderr"]), (&json!(3), &json!("err\n")), "{job:#}");
        assert!(output["stdout"].as_str().unwrap().starts_with("out\n"), "{job:#}");
        assert!(!output.to_string().contains("hunter22"), "secrets are masked: {job:#}");
        let listed = all(&app.admin(), "/api/v1/jobs?kind=node_exec").await;
        assert_eq!(listed[0]["output"], Value::Null, "lists stay small");
        // In the trail stands what ran, without its secrets.
        let history = all(&app.admin(), &format!("/api/v1/nodes/{node}/history")).await;
        let line = history.iter().find(|h| h["action"] == "exec-command" && h["outcome"] == "ok").unwrap();
        let detail = line["detail"].as_str().unwrap();
        assert!(detail.contains("echo out") && !detail.contains("hunter22"), "{detail}");

        let job =
            acted(app, &node, "exec-command", json!({"argv": ["sleep", "60"], "timeout_seconds": 1}), "failed").await;
        assert_eq!((&job["error"]["code"], &job["attempt"]), (&json!("PROVISION_TIMEOUT"), &json!(1)), "{job:#}");
        assert_eq!(job["output"]["timed_out"], true);

        // Cancelled, it is no longer waited for; given back meanwhile, the machine is cleaned then.
        let mine = ask(&app.user().await, "default").await.json();
        let begun = act_with(app, &node, "exec-command", json!({"argv": ["sleep", "60"]})).await.json();
        let id = begun["job_id"].as_str().unwrap();
        let path = format!("/api/v1/jobs/{id}");
        app.until(&path, "at work", |j| j["step"] == "run_command").await;
        act(app, &node, "check-health").await.is_problem(409, "action_blocked");
        release(&app.admin(), &mine["id"]).await;
        assert_eq!(machine(app).await["status"], "cleaning");
        assert_eq!(app.admin().post(&format!("{path}/cancel"), json!({})).await.status, 200);
        app.job_is(id, "cancelled").await;
        app.node_is(&node, "destroyed").await;
        vendor.shutdown().await;
    })
    .await;
}

/// A command on a node that is not logged in to, or is not ready, is refused; the words stay sealed.
#[tokio::test]
async fn a_command_needs_a_login() {
    on_each(setup(), async |app: &TestApp| {
        let vendor = vendor().await;
        let node = ready(app, &vendor).await;
        let problem = act_with(app, &node, "exec-command", json!({"argv": ["true"]})).await;
        let problem = problem.is_problem(409, "action_blocked");
        let gates = problem["gates"].as_array().unwrap();
        assert!(gates.iter().any(|g| g["name"] == "login" && g["result"] == "blocked"), "{problem:#}");
        vendor.shutdown().await;
    })
    .await;
}
