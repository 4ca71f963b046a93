//! The labels that say what is ours. Rule: nothing is adopted or taken away without all of them.

use std::collections::BTreeMap;

use domain::{code::Code, list::FieldError};

use super::wire::Server;
use crate::{
    error::{ProviderError, field_error},
    infra::ProvisionWish,
};

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

/// The labels of a machine: the operator's, which were checked, and ours.
pub(super) fn of_wish(wish: &ProvisionWish) -> BTreeMap<String, String> {
    let mut labels = wish.labels.clone();
    labels.extend(of_instance(&wish.instance));
    labels.insert(NODE.to_owned(), wish.node_id.clone());
    labels.insert(JOB.to_owned(), wish.job_id.clone());
    labels
}

/// What speaks against the operator's labels, in one sentence.
pub(super) fn check(labels: &BTreeMap<String, String>) -> Result<(), ProviderError> {
    match label_errors(labels).into_iter().next() {
        None => Ok(()),
        Some(error) => {
            let name: String = error.pointer.trim_start_matches("/labels/").chars().take(80).collect();
            let message = format!("The label {name:?} {}; nothing was made.", error.message);
            Err(ProviderError::new(Code::ProviderInvalidRequest, message))
        }
    }
}

/// Every label of an operator's that cannot be used, with pointers such as `/labels/team`. A key is
/// up to 63 of letters, digits and `. _ -`, alphanumeric at both ends, perhaps after a domain and
/// `/`; a value likewise, or empty. The names that say what is ours are not the operator's.
pub fn label_errors(labels: &BTreeMap<String, String>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, value) in labels {
        let pointer = || format!("/labels/{}", key.replace('~', "~0").replace('/', "~1"));
        let (domain, name) = key.split_once('/').map_or((None, key.as_str()), |(domain, name)| (Some(domain), name));
        let message = if [MANAGED_BY, INSTANCE, NODE, JOB].contains(&key.as_str()) {
            "is one of Hangar's own names"
        } else if domain.is_some_and(|domain| domain.eq_ignore_ascii_case("hetzner.cloud")) {
            "begins with a domain that the vendor keeps for itself"
        } else if !is_word(name) || domain.is_some_and(|domain| !is_domain(domain)) {
            "must have 1 to 63 of letters, digits, . _ and -, alphanumeric at both ends, perhaps after a domain and /"
        } else if !value.is_empty() && !is_word(value) {
            "must have as its value nothing, or 1 to 63 of letters, digits, . _ and -, alphanumeric at both ends"
        } else {
            continue;
        };
        errors.push(field_error(pointer(), message));
    }
    errors
}

fn is_word(text: &str) -> bool {
    let ends = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    (1..=63).contains(&text.len())
        && ends(text.bytes().next())
        && ends(text.bytes().last())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn is_domain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(|label| is_word(label) && !label.contains('_'))
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
