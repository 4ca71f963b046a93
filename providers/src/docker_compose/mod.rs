//! Compose stacks on a Docker Engine.
//!
//! `settings` says where the engine is, `engine` reads it through its API, `command` runs
//! `docker compose`, `former` are those runs that outlived Hangar's process, `errors` is the one
//! table of what goes wrong, `tunnel` reaches an engine over SSH. `yaml` reads a blueprint's file;
//! `rules` and their `fields` judge it, of which those in `outward` touch the host and those in
//! `together` other services; `model` is what is left of it, `variables` are what is put into it;
//! `files` is what Compose is given. `stack` is a project as the engine has it, `labels` say what is
//! ours, `events` what the engine tells by itself, `usage` what its services take. On these stand the
//! verbs: `provision`, `destroy`, `power`, `upgrade` with `health` and the `nameless` volumes, `exec`,
//! `backup` with `archive`.
//! Rule: the words of Docker and Compose stay in here, and nothing of a blueprint reaches Compose that
//! was not read and judged first.

mod account;
mod archive;
mod backup;
mod command;
mod core;
mod destroy;
mod engine;
mod errors;
mod events;
mod exec;
mod fields;
mod files;
mod former;
mod health;
mod labels;
mod model;
mod nameless;
mod outward;
mod power;
mod provision;
mod rules;
mod schemas;
mod settings;
mod stack;
mod together;
mod tunnel;
mod upgrade;
mod usage;
mod variables;
mod yaml;

use std::{collections::BTreeMap, sync::Arc};

use domain::{
    blueprint::BlueprintDefinition,
    code::Code,
    list::FieldError,
    provider::{Capability, OperationSchema},
};
use serde_json::Value;

use crate::{
    adapter::{Account, AccountAccess, ProviderAdapter},
    error::ProviderError,
    schema,
};

/// The adapter to Docker Compose on an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DockerComposeAdapter;

impl ProviderAdapter for DockerComposeAdapter {
    fn kind(&self) -> &'static str {
        "docker-compose"
    }

    fn display_name(&self) -> &'static str {
        "Docker Compose"
    }

    fn capabilities(&self) -> &'static [Capability] {
        use Capability as C;
        &[C::Provision, C::Destroy, C::Suspend, C::Resume, C::Upgrade, C::HealthCheck, C::Exec]
    }

    fn settings_schema(&self) -> Value {
        schemas::settings()
    }

    fn secret_schema(&self) -> Value {
        schemas::secret()
    }

    fn operations(&self) -> BTreeMap<String, OperationSchema> {
        schemas::operations()
    }

    fn validate(&self, settings: &Value, secret: Option<&Value>) -> Result<(), Vec<FieldError>> {
        let mut errors = schema::errors(&schemas::settings(), settings, "/settings");
        if errors.is_empty() {
            errors.extend(settings::Settings::read(settings).err().unwrap_or_default());
        }
        // There is none to be had: the form sends an empty object.
        if let Some(secret) = secret.filter(|secret| !secret.is_null()) {
            errors.extend(schema::errors(&schemas::secret(), secret, "/secret"));
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn has_blueprints(&self) -> bool {
        true
    }

    fn blueprint_check(&self, blueprint: &BlueprintDefinition) -> Result<(), Vec<FieldError>> {
        rules::model_of(blueprint).map(drop)
    }

    fn blueprint_claims(&self, blueprint: &BlueprintDefinition) -> Vec<String> {
        rules::model_of(blueprint).map(|model| model.claims()).unwrap_or_default()
    }

    fn open(&self, access: AccountAccess) -> Result<Arc<dyn Account>, ProviderError> {
        let settings = settings::Settings::read(&access.settings).map_err(|_| {
            ProviderError::new(Code::ProviderAcquisitionUnavailable, "The account's settings cannot be used.")
        })?;
        Ok(Arc::new(account::ComposeAccount::new(core::Core::new(settings, access))))
    }
}
