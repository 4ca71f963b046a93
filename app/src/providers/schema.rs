//! Form fields out of a JSON Schema. The rule: no vendor's field is named here; what the adapter's
//! schema says is what is asked for.

use std::collections::BTreeMap;

use leptos::prelude::*;
use serde_json::Value;

use crate::{
    Fault,
    ui::{Choice, SelectField, TextField},
};

/// One field that a schema asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SchemaField {
    name: String,
    title: String,
    help: Option<String>,
    example: Option<String>,
    choices: Vec<String>,
    secret: bool,
    number: bool,
    address: bool,
    required: bool,
}

impl SchemaField {
    pub fn is_required(&self) -> bool {
        self.required
    }
}

/// The fields of an object's schema: those that must be filled first, in the order in which the schema
/// requires them, which is its author's.
pub(super) fn fields(schema: &Value) -> Vec<SchemaField> {
    let order: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let place = |name: &str| order.iter().position(|one| *one == name);
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Vec::new() };
    let mut fields: Vec<SchemaField> =
        properties.iter().map(|(name, property)| field(name, property, place(name).is_some())).collect();
    fields.sort_by_key(|field| place(&field.name).unwrap_or(usize::MAX));
    fields
}

fn field(name: &str, property: &Value, required: bool) -> SchemaField {
    let text = |key: &str| property.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
    let kind = property.get("type");
    let is = |wanted: &str| match kind {
        Some(Value::String(one)) => one == wanted,
        Some(Value::Array(several)) => several.iter().any(|one| one == wanted),
        _ => false,
    };
    let words = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let choices = match property.get("enum").and_then(Value::as_array) {
        Some(all) => all.iter().filter(|one| !one.is_null()).map(words).collect(),
        None if is("boolean") => vec!["true".to_owned(), "false".to_owned()],
        None => Vec::new(),
    };
    SchemaField {
        title: text("title").unwrap_or_else(|| name.to_owned()),
        help: text("description"),
        example: property.get("default").filter(|value| !value.is_null()).map(words),
        choices,
        secret: property.get("writeOnly").and_then(Value::as_bool).unwrap_or_default(),
        number: is("integer") || is("number"),
        address: property.get("format").and_then(Value::as_str) == Some("uri"),
        required,
        name: name.to_owned(),
    }
}

/// How an account's secret stands: there may be none to give.
pub(super) fn secret_words(has_secret: bool, configured: bool) -> &'static str {
    match (has_secret, configured) {
        (false, _) => "none needed",
        (true, true) => "configured, sealed",
        (true, false) => "none",
    }
}

/// What the schema says of the whole: what the secret is, where it is made, which rights it needs, how
/// it is revoked; one paragraph each.
pub(super) fn explanation(schema: &Value) -> impl IntoView + use<> {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let paragraphs: Vec<_> = text
        .split('\n')
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| {
            let line = line.to_owned();
            view! { <p>{line}</p> }
        })
        .collect();
    (!paragraphs.is_empty()).then(|| view! { <div class="form-note stack">{paragraphs}</div> })
}

/// Draws the fields under `group`: they are sent as `group[name]` and marked at `/group/name`.
/// `scope` tells them apart from those of another schema on the page.
pub(super) fn draw(
    scope: &str,
    group: &'static str,
    fields: Vec<SchemaField>,
    values: &BTreeMap<String, String>,
    fault: Signal<Option<Fault>>,
) -> impl IntoView + use<> {
    fields
        .into_iter()
        .map(|field| {
            let scope = scope.to_owned();
            let name = format!("{group}[{}]", field.name);
            let pointer = format!("/{group}/{}", field.name);
            let value = values.get(&field.name).cloned();
            let title = if field.required { field.title } else { format!("{} (optional)", field.title) };
            if field.choices.is_empty() {
                let kind = match (field.secret, field.number) {
                    (true, _) => "password",
                    (_, true) => "number",
                    _ => "text",
                };
                view! {
                    <TextField
                        scope=scope
                        name=name
                        label=title
                        help=field.help
                        pointer=pointer
                        fault=fault
                        value=value
                        kind=kind
                        required=field.required
                        placeholder=field.example
                        autocomplete=if field.secret { "new-password" } else { "off" }
                        mono=field.address || field.secret
                    />
                }
                .into_any()
            } else {
                let chosen = value.or(field.example).unwrap_or_default();
                let left_open = (!field.required).then(|| Choice::new("", "as usual"));
                let choices: Vec<Choice> = left_open
                    .into_iter()
                    .chain(field.choices.into_iter().map(|word| Choice::new(word.clone(), word)))
                    .collect();
                view! {
                    <SelectField
                        scope=scope
                        name=name
                        label=title
                        choices=choices
                        help=field.help
                        pointer=pointer
                        fault=fault
                        value=chosen
                    />
                }
                .into_any()
            }
        })
        .collect_view()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_schema_alone_says_what_is_asked() {
        let schema = json!({
            "type": "object",
            "required": ["region", "api_token"],
            "properties": {
                "region": {"type": "string"},
                "a_port": {"type": ["integer", "null"], "title": "Port", "default": 22},
                "algorithm": {"type": "string", "enum": ["hmac-sha256", "hmac-sha512"]},
                "api_token": {"type": "string", "title": "Token", "description": "One of yours.", "writeOnly": true},
                "endpoint": {"type": "string", "format": "uri"},
            },
        });
        let fields = fields(&schema);
        let names: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["region", "api_token", "a_port", "algorithm", "endpoint"]);
        assert!(fields[0].is_required());
        assert!(fields[1].secret && fields[1].required);
        assert_eq!(fields[1].help.as_deref(), Some("One of yours."));
        assert!(fields[2].number && !fields[2].secret && !fields[2].is_required());
        assert_eq!(fields[2].example.as_deref(), Some("22"));
        assert_eq!(fields[3].choices, ["hmac-sha256", "hmac-sha512"]);
        assert_eq!(fields[4].title, "endpoint");
        assert!(fields[4].address);
    }

    #[test]
    fn what_is_no_schema_asks_for_nothing() {
        assert!(super::fields(&Value::Null).is_empty());
        assert!(super::fields(&json!({"type": "object"})).is_empty());
    }
}
