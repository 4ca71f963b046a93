//! The simulated Hetzner answers as the vendor documents.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::time::Duration;

use common::{KEY, OTHER_KEY, Sim, order};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use simulators::{Hetzner, HetznerConfig, RateLimit, ServerStatus, TokenAccess};

fn slow() -> HetznerConfig {
    HetznerConfig { action_time: Duration::from_secs(3600), ..HetznerConfig::default() }
}

#[tokio::test]
async fn a_token_is_needed_and_a_read_only_one_cannot_write() {
    let (write, read) = ("w".repeat(64), "r".repeat(64));
    let tokens = vec![(write.clone(), TokenAccess::ReadWrite), (read.clone(), TokenAccess::ReadOnly)];
    let mut sim = Sim::start(HetznerConfig { tokens, ..HetznerConfig::default() }).await;
    sim.create("alpha").await;
    sim.token = read;
    assert_eq!(sim.get("/servers").await["servers"][0]["name"], "alpha");
    let refused = sim.refused(Method::POST, "/servers", Some(order("beta"))).await;
    assert_eq!(refused, (401, "token_readonly".to_owned()));
    sim.token = "x".repeat(64);
    let refused = sim.refused(Method::GET, "/servers", None).await;
    assert_eq!(refused, (401, "unauthorized".to_owned()));
    assert_eq!(sim.hetzner.servers().len(), 1);
}

#[tokio::test]
async fn every_answer_tells_the_bucket_and_an_empty_one_refuses() {
    let rate_limit = RateLimit { limit: 3, refill_per_second: 0.0 };
    let sim = Sim::start(HetznerConfig { rate_limit, ..HetznerConfig::default() }).await;
    for left in ["2", "1", "0"] {
        let answer = sim.raw(Method::GET, "/locations", None).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["ratelimit-limit"], "3");
        assert_eq!(answer.headers()["ratelimit-remaining"], left);
        assert!(answer.headers().contains_key("ratelimit-reset"));
        assert!(!answer.headers()["x-correlation-id"].is_empty());
    }
    let refused = sim.refused(Method::GET, "/locations", None).await;
    assert_eq!(refused, (429, "rate_limit_exceeded".to_owned()));
}

#[tokio::test]
async fn the_bucket_refills() {
    let rate_limit = RateLimit { limit: 1, refill_per_second: 0.5 };
    let sim = Sim::start(HetznerConfig { rate_limit, ..HetznerConfig::default() }).await;
    sim.get("/locations").await;
    assert_eq!(sim.refused(Method::GET, "/locations", None).await.0, 429);
    common::until(|| async { sim.refused(Method::GET, "/locations", None).await.0 == 200 }).await;
}

#[tokio::test]
async fn a_server_comes_up_by_the_action_clock() {
    let sim = Sim::new().await;
    let answer = sim.create("alpha").await;
    assert_eq!(answer["server"]["status"], "initializing");
    assert_eq!(answer["action"]["command"], "create_server");
    assert_eq!(answer["action"]["status"], "running");
    assert_eq!(answer["next_actions"][0]["command"], "start_server");
    assert_eq!(answer["action"]["resources"][0], json!({"id": answer["server"]["id"], "type": "server"}));
    let action = sim.action(&answer).await;
    assert_eq!((&action["status"], &action["progress"]), (&json!("success"), &json!(100)));
    assert!(action["finished"].is_string());
    let id = answer["server"]["id"].as_u64().unwrap();
    sim.status(id, "running").await;
    let server = &sim.get(&format!("/servers/{id}")).await["server"];
    assert!(server["public_net"]["ipv6"]["ip"].as_str().unwrap().ends_with("::/64"));
    assert!(server["public_net"]["ipv4"]["ip"].as_str().unwrap().starts_with("127."));
    // As of late 2026.
    assert_eq!(server["location"]["name"], "fsn1");
    assert!(server.get("datacenter").is_none());
    assert!(server["image"].get("deprecated").is_none());
    let actions = sim.get(&format!("/servers/{id}/actions?sort=id:desc")).await;
    assert_eq!(actions["actions"][0]["command"], "start_server");
}

#[tokio::test]
async fn progress_grows_while_an_action_runs() {
    let action_time = Duration::from_millis(400);
    let sim = Sim::start(HetznerConfig { action_time, ..HetznerConfig::default() }).await;
    let answer = sim.create("alpha").await;
    let path = format!("/actions/{}", answer["action"]["id"]);
    let mut seen = Vec::new();
    while seen.last() != Some(&100) {
        let action = sim.get(&path).await["action"].clone();
        seen.push(action["progress"].as_u64().unwrap());
        assert_eq!(action["status"] == "running", seen.last() != Some(&100), "{action}");
    }
    assert!(seen.is_sorted(), "{seen:?}");
    assert!(seen.iter().any(|it| (1..100).contains(it)), "{seen:?}");
}

#[tokio::test]
async fn a_server_may_be_created_without_being_started() {
    let sim = Sim::new().await;
    let mut body = order("alpha");
    body["start_after_create"] = false.into();
    let (_, answer) = sim.call(Method::POST, "/servers", Some(body)).await;
    assert_eq!(answer["next_actions"], json!([]));
    sim.status(answer["server"]["id"].as_u64().unwrap(), "off").await;
}

#[tokio::test]
async fn a_root_password_comes_only_without_keys() {
    let sim = Sim::new().await;
    assert!(sim.create("alpha").await["root_password"].is_string());
    let key = sim.key("mine", KEY).await;
    for (name, wanted) in [("beta", key["id"].clone()), ("gamma", json!("mine"))] {
        let mut body = order(name);
        body["ssh_keys"] = json!([wanted]);
        let (status, answer) = sim.call(Method::POST, "/servers", Some(body)).await;
        assert_eq!(status, StatusCode::CREATED);
        assert_eq!(answer["root_password"], Value::Null);
    }
}

#[tokio::test]
async fn a_create_is_checked_field_by_field() {
    let sim = Sim::new().await;
    let long = "x".repeat(32 * 1024 + 1);
    let cases = [
        ("name", json!("-bad-"), "name"),
        ("name", json!("under_score"), "name"),
        ("name", Value::Null, "name"),
        ("server_type", json!("nothing"), "server_type"),
        ("image", json!("nothing"), "image"),
        ("location", json!("moon"), "location"),
        ("datacenter", json!("fsn1-dc14"), "datacenter"),
        ("ssh_keys", json!(["nobody"]), "ssh_keys"),
        ("labels", json!({"a": "-x"}), "labels"),
        ("labels", json!({"": "x"}), "labels"),
        ("labels", json!({"hetzner.cloud/mine": "x"}), "labels"),
        ("firewalls", json!([{"firewall": 1}]), "firewalls"),
        ("user_data", json!(long), "user_data"),
        ("public_net", json!({"enable_ipv4": false, "enable_ipv6": false}), "public_net"),
    ];
    for (field, value, named) in cases {
        let mut body = order("alpha");
        body[field] = value;
        let (status, answer) = sim.call(Method::POST, "/servers", Some(body)).await;
        assert_eq!(status.as_u16(), 422, "{field}: {answer}");
        assert_eq!(answer["error"]["code"], "invalid_input", "{field}");
        assert_eq!(answer["error"]["details"]["fields"][0]["name"], named);
    }
    for (server_type, code) in [("cx22", "invalid_server_type"), ("cbx12", "unsupported_error")] {
        let mut body = order("alpha");
        body["server_type"] = server_type.into();
        let refused = sim.refused(Method::POST, "/servers", Some(body)).await;
        assert_eq!(refused, (422, code.to_owned()));
    }
    let answer = sim.request(Method::POST, "/servers").body("{nonsense").send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 400);
    assert!(sim.hetzner.servers().is_empty());
}

#[tokio::test]
async fn things_are_named_by_id_as_well_as_number_or_text() {
    let sim = Sim::new().await;
    let mut body = order("alpha");
    (body["server_type"], body["location"], body["image"]) = (json!(114), json!("2"), json!("310557660"));
    let (status, answer) = sim.call(Method::POST, "/servers", Some(body)).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    assert_eq!(answer["server"]["location"]["name"], "nbg1");
    assert_eq!(answer["server"]["image"]["name"], "debian-13");
}

#[tokio::test]
async fn names_are_unique_until_the_deletion_is_done() {
    let config = HetznerConfig { action_time: Duration::from_millis(150), ..Default::default() };
    let sim = Sim::start(config).await;
    let id = sim.running("alpha").await;
    let (status, answer) = sim.call(Method::POST, "/servers", Some(order("alpha"))).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(answer["error"]["code"], "uniqueness_error");
    assert_eq!(answer["error"]["details"]["fields"][0]["name"], "name");

    let (_, deletion) = sim.call(Method::DELETE, &format!("/servers/{id}"), None).await;
    assert_eq!(deletion["action"]["command"], "delete_server");
    assert_eq!(sim.hetzner.servers()[0].status, ServerStatus::Deleting);
    let refused = sim.refused(Method::POST, "/servers", Some(order("alpha"))).await;
    assert_eq!(refused, (409, "uniqueness_error".to_owned()));
    assert_eq!(sim.action(&deletion).await["status"], "success");
    assert_eq!(sim.refused(Method::GET, &format!("/servers/{id}"), None).await.0, 404);
    sim.create("alpha").await;
}

#[tokio::test]
async fn a_server_is_locked_while_an_action_runs() {
    let sim = Sim::start(slow()).await;
    let id = sim.create("alpha").await["server"]["id"].clone();
    for (method, path) in
        [(Method::POST, format!("/servers/{id}/actions/poweroff")), (Method::DELETE, format!("/servers/{id}"))]
    {
        assert_eq!(sim.refused(method, &path, None).await, (423, "locked".to_owned()));
    }
    assert_eq!(sim.get(&format!("/servers/{id}")).await["server"]["locked"], true);
}

#[tokio::test]
async fn power_type_and_protection() {
    let sim = Sim::new().await;
    let id = sim.running("alpha").await;
    let act = |command: &'static str, body: Option<Value>| {
        let path = format!("/servers/{id}/actions/{command}");
        let sim = &sim;
        async move { sim.call(Method::POST, &path, body).await }
    };
    let bigger = json!({"server_type": "cx33", "upgrade_disk": false});
    let (status, answer) = act("change_type", Some(bigger.clone())).await;
    assert_eq!((status.as_u16(), &answer["error"]["code"]), (422, &json!("server_not_stopped")));
    for command in ["shutdown", "poweroff"] {
        act(command, None).await;
        sim.status(id, "off").await;
        act("poweron", None).await;
        sim.status(id, "running").await;
    }
    let boots = sim.hetzner.servers()[0].boots;
    sim.action(&act("reboot", None).await.1).await;
    assert_eq!(sim.hetzner.servers()[0].boots, boots + 1);
    act("poweroff", None).await;
    sim.status(id, "off").await;
    sim.action(&act("change_type", Some(bigger)).await.1).await;
    assert_eq!(sim.hetzner.servers()[0].server_type, "cx33");
    sim.action(&act("change_protection", Some(json!({"delete": true}))).await.1).await;
    let refused = sim.refused(Method::DELETE, &format!("/servers/{id}"), None).await;
    assert_eq!(refused, (423, "protected".to_owned()));
    assert_eq!(act("dance", None).await.0.as_u16(), 404);
}

#[tokio::test]
async fn a_rebuild_keeps_the_old_host_key_unless_new_user_data_comes() {
    let sim = Sim::new().await;
    let key = || sim.hetzner.servers()[0].host_key.clone().unwrap();
    let rebuild = async |id: u64, body: Value| {
        let path = format!("/servers/{id}/actions/rebuild");
        let (_, answer) = sim.call(Method::POST, &path, Some(body)).await;
        assert_eq!(sim.action(&answer).await["status"], "success");
        sim.status(id, "running").await;
    };
    let ((first_data, first), (second_data, second)) = (user_data(1), user_data(2));
    let mut body = order("alpha");
    body["user_data"] = first_data.into();
    let (_, answer) = sim.call(Method::POST, "/servers", Some(body)).await;
    let id = answer["server"]["id"].as_u64().unwrap();
    sim.status(id, "running").await;
    assert_eq!(key(), first);
    rebuild(id, json!({"image": "ubuntu-26.04"})).await;
    assert_eq!((key(), sim.hetzner.servers()[0].image.as_str()), (first, "ubuntu-26.04"));
    rebuild(id, json!({"image": "debian-13", "user_data": second_data})).await;
    assert_eq!(key(), second);
}

/// User data with a host key, and the key's public half.
fn user_data(seed: u8) -> (String, String) {
    let pair = ssh_key::private::Ed25519Keypair::from_seed(&[seed; 32]);
    let key = ssh_key::PrivateKey::new(pair.into(), "").unwrap();
    let private = key.to_openssh(ssh_key::LineEnding::LF).unwrap();
    let private: String = private.lines().map(|line| format!("    {line}\n")).collect();
    let text = format!("#cloud-config\nssh_keys:\n  ed25519_private: |\n{private}");
    (text, key.public_key().to_openssh().unwrap())
}

#[tokio::test]
async fn a_quota_and_missing_capacity_refuse_although_the_type_is_available() {
    let sim = Sim::start(HetznerConfig { server_quota: 1, ..Default::default() }).await;
    sim.hetzner.set_capacity("cx23", "fsn1", false);
    let types = sim.get("/server_types?name=cx23").await;
    let fsn1 = &types["server_types"][0]["locations"][0];
    assert_eq!((&fsn1["name"], &fsn1["available"]), (&json!("fsn1"), &json!(true)));
    let refused = sim.refused(Method::POST, "/servers", Some(order("alpha"))).await;
    assert_eq!(refused, (412, "resource_unavailable".to_owned()));
    sim.hetzner.set_capacity("cx23", "fsn1", true);
    sim.create("alpha").await;
    let (status, answer) = sim.call(Method::POST, "/servers", Some(order("beta"))).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(answer["error"]["code"], "resource_limit_exceeded");
    assert_eq!(answer["error"]["details"]["limits"][0]["name"], "servers");
}

#[tokio::test]
async fn lists_have_pages_order_names_and_labels() {
    let sim = Sim::start(HetznerConfig { server_quota: 100, ..slow() }).await;
    for n in 0..27 {
        let mut body = order(&format!("node-{n:02}"));
        body["labels"] = json!({"odd": (n % 2 == 1).to_string(), "managed-by": "hangar"});
        let (status, answer) = sim.call(Method::POST, "/servers", Some(body)).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    }
    let first = sim.get("/servers").await;
    assert_eq!(first["servers"].as_array().unwrap().len(), 25);
    let expected = json!({"page": 1, "per_page": 25, "previous_page": null, "next_page": 2,
        "last_page": 2, "total_entries": 27});
    assert_eq!(first["meta"]["pagination"], expected);
    let second = sim.get("/servers?page=2&per_page=10&sort=name:desc").await;
    assert_eq!(second["servers"][0]["name"], "node-16");
    assert_eq!(second["meta"]["pagination"]["last_page"], 3);
    assert_eq!(sim.get("/servers?per_page=500").await["meta"]["pagination"]["per_page"], 50);
    let count =
        async |query: &str| sim.get(&format!("/servers?{query}")).await["meta"]["pagination"]["total_entries"].clone();
    assert_eq!(count("name=node-03").await, 1);
    assert_eq!(count("label_selector=odd%3Dtrue").await, 13);
    assert_eq!(count("label_selector=managed-by%3Dhangar,odd!%3Dtrue").await, 14);
    assert_eq!(count("label_selector=odd+in+(true,false)").await, 27);
    assert_eq!(count("label_selector=!odd").await, 0);
    for bad in ["page=0", "per_page=x", "sort=colour", "sort=name:up", "label_selector=a%20b"] {
        assert_eq!(sim.refused(Method::GET, &format!("/servers?{bad}"), None).await.0, 422, "{bad}");
    }
}

#[tokio::test]
async fn servers_are_renamed_and_relabelled() {
    let sim = Sim::new().await;
    let id = sim.create("alpha").await["server"]["id"].clone();
    sim.create("beta").await;
    let path = format!("/servers/{id}");
    let put = |body| sim.call(Method::PUT, &path, Some(body));
    let (_, answer) = put(json!({"name": "gamma", "labels": {"a": "b"}})).await;
    assert_eq!(answer["server"]["name"], "gamma");
    assert_eq!(answer["server"]["labels"], json!({"a": "b"}));
    assert_eq!(put(json!({"name": "beta"})).await.0, StatusCode::CONFLICT);
    assert_eq!(put(json!({"labels": {"a": 1}})).await.0.as_u16(), 422);
}

#[tokio::test]
async fn ssh_keys_are_unique_by_name_and_by_fingerprint() {
    let sim = Sim::new().await;
    let key = sim.key("one", KEY).await;
    let fingerprint = key["fingerprint"].as_str().unwrap().to_owned();
    assert_eq!(fingerprint.split(':').count(), 16);
    let post = |body| sim.call(Method::POST, "/ssh_keys", Some(body));
    let (status, answer) = post(json!({"name": "one", "public_key": OTHER_KEY})).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(answer["error"]["details"]["fields"][0]["name"], "name");
    let (status, answer) = post(json!({"name": "two", "public_key": KEY})).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(answer["error"]["details"]["fields"][0]["name"], "public_key");
    assert_eq!(post(json!({"name": "two", "public_key": "nonsense"})).await.0.as_u16(), 422);

    sim.key("two", OTHER_KEY).await;
    let found = sim.get(&format!("/ssh_keys?fingerprint={fingerprint}")).await;
    assert_eq!(found["ssh_keys"], json!([key]));
    assert_eq!(sim.get("/ssh_keys?name=two").await["ssh_keys"].as_array().unwrap().len(), 1);
    let path = format!("/ssh_keys/{}", key["id"]);
    let (_, answer) = sim.call(Method::PUT, &path, Some(json!({"labels": {"a": "b"}}))).await;
    assert_eq!(answer["ssh_key"]["labels"], json!({"a": "b"}));
    assert_eq!(sim.get("/ssh_keys?label_selector=a").await["ssh_keys"][0]["name"], "one");
    assert_eq!(sim.call(Method::DELETE, &path, None).await.0, StatusCode::NO_CONTENT);
    assert_eq!(sim.refused(Method::GET, &path, None).await, (404, "not_found".to_owned()));
}

#[tokio::test]
async fn actions_are_listed_by_id_only() {
    let sim = Sim::new().await;
    let answer = sim.create("alpha").await;
    assert_eq!(sim.refused(Method::GET, "/actions", None).await.0, 422);
    let (a, b) = (&answer["action"]["id"], &answer["next_actions"][0]["id"]);
    let list = sim.get(&format!("/actions?id={a}&id={b}&id=1")).await;
    assert_eq!(list["actions"].as_array().unwrap().len(), 2);
    let many: String = (0..26).map(|n| format!("id={n}&")).collect();
    assert_eq!(sim.refused(Method::GET, &format!("/actions?{many}"), None).await.0, 422);
    assert_eq!(sim.refused(Method::GET, "/actions/1", None).await.0, 404);
}

#[tokio::test]
async fn the_catalogue_is_as_of_late_2026() {
    let sim = Sim::new().await;
    let types = sim.get("/server_types").await;
    let cx23 = types["server_types"].as_array().unwrap().iter().find(|it| it["name"] == "cx23");
    let cx23 = cx23.unwrap();
    assert_eq!(cx23["prices"][0]["price_monthly"]["net"], "3.4900000000");
    assert_eq!(cx23["prices"][0]["price_monthly"]["gross"], "4.1531000000000000");
    assert_eq!(cx23["locations"][0]["recommended"], true);
    let id = &cx23["id"];
    assert_eq!(sim.get(&format!("/server_types/{id}")).await["server_type"], *cx23);
    assert_eq!(sim.get("/locations").await["locations"].as_array().unwrap().len(), 6);
    let images = sim.get("/images?type=system&architecture=arm&name=debian-13").await;
    assert_eq!(images["images"].as_array().unwrap().len(), 1);
    assert_eq!(sim.get("/images?name=debian-11").await["images"], json!([]));
    let old = sim.get("/images?name=debian-11&include_deprecated=true").await;
    assert!(old["images"][0]["deprecation"]["announced"].is_string());
    assert_eq!(sim.get("/pricing").await["pricing"]["currency"], "EUR");
    let gone = sim.refused(Method::GET, "/datacenters", None).await;
    assert_eq!(gone, (410, "deprecated_api_endpoint".to_owned()));
    assert_eq!(sim.refused(Method::GET, "/nowhere", None).await.0, 404);
    let wrong = sim.refused(Method::DELETE, "/servers", None).await;
    assert_eq!(wrong, (405, "method_not_allowed".to_owned()));
}

#[tokio::test]
async fn the_state_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let config = || HetznerConfig {
        state_file: Some(directory.path().join("state.json")),
        action_time: Duration::from_millis(200),
        ..HetznerConfig::default()
    };
    let sim = Sim::start(config()).await;
    sim.key("mine", KEY).await;
    let answer = sim.create("alpha").await;
    let (endpoint, before) = (sim.hetzner.endpoint(), sim.hetzner.servers());
    sim.hetzner.shutdown().await;

    let sim = Sim::start(config()).await;
    assert_eq!(sim.hetzner.endpoint(), endpoint, "a picked port is picked again");
    assert_eq!(sim.hetzner.ssh_keys()[0].name, "mine");
    assert_eq!(sim.hetzner.servers()[0].ipv4, before[0].ipv4);
    // What was running goes on.
    assert_eq!(sim.action(&answer).await["status"], "success");
    sim.status(before[0].id, "running").await;
    assert!(sim.create("beta").await["server"]["id"].as_u64().unwrap() > before[0].id);
}

#[tokio::test]
async fn a_state_file_that_knows_servers_only_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.json");
    let (_, key) = user_data(1);
    let state = json!({
        "last_id": 42_000_005,
        "servers": {"42000001": {
            "id": 42_000_001, "name": "alpha", "status": "off", "created": "2026-10-01T00:00:00Z",
            "server_type": "cx23", "location": "fsn1", "image": 310_557_660, "labels": {"a": "b"},
            "ipv4": [42_000_002, "127.99.1.2"], "ipv6": [42_000_003, "2001:db8:1:2::/64"],
            "user_data": null, "authorized_keys": [key], "host_key": "", "protected_delete": false,
            "protected_rebuild": false, "boots": 1, "booted_at": 0,
        }},
        "ssh_keys": {},
        "actions": {"42000004": {
            "id": 42_000_004, "command": "change_server_type", "server": 42_000_001,
            "effect": {"change_type": {"server_type": "cx33"}}, "before": "off", "error": null,
            "started": "2026-10-01T00:00:00Z", "finished": null,
        }},
        "full": [["cx43", "hel1"]],
        "ports": {"api": 0, "cockpit": 0, "ssh": 0},
    });
    std::fs::write(&path, state.to_string()).unwrap();
    let sim = Sim::start(HetznerConfig { state_file: Some(path), ..HetznerConfig::default() }).await;
    sim.status(42_000_001, "off").await;
    let server = sim.get("/servers/42000001").await["server"].clone();
    assert_eq!((&server["server_type"]["name"], &server["primary_disk_size"]), (&json!("cx33"), &json!(80)));
    let actions = sim.get("/servers/42000001/actions").await;
    assert_eq!(actions["actions"][0]["resources"], json!([{"id": 42_000_001, "type": "server"}]));
    assert_eq!(sim.get("/primary_ips").await["primary_ips"][0]["assignee_id"], 42_000_001);
}

#[tokio::test]
async fn a_broken_state_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.json");
    std::fs::write(&path, "{\"servers\": 1}").unwrap();
    let config = HetznerConfig { state_file: Some(path), ..HetznerConfig::default() };
    assert!(Hetzner::start(config).await.is_err());
}
