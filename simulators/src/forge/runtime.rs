//! A running Forge: its socket and its state, behind one lock. Rule: codes and tokens are random,
//! live for a time, and a code is used once.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    response::Redirect,
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    authorize,
    config::{ForgeConfig, ForgeFault, Person},
    token, user,
};
use crate::{SimulatorError, net};

/// How long a code can be exchanged.
pub(super) const CODE_LIFE: Duration = Duration::from_secs(60);
/// How long an access token works; Forgejo's default is an hour.
pub(super) const TOKEN_LIFE: Duration = Duration::from_secs(3600);

/// A code that was given to a browser.
#[derive(Clone)]
pub(super) struct Grant {
    pub(super) person: u64,
    pub(super) redirect_uri: String,
    pub(super) scope: String,
    /// The S256 challenge, if the client uses PKCE.
    pub(super) challenge: Option<String>,
    pub(super) until: Instant,
}

/// An access token that was issued.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) person: u64,
    pub(super) scope: String,
    pub(super) until: Instant,
}

pub(super) struct Inner {
    pub(super) people: Vec<Person>,
    pub(super) grants: HashMap<String, Grant>,
    pub(super) tokens: HashMap<String, Token>,
    faults: Vec<(ForgeFault, u32)>,
}

impl Inner {
    /// Uses up one occurrence of the first fault that `is_it` recognises.
    pub(super) fn fault_take(&mut self, is_it: impl Fn(&ForgeFault) -> bool) -> Option<ForgeFault> {
        let (fault, left) = self.faults.iter_mut().find(|(fault, left)| *left > 0 && is_it(fault))?;
        *left -= 1;
        Some(fault.clone())
    }
}

/// What the handlers share. No `Debug`: it holds the client's secret.
pub(super) struct Shared {
    inner: Mutex<Inner>,
    pub(super) client_id: String,
    pub(super) client_secret: String,
    pub(super) redirect_uris: Vec<String>,
    pub(super) url: String,
}

pub(super) type Sim = State<Arc<Shared>>;

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits as long as a `Slow` fault says.
    pub(super) async fn slow(&self) {
        let fault = self.lock().fault_take(|it| matches!(it, ForgeFault::Slow { .. }));
        if let Some(ForgeFault::Slow { ms }) = fault {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
    }
}

/// A running Forge. It ends when dropped; `shutdown` also waits until it has.
pub struct Forge {
    shared: Arc<Shared>,
    ended: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Forge {
    /// Starts a Forge on the current tokio runtime.
    ///
    /// # Errors
    /// When the address is taken or not ours.
    pub async fn start(config: ForgeConfig) -> Result<Self, SimulatorError> {
        let failed = |source| SimulatorError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address: SocketAddr = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(Shared {
            inner: Mutex::new(Inner {
                people: config.people,
                grants: HashMap::new(),
                tokens: HashMap::new(),
                faults: Vec::new(),
            }),
            client_id: config.client_id,
            client_secret: config.client_secret,
            redirect_uris: config.redirect_uris,
            url: format!("http://{address}"),
        });
        let router = Router::new()
            .route("/", get(|| async { Redirect::to("/.well-known/openid-configuration") }))
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/login/oauth/authorize", get(authorize::page).post(authorize::pick))
            .route("/login/oauth/access_token", post(token::exchange))
            .route("/login/oauth/userinfo", get(user::userinfo).post(user::userinfo))
            .route("/api/v1/user", get(user::user))
            .route("/control/faults", post(fault_add))
            .with_state(shared.clone());
        let ended = CancellationToken::new();
        let task = net::serve(listener, router, ended.clone());
        Ok(Self { shared, ended, task: Some(task) })
    }

    /// Its base URL, without a slash at the end.
    pub fn url(&self) -> String {
        self.shared.url.clone()
    }

    /// How many access tokens were issued and still work.
    pub fn tokens_outstanding(&self) -> usize {
        let now = Instant::now();
        self.shared.lock().tokens.values().filter(|token| token.until > now).count()
    }

    /// Adds someone, or replaces who has the same id: people can be renamed.
    pub fn add_person(&self, person: Person) {
        let mut inner = self.shared.lock();
        inner.people.retain(|it| it.id != person.id);
        inner.people.push(person);
    }

    /// Sets a fault for the next `times` requests that it concerns.
    pub fn fault(&self, fault: ForgeFault, times: u32) {
        self.shared.lock().faults.push((fault, times));
    }

    /// Removes every fault.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// Ends the Forge and waits until its port is free.
    pub async fn shutdown(mut self) {
        self.ended.cancel();
        if let Some(task) = self.task.take() {
            // A task that panicked has ended as well.
            let _ = task.await;
        }
    }
}

impl Drop for Forge {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}

async fn discovery(State(shared): Sim) -> Json<Value> {
    let url = &shared.url;
    Json(json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/login/oauth/authorize"),
        "token_endpoint": format!("{url}/login/oauth/access_token"),
        "userinfo_endpoint": format!("{url}/login/oauth/userinfo"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "grant_types_supported": ["authorization_code"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["openid", "profile", "email", "groups"],
        "claims_supported": ["sub", "name", "preferred_username", "email", "groups"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    }))
}

#[derive(serde::Deserialize)]
struct FaultRequest {
    fault: ForgeFault,
    #[serde(default = "one")]
    times: u32,
}

fn one() -> u32 {
    1
}

async fn fault_add(State(shared): Sim, Json(it): Json<FaultRequest>) -> axum::http::StatusCode {
    shared.lock().faults.push((it.fault, it.times));
    axum::http::StatusCode::CREATED
}
