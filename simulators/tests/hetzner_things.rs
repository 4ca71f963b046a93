//! What stands around servers: firewalls, Primary IPs, and what the catalogue offers.

mod common;

use std::time::Duration;

use common::{Sim, order};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use simulators::HetznerConfig;

async fn post(sim: &Sim, path: &str, body: Value) -> (u16, Value) {
    let (status, answer) = sim.call(Method::POST, path, Some(body)).await;
    (status.as_u16(), answer)
}

/// Waits for every action of an answer.
async fn settled(sim: &Sim, answer: &Value) {
    for action in answer["actions"].as_array().into_iter().flatten() {
        assert_eq!(sim.action(&json!({"action": action})).await["status"], "success");
    }
}

fn rule(port: &str) -> Value {
    json!({"direction": "in", "protocol": "tcp", "port": port, "source_ips": ["0.0.0.0/0", "::/0"]})
}

#[tokio::test]
async fn a_firewall_is_attached_at_creation_and_cannot_go_before_its_server() {
    let config = HetznerConfig { action_time: Duration::from_millis(100), ..HetznerConfig::default() };
    let sim = Sim::start(config).await;
    let (status, answer) = post(&sim, "/firewalls", json!({"name": "ssh", "rules": [rule("22")]})).await;
    assert_eq!((status, &answer["actions"][0]["command"]), (201, &json!("set_firewall_rules")));
    let firewall = answer["firewall"]["id"].clone();
    settled(&sim, &answer).await;

    let mut body = order("alpha");
    body["firewalls"] = json!([{"firewall": firewall}]);
    let (_, answer) = post(&sim, "/servers", body.clone()).await;
    let attached = |status: &str| json!([{"id": firewall, "status": status}]);
    assert_eq!(answer["server"]["public_net"]["firewalls"], attached("pending"));
    let id = answer["server"]["id"].as_u64().unwrap_or_default();
    sim.status(id, "running").await;
    let server = sim.get(&format!("/servers/{id}")).await;
    assert_eq!(server["server"]["public_net"]["firewalls"], attached("applied"));

    let path = format!("/firewalls/{firewall}");
    assert_eq!(sim.refused(Method::DELETE, &path, None).await, (422, "resource_in_use".to_owned()));
    let (_, deletion) = sim.call(Method::DELETE, &format!("/servers/{id}"), None).await;
    sim.action(&deletion).await;
    assert_eq!(sim.call(Method::DELETE, &path, None).await.0, StatusCode::NO_CONTENT);
    assert_eq!(post(&sim, "/servers", body).await.0, 422, "it is not there any more");
}

#[tokio::test]
async fn firewalls_are_applied_to_servers_and_to_labels() {
    let sim = Sim::new().await;
    let id = sim.running("alpha").await;
    let (_, answer) = post(&sim, "/firewalls", json!({"name": "web", "labels": {"a": "b"}})).await;
    let path = format!("/firewalls/{}", answer["firewall"]["id"]);
    let act = async |command: &str, body: Value| post(&sim, &format!("{path}/actions/{command}"), body).await;
    let count = async || {
        let server = sim.get(&format!("/servers/{id}")).await;
        server["server"]["public_net"]["firewalls"].as_array().map_or(0, Vec::len)
    };
    let direct = json!([{"type": "server", "server": {"id": id}}]);
    let (_, answer) = act("apply_to_resources", json!({"apply_to": direct})).await;
    assert_eq!(answer["actions"][0]["resources"].as_array().map(Vec::len), Some(2));
    settled(&sim, &answer).await;
    assert_eq!(count().await, 1);
    let (status, answer) = act("apply_to_resources", json!({"apply_to": direct})).await;
    assert_eq!((status, &answer["error"]["code"]), (422, &json!("firewall_already_applied")));
    settled(&sim, &act("remove_from_resources", json!({"remove_from": direct})).await.1).await;
    assert_eq!(count().await, 0);

    let labels = json!([{"type": "label_selector", "label_selector": {"selector": "role=web"}}]);
    settled(&sim, &act("apply_to_resources", json!({"apply_to": labels})).await.1).await;
    assert_eq!(count().await, 0);
    sim.call(Method::PUT, &format!("/servers/{id}"), Some(json!({"labels": {"role": "web"}}))).await;
    assert_eq!(count().await, 1);
    let seen = sim.get(&path).await["firewall"]["applied_to"][0].clone();
    assert_eq!(seen["applied_to_resources"], json!([{"type": "server", "server": {"id": id}}]));

    settled(&sim, &act("set_rules", json!({"rules": [rule("443"), rule("80")]})).await.1).await;
    assert_eq!(sim.get(&path).await["firewall"]["rules"].as_array().map(Vec::len), Some(2));
    let nobody = json!({"apply_to": [{"type": "server", "server": {"id": 1}}]});
    assert_eq!(act("apply_to_resources", nobody).await.1["error"]["code"], "firewall_resource_not_found");
    assert_eq!(act("dance", json!({})).await.0, 404);
}

#[tokio::test]
async fn firewalls_are_listed_and_checked() {
    let sim = Sim::new().await;
    post(&sim, "/firewalls", json!({"name": "one", "labels": {"a": "b"}})).await;
    post(&sim, "/firewalls", json!({"name": "two"})).await;
    for (query, names) in [("name=two", vec!["two"]), ("label_selector=a", vec!["one"]), ("", vec!["one", "two"])] {
        let list = sim.get(&format!("/firewalls?{query}")).await;
        let list = list["firewalls"].as_array().into_iter().flatten();
        assert_eq!(list.map(|it| it["name"].clone()).collect::<Vec<_>>(), names);
    }
    assert_eq!(post(&sim, "/firewalls", json!({"name": "one"})).await.1["error"]["code"], "uniqueness_error");
    let with = |field: &str, value: Value| {
        let mut rule = rule("22");
        rule[field] = value;
        json!({"name": "bad", "rules": [rule]})
    };
    for (field, value) in [
        ("direction", json!("up")),
        ("protocol", json!("smtp")),
        ("port", json!("0")),
        ("port", Value::Null),
        ("source_ips", json!([])),
        ("source_ips", json!(["10.0.0.1/8"])),
    ] {
        let (status, answer) = post(&sim, "/firewalls", with(field, value)).await;
        assert_eq!((status, &answer["error"]["code"]), (422, &json!("invalid_input")), "{field}");
    }
}

#[tokio::test]
async fn primary_ips_are_freed_when_the_deletion_is_done_and_not_before() {
    let config = HetznerConfig { action_time: Duration::from_millis(150), ..HetznerConfig::default() };
    let sim = Sim::start(config).await;
    let id = sim.running("alpha").await;
    let net = sim.get(&format!("/servers/{id}")).await["server"]["public_net"].clone();
    let list = async || sim.get("/primary_ips").await["primary_ips"].as_array().cloned().unwrap_or_default();
    let ips = list().await;
    assert_eq!(ips.len(), 2);
    for (ip, kind) in ips.iter().zip(["ipv4", "ipv6"]) {
        assert_eq!((&ip["type"], &ip["ip"], &ip["id"]), (&json!(kind), &net[kind]["ip"], &net[kind]["id"]));
        assert_eq!((&ip["assignee_type"], &ip["assignee_id"]), (&json!("server"), &json!(id)));
    }
    let path = format!("/primary_ips/{}", net["ipv4"]["id"]);
    assert_eq!(sim.refused(Method::DELETE, &path, None).await, (422, "must_be_unassigned".to_owned()));
    let (_, deletion) = sim.call(Method::DELETE, &format!("/servers/{id}"), None).await;
    assert_eq!(list().await.len(), 2);
    sim.action(&deletion).await;
    assert_eq!(list().await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_primary_ip_that_is_kept_stays_behind_unassigned() {
    let sim = Sim::new().await;
    let id = sim.running("alpha").await;
    let net = sim.get(&format!("/servers/{id}")).await["server"]["public_net"].clone();
    let path = format!("/primary_ips/{}", net["ipv4"]["id"]);
    let (_, answer) = sim.call(Method::PUT, &path, Some(json!({"auto_delete": false, "labels": {"a": "b"}}))).await;
    assert_eq!(answer["primary_ip"]["labels"], json!({"a": "b"}));
    let (_, deletion) = sim.call(Method::DELETE, &format!("/servers/{id}"), None).await;
    sim.action(&deletion).await;
    let left = sim.get("/primary_ips?label_selector=a").await["primary_ips"].clone();
    assert_eq!(left.as_array().map(Vec::len), Some(1));
    assert_eq!((&left[0]["assignee_type"], &left[0]["assignee_id"]), (&json!("unassigned"), &Value::Null));
    let (_, answer) = post(&sim, &format!("{path}/actions/change_protection"), json!({"delete": true})).await;
    sim.action(&answer).await;
    assert_eq!(sim.refused(Method::DELETE, &path, None).await, (423, "protected".to_owned()));
    let (_, answer) = post(&sim, &format!("{path}/actions/change_protection"), json!({"delete": false})).await;
    sim.action(&answer).await;
    assert_eq!(sim.call(Method::DELETE, &path, None).await.0, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_type_may_be_going_at_one_location_only() {
    let sim = Sim::new().await;
    let offers = async |name: &str| {
        let types = sim.get(&format!("/server_types?name={name}")).await;
        let locations = types["server_types"][0]["locations"].as_array().cloned().unwrap_or_default();
        locations.into_iter().map(|it| (it["name"].as_str().unwrap_or_default().to_owned(), it)).collect()
    };
    let cax21: std::collections::BTreeMap<String, Value> = offers("cax21").await;
    assert!(cax21["hel1"]["deprecation"]["unavailable_after"].is_string() && cax21["fsn1"]["deprecation"].is_null());
    let create = async |name: &str, server_type: &str, location: &str| {
        let mut body = order(name);
        (body["server_type"], body["location"]) = (server_type.into(), location.into());
        let (status, answer) = post(&sim, "/servers", body).await;
        (status, answer["error"]["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(create("going", "cax21", "hel1").await.0, 201, "still to be had");
    let gone = json!({"server_type": "cax21", "location": "nbg1", "available": false, "recommended": false,
        "deprecation": {"announced": "2026-06-01T00:00:00Z", "unavailable_after": "2026-10-01T00:00:00Z"}});
    assert_eq!(sim.control(Method::POST, "/catalogue", Some(gone)).await.0, 204);
    let cax21: std::collections::BTreeMap<String, Value> = offers("cax21").await;
    let nbg1 = &cax21["nbg1"];
    assert_eq!((&nbg1["available"], &nbg1["recommended"]), (&json!(false), &json!(false)));
    assert_eq!(create("gone", "cax21", "nbg1").await, (422, "invalid_server_type".to_owned()));

    sim.hetzner.set_available("cx23", "fsn1", false);
    let cx23: std::collections::BTreeMap<String, Value> = offers("cx23").await;
    assert_eq!((&cx23["fsn1"]["available"], &cx23["fsn1"]["recommended"]), (&json!(false), &json!(true)));
    assert_eq!(create("all-the-same", "cx23", "fsn1").await.0, 201, "it is only an indicator");
}
