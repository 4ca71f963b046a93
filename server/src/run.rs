//! The composition root: what `hangar serve`, `demo`, `migrate`, `backup` and `rotate-keys` do. The
//! rule: everything is put together here once, and ends in the opposite order.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::Path,
    sync::Arc,
};

use secrecy::{ExposeSecret as _, SecretString};
use store::{Store, StoreError};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    config::{AdminSecret, Config, Mode, Signup as SignupConfig},
    demo::{Demo, DemoError},
    fault::Fault,
    http::{AppState, StateError, router},
    jobs::{Runner, watch},
    seal::{Keyring, SealError},
    services::{Services, Settings, Signup, WorkSettings},
    work_folder::WorkFolder,
};

/// Why Hangar could not start or ended in error.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The data folder cannot be used.
    #[error("HANGAR_DATA_DIR: {path} cannot be used")]
    DataDir {
        /// The folder.
        path: String,
        /// What the file system answers.
        #[source]
        source: std::io::Error,
    },
    /// Another Hangar works on the same embedded database.
    #[error("HANGAR_DATA_DIR: another Hangar is using {0}; end it, or use PostgreSQL for several processes")]
    InUse(String),
    /// The address is taken or not ours.
    #[error("HANGAR_LISTEN: {address} cannot be listened on")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system answers.
        #[source]
        source: std::io::Error,
    },
    /// The keyring cannot be used.
    #[error("HANGAR_KEYRING")]
    Keyring(#[from] SealError),
    /// The database cannot be used.
    #[error("HANGAR_DATABASE_URL")]
    Store(#[from] StoreError),
    /// The machines of `VM_POOL_JSON` are not acceptable.
    #[error("VM_POOL_JSON: {0}")]
    VmPool(String),
    /// The services did not come up.
    #[error("{0}")]
    Services(Fault),
    /// The HTTP side did not come up.
    #[error(transparent)]
    State(#[from] StateError),
    /// The demo's simulators did not come up.
    #[error(transparent)]
    Demo(#[from] DemoError),
    /// Serving ended in error.
    #[error("the server ended")]
    Serve(#[source] std::io::Error),
}

impl RunError {
    /// The exit code: 78 for a configuration that cannot be used, 1 otherwise.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::DataDir { .. } | Self::InUse(_) | Self::Keyring(_) | Self::VmPool(_) => 78,
            Self::State(StateError::Forge(_)) => 78,
            _ => 1,
        }
    }
}

/// Starts Hangar and serves until it is told to end.
///
/// # Errors
/// [`RunError`].
pub async fn serve(mut config: Config) -> Result<(), RunError> {
    prepare_data_dir(&config.database.data_dir)?;
    let store = Store::open(config.database.url.expose_secret()).await?;
    let held = match store.is_sqlite() {
        true => Some(lock(&config.database.data_dir)?),
        false => None,
    };
    store.migrate().await?;
    let work_folder = WorkFolder::take(&config.database.data_dir)
        .map_err(|source| RunError::DataDir { path: config.database.data_dir.display().to_string(), source })?;
    let keyring = keyring(&config)?;
    let listener = TcpListener::bind(config.http.listen)
        .await
        .map_err(|source| RunError::Listen { address: config.http.listen, source })?;
    if let Ok(address) = listener.local_addr() {
        config.http.bound(address);
    }
    let demo = match config.mode {
        Mode::Demo => Some(Demo::start(&mut config).await?),
        Mode::Serve => None,
    };
    let clock = Clock::system();
    if held.is_some() {
        // Nobody else can be at work on an embedded database that we alone have locked: what ran
        // when the last process ended is taken up again at once.
        store.write::<(), StoreError, _>(|c| Box::pin(async move { c.jobs_release_all().await })).await?;
    }
    let settings = settings(&config, demo.as_ref(), &work_folder);
    let services = Services::start(store.clone(), clock, keyring, settings, config.pool.vm_pool_json.as_deref())
        .await
        .map_err(|fault| match fault.code {
            domain::code::Code::BadRequest => RunError::VmPool(fault.detail),
            _ => RunError::Services(fault),
        })?;
    let stop = CancellationToken::new();
    let pump = tokio::spawn(services.clone().pump_events());
    let runner = tokio::spawn(Runner::new(services.clone(), stop.clone()).run());
    let watcher = tokio::spawn(watch(services.clone(), config.jobs.auto_release_interval, stop.clone()));
    let config = Arc::new(config);
    let state = AppState::new(services, config.clone(), stop.clone())?;
    announce(&config, demo.as_ref());
    let app = router(state).into_make_service_with_connect_info::<SocketAddr>();
    let ended = stop.clone();
    let signal = tokio::spawn(async move {
        told_to_end().await;
        tracing::info!("ending");
        stop.cancel();
    });
    let served = axum::serve(listener, app).with_graceful_shutdown(async move { ended.cancelled().await }).await;
    signal.abort();
    let _ = runner.await;
    let _ = watcher.await;
    pump.abort();
    if let Some(demo) = demo {
        demo.end().await;
    }
    store.close().await;
    drop((work_folder, held));
    served.map_err(RunError::Serve)
}

/// Brings the database up to this version and ends.
///
/// # Errors
/// [`RunError`].
pub async fn migrate(config: &Config) -> Result<(), RunError> {
    prepare_data_dir(&config.database.data_dir)?;
    let store = Store::open(config.database.url.expose_secret()).await?;
    store.migrate().await?;
    store.close().await;
    Ok(())
}

/// Writes a consistent copy of the embedded database to `to`.
///
/// # Errors
/// [`RunError`].
pub async fn backup(config: &Config, to: &Path) -> Result<(), RunError> {
    let store = Store::open(config.database.url.expose_secret()).await?;
    let outcome = store.backup(to).await;
    store.close().await;
    Ok(outcome?)
}

/// Seals every secret anew under the first key of the keyring. Where the keyring is a file, a fresh
/// key is put first; where it is `HANGAR_KEYRING`, its first key is taken.
///
/// # Errors
/// [`RunError`].
pub async fn rotate_keys(config: &Config) -> Result<u32, RunError> {
    prepare_data_dir(&config.database.data_dir)?;
    let store = Store::open(config.database.url.expose_secret()).await?;
    let held = match store.is_sqlite() {
        true => Some(lock(&config.database.data_dir)?),
        false => None,
    };
    store.migrate().await?;
    let keyring = match &config.secrets.keyring {
        Some(_) => keyring(config)?,
        None => Keyring::add_key(&config.database.data_dir.join("keyring"))?,
    };
    let sealed = crate::services::seal_anew(&store, &keyring).await.map_err(RunError::Services)?;
    store.close().await;
    drop(held);
    Ok(sealed)
}

fn keyring(config: &Config) -> Result<Keyring, RunError> {
    Ok(match &config.secrets.keyring {
        Some(text) => Keyring::parse(text.expose_secret())?,
        None => Keyring::load_or_create(&config.database.data_dir.join("keyring"))?,
    })
}

fn settings(config: &Config, demo: Option<&Demo>, work_folder: &WorkFolder) -> Settings {
    Settings {
        preselected_kind: config.providers.preselected.clone(),
        admin_forge_users: config.forge.admin_users.clone(),
        signup: match config.forge.signup {
            SignupConfig::Open => Signup::Open,
            SignupConfig::Closed => Signup::Closed,
        },
        deployer_url: config.pool.deployer_url.clone(),
        provisioner_demo: config.pool.provisioner_demo,
        forge_configured: config.forge.client.is_some(),
        secret_login: config.secrets.admin.is_some(),
        demo: demo.map(Demo::facts),
        data_dir: config.database.data_dir.clone(),
        backup_dir: config.database.backup_dir.clone(),
        work_dir: work_folder.path().to_owned(),
        work: WorkSettings {
            lease: millis(config.jobs.lease),
            back_off: config.jobs.back_off.iter().copied().map(millis).collect(),
            late_create_grace: millis(config.jobs.late_create_grace),
            name_deadline: config.jobs.name_deadline,
            observe_every: millis(config.jobs.observe_interval),
            orphan_grace: millis(config.jobs.orphan_grace),
            ..WorkSettings::default()
        },
    }
}

fn millis(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// The data folder belongs to one user alone.
fn prepare_data_dir(path: &Path) -> Result<(), RunError> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    let failed = |source| RunError::DataDir { path: path.display().to_string(), source };
    if !path.exists() {
        return fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed);
    }
    let metadata = fs::metadata(path).map_err(failed)?;
    if metadata.permissions().mode() & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "the data folder can be read by others; chmod 700 is right");
    }
    Ok(())
}

/// Only one process may work on an embedded database. The system lets go of the lock however the
/// process ends.
fn lock(data_dir: &Path) -> Result<File, RunError> {
    let path = data_dir.join("lock");
    let failed = |source| RunError::DataDir { path: path.display().to_string(), source };
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(RunError::InUse(data_dir.display().to_string())),
        Err(fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Says where Hangar is and how to get in.
#[expect(clippy::print_stdout, reason = "what a person who starts it in a terminal has to read")]
fn announce(config: &Config, demo: Option<&Demo>) {
    let address = config.http.public_base();
    tracing::info!(address, "Hangar is ready");
    match demo {
        None => println!("Hangar is ready at {address}"),
        Some(demo) => {
            println!("\nHangar's demo is ready at {address}\n");
            match (&config.secrets.admin, demo.made_secret()) {
                (_, Some(secret)) => println!("  administrator   sign in with the secret  {}", secret.expose_secret()),
                (Some(_), None) => println!("  administrator   sign in with the secret of HANGAR_ADMIN_SECRET"),
                (None, None) => {}
            }
            println!("{}", demo.explanation());
        }
    }
}

async fn told_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).ok();
    let terminated = async {
        match &mut terminate {
            Some(signal) => {
                signal.recv().await;
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

/// A fresh secret for the demo's administrator.
pub(crate) fn fresh_secret() -> Result<SecretString, SealError> {
    let mut bytes = [0_u8; 12];
    getrandom::fill(&mut bytes).map_err(|_| SealError::Randomness)?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect::<String>().into())
}

/// The admin secret of a demo that was given none.
pub(crate) fn demo_secret(config: &mut Config) -> Result<Option<SecretString>, SealError> {
    if config.secrets.admin.is_some() {
        return Ok(None);
    }
    let secret = fresh_secret()?;
    config.secrets.admin = Some(AdminSecret::Plain(secret.clone()));
    Ok(Some(secret))
}
