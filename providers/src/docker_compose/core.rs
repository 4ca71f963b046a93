//! What every verb works with: the engine, the command, and whose account it is. Rule: a project's
//! name is made here and nowhere else.

use std::path::PathBuf;

use domain::code::Code;

use super::{
    command::Compose,
    engine::Engine,
    labels::Owner,
    settings::{Settings, is_project},
};
use crate::{
    adapter::{AccountAccess, Timeouts},
    error::ProviderError,
    infra::MachineTarget,
};

/// The most bytes of a project's name, so that with a service's and a number it can be a machine's
/// name, and with a volume's one of a backup's files.
const PROJECT_MOST: usize = 100;

#[derive(Debug)]
pub(super) struct Core {
    pub(super) engine: Engine,
    pub(super) compose: Compose,
    pub(super) settings: Settings,
    pub(super) instance: String,
    pub(super) timeouts: Timeouts,
    pub(super) work_dir: PathBuf,
}

impl Core {
    pub(super) fn new(settings: Settings, access: AccountAccess) -> Self {
        let AccountAccess { instance, timeouts, work_dir, .. } = access;
        Self {
            engine: Engine::new(settings.host.clone(), timeouts, work_dir.clone()),
            compose: Compose::new(&settings.host, work_dir.clone()),
            settings,
            instance,
            timeouts,
            work_dir,
        }
    }

    /// The project of a node.
    pub(super) fn project(&self, server_name: &str) -> Result<String, ProviderError> {
        let project = format!("{}-{server_name}", self.settings.prefix);
        if is_project(server_name, PROJECT_MOST) && is_project(&project, PROJECT_MOST) {
            return Ok(project);
        }
        let message = "A stack's name must be of a-z, 0-9, - and _, beginning with a letter or digit.";
        Err(ProviderError::new(Code::ProviderInvalidRequest, message))
    }

    /// The project that a target is: the one that was made, else the one that would be.
    pub(super) fn project_of(&self, target: &MachineTarget) -> Result<String, ProviderError> {
        match &target.infra_id {
            Some(id) if is_project(id, PROJECT_MOST) => Ok(id.clone()),
            Some(_) => Err(gone()),
            None => self.project(&target.server_name),
        }
    }

    /// Waits until nothing that an earlier run began works on a project; whether such had to be
    /// killed. Only then is it worth looking at what is there.
    pub(super) async fn alone(&self, project: &str) -> Result<bool, ProviderError> {
        self.compose.alone(project, self.timeouts.action).await
    }

    pub(super) fn owner(&self, node_id: &str, server_name: &str) -> Owner {
        Owner { instance: self.instance.clone(), node_id: node_id.to_owned(), name: server_name.to_owned() }
    }
}

/// Whether it can be a project's name.
pub(super) fn is_id(infra_id: &str) -> bool {
    is_project(infra_id, PROJECT_MOST)
}

pub(super) fn gone() -> ProviderError {
    ProviderError::new(Code::ProviderResourceGone, "The engine no longer has the stack.")
}

pub(super) fn foreign() -> ProviderError {
    let message = "Something of this name exists on the engine that is not ours; it was left alone.";
    ProviderError::new(Code::ProviderNameConflict, message)
}
