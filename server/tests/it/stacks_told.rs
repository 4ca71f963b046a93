//! What is done by hand at a real Docker Engine shows soon, by what the engine tells: the clock of these
//! tests stands still, so that none of it comes from looking again.

use std::time::{Duration, Instant};

use domain::time::HOUR;
use serde_json::{Value, json};

use crate::{
    app::{Setup, TestApp, on_each},
    stacks_real::docker,
    verbs::acted,
};

const LONG: Duration = Duration::from_secs(60);

/// Waits until so many listen to what the engine tells.
async fn listeners(engine: &docker::Docker, wanted: &str) {
    let until = Instant::now() + LONG;
    loop {
        let told = engine.docker(&["info", "--format", "{{.NEventsListener}}"]);
        if told == wanted {
            return;
        }
        assert!(Instant::now() < until, "{told} listen, and not {wanted}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn is_well(node: &Value) -> bool {
    node["state"] == "ready" && node["health"]["ready"] == true && node["drift"] == json!([])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_by_hand_at_an_engine_shows_at_once() {
    if !docker::is_here() {
        return;
    }
    // Of its own: it is counted who listens.
    let engine = tokio::task::spawn_blocking(docker::Docker::start).await.unwrap();
    let setup = Setup::usual().with("VM_POOL_JSON", "").with_jobs().with_work(|work| work.observe_every = HOUR);
    on_each(setup, async |app: &TestApp| app.watched(by_hand(app, &engine)).await).await;
    tokio::task::spawn_blocking(move || drop(engine)).await.unwrap();
}

async fn by_hand(app: &TestApp, engine: &docker::Docker) {
    let (admin, prefix) = (app.admin(), docker::prefix());
    let saved = admin.method("PUT", "/api/v1/blueprints/page", json!(docker::blueprint())).await;
    assert_eq!(saved.status, 200, "{}", saved.body);
    listeners(engine, "0").await;
    let settings = json!({"host": engine.host(), "project_prefix": prefix});
    let account = json!({"kind": "docker-compose", "name": "engine", "settings": settings});
    let account = admin.post("/api/v1/providers", account).await.json();
    listeners(engine, "1").await;
    let compose = json!({"blueprint": "page"});
    let wish = json!({"provider_id": account["id"], "name": "alpha", "pool": "default", "compose": compose});
    let reply = admin.post("/api/v1/nodes", wish).await;
    assert_eq!(reply.status, 202, "{}", reply.body);
    let node = reply.json()["node_id"].as_str().unwrap().to_owned();
    let ready = app.node_is(&node, "ready").await;
    let project = ready["infra_id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/nodes/{node}");
    let name = |service: &str| format!("{project}-{service}-1");
    let becomes = async |what: &str, fits: &dyn Fn(&Value) -> bool| {
        let begun = Instant::now();
        let found = app.until(&path, what, fits).await;
        // A second or two, where a machine is not as busy as one that runs tests.
        assert!(begun.elapsed() < Duration::from_secs(20), "{what} after {:?}", begun.elapsed());
        found
    };
    let in_pool = async || admin.get("/api/v1/pools/default/vms").await.json()["items"][0]["status"].clone();
    let usage = |node: &Value| node["health"]["usage"].as_array().map_or(0, Vec::len) == 3;
    let well = becomes("well, with what it takes", &|node: &Value| is_well(node) && usage(node)).await;
    let names: Vec<_> = well["health"]["usage"].as_array().unwrap().iter().map(|part| part["name"].clone()).collect();
    assert_eq!(names, ["db", "side", "web"]);

    engine.docker(&["stop", &name("web"), &name("side")]);
    let off = becomes("off", &|node: &Value| node["drift"][0]["observed"] == "off").await;
    assert!(off["drift"][0]["guidance"].as_str().unwrap().contains("stopped on the engine"), "{off:#}");
    assert_eq!(in_pool().await, "maintenance", "nobody is given it");
    engine.docker(&["start", &name("web"), &name("side")]);
    becomes("well again", &is_well).await;
    assert_eq!(in_pool().await, "available");

    // A service on which the others stand, without which the stack does run.
    engine.docker(&["kill", &name("db")]);
    let down = becomes("not healthy", &|node: &Value| node["health"]["ready"] == false).await;
    let drift = &down["drift"][0];
    assert_eq!((&drift["field"], &drift["observed"]), (&json!("services"), &json!("db stopped")), "{down:#}");
    assert_eq!(in_pool().await, "maintenance");
    engine.docker(&["start", &name("db")]);
    becomes("well again", &is_well).await;
    engine.docker(&["exec", &name("web"), "rm", "/www/index.html"]);
    becomes("told by its own health check", &|node: &Value| node["health"]["ready"] == false).await;
    engine.docker(&["exec", &name("web"), "sh", "-c", "echo again > /www/index.html"]);
    becomes("well again", &is_well).await;
    engine.docker(&["rm", "--force", &name("web"), &name("side"), &name("db")]);
    engine.docker(&["network", "rm", &format!("{project}_default")]);
    engine.docker(&["volume", "rm", &format!("{project}_data")]);
    becomes("gone", &|node: &Value| node["drift"][0]["observed"] == "gone").await;
    acted(app, &node, "destroy-node", json!({"backup": false}), "succeeded").await;

    let id = account["id"].as_str().unwrap();
    let gone = admin.method("DELETE", &format!("/api/v1/providers/{id}"), json!({})).await;
    assert!(gone.status < 300, "{}", gone.body);
    listeners(engine, "0").await;
    assert_eq!(engine.things(&prefix), Vec::<String>::new());
}
