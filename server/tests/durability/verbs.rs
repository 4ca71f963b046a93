//! The shipped binary is killed while each verb waits at each of its requests, all at once, and
//! started again; and it is killed while a profile and a command run on a machine: each ran once.

use std::time::Duration;

use futures::StreamExt as _;
use serde_json::{Value, json};
use simulators::{Fault, FaultEffect, Hetzner, HetznerConfig, Hosts, Match, ServerStatus, Ssh, TokenAccess};

use crate::{
    process::{Engine, Hangar, Home, TOKEN, engines},
    vendor,
};

const VERBS: [&str; 5] = ["suspend-node", "resume-node", "upgrade-node", "rebuild-node", "destroy-node"];

/// More requests than this no verb makes.
const MOST_REQUESTS: u32 = 20;

fn after(verb: &str) -> &'static str {
    match verb {
        "suspend-node" => "suspended",
        "destroy-node" => "destroyed",
        _ => "ready",
    }
}

fn input(verb: &str) -> Value {
    if verb == "upgrade-node" { json!({"server_type": "cx33"}) } else { json!({}) }
}

/// A node at a vendor of its own.
struct Case {
    vendor: Hetzner,
    node: String,
    verb: &'static str,
    nth: u32,
}

impl Case {
    async fn new(hangar: &Hangar, verb: &'static str, nth: u32) -> Self {
        let vendor = vendor().await;
        let provider = hangar.connect_as(&vendor, &format!("{verb} {nth}"), json!({})).await;
        let (node, _) = hangar.acquire(&provider, "alpha").await;
        hangar.node_becomes(&node, "ready").await;
        let case = Self { vendor, node, verb, nth };
        if verb == "resume-node" {
            case.act(hangar, "suspend-node").await;
            hangar.node_becomes(&case.node, "suspended").await;
        }
        case
    }

    async fn act(&self, hangar: &Hangar, verb: &str) -> String {
        let path = format!("/api/v1/nodes/{}/actions/{verb}", self.node);
        let begun = hangar.post(&path, input(verb), 202).await;
        begun["job_id"].as_str().unwrap().to_owned()
    }

    fn agrees(&self, node: &Value) {
        let what = format!("{} at request {}: {node:#}", self.verb, self.nth);
        let servers = self.vendor.servers();
        if self.verb == "destroy-node" {
            assert!(servers.is_empty(), "{what}: {servers:#?}");
            return;
        }
        assert_eq!(servers.len(), 1, "{what}: {servers:#?}");
        assert_eq!(node["infra_id"], servers[0].id.to_string(), "{what}");
        assert_eq!(node["server_type"], servers[0].server_type, "{what}");
        let power = if self.verb == "suspend-node" { ServerStatus::Off } else { ServerStatus::Running };
        assert_eq!(servers[0].status, power, "{what}");
    }
}

/// How many requests each verb makes when nothing goes wrong.
async fn requests(hangar: &Hangar) -> Vec<(&'static str, u32)> {
    let counted = futures::stream::iter(VERBS).map(|verb| async move {
        let case = Case::new(hangar, verb, 0).await;
        let before = case.vendor.requests().len();
        case.act(hangar, verb).await;
        // A node that is ready was so before: the job tells.
        hangar.idle(&case.node).await;
        let node = hangar.node_becomes(&case.node, after(verb)).await;
        case.agrees(&node);
        let made = u32::try_from(case.vendor.requests().len() - before).unwrap();
        assert!((2..=MOST_REQUESTS).contains(&made), "{verb} makes {made} requests");
        case.vendor.shutdown().await;
        (verb, made)
    });
    counted.buffer_unordered(VERBS.len()).collect().await
}

async fn killed(engine: Engine, after_effect: bool) {
    let home = Home::new(engine).await;
    let hangar = Hangar::start(&home, &[]).await;
    let counted = requests(&hangar).await;
    let wanted = counted.into_iter().flat_map(|(verb, requests)| (1..=requests).map(move |nth| (verb, nth)));
    let cases: Vec<Case> = futures::stream::iter(wanted)
        .map(|(verb, nth)| Case::new(&hangar, verb, nth))
        .buffer_unordered(16)
        .collect()
        .await;
    // Each waits at its own request; then all are cut off at once.
    let waiting = futures::stream::iter(&cases).map(|case| async {
        let hang = FaultEffect::Hang { after_effect };
        let fault = case.vendor.fault(Fault { nth: case.nth, ..Fault::next(Match::Any, hang) });
        case.act(&hangar, case.verb).await;
        // How often it asks depends on how quickly the vendor is done: a verb that is over without its
        // last request is one that nothing cut off.
        let hit = async {
            tokio::select! {
                () = case.vendor.fault_hit(fault) => {}
                () = hangar.idle(&case.node) => {
                    assert!(case.nth > 2, "{} makes no request {}", case.verb, case.nth);
                }
            }
        };
        let hit = tokio::time::timeout(Duration::from_secs(60), hit).await;
        assert!(hit.is_ok(), "{} neither makes request {} nor ends", case.verb, case.nth);
    });
    waiting.buffer_unordered(cases.len()).collect::<Vec<()>>().await;
    hangar.kill().await;
    for case in &cases {
        case.vendor.clear_faults();
    }
    let hangar = Hangar::start(&home, &[]).await;
    let ends = futures::stream::iter(&cases).map(|case| async {
        hangar.idle(&case.node).await;
        let node = hangar.node_becomes(&case.node, after(case.verb)).await;
        assert_eq!((&node["code"], &node["cleanup"]), (&Value::Null, &json!("none")), "{node:#}");
        case.agrees(&node);
    });
    ends.buffer_unordered(16).collect::<Vec<()>>().await;
    let failed = hangar.get("/api/v1/jobs?status=failed").await;
    assert_eq!(failed["items"], json!([]), "what was cut off goes on: {failed:#}");
    hangar.end().await;
    for case in cases {
        case.vendor.shutdown().await;
    }
    home.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_verb_survives_a_kill_at_each_request() {
    for engine in engines() {
        for after_effect in [false, true] {
            killed(engine, after_effect).await;
        }
    }
}

/// Killed while a profile runs, and while a command runs, and started again: each ran once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_on_a_machine_runs_once_though_hangar_is_killed() {
    for engine in engines() {
        let vendor = Hetzner::start(HetznerConfig {
            tokens: vec![(TOKEN.to_owned(), TokenAccess::ReadWrite)],
            action_time: Duration::from_millis(5),
            hosts: Hosts::Loopback { cockpit_port: 0, ssh: Ssh::Auto { port: 0 } },
            ..HetznerConfig::default()
        })
        .await
        .unwrap();
        let (Some(port), Some(user)) = (vendor.ssh_port(), vendor.ssh_user()) else {
            assert!(vendor.ssh_unavailable_reason().is_some());
            return;
        };
        let home = Home::new(engine).await;
        let mut hangar = Hangar::start(&home, &[]).await;
        let provider = hangar.connect_as(&vendor, "acct", json!({"ssh_port": port, "ssh_user": user})).await;
        // It goes on until it is told to end, so that the kill finds it at work.
        let script = "echo x >>/root/runs; echo at work; until [ -e /root/go ]; do sleep 0.05; done; echo done";
        let (status, saved) = hangar.call("PUT", "/api/v1/profiles/once", Some(json!({"script": script}))).await;
        assert_eq!(status, 200, "{saved}");
        let wish = json!({"provider_id": provider, "name": "alpha", "server_type": "cx23", "location": "fsn1",
            "image": "debian-12", "profile": "once"});
        let accepted = hangar.post("/api/v1/nodes", wish, 202).await;
        let (node, job) = (accepted["node_id"].as_str().unwrap(), accepted["job_id"].as_str().unwrap());
        let path = format!("/api/v1/jobs/{job}");
        let says = |it: &Value| it["output"]["stdout"].as_str().is_some_and(|out| out.contains("at work"));
        hangar.wait_for(&path, "at work", says).await;
        // More often than a job may fail: a kill is no failed attempt.
        let most = hangar.get(&path).await["max_attempts"].as_u64().unwrap();
        for nth in 1..=most {
            hangar.kill().await;
            hangar = Hangar::start(&home, &[]).await;
            hangar.taken_up(job, usize::try_from(nth).unwrap() + 1).await;
        }
        hangar.on_machine(&home, &vendor, "touch /root/go").await;
        let done = hangar.wait_for(&path, "succeeded", |j| j["status"] == "succeeded").await;
        assert_eq!(done["output"]["stdout"], "at work\ndone\n", "{done:#}");
        assert!(done["attempt"].as_u64().unwrap() < most, "{done:#}");
        hangar.node_becomes(node, "ready").await;

        let script = "echo y >>/root/runs; touch /root/begun; until [ -e /root/gone ]; do sleep 0.05; done; exit 4";
        let act = format!("/api/v1/nodes/{node}/actions/exec-command");
        let begun = hangar.post(&act, json!({"argv": ["sh", "-c", script]}), 202).await;
        hangar.on_machine(&home, &vendor, "until [ -e /root/begun ]; do sleep 0.05; done").await;
        hangar.kill().await;
        hangar = Hangar::start(&home, &[]).await;
        hangar.on_machine(&home, &vendor, "touch /root/gone").await;
        let path = format!("/api/v1/jobs/{}", begun["job_id"].as_str().unwrap());
        let done = hangar.wait_for(&path, "succeeded", |j| j["status"] == "succeeded").await;
        assert_eq!(done["output"]["exit_code"], 4, "{done:#}");
        let runs = hangar.on_machine(&home, &vendor, "cat /root/runs").await;
        assert_eq!(runs, "x\ny\n", "each ran once");
        hangar.end().await;
        vendor.shutdown().await;
        home.end().await;
    }
}
