//! What the vendor says against what is recorded: drift, what is gone, and how fresh it all is.

use std::time::Duration;

use domain::{access::Principal, time::MINUTE};
use serde_json::{Value, json};
use simulators::{Fault, FaultEffect, Hetzner, Match, ServerStatus};

use crate::{
    app::{Setup, TestApp, on_each},
    nodes::{TOKEN, acquire, act, check_health, connect, vendor},
};

fn fields(node: &Value) -> Vec<(&str, &str)> {
    let drift = node["drift"].as_array().unwrap().iter();
    drift.map(|it| (it["field"].as_str().unwrap(), it["observed"].as_str().unwrap())).collect()
}

async fn node(app: &TestApp, id: &str) -> Value {
    app.admin().get(&format!("/api/v1/nodes/{id}")).await.json()
}

async fn counts(app: &TestApp) -> Value {
    app.admin().get("/api/v1/pools/default").await.json()["counts"].clone()
}

async fn ready(app: &TestApp, vendor: &Hetzner) -> (String, String) {
    let provider = connect(app, vendor).await;
    let (id, _) = acquire(app, &provider, json!({"pool": "default"})).await;
    app.node_is(&id, "ready").await;
    (provider, id)
}

/// A call at the vendor as its console makes it.
pub async fn by_hand(vendor: &Hetzner, path: &str, body: Value) {
    let url = format!("{}{path}", vendor.endpoint());
    let reply = reqwest::Client::new().post(url).bearer_auth(TOKEN).json(&body).send().await.unwrap();
    assert!(reply.status().is_success(), "{}", reply.text().await.unwrap());
}

#[tokio::test]
async fn drift_of_each_kind_is_seen_helped_with_and_over_again() {
    on_each(Setup::usual().with("VM_POOL_JSON", "").with_jobs(), async |app: &TestApp| {
        let vendor = vendor().await;
        let admin = app.admin();
        let (provider, id) = ready(app, &vendor).await;
        let server = vendor.servers()[0].clone();
        app.observed().await;
        let before = node(app, &id).await;
        assert_eq!((&before["drift"], &before["freshness"]["stale"]), (&json!([]), &json!(false)));
        app.observed().await;
        let same = node(app, &id).await;
        assert_eq!(same["version"], before["version"], "nothing changed, so nothing is told");
        assert_ne!(same["freshness"]["observed_at"], before["freshness"]["observed_at"]);
        let account = admin.get(&format!("/api/v1/providers/{provider}")).await.json();
        assert_eq!((&account["owned"], account["observed_at"].is_string()), (&json!(1), true), "{account:#}");
        assert!(account["budget"]["limit"].is_number(), "{account:#}");

        // Switched off in the console: nobody is given it, and Resume is the way out.
        vendor.power_off(&server.name);
        app.observed().await;
        let off = node(app, &id).await;
        assert_eq!(fields(&off), [("status", "off")]);
        assert!(off["drift"][0]["guidance"].as_str().unwrap().contains("Resume"), "{off:#}");
        let open = |node: &Value, identity: &str| {
            node["actions"].as_array().unwrap().iter().any(|it| it["identity"] == identity && it["enabled"] == true)
        };
        assert!(open(&off, "resume-node") && !open(&before, "resume-node") || !offers_resume(&off), "{off:#}");
        assert_eq!((&counts(app).await["available"], &counts(app).await["maintenance"]), (&json!(0), &json!(1)));
        let vm = format!("/api/v1/pools/default/vms/{id}");
        admin.method("PATCH", &vm, json!({"status": "available"})).await.is_problem(409, "node_not_ready");
        let overview = app.services.overview(&Principal::admin_secret()).await.unwrap();
        let told = overview.attention.iter().find(|it| it.href == format!("/nodes/{id}")).unwrap();
        assert!(told.text.contains("off") && told.next_step.contains("Resume"), "{told:?}");
        vendor.set_server_status(&server.name, ServerStatus::Running);
        app.observed().await;
        assert_eq!(fields(&node(app, &id).await), []);
        assert_eq!(counts(app).await["available"], 1);

        // Labels taken away: it is there, but no longer touched.
        vendor.set_server_labels(&server.name, &[("who", "knows")]);
        app.observed().await;
        let unlabelled = node(app, &id).await;
        assert_eq!(fields(&unlabelled), [("labels", "not ours")]);
        assert_eq!(counts(app).await["available"], 1, "it still runs");
        let status = act(app, &id, "get-server-status").await.json();
        assert_eq!(status["drift"], unlabelled["drift"], "one comparison");
        let labels: Vec<_> = server.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        vendor.set_server_labels(&server.name, &labels);
        app.observed().await;
        assert_eq!(fields(&node(app, &id).await), []);

        // Another type, and another address.
        let action = |name: &str| format!("/servers/{}/actions/{name}", server.id);
        by_hand(&vendor, &action("poweroff"), json!({})).await;
        loop {
            if vendor.servers()[0].status == ServerStatus::Off && !vendor.servers()[0].locked {
                break;
            }
            tokio::task::yield_now().await;
        }
        by_hand(&vendor, &action("change_type"), json!({"server_type": "cx33", "upgrade_disk": false})).await;
        loop {
            if !vendor.servers()[0].locked {
                break;
            }
            tokio::task::yield_now().await;
        }
        vendor.set_server_status(&server.name, ServerStatus::Running);
        let address = vendor.move_server(&server.name).unwrap().to_string();
        app.observed().await;
        assert_eq!(fields(&node(app, &id).await), [("ipv4", address.as_str()), ("server_type", "cx33")]);
        let attention = admin.get(&format!("/api/v1/nodes/{id}/history")).await.json();
        let told = attention["items"].as_array().unwrap().iter().filter(|it| it["action"] == "node.drift").count();
        assert_eq!(told, 5, "each change once: {attention:#}");

        // Gone: said so, held back, cleared by a destroy.
        vendor.remove_server(&server.name);
        app.observed().await;
        let gone = node(app, &id).await;
        assert_eq!((fields(&gone), &gone["state"]), (vec![("server", "gone")], &json!("ready")));
        assert_eq!(counts(app).await["maintenance"], 1);
        let report = admin.get("/api/v1/orphans").await.json();
        assert_eq!((&report["items"][0]["kind"], &report["items"][0]["node_id"]), (&json!("gone"), &json!(id)));
        assert_eq!((&report["items"][0]["sweepable_at"], &report["can_sweep"]), (&Value::Null, &json!(false)));
        assert_eq!(act(app, &id, "destroy-node").await.status, 202);
        app.node_is(&id, "destroyed").await;
        app.observed().await;
        assert_eq!(admin.get("/api/v1/orphans").await.json()["items"], json!([]));
        vendor.shutdown().await;
    })
    .await;
}

/// What is reached under an address that the machine has no more may be somebody else's.
#[tokio::test]
async fn a_machine_whose_address_changed_is_given_to_nobody() {
    on_each(Setup::usual().with("VM_POOL_JSON", "").with_jobs(), async |app: &TestApp| {
        let vendor = vendor().await;
        let (_, id) = ready(app, &vendor).await;
        let address = vendor.move_server(&vendor.servers()[0].name).unwrap().to_string();
        app.observed().await;
        assert_eq!(fields(&node(app, &id).await), [("ipv4", address.as_str())]);
        let held = counts(app).await;
        assert_eq!((&held["available"], &held["maintenance"]), (&json!(0), &json!(1)), "{held:#}");
        let vm = format!("/api/v1/pools/default/vms/{id}");
        app.admin().method("PATCH", &vm, json!({"status": "available"})).await.is_problem(409, "node_not_ready");
        // Whoever answers there answers well; that says nothing of whose it is.
        assert_eq!(check_health(app, &id).await["ready"], true);
        assert_eq!(counts(app).await["available"], 0);
        assert_eq!(fields(&node(app, &id).await), [("ipv4", address.as_str())]);
        vendor.shutdown().await;
    })
    .await;
}

/// A vendor that does not answer delays no other one's next look.
#[tokio::test]
async fn a_vendor_that_hangs_delays_no_other() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let (mute, vendor) = (vendor().await, vendor().await);
        connect(app, &mute).await;
        let body = json!({"kind": "hetzner", "name": "other", "settings": {"endpoint": vendor.endpoint()},
            "secret": {"api_token": TOKEN}});
        let other = app.admin().post("/api/v1/providers", body).await.json()["id"].as_str().unwrap().to_owned();
        let hang = FaultEffect::Hang { after_effect: false };
        let hangs = mute.fault(Fault { times: 1_000, ..Fault::next(Match::ServerList, hang) });
        let path = format!("/api/v1/providers/{other}");
        app.advance(MINUTE).await;
        let looked_twice = async {
            mute.fault_hit(hangs).await;
            let first = app.until(&path, "observed", |it| it["observed_at"].is_string()).await;
            app.advance(2 * MINUTE).await;
            app.until(&path, "observed again", |it| it["observed_at"] != first["observed_at"]).await;
        };
        tokio::time::timeout(Duration::from_secs(8), app.watched(looked_twice)).await.unwrap();
        mute.shutdown().await;
        vendor.shutdown().await;
    })
    .await;
}

/// Whether the adapter starts servers at all.
fn offers_resume(node: &Value) -> bool {
    let resume = node["actions"].as_array().unwrap().iter().find(|it| it["identity"] == "resume-node").unwrap();
    resume["gates"].as_array().unwrap().iter().all(|it| it["name"] != "provider-capability" || it["result"] == "pass")
}

/// A listing that lacks a machine is no proof: the machine is asked for by its id.
#[tokio::test]
async fn nothing_is_called_gone_unconfirmed() {
    on_each(Setup::usual().with_jobs(), async |app: &TestApp| {
        let vendor = vendor().await;
        let (_, id) = ready(app, &vendor).await;
        app.observed().await;
        let before = node(app, &id).await;
        let empty = json!({"servers": [], "meta": {"pagination": {"page": 1, "per_page": 50, "previous_page": null,
            "next_page": null, "last_page": 1, "total_entries": 0}}});
        let nothing =
            FaultEffect::Status { status: 200, code: String::new(), message: String::new(), body: Some(empty) };
        vendor.fault(Fault { times: 1_000, ..Fault::next(Match::ServerList, nothing) });
        app.observed().await;
        let listed = node(app, &id).await;
        assert_eq!((fields(&listed), &listed["version"]), (vec![], &before["version"]), "it is there all the same");
        assert_ne!(listed["freshness"], before["freshness"], "and was seen");
        // Nor does a question that is not answered prove anything.
        let broken = FaultEffect::EmptyBody { status: 500 };
        vendor.fault(Fault { times: 1_000, ..Fault::next(Match::ServerGet, broken) });
        app.observed().await;
        let unknown = node(app, &id).await;
        assert_eq!(fields(&unknown), []);
        assert_eq!(unknown["freshness"]["observed_at"], listed["freshness"]["observed_at"]);
        assert_eq!(app.admin().get("/api/v1/orphans").await.json()["items"], json!([]));
        vendor.clear_faults();
        vendor.shutdown().await;
    })
    .await;
}

/// A listing that comes late says nothing of a node that has moved on.
#[tokio::test]
async fn a_late_listing_changes_nothing_that_is_newer() {
    on_each(Setup::usual().with_jobs(), async |app: &TestApp| {
        let vendor = vendor().await;
        let (provider, id) = ready(app, &vendor).await;
        let (other, _) = acquire(app, &provider, json!({"name": "beta"})).await;
        app.node_is(&other, "ready").await;
        app.advance(2 * MINUTE).await;
        for server in vendor.servers() {
            vendor.power_off(&server.name);
        }
        let slow = vendor.fault(Fault::next(Match::ServerList, FaultEffect::Slow { ms: 1_500 }));
        let services = app.services.clone();
        let looking = tokio::spawn(async move { services.accounts_observe_due().await });
        vendor.fault_hit(slow).await;
        assert_eq!(act(app, &id, "destroy-node").await.status, 202);
        let destroyed = app.node_is(&id, "destroyed").await;
        assert!(!looking.is_finished(), "the listing is late");
        assert_eq!(looking.await.unwrap().unwrap(), 1);
        assert_eq!(fields(&node(app, &other).await), [("status", "off")], "what did not move on is compared");
        assert_eq!(node(app, &id).await["version"], destroyed["version"]);
        assert_eq!(app.admin().get("/api/v1/orphans").await.json()["items"], json!([]), "it was deleted meanwhile");
        vendor.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn of_several_processes_one_observes() {
    on_each(Setup::usual().with_jobs(), async |app: &TestApp| {
        let vendor = vendor().await;
        ready(app, &vendor).await;
        let another = app.another().await;
        for _ in 0..5 {
            app.advance(MINUTE).await;
            let lists = || vendor.requests().iter().filter(|it| it.kind == Match::ServerList).count();
            let before = lists();
            let (mine, theirs) = tokio::join!(app.services.accounts_observe_due(), another.accounts_observe_due());
            assert_eq!(mine.unwrap() + theirs.unwrap(), 1);
            assert_eq!(lists() - before, 1);
        }
        another.store().close().await;
        vendor.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn what_is_stale_says_so_and_why() {
    on_each(Setup::usual().with_jobs(), async |app: &TestApp| {
        let vendor = vendor().await;
        let admin = app.admin();
        let (_, id) = ready(app, &vendor).await;
        app.observed().await;
        vendor.fault(Fault { times: 1_000, ..Fault::next(Match::Any, FaultEffect::Reset { after_effect: false }) });
        for _ in 0..4 {
            app.observed().await;
        }
        let stale = node(app, &id).await;
        assert_eq!((&stale["freshness"]["stale"], &stale["state"]), (&json!(true), &json!("ready")), "{stale:#}");
        assert!(stale["freshness"]["reason"].as_str().is_some_and(|why| !why.is_empty()), "{stale:#}");
        let listed = admin.get("/api/v1/nodes").await.json();
        assert_eq!(listed["items"][0]["freshness"], stale["freshness"]);
        let report = admin.get("/api/v1/orphans").await.json();
        assert_eq!(report["unknown"].as_array().unwrap().len(), 1, "{report:#}");
        let overview = app.services.overview(&Principal::admin_secret()).await.unwrap();
        assert!(overview.attention.iter().any(|it| it.text.contains("is old")), "{:?}", overview.attention);
        vendor.clear_faults();
        app.observed().await;
        assert_eq!(node(app, &id).await["freshness"]["stale"], false);
        assert_eq!(admin.get("/api/v1/orphans").await.json()["unknown"], json!([]));
        vendor.shutdown().await;
    })
    .await;
}

/// The clock looks by itself.
#[tokio::test]
async fn the_clock_observes() {
    on_each(Setup::usual().with_jobs(), async |app: &TestApp| {
        let vendor = vendor().await;
        let (_, id) = ready(app, &vendor).await;
        let server = vendor.servers()[0].name.clone();
        app.advance(MINUTE).await;
        vendor.power_off(&server);
        let path = format!("/api/v1/nodes/{id}");
        let seen = app.until(&path, "found off", |n| n["drift"] != json!([]));
        tokio::time::timeout(Duration::from_secs(60), app.watched(seen)).await.unwrap();
        vendor.shutdown().await;
    })
    .await;
}
