//! What can be done to a simulated server, and what is made of it.

mod common;

use std::time::Duration;

use common::{Sim, order};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use simulators::{Fault, FaultEffect, HetznerConfig, Match, ServerStatus};

/// An action on a server: its status and answer.
async fn act(sim: &Sim, id: u64, command: &str, body: Option<Value>) -> (u16, Value) {
    let (status, answer) = sim.call(Method::POST, &format!("/servers/{id}/actions/{command}"), body).await;
    (status.as_u16(), answer)
}

/// The same, until it is done and has succeeded.
async fn done(sim: &Sim, id: u64, command: &str, body: Option<Value>) -> Value {
    let (status, answer) = act(sim, id, command, body).await;
    assert_eq!(status, 201, "{command}: {answer}");
    assert_eq!(sim.action(&answer).await["status"], "success", "{command}");
    answer
}

async fn server(sim: &Sim, id: u64) -> Value {
    sim.get(&format!("/servers/{id}")).await["server"].clone()
}

#[tokio::test]
async fn a_shutdown_that_succeeded_is_only_a_signal() {
    let config = HetznerConfig { action_time: Duration::from_millis(150), ..HetznerConfig::default() };
    let sim = Sim::start(config).await;
    let id = sim.running("alpha").await;
    done(&sim, id, "shutdown", None).await;
    assert_eq!(server(&sim, id).await["status"], "running", "the signal was sent, and no more");
    sim.status(id, "off").await;

    done(&sim, id, "poweron", None).await;
    assert!(sim.hetzner.set_ignores_shutdown("alpha", true));
    done(&sim, id, "shutdown", None).await;
    // As long as an obedient server needs, and then some: the next action comes after it.
    done(&sim, id, "enable_backup", None).await;
    done(&sim, id, "disable_backup", None).await;
    assert_eq!(server(&sim, id).await["status"], "running");
    done(&sim, id, "poweroff", None).await;
    assert_eq!(server(&sim, id).await["status"], "off");
}

#[tokio::test]
async fn a_server_that_was_booted_since_does_not_go_down_late() {
    let config = HetznerConfig { action_time: Duration::from_millis(100), ..HetznerConfig::default() };
    let sim = Sim::start(config).await;
    let id = sim.running("alpha").await;
    done(&sim, id, "shutdown", None).await;
    assert!(sim.hetzner.set_server_status("alpha", ServerStatus::Running), "booted by hand");
    done(&sim, id, "enable_backup", None).await;
    done(&sim, id, "disable_backup", None).await;
    assert_eq!(server(&sim, id).await["status"], "running");
}

#[tokio::test]
async fn a_fault_may_have_an_action_do_nothing_or_take_its_time() {
    let sim = Sim::new().await;
    let id = sim.running("alpha").await;
    sim.hetzner.fault(Fault::next(Match::ServerShutdown, FaultEffect::Ignored));
    done(&sim, id, "poweroff", None).await;
    assert_eq!(server(&sim, id).await["status"], "off", "the fault is about another action");
    done(&sim, id, "poweron", None).await;
    done(&sim, id, "shutdown", None).await;
    done(&sim, id, "enable_backup", None).await;
    assert_eq!(server(&sim, id).await["status"], "running");

    sim.hetzner.fault(Fault::next(Match::ServerAction, FaultEffect::Ignored));
    done(&sim, id, "poweroff", None).await;
    assert_eq!(server(&sim, id).await["status"], "running", "an action of any kind is one");

    sim.hetzner.fault(Fault::next(Match::ServerPoweroff, FaultEffect::SlowAction { ms: 3_600_000 }));
    let (_, answer) = act(&sim, id, "poweroff", None).await;
    done(&sim, sim.running("beta").await, "poweroff", None).await;
    let path = format!("/actions/{}", answer["action"]["id"]);
    assert_eq!(sim.get(&path).await["action"]["status"], "running");
    assert_eq!(act(&sim, id, "poweron", None).await.0, 423);
}

#[tokio::test]
async fn an_action_that_fails_leaves_the_server_as_it_was() {
    let sim = Sim::new().await;
    let id = sim.running("alpha").await;
    for (kind, command, body) in [
        (Match::ServerPoweroff, "poweroff", None),
        (Match::ServerShutdown, "shutdown", None),
        (Match::ServerRebuild, "rebuild", Some(json!({"image": "ubuntu-26.04"}))),
        (Match::ServerAction, "create_image", Some(json!({}))),
    ] {
        let error = FaultEffect::ActionError { code: "action_failed".to_owned(), message: "no".to_owned() };
        sim.hetzner.fault(Fault::next(kind, error));
        let (_, answer) = act(&sim, id, command, body).await;
        assert_eq!(sim.action(&answer).await["status"], "error", "{command}");
        let server = server(&sim, id).await;
        assert_eq!((&server["status"], &server["image"]["name"]), (&json!("running"), &json!("debian-13")));
    }
    assert_eq!(sim.get("/images?type=snapshot").await["images"], json!([]));
}

#[tokio::test]
async fn a_rebuild_shows_itself_and_boots() {
    let config = HetznerConfig { action_time: Duration::from_millis(100), ..HetznerConfig::default() };
    let sim = Sim::start(config).await;
    let id = sim.running("alpha").await;
    done(&sim, id, "poweroff", None).await;
    let boots = sim.hetzner.servers()[0].boots;
    let (status, answer) = act(&sim, id, "rebuild", Some(json!({"image": "ubuntu-26.04"}))).await;
    assert_eq!((status, &answer["action"]["command"]), (201, &json!("rebuild_server")));
    assert!(answer["root_password"].is_string(), "it has no keys");
    assert_eq!(server(&sim, id).await["status"], "rebuilding");
    sim.status(id, "running").await;
    assert_eq!(sim.hetzner.servers()[0].boots, boots + 1);
    for (image, code) in [("nothing", 422), ("docker-ce", 201)] {
        assert_eq!(act(&sim, id, "rebuild", Some(json!({"image": image}))).await.0, code, "{image}");
    }
}

#[tokio::test]
async fn another_type_needs_a_stopped_server_room_and_the_same_architecture() {
    let sim = Sim::new().await;
    let id = sim.running("alpha").await;
    let to = |name: &str, upgrade: bool| Some(json!({"server_type": name, "upgrade_disk": upgrade}));
    let refused = async |name: &str| {
        let (status, answer) = act(&sim, id, "change_type", to(name, true)).await;
        (status, answer["error"]["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(refused("cx33").await, (422, "server_not_stopped".to_owned()));
    done(&sim, id, "poweroff", None).await;
    for name in ["cax21", "cx22", "cx23", "cpx22"] {
        assert_eq!(refused(name).await, (422, "invalid_server_type".to_owned()), "{name}");
    }
    sim.hetzner.set_capacity("cx33", "fsn1", false);
    assert_eq!(refused("cx33").await, (412, "resource_unavailable".to_owned()));
    sim.hetzner.set_capacity("cx33", "fsn1", true);

    let (_, answer) = act(&sim, id, "change_type", to("cx33", false)).await;
    assert_eq!(server(&sim, id).await["status"], "migrating");
    sim.action(&answer).await;
    let after = server(&sim, id).await;
    assert_eq!((&after["status"], &after["primary_disk_size"]), (&json!("off"), &json!(40)));
    // The disk stayed small, so that the way back is open; then it grows, and is shut.
    done(&sim, id, "change_type", to("cx23", false)).await;
    done(&sim, id, "change_type", to("cx33", true)).await;
    assert_eq!(server(&sim, id).await["primary_disk_size"], 80);
    assert_eq!(refused("cx23").await, (422, "invalid_server_type".to_owned()));
    assert_eq!(act(&sim, id, "change_type", Some(json!({"server_type": "cx43"}))).await.0, 422);
}

#[tokio::test]
async fn images_are_made_of_servers() {
    let config = HetznerConfig { action_time: Duration::from_millis(100), ..HetznerConfig::default() };
    let sim = Sim::start(config).await;
    let id = sim.running("alpha").await;
    let body = json!({"description": "mine", "labels": {"a": "b"}});
    let (_, answer) = act(&sim, id, "create_image", Some(body)).await;
    let image = answer["image"]["id"].as_u64().unwrap_or_default();
    assert_eq!(answer["image"]["status"], "creating");
    let mut early = order("early");
    early["image"] = image.into();
    assert_eq!(sim.refused(Method::POST, "/servers", Some(early)).await.0, 422, "not yet");
    sim.action(&answer).await;
    let path = format!("/images/{image}");
    assert_eq!(sim.get(&path).await["image"]["status"], "available");
    assert_eq!(sim.get("/images?type=snapshot&label_selector=a%3Db").await["meta"]["pagination"]["total_entries"], 1);
    let mut body = order("beta");
    body["image"] = image.to_string().into();
    let (status, beta) = sim.call(Method::POST, "/servers", Some(body)).await;
    assert_eq!((status, &beta["server"]["image"]["id"]), (StatusCode::CREATED, &json!(image)));

    let backup = Some(json!({"type": "backup"}));
    assert_eq!(act(&sim, id, "create_image", backup.clone()).await.1["error"]["code"], "unsupported_error");
    done(&sim, id, "enable_backup", None).await;
    assert!(server(&sim, id).await["backup_window"].is_string());
    let bound = done(&sim, id, "create_image", backup).await["image"]["id"].clone();
    assert_eq!(sim.get(&format!("/images/{bound}")).await["image"]["bound_to"], id);

    assert_eq!(sim.refused(Method::DELETE, "/images/310557660", None).await.0, 403, "not ours");
    let (_, deletion) = sim.call(Method::DELETE, &format!("/servers/{id}"), None).await;
    sim.action(&deletion).await;
    assert_eq!(sim.refused(Method::GET, &format!("/images/{bound}"), None).await.0, 404, "goes with its server");
    assert_eq!(sim.call(Method::DELETE, &path, None).await.0, StatusCode::NO_CONTENT, "stays, until deleted");
}

#[tokio::test]
async fn protection_is_of_deletion_and_of_rebuild() {
    let sim = Sim::new().await;
    let id = sim.running("alpha").await;
    done(&sim, id, "change_protection", Some(json!({"delete": true, "rebuild": true}))).await;
    assert_eq!(server(&sim, id).await["protection"], json!({"delete": true, "rebuild": true}));
    let rebuild = act(&sim, id, "rebuild", Some(json!({"image": "debian-13"}))).await;
    assert_eq!((rebuild.0, &rebuild.1["error"]["code"]), (423, &json!("protected")));
    let deletion = sim.refused(Method::DELETE, &format!("/servers/{id}"), None).await;
    assert_eq!(deletion, (423, "protected".to_owned()));
    done(&sim, id, "change_protection", Some(json!({"delete": false}))).await;
    assert_eq!(server(&sim, id).await["protection"], json!({"delete": false, "rebuild": true}));
    assert_eq!(act(&sim, id, "change_protection", Some(json!({"delete": "yes"}))).await.0, 422);
}

#[tokio::test]
async fn names_of_addresses_console_and_metrics() {
    let sim = Sim::new().await;
    let id = sim.running("alpha").await;
    let net = server(&sim, id).await["public_net"].clone();
    let network = net["ipv6"]["ip"].as_str().unwrap_or_default().trim_end_matches("/64").to_owned();
    for ip in [net["ipv4"]["ip"].clone(), json!(format!("{network}1"))] {
        done(&sim, id, "change_dns_ptr", Some(json!({"ip": ip, "dns_ptr": "a.example.com"}))).await;
    }
    let after = server(&sim, id).await["public_net"].clone();
    assert_eq!(after["ipv4"]["dns_ptr"], "a.example.com");
    assert_eq!(after["ipv6"]["dns_ptr"], json!([{"ip": format!("{network}1"), "dns_ptr": "a.example.com"}]));
    done(&sim, id, "change_dns_ptr", Some(json!({"ip": net["ipv4"]["ip"], "dns_ptr": null}))).await;
    assert_eq!(server(&sim, id).await["public_net"]["ipv4"]["dns_ptr"], net["ipv4"]["dns_ptr"]);
    let foreign = Some(json!({"ip": "192.0.2.1", "dns_ptr": "a.example.com"}));
    assert_eq!(act(&sim, id, "change_dns_ptr", foreign).await.0, 422);

    assert!(done(&sim, id, "request_console", None).await["wss_url"].as_str().is_some_and(|it| it.starts_with("wss:")));

    let span = "start=2026-11-20T00:00:00Z&end=2026-11-20T01:00:00%2B00:00";
    let metrics = sim.get(&format!("/servers/{id}/metrics?type=cpu,network&{span}&step=60")).await["metrics"].clone();
    assert_eq!(metrics["step"], 60.0);
    assert_eq!(metrics["time_series"]["cpu"]["values"].as_array().map(Vec::len), Some(61));
    assert!(metrics["time_series"]["network.0.pps.in"].is_object() && metrics["time_series"]["disk"].is_null());
    for bad in ["type=cpu", "type=x&{span}", &format!("type=weather&{span}"), "type=cpu&start=now&end=now"] {
        assert_eq!(sim.refused(Method::GET, &format!("/servers/{id}/metrics?{bad}"), None).await.0, 422, "{bad}");
    }
}

#[tokio::test]
async fn actions_are_found_by_what_they_are_about() {
    let sim = Sim::new().await;
    let (alpha, beta) = (sim.running("alpha").await, sim.running("beta").await);
    let stop = done(&sim, alpha, "poweroff", None).await["action"]["id"].clone();
    assert_eq!(sim.get(&format!("/servers/{alpha}/actions/{stop}")).await["action"]["command"], "stop_server");
    assert_eq!(sim.refused(Method::GET, &format!("/servers/{beta}/actions/{stop}"), None).await.0, 404);
    assert_eq!(sim.get(&format!("/servers/actions/{stop}")).await["action"]["id"], stop);
    assert_eq!(sim.refused(Method::GET, &format!("/zones/actions/{stop}"), None).await.0, 404);
    let all = sim.get("/servers/actions?status=success").await;
    assert_eq!(all["meta"]["pagination"]["total_entries"], 5);
    assert_eq!(sim.refused(Method::GET, "/servers/actions?status=odd", None).await.0, 422);
}
