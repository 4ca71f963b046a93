//! Nodes acquired through one token whose calls are few: how many calls each takes, and how near
//! Hangar comes to what the vendor's bucket allows. The rule: the vendor is the simulated one, in a
//! thread of its own; its hour is shortened, so that a bucket of 3,600 calls an hour refills within
//! a minute, and it is nearly empty at the beginning.

use std::{
    collections::BTreeMap,
    process::Stdio,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use domain::node::NodeState;
use serde_json::{Value, json};
use simulators::hetzner::{Hetzner, HetznerConfig, RateLimit, RequestView};
use store::Store;
use tokio::sync::oneshot;

use crate::{
    Bench,
    client::{self, Connection},
    engine::{Database, Engine},
    report::{self, Report, Table},
    server::{self, Server},
};

/// Nodes wanted at once.
const NODES: usize = 500;
/// Nodes that stand already and are destroyed meanwhile.
const DESTROYED: usize = 20;
/// Nodes that the vendor's own command makes, one after another.
const BY_COMMAND: usize = 50;
/// Calls in a full bucket, as the vendor has it.
const LIMIT: u32 = 3_600;
/// How long the vendor's hour lasts here.
const HOUR: Duration = Duration::from_secs(60);
/// What is in the bucket when Hangar first meets it.
const LEFT: u32 = 120;
/// How long each of the vendor's actions runs.
const ACTION: Duration = Duration::from_millis(500);
/// The whole is given up after this time.
const PATIENCE: Duration = Duration::from_secs(300);
/// Connections over which the nodes are asked for.
const CLIENTS: usize = 8;

/// Measures Hangar on every database, and the vendor's own command.
pub async fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let nodes = bench.scaled(NODES);
    let mut table = Table::new(
        format!("{nodes} nodes at once on one token (3,600 calls an hour; an hour of {} s)", HOUR.as_secs()),
        &["", "nodes", "calls per node", "refused (429)", "time", "the budget's floor", "ratio", "targets"],
    );
    for engine in bench.engines() {
        report::progress(&format!("acquiring nodes on {}", engine.name()));
        hangar(bench, engine, nodes, &mut table, report).await?;
    }
    report::progress("the same with the vendor's own command");
    by_command(bench, &mut table).await?;
    table.print();
    report::say(
        "  The floor is the time in which the bucket gives as many calls as were made, and one of the vendor's\n  \
         actions; the command runs in a loop, one node after another.",
    );
    Ok(())
}

/// The simulated vendor, in a thread of its own: what is measured must not wait for it.
struct Vendor {
    api: Arc<Hetzner>,
    began: Instant,
    end: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Vendor {
    fn start() -> Result<Self> {
        let (ready, started) = mpsc::channel();
        let (end, ended) = oneshot::channel();
        let thread = thread::Builder::new().name("vendor".to_owned()).spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
            runtime.block_on(async move {
                let config = HetznerConfig {
                    action_time: ACTION,
                    rate_limit: RateLimit::per_window(LIMIT, HOUR),
                    rate_limit_left: Some(LEFT),
                    server_quota: 10_000,
                    ..HetznerConfig::default()
                };
                let started = Hetzner::start(config).await.map(Arc::new).map_err(|error| error.to_string());
                let api = started.clone();
                // Nobody waits any more: then there is nothing to do.
                if ready.send(started).is_ok() && api.is_ok() {
                    let _ = ended.await;
                }
            });
        })?;
        let api = started.recv().context("the simulated vendor did not start")?.map_err(anyhow::Error::msg)?;
        Ok(Self { api, began: Instant::now(), end: Some(end), thread: Some(thread) })
    }

    /// Calls that there were since the one with this number.
    fn calls(&self, since: usize) -> Vec<RequestView> {
        self.api.requests().into_iter().skip(since).collect()
    }

    /// What is in the bucket now, by what came and what went.
    fn left(&self) -> f64 {
        let came = f64::from(LEFT) + self.began.elapsed().as_secs_f64() * per_second();
        let went = self.api.requests().iter().filter(|call| call.status != Some(429)).count();
        (came - went as f64).clamp(0.0, f64::from(LIMIT))
    }
}

impl Drop for Vendor {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            let _ = end.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Calls that flow back into the bucket in a second.
fn per_second() -> f64 {
    f64::from(LIMIT) / HOUR.as_secs_f64()
}

/// The time in which a bucket with `left` gives `calls`, and one action.
fn floor(calls: usize, left: f64) -> Duration {
    let wait = (calls as f64 - left).max(0.0) / per_second();
    Duration::from_secs_f64(wait) + ACTION
}

async fn hangar(bench: &Bench, engine: Engine, nodes: usize, table: &mut Table, report: &mut Report) -> Result<()> {
    let vendor = Vendor::start()?;
    let database = Database::create(bench, engine).await?;
    let mut server = Server::start(bench, &database).await?;
    server.warm().await?;
    let store = database.store().await?;
    let account = connect(&server, &vendor).await?;
    let standing = acquire(&server, &account, "standing", DESTROYED).await?;
    wait(&store, NodeState::Ready, DESTROYED).await?;

    let (before, left, began) = (vendor.calls(0).len(), vendor.left(), Instant::now());
    acquire(&server, &account, "wanted", nodes).await?;
    let asked = Instant::now();
    destroy(&server, &standing).await?;
    let destroyed = wait(&store, NodeState::Destroyed, DESTROYED).await?.duration_since(asked);
    let took = wait(&store, NodeState::Ready, nodes).await?.duration_since(began);

    let calls = vendor.calls(before);
    let refused = calls.iter().filter(|call| call.status == Some(429)).count();
    let counted = calls.len() - refused;
    // What the destructions took is not the acquisitions'.
    let own = counted.saturating_sub(calls.iter().filter(|call| call.method == "DELETE").count());
    let per_node = own as f64 / nodes as f64;
    let floor = floor(counted, left);
    let ratio = took.as_secs_f64() / floor.as_secs_f64();
    let name = format!("Hangar, {}", engine.name());
    let targets = [
        report.target(&format!("{name}: calls per node"), "≤ 2.5 calls", per_node <= 2.5),
        report.target(&format!("{name}: refused calls"), "no 429", refused == 0),
        report.target(&format!("{name}: time against the floor"), "≤ 1.15", ratio <= 1.15),
        report.target(
            &format!("{name}: {DESTROYED} destructions meanwhile"),
            "within half the time",
            destroyed * 2 <= took,
        ),
    ];
    table.row([
        name,
        nodes.to_string(),
        format!("{per_node:.2}"),
        refused.to_string(),
        seconds(took),
        seconds(floor),
        format!("{ratio:.2}"),
        targets.join(", "),
    ]);
    report::say(&format!("  {}: {}", engine.name(), kinds(&calls)));
    server.stop().await?;
    store.close().await;
    ensure!(vendor.api.servers().len() == nodes, "{} servers are left, not {nodes}", vendor.api.servers().len());
    database.remove().await
}

/// What the calls were, the most frequent first.
fn kinds(calls: &[RequestView]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for call in calls {
        *counts.entry(format!("{:?}", call.kind)).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.into_iter().map(|(kind, count)| format!("{kind} {count}")).collect::<Vec<_>>().join(", ")
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

async fn connect(server: &Server, vendor: &Vendor) -> Result<String> {
    let wish = json!({
        "kind": "hetzner",
        "name": "bench",
        "settings": {"endpoint": vendor.api.endpoint()},
        "secret": {"api_token": "t".repeat(64)},
    });
    let mut connection = Connection::open(server.address).await?;
    let answer = connection.send(&client::post("/api/v1/providers", &server::admin(), &wish.to_string())).await?;
    let account: Value = serde_json::from_slice(answer.body)?;
    ensure!(account["status"] == "connected", "the account is not connected: {account}");
    Ok(account["id"].as_str().context("no id")?.to_owned())
}

/// Asks for so many nodes at once; their ids.
async fn acquire(server: &Server, account: &str, name: &str, count: usize) -> Result<Vec<String>> {
    let requests = (0..count).map(|number| {
        let wish = json!({"provider_id": account, "name": format!("{name}-{number}"), "profile": "none"});
        client::post("/api/v1/nodes", &server::admin(), &wish.to_string())
    });
    let answers = at_once(server, requests.collect()).await?;
    answers.iter().map(|answer| Ok(answer["node_id"].as_str().context("no node")?.to_owned())).collect()
}

async fn destroy(server: &Server, nodes: &[String]) -> Result<()> {
    let request =
        |id: &String| client::post(&format!("/api/v1/nodes/{id}/actions/destroy-node"), &server::admin(), "{}");
    at_once(server, nodes.iter().map(request).collect()).await.map(drop)
}

/// Sends the requests over several connections; every one must be accepted.
async fn at_once(server: &Server, requests: Vec<Vec<u8>>) -> Result<Vec<Value>> {
    let share = requests.len().div_ceil(CLIENTS).max(1);
    let tasks: Vec<_> = requests
        .chunks(share)
        .map(|requests| {
            let (requests, address) = (requests.to_vec(), server.address);
            tokio::spawn(async move {
                let mut connection = Connection::open(address).await?;
                let mut answers = Vec::new();
                for request in &requests {
                    let answer = connection.send(request).await?;
                    let body = String::from_utf8_lossy(answer.body).into_owned();
                    ensure!(answer.status == 202, "refused with {}: {body}", answer.status);
                    answers.push(serde_json::from_str::<Value>(&body)?);
                }
                Ok(answers)
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await??);
    }
    Ok(all)
}

/// Waits until so many nodes stand there; when that was.
async fn wait(store: &Store, state: NodeState, count: usize) -> Result<Instant> {
    let began = Instant::now();
    loop {
        let mut c = store.read().await?;
        let filter = domain::list::Filter { status: Some(state.to_string()), ..Default::default() };
        let there = c.nodes_count(&filter, 10_000).await? as usize;
        let states = c.nodes_by_state_count().await?;
        drop(c);
        if there >= count {
            return Ok(Instant::now());
        }
        if states.iter().any(|(state, _)| *state == NodeState::Failed) || began.elapsed() > PATIENCE {
            bail!("{there} of {count} nodes are {state}; in all: {states:?}");
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// The same with the vendor's own command in a loop.
async fn by_command(bench: &Bench, table: &mut Table) -> Result<()> {
    let nodes = bench.scaled(BY_COMMAND);
    let vendor = Vendor::start()?;
    let (left, began) = (vendor.left(), Instant::now());
    for number in 0..nodes {
        let made = tokio::process::Command::new("hcloud")
            .args(["server", "create", "--type", "cx23", "--image", "debian-13", "--location", "fsn1", "--name"])
            .arg(format!("loop-{number}"))
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", "/nonexistent")
            .env("HCLOUD_TOKEN", "t".repeat(64))
            .env("HCLOUD_ENDPOINT", vendor.api.endpoint())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .await;
        let output = match made {
            Ok(output) => output,
            Err(error) => {
                report::say(&format!("  hcloud is left out: {error} (Debian: apt-get install hcloud-cli)"));
                return Ok(());
            }
        };
        ensure!(output.status.success(), "hcloud: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let took = began.elapsed();
    let calls = vendor.calls(0);
    let refused = calls.iter().filter(|call| call.status == Some(429)).count();
    let counted = calls.len() - refused;
    let floor = floor(counted, left);
    table.row([
        "hcloud server create".to_owned(),
        nodes.to_string(),
        format!("{:.2}", counted as f64 / nodes as f64),
        refused.to_string(),
        seconds(took),
        seconds(floor),
        format!("{:.2}", took.as_secs_f64() / floor.as_secs_f64()),
        "for comparison".to_owned(),
    ]);
    Ok(())
}
