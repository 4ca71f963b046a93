//! What every handler can reach. The rule: built once by the composition root, cheap to clone.

use std::sync::Arc;

use axum::extract::FromRef;
use leptos::config::LeptosOptions;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    http::{
        assets::Site,
        auth::{AdminAuth, ForgeLogin},
        idempotency::InProgress,
        metrics::Metrics,
        request_id::RequestIds,
        session::Sessions,
    },
    services::Services,
};

/// What every handler can reach. Each layer of each request clones it.
#[derive(Clone)]
pub struct AppState(Arc<Shared>);

/// What stands behind [`AppState`].
pub struct Shared {
    /// The decisions.
    pub services: Arc<Services>,
    /// The configuration, with the bound address in it.
    pub config: Arc<Config>,
    /// The admin secret.
    pub admin: Arc<AdminAuth>,
    /// The Forge, when one is configured.
    pub forge: Option<Arc<ForgeLogin>>,
    /// Cancelled when the server ends: streams end with it.
    pub shutdown: CancellationToken,
    pub(crate) sessions: Sessions,
    pub(crate) ports: app::ports::Ports,
    pub(crate) site: Arc<Site>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) request_ids: Arc<RequestIds>,
    pub(crate) in_progress: Arc<InProgress>,
    pub(crate) openapi: Arc<std::sync::OnceLock<bytes::Bytes>>,
    leptos: LeptosOptions,
}

/// Why the HTTP side cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The admin secret could not be hashed.
    #[error(transparent)]
    Secret(#[from] crate::http::auth::HashError),
    /// The Forge cannot be used as it is configured.
    #[error("HANGAR_FORGE_URL: the Forge sign-in cannot be set up: {0}")]
    Forge(String),
}

impl std::ops::Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl AppState {
    /// Puts the state together. `config.http` must hold the bound address, because the Forge sends
    /// people back to the public one.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn new(services: Arc<Services>, config: Arc<Config>, shutdown: CancellationToken) -> Result<Self, StateError> {
        let forge = match &config.forge.client {
            Some(client) => {
                Some(Arc::new(ForgeLogin::new(client, config.http.public_base()).map_err(StateError::Forge)?))
            }
            None => None,
        };
        Ok(Self(Arc::new(Shared {
            admin: Arc::new(AdminAuth::new(config.secrets.admin.as_ref(), |secret| services.mark(secret))?),
            forge,
            sessions: Sessions::new(services.clone()),
            ports: crate::backend::ports(services.clone()),
            site: Arc::new(Site::open(config.http.site_dir.clone())),
            metrics: Arc::new(Metrics::new()),
            request_ids: Arc::new(RequestIds::new()),
            in_progress: Arc::default(),
            openapi: Arc::default(),
            leptos: LeptosOptions::builder().output_name("hangar").build(),
            services,
            config,
            shutdown,
        })))
    }
}

impl FromRef<AppState> for LeptosOptions {
    fn from_ref(state: &AppState) -> Self {
        state.leptos.clone()
    }
}
