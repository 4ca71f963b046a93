//! What Compose is given: the blueprint's file written anew, our own document over it, and the file
//! of variables. Rule: nobody but Hangar's own account can read them, and they are gone when the
//! verb has ended.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
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
        let secrets = stack.secrets.values().cloned().collect();
        Ok(Self { model, owner, project, values, secrets })
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

    /// Writes the files, for as long as what comes back lives.
    pub(super) fn written(&self, core: &Core) -> Result<Written, ProviderError> {
        let folder = core.work_dir.join(&self.project);
        let write = || -> io::Result<Written> {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&core.work_dir)?;
            if let Err(error) = fs::remove_dir_all(&folder)
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(error);
            }
            fs::DirBuilder::new().mode(0o700).create(&folder)?;
            let written = Written { folder: folder.clone() };
            private(&folder.join(BASE), &self.model.document.to_string())?;
            private(&folder.join(OVERRIDE), &self.over().to_string())?;
            private(&folder.join(ENV), &variables::env_file(&self.values))?;
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
        let names: Vec<_> = self.model.services.iter().map(|it| it.told.name.as_str()).collect();
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
            services.insert(told.name.clone(), one);
        }
        let volumes: Map<_, _> = self
            .model
            .volumes
            .iter()
            .map(|(name, of)| (name.clone(), json!({"labels": labelled(&[(labels::ROLE, role(*of).to_owned())])})))
            .collect();
        let networks: Map<_, _> =
            self.model.networks.iter().map(|name| (name.clone(), json!({"labels": labelled(&[])}))).collect();
        json!({"services": services, "volumes": volumes, "networks": networks})
    }
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
    }
}
