//! The operator's list of machines: replaced as a whole or not at all, and never from under anyone.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    allocations::{all, ask, release},
    app::{Client, Reply, SECRET, Setup, TestApp, on_each},
};

async fn refresh(app: &TestApp, list: Value) -> Reply {
    app.admin().post("/admin/pool-refresh", list).await
}

/// A refresh that is accepted, and its report: size before and after, added, removed, draining.
async fn refreshed(app: &TestApp, list: Value) -> ([u64; 5], Vec<String>) {
    let reply = refresh(app, list).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    report(&reply.json())
}

fn report(report: &Value) -> ([u64; 5], Vec<String>) {
    let n = |key: &str| report[key].as_u64().unwrap();
    let warnings = report["warnings"].as_array().unwrap().iter().map(|w| w.as_str().unwrap().to_owned()).collect();
    ([n("prev_pool_size"), n("pool_size"), n("added"), n("removed"), n("draining")], warnings)
}

/// The machines of a pool and where they stand; retired ones too.
async fn machines(app: &TestApp, pool: &str) -> BTreeMap<String, String> {
    let vms = all(&app.admin(), &format!("/api/v1/pools/{pool}/vms")).await;
    vms.iter().map(|v| (v["id"].as_str().unwrap().to_owned(), v["status"].as_str().unwrap().to_owned())).collect()
}

fn standing(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(id, status)| ((*id).to_owned(), (*status).to_owned())).collect()
}

#[tokio::test]
async fn an_array_and_a_wrapper_say_the_same() {
    on_each(Setup::usual().with("VM_POOL_JSON", "[]"), async |app: &TestApp| {
        let list = json!([{"id": "a", "host": "192.0.2.1", "cockpit_url": "https://a.example.org/x?y"}, {"id": "b"}]);
        assert_eq!(refreshed(app, list.clone()).await, ([0, 2, 2, 0, 0], vec![]));
        assert_eq!(refreshed(app, json!({"pool": list})).await, ([2, 2, 0, 0, 0], vec![]));
        let vm = all(&app.admin(), "/api/v1/pools/default/vms?status=available").await;
        let a = vm.iter().find(|v| v["id"] == "a").unwrap();
        assert_eq!((&a["host"], &a["cockpit_url"]), (&json!("192.0.2.1"), &json!("https://a.example.org/x?y")));
        assert_eq!((&a["source"], &a["pool"]), (&json!("listed"), &json!("default")));
        // Fields that others read from the same list are no matter; those around it neither.
        let more = json!({"pool": [{"id": "a", "rack": 7, "labels": {"k": "v"}, "ssh_user": "root", "ssh_port": 2222}], "v": 2});
        assert_eq!(refreshed(app, more).await, ([2, 1, 0, 1, 0], vec![]));
        assert_eq!(machines(app, "default").await, standing(&[("a", "available"), ("b", "retired")]));
        assert_eq!(refreshed(app, json!([])).await, ([1, 0, 0, 1, 0], vec![]));
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_changes_nothing() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let before = all(&app.admin(), "/api/v1/pools/default/vms").await;
        let good = json!({"id": "fine"});
        let bad = [
            json!([good, {"id": "x"}, {"id": "x"}]),
            json!([good, {"id": "x", "cockpit_url": "javascript:alert(1)"}]),
            json!([good, {"id": "x", "cockpit_url": "JavaScript:alert(1)"}]),
            json!([good, {"id": "x", "cockpit_url": "ftp://example.org/"}]),
            json!([good, {"id": "x", "cockpit_url": "https://"}]),
            json!([good, {"id": "x", "cockpit_url": "http:///path"}]),
            json!([good, {"id": "x", "cockpit_url": "//example.org/"}]),
            json!([good, {"id": "x", "cockpit_url": 7}]),
            json!([good, {"id": "x", "status": "allocated"}]),
            json!([good, {"id": "x", "status": "retired"}]),
            json!([good, {"id": "x", "status": "sleeping"}]),
            json!([good, {"host": "192.0.2.9"}]),
            json!([good, {"id": ""}]),
            json!([good, {"id": "x", "ssh_port": 70_000}]),
            json!([good, {"id": "x", "pool": "No Pool"}]),
            json!([good, "x"]),
            json!({"pool": {"id": "x"}}),
            json!({"vms": [good]}),
            json!("x"),
            json!(null),
        ];
        for list in bad {
            for path in ["/admin/pool-refresh", "/admin/pool-refresh?dry_run=1"] {
                let reply = app.admin().post(path, list.clone()).await;
                assert_eq!(reply.status, 400, "{list}: {}", reply.body);
                reply.is_problem(400, "bad_request");
            }
        }
        for text in ["", "[", "[{\"id\":\"x\"},]", "{'pool':[]}"] {
            let send = |r: reqwest::RequestBuilder| r.header("content-type", "application/json").body(text.to_owned());
            app.admin().send(Method::POST, "/admin/pool-refresh", send).await.is_problem(400, "bad_request");
        }
        let named = refresh(app, json!([good, {"id": "x"}, {"id": "x"}])).await.is_problem(400, "bad_request");
        assert_eq!(named["errors"][0]["pointer"], "/2/id");
        let named =
            refresh(app, json!({"pool": [{"id": "x", "status": "retired"}]})).await.is_problem(400, "bad_request");
        assert_eq!(named["errors"][0]["pointer"], "/pool/0/status");
        assert_eq!(all(&app.admin(), "/api/v1/pools/default/vms").await, before);
    })
    .await;
}

#[tokio::test]
async fn who_may_refresh_and_when() {
    on_each(Setup::usual().with("VM_POOL_JSON", ""), async |app: &TestApp| {
        let list = json!([{"id": "a"}]);
        let path = "/admin/pool-refresh";
        app.anon().post(path, list.clone()).await.is_problem(401, "unauthorized");
        let wrong = |c: Client, v: &str| c.with_header("x-admin-secret".parse().unwrap(), v);
        wrong(app.anon(), "wrong").post(path, list.clone()).await.is_problem(401, "unauthorized");
        app.user().await.post(path, list.clone()).await.is_problem(403, "forbidden");
        let problem = refresh(app, list.clone()).await.is_problem(503, "pool_not_registered");
        assert!(problem["recovery"]["next_step"].is_string());
        ask(&app.admin(), "default").await.is_problem(503, "pool_not_registered");
        assert_eq!(app.admin().get("/api/v1/pools").await.json()["items"], json!([]), "nothing came into being");
        // Any pool that was made here is enough.
        assert_eq!(app.admin().post("/api/v1/pools", json!({"name": "mine"})).await.status, 201);
        assert_eq!(wrong(app.anon(), SECRET).post(path, list).await.status, 200);
        assert_eq!(machines(app, "default").await, standing(&[("a", "available")]));
    })
    .await;
}

#[tokio::test]
async fn a_dry_run_tells_and_does_nothing() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let user = app.user().await;
        assert_eq!(ask(&user, "default").await.json()["pool_vm_id"], "vm-1");
        let before = all(&app.admin(), "/api/v1/pools/default/vms").await;
        let audit = all(&app.admin(), "/api/v1/audit").await.len();
        let list = json!([{"id": "vm-2", "status": "maintenance"}, {"id": "new", "pool": "other"}]);
        let dry = app.admin().post("/admin/pool-refresh?dry_run=1", list.clone()).await;
        assert_eq!(dry.status, 200, "{}", dry.body);
        assert_eq!(all(&app.admin(), "/api/v1/pools/default/vms").await, before);
        assert_eq!(app.admin().get("/api/v1/pools/other").await.status, 404);
        assert_eq!(all(&app.admin(), "/api/v1/audit").await.len(), audit);
        let done = refresh(app, list).await;
        assert_eq!(report(&done.json()), report(&dry.json()), "it told what would be done");
        assert_eq!(report(&done.json()).0, [3, 3, 1, 1, 1]);
        let now = standing(&[("vm-1", "draining"), ("vm-2", "maintenance"), ("vm-3", "retired")]);
        assert_eq!(machines(app, "default").await, now);
        assert_eq!(machines(app, "other").await, standing(&[("new", "available")]));
    })
    .await;
}

#[tokio::test]
async fn nobody_loses_what_they_hold() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let user = app.user().await;
        let mine = ask(&user, "default").await.json();
        let path = format!("/api/v1/allocations/{}", mine["id"].as_str().unwrap());
        assert_eq!(mine["pool_vm_id"], "vm-1");
        // Gone from the list: still theirs.
        let (sizes, warnings) = refreshed(app, json!([{"id": "vm-2"}])).await;
        assert_eq!(sizes, [3, 2, 0, 1, 1]);
        assert!(warnings.iter().any(|w| w.contains("vm-1")), "{warnings:?}");
        let held = user.get(&path).await.json();
        for key in ["status", "pool_vm_id", "cockpit_url", "host", "expires_at"] {
            assert_eq!(held[key], mine[key]);
        }
        assert_eq!(user.post(&format!("{path}/extend"), json!({})).await.status, 200);
        // A second refresh counts it as draining still.
        assert_eq!(refreshed(app, json!([{"id": "vm-2"}])).await.0, [2, 2, 0, 0, 1]);
        // Back in the list, also under another address: what was handed out stays as it was.
        let back =
            json!([{"id": "vm-2"}, {"id": "vm-1", "cockpit_url": "https://elsewhere.example.org/", "pool": "other"}]);
        let (sizes, warnings) = refreshed(app, back).await;
        assert_eq!(sizes, [2, 2, 0, 0, 0]);
        assert!(warnings.iter().any(|w| w.contains("vm-1") && w.contains("default")), "{warnings:?}");
        let now = standing(&[("vm-1", "allocated"), ("vm-2", "available"), ("vm-3", "retired")]);
        assert_eq!(machines(app, "default").await, now);
        assert_eq!(user.get(&path).await.json()["cockpit_url"], mine["cockpit_url"]);
        // Gone again, then given back: retired, and not handed out.
        assert_eq!(refreshed(app, json!([{"id": "vm-2"}])).await.0, [2, 2, 0, 0, 1]);
        assert_eq!(release(&user, &mine["id"]).await.status, 200);
        assert_eq!(machines(app, "default").await["vm-1"], "retired");
        assert_eq!(ask(&user, "default").await.json()["pool_vm_id"], "vm-2");
        assert_eq!(ask(&app.admin(), "default").await.status, 202, "the retired one is not handed out");
        // Listed again without a word it is not clean; it takes a word.
        let (sizes, warnings) = refreshed(app, json!([{"id": "vm-2"}, {"id": "vm-1"}])).await;
        assert_eq!(sizes, [1, 2, 1, 0, 0]);
        assert!(warnings.iter().any(|w| w.contains("vm-1")), "{warnings:?}");
        assert_eq!(machines(app, "default").await["vm-1"], "maintenance");
        refreshed(app, json!([{"id": "vm-2"}, {"id": "vm-1", "status": "available"}])).await;
        assert_eq!(machines(app, "default").await["vm-1"], "allocated", "to who waited");
    })
    .await;
}

#[tokio::test]
async fn what_a_refresh_adds_goes_to_those_who_wait() {
    on_each(Setup::usual().with("VM_POOL_JSON", r#"[{"id":"only"}]"#), async |app: &TestApp| {
        let admin = app.admin();
        let held = ask(&admin, "default").await.json();
        let mut line = Vec::new();
        for _ in 0..4 {
            line.push(ask(&admin, "default").await.json()["id"].as_str().unwrap().to_owned());
        }
        refreshed(app, json!([{"id": "only"}, {"id": "n1"}, {"id": "n2"}, {"id": "n3", "status": "maintenance"}]))
            .await;
        let mut got = Vec::new();
        for id in &line {
            got.push(admin.get(&format!("/api/v1/allocations/{id}")).await.json()["pool_vm_id"].clone());
        }
        assert_eq!(got, [json!("n1"), json!("n2"), Value::Null, Value::Null], "in order, and not what is held back");
        assert_eq!(admin.get(&format!("/api/v1/allocations/{}", line[2])).await.json()["position"], 1);
        // Let go by the list, it is handed out as well.
        refreshed(app, json!([{"id": "only"}, {"id": "n1"}, {"id": "n2"}, {"id": "n3"}])).await;
        assert_eq!(admin.get(&format!("/api/v1/allocations/{}", line[2])).await.json()["pool_vm_id"], "n3");
        assert_eq!(admin.get(&format!("/api/v1/allocations/{}", line[3])).await.json()["position"], 1);
        assert_eq!(held["pool_vm_id"], "only");
        // The new order of the list is the order of handing out.
        let other = json!([{"id": "z", "pool": "p"}, {"id": "a", "pool": "p"}]);
        refreshed(app, other).await;
        assert_eq!(ask(&admin, "p").await.json()["pool_vm_id"], "z");
    })
    .await;
}

/// The variable is read while no machine was ever listed, and never again.
#[tokio::test]
async fn the_variable_counts_once() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let start = async |json: &str| app.started_again(Some(json)).await;
        start(r#"[{"id":"other"}]"#).await.unwrap();
        assert_eq!(machines(app, "default").await.len(), 3, "what was stored stays");
        refreshed(app, json!([])).await;
        start(r#"[{"id":"other"}]"#).await.unwrap();
        assert!(!machines(app, "default").await.contains_key("other"), "an emptied list stays empty");
        start("[{}]").await.expect_err("a list that is none is refused, used or not");
    })
    .await;
    on_each(Setup::usual().with("VM_POOL_JSON", r#"{"pool":[{"id":"w","pool":"west"}]}"#), async |app: &TestApp| {
        assert_eq!(machines(app, "west").await, standing(&[("w", "available")]));
        assert_eq!(machines(app, "default").await, standing(&[]), "default comes with the variable");
    })
    .await;
}

#[tokio::test]
async fn the_demo_provisioner_says_so() {
    on_each(Setup::usual().with("VM_POOL_JSON", "").with("PROVISIONER_DEMO", "1"), async |app: &TestApp| {
        let user = app.user().await;
        let mine = ask(&user, "default").await.json();
        assert_eq!((&mine["is_demo"], &mine["provisioner"]), (&json!(true), &json!("demo")));
        assert_eq!(release(&user, &mine["id"]).await.status, 200);
        assert_eq!(refreshed(app, json!([{"id": "x"}])).await.0[1], 1);
    })
    .await;
}
