//! Faults do to a client what networks and vendors do.

mod common;

use std::time::{Duration, Instant};

use common::{Sim, order, until};
use reqwest::Method;
use serde_json::{Value, json};
use simulators::{Fault, FaultEffect, Match, RequestKind, ServerStatus};

fn next(effect: FaultEffect) -> Fault {
    Fault::next(Match::ServerCreate, effect)
}

#[tokio::test]
async fn answers_without_an_effect() {
    let sim = Sim::new().await;
    let conflict =
        FaultEffect::Status { status: 409, code: "conflict".to_owned(), message: "try again".to_owned(), body: None };
    let cases = [
        (conflict, 409, "conflict"),
        (FaultEffect::NoCapacity, 412, "resource_unavailable"),
        (FaultEffect::Locked, 423, "locked"),
        (FaultEffect::RateLimited, 429, "rate_limit_exceeded"),
        (FaultEffect::EmptyBody { status: 503 }, 503, ""),
    ];
    for (effect, status, code) in cases {
        let id = sim.hetzner.fault(next(effect));
        let refused = sim.refused(Method::POST, "/servers", Some(order("alpha"))).await;
        assert_eq!(refused, (status, code.to_owned()));
        sim.hetzner.fault_hit(id).await;
    }
    sim.hetzner.fault(next(FaultEffect::HtmlBadGateway));
    let answer = sim.raw(Method::POST, "/servers", Some(order("alpha"))).await.unwrap();
    assert_eq!(answer.status().as_u16(), 502);
    assert_eq!(answer.headers()["content-type"], "text/html");
    assert!(sim.hetzner.servers().is_empty());
    sim.create("alpha").await;
}

#[tokio::test]
async fn a_fault_counts_its_kind_only_and_as_often_as_it_was_told() {
    let sim = Sim::new().await;
    let effect = FaultEffect::EmptyBody { status: 500 };
    sim.hetzner.fault(Fault { on: Match::ServerList, nth: 2, times: 2, effect });
    sim.get("/ssh_keys").await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(sim.refused(Method::GET, "/servers", None).await.0);
    }
    assert_eq!(seen, [200, 500, 500, 200]);
}

#[tokio::test]
async fn the_server_exists_although_the_answer_is_lost() {
    let sim = Sim::new().await;
    sim.hetzner.fault(next(FaultEffect::LostAnswer));
    let answer = sim.raw(Method::POST, "/servers", Some(order("lost"))).await.unwrap();
    assert_eq!(answer.status().as_u16(), 504);
    assert_eq!(answer.text().await.unwrap(), "");

    sim.hetzner.fault(next(FaultEffect::Reset { after_effect: true }));
    assert!(sim.raw(Method::POST, "/servers", Some(order("reset"))).await.is_err());

    sim.hetzner.fault(next(FaultEffect::UnreadableBody));
    let answer = sim.raw(Method::POST, "/servers", Some(order("unreadable"))).await.unwrap();
    assert_eq!(answer.status().as_u16(), 201);
    let text = answer.text().await.unwrap();
    assert!(text.starts_with('{') && serde_json::from_str::<Value>(&text).is_err());

    let names: Vec<String> = sim.hetzner.servers().into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["lost", "reset", "unreadable"]);
}

#[tokio::test]
async fn a_reset_before_the_effect_leaves_nothing() {
    let sim = Sim::new().await;
    sim.hetzner.fault(next(FaultEffect::Reset { after_effect: false }));
    assert!(sim.raw(Method::POST, "/servers", Some(order("alpha"))).await.is_err());
    assert!(sim.hetzner.servers().is_empty());
    assert_eq!(sim.hetzner.requests().last().unwrap().status, None);
}

#[tokio::test]
async fn a_hanging_call_tells_when_it_hangs() {
    let sim = Sim::new().await;
    let id = sim.hetzner.fault(next(FaultEffect::Hang { after_effect: true }));
    let call = sim.raw(Method::POST, "/servers", Some(order("alpha")));
    tokio::select! {
        _ = call => panic!("a hanging call was answered"),
        () = sim.hetzner.fault_hit(id) => {}
    }
    assert_eq!(sim.hetzner.servers().len(), 1);
    let last = sim.hetzner.requests().pop().unwrap();
    assert_eq!((last.kind, last.status), (RequestKind::ServerCreate, None));
    sim.hetzner.shutdown().await;
}

#[tokio::test]
async fn a_late_create_happens_after_its_error() {
    let sim = Sim::new().await;
    sim.hetzner.fault(next(FaultEffect::Late { ms: 150 }));
    let answer = sim.raw(Method::POST, "/servers", Some(order("alpha"))).await.unwrap();
    assert_eq!(answer.status().as_u16(), 504);
    assert!(sim.hetzner.servers().is_empty());
    until(|| async { sim.hetzner.servers().len() == 1 }).await;
}

#[tokio::test]
async fn a_slow_call_is_carried_out_even_if_the_client_gave_up() {
    let sim = Sim::new().await;
    sim.hetzner.fault(next(FaultEffect::Slow { ms: 100 }));
    let started = Instant::now();
    sim.create("alpha").await;
    assert!(started.elapsed() >= Duration::from_millis(100));
    sim.hetzner.fault(next(FaultEffect::Slow { ms: 100 }));
    let request = sim.request(Method::POST, "/servers").json(&order("beta"));
    assert!(request.timeout(Duration::from_millis(30)).send().await.is_err());
    until(|| async { sim.hetzner.servers().len() == 2 }).await;
}

#[tokio::test]
async fn an_action_may_fail_after_the_answer() {
    let sim = Sim::new().await;
    let error = || FaultEffect::ActionError { code: "action_failed".to_owned(), message: "no".to_owned() };
    sim.hetzner.fault(next(error()));
    let answer = sim.create("alpha").await;
    assert_eq!(answer["action"]["status"], "running");
    assert_eq!(answer["action"]["error"], Value::Null);
    let action = sim.action(&answer).await;
    assert_eq!(action["status"], "error");
    assert_eq!(action["error"], json!({"code": "action_failed", "message": "no"}));
    let id = answer["server"]["id"].as_u64().unwrap();
    sim.status(id, "off").await;

    sim.hetzner.fault(Fault::next(Match::ServerDelete, error()));
    let (status, answer) = sim.call(Method::DELETE, &format!("/servers/{id}"), None).await;
    assert_eq!(status.as_u16(), 200);
    assert_eq!(sim.action(&answer).await["status"], "error");
    assert_eq!(sim.hetzner.servers()[0].status, ServerStatus::Off);
}

#[tokio::test]
async fn other_processes_use_the_control_endpoint() {
    let sim = Sim::new().await;
    let fault = json!({"on": "server_create", "effect": {"kind": "lost_answer"}});
    let (status, answer) = sim.control(Method::POST, "/faults", Some(fault)).await;
    assert_eq!((status, &answer["id"]), (201, &json!(1)));
    let bad = json!({"on": "server_create", "effect": {"kind": "explode"}});
    assert_eq!(sim.control(Method::POST, "/faults", Some(bad)).await.0, 422);
    let hit = sim.control(Method::GET, "/faults/1?wait=true", None);
    let call = sim.raw(Method::POST, "/servers", Some(order("alpha")));
    let ((_, hit), call) = tokio::join!(hit, call);
    assert_eq!((hit["hits"].as_u64(), call.unwrap().status().as_u16()), (Some(1), 504));
    let (_, faults) = sim.control(Method::GET, "/faults", None).await;
    assert_eq!(faults[0]["on"], "server_create");
    assert_eq!(faults[0]["seen"], 1);
    assert_eq!(sim.control(Method::DELETE, "/faults", None).await.0, 204);

    let capacity = json!({"server_type": "cx33", "location": "hel1", "available": false});
    assert_eq!(sim.control(Method::POST, "/capacity", Some(capacity)).await.0, 204);
    let mut full = order("beta");
    (full["server_type"], full["location"]) = ("cx33".into(), "hel1".into());
    assert_eq!(sim.refused(Method::POST, "/servers", Some(full)).await.0, 412);

    let (_, state) = sim.control(Method::GET, "/state", None).await;
    let id = &state["servers"][0]["id"];
    assert_eq!(sim.control(Method::POST, &format!("/servers/{id}/power-off"), None).await.0, 204);
    let (_, state) = sim.control(Method::GET, "/state", None).await;
    assert_eq!(state["servers"][0]["status"], "off");
    assert_eq!(sim.control(Method::DELETE, &format!("/servers/{id}"), None).await.0, 204);
    assert_eq!(sim.control(Method::DELETE, &format!("/servers/{id}"), None).await.0, 404);
    let (_, requests) = sim.control(Method::GET, "/requests", None).await;
    let requests = requests.as_array().unwrap();
    assert_eq!(requests.len(), 2);
    assert_eq!((&requests[1]["seq"], &requests[1]["kind"]), (&json!(2), &json!("server_create")));
}
