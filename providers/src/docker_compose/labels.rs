//! The labels by which a thing of the engine is known as ours. Rule: what does not carry this
//! installation's and the node's labels is neither changed nor taken away.

use std::collections::{BTreeMap, HashMap};

/// The installation.
pub(super) const INSTANCE: &str = "hangar.instance";
/// The node.
pub(super) const NODE: &str = "hangar.node";
/// What a service or a volume is for.
pub(super) const ROLE: &str = "hangar.role";
/// The service in the blueprint.
pub(super) const SERVICE: &str = "hangar.service";
/// The node's name at the engine, without the account's prefix.
pub(super) const NAME: &str = "hangar.name";
/// The names of the stack's services, each with `:` and its role, separated by commas; before roles were
/// told, the names alone.
pub(super) const SERVICES: &str = "hangar.services";
/// On the service that serves the cockpit: its port inside the container; empty on the others.
pub(super) const COCKPIT: &str = "hangar.cockpit";
/// On application services: the version.
pub(super) const TAG: &str = "hangar.tag";
/// On what notes that a command was begun: the engine's id of it.
pub(super) const EXEC: &str = "hangar.exec";
/// On the same: until when it may run, in seconds since 1970.
pub(super) const UNTIL: &str = "hangar.until";

/// Compose's own label with the project's name.
pub(super) const PROJECT: &str = "com.docker.compose.project";

pub(super) const APPLICATION: &str = "application";
pub(super) const DATA: &str = "data";

/// Labels as the engine tells them.
pub(super) type Labels = HashMap<String, String>;

/// Whose a thing is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) instance: String,
    pub(super) node_id: String,
    pub(super) name: String,
}

impl Owner {
    /// The labels that everything of the stack carries.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        [(INSTANCE, &self.instance), (NODE, &self.node_id), (NAME, &self.name)]
            .map(|(key, value)| (key.to_owned(), value.clone()))
            .into()
    }
}

pub(super) fn is(labels: &Labels, key: &str, value: &str) -> bool {
    labels.get(key).is_some_and(|it| it == value)
}

pub(super) fn is_ours(labels: &Labels, instance: &str, node_id: &str) -> bool {
    is(labels, INSTANCE, instance) && is(labels, NODE, node_id)
}
