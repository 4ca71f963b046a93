//! Blueprints: what a stack of services is made of. The rule: a stored version never changes; a
//! node remembers which one it was made from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    id::{BackupId, NodeId, UserId},
    list::FieldError,
    time::Timestamp,
    valid::{BlueprintName, PoolName},
};

/// The most bytes of a blueprint's file.
pub const FILE_MOST: usize = 256 * 1024;

/// The most variables, and the most services, of a blueprint.
pub const ENTRIES_MOST: usize = 100;

/// The most bytes of a variable's value.
pub const VALUE_MOST: usize = 4096;

/// What a service is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ServiceRole {
    /// It can be made anew at any time: suspended, upgraded, rolled back.
    Application,
    /// It keeps what must not be lost: never suspended, its volumes are what a backup holds.
    Data,
}

/// A service of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BlueprintService {
    /// Its name in the file.
    pub name: String,
    /// What it is for.
    pub role: ServiceRole,
    /// The most memory it may take, in MiB; no limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u32>,
    /// The most of a core it may take, in thousandths; no limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_millis: Option<u32>,
}

/// Something that the file asks for by `${NAME}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BlueprintVariable {
    /// Its name: capital letters, digits and `_`, beginning with a letter; not `HANGAR_` something.
    pub name: String,
    /// What it is, for people.
    #[serde(default)]
    pub description: String,
    /// What it is when nothing is given; without it and without `generate` it must be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Whether Hangar makes a secret of its own for each node: it is kept sealed and shown nowhere.
    #[serde(default)]
    pub generate: bool,
}

/// Where the cockpit of a stack is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BlueprintCockpit {
    /// The service that serves it.
    pub service: String,
    /// The port inside the container, which the file publishes.
    pub port: u16,
}

/// What a blueprint holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BlueprintDefinition {
    /// The Compose file, up to 256 KiB. Not a place for secrets: every administrator can read it.
    /// `${HANGAR_TAG}` is the version that an upgrade changes.
    pub file: String,
    /// The services, in the order in which an upgrade makes them anew.
    pub services: Vec<BlueprintService>,
    /// What the file asks for.
    #[serde(default)]
    pub variables: Vec<BlueprintVariable>,
    /// Where its cockpit is; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cockpit: Option<BlueprintCockpit>,
    /// The version that new nodes get unless another is named.
    #[serde(default = "latest")]
    pub tag: String,
    /// Whether the file may claim fixed ports of the host.
    #[serde(default)]
    pub allow_host_ports: bool,
}

fn latest() -> String {
    "latest".to_owned()
}

/// The request for a stack: which blueprint, and what goes into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ComposeCreate {
    /// The blueprint; its newest version is taken.
    pub blueprint: BlueprintName,
    /// The values of its variables.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// The version instead of the blueprint's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Whether a pool that takes it away by itself, because it was given back or because there are too
    /// many, keeps a backup of it first. A person who destroys it is asked each time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub backup: bool,
}

/// The stack that a node is, as the API and the pages show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StackView {
    /// The blueprint that it was made from.
    pub blueprint: BlueprintName,
    /// The version of the blueprint.
    pub blueprint_version: u32,
    /// The version that it runs.
    pub tag: String,
    /// The port of its host at which its cockpit answers.
    pub cockpit_port: Option<u16>,
    /// The values of its variables, those of the blueprint's own included; no secrets.
    pub variables: BTreeMap<String, String>,
    /// Its services; empty in lists.
    pub services: Vec<BlueprintService>,
    /// The service in which a command runs that names none.
    #[serde(default)]
    pub service_preset: Option<String>,
    /// Whether it was ready once, so that its data may be somebody's.
    #[serde(default)]
    pub served: bool,
}

/// What was kept of a node before it was destroyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BackupView {
    /// Its id.
    pub id: BackupId,
    /// The node.
    pub node_id: NodeId,
    /// The node's name.
    pub node_name: String,
    /// The blueprint that the node was made from.
    pub blueprint: Option<BlueprintName>,
    /// The version of the blueprint.
    pub blueprint_version: Option<u32>,
    /// The version that the node ran.
    pub tag: Option<String>,
    /// Its files' names.
    pub files: Vec<String>,
    /// Their size together, in bytes.
    pub bytes: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether its files are not on the disk of the machine that answers.
    #[serde(default)]
    pub missing: bool,
}

/// A blueprint as the API and the pages show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BlueprintView {
    /// Its name.
    pub name: BlueprintName,
    /// The shown version.
    pub version: u32,
    /// What it holds; in lists without its file.
    pub definition: BlueprintDefinition,
    /// Live nodes made from it.
    pub nodes: u32,
    /// When this version was stored.
    pub changed_at: Timestamp,
    /// By whom.
    pub changed_by: Option<UserId>,
    /// The versions there are, the newest first; empty in lists.
    #[serde(default)]
    pub versions: Vec<BlueprintVersion>,
    /// The pools whose templates name it; empty in lists.
    #[serde(default)]
    pub pools: Vec<BlueprintPool>,
}

/// A pool whose template names a blueprint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BlueprintPool {
    /// The pool.
    pub pool: PoolName,
    /// Why nothing is acquired for it: its template does not fit the newest version.
    pub misfit: Option<String>,
}

/// One stored version of a blueprint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BlueprintVersion {
    /// Counts from 1.
    pub version: u32,
    /// When it was stored.
    pub changed_at: Timestamp,
    /// By whom.
    pub changed_by: Option<UserId>,
}

fn wrong(pointer: impl Into<String>, message: &str) -> FieldError {
    FieldError { pointer: pointer.into(), message: message.to_owned() }
}

/// What a tag must be, in words.
pub const TAG_WORDS: &str = "must be 1 to 128 of letters, digits, . _ and -, not beginning with . or -";

/// Whether it can be an image's tag.
pub fn is_tag(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Whether it can be a value: text in one line, without control characters.
fn is_value(text: &str) -> bool {
    text.len() <= VALUE_MOST && !text.chars().any(char::is_control)
}

fn is_variable(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

fn is_service(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
}

impl BlueprintDefinition {
    /// Whether something of it must not be lost.
    pub fn has_data(&self) -> bool {
        self.services.iter().any(|service| service.role == ServiceRole::Data)
    }

    /// The service in which a command runs that names none: the cockpit's, or the only one.
    pub fn service_preset(&self) -> Option<&str> {
        match (&self.cockpit, self.services.as_slice()) {
            (Some(cockpit), _) => Some(&cockpit.service),
            (None, [only]) => Some(&only.name),
            _ => None,
        }
    }

    /// What cannot be accepted of everything but the file's own content, which only the adapter
    /// that runs it can judge.
    ///
    /// # Errors
    /// Every field, with pointers such as `/variables/0/name`.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut errors = Vec::new();
        if self.file.trim().is_empty() {
            errors.push(wrong("/file", "give the Compose file"));
        }
        if self.file.len() > FILE_MOST {
            errors.push(wrong("/file", "must have at most 262,144 bytes"));
        }
        if self.services.len() > ENTRIES_MOST {
            errors.push(wrong("/services", "must have at most 100 entries"));
        }
        if self.variables.len() > ENTRIES_MOST {
            errors.push(wrong("/variables", "must have at most 100 entries"));
        }
        for (index, service) in self.services.iter().enumerate().take(ENTRIES_MOST) {
            if !is_service(&service.name) {
                let what = "must be 1 to 63 of a-z, 0-9, _ and -, beginning with a letter or digit";
                errors.push(wrong(format!("/services/{index}/name"), what));
            }
            if self.services.iter().take(index).any(|other| other.name == service.name) {
                errors.push(wrong(format!("/services/{index}/name"), "stands there twice"));
            }
            if service.memory_mib.is_some_and(|most| !(6..=1_048_576).contains(&most)) {
                errors.push(wrong(format!("/services/{index}/memory_mib"), "must be from 6 to 1,048,576"));
            }
            if service.cpu_millis.is_some_and(|most| !(10..=1_024_000).contains(&most)) {
                errors.push(wrong(format!("/services/{index}/cpu_millis"), "must be from 10 to 1,024,000"));
            }
        }
        for (index, variable) in self.variables.iter().enumerate().take(ENTRIES_MOST) {
            let pointer = format!("/variables/{index}/name");
            if !is_variable(&variable.name) {
                errors
                    .push(wrong(pointer, "must be 1 to 64 of capital letters, digits and _, beginning with a letter"));
            } else if variable.name.starts_with("HANGAR_")
                || variable.name.starts_with("COMPOSE_")
                || variable.name.starts_with("DOCKER_")
            {
                errors.push(wrong(pointer, "must not begin with HANGAR_, COMPOSE_ or DOCKER_"));
            } else if self.variables.iter().take(index).any(|other| other.name == variable.name) {
                errors.push(wrong(pointer, "stands there twice"));
            }
            if variable.description.len() > 500 || variable.description.chars().any(char::is_control) {
                errors.push(wrong(format!("/variables/{index}/description"), "must be one line of at most 500 bytes"));
            }
            if variable.default.as_deref().is_some_and(|value| !is_value(value)) {
                errors.push(wrong(format!("/variables/{index}/default"), "must be one line of at most 4,096 bytes"));
            }
            if variable.generate && variable.default.is_some() {
                errors.push(wrong(
                    format!("/variables/{index}/default"),
                    "cannot be given where Hangar makes the secret",
                ));
            }
        }
        if let Some(cockpit) = &self.cockpit {
            if !self.services.iter().any(|service| service.name == cockpit.service) {
                errors.push(wrong("/cockpit/service", "must be one of the services"));
            }
            if cockpit.port == 0 {
                errors.push(wrong("/cockpit/port", "must be from 1 to 65535"));
            }
        }
        if !is_tag(&self.tag) {
            errors.push(wrong("/tag", TAG_WORDS));
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// What a choice gives each variable that Hangar does not make itself, and the tag.
    ///
    /// # Errors
    /// Every field of the choice, with pointers such as `/variables/PORT`.
    pub fn resolve(&self, choice: &ComposeCreate) -> Result<(BTreeMap<String, String>, String), Vec<FieldError>> {
        let mut errors = Vec::new();
        for name in choice.variables.keys() {
            // The name is a stranger's: only its beginning goes into the answer.
            let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
            let pointer = format!("/variables/{}", shown.replace('~', "~0").replace('/', "~1"));
            match self.variables.iter().find(|variable| &variable.name == name) {
                None => errors.push(wrong(pointer, "is none of the blueprint's variables")),
                Some(variable) if variable.generate => {
                    errors.push(wrong(pointer, "is a secret that Hangar makes itself"));
                }
                Some(_) => {}
            }
        }
        let mut values = BTreeMap::new();
        for variable in self.variables.iter().filter(|variable| !variable.generate) {
            let pointer = format!("/variables/{}", variable.name);
            match choice.variables.get(&variable.name).or(variable.default.as_ref()) {
                None => errors.push(wrong(pointer, "must be given")),
                Some(value) if !is_value(value) => {
                    errors.push(wrong(pointer, "must be one line of at most 4,096 bytes"));
                }
                Some(value) => {
                    values.insert(variable.name.clone(), value.clone());
                }
            }
        }
        let tag = choice.tag.as_ref().unwrap_or(&self.tag);
        if !is_tag(tag) {
            errors.push(wrong("/tag", TAG_WORDS));
        }
        if errors.is_empty() { Ok((values, tag.clone())) } else { Err(errors) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> BlueprintDefinition {
        serde_json::from_value(serde_json::json!({
            "file": "services: {}",
            "services": [{"name": "web", "role": "application"}, {"name": "db", "role": "data", "memory_mib": 64}],
            "variables": [
                {"name": "TITLE", "default": "Hello"},
                {"name": "REGION"},
                {"name": "PASSWORD", "generate": true},
            ],
            "cockpit": {"service": "web", "port": 80},
        }))
        .unwrap()
    }

    fn pointers<T>(errors: Result<T, Vec<FieldError>>) -> Vec<String> {
        errors.err().unwrap_or_default().into_iter().map(|e| e.pointer).collect()
    }

    fn choice(variables: &[(&str, &str)], tag: Option<&str>) -> ComposeCreate {
        ComposeCreate {
            blueprint: "shop".parse().unwrap(),
            variables: variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            tag: tag.map(ToOwned::to_owned),
            backup: false,
        }
    }

    #[test]
    fn a_definition_is_refused_by_field() {
        assert_eq!(definition().check(), Ok(()));
        let mut bad = definition();
        bad.file = "x".repeat(FILE_MOST + 1);
        bad.services[1].name = "web".to_owned();
        bad.services[0].memory_mib = Some(1);
        bad.variables[0].name = "A;B".to_owned();
        bad.variables[1].name = "HANGAR_TAG".to_owned();
        bad.variables[2].default = Some("x".to_owned());
        bad.cockpit = Some(BlueprintCockpit { service: "../db".to_owned(), port: 0 });
        bad.tag = "$(id)".to_owned();
        assert_eq!(
            pointers(bad.check()),
            [
                "/file",
                "/services/0/memory_mib",
                "/services/1/name",
                "/variables/0/name",
                "/variables/1/name",
                "/variables/2/default",
                "/cockpit/service",
                "/cockpit/port",
                "/tag"
            ]
        );
    }

    #[test]
    fn what_is_given_must_be_asked_for_and_the_other_way_round() {
        let definition = definition();
        let (values, tag) = definition.resolve(&choice(&[("REGION", "eu")], None)).unwrap();
        assert_eq!(tag, "latest");
        assert_eq!(values, BTreeMap::from([("REGION".into(), "eu".into()), ("TITLE".into(), "Hello".into())]));
        assert_eq!(pointers(definition.resolve(&choice(&[], Some("../x")))), ["/variables/REGION", "/tag"]);
        let hostile = [("REGION", "a\nb"), ("PASSWORD", "mine"), ("NO/SUCH", "1")];
        assert_eq!(
            pointers(definition.resolve(&choice(&hostile, None))),
            ["/variables/NO~1SUCH", "/variables/PASSWORD", "/variables/REGION"]
        );
    }
}
