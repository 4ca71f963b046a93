//! The zones and record sets of the simulated Hetzner.

mod common;

use std::time::Duration;

use common::Sim;
use reqwest::Method;
use serde_json::{Value, json};
use simulators::{Fault, FaultEffect, HetznerConfig, Match};

async fn send(sim: &Sim, method: Method, path: &str, body: Value) -> (u16, Value) {
    let (status, answer) = sim.call(method, path, Some(body)).await;
    (status.as_u16(), answer)
}

/// A change that is done and has succeeded.
async fn done(sim: &Sim, method: Method, path: &str, body: Value) -> Value {
    let (status, answer) = send(sim, method, path, body).await;
    assert!((200..300).contains(&status), "{path}: {answer}");
    assert_eq!(sim.action(&answer).await["status"], "success");
    answer
}

async fn with_zone(config: HetznerConfig) -> Sim {
    let sim = Sim::start(config).await;
    done(&sim, Method::POST, "/zones", json!({"name": "example.com", "mode": "primary"})).await;
    sim
}

const SETS: &str = "/zones/example.com/rrsets";

fn www(value: &str) -> Value {
    json!({"name": "www", "type": "A", "records": [{"value": value}]})
}

fn records(values: &[&str]) -> Value {
    json!({"records": values.iter().map(|value| json!({"value": value})).collect::<Vec<_>>()})
}

/// The values of the set `www/A`; `None` when there is none.
async fn values(sim: &Sim) -> Option<Vec<String>> {
    let (status, answer) = sim.call(Method::GET, &format!("{SETS}/www/A"), None).await;
    let records = answer["rrset"]["records"].as_array();
    let values = records.into_iter().flatten().filter_map(|it| Some(it["value"].as_str()?.to_owned()));
    status.is_success().then(|| values.collect())
}

#[tokio::test]
async fn a_zone_is_found_by_id_and_by_name_and_has_its_own_records() {
    let sim = Sim::start(HetznerConfig { action_time: Duration::from_millis(100), ..Default::default() }).await;
    let body = json!({"name": "example.com", "mode": "primary", "ttl": 300, "labels": {"a": "b"},
        "rrsets": [{"name": "@", "type": "TXT", "records": [{"value": "\"text\"", "comment": "why"}]}]});
    let (status, answer) = send(&sim, Method::POST, "/zones", body.clone()).await;
    assert_eq!((status, &answer["zone"]["status"]), (201, &json!("updating")));
    assert_eq!(answer["action"]["resources"], json!([{"id": answer["zone"]["id"], "type": "zone"}]));
    let refused = sim.refused(Method::POST, SETS, Some(www("192.0.2.1"))).await;
    assert_eq!(refused, (423, "locked".to_owned()));
    sim.action(&answer).await;
    for key in ["example.com".to_owned(), answer["zone"]["id"].to_string()] {
        let zone = sim.get(&format!("/zones/{key}")).await["zone"].clone();
        assert_eq!((&zone["status"], &zone["ttl"], &zone["record_count"]), (&json!("ok"), &json!(300), &json!(5)));
    }
    let text = sim.get(&format!("{SETS}/%40/TXT")).await["rrset"].clone();
    assert_eq!((&text["id"], &text["ttl"]), (&json!("@/TXT"), &Value::Null));
    assert_eq!(text["records"], json!([{"value": "\"text\"", "comment": "why"}]));
    assert_eq!(send(&sim, Method::POST, "/zones", body).await.1["error"]["code"], "uniqueness_error");
    for bad in [json!({"name": "Example.com", "mode": "primary"}), json!({"name": "example.org"})] {
        assert_eq!(send(&sim, Method::POST, "/zones", bad).await.0, 422);
    }
    assert_eq!(sim.get("/zones?label_selector=a%3Db").await["zones"][0]["name"], "example.com");
    assert_eq!(sim.get("/zones?name=example.org").await["zones"], json!([]));

    let actions = "/zones/example.com/actions";
    done(&sim, Method::POST, &format!("{actions}/change_ttl"), json!({"ttl": 60})).await;
    assert_eq!(sim.get("/zones/example.com").await["zone"]["ttl"], 60);
    assert_eq!(send(&sim, Method::POST, &format!("{actions}/change_ttl"), json!({"ttl": 59})).await.0, 422);
    done(&sim, Method::POST, &format!("{actions}/change_protection"), json!({"delete": true})).await;
    let refused = sim.refused(Method::DELETE, "/zones/example.com", None).await;
    assert_eq!(refused, (423, "protected".to_owned()));
    done(&sim, Method::POST, &format!("{actions}/change_protection"), json!({"delete": false})).await;
    assert_eq!(sim.get(actions).await["meta"]["pagination"]["total_entries"], 4);
    done(&sim, Method::DELETE, "/zones/example.com", json!({})).await;
    assert_eq!(sim.refused(Method::GET, "/zones/example.com", None).await.0, 404);
}

#[tokio::test]
async fn a_change_of_records_is_there_when_its_action_is_done() {
    let config = HetznerConfig { action_time: Duration::from_millis(100), ..HetznerConfig::default() };
    let sim = with_zone(config).await;
    done(&sim, Method::POST, SETS, www("192.0.2.1")).await;
    let path = format!("{SETS}/www/A/actions");
    let (_, answer) = send(&sim, Method::POST, &format!("{path}/set_records"), records(&["192.0.2.2"])).await;
    assert_eq!(answer["action"]["command"], "set_rrset_records");
    assert_eq!(values(&sim).await.as_deref(), Some(["192.0.2.1".to_owned()].as_slice()));
    let second = send(&sim, Method::POST, &format!("{path}/set_records"), records(&["192.0.2.3"])).await;
    assert_eq!((second.0, &second.1["error"]["code"]), (423, &json!("locked")));
    sim.action(&answer).await;
    assert_eq!(values(&sim).await.as_deref(), Some(["192.0.2.2".to_owned()].as_slice()));
}

#[tokio::test]
async fn records_are_added_commented_and_removed_one_by_one() {
    let sim = with_zone(HetznerConfig::default()).await;
    let path = format!("{SETS}/www/A/actions");
    let act = async |command: &str, body: Value| send(&sim, Method::POST, &format!("{path}/{command}"), body).await;
    let settled = async |command: &str, body: Value| {
        let (_, answer) = act(command, body).await;
        assert_eq!(sim.action(&answer).await["status"], "success", "{command}: {answer}");
    };
    assert_eq!(act("remove_records", records(&["192.0.2.1"])).await.0, 404);
    settled("add_records", records(&["192.0.2.1"])).await;
    settled("add_records", records(&["192.0.2.2", "192.0.2.3"])).await;
    assert_eq!(values(&sim).await.map(|it| it.len()), Some(3));
    assert_eq!(act("add_records", records(&["192.0.2.2"])).await.1["error"]["code"], "uniqueness_error");
    assert_eq!(act("add_records", records(&["2001:db8::1"])).await.0, 422);
    assert_eq!(act("add_records", records(&[])).await.0, 422);
    let comment = json!({"records": [{"value": "192.0.2.2", "comment": "why"}]});
    assert_eq!(act("update_records", comment.clone()).await.0, 200, "the one that is answered so");
    common::until(|| async {
        let set = sim.get(&format!("{SETS}/www/A")).await;
        set["rrset"]["records"][1] == comment["records"][0]
    })
    .await;
    assert_eq!(act("update_records", json!({"records": [{"value": "192.0.2.9", "comment": "x"}]})).await.0, 422);
    settled("change_ttl", json!({"ttl": 120})).await;
    assert_eq!(sim.get(&format!("{SETS}/www/A")).await["rrset"]["ttl"], 120);
    assert_eq!(act("add_records", json!({"ttl": 60, "records": [{"value": "192.0.2.7"}]})).await.0, 422);
    settled("remove_records", records(&["192.0.2.1", "192.0.2.3"])).await;
    settled("remove_records", records(&["192.0.2.2"])).await;
    assert_eq!(values(&sim).await, None, "the last one takes the set along");
    assert_eq!(act("dance", json!({})).await.0, 404);
}

#[tokio::test]
async fn sets_have_labels_protection_and_a_filter() {
    let sim = with_zone(HetznerConfig::default()).await;
    let mut body = www("192.0.2.1");
    body["labels"] = json!({"owner": "me"});
    done(&sim, Method::POST, SETS, body.clone()).await;
    assert_eq!(send(&sim, Method::POST, SETS, body).await.1["error"]["code"], "uniqueness_error");
    for (query, count) in [("label_selector=owner%3Dme", 1), ("type=NS&type=SOA", 2), ("name=www", 1), ("name=x", 0)] {
        let list = sim.get(&format!("{SETS}?{query}")).await;
        assert_eq!(list["meta"]["pagination"]["total_entries"], count, "{query}");
    }
    assert_eq!(sim.get(&format!("{SETS}?per_page=500")).await["meta"]["pagination"]["per_page"], 100);
    let path = format!("{SETS}/www/A");
    let (_, answer) = send(&sim, Method::PUT, &path, json!({"labels": {"owner": "you"}})).await;
    assert_eq!(answer["rrset"]["labels"], json!({"owner": "you"}));
    done(&sim, Method::POST, &format!("{path}/actions/change_protection"), json!({"change": true})).await;
    for refused in [
        sim.refused(Method::DELETE, &path, None).await,
        sim.refused(Method::POST, &format!("{path}/actions/set_records"), Some(records(&["192.0.2.2"]))).await,
    ] {
        assert_eq!(refused, (423, "protected".to_owned()));
    }
    done(&sim, Method::POST, &format!("{path}/actions/change_protection"), json!({"change": false})).await;
    done(&sim, Method::DELETE, &path, json!({})).await;
    assert_eq!(values(&sim).await, None);
}

#[tokio::test]
async fn sets_that_cannot_be_are_refused() {
    let sim = with_zone(HetznerConfig::default()).await;
    done(&sim, Method::POST, SETS, www("192.0.2.1")).await;
    let set = |name: &str, kind: &str, value: &str| json!({"name": name, "type": kind, "records": [{"value": value}]});
    for bad in [
        set("WWW", "A", "192.0.2.1"),
        set("www.example.com", "A", "192.0.2.1"),
        set("x.", "A", "192.0.2.1"),
        set("x", "A", "not an address"),
        set("x", "TXT", "unquoted"),
        set("x", "NOPE", "x"),
        set("@", "SOA", "x"),
        set("www", "CNAME", "example.org."),
    ] {
        let (status, answer) = send(&sim, Method::POST, SETS, bad.clone()).await;
        assert_eq!((status, &answer["error"]["code"]), (422, &json!("invalid_input")), "{bad}");
    }
    for good in [set("*", "A", "192.0.2.1"), set("_acme.x", "TXT", "\"a\""), set("alias", "CNAME", "example.org.")] {
        done(&sim, Method::POST, SETS, good).await;
    }
}

#[tokio::test]
async fn the_serial_number_grows_with_every_change() {
    let sim = with_zone(HetznerConfig::default()).await;
    let serial = async || {
        let soa = sim.get(&format!("{SETS}/@/SOA")).await;
        let soa = soa["rrset"]["records"][0]["value"].as_str().unwrap_or_default().to_owned();
        soa.split(' ').nth(2).and_then(|it| it.parse::<u32>().ok()).unwrap_or_default()
    };
    let before = serial().await;
    done(&sim, Method::POST, SETS, www("192.0.2.1")).await;
    assert_eq!(serial().await, before + 1);
}

#[tokio::test]
async fn a_change_that_fails_was_never_there() {
    let sim = with_zone(HetznerConfig::default()).await;
    let fail = |on| {
        let effect = FaultEffect::ActionError { code: "action_failed".to_owned(), message: "no".to_owned() };
        sim.hetzner.fault(Fault::next(on, effect));
    };
    fail(Match::RrsetCreate);
    let (_, answer) = send(&sim, Method::POST, SETS, www("192.0.2.1")).await;
    assert_eq!(sim.action(&answer).await["status"], "error");
    assert_eq!(values(&sim).await, None);
    done(&sim, Method::POST, SETS, www("192.0.2.1")).await;
    for (on, method, path, body) in [
        (Match::RrsetAction, Method::POST, "/actions/set_records", records(&["192.0.2.2"])),
        (Match::RrsetDelete, Method::DELETE, "", json!({})),
    ] {
        fail(on);
        let (_, answer) = send(&sim, method, &format!("{SETS}/www/A{path}"), body).await;
        assert_eq!(sim.action(&answer).await["status"], "error");
        assert_eq!(values(&sim).await.as_deref(), Some(["192.0.2.1".to_owned()].as_slice()));
    }
}
