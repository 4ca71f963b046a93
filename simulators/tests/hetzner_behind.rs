//! What happens behind a client's back, and the bucket of requests that it shares with others.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{Sim, order};
use reqwest::Method;
use serde_json::{Value, json};
use simulators::{ForeignServer, HetznerConfig, RateLimit, RequestKind, ServerStatus};

#[tokio::test]
async fn a_server_changes_without_any_action() {
    let sim = Sim::new().await;
    let id = sim.running("alpha").await;
    let path = format!("/servers/{id}");
    let before = sim.get(&format!("{path}/actions")).await["meta"]["pagination"]["total_entries"].clone();
    assert!(sim.hetzner.power_off("alpha"));
    assert!(sim.hetzner.set_server_labels("alpha", &[("a", "b")]));
    let moved = sim.hetzner.move_server("alpha").unwrap().to_string();
    assert!(sim.hetzner.rename_server("alpha", "beta"));
    let server = sim.get(&path).await["server"].clone();
    assert_eq!((&server["status"], &server["name"]), (&json!("off"), &json!("beta")));
    assert_eq!((&server["labels"], &server["public_net"]["ipv4"]["ip"]), (&json!({"a": "b"}), &json!(moved)));
    let primary = sim.get(&format!("/primary_ips?ip={moved}")).await["primary_ips"][0].clone();
    assert_eq!(primary["assignee_id"], id);
    assert_eq!(sim.get(&format!("{path}/actions")).await["meta"]["pagination"]["total_entries"], before);
    assert!(!sim.hetzner.power_off("alpha") && sim.hetzner.move_server("alpha").is_none());
    assert!(sim.hetzner.remove_server("beta"));
    assert_eq!(sim.refused(Method::GET, &path, None).await.0, 404);
    assert_eq!(sim.get("/primary_ips").await["primary_ips"], json!([]));
}

#[tokio::test]
async fn there_are_servers_of_others() {
    let sim = Sim::new().await;
    let orphan = ForeignServer::new("orphan", &[("managed-by", "hangar"), ("hangar-node", "gone")]);
    let view = sim.hetzner.add_server(orphan.clone()).unwrap();
    assert_eq!((view.status, view.server_type.as_str()), (ServerStatus::Running, "cx23"));
    assert!(sim.hetzner.add_server(orphan).is_none(), "its name is taken");
    assert!(sim.hetzner.requests().is_empty());
    let list = sim.get("/servers?label_selector=managed-by%3Dhangar").await;
    assert_eq!(list["servers"][0]["id"], view.id);
    assert_eq!(sim.refused(Method::POST, "/servers", Some(order("orphan"))).await.0, 409);
    let (_, deletion) = sim.call(Method::DELETE, &format!("/servers/{}", view.id), None).await;
    assert_eq!(sim.action(&deletion).await["status"], "success");
    assert!(sim.hetzner.servers().is_empty());
}

#[tokio::test]
async fn the_control_endpoint_does_all_of_it() {
    let sim = Sim::new().await;
    let control = async |method: Method, path: &str, body: Option<Value>| sim.control(method, path, body).await;
    let stranger = json!({"name": "stranger", "labels": {"team": "x"}, "location": "hel1", "status": "off"});
    let (status, view) = control(Method::POST, "/servers", Some(stranger.clone())).await;
    assert_eq!((status, &view["location"], &view["status"]), (201, &json!("hel1"), &json!("off")));
    assert_eq!(control(Method::POST, "/servers", Some(stranger)).await.0, 409);
    let id = &view["id"];
    let at = |what: &str| format!("/servers/{id}/{what}");
    let labels = json!({"labels": {"team": "y"}});
    assert_eq!(control(Method::PUT, &at("labels"), Some(labels)).await.0, 204);
    assert_eq!(control(Method::PUT, &at("name"), Some(json!({"name": "renamed"}))).await.0, 204);
    assert_eq!(control(Method::PUT, &at("ignore-shutdown"), Some(json!({"ignore": true}))).await.0, 204);
    let (_, moved) = control(Method::POST, &at("address"), None).await;
    let server = sim.get(&format!("/servers/{id}")).await["server"].clone();
    assert_eq!((&server["name"], &server["labels"]), (&json!("renamed"), &json!({"team": "y"})));
    assert_eq!(server["public_net"]["ipv4"]["ip"], moved["ipv4"]);
    assert_eq!(control(Method::PUT, "/servers/1/labels", Some(json!({"labels": {}}))).await.0, 404);
    assert_eq!(control(Method::PUT, "/quota", Some(json!({"servers": 1}))).await.0, 204);
    let refused = sim.refused(Method::POST, "/servers", Some(order("beta"))).await;
    assert_eq!(refused, (403, "resource_limit_exceeded".to_owned()));
    let limit = json!({"limit": 10, "window_seconds": 3600, "left": 1});
    assert_eq!(control(Method::PUT, "/rate-limit", Some(limit)).await.0, 204);
    sim.get("/locations").await;
    assert_eq!(sim.refused(Method::GET, "/locations", None).await.0, 429);
    assert_eq!(control(Method::PUT, "/rate-limit", Some(json!({"limit": 1, "window_seconds": -1}))).await.0, 422);
}

#[tokio::test]
async fn the_log_tells_actions_apart() {
    let sim = Sim::new().await;
    let id = sim.running("alpha").await;
    for command in ["shutdown", "request_console"] {
        sim.call(Method::POST, &format!("/servers/{id}/actions/{command}"), None).await;
    }
    let kinds: Vec<RequestKind> = sim.hetzner.requests().iter().map(|it| it.kind).collect();
    assert!(kinds.contains(&RequestKind::ServerShutdown) && kinds.contains(&RequestKind::ServerAction), "{kinds:?}");
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Limit, remaining, and in how many seconds the bucket is full.
async fn told(sim: &Sim) -> (u64, u64, f64) {
    let answer = sim.raw(Method::GET, "/locations", None).await.unwrap();
    let number = |name: &str| answer.headers()[name].to_str().unwrap().parse::<u64>().unwrap();
    let reset = number("ratelimit-reset") as f64 - now();
    (number("ratelimit-limit"), number("ratelimit-remaining"), reset)
}

#[tokio::test]
async fn the_reset_follows_from_what_is_missing_and_the_true_rate() {
    // An hour of 600 seconds: 3,600 calls, six a second.
    let rate_limit = RateLimit::per_window(3_600, Duration::from_secs(600));
    let config = HetznerConfig { rate_limit, rate_limit_left: Some(1_800), ..HetznerConfig::default() };
    let sim = Sim::start(config).await;
    let (limit, remaining, reset) = told(&sim).await;
    assert_eq!(limit, 3_600);
    // A call less, and what has flowed back since the start of a busy machine.
    assert!((1_799..1_900).contains(&remaining), "{remaining}");
    let missing = (limit - remaining) as f64;
    assert!((reset - missing / 6.0).abs() < 2.5, "{reset} s for {missing} calls");

    sim.hetzner.set_rate_limit(RateLimit::per_window(100, Duration::from_secs(10_000)), None);
    assert_eq!(told(&sim).await.1, 99);
    sim.hetzner.set_rate_limit(RateLimit::per_window(100, Duration::ZERO), Some(0));
    assert_eq!(sim.refused(Method::GET, "/locations", None).await.0, 429);
}

#[tokio::test]
async fn many_servers_at_once() {
    let config = HetznerConfig { server_quota: 600, ..HetznerConfig::default() };
    let sim =
        Sim::start(HetznerConfig { rate_limit: RateLimit::per_window(1_000_000, Duration::ZERO), ..config }).await;
    let creates = (0..600).map(|n| sim.call(Method::POST, "/servers", Some(order(&format!("node-{n}")))));
    let answers = futures::future::join_all(creates).await;
    assert!(answers.iter().all(|(status, _)| status.as_u16() == 201));
    common::until(|| async {
        let running = sim.get("/servers?status=running&per_page=50").await;
        running["meta"]["pagination"]["total_entries"] == 600
    })
    .await;
    let mut addresses: Vec<_> = sim.hetzner.servers().into_iter().filter_map(|it| it.ipv4).collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 600);
}
