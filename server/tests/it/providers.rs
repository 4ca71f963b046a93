//! Accounts at a vendor: what a live check finds, and which secret is in use.

use serde_json::{Value, json};
use simulators::{Fault, FaultEffect, Hetzner, Match};

use crate::{
    app::{Setup, TestApp, on_each},
    nodes::{READ_ONLY, TOKEN, connect, vendor},
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
