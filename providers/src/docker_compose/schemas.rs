//! What the adapter shows of itself as JSON Schema: settings, secret and operations. Rule: what
//! stands here is what is enforced, and every field explains itself in the form made from it.

use std::collections::BTreeMap;

use domain::provider::OperationSchema;
use serde_json::{Value, json};

use super::settings::PREFIX;

pub(super) fn settings() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Docker Compose settings",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "host": {
                "type": "string",
                "title": "Engine",
                "description": "Where the Docker Engine is, as in DOCKER_HOST: unix:///path/to/socket, \
                    ssh://user@host or tcp://host:port. The local socket when absent. Whoever reaches an engine is \
                    root on its machine: tcp:// is neither encrypted nor asks for a password, and containers of stacks may \
                    reach it too, so use it within a private network only. ssh:// uses the keys and known hosts of \
                    the account that Hangar runs as.",
                "maxLength": 512,
            },
            "project_prefix": {
                "type": "string",
                "title": "Project prefix",
                "description": "What the names of projects begin with: a-z, 0-9, - and _. Change it only while the \
                    account has no nodes.",
                "default": PREFIX,
                "maxLength": 30,
            },
            "public_host": {
                "type": "string",
                "title": "Public host",
                "description": "Address or name at which the ports that stacks publish are reached. The engine's \
                    machine when absent, 127.0.0.1 with a local socket. It does not bind them: a port is published \
                    on all addresses of the machine unless the blueprint's file names one.",
                "maxLength": 253,
            },
        },
    })
}

/// None: whoever may reach the engine may use it.
pub(super) fn secret() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Docker Compose secret",
        "description": "There is no secret: the engine is reached by the rights of the account that Hangar runs as.",
        "type": "object",
        "additionalProperties": false,
        "properties": {},
    })
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({"type": "object", "additionalProperties": false, "required": required, "properties": properties})
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn optional(kind: &str, description: &str) -> Value {
    json!({"type": [kind, "null"], "description": description})
}

/// A version, as `domain::blueprint::is_tag` takes it.
fn tag(kind: impl Into<Value>, description: &str) -> Value {
    let pattern = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$";
    json!({"type": kind.into(), "pattern": pattern, "maxLength": 128, "description": description})
}

pub(super) fn operations() -> BTreeMap<String, OperationSchema> {
    let node = || object(&["node_id"], json!({"node_id": text("The node.")}));
    let accepted = || {
        let ids = json!({"node_id": text("The node."), "job_id": text("The job that does it.")});
        object(&["node_id", "job_id"], ids)
    };
    let started = || object(&["job_id"], json!({"job_id": text("The job that does it.")}));
    let suspend = object(
        &["node_id"],
        json!({
            "node_id": text("The node. Its data services go on."),
            "graceful_seconds": optional("integer", "For how long a service may take to stop before it is killed."),
        }),
    );
    let upgrade = object(
        &["node_id", "tag"],
        json!({
            "node_id": text("The node. It goes back to what it has when a service does not get healthy."),
            "tag": tag("string", "The version that it shall have."),
        }),
    );
    let exec = object(
        &["node_id", "argv"],
        json!({
            "node_id": text("The node."),
            "service": optional("string", "The service in which it runs; the cockpit's, or the only one, when absent."),
            "argv": {"type": "array", "items": {"type": "string"}, "minItems": 1, "description": "The program and its arguments; no shell reads them."},
            "timeout_seconds": optional("integer", "After this long it is killed."),
        }),
    );
    let create = object(
        &["provider_id", "name", "compose"],
        json!({
            "provider_id": text("The account."),
            "name": text("The node's name."),
            "compose": object(
                &["blueprint"],
                json!({
                    "blueprint": text("The blueprint; its newest version is taken."),
                    "variables": {"type": "object", "additionalProperties": {"type": "string"}, "description": "Values of its variables."},
                    "tag": tag(["string", "null"], "The version instead of the blueprint's own."),
                    "backup": {"type": "boolean", "default": false, "description": "Whether a pool that takes it away by itself keeps a backup of it first."},
                }),
            ),
        }),
    );
    let destroy = object(
        &["node_id"],
        json!({
            "node_id": text("The node."),
            "backup": optional("boolean", "Whether the volumes of its data services are kept first."),
        }),
    );
    let status = object(
        &["status"],
        json!({
            "status": {"type": "string", "enum": ["running", "off", "changing", "deleting", "unknown"], "description": "Whether its application services run."},
            "host": optional("string", "Where its ports are reached."),
            "cockpit_port": optional("integer", "The port at which its cockpit answers."),
        }),
    );
    [
        ("create-server", create, accepted()),
        ("delete-server", destroy, started()),
        ("get-server-status", node(), status),
        ("suspend-node", suspend, started()),
        ("resume-node", node(), started()),
        ("upgrade-node", upgrade, started()),
        ("check-health", node(), started()),
        ("exec-command", exec, started()),
    ]
    .map(|(name, input_schema, output_schema)| (name.to_owned(), OperationSchema { input_schema, output_schema }))
    .into()
}
