//! The labels that say what is ours. Rule: nothing is adopted or taken away without all of them.

use std::collections::BTreeMap;

use super::wire::Server;
use crate::infra::ProvisionWish;

const MANAGED_BY: &str = "managed-by";
const HANGAR: &str = "hangar";
const INSTANCE: &str = "hangar-instance";
/// The label that names the node.
pub(super) const NODE: &str = "hangar-node";
const JOB: &str = "hangar-job";

/// The labels of everything that this installation makes.
pub(super) fn of_instance(instance: &str) -> BTreeMap<String, String> {
    [(MANAGED_BY, HANGAR), (INSTANCE, instance)].map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// The labels of a machine: the operator's, and ours over them.
pub(super) fn of_wish(wish: &ProvisionWish) -> BTreeMap<String, String> {
    let mut labels = wish.labels.clone();
    labels.extend(of_instance(&wish.instance));
    labels.insert(NODE.to_owned(), wish.node_id.clone());
    labels.insert(JOB.to_owned(), wish.job_id.clone());
    labels
}

/// A selector of everything that this installation made.
pub(super) fn selector(instance: &str) -> String {
    format!("{MANAGED_BY}={HANGAR},{INSTANCE}={instance}")
}

/// Whether this installation made it.
pub(super) fn is_instances(server: &Server, instance: &str) -> bool {
    let is = |key: &str, value: &str| server.labels.get(key).is_some_and(|it| it == value);
    is(MANAGED_BY, HANGAR) && is(INSTANCE, instance)
}

/// Whether this installation made it for this node.
pub(super) fn is_nodes(server: &Server, instance: &str, node_id: &str) -> bool {
    is_instances(server, instance) && server.labels.get(NODE).is_some_and(|it| it == node_id)
}
