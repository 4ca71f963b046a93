//! What Compose is given: the blueprint's file written anew, our own document over it, and the file
//! of variables. Rule: nobody but Hangar's own account can read them, and they are gone when the
//! verb has ended.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use domain::{blueprint::ServiceRole, code::Code};
use serde_json::{Map, Value, json};

use super::{
    core::Core,
    labels::{self, Owner},
    model::Model,
    rules, variables,
};
use crate::{error::ProviderError, infra::StackWish};

pub(super) const BASE: &str = "base.json";
pub(super) const OVERRIDE: &str = "override.json";
pub(super) const ENV: &str = "variables.env";

/// A stack that can be made: judged, with its values.
pub(super) struct Plan {
    pub(super) model: Model,
    pub(super) owner: Owner,
    pub(super) project: String,
    /// Services whose image is not what its name stands for now, with the engine's id of it.
    pins: BTreeMap<String, String>,
    /// Volumes without a name that services have again, with where: by service.
    mounts: BTreeMap<String, Vec<(String, String)>>,
    /// Everything that the file refers to; secrets too.
    values: BTreeMap<String, String>,
    secrets: Vec<String>,
}

impl Plan {
    /// Judges a stack anew: rules may have grown since its blueprint was stored.
    pub(super) fn new(core: &Core, stack: &StackWish, owner: Owner, project: String) -> Result<Self, ProviderError> {
        let model = rules::model_of(&stack.blueprint).map_err(|errors| {
            let first = errors.first().map_or_else(String::new, |it| format!(" ({})", it.pointer));
            let message = format!("The blueprint cannot be run as it is stored{first}; store a corrected version.");
            ProviderError::new(Code::ProviderInvalidRequest, message)
        })?;
        let wrong = |message: String| Err(ProviderError::new(Code::ProviderInvalidRequest, message));
        if !domain::blueprint::is_tag(&stack.tag) {
            return wrong("The version of the stack cannot be one.".to_owned());
        }
        let mut values = BTreeMap::new();
        for variable in &stack.blueprint.variables {
            let given = if variable.generate { &stack.secrets } else { &stack.variables };
            let value = given.get(&variable.name).or(variable.default.as_ref());
            match value {
                Some(value) if !value.chars().any(char::is_control) => {
                    values.insert(variable.name.clone(), value.clone());
                }
                _ => return wrong(format!("The variable {} of the stack has no value in one line.", variable.name)),
            }
        }
        let own = [stack.tag.clone(), owner.node_id.clone(), core.settings.public_host.clone()];
        values.extend(variables::OWN.map(str::to_owned).into_iter().zip(own));
        for service in &model.services {
            if !variables::is_image(&variables::filled(&service.image, &values)) {
                let names = variables::references(&service.image).unwrap_or_default().join(", ");
                let with = if names.is_empty() { names } else { format!(" with what {names} stands for") };
                return wrong(format!("The image of the service {} cannot be one{with}.", service.told.name));
            }
        }
        let secrets = stack.secrets.values().cloned().collect();
        Ok(Self { model, owner, project, pins: BTreeMap::new(), mounts: BTreeMap::new(), values, secrets })
    }

    /// What must not be seen of what a command prints.
    pub(super) fn secrets(&self) -> Vec<&str> {
        self.secrets.iter().map(String::as_str).collect()
    }

    /// Each service with its image's name.
    pub(super) fn images(&self) -> Vec<(&str, String)> {
        let image = |text: &str| variables::filled(text, &self.values);
        self.model.services.iter().map(|it| (it.told.name.as_str(), image(&it.image))).collect()
    }

    /// Those of the application services whose image is not known by its id.
    pub(super) fn application_images(&self) -> Vec<(&str, String)> {
        let is_wanted =
            |name: &str| self.model.applications().any(|it| it.told.name == name) && !self.pins.contains_key(name);
        self.images().into_iter().filter(|(name, _)| is_wanted(name)).collect()
    }

    /// Has a service made from an image by its id, whatever its name stands for.
    pub(super) fn pin(&mut self, service: &str, image_id: String) {
        self.pins.insert(service.to_owned(), image_id);
    }

    /// Has a service keep a volume that is there and has no name of the file's.
    pub(super) fn mount(&mut self, service: &str, path: String, volume: String) {
        self.mounts.entry(service.to_owned()).or_default().push((path, volume));
    }

    /// Writes the files, for as long as what comes back lives.
    pub(super) fn written(&self, core: &Core) -> Result<Written, ProviderError> {
        let write = || -> io::Result<Written> {
            let written = Written { folder: folder_in(&core.work_dir.join(&self.project))? };
            private(&written.folder.join(BASE), &self.model.document.to_string())?;
            private(&written.folder.join(OVERRIDE), &self.over().to_string())?;
            private(&written.folder.join(ENV), &variables::env_file(&self.values))?;
            Ok(written)
        };
        write().map_err(|error| {
            let message = "The stack's files cannot be written on Hangar's own disk.";
            ProviderError::new(Code::ProviderAcquisitionUnavailable, message).with_source(error)
        })
    }

    /// Our document over the blueprint's: labels and limits.
    fn over(&self) -> Value {
        let common = self.owner.labels();
        let labelled = |more: &[(&str, String)]| {
            let mut all = common.clone();
            all.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
            json!(all)
        };
        let names = self.model.services.iter().map(|it| format!("{}:{}", it.told.name, role(it.told.role)));
        let names: Vec<_> = names.collect();
        let names = names.join(",");
        let mut services = Map::new();
        for service in &self.model.services {
            let told = &service.told;
            let mut more = vec![
                (labels::ROLE, role(told.role).to_owned()),
                (labels::SERVICE, told.name.clone()),
                (labels::SERVICES, names.clone()),
            ];
            if told.role == ServiceRole::Application {
                more.push((labels::TAG, self.values.get(variables::OWN[0]).cloned().unwrap_or_default()));
            }
            // Also where there is none: an image may have labels of its own.
            let cockpit = self.model.cockpit.as_ref().filter(|(name, _)| *name == told.name);
            more.push((labels::COCKPIT, cockpit.map_or_else(String::new, |(_, port)| port.to_string())));
            let mut one = json!({"labels": labelled(&more)});
            if let Some(mib) = told.memory_mib {
                one["mem_limit"] = json!(format!("{mib}m"));
            }
            if let Some(millis) = told.cpu_millis {
                one["cpus"] = json!(f64::from(millis) / 1000.0);
            }
            if let Some(image) = self.pins.get(&told.name) {
                one["image"] = json!(image);
            }
            if let Some(mounts) = self.mounts.get(&told.name) {
                let mount = |(path, volume): &(String, String)| json!({"type": "volume", "source": outside(volume), "target": path});
                one["volumes"] = mounts.iter().map(mount).collect();
            }
            services.insert(told.name.clone(), one);
        }
        let mounted = self.mounts.values().flatten();
        let mounted = mounted.map(|(_, volume)| (outside(volume), json!({"external": true, "name": volume})));
        let volumes: Map<_, _> = self
            .model
            .volumes
            .iter()
            .map(|(name, of)| (name.clone(), json!({"labels": labelled(&[(labels::ROLE, role(*of).to_owned())])})))
            .chain(mounted)
            .collect();
        let networks: Map<_, _> =
            self.model.networks.iter().map(|name| (name.clone(), json!({"labels": labelled(&[])}))).collect();
        json!({"services": services, "volumes": volumes, "networks": networks})
    }
}

/// What a volume that is there already is called in our document.
fn outside(volume: &str) -> String {
    format!("hangar-{volume}")
}

fn role(role: ServiceRole) -> &'static str {
    match role {
        ServiceRole::Application => labels::APPLICATION,
        ServiceRole::Data => labels::DATA,
    }
}

fn private(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

/// A folder of the call's own in the project's: a run that lost its job may still be ending when
/// another has taken it up.
fn folder_in(project: &Path) -> io::Result<PathBuf> {
    let mut tries = 3;
    loop {
        tries -= 1;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(project)?;
        let mut builder = tempfile::Builder::new();
        match builder.prefix("call-").permissions(fs::Permissions::from_mode(0o700)).tempdir_in(project) {
            // Another call, whose folder was the last, has taken the project's away.
            Err(error) if error.kind() == io::ErrorKind::NotFound && tries > 0 => {}
            made => return made.map(tempfile::TempDir::keep),
        }
    }
}

/// Removes what runs that were killed left of a project's files, with its secrets.
pub(super) async fn removed(core: &Core, project: &str) {
    let folder = core.work_dir.join(project);
    let gone = tokio::task::spawn_blocking(move || fs::remove_dir_all(folder)).await;
    match gone.map_err(io::Error::other).and_then(|gone| gone) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, "the files that an earlier run left of a stack were not removed");
        }
        _ => {}
    }
}

/// The folder with the files, which goes when this does.
pub(super) struct Written {
    folder: PathBuf,
}

impl Written {
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, "the files of a stack were not removed");
        }
        // The project's own stays while another call has one in it.
        if let Some(project) = self.folder.parent()
            && let Err(error) = fs::remove_dir(project)
            && !matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound)
        {
            tracing::warn!(%error, "the folder of a stack's files was not removed");
        }
    }
}
