//! The shipped binary as a child process, a database for it, and its REST API.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::{Value, json};
use simulators::Hetzner;
use store::ScratchDatabase;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::Instant,
};

pub const SECRET: &str = "planted-admin-secret-5d1f";
pub const TOKEN: &str = "tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt";

/// Which database a case runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// The engines this run can test on. PostgreSQL may be left out only when that was asked for.
pub fn engines() -> Vec<Engine> {
    if std::env::var_os("HANGAR_TEST_POSTGRES_URL").is_some() {
        return vec![Engine::Sqlite, Engine::Postgres];
    }
    let may_miss = ["HANGAR_TEST_FAST", "HANGAR_ALLOW_MISSING"].iter().any(|name| std::env::var_os(name).is_some());
    assert!(
        may_miss,
        "HANGAR_TEST_POSTGRES_URL is not set: run the tests by `cargo xtask test`, or set HANGAR_TEST_FAST=1"
    );
    vec![Engine::Sqlite]
}

/// A database and a data folder that live as long as a case.
pub struct Home {
    dir: TempDir,
    database: Option<ScratchDatabase>,
}

impl Home {
    pub async fn new(engine: Engine) -> Self {
        let database = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => {
                let url = std::env::var("HANGAR_TEST_POSTGRES_URL").unwrap();
                Some(ScratchDatabase::create(&url).await.unwrap())
            }
        };
        Self { dir: tempfile::tempdir().unwrap(), database }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    fn url(&self, data_dir: &Path) -> String {
        match &self.database {
            Some(database) => database.url(),
            None => format!("sqlite:{}", data_dir.join("hangar.db").display()),
        }
    }

    pub async fn end(self) {
        if let Some(database) = self.database {
            database.drop().await.unwrap();
        }
    }
}

/// A running `hangar serve`.
pub struct Hangar {
    child: Child,
    pub base: String,
    client: reqwest::Client,
    pub log: PathBuf,
}

impl Hangar {
    pub async fn start(home: &Home, env: &[(&str, &str)]) -> Self {
        Self::start_as(home, "data", env).await
    }

    /// Starts a process with a data folder of its own, so that several can share one PostgreSQL.
    pub async fn start_as(home: &Home, data: &str, env: &[(&str, &str)]) -> Self {
        let data_dir = home.path().join(data);
        let log = home.path().join(format!("{data}.log"));
        let log_file = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hangar"));
        command
            .arg("serve")
            .current_dir(home.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home.path())
            .env("HANGAR_LISTEN", "127.0.0.1:0")
            .env("HANGAR_DATA_DIR", &data_dir)
            .env("HANGAR_DATABASE_URL", home.url(&data_dir))
            .env("HANGAR_ADMIN_SECRET", SECRET)
            .env("HANGAR_KEYRING", "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
            .env("HANGAR_JOB_LEASE", "1500ms")
            .env("HANGAR_JOB_BACK_OFF", "50ms,100ms,200ms")
            .env("HANGAR_LATE_CREATE_GRACE", "500ms")
            .env("HANGAR_LOG", "info")
            .stdout(Stdio::piped())
            .stderr(log_file)
            .kill_on_drop(true);
        for (name, value) in env {
            command.env(name, value);
        }
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let base = tokio::time::timeout(Duration::from_secs(60), async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some((_, address)) = line.split_once("ready at ") {
                    return Some(address.trim().to_owned());
                }
            }
            None
        })
        .await
        .unwrap();
        let base = base.unwrap_or_else(|| panic!("hangar did not start: {}", std::fs::read_to_string(&log).unwrap()));
        // What it says later is read away, so that its pipe never fills.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
        Self { child, base, client, log }
    }

    /// `kill -9`, and the end of the process is waited for.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks it to end and waits until it has.
    pub async fn end(mut self) {
        let pid = self.child.id().unwrap().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await;
        assert!(ended.expect("hangar ends when it is told to").unwrap().success());
    }

    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.base)).bearer_auth(SECRET);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call("GET", path, None).await;
        assert_eq!(status, 200, "GET {path}: {body}");
        body
    }

    pub async fn post(&self, path: &str, body: Value, wanted: u16) -> Value {
        let (status, answer) = self.call("POST", path, Some(body)).await;
        assert_eq!(status, wanted, "POST {path}: {answer}");
        answer
    }

    /// Connects the simulated account and reads its catalogue once.
    pub async fn connect(&self, vendor: &Hetzner) -> String {
        self.connect_as(vendor, "acct", json!({})).await
    }

    /// The same under a name, with more settings.
    pub async fn connect_as(&self, vendor: &Hetzner, name: &str, more: Value) -> String {
        let mut settings = json!({ "endpoint": vendor.endpoint() });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let body = json!({ "kind": "hetzner", "name": name, "settings": settings, "secret": { "api_token": TOKEN } });
        let provider = self.post("/api/v1/providers", body, 201).await;
        assert_eq!(provider["status"], "connected", "{provider}");
        let id = provider["id"].as_str().unwrap().to_owned();
        self.get(&format!("/api/v1/providers/{id}/catalog")).await;
        id
    }

    /// Waits until a job was begun for the `nth` time, by whichever of the processes of this log.
    pub async fn taken_up(&self, job: &str, nth: usize) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let log = std::fs::read_to_string(&self.log).unwrap();
            let begun = log.lines().filter(|line| line.contains("job begins") && line.contains(job)).count();
            if begun >= nth {
                return;
            }
            assert!(Instant::now() < deadline, "{job} was begun {begun} times:\n{log}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until no job works on a node.
    pub async fn idle(&self, node: &str) {
        let over = |job: &Value| ["succeeded", "failed", "cancelled"].iter().any(|s| job["status"] == *s);
        let idle = |jobs: &Value| jobs["items"].as_array().unwrap().iter().all(over);
        self.wait_for(&format!("/api/v1/jobs?subject={node}"), "idle", idle).await;
    }

    /// Runs a shell line on the only machine of a vendor, with the key that Hangar logs in with;
    /// what it wrote.
    pub async fn on_machine(&self, home: &Home, vendor: &Hetzner, line: &str) -> String {
        let server = vendor.servers().remove(0);
        let (port, user) = (vendor.ssh_port().unwrap(), vendor.ssh_user().unwrap());
        let key = home.path().join("data").join("managed_key");
        let output = Command::new("ssh")
            .args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"])
            .args(["-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-F", "none", "-i"])
            .arg(key)
            .args(["-p", &port.to_string(), &format!("{user}@{}", server.ipv4.unwrap())])
            .arg(line)
            .output();
        let output = tokio::time::timeout(Duration::from_secs(60), output).await.unwrap().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Asks for a node with the profile `none`.
    pub async fn acquire(&self, provider: &str, name: &str) -> (String, String) {
        let body = json!({
            "provider_id": provider, "name": name, "server_type": "cx23", "location": "fsn1",
            "image": "debian-12", "profile": "none", "pool": "default",
        });
        let accepted = self.post("/api/v1/nodes", body, 202).await;
        (accepted["node_id"].as_str().unwrap().to_owned(), accepted["job_id"].as_str().unwrap().to_owned())
    }

    /// Waits until `path` answers something that `fits`.
    pub async fn wait_for(&self, path: &str, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(90);
        let mut pause = Duration::from_millis(20);
        loop {
            let value = self.get(path).await;
            if fits(&value) {
                return value;
            }
            assert!(
                Instant::now() < deadline,
                "{path} did not become {what}: {value:#}\n{}",
                std::fs::read_to_string(&self.log).unwrap_or_default()
            );
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }

    pub async fn node_becomes(&self, node: &str, state: &str) -> Value {
        self.wait_for(&format!("/api/v1/nodes/{node}"), state, |n| n["state"] == state).await
    }
}
