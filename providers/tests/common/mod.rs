//! What the tests share: fast time-outs, accounts at an endpoint, a wish, journals that get lost,
//! and a double of the API that answers as each test says.
#![expect(dead_code, reason = "no test uses everything")]

pub mod verbs;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{Response, StatusCode},
};
use providers::{
    Account, AccountAccess, AccountSecret, Journal, JournalLost, MachineFacts, MachineTarget, ManagedKey,
    MemoryJournal, Pair, ProvisionWish, Registry, Timeouts, async_trait,
};
use serde_json::{Value, json};
use simulators::{HetznerConfig, RateLimit};

pub const INSTANCE: &str = "inst-1";
pub const NODE: &str = "nod_018f0000-0000-7000-8000-000000000001";

pub fn token() -> String {
    "t".repeat(64)
}

/// A simulated vendor whose actions are short, and whose bucket of calls is so large that a refused
/// call is made again at once.
pub fn quick() -> HetznerConfig {
    HetznerConfig {
        action_time: Duration::from_millis(5),
        rate_limit: RateLimit::per_window(36_000_000, Duration::from_secs(3600)),
        ..HetznerConfig::default()
    }
}

/// Short, so that tests wait for conditions and not for the clock.
pub fn timeouts() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(2),
        read: Duration::from_secs(2),
        write: Duration::from_secs(2),
        action: Duration::from_secs(20),
        poll_first: Duration::from_millis(2),
        poll_most: Duration::from_millis(20),
        late_create: Duration::from_secs(3),
    }
}

pub fn access(endpoint: &str, token: &str, timeouts: Timeouts) -> AccountAccess {
    AccountAccess {
        work_dir: std::env::temp_dir(),
        settings: json!({"endpoint": endpoint}),
        secret: AccountSecret::new(json!({"api_token": token})),
        instance: INSTANCE.to_owned(),
        timeouts,
    }
}

pub fn account_with(endpoint: &str, token: &str, timeouts: Timeouts) -> Arc<dyn Account> {
    let registry = Registry::standard();
    registry.get("hetzner").unwrap().open(access(endpoint, token, timeouts)).unwrap()
}

/// An account opened by another installation.
pub fn account_of(endpoint: &str, instance: &str, timeouts: Timeouts) -> Arc<dyn Account> {
    let access = AccountAccess { instance: instance.to_owned(), ..access(endpoint, &token(), timeouts) };
    Registry::standard().get("hetzner").unwrap().open(access).unwrap()
}

pub fn account(endpoint: &str) -> Arc<dyn Account> {
    account_with(endpoint, &token(), timeouts())
}

pub fn managed_key() -> ManagedKey {
    ManagedKey::generate("hangar-inst-1").unwrap().0
}

/// The key of every wish; making one takes its time.
static KEY: LazyLock<ManagedKey> = LazyLock::new(managed_key);

pub fn pair(server_type: &str, location: &str) -> Pair {
    Pair {
        server_type: server_type.to_owned(),
        location: location.to_owned(),
        price_monthly: Some("4.15".to_owned()),
        price_hourly: Some("0.0066".to_owned()),
    }
}

pub fn wish() -> ProvisionWish {
    ProvisionWish {
        node_id: NODE.to_owned(),
        job_id: "job_1".to_owned(),
        server_name: "alpha-0001".to_owned(),
        pairs: vec![pair("cx33", "fsn1")],
        image: "debian-13".to_owned(),
        managed_key: KEY.clone(),
        user_data: None,
        labels: BTreeMap::from([("team".to_owned(), "red".to_owned())]),
        ipv4: true,
        firewalls: Vec::new(),
        instance: INSTANCE.to_owned(),
        stack: None,
    }
}

pub fn target(infra_id: Option<&str>) -> MachineTarget {
    MachineTarget {
        infra_id: infra_id.map(str::to_owned),
        server_name: "alpha-0001".to_owned(),
        node_id: NODE.to_owned(),
    }
}

/// When a journal gets lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lose {
    /// The call finds the lease gone: nothing is written.
    Before,
    /// The call is written, and then the process dies.
    After,
}

/// A journal that is lost at its `k`-th call, and stays lost.
pub struct LosingJournal {
    pub inner: MemoryJournal,
    left: usize,
    lose: Lose,
    pub lost: bool,
}

impl LosingJournal {
    pub fn at(k: usize, lose: Lose, inner: MemoryJournal) -> Self {
        Self { inner, left: k, lose, lost: false }
    }

    /// Whether this call is to be written, and what it returns.
    fn tick(&mut self) -> (bool, Result<(), JournalLost>) {
        assert!(!self.lost, "the journal was used after it was lost");
        self.left -= 1;
        if self.left > 0 {
            return (true, Ok(()));
        }
        self.lost = true;
        (self.lose == Lose::After, Err(JournalLost))
    }
}

#[async_trait]
impl Journal for LosingJournal {
    fn get(&self, key: &str) -> Option<Value> {
        self.inner.get(key)
    }

    async fn put(&mut self, key: &str, value: Value) -> Result<(), JournalLost> {
        let (write, result) = self.tick();
        if write {
            self.inner.put(key, value).await?;
        }
        result
    }

    async fn step(&mut self, step: &'static str, label: &str) -> Result<(), JournalLost> {
        let (write, result) = self.tick();
        if write {
            self.inner.step(step, label).await?;
        }
        result
    }

    async fn detail(&mut self, text: &str, progress: Option<u8>) -> Result<(), JournalLost> {
        let (write, result) = self.tick();
        if write {
            self.inner.detail(text, progress).await?;
        }
        result
    }

    async fn found(&mut self, facts: MachineFacts) -> Result<(), JournalLost> {
        let (write, result) = self.tick();
        if write {
            self.inner.found(facts).await?;
        }
        result
    }
}

/// A request as a double sees it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: String,
    pub body: Value,
    pub authorization: String,
}

impl Asked {
    /// `METHOD /path`, as the tests match it.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// What a double answers.
pub struct Told {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

pub fn told(status: u16, body: Value) -> Told {
    Told { status, headers: vec![("content-type", "application/json".to_owned())], body: body.to_string().into_bytes() }
}

pub fn raw(status: u16, content_type: &str, body: &str) -> Told {
    Told { status, headers: vec![("content-type", content_type.to_owned())], body: body.as_bytes().to_vec() }
}

pub fn refusal(status: u16, code: &str) -> Told {
    told(status, json!({"error": {"code": code, "message": "VENDOR TEXT", "details": null}}))
}

type Script = dyn Fn(&Asked) -> Told + Send + Sync;
type Log = Arc<Mutex<Vec<Asked>>>;

/// A double of the API.
pub struct Double {
    pub address: SocketAddr,
    asked: Log,
    task: tokio::task::JoinHandle<()>,
}

impl Double {
    pub async fn start(script: impl Fn(&Asked) -> Told + Send + Sync + 'static) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Script> = Arc::new(script);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state((script, asked.clone()));
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self { address, asked, task }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn lines(&self) -> Vec<String> {
        self.asked().iter().map(Asked::line).collect()
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State((script, asked)): State<(Arc<Script>, Log)>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let one = Asked {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        authorization: parts.headers.get("authorization").map_or("", |it| it.to_str().unwrap()).to_owned(),
    };
    let told = script(&one);
    asked.lock().unwrap().push(one);
    let mut response = Response::builder().status(StatusCode::from_u16(told.status).unwrap());
    for (name, value) in told.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(told.body)).unwrap()
}
