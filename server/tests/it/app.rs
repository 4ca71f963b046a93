//! A whole Hangar for one test: its own database, a free port, a simulated clock and Forge, and a
//! client for each kind of caller.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use domain::{
    audit::LiveEvent,
    time::{Millis, Timestamp},
};
use providers::Registry;
use reqwest::{Method, header};
use serde_json::Value;
use server::{
    clock::Clock,
    config::{Config, KnownKinds, Mode, Sources},
    http::{AppState, SESSION_COOKIE, router},
    jobs::{Runner, watch},
    seal::Keyring,
    services::{Services, Settings, Signup, WorkSettings},
};
use simulators::{Forge, ForgeConfig, Person};
use store::{ScratchDatabase, Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, Stacks};

/// The admin secret of every test.
pub const SECRET: &str = "the-admin-secret-of-the-tests";
/// What the OAuth application proves itself with.
pub const CLIENT_SECRET: &str = "pl4nted-forge-client-secret";

/// Three listed machines.
pub const POOL: &str = r#"[{"id":"vm-1","host":"192.0.2.1","cockpit_url":"https://vm-1.example.org/"},
    {"id":"vm-2","host":"192.0.2.2"},{"id":"vm-3","host":"192.0.2.3"}]"#;

/// How the Hangar of a test is set up.
#[derive(Clone, Default)]
pub struct Setup {
    env: BTreeMap<&'static str, String>,
    work: Option<WorkSettings>,
    stacks: bool,
    idle: bool,
}

impl Setup {
    /// With the admin secret, a Forge, open sign-up and three machines in the pool `default`.
    pub fn usual() -> Self {
        Self::default()
            .with("HANGAR_ADMIN_SECRET", SECRET)
            .with("HANGAR_FORGE_CLIENT_ID", "hangar")
            .with("HANGAR_SIGNUP", "open")
            .with("VM_POOL_JSON", POOL)
    }

    /// Sets a variable; an empty text unsets it.
    pub fn with(mut self, variable: &'static str, value: &str) -> Self {
        self.env.insert(variable, value.to_owned());
        self
    }

    /// With a kind of account that makes stacks: what it runs is at [`TestApp::engine`].
    pub fn with_stacks(self) -> Self {
        Self { stacks: true, ..self }
    }

    /// With a worker that carries out jobs, each next attempt at once.
    pub fn with_jobs(self) -> Self {
        self.with_work(|work| work.back_off = vec![0])
    }

    /// With a worker that carries out jobs, set up by `change`. All spans are the simulated clock's
    /// but `late_create_grace` and `verify_deadline`.
    pub fn with_work(self, change: impl FnOnce(&mut WorkSettings)) -> Self {
        let mut work = self.work.clone().unwrap_or(WorkSettings { late_create_grace: 50, ..WorkSettings::default() });
        change(&mut work);
        Self { work: Some(work), ..self }
    }

    /// Without a worker of its own: the test starts one by [`TestApp::worker`].
    pub fn idle(self) -> Self {
        Self { idle: true, ..self }
    }
}

struct Kinds;

impl KnownKinds for Kinds {
    fn resolve(&self, name: &str) -> Option<String> {
        Some(name.to_owned())
    }
    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Runs `test` with a Hangar of this setup on SQLite, and on PostgreSQL too where
/// `HANGAR_TEST_POSTGRES_URL` names a server.
pub async fn on_each(setup: Setup, test: impl AsyncFn(&TestApp)) {
    let sqlite = TestApp::start(&setup, None).await;
    test(&sqlite).await;
    sqlite.end().await;
    if let Ok(url) = std::env::var("HANGAR_TEST_POSTGRES_URL") {
        let database = ScratchDatabase::create(&url).await.unwrap();
        let postgres = TestApp::start(&setup, Some(&database)).await;
        test(&postgres).await;
        postgres.end().await;
        database.drop().await.unwrap();
    }
}

/// The same on SQLite alone, for what does not depend on the database.
pub async fn on_sqlite(setup: Setup, test: impl AsyncFn(&TestApp)) {
    let sqlite = TestApp::start(&setup, None).await;
    test(&sqlite).await;
    sqlite.end().await;
}

fn registry(stacks: bool, engine: &Arc<Engine>) -> Registry {
    match stacks {
        true => Registry::standard().with(Box::new(Stacks(engine.clone()))),
        false => Registry::standard(),
    }
}

/// A running Hangar.
pub struct TestApp {
    pub base: String,
    pub services: Arc<Services>,
    pub clock: Clock,
    pub forge: Forge,
    pub dir: tempfile::TempDir,
    pub engine: Arc<Engine>,
    stacks: bool,
    database: secrecy::SecretString,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<()>,
    pump: tokio::task::JoinHandle<()>,
    workers: Vec<tokio::task::JoinHandle<()>>,
}

/// Who has an account at the Forge: those of the demo, and `p0` to `p59`.
fn people() -> Vec<Person> {
    let more = (0..60).map(|n| Person::new(100 + n, &format!("p{n}"), &format!("Person {n}")));
    ForgeConfig::default().people.into_iter().chain(more).collect()
}

impl TestApp {
    async fn start(setup: &Setup, scratch: Option<&ScratchDatabase>) -> Self {
        crate::log::keep();
        let dir = tempfile::tempdir().unwrap();
        let forge = Forge::start(ForgeConfig {
            client_id: "hangar".to_owned(),
            client_secret: CLIENT_SECRET.to_owned(),
            people: people(),
            ..ForgeConfig::default()
        })
        .await
        .unwrap();
        let mut env = setup.env.clone();
        env.insert("HANGAR_DATA_DIR", dir.path().display().to_string());
        env.insert("HANGAR_LISTEN", "127.0.0.1:0".to_owned());
        if env.get("HANGAR_FORGE_CLIENT_ID").is_some_and(|id| !id.is_empty()) {
            env.insert("HANGAR_FORGE_URL", forge.url());
            env.insert("HANGAR_FORGE_CLIENT_SECRET", CLIENT_SECRET.to_owned());
        }
        if let Some(scratch) = scratch {
            env.insert("HANGAR_DATABASE_URL", scratch.url());
        }
        let sources = Sources::gather(&BTreeMap::new(), |name| env.get(name).cloned(), None);
        let mut config = Config::load(&sources, Mode::Serve, &Kinds).unwrap();
        let listener = tokio::net::TcpListener::bind(config.http.listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        config.http.bound(address);

        let database = config.database.url.clone();
        let store = Store::open(secrecy::ExposeSecret::expose_secret(&database)).await.unwrap();
        store.migrate().await.unwrap();
        let clock = Clock::simulated(Timestamp::parse("2026-11-20T04:30:00Z").unwrap());
        let keyring = Keyring::load_or_create(&dir.path().join("keyring")).unwrap();
        let settings = Settings {
            preselected_kind: config.providers.preselected.clone(),
            admin_forge_users: config.forge.admin_users.clone(),
            signup: match config.forge.signup {
                server::config::Signup::Open => Signup::Open,
                server::config::Signup::Closed => Signup::Closed,
            },
            deployer_url: config.pool.deployer_url.clone(),
            provisioner_demo: config.pool.provisioner_demo,
            forge_configured: config.forge.client.is_some(),
            secret_login: config.secrets.admin.is_some(),
            demo: None,
            data_dir: dir.path().to_owned(),
            backup_dir: dir.path().join("backups"),
            work_dir: dir.path().join("work"),
            work: setup.work.clone().unwrap_or_default(),
        };
        let pool = config.pool.vm_pool_json.clone();
        let engine = Arc::<Engine>::default();
        let known = registry(setup.stacks, &engine);
        let services =
            Services::start_with(known, store, clock.clone(), keyring, settings, pool.as_deref()).await.unwrap();
        let pump = tokio::spawn(services.clone().pump_events());
        let stop = CancellationToken::new();
        let state = AppState::new(services.clone(), Arc::new(config), stop.clone()).unwrap();
        let app = router(state).into_make_service_with_connect_info::<SocketAddr>();
        let ended = stop.clone();
        let served = tokio::spawn(async move {
            axum::serve(listener, app).with_graceful_shutdown(async move { ended.cancelled().await }).await.unwrap();
        });
        let mut app = Self {
            base: format!("http://{address}"),
            services,
            clock,
            forge,
            dir,
            engine,
            stacks: setup.stacks,
            database,
            stop,
            served,
            pump,
            workers: Vec::new(),
        };
        if setup.work.is_some() && !setup.idle {
            app.workers.push(app.worker());
        }
        app
    }

    /// Hangar begins anew over the same database and is left at once.
    pub async fn started_again(&self, vm_pool_json: Option<&str>) -> Result<(), server::fault::Fault> {
        let keyring = Keyring::load_or_create(&self.dir.path().join("keyring")).unwrap();
        let settings = self.services.settings().clone();
        let store = self.services.store().clone();
        let known = registry(self.stacks, &self.engine);
        Services::start_with(known, store, self.clock.clone(), keyring, settings, vm_pool_json).await.map(drop)
    }

    /// What another process over the same database decides with, over connections of its own. Close
    /// its store when done.
    pub async fn another(&self) -> Arc<Services> {
        let keyring = Keyring::load_or_create(&self.dir.path().join("keyring")).unwrap();
        let store = Store::open(secrecy::ExposeSecret::expose_secret(&self.database)).await.unwrap();
        let known = registry(self.stacks, &self.engine);
        let settings = self.services.settings().clone();
        Services::start_with(known, store, self.clock.clone(), keyring, settings, None).await.unwrap()
    }

    /// The next look at every account.
    pub async fn observed(&self) {
        self.advance(domain::time::MINUTE).await;
        self.services.accounts_observe_due().await.unwrap();
    }

    /// One more worker over the same database; it ends with the application.
    pub fn worker(&self) -> tokio::task::JoinHandle<()> {
        tokio::spawn(Runner::new(self.services.clone(), self.stop.clone()).run())
    }

    /// Lets run what the clock starts until `done` has come about.
    pub async fn watched<T>(&self, done: impl Future<Output = T>) -> T {
        let stop = CancellationToken::new();
        let sweeps = tokio::spawn(watch(self.services.clone(), std::time::Duration::from_secs(1), stop.clone()));
        let outcome = done.await;
        stop.cancel();
        sweeps.await.unwrap();
        outcome
    }

    /// Moves the simulated clock, and wakes whoever waits for work.
    pub async fn advance(&self, span: Millis) {
        self.clock.advance(span);
        self.services
            .store()
            .write::<(), StoreError, _>(|c| {
                Box::pin(async move {
                    let tick = LiveEvent { kind: "clock".to_owned(), id: "clock".to_owned(), version: 1 };
                    c.event_insert(&[(tick, None)]).await
                })
            })
            .await
            .unwrap();
    }

    /// Waits until `path`, as an administrator reads it, answers something that `fits`.
    pub async fn until(&self, path: &str, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        self.until_within(std::time::Duration::from_secs(60), path, what, fits).await
    }

    /// The same with another limit.
    pub async fn until_within(
        &self,
        limit: std::time::Duration,
        path: &str,
        what: &str,
        fits: impl Fn(&Value) -> bool,
    ) -> Value {
        let admin = self.admin();
        let mut changes = self.services.store().wakeups();
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            changes.borrow_and_update();
            let reply = admin.get(path).await;
            assert_eq!(reply.status, 200, "{path}: {}", reply.body);
            let value = reply.json();
            if fits(&value) {
                return value;
            }
            let changed = tokio::time::timeout_at(deadline, changes.changed()).await;
            assert!(changed.is_ok(), "{path} never was {what}: {value:#}");
        }
    }

    /// Waits until a node is in `state` and no job works on it.
    pub async fn node_is(&self, id: &str, state: &str) -> Value {
        self.until(&format!("/api/v1/nodes/{id}"), state, |n| n["state"] == state).await
    }

    /// Waits until a job has ended as `status`.
    pub async fn job_is(&self, id: &str, status: &str) -> Value {
        self.until(&format!("/api/v1/jobs/{id}"), status, |j| j["status"] == status).await
    }

    /// Ends the server; also proves that it does end.
    async fn end(self) {
        self.stop.cancel();
        self.served.await.unwrap();
        for worker in self.workers {
            worker.await.unwrap();
        }
        self.pump.abort();
        self.services.store().close().await;
        self.forge.shutdown().await;
    }

    /// Tells the server to end and waits until it has.
    pub fn begin_end(&self) {
        self.stop.cancel();
    }

    /// Nobody.
    pub fn anon(&self) -> Client {
        Client::new(&self.base)
    }

    /// The administrator, by the secret in a header.
    pub fn admin(&self) -> Client {
        self.anon().with_header(header::AUTHORIZATION, &format!("Bearer {SECRET}"))
    }

    /// The administrator, by the secret in the browser.
    pub async fn admin_in_browser(&self) -> Client {
        let client = self.anon();
        let reply = client.form("/auth/secret", &[("secret", SECRET)]).await;
        assert_eq!((reply.status, reply.location()), (303, "/"), "{}", reply.body);
        client
    }

    /// A person, signed in by the Forge.
    pub async fn signed_in(&self, login: &str) -> Client {
        let client = self.anon();
        let reply = self.by_forge(&client, login, "/").await;
        assert_eq!((reply.status, reply.location()), (303, "/"), "{}", reply.body);
        client
    }

    /// A person.
    pub async fn user(&self) -> Client {
        self.signed_in("ada").await
    }

    /// Another person.
    pub async fn other_user(&self) -> Client {
        self.signed_in("grace").await
    }

    /// Walks through the sign-in by the Forge; the answer of the callback.
    pub async fn by_forge(&self, client: &Client, login: &str, next: &str) -> Reply {
        let start = client.get(&format!("/auth/forge/start?next={next}")).await;
        assert_eq!(start.status, 303, "{}", start.body);
        let back = self.at_forge(start.location(), login).await;
        client.get(&back).await
    }

    /// What the Forge sends the browser back with, as a path here.
    pub async fn at_forge(&self, authorize: &str, login: &str) -> String {
        let reply = Client::new(&self.forge.url()).get_url(&format!("{authorize}&login={login}")).await;
        assert_eq!(reply.status, 302, "{}", reply.body);
        reply.location().strip_prefix(&self.base).unwrap().to_owned()
    }
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: header::HeaderMap,
    pub body: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    pub fn location(&self) -> &str {
        self.header("location")
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    /// The body is a problem of this status and code.
    #[track_caller]
    pub fn is_problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.body);
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["request_id"], self.header("x-request-id"), "{problem}");
        problem
    }
}

/// A caller that keeps its session cookie and follows no redirect.
pub struct Client {
    base: String,
    http: reqwest::Client,
    header: Option<(header::HeaderName, String)>,
    cookie: Mutex<Option<String>>,
}

impl Client {
    fn new(base: &str) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        Self { base: base.to_owned(), http, header: None, cookie: Mutex::default() }
    }

    /// The same caller with this header.
    pub fn with_header(self, name: header::HeaderName, value: &str) -> Self {
        Self { header: Some((name, value.to_owned())), ..self }
    }

    /// The session cookie's value.
    pub fn session(&self) -> Option<String> {
        self.cookie.lock().unwrap().clone()
    }

    /// Another caller with this session cookie.
    pub fn with_session(&self, value: Option<String>) -> Self {
        Self { cookie: Mutex::new(value), ..Self::new(&self.base) }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, |r| r).await
    }

    pub async fn get_url(&self, url: &str) -> Reply {
        reply(self.http.get(url).send().await.unwrap()).await
    }

    /// As a browser opens a page.
    pub async fn open(&self, path: &str) -> Reply {
        self.send(Method::GET, path, |r| r.header("accept", "text/html,application/xhtml+xml")).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, |r| r.json(&body)).await
    }

    pub async fn method(&self, method: &str, path: &str, body: Value) -> Reply {
        self.send(method.parse().unwrap(), path, |r| r.json(&body)).await
    }

    pub async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.send(Method::POST, path, |r| r.header("accept", "text/html").form(fields)).await
    }

    /// Any request.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        more: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> Reply {
        reply(self.stream(method, path, more).await).await
    }

    /// Any request, its answer not read.
    pub async fn stream(
        &self,
        method: Method,
        path: &str,
        more: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> reqwest::Response {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some((name, value)) = &self.header {
            request = request.header(name, value);
        }
        if let Some(cookie) = self.session() {
            request = request.header(header::COOKIE, format!("{SESSION_COOKIE}={cookie}"));
        }
        let response = more(request).send().await.unwrap();
        for set in response.headers().get_all(header::SET_COOKIE) {
            let set = set.to_str().unwrap();
            if let Some(rest) = set.strip_prefix(&format!("{SESSION_COOKIE}=")) {
                let value = rest.split(';').next().unwrap();
                let ended = value.is_empty() || set.contains("Max-Age=0");
                *self.cookie.lock().unwrap() = (!ended).then(|| value.to_owned());
            }
        }
        response
    }
}

async fn reply(response: reqwest::Response) -> Reply {
    Reply {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: response.text().await.unwrap(),
    }
}
