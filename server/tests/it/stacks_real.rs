//! A stack on a real Docker Engine, from the blueprint to the backup, over REST.

use serde_json::json;

use crate::{
    allocations::{all, ask, release},
    app::{Setup, TestApp, on_each},
    nodes::step,
    verbs::acted,
};

#[path = "../../../providers/tests/docker/mod.rs"]
#[expect(dead_code, reason = "what tests of the adapter alone need is there too")]
pub mod docker;

#[tokio::test]
async fn from_a_blueprint_to_a_backup_on_a_real_engine() {
    if !docker::is_here() {
        return;
    }
    let engine = tokio::task::spawn_blocking(docker::Docker::shared).await.unwrap();
    on_each(Setup::usual().with("VM_POOL_JSON", "").with_jobs(), async |app: &TestApp| {
        let (admin, prefix) = (app.admin(), docker::prefix());
        let saved = admin.method("PUT", "/api/v1/blueprints/page", json!(docker::blueprint())).await;
        assert_eq!(saved.status, 200, "{}", saved.body);
        let settings = json!({"host": engine.host(), "project_prefix": prefix});
        let account = json!({"kind": "docker-compose", "name": "engine", "settings": settings});
        let account = admin.post("/api/v1/providers", account).await;
        assert_eq!((account.status, &account.json()["status"]), (201, &json!("connected")), "{}", account.body);
        let provider = account.json()["id"].clone();
        let compose = json!({"blueprint": "page", "variables": {"TITLE": "$(id) 'a' \"b\""}});
        let wish =
            json!({"provider_id": provider, "name": "alpha", "pool": "default", "compose": compose, "verify_cockpit": true});
        let reply = admin.post("/api/v1/nodes", wish).await;
        assert_eq!(reply.status, 202, "{}", reply.body);
        let node = reply.json()["node_id"].as_str().unwrap().to_owned();
        let says = async |words: &str| {
            let ready = app.node_is(&node, "ready").await;
            let page = app.anon().get_url(ready["cockpit_url"].as_str().unwrap()).await;
            assert_eq!((page.status, page.body.as_str()), (200, words), "{ready:#}");
        };
        says("this is app:good1\n").await;
        acted(app, &node, "check-health", json!({}), "succeeded").await;
        let checked = app.node_is(&node, "ready").await["health"].clone();
        let web = checked["usage"].as_array().unwrap().iter().find(|part| part["name"] == "web").unwrap().clone();
        assert_eq!((&web["state"], &web["memory_most_bytes"]), (&json!("healthy"), &json!(64 << 20)), "{checked:#}");
        assert!(web["memory_bytes"].as_u64().unwrap() > 0 && web["cpu_millis"].is_u64(), "{checked:#}");
        let page = app.admin_in_browser().await.open(&format!("/nodes/{node}")).await.body;
        assert!(page.contains("of 64 MiB") && page.contains("of 0.5 cores"), "its page shows it");
        acted(app, &node, "suspend-node", json!({}), "succeeded").await;
        let suspended = app.node_is(&node, "suspended").await["health"].clone();
        assert!(suspended.get("usage").is_none(), "what it took is over: {suspended:#}");
        acted(app, &node, "resume-node", json!({}), "succeeded").await;
        says("this is app:good1\n").await;
        let ran = acted(app, &node, "exec-command", json!({"argv": ["sh", "-c", "echo \"$TITLE\""]}), "succeeded").await;
        assert_eq!(ran["output"]["stdout"], "$(id) 'a' \"b\"\n", "{:#}", ran["output"]);
        let ran = acted(app, &node, "exec-command", json!({"argv": ["cat", "/data/file"], "service": "db"}), "succeeded");
        let ran = ran.await["output"]["stdout"].as_str().unwrap().to_owned();
        assert!(!ran.trim().is_empty() && ran.len() < 40, "its secret is masked: {ran}");
        acted(app, &node, "upgrade-node", json!({"tag": "good2"}), "succeeded").await;
        says("this is app:good2\n").await;
        let failed = acted(app, &node, "upgrade-node", json!({"tag": "unhealthy"}), "failed").await;
        assert_eq!(step(&failed, "roll_back")["status"], "succeeded", "{failed:#}");
        says("this is app:good2\n").await;
        let mine = ask(&app.user().await, "default").await.json();
        assert_eq!(mine["pool_vm_id"], node, "{mine:#}");
        // Given back, it is replaced by the same again.
        assert_eq!(release(&admin, &mine["id"]).await.status, 200);
        app.node_is(&node, "destroyed").await;
        let next = app.until("/api/v1/nodes?status=ready", "another", |n| n["items"].as_array().unwrap().len() == 1).await;
        let next = next["items"][0]["id"].as_str().unwrap().to_owned();
        acted(app, &next, "destroy-node", json!({"backup": true}), "succeeded").await;
        let kept = all(&admin, "/api/v1/backups").await;
        assert!(kept.len() == 1 && kept[0]["bytes"].as_u64().unwrap() > 0, "{kept:#?}");
        let path = format!("/api/v1/backups/{}/download", kept[0]["id"].as_str().unwrap());
        assert_eq!(admin.get(&path).await.status, 200);
        assert_eq!(engine.things(&prefix), Vec::<String>::new());
    })
    .await;
}
