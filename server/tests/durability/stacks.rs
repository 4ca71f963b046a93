//! Stacks on a real engine: the shipped binary is killed at each kind of request that a verb makes of
//! the engine, one after the other on the same stack, until the verb is done all the same. In the end
//! each stack is what its verb was to make of it, and nothing else is left.

use std::{
    collections::BTreeSet,
    net::TcpListener,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    gate::{End, Gate},
    process::{Engine, Hangar, Home, engines},
};

#[path = "../../../providers/tests/docker/mod.rs"]
#[expect(dead_code, reason = "what tests of the adapter alone need is there too")]
mod docker;

use docker::Docker;

/// More kinds of requests than this no verb makes.
const MOST_ROUNDS: usize = 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Provision,
    /// An acquisition that cannot come about, and is undone.
    Undo,
    Suspend,
    Resume,
    Upgrade,
    /// An upgrade that is no good, and goes back.
    RollBack,
    Exec,
    DestroyKept,
    Destroy,
}

const VERBS: [Verb; 9] = [
    Verb::Provision,
    Verb::Undo,
    Verb::Suspend,
    Verb::Resume,
    Verb::Upgrade,
    Verb::RollBack,
    Verb::Exec,
    Verb::DestroyKept,
    Verb::Destroy,
];

/// For how long those who stand wait for the others; an engine may take ten seconds for an answer.
const TOGETHER: Duration = Duration::from_secs(5);

/// What the command of [`Verb::Exec`] does.
const COMMAND: &str = "echo ran >>/data/runs; sleep 0.3; exit 4";

impl Verb {
    /// The steps of its job, or what they begin with.
    fn steps(self) -> &'static [&'static str] {
        match self {
            Self::Provision => &["create_server", "start_server", "fetch_server", "verify"],
            Self::Undo => &["create_server", "start_server", "undo_delete_server"],
            Self::Suspend => &["shut_down"],
            Self::Resume => &["power_on"],
            Self::Upgrade => &["pull_images", "upgrade_services", "verify"],
            Self::RollBack => &["pull_images", "upgrade_services", "roll_back", "undo_"],
            Self::Exec => &["run_command"],
            Self::DestroyKept => &["backup", "delete_server"],
            Self::Destroy => &["delete_server"],
        }
    }

    fn action(self) -> Option<(&'static str, Value)> {
        Some(match self {
            Self::Provision | Self::Undo => return None,
            Self::Suspend => ("suspend-node", json!({})),
            Self::Resume => ("resume-node", json!({})),
            Self::Upgrade => ("upgrade-node", json!({"tag": "good2"})),
            Self::RollBack => ("upgrade-node", json!({"tag": "unhealthy"})),
            Self::Exec => ("exec-command", json!({"argv": ["sh", "-c", COMMAND], "service": "db"})),
            Self::DestroyKept => ("destroy-node", json!({"backup": true})),
            Self::Destroy => ("destroy-node", json!({"backup": false})),
        })
    }

    /// Node and job in the end.
    fn outcome(self) -> (&'static str, &'static str) {
        match self {
            Self::Provision | Self::Resume | Self::Upgrade | Self::Exec => ("ready", "succeeded"),
            Self::Undo => ("failed", "failed"),
            Self::Suspend => ("suspended", "succeeded"),
            Self::RollBack => ("ready", "failed"),
            Self::DestroyKept | Self::Destroy => ("destroyed", "succeeded"),
        }
    }
}

/// A page without a health check, and a store behind it. `ports` is what the page publishes.
fn blueprint(ports: &str) -> Value {
    let file = format!(
        "services:
  web:
    image: hangar-test/app:${{HANGAR_TAG}}
    restart: unless-stopped
    ports: [\"{ports}\"]
  db:
    image: hangar-test/db:1
    restart: unless-stopped
    environment: {{PASSWORD: \"${{PASSWORD}}\"}}
    volumes: [\"data:/data\"]
volumes: {{data: }}
"
    );
    json!({
        "file": file,
        "services": [{"name": "db", "role": "data"}, {"name": "web", "role": "application"}],
        "variables": [{"name": "PASSWORD", "generate": true}],
        "cockpit": {"service": "web", "port": docker::PORT},
        "tag": "plain",
        "allow_host_ports": ports.contains(':'),
    })
}

/// A node of its own account, whose way to the engine leads through a door.
struct Case {
    verb: Verb,
    gate: Gate,
    prefix: String,
    provider: String,
    node: String,
    job: String,
    steps: BTreeSet<String>,
}

impl Case {
    async fn new(hangar: &Hangar, engine: &Docker, folder: &Path, verb: Verb, first: usize) -> Self {
        let prefix = docker::prefix();
        let upstream = engine.host().strip_prefix("unix://").map(PathBuf::from).unwrap();
        let gate = Gate::open(folder.join(&prefix), &upstream, first);
        let settings = json!({"host": gate.host(), "project_prefix": prefix});
        let account = json!({"kind": "docker-compose", "name": format!("{verb:?}"), "settings": settings});
        let account = hangar.post("/api/v1/providers", account, 201).await;
        assert_eq!(account["status"], "connected", "{account:#}");
        let provider = account["id"].as_str().unwrap().to_owned();
        let (node, job) = (String::new(), String::new());
        let mut case = Self { verb, gate, prefix, provider, node, job, steps: BTreeSet::new() };
        if verb.action().is_some() {
            case.acquire(hangar).await;
            hangar.node_becomes(&case.node, "ready").await;
        }
        if verb == Verb::Resume {
            case.act(hangar, Verb::Suspend).await;
            hangar.node_becomes(&case.node, "suspended").await;
        }
        case
    }

    async fn acquire(&mut self, hangar: &Hangar) {
        let blueprint = if self.verb == Verb::Undo { "taken" } else { "page" };
        let wish = json!({"provider_id": self.provider, "name": "alpha", "compose": {"blueprint": blueprint}});
        let begun = hangar.post("/api/v1/nodes", wish, 202).await;
        self.node = begun["node_id"].as_str().unwrap().to_owned();
        self.job = begun["job_id"].as_str().unwrap().to_owned();
    }

    async fn act(&mut self, hangar: &Hangar, verb: Verb) {
        let (action, input) = verb.action().unwrap();
        let begun = hangar.post(&format!("/api/v1/nodes/{}/actions/{action}", self.node), input, 202).await;
        self.job = begun["job_id"].as_str().unwrap().to_owned();
    }

    async fn begin(&mut self, hangar: &Hangar) {
        match self.verb.action() {
            None => self.acquire(hangar).await,
            Some(_) => self.act(hangar, self.verb).await,
        }
    }

    /// Waits until the verb stands at a request, or is done; whether it stands.
    async fn stands(&mut self, hangar: &Hangar) -> bool {
        let path = format!("/api/v1/jobs/{}", self.job);
        let over = |job: &Value| ["succeeded", "failed", "cancelled"].iter().any(|it| job["status"] == *it);
        tokio::select! {
            _ = self.gate.hit() => {
                let job = hangar.get(&path).await;
                let running = job["steps"].as_array().unwrap().iter().filter(|step| step["status"] == "running");
                self.steps.extend(running.map(|step| step["name"].as_str().unwrap().to_owned()));
                true
            }
            _ = hangar.wait_for(&path, "over", over) => false,
        }
    }

    fn container(&self, engine: &Docker, service: &str, format: &str) -> Vec<String> {
        let (service, prefix) = (format!("label=hangar.service={service}"), format!("name={}", self.prefix));
        let told = engine.docker(&["ps", "--all", "--filter", &service, "--filter", &prefix, "--format", format]);
        told.lines().map(ToOwned::to_owned).collect()
    }

    /// The verb was killed in the middle of its work, and kills are no failed attempts: there were more of
    /// them than a job has. On a busy machine one that stands at the door may run into a time limit,
    /// which is one.
    async fn killed_everywhere(&self, hangar: &Hangar) {
        let job = hangar.get(&format!("/api/v1/jobs/{}", self.job)).await;
        let what = format!("{:?}: {job:#}\n{:#?}", self.verb, self.gate.seen());
        assert!(job["attempt"].as_u64().unwrap() < 3, "{what}");
        // Which of its reads falls into which step changes with what an earlier run had done.
        let hit = self.steps.iter().any(|hit| self.verb.steps().iter().any(|step| hit.starts_with(step)));
        assert!(hit, "it was killed in none of its steps, only in {:?}: {what}", self.steps);
    }

    /// The stack is what its verb was to make of it.
    async fn agrees(&self, hangar: &Hangar, engine: &Docker) {
        let (state, status) = self.verb.outcome();
        let node = hangar.node_becomes(&self.node, state).await;
        let job = hangar.get(&format!("/api/v1/jobs/{}", self.job)).await;
        let what = format!("{:?}: {node:#}\n{job:#}\n{:#?}", self.verb, self.gate.seen());
        assert_eq!(job["status"], status, "{what}");
        let is_gone = matches!(self.verb, Verb::DestroyKept | Verb::Destroy | Verb::Undo);
        let cleanup = if self.verb == Verb::Undo { "done" } else { "none" };
        assert_eq!(node["cleanup"], cleanup, "{what}");
        let things = engine.things(&self.prefix);
        if is_gone {
            assert_eq!(things, Vec::<String>::new(), "{what}");
        } else {
            let (image, runs) = match self.verb {
                Verb::Upgrade => ("hangar-test/app:good2", "running"),
                Verb::Suspend => ("hangar-test/app:plain", "exited"),
                _ => ("hangar-test/app:plain", "running"),
            };
            let stand = || ["web", "db"].map(|service| self.container(engine, service, "{{.Image}} {{.State}}"));
            let wanted = [vec![format!("{image} {runs}")], vec!["hangar-test/db:1 running".to_owned()]];
            let begun = Instant::now();
            // An engine that was started again starts them one after the other.
            while stand() != wanted && begun.elapsed() < Duration::from_secs(20) {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            assert_eq!(stand(), wanted, "{what}");
            let notes = usize::from(self.verb == Verb::Exec);
            assert_eq!(things.len(), 4 + notes, "two containers, a network, a volume: {things:?} {what}");
        }
        if node["state"] == "ready" {
            let tag = if self.verb == Verb::Upgrade { "good2" } else { "plain" };
            let begun = Instant::now();
            // At an engine that was started again the page answers at another port, which is found out.
            while page(hangar, &self.node).await != format!("this is app:{tag}\n") {
                let log = || std::fs::read_to_string(&hangar.log).unwrap_or_default();
                assert!(begun.elapsed() < Duration::from_secs(20), "{what}\n{}", log());
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            assert_eq!(node["stack"]["tag"], tag, "{what}");
        }
        match self.verb {
            Verb::Undo => assert_eq!(job["error"]["code"], "PROVIDER_INVALID_REQUEST", "{what}"),
            Verb::RollBack => {
                assert_eq!(job["error"]["code"], "PROVIDER_ACQUISITION_FAILED", "{what}");
                let message = job["error"]["message"].as_str().unwrap();
                assert!(message.contains("every service is back at the version plain"), "{what}");
            }
            Verb::Exec => {
                let db = self.container(engine, "db", "{{.Names}}").remove(0);
                assert_eq!(engine.docker(&["exec", &db, "cat", "/data/runs"]), "ran", "it ran once: {what}");
                assert_eq!(job["output"]["exit_code"], 4, "{what}");
            }
            _ => {}
        }
    }
}

fn env() -> Vec<(&'static str, String)> {
    let config = std::env::var("DOCKER_CONFIG").ok().map(|value| ("DOCKER_CONFIG", value));
    // As it is when nothing is set: below the folder that Hangar was started in.
    let data = ("HANGAR_DATA_DIR", "./data".to_owned());
    config.into_iter().chain([data, ("HANGAR_OBSERVE_INTERVAL", "1h".to_owned())]).collect()
}

/// What the page of a node says, if it answers.
async fn page(hangar: &Hangar, node: &str) -> String {
    let node = hangar.get(&format!("/api/v1/nodes/{node}")).await;
    match reqwest::get(node["cockpit_url"].as_str().unwrap()).await {
        Ok(answer) => answer.text().await.unwrap_or_default(),
        Err(_) => String::new(),
    }
}

/// The commands that work for the Hangar at `home`.
fn commands(home: &Home) -> BTreeSet<u32> {
    let folder = home.path().to_str().unwrap();
    let of = |process: std::fs::DirEntry| {
        let number = process.file_name().to_str()?.parse().ok()?;
        let environment = std::fs::read(process.path().join("environ")).ok()?;
        let words = String::from_utf8_lossy(&environment);
        let is_tool = words.contains("HANGAR_WORK_DIR=") && words.contains(folder);
        is_tool.then_some(number)
    };
    std::fs::read_dir("/proc").unwrap().filter_map(|process| of(process.ok()?)).collect()
}

async fn started_with(home: &Home, more: &[(&str, &str)]) -> Hangar {
    let env = env();
    let env: Vec<_> = env.iter().map(|(name, value)| (*name, value.as_str())).chain(more.iter().copied()).collect();
    Hangar::start(home, &env).await
}

async fn started(home: &Home) -> Hangar {
    started_with(home, &[]).await
}

/// What the cases are made of; a port that somebody else has makes one of them fail.
async fn blueprints(hangar: &Hangar) -> TcpListener {
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for (name, ports) in [("page", docker::PORT.to_string()), ("taken", format!("{port}:{}", docker::PORT))] {
        let path = format!("/api/v1/blueprints/{name}");
        let (status, saved) = hangar.call("PUT", &path, Some(blueprint(&ports))).await;
        assert_eq!(status, 200, "{saved}");
    }
    taken
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// Kills Hangar at each request of each verb; `first` says how the first of them ends.
async fn killed(database: Engine, first: usize) {
    let engine = tokio::task::spawn_blocking(Docker::shared).await.unwrap();
    let folder = TempDir::new_in("/tmp").unwrap();
    let home = Home::new(database).await;
    let mut hangar = started(&home).await;
    let taken = blueprints(&hangar).await;
    let made =
        VERBS.into_iter().enumerate().map(|(n, verb)| Case::new(&hangar, engine, folder.path(), verb, first + n));
    let mut cases = futures::future::join_all(made).await;
    for case in &mut cases {
        // An upgrade looks at the stack before it is accepted: that is not the job's.
        let looks = matches!(case.verb, Verb::Upgrade | Verb::RollBack);
        if !looks {
            case.gate.arm();
        }
        case.begin(&hangar).await;
        if looks {
            case.gate.arm();
        }
    }
    let mut kills = 0;
    loop {
        let mut standing: FuturesUnordered<_> = cases.iter_mut().map(|case| case.stands(&hangar)).collect();
        let first = async {
            while let Some(stands) = standing.next().await {
                if stands {
                    return true;
                }
            }
            false
        };
        let stands = tokio::time::timeout(Duration::from_secs(120), first).await;
        if !stands.expect("one stands, or all are over") {
            break;
        }
        // What stands for longer than an engine may take has failed: who is not there by then is killed
        // on the way.
        let rest = async { while standing.next().await.is_some() {} };
        let _ = tokio::time::timeout(TOGETHER, rest).await;
        drop(standing);
        kills += 1;
        assert!(kills < MOST_ROUNDS, "{:#?}", cases.iter().map(|case| case.gate.seen()).collect::<Vec<_>>());
        hangar.kill().await;
        let left = commands(&home);
        let late: Vec<_> = cases.iter().map(|case| case.gate.end() == Some(End::Late)).collect();
        for case in &cases {
            case.gate.let_go();
            case.gate.arm();
        }
        hangar = started(&home).await;
        let left: Vec<_> = commands(&home).intersection(&left).copied().collect();
        let log = || std::fs::read_to_string(&hangar.log).unwrap_or_default();
        let environ = |it: &u32| std::fs::read_to_string(format!("/proc/{it}/environ")).unwrap_or_default();
        let shown: String = left.iter().map(environ).collect();
        assert!(left.is_empty(), "no command of the one that was killed goes on: {left:?} {shown} {}", log());
        for (case, _) in cases.iter().zip(late).filter(|(_, late)| *late) {
            case.gate.let_late_go();
        }
    }
    for case in &cases {
        case.gate.calm();
        case.killed_everywhere(&hangar).await;
        case.agrees(&hangar, engine).await;
    }
    eprintln!("{database:?}: {kills} kills at {} requests", cases.iter().map(|it| it.gate.seen().len()).sum::<usize>());
    assert_eq!(files_below(&home.path().join("data/work")), Vec::<PathBuf>::new(), "no file of a killed verb is left");
    let kept = hangar.get("/api/v1/backups").await;
    assert_eq!(kept["items"].as_array().unwrap().len(), 1, "one backup of one that was to be kept: {kept:#}");
    let on_disk = files_below(&home.path().join("data/backups"));
    assert_eq!(on_disk.len(), kept["items"][0]["files"].as_array().unwrap().len(), "{on_disk:?}");

    all_gone(&hangar, engine, &home, &mut cases).await;
    hangar.end().await;
    home.end().await;
    drop(taken);
}

/// The end of them all: nothing is left of any, and none is forgotten.
async fn all_gone(hangar: &Hangar, engine: &Docker, home: &Home, cases: &mut [Case]) {
    for case in cases.iter_mut() {
        let node = hangar.get(&format!("/api/v1/nodes/{}", case.node)).await;
        if node["state"] != "destroyed" && node["cleanup"] != "done" {
            case.act(hangar, Verb::Destroy).await;
        }
    }
    for case in cases.iter() {
        let gone = |it: &Value| it["state"] == "destroyed" || (it["state"] == "failed" && it["cleanup"] == "done");
        hangar.wait_for(&format!("/api/v1/nodes/{}", case.node), "gone", gone).await;
        assert_eq!(engine.things(&case.prefix), Vec::<String>::new(), "{:?}", case.verb);
    }
    let nodes = hangar.get("/api/v1/nodes?limit=100").await;
    assert_eq!(nodes["items"].as_array().unwrap().len(), cases.len(), "each is there once: {nodes:#}");
    for status in ["running", "queued"] {
        let open = hangar.get(&format!("/api/v1/jobs?status={status}")).await;
        assert_eq!(open["items"], json!([]), "no job is left: {open:#}");
    }
    assert_eq!(files_below(&home.path().join("data/work")), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_verb_of_a_stack_survives_a_kill_at_each_request() {
    if !docker::is_here() {
        return;
    }
    // Each request ends in another way on the other database.
    let each = engines().into_iter().enumerate().map(|(first, database)| killed(database, first));
    futures::future::join_all(each).await;
}

/// How long the engine is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Away {
    /// The next attempt finds it again.
    Shortly,
    /// Every attempt is spent before it is back.
    Long,
}

/// The engine is stopped while each verb stands at its first request that changes something.
async fn stopped(engine: &Docker, away: Away) {
    let folder = TempDir::new_in("/tmp").unwrap();
    let home = Home::new(Engine::Sqlite).await;
    let waits = if away == Away::Shortly { "6s,6s,6s" } else { "50ms,100ms,200ms" };
    let hangar = started_with(&home, &[("HANGAR_JOB_BACK_OFF", waits), ("HANGAR_OBSERVE_INTERVAL", "2s")]).await;
    let taken = blueprints(&hangar).await;
    let first = usize::from(away == Away::Long);
    let made =
        VERBS.into_iter().enumerate().map(|(n, verb)| Case::new(&hangar, engine, folder.path(), verb, first + n));
    let mut cases = futures::future::join_all(made).await;
    for case in &mut cases {
        case.gate.arm_for_changes();
        case.begin(&hangar).await;
    }
    let standing = cases.iter_mut().map(|case| case.stands(&hangar));
    let standing = tokio::time::timeout(Duration::from_secs(60), futures::future::join_all(standing)).await.unwrap();
    assert!(standing.into_iter().all(|stands| stands), "each verb changes something");
    tokio::task::block_in_place(|| engine.stop());
    for case in &cases {
        case.gate.calm();
        case.gate.let_go();
        case.gate.let_late_go();
    }
    if away == Away::Long {
        // Each is given up with a code and words that say what to do, or waits.
        for case in &cases {
            let over = |job: &Value| ["succeeded", "failed"].iter().any(|it| job["status"] == *it);
            let job = hangar.wait_for(&format!("/api/v1/jobs/{}", case.job), "given up", over).await;
            let code = if case.verb == Verb::DestroyKept { "PROVIDER_BACKUP_FAILED" } else { "PROVIDER_UNREACHABLE" };
            assert_eq!(
                (&job["status"], &job["error"]["code"]),
                (&json!("failed"), &json!(code)),
                "{:?}: {job:#}",
                case.verb
            );
            assert!(!job["error"]["message"].as_str().unwrap().is_empty());
            let node = hangar.get(&format!("/api/v1/nodes/{}", case.node)).await;
            let state = if case.verb == Verb::Exec { "ready" } else { "failed" };
            let pending = matches!(case.verb, Verb::Provision | Verb::Undo | Verb::Destroy);
            let cleanup = if pending { "pending" } else { "none" };
            assert_eq!(
                (&node["state"], &node["cleanup"]),
                (&json!(state), &json!(cleanup)),
                "{:?}: {node:#}",
                case.verb
            );
        }
    }
    tokio::task::block_in_place(|| engine.restart());
    for case in &cases {
        // As the guidance of an account says that was looked at meanwhile.
        let checked = hangar.post(&format!("/api/v1/providers/{}/check", case.provider), json!({}), 200).await;
        assert_eq!(checked["status"], "connected", "{checked:#}");
    }
    if away == Away::Long {
        let looked = |it: &Value| it["cleanup"] != "pending";
        for case in &mut cases {
            // What may be left is looked for until it is known to be gone.
            let path = format!("/api/v1/nodes/{}", case.node);
            let node = hangar.wait_for(&path, "looked after", looked).await;
            if case.verb == Verb::Exec {
                case.act(&hangar, Verb::Exec).await;
            } else if node["state"] == "failed" && case.verb != Verb::Undo {
                let was = case.verb;
                let begun = hangar.post(&format!("{path}/actions/retry-node"), json!({}), 202).await;
                case.job = begun["job_id"].as_str().unwrap().to_owned();
                if matches!(was, Verb::Upgrade | Verb::RollBack) {
                    // Tried again, it is brought back to the version that it had, and serves.
                    case.verb = Verb::Resume;
                }
            }
            if case.verb == Verb::Suspend {
                // Tried again, it was brought back into service first.
                hangar.idle(&case.node).await;
                hangar.node_becomes(&case.node, "ready").await;
                case.act(&hangar, Verb::Suspend).await;
            }
        }
    }
    for case in &cases {
        hangar.idle(&case.node).await;
        // What had to be cleaned up was begun anew, or is gone.
        if away == Away::Shortly || !matches!(case.verb, Verb::Destroy | Verb::Undo) {
            case.agrees(&hangar, engine).await;
        }
        let kept = hangar.get(&format!("/api/v1/backups?subject={}", case.node)).await;
        let wanted = usize::from(case.verb == Verb::DestroyKept);
        assert_eq!(kept["items"].as_array().unwrap().len(), wanted, "{:?}: {kept:#}", case.verb);
    }
    all_gone(&hangar, engine, &home, &mut cases).await;
    hangar.end().await;
    home.end().await;
    drop(taken);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_verb_of_a_stack_survives_the_end_of_its_engine() {
    if !docker::is_here() {
        return;
    }
    let engine = tokio::task::spawn_blocking(Docker::start).await.unwrap();
    for away in [Away::Shortly, Away::Long] {
        stopped(&engine, away).await;
    }
    tokio::task::spawn_blocking(move || drop(engine)).await.unwrap();
}
