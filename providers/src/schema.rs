//! Checks a flat JSON object against the JSON Schema that an adapter shows. Rule: what the form
//! and the API promise is what is enforced; only the keywords that the adapters use are known.

use domain::list::FieldError;
use serde_json::Value;

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
