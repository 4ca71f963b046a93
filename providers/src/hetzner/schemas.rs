//! What the adapter shows of itself as JSON Schema: settings, secret and operations. Rule: what
//! stands here is what is enforced, and every field explains itself in the form made from it.

use std::collections::BTreeMap;

use domain::provider::OperationSchema;
use serde_json::{Value, json};

use crate::schema;

pub(super) const ENDPOINT: &str = "https://api.hetzner.cloud/v1";

/// What the connect form says below the field.
const SECRET_GUIDANCE: &str = "A bearer token: whoever holds it can do everything in the project, so treat it like a \
    password. Make one in the Hetzner Console: open the project, then Security, then API tokens, and choose the \
    permission Read & Write; a token that may only read is refused. It belongs to that one project and is shown only \
    once. To revoke it, delete it at the same place: it stops working at once, and what it made stays.";

pub(super) fn settings() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Hetzner Cloud settings",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "endpoint": {
                "type": "string",
                "format": "uri",
                "title": "Endpoint",
                "description": "Base URL of the API, with or without /v1. Only for another implementation of it.",
                "default": ENDPOINT,
                "minLength": 1,
                "maxLength": 2048,
            },
            "dns_servers": {
                "type": "string",
                "title": "Name servers to ask",
                "description": "Asked whether a name is visible, as host:port, separated by commas; the zone's own \
                    when absent.",
                "maxLength": 1024,
            },
            "ssh_port": {
                "type": "integer",
                "title": "SSH port",
                "description": "Port at which servers of this account answer SSH.",
                "default": 22,
                "minimum": 1,
                "maximum": 65535,
            },
            "ssh_user": {
                "type": "string",
                "title": "SSH user",
                "description": "User that Hangar logs in as. Another than root is made at the first boot, with sudo.",
                "default": "root",
                "minLength": 1,
                "maxLength": 32,
            },
        },
    })
}

pub(super) fn secret() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Hetzner Cloud secret",
        "type": "object",
        "additionalProperties": false,
        "required": ["api_token"],
        "properties": {
            "api_token": {
                "type": "string",
                "title": "API token",
                "description": SECRET_GUIDANCE,
                "writeOnly": true,
                "minLength": 1,
                "maxLength": 512,
            },
        },
    })
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({"type": "object", "additionalProperties": false, "required": required, "properties": properties})
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn optional(description: &str) -> Value {
    json!({"type": ["string", "null"], "description": description})
}

pub(super) fn operations() -> BTreeMap<String, OperationSchema> {
    let node = || object(&["node_id"], json!({"node_id": text("The node.")}));
    let accepted = || {
        let ids = json!({"node_id": text("The node."), "job_id": text("The job that does it.")});
        object(&["node_id", "job_id"], ids)
    };
    let started = || object(&["job_id"], json!({"job_id": text("The job that does it.")}));
    let operations = [
        ("create-server", create_server(), accepted()),
        ("delete-server", node(), started()),
        ("get-server-status", node(), server_status()),
        ("suspend-node", suspend(), started()),
        ("resume-node", node(), started()),
        ("upgrade-node", upgrade(), started()),
        ("rebuild-node", rebuild(), started()),
        ("check-health", node(), started()),
        ("exec-command", exec(), started()),
    ];
    operations
        .map(|(name, input_schema, output_schema)| (name.to_owned(), OperationSchema { input_schema, output_schema }))
        .into_iter()
        .chain(schema::dns_operations(60))
        .collect()
}

fn suspend() -> Value {
    object(
        &["node_id"],
        json!({
            "node_id": text("The node. It is still billed while it is switched off."),
            "graceful_seconds": {
                "type": ["integer", "null"],
                "minimum": 0,
                "description": "For how long it is asked to shut down before it is switched off.",
            },
        }),
    )
}

fn upgrade() -> Value {
    object(
        &["node_id", "server_type"],
        json!({
            "node_id": text("The node. It is switched off meanwhile; its disk keeps its size, so it can go back."),
            "server_type": text("The server type that it shall have."),
        }),
    )
}

fn rebuild() -> Value {
    object(
        &["node_id"],
        json!({
            "node_id": text("The node. Everything on its disk is lost; it gets a new host key."),
            "image": optional("The image; the present one when absent."),
        }),
    )
}

fn exec() -> Value {
    object(
        &["node_id", "command"],
        json!({
            "node_id": text("The node."),
            "command": {
                "type": "array",
                "items": {"type": "string"},
                "minItems": 1,
                "description": "The program and its arguments; no shell reads them.",
            },
            "timeout_seconds": {
                "type": ["integer", "null"],
                "minimum": 1,
                "description": "After so many seconds it is killed.",
            },
        }),
    )
}

fn create_server() -> Value {
    let pair = object(
        &["server_type", "location"],
        json!({"server_type": text("The server type."), "location": text("The location.")}),
    );
    object(
        &["provider_id", "name"],
        json!({
            "provider_id": text("The account."),
            "name": {
                "type": "string",
                "description": "The node's name, an RFC 1123 label.",
                "minLength": 1,
                "maxLength": 54,
                "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
            },
            "server_type": optional("The server type; the cheapest when absent."),
            "location": optional("The location; the cheapest with capacity when absent."),
            "image": optional("The image; the newest Debian when absent."),
            "fallbacks": {
                "type": "array",
                "items": pair,
                "description": "What to try, in order, when there is no capacity.",
            },
            "max_price_monthly": optional("The ceiling per month, a decimal in the account's currency."),
            "user_data": optional("More cloud-config, or a script; with Hangar's own at most 32 KiB."),
            "labels": {
                "type": "object",
                "additionalProperties": {"type": "string", "maxLength": 63},
                "description": "More labels at the vendor.",
            },
            "firewalls": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Firewalls at the vendor, by name or id.",
            },
            "dns": {"type": ["object", "null"], "description": "The DNS name that is wanted."},
            "pool": optional("The pool it goes into once it is ready."),
            "cockpit_url": optional("The cockpit URL; may hold {fqdn}, {ipv4} and {name}."),
            "profile": optional("The profile by which it is prepared and checked; base when absent, none for nothing."),
            "verify_cockpit": {
                "type": ["boolean", "null"],
                "description": "Whether its cockpit URL must answer before it is ready.",
            },
            "keep_failed_for": {
                "type": ["integer", "null"],
                "minimum": 0,
                "description": "Seconds for which it is kept when provisioning fails; 86,400 when absent.",
            },
        }),
    )
}

fn server_status() -> Value {
    object(
        &["infra_id", "name", "status"],
        json!({
            "infra_id": text("The vendor's id of the server."),
            "name": text("Its name at the vendor."),
            "status": {
                "type": "string",
                "enum": ["running", "off", "changing", "deleting", "unknown"],
                "description": "Whether it runs.",
            },
            "ipv4": optional("Its IPv4 address."),
            "ipv6": optional("Its IPv6 address: a host's, not a network."),
            "host": optional("Where it is reached."),
            "server_type": optional("Its type."),
            "location": optional("Its location."),
            "image": optional("Its image."),
            "ours": {"type": "boolean", "description": "Whether it carries the labels of this installation."},
            "node_id": optional("The node that its label names."),
            "created": optional("When it was made."),
        }),
    )
}
