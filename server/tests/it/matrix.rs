//! The fault matrix: each verb, at each request that it makes, with each way in which that can go
//! wrong. What passes by itself ends as if nothing had been; what does not is put back, or kept and
//! taken up again. Many cases run side by side, each with an account and a vendor of its own.

use std::{collections::BTreeMap, time::Duration};

use domain::time::{HOUR, SECOND};
use futures::StreamExt as _;
use serde_json::{Value, json};
use simulators::{Fault, FaultEffect, Hetzner, Match, ServerStatus};
use tokio_util::sync::CancellationToken;

use crate::{
    app::{Setup, TestApp, on_each},
    nodes::{TOKEN, act, vendor},
    verbs::act_with,
};

/// Cases at work at once: most of their time is waiting.
const AT_ONCE: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verb {
    Suspend,
    /// Of a server that ignores its shutdown.
    SwitchOff,
    Resume,
    Upgrade,
    Rebuild,
    Destroy,
}

impl Verb {
    const ALL: [Verb; 6] = [Verb::Suspend, Verb::SwitchOff, Verb::Resume, Verb::Upgrade, Verb::Rebuild, Verb::Destroy];

    fn action(self) -> (&'static str, Value) {
        match self {
            Verb::Suspend | Verb::SwitchOff => ("suspend-node", json!({})),
            Verb::Resume => ("resume-node", json!({})),
            Verb::Upgrade => ("upgrade-node", json!({"server_type": "cx33"})),
            Verb::Rebuild => ("rebuild-node", json!({})),
            Verb::Destroy => ("destroy-node", json!({})),
        }
    }

    fn before(self) -> &'static str {
        if self == Verb::Resume { "suspended" } else { "ready" }
    }

    fn after(self) -> &'static str {
        match self {
            Verb::Suspend | Verb::SwitchOff => "suspended",
            Verb::Destroy => "destroyed",
            _ => "ready",
        }
    }
}

/// What can go wrong with a request: only one that changes something is refused because the server is
/// locked, or starts an action that fails.
fn effects(changes: bool) -> Vec<FaultEffect> {
    let mut effects = vec![
        FaultEffect::LostAnswer,
        FaultEffect::RateLimited,
        FaultEffect::HtmlBadGateway,
        FaultEffect::Slow { ms: 300 },
    ];
    if changes {
        let (code, message) = ("action_failed".to_owned(), "no".to_owned());
        effects.extend([FaultEffect::Locked, FaultEffect::ActionError { code, message }]);
    }
    effects
}

/// An account with a vendor of its own, and a node there in the state from which the verb begins.
struct Case<'a> {
    app: &'a TestApp,
    vendor: Hetzner,
    node: String,
    verb: Verb,
}

impl<'a> Case<'a> {
    async fn new(app: &'a TestApp, name: &str, verb: Verb) -> Self {
        let vendor = vendor().await;
        let admin = app.admin();
        let body = json!({"kind": "hetzner", "name": name, "settings": {"endpoint": vendor.endpoint()},
            "secret": {"api_token": TOKEN}});
        let made = admin.post("/api/v1/providers", body).await;
        assert_eq!(made.json()["status"], "connected", "{}", made.body);
        let provider = made.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(admin.get(&format!("/api/v1/providers/{provider}/catalog")).await.status, 200);
        let wish = json!({"provider_id": provider, "name": "alpha", "server_type": "cx23", "location": "fsn1",
            "image": "debian-12", "profile": "none"});
        let made = admin.post("/api/v1/nodes", wish).await;
        assert_eq!(made.status, 202, "{}", made.body);
        let node = made.json()["node_id"].as_str().unwrap().to_owned();
        let case = Self { app, vendor, node, verb };
        case.is("ready").await;
        match verb {
            Verb::Resume => {
                assert_eq!(act(app, &case.node, "suspend-node").await.status, 202);
                case.is("suspended").await;
            }
            Verb::SwitchOff => assert!(case.vendor.set_ignores_shutdown(&case.vendor.servers()[0].name, true)),
            _ => {}
        }
        case
    }

    /// Begins the verb and waits until its job is over.
    async fn run(&self) -> Value {
        let (identity, input) = self.verb.action();
        let begun = act_with(self.app, &self.node, identity, input).await;
        assert_eq!(begun.status, 202, "{}", begun.body);
        self.over(&begun.json()).await
    }

    async fn over(&self, begun: &Value) -> Value {
        let path = format!("/api/v1/jobs/{}", begun["job_id"].as_str().unwrap());
        let over = |j: &Value| ["succeeded", "failed", "cancelled"].iter().any(|s| j["status"] == *s);
        self.until(&path, "over", over).await
    }

    /// As [`TestApp::until`], but looked for now and then: with so many cases side by side each
    /// change would wake every one of them.
    async fn until(&self, path: &str, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let admin = self.app.admin();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(90);
        loop {
            let value = admin.get(path).await.json();
            if fits(&value) {
                return value;
            }
            assert!(tokio::time::Instant::now() < deadline, "{path} never was {what}: {value:#}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn is(&self, state: &str) {
        self.until(&format!("/api/v1/nodes/{}", self.node), state, |n| n["state"] == state).await;
    }

    async fn state(&self) -> Value {
        self.app.admin().get(&format!("/api/v1/nodes/{}", self.node)).await.json()
    }

    /// What is recorded is what stands at the vendor, and there is one server or none.
    async fn agrees(&self, what: &str) {
        let node = self.state().await;
        let servers = self.vendor.servers();
        if node["state"] == "destroyed" {
            assert!(servers.is_empty(), "{what}: {servers:#?}");
            return;
        }
        assert_eq!(servers.len(), 1, "{what}: {servers:#?}");
        assert_eq!(node["infra_id"], servers[0].id.to_string(), "{what}");
        assert_eq!(node["server_type"], servers[0].server_type, "{what}: {node:#}");
        let power = if node["state"] == "suspended" { ServerStatus::Off } else { ServerStatus::Running };
        assert_eq!(servers[0].status, power, "{what}: {node:#}");
    }

    async fn end(self) {
        self.vendor.shutdown().await;
    }
}

/// The requests that each verb makes when nothing goes wrong: whether each changes something.
async fn requests(app: &TestApp) -> BTreeMap<Verb, Vec<bool>> {
    let counted = futures::stream::iter(Verb::ALL).map(|verb| async move {
        let case = Case::new(app, &format!("clean {verb:?}"), verb).await;
        let before = case.vendor.requests().len();
        let job = case.run().await;
        assert_eq!(job["status"], "succeeded", "{verb:?}: {job:#}");
        assert_eq!(case.state().await["state"], verb.after(), "{verb:?}");
        case.agrees(&format!("{verb:?}")).await;
        let made = case.vendor.requests().into_iter().skip(before).map(|request| request.method != "GET").collect();
        case.end().await;
        (verb, made)
    });
    counted.buffer_unordered(Verb::ALL.len()).collect().await
}

async fn goes_wrong(app: &TestApp, verb: Verb, nth: u32, effect: FaultEffect) {
    let what = format!("{verb:?} at request {nth} with {effect:?}");
    let case = Case::new(app, &what, verb).await;
    let lasting = matches!(effect, FaultEffect::ActionError { .. });
    case.vendor.fault(Fault { nth, ..Fault::next(Match::Any, effect) });
    let job = case.run().await;
    let state = case.state().await["state"].as_str().unwrap().to_owned();
    if job["status"] == "succeeded" {
        assert_eq!(state, verb.after(), "{what}: {job:#}");
    } else {
        assert!(lasting, "{what} passes by itself: {job:#}");
        assert_eq!(job["status"], "failed", "{what}: {job:#}");
        assert!(job["error"]["code"].as_str().unwrap().starts_with("PROVIDER_"), "{what}: {job:#}");
        assert!(state == verb.before() || state == "failed", "{what}: {state} {job:#}");
    }
    case.vendor.clear_faults();
    if state == "failed" {
        let begun = act(app, &case.node, "retry-node").await;
        assert_eq!(begun.status, 202, "{what}: {}", begun.body);
        let again = case.over(&begun.json()).await;
        assert_eq!(again["status"], "succeeded", "{what}: {again:#}");
    }
    case.agrees(&what).await;
    case.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_verb_bears_each_fault_at_each_request() {
    let setup = Setup::usual().with("VM_POOL_JSON", "").with_jobs().with_work(|work| {
        work.shutdown_grace = Duration::from_millis(300);
        work.lease = HOUR;
    });
    on_each(setup, async |app: &TestApp| {
        let stop = CancellationToken::new();
        // Waits that the vendor asks for are the simulated clock's.
        let time = async {
            while tokio::time::timeout(Duration::from_millis(200), stop.cancelled()).await.is_err() {
                app.advance(2 * SECOND).await;
            }
        };
        let cases = async {
            let mut all = Vec::new();
            for (verb, requests) in requests(app).await {
                assert!((2..=20).contains(&requests.len()), "{verb:?} makes {} requests", requests.len());
                assert!(requests.contains(&true), "{verb:?} changes something");
                for (nth, changes) in (1..).zip(requests) {
                    all.extend(effects(changes).into_iter().map(|effect| (verb, nth, effect)));
                }
            }
            let run = |(verb, nth, effect)| goes_wrong(app, verb, nth, effect);
            futures::stream::iter(all).map(run).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
            for status in ["running", "queued"] {
                let open = app.admin().get(&format!("/api/v1/jobs?status={status}")).await.json();
                assert_eq!(open["items"], json!([]), "no job is left");
            }
            stop.cancel();
        };
        tokio::join!(time, cases);
    })
    .await;
}
