//! Accounts at a vendor: what a live check finds, and which secret is in use.

use domain::{
    access::Principal,
    time::{MINUTE, SECOND},
};
use serde_json::{Value, json};
use simulators::{CloudflareConfig, CloudflareToken, Fault, FaultEffect, Hetzner, Match};

use crate::{
    app::{Setup, TestApp, on_each},
    dns,
    nodes::{READ_ONLY, TOKEN, acquire, act, connect, vendor},
};

async fn post(app: &TestApp, vendor: &Hetzner, token: &str) -> Value {
    let body = json!({"kind": "hetzner", "name": "acct", "settings": {"endpoint": vendor.endpoint()}, "secret": {"api_token": token}});
    let reply = app.admin().post("/api/v1/providers", body).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    reply.json()
}

#[tokio::test]
async fn a_check_tells_what_it_found() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let vendor = vendor().await;
        let admin = app.admin();
        for (token, code) in
            [("wrong".repeat(13), "PROVIDER_CREDENTIAL_REJECTED"), (READ_ONLY.to_owned(), "PROVIDER_TOKEN_READONLY")]
        {
            let made = post(app, &vendor, &token).await;
            assert_eq!((&made["status"], &made["last_code"]), (&json!("degraded"), &json!(code)), "{made:#}");
            assert!(!made["guidance"].as_array().unwrap().is_empty());
            assert_eq!(made["connected_at"], Value::Null);
            // No node can be made through it.
            let wish = json!({"provider_id": made["id"], "name": "n"});
            let problem = admin.post("/api/v1/nodes", wish).await.is_problem(409, "provider_not_connected");
            assert!(problem["recovery"]["next_step"].is_string());
            let path = format!("/api/v1/providers/{}", made["id"].as_str().unwrap());
            assert_eq!(admin.method("DELETE", &path, json!({})).await.status, 204);
        }
        assert!(vendor.servers().is_empty());
        let made = connect(app, &vendor).await;
        let path = format!("/api/v1/providers/{made}");
        let check = async || admin.post(&format!("{path}/check"), json!({})).await.json();
        vendor.fault(Fault { times: 1_000, ..Fault::next(Match::Any, FaultEffect::Reset { after_effect: false }) });
        let down = check().await;
        assert_eq!((&down["status"], &down["last_code"]), (&json!("degraded"), &json!("PROVIDER_UNREACHABLE")));
        vendor.clear_faults();
        let up = check().await;
        assert_eq!((&up["status"], &up["last_code"]), (&json!("connected"), &Value::Null));
        vendor.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_refused_secret_replaces_nothing() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let vendor = vendor().await;
        let admin = app.admin();
        let id = connect(app, &vendor).await;
        let path = format!("/api/v1/providers/{id}");
        for token in ["x".repeat(64), READ_ONLY.to_owned()] {
            let problem = admin
                .method("PUT", &format!("{path}/secret"), json!({"api_token": token}))
                .await
                .is_problem(422, "credential_refused");
            assert!(problem["recovery"]["next_step"].is_string(), "{problem:#}");
            assert!(!problem.to_string().contains(&token));
            let now = admin.get(&path).await.json();
            assert_eq!(now["status"], "connected", "{now:#}");
            let checked = admin.post(&format!("{path}/check"), json!({})).await.json();
            assert_eq!(checked["status"], "connected", "the old one still works: {checked:#}");
        }
        // A vendor that does not answer says nothing about the new secret.
        vendor.fault(Fault { times: 1_000, ..Fault::next(Match::Any, FaultEffect::Reset { after_effect: false }) });
        let reply = admin.method("PUT", &format!("{path}/secret"), json!({"api_token": TOKEN})).await;
        assert_eq!(reply.json()["code"], "PROVIDER_UNREACHABLE", "{}", reply.body);
        vendor.clear_faults();
        assert_eq!(admin.method("PUT", &format!("{path}/secret"), json!({"api_token": TOKEN})).await.status, 200);
        let history = admin.get(&format!("{path}/history")).await.json();
        let refused = history["items"].as_array().unwrap().iter().filter(|e| e["outcome"] == "refused").count();
        assert_eq!(refused, 3, "what was refused is in the trail: {history:#}");
        vendor.shutdown().await;
    })
    .await;
}

/// With a secret that sees none of the zones in which records stand, every record would look gone.
#[tokio::test]
async fn a_secret_that_sees_none_of_the_zones_replaces_nothing() {
    on_each(dns::quick(), async |app: &TestApp| {
        let (good, blind) = ("c".repeat(40), "b".repeat(40));
        let elsewhere = Some(vec!["other.test".to_owned()]);
        let tokens = vec![
            CloudflareToken::new(good.clone()),
            CloudflareToken { zones: elsewhere, ..CloudflareToken::new(blind.clone()) },
        ];
        let sim = dns::cloudflare_with(CloudflareConfig { tokens, ..CloudflareConfig::default() }).await;
        let provider = dns::zones(app, &sim).await;
        let (id, _) = dns::create(app, dns::wish(&provider, "alpha")).await;
        dns::record_is(app, &id, "active").await;
        let put = async |token: &str| {
            app.admin()
                .method("PUT", &format!("/api/v1/providers/{provider}/secret"), json!({"api_token": token}))
                .await
        };
        let problem = put(&blind).await.is_problem(422, "credential_refused");
        assert!(problem["detail"].as_str().unwrap().contains(dns::ZONE), "{problem:#}");
        assert_eq!(put(&good).await.status, 200);

        let reply = app.admin().method("DELETE", &format!("/api/v1/dns-records/{id}"), json!({})).await;
        assert_eq!(reply.status, 202, "{}", reply.body);
        dns::record_is(app, &id, "deleted").await;
        assert_eq!(put(&blind).await.status, 200, "nothing stands anywhere");
        sim.shutdown().await;
    })
    .await;
}

/// The vendor's catalogue is kept while the vendor fails, and read again before it is old.
#[tokio::test]
async fn the_last_good_catalogue_is_kept() {
    on_each(Setup::usual().with_jobs(), async |app: &TestApp| {
        let vendor = vendor().await;
        let admin = app.admin();
        let id = connect(app, &vendor).await;
        let path = format!("/api/v1/providers/{id}/catalog");
        let asked = || vendor.requests().iter().filter(|it| it.kind == Match::Catalog).count();
        let first = admin.get(&path).await.json();
        assert_eq!(first["stale"], Value::Null);
        let pair = &first["server_types"][0]["locations"][0];
        for field in ["price_monthly", "price_hourly"] {
            assert!(pair[field].is_string(), "{pair:#}");
        }
        assert!(pair["recommended"].is_boolean() && pair.get("unavailable_after").is_some(), "{pair:#}");
        let before = asked();
        app.advance(4 * MINUTE + SECOND).await;
        app.services.catalogs_refresh().await.unwrap();
        let second = admin.get(&path).await.json();
        assert_ne!(second["read_at"], first["read_at"], "nobody waited for it");
        let refreshed = asked();
        assert!(refreshed > before);
        app.services.catalogs_refresh().await.unwrap();
        assert_eq!(asked(), refreshed, "not before it is nearly old");
        vendor.fault(Fault { times: 10_000, ..Fault::next(Match::Catalog, FaultEffect::EmptyBody { status: 500 }) });
        app.advance(6 * MINUTE).await;
        let kept = admin.get(&path).await;
        assert_eq!(kept.status, 200, "{}", kept.body);
        let kept = kept.json();
        assert_eq!((&kept["read_at"], &kept["server_types"]), (&second["read_at"], &second["server_types"]));
        assert!(kept["stale"].as_str().is_some_and(|why| !why.is_empty()), "{:#}", kept["stale"]);
        let failed = asked();
        admin.get(&path).await;
        assert_eq!(asked(), failed, "a vendor that fails is spared");
        // What is known still serves.
        let (node, _) = acquire(app, &id, json!({})).await;
        app.node_is(&node, "ready").await;
        vendor.clear_faults();
        app.advance(MINUTE).await;
        assert_eq!(admin.get(&path).await.json()["stale"], Value::Null);
        // What is phased out is refused, with the day.
        for (server_type, location, pointer) in [("cx22", "fsn1", "/server_type")] {
            let wish = json!({"provider_id": id, "name": "n", "server_type": server_type, "location": location});
            let problem = admin.post("/api/v1/nodes", wish).await.is_problem(422, "validation");
            assert_eq!(problem["errors"][0]["pointer"], pointer);
            let why = problem["errors"][0]["message"].as_str().unwrap();
            assert!(why.contains("deprecated") && why.contains("2026-01-01"), "{why}");
        }
        vendor.shutdown().await;
    })
    .await;
}

/// A check of the old credential that comes back late says nothing about the new one.
#[tokio::test]
async fn a_late_check_does_not_speak_for_a_new_secret() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let vendor = vendor().await;
        let made = post(app, &vendor, READ_ONLY).await;
        assert_eq!(made["status"], "degraded");
        let guidance = made["guidance"].to_string();
        for word in ["bearer token", "Hetzner Console", "Read & Write", "revoke"] {
            assert!(guidance.contains(word), "{word} in {guidance}");
        }
        let id: domain::id::ProviderId = made["id"].as_str().unwrap().parse().unwrap();
        let slow = vendor.fault(Fault::next(Match::Any, FaultEffect::Slow { ms: 1_000 }));
        let (services, account) = (app.services.clone(), id.clone());
        let late = tokio::spawn(async move { services.provider_check(&Principal::system(), &account).await });
        vendor.fault_hit(slow).await;
        let path = format!("/api/v1/providers/{id}");
        let replaced = app.admin().method("PUT", &format!("{path}/secret"), json!({"api_token": TOKEN})).await;
        assert_eq!((replaced.status, &replaced.json()["status"]), (200, &json!("connected")), "{}", replaced.body);
        assert!(!late.is_finished(), "the check is late");
        late.await.unwrap().unwrap();
        assert_eq!(app.admin().get(&path).await.json()["status"], "connected");
        vendor.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn what_is_not_there_has_no_history() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let vendor = vendor().await;
        let admin = app.admin();
        for path in ["nodes/nod_0", "jobs/job_0", "providers/prv_0", "pools/nowhere"] {
            // What was refused on it makes it no thing that is there.
            admin.post(&format!("/api/v1/{path}/actions/destroy-node"), json!({})).await;
            admin.get(&format!("/api/v1/{path}/history")).await.is_problem(404, "not_found");
        }
        let id = connect(app, &vendor).await;
        let (node, job) = acquire(app, &id, json!({"pool": "default"})).await;
        act(app, &node, "suspend-node").await;
        for path in
            [format!("nodes/{node}"), format!("jobs/{job}"), format!("providers/{id}"), "pools/default".to_owned()]
        {
            assert_eq!(admin.get(&format!("/api/v1/{path}/history")).await.status, 200, "{path}");
        }
        // What is over keeps its history.
        assert_eq!(admin.post("/api/v1/pools", json!({"name": "short"})).await.status, 201);
        assert_eq!(admin.method("DELETE", "/api/v1/pools/short", json!({})).await.status, 204);
        assert_eq!(admin.get("/api/v1/pools/short/history").await.status, 200);
        vendor.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn what_is_refused_is_in_the_trail() {
    on_each(Setup::usual(), async |app: &TestApp| {
        let vendor = vendor().await;
        let admin = app.admin();
        let id = connect(app, &vendor).await;
        let user = app.user().await.get("/api/v1/me").await.json()["id"].as_str().unwrap().to_owned();
        admin.post("/admin/pool-refresh", json!("nonsense")).await.is_problem(400, "bad_request");
        admin
            .post("/api/v1/nodes", json!({"provider_id": id, "name": "Not A Name"}))
            .await
            .is_problem(422, "validation");
        admin.post("/api/v1/pools", json!({"name": "default"})).await.is_problem(409, "conflict");
        admin.method("PATCH", "/api/v1/pools/default", json!({"target_ready": 3})).await.is_problem(422, "validation");
        admin
            .method("PATCH", &format!("/api/v1/users/{user}"), json!({"max_active": 5_000}))
            .await
            .is_problem(422, "validation");
        admin
            .post("/api/v1/providers", json!({"kind": "nothing", "name": "x", "secret": {}}))
            .await
            .is_problem(422, "validation");
        admin
            .method("PUT", &format!("/api/v1/providers/{id}/secret"), json!({"other": 1}))
            .await
            .is_problem(422, "validation");
        let trail = crate::allocations::all(&admin, "/api/v1/audit").await;
        let refused: std::collections::BTreeSet<_> =
            trail.iter().filter(|it| it["outcome"] == "refused").map(|it| it["action"].as_str().unwrap()).collect();
        let wanted = [
            "pool.refresh",
            "node.acquire",
            "create-pool",
            "update-pool",
            "user.update",
            "provider.connect",
            "replace-secret",
        ];
        assert_eq!(refused, wanted.into_iter().collect());
        vendor.shutdown().await;
    })
    .await;
}
