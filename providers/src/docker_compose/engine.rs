//! Reads the engine through its API, and takes single things away. Rule: every call has a time
//! limit, and what the engine no longer has is `None` and no error.

use std::{collections::HashMap, ops::Deref, path::PathBuf, sync::Arc, time::Duration};

use bollard::{
    API_DEFAULT_VERSION, Docker,
    errors::Error as EngineError,
    models::{
        ContainerInspectResponse, ContainerStatsResponse, ContainerSummary, EventMessage, Network, SystemVersion,
        Volume,
    },
    query_parameters::{
        EventsOptionsBuilder, ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
        RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder, StatsOptionsBuilder,
    },
};
use domain::{
    code::Code,
    time::{SECOND, Timestamp},
};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use tokio::{sync::Mutex, time::timeout};

use super::{
    errors::{engine_error, is_gone, login_error},
    settings::Host,
    tunnel::{Tunnel, Words},
};
use crate::{
    adapter::Timeouts,
    error::{Effect, ProviderError},
};

/// How long the library waits for an answer at most; each call has a shorter limit of its own.
const ANSWER_MOST: Duration = Duration::from_secs(24 * 3600);

pub(super) struct Engine {
    host: Host,
    timeouts: Timeouts,
    /// Where the way to another machine has its end.
    work_dir: PathBuf,
    open: Mutex<Option<Line>>,
    words: Words,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("host", &self.host).finish_non_exhaustive()
    }
}

/// A way to the engine whose version is agreed on. Whoever holds it keeps it open.
#[derive(Clone)]
pub(super) struct Line {
    docker: Docker,
    _tunnel: Option<Arc<Tunnel>>,
}

impl Deref for Line {
    type Target = Docker;

    fn deref(&self) -> &Docker {
        &self.docker
    }
}

impl Engine {
    pub(super) fn new(host: Host, timeouts: Timeouts, work_dir: PathBuf) -> Self {
        Self { host, timeouts, work_dir, open: Mutex::new(None), words: Words::default() }
    }

    /// The library's handle. An engine may be replaced by an older one: what is agreed on is
    /// forgotten when a call fails.
    pub(super) async fn docker(&self) -> Result<Line, ProviderError> {
        let mut open = self.open.lock().await;
        if let Some(line) = open.as_ref() {
            return Ok(line.clone());
        }
        let seconds = ANSWER_MOST.as_secs();
        let mut tunnel = None;
        let docker = match &self.host {
            Host::Unix { path } => Docker::connect_with_unix(path, seconds, API_DEFAULT_VERSION),
            Host::Tcp { .. } => Docker::connect_with_http(&self.host.variable(), seconds, API_DEFAULT_VERSION),
            Host::Ssh { .. } => {
                let made = Tunnel::open(&self.host, &self.work_dir, self.timeouts.read, self.words.clone())
                    .map_err(|error| engine_error(EngineError::IOError { err: error }, Effect::None))?;
                let docker = Docker::connect_with_unix(&made.path(), seconds, API_DEFAULT_VERSION);
                tunnel = Some(Arc::new(made));
                docker
            }
        };
        let docker = docker.map_err(|error| engine_error(error, Effect::None))?;
        let docker = self.limited(Effect::None, docker.negotiate_version()).await?;
        let line = Line { docker, _tunnel: tunnel };
        *open = Some(line.clone());
        Ok(line)
    }

    async fn limited<T>(
        &self,
        effect: Effect,
        call: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, ProviderError> {
        self.within(self.timeouts.read, effect, call).await
    }

    pub(super) async fn within<T>(
        &self,
        most: Duration,
        effect: Effect,
        call: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, ProviderError> {
        let told = timeout(most, call).await.unwrap_or(Err(EngineError::RequestTimeoutError));
        told.map_err(|error| {
            let error = engine_error(error, effect);
            let words = if error.code == Code::ProviderUnreachable { self.words.text() } else { None };
            login_error(error, words.as_deref())
        })
    }

    /// A read, whose failure makes the next call open a new way.
    async fn read<T, F>(&self, call: impl FnOnce(Docker) -> F) -> Result<T, ProviderError>
    where
        F: Future<Output = Result<T, EngineError>>,
    {
        let line = self.docker().await?;
        let told = self.limited(Effect::None, call(line.docker.clone())).await;
        if told.as_ref().is_err_and(ProviderError::is_transient) {
            *self.open.lock().await = None;
        }
        told
    }

    pub(super) async fn version(&self) -> Result<SystemVersion, ProviderError> {
        self.read(|docker| async move { docker.version().await }).await
    }

    /// Whether it answers now.
    pub(super) async fn answers(&self) -> bool {
        self.read(|docker| async move { docker.ping().await }).await.is_ok()
    }

    /// The containers with a label, running or not.
    pub(super) async fn containers(&self, label: &str) -> Result<Vec<ContainerSummary>, ProviderError> {
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters(label)).build();
        self.read(|docker| async move { docker.list_containers(Some(options)).await }).await
    }

    pub(super) async fn volumes(&self, label: &str) -> Result<Vec<Volume>, ProviderError> {
        let options = ListVolumesOptionsBuilder::default().filters(&filters(label)).build();
        let told = self.read(|docker| async move { docker.list_volumes(Some(options)).await }).await?;
        Ok(told.volumes.unwrap_or_default())
    }

    pub(super) async fn networks(&self, label: &str) -> Result<Vec<Network>, ProviderError> {
        let options = ListNetworksOptionsBuilder::default().filters(&filters(label)).build();
        self.read(|docker| async move { docker.list_networks(Some(options)).await }).await
    }

    pub(super) async fn container(&self, id: &str) -> Result<Option<ContainerInspectResponse>, ProviderError> {
        self.read(|docker| async move { there(docker.inspect_container(id, None).await) }).await
    }

    /// What a container has taken up to now. One that does not run is told without numbers.
    pub(super) async fn stats(&self, id: &str) -> Result<Option<ContainerStatsResponse>, ProviderError> {
        let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
        let told = self.read(|docker| async move {
            let mut told = docker.stats(id, Some(options)).boxed();
            there(told.try_next().await)
        });
        Ok(told.await?.flatten())
    }

    pub(super) async fn volume(&self, name: &str) -> Result<Option<Volume>, ProviderError> {
        self.read(|docker| async move { there(docker.inspect_volume(name).await) }).await
    }

    /// What happens on the engine from now on: of these types, and only what is called so.
    pub(super) async fn events(
        &self,
        types: &[&str],
        names: &[&str],
    ) -> Result<impl Stream<Item = Result<EventMessage, ProviderError>> + Send + use<>, ProviderError> {
        // The library asks for the events when they are first waited for. What happens before that is
        // told too, since the engine is asked for what came after its own present time.
        let told = self.read(|docker| async move { docker.info().await }).await?;
        let now = told.system_time.and_then(|now| Timestamp::parse(&now));
        let filters = HashMap::from([("type", types.to_vec()), ("event", names.to_vec())]);
        let mut options = EventsOptionsBuilder::default().filters(&filters);
        if let Some(now) = now {
            options = options.since(&(now.millis() / SECOND).to_string());
        }
        let line = self.docker().await?;
        let events = line.docker.events(Some(options.build()));
        Ok(events.map(move |event| {
            // The way to the engine lasts as long as its events are listened to.
            let _way = &line;
            event.map_err(|error| engine_error(error, Effect::None))
        }))
    }

    /// The networks of a name, of which there may be several.
    pub(super) async fn networks_named(&self, name: &str) -> Result<Vec<Network>, ProviderError> {
        let filters = HashMap::from([("name", vec![name])]);
        let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
        let told = self.read(|docker| async move { docker.list_networks(Some(options)).await }).await?;
        // The engine's filter finds parts of names as well.
        Ok(told.into_iter().filter(|it| it.name.as_deref() == Some(name)).collect())
    }

    pub(super) async fn has_image(&self, name: &str) -> Result<bool, ProviderError> {
        self.image_id(name).await.map(|id| id.is_some())
    }

    /// The id of the image that a name stands for now.
    pub(super) async fn image_id(&self, name: &str) -> Result<Option<String>, ProviderError> {
        let told = self.read(|docker| async move { there(docker.inspect_image(name).await) }).await;
        match told {
            Ok(image) => Ok(image.map(|it| it.id.unwrap_or_default())),
            // Names that cannot be one; what pulls it will say so.
            Err(error) if error.code == Code::ProviderInvalidRequest => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes a container away, running or not, with the volumes that have no name.
    pub(super) async fn container_remove(&self, id: &str) -> Result<(), ProviderError> {
        let docker = self.docker().await?;
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let call = async { there(docker.remove_container(id, Some(options)).await).map(drop) };
        self.within(self.timeouts.write, Effect::Unknown, call).await
    }

    pub(super) async fn volume_remove(&self, name: &str) -> Result<(), ProviderError> {
        let docker = self.docker().await?;
        let options = RemoveVolumeOptionsBuilder::default().build();
        let call = async { there(docker.remove_volume(name, Some(options)).await).map(drop) };
        self.within(self.timeouts.write, Effect::Unknown, call).await
    }

    pub(super) async fn network_remove(&self, id: &str) -> Result<(), ProviderError> {
        let docker = self.docker().await?;
        let call = async { there(docker.remove_network(id).await).map(drop) };
        self.within(self.timeouts.write, Effect::Unknown, call).await.map_err(|mut error| {
            // So the engine says that something is attached to it.
            if error.code == Code::ProviderCredentialRejected {
                error.code = Code::ProviderLocked;
                error.message = "Something that is not part of the stack is attached to its network.".to_owned();
            }
            error
        })
    }
}

fn filters(label: &str) -> HashMap<&'static str, Vec<&str>> {
    HashMap::from([("label", vec![label])])
}

fn there<T>(told: Result<T, EngineError>) -> Result<Option<T>, EngineError> {
    match told {
        Ok(told) => Ok(Some(told)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
