//! What the adapter shows of itself as JSON Schema: settings, secret and operations. Rule: what
//! stands here is what is enforced, and every field explains itself in the form made from it.

use std::collections::BTreeMap;

use domain::provider::OperationSchema;
use serde_json::{Value, json};

pub(super) const ENDPOINT: &str = "https://api.cloudflare.com/client/v4";

fn text(title: &str, description: &str, most: u32) -> Value {
    json!({"type": "string", "title": title, "description": description, "minLength": 1, "maxLength": most})
}

pub(super) fn settings() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Cloudflare settings",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "endpoint": {
                "type": "string",
                "format": "uri",
                "title": "Endpoint",
                "description": "Base URL of the API, with or without /client/v4. Only for another implementation of it.",
                "default": ENDPOINT,
                "minLength": 1,
                "maxLength": 2048,
            },
            "zone_id": text(
                "Zone id",
                "The one zone to use; needed for a token that may not list zones. Dashboard, zone, Overview, API.",
                32,
            ),
            "zone_name": text(
                "Zone name",
                "The name of that zone; only for a token that may edit its records but not read the zone itself.",
                253,
            ),
            "account_id": text(
                "Account id",
                "Where a token that belongs to an account is verified; found by itself when the zone can be read.",
                32,
            ),
            "dns_servers": text(
                "Name servers to ask",
                "Asked whether a name is visible, as host:port, separated by commas; the zone's own when absent.",
                1024,
            ),
        },
    })
}

pub(super) fn secret() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Cloudflare secret",
        "type": "object",
        "additionalProperties": false,
        "required": ["api_token"],
        "properties": {
            "api_token": {
                "type": "string",
                "title": "API token",
                "description": "A token with Zone: Read and DNS: Edit for the zones to use: My Profile or Manage Account, API Tokens.",
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

pub(super) fn operations() -> BTreeMap<String, OperationSchema> {
    let field = |description: &str| json!({"type": "string", "description": description});
    let accepted = || {
        let ids = json!({"dns_record_id": field("The record."), "job_id": field("The job that does it.")});
        object(&["dns_record_id", "job_id"], ids)
    };
    let create = object(
        &["provider_id", "zone", "name", "type", "content"],
        json!({
            "provider_id": field("The account."),
            "zone": field("The zone."),
            "name": field("The name relative to the zone; @ for the zone itself."),
            "type": {"type": "string", "enum": ["A", "AAAA", "CNAME", "TXT"], "description": "The record's type."},
            "content": field("An address, a name without a dot at its end, or text."),
            "ttl": {
                "type": ["integer", "null"],
                "minimum": 1,
                "maximum": 86400,
                "description": "Seconds, at least 60; 1 or absent is automatic.",
            },
            "proxied": {"type": ["boolean", "null"], "description": "Whether the vendor's proxy stands before it."},
            "node_id": {"type": ["string", "null"], "description": "The node that it names."},
        }),
    );
    let delete = object(&["dns_record_id"], json!({"dns_record_id": field("The record.")}));
    [("create-dns-record", create, accepted()), ("delete-dns-record", delete, accepted())]
        .map(|(name, input_schema, output_schema)| (name.to_owned(), OperationSchema { input_schema, output_schema }))
        .into()
}
