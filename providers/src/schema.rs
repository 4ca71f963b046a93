//! Checks a flat JSON object against the JSON Schema that an adapter shows. Rule: what the form
//! and the API promise is what is enforced; only the keywords that the adapters use are known.

use std::collections::BTreeMap;

use domain::{list::FieldError, provider::OperationSchema};
use serde_json::{Value, json};

use crate::error::field_error;

/// Every field of `value` that `schema` refuses; pointers begin with `base`.
pub(crate) fn errors(schema: &Value, value: &Value, base: &str) -> Vec<FieldError> {
    let Some(object) = value.as_object() else {
        return vec![field_error(base, "must be an object")];
    };
    let properties = schema["properties"].as_object().cloned().unwrap_or_default();
    let mut found = Vec::new();
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if object.get(name).is_none_or(Value::is_null) {
            found.push(field_error(format!("{base}/{name}"), "is required"));
        }
    }
    for (name, value) in object {
        let pointer = format!("{base}/{}", name.replace('~', "~0").replace('/', "~1"));
        match properties.get(name) {
            None => {
                let known: Vec<_> = properties.keys().map(String::as_str).collect();
                found.push(field_error(pointer, format!("is not known; known are {}", known.join(", "))));
            }
            Some(_) if value.is_null() => {}
            Some(rules) => found.extend(message_for(rules, value).map(|message| field_error(pointer, message))),
        }
    }
    found
}

/// The operations on DNS records of a vendor without a proxy, which takes times to live of at least
/// `ttl_least` seconds.
pub(crate) fn dns_operations(ttl_least: u32) -> BTreeMap<String, OperationSchema> {
    let field = |description: &str| json!({"type": "string", "description": description});
    let object = |required: &[&str], properties: Value| json!({"type": "object", "additionalProperties": false, "required": required, "properties": properties});
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
                "minimum": ttl_least,
                "maximum": i32::MAX,
                "description": "Seconds for which it may be remembered; the usual when absent.",
            },
            "node_id": {"type": ["string", "null"], "description": "The node that it names."},
        }),
    );
    let delete = object(&["dns_record_id"], json!({"dns_record_id": field("The record.")}));
    [("create-dns-record", create, accepted()), ("delete-dns-record", delete, accepted())]
        .map(|(name, input_schema, output_schema)| (name.to_owned(), OperationSchema { input_schema, output_schema }))
        .into()
}

fn message_for(rules: &Value, value: &Value) -> Option<String> {
    match rules["type"].as_str() {
        Some("string") => {
            let Some(text) = value.as_str() else { return Some("must be text".to_owned()) };
            let length = text.chars().count() as u64;
            let least = rules["minLength"].as_u64().unwrap_or(0);
            let most = rules["maxLength"].as_u64().unwrap_or(u64::MAX);
            if length < least {
                return Some(if least == 1 {
                    "must not be empty".to_owned()
                } else {
                    format!("is shorter than {least}")
                });
            }
            (length > most).then(|| format!("must have at most {most} characters"))
        }
        Some("integer") => {
            let least = rules["minimum"].as_i64().unwrap_or(i64::MIN);
            let most = rules["maximum"].as_i64().unwrap_or(i64::MAX);
            match value.as_i64() {
                Some(number) if (least..=most).contains(&number) => None,
                _ => Some(format!("must be a whole number from {least} to {most}")),
            }
        }
        _ => None,
    }
}
