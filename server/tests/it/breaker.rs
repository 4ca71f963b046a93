//! An account that fails the same way every time is not asked again and again.

use domain::time::{MINUTE, Timestamp};
use serde_json::{Value, json};
use simulators::{Fault, FaultEffect, Match};

use crate::{
    app::{Setup, TestApp, on_each},
    nodes::{acquire, act, connect, vendor},
};

fn no_quota() -> FaultEffect {
    FaultEffect::Status {
        status: 403,
        code: "resource_limit_exceeded".to_owned(),
        message: "no".to_owned(),
        body: None,
    }
}

async fn account(app: &TestApp, provider: &str) -> Value {
    app.admin().get(&format!("/api/v1/providers/{provider}")).await.json()
}

async fn fails(app: &TestApp, provider: &str) {
    let (_, job) = acquire(app, provider, json!({})).await;
    let failed = app.job_is(&job, "failed").await;
    assert_eq!(failed["error"]["code"], "PROVIDER_QUOTA_EXCEEDED", "{failed:#}");
}

fn pause(app: &TestApp, account: &Value) -> i64 {
    let until = account["breaker"]["open_until"].as_str().unwrap_or_else(|| panic!("{account:#}"));
    Timestamp::parse(until).unwrap().since(app.clock.now())
}

#[tokio::test]
async fn failures_in_a_row_pause_the_account() {
    on_each(Setup::usual().with_jobs(), async |app: &TestApp| {
        let vendor = vendor().await;
        let admin = app.admin();
        let provider = connect(app, &vendor).await;
        let faulty = || vendor.fault(Fault { times: 1_000, ..Fault::next(Match::ServerCreate, no_quota()) });
        faulty();
        fails(app, &provider).await;
        fails(app, &provider).await;
        let two = account(app, &provider).await;
        assert_eq!((&two["breaker"]["failures"], &two["breaker"]["open_until"]), (&json!(2), &Value::Null));
        // A success forgets them.
        vendor.clear_faults();
        let (node, _) = acquire(app, &provider, json!({})).await;
        app.node_is(&node, "ready").await;
        assert_eq!(account(app, &provider).await["breaker"], Value::Null);
        faulty();
        for _ in 0..3 {
            fails(app, &provider).await;
        }
        let asked = vendor.requests().iter().filter(|it| it.kind == Match::ServerCreate).count();
        let open = account(app, &provider).await;
        assert_eq!((pause(app, &open), &open["breaker"]["failures"]), (5 * MINUTE, &json!(3)));
        let wish = json!({"provider_id": provider, "name": "n", "server_type": "cx23", "location": "fsn1",
            "image": "debian-12", "profile": "none"});
        let problem = admin.post("/api/v1/nodes", wish.clone()).await.is_problem(409, "account_paused");
        assert!(problem["recovery"]["next_step"].is_string(), "{problem:#}");
        let gate = open["actions"].as_array().unwrap().iter().find(|it| it["identity"] == "create-server").unwrap();
        assert!(
            gate["gates"]
                .as_array()
                .unwrap()
                .iter()
                .any(|it| it["name"] == "account-breaker" && it["result"] == "blocked")
        );
        // So is the retry of what failed, which would ask for a new server.
        let failed = admin.get("/api/v1/nodes?status=failed").await.json()["items"][0]["id"].clone();
        let problem = act(app, failed.as_str().unwrap(), "retry-node").await.is_problem(409, "account_paused");
        let gates = problem["gates"].as_array().unwrap();
        assert!(gates.iter().any(|it| it["name"] == "account-breaker" && it["result"] == "blocked"), "{problem:#}");
        // A pool honours it and says so.
        let pool = json!({"name": "kept", "target_ready": 1, "template": wish});
        assert_eq!(admin.post("/api/v1/pools", pool).await.status, 201);
        assert_eq!(app.services.pools_fill().await.unwrap().acquired, 0);
        let plan = admin.get("/api/v1/pools/kept").await.json()["plan"].clone();
        assert!(plan.as_str().unwrap().contains("failed in a row"), "{plan}");
        assert_eq!(admin.method("DELETE", "/api/v1/pools/kept", json!({})).await.status, 204);
        assert_eq!(vendor.requests().iter().filter(|it| it.kind == Match::ServerCreate).count(), asked);
        // Each failed try doubles the pause, up to an hour.
        for minutes in [10, 20, 40, 60, 60] {
            app.advance(pause(app, &account(app, &provider).await)).await;
            fails(app, &provider).await;
            assert_eq!(pause(app, &account(app, &provider).await), minutes * MINUTE);
        }
        let reset = format!("/api/v1/providers/{provider}/actions/reset-breaker");
        let view = admin.post(&reset, json!({})).await;
        assert_eq!((view.status, &view.json()["breaker"]), (200, &Value::Null), "{}", view.body);
        admin.post(&reset, json!({})).await.is_problem(409, "action_blocked");
        vendor.clear_faults();
        let (node, _) = acquire(app, &provider, json!({"name": "again"})).await;
        app.node_is(&node, "ready").await;
        let history = admin.get(&format!("/api/v1/providers/{provider}/history")).await.json();
        let told = |action: &str, outcome: &str| {
            let items = history["items"].as_array().unwrap().iter();
            items.filter(|it| it["action"] == action && it["outcome"] == outcome).count()
        };
        assert_eq!((told("reset-breaker", "ok"), told("reset-breaker", "refused")), (1, 1));
        assert_eq!((told("account.paused", "failed"), told("node.acquire", "refused")), (6, 1));
        vendor.shutdown().await;
    })
    .await;
}

/// Jobs that were accepted before wait until the account may be asked again.
#[tokio::test]
async fn what_is_queued_waits_for_the_account() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let vendor = vendor().await;
        let provider = connect(app, &vendor).await;
        let mut jobs = Vec::new();
        for n in 0..8 {
            jobs.push(acquire(app, &provider, json!({"name": format!("n{n}")})).await);
        }
        let id: domain::id::ProviderId = provider.parse().unwrap();
        let until = app.clock.now().plus(5 * MINUTE);
        app.services
            .store()
            .write::<(), store::StoreError, _>(move |c| {
                let id = id.clone();
                Box::pin(async move { c.provider_failures_set(&id, 3, None, Some(until)).await.map(drop) })
            })
            .await
            .unwrap();
        let worker = app.worker();
        for (_, job) in &jobs {
            let path = format!("/api/v1/jobs/{job}");
            let held = |j: &Value| j["status"] == "queued" && j["error"]["code"] == "account_paused";
            assert_eq!(app.until(&path, "held", held).await["attempt"], 0);
        }
        assert_eq!(vendor.servers(), []);
        let reset = format!("/api/v1/providers/{provider}/actions/reset-breaker");
        assert_eq!(app.admin().post(&reset, json!({})).await.status, 200);
        for (node, _) in &jobs {
            app.node_is(node, "ready").await;
        }
        app.begin_end();
        worker.await.unwrap();
        vendor.shutdown().await;
    })
    .await;
}
