//! The fields by which the services of a stack stand together: the networks on which they meet, what
//! waits for what, and how it is known that one is healthy. Rule: every name in them is one of the
//! file's own.

use serde_json::{Map, Value, json};

use super::{
    fields::{
        self, HEALTH_MOST, Known, Wrong, boolean, closed_text, duration, entries, list, matching, scalar, words, wrong,
    },
    yaml::{Node, Yaml},
};

pub(super) fn networks(node: &Node, path: &str, known: Known<'_>) -> Result<Value, Wrong> {
    let fine = |name: &str| name == "default" || known.networks.contains(&name);
    const UNKNOWN: &str = "must be one of the file's networks";
    match &node.value {
        Yaml::List(_) => list(node, path, |item| match scalar(item) {
            Some(name) if fine(&name) => Ok(json!(name)),
            _ => wrong(item, path, UNKNOWN),
        }),
        Yaml::Map(entries) => {
            let mut all = Map::new();
            for (name, node) in entries {
                if !fine(name) {
                    return wrong(node, path, UNKNOWN);
                }
                let mut one = Map::new();
                for (key, value) in if node.value == Yaml::Null { &[][..] } else { fields::entries(node, path)? } {
                    if key != "aliases" {
                        return wrong(
                            value,
                            &format!("{path}.{key}"),
                            "is not known to be harmless, so it is not allowed",
                        );
                    }
                    let aliases = list(value, path, |item| {
                        matching(item, path, "a name", |text| {
                            text.len() <= 63 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
                        })
                    })?;
                    one.insert(key.clone(), aliases);
                }
                all.insert(name.clone(), Value::Object(one));
            }
            Ok(Value::Object(all))
        }
        _ => wrong(node, path, "must be a list or a map"),
    }
}

pub(super) fn depends_on(node: &Node, path: &str, known: Known<'_>) -> Result<Value, Wrong> {
    const UNKNOWN: &str = "must be one of the file's services";
    match &node.value {
        Yaml::List(_) => list(node, path, |item| match scalar(item) {
            Some(name) if known.services.contains(&name.as_str()) => Ok(json!(name)),
            _ => wrong(item, path, UNKNOWN),
        }),
        Yaml::Map(entries) => {
            let mut all = Map::new();
            for (name, node) in entries {
                if !known.services.contains(&name.as_str()) {
                    return wrong(node, path, UNKNOWN);
                }
                let mut condition = "service_started".to_owned();
                for (key, value) in fields::entries(node, path)? {
                    match (key.as_str(), scalar(value)) {
                        ("condition", Some(text)) if matches!(text.as_str(), "service_started" | "service_healthy") => {
                            condition = text;
                        }
                        ("condition", _) => {
                            let message = "must be service_started or service_healthy: every service of a stack keeps \
                                running";
                            return wrong(value, path, message);
                        }
                        ("restart" | "required", Some(text)) if matches!(text.as_str(), "true" | "false") => {}
                        _ => {
                            return wrong(value, path, "is not known to be harmless, so it is not allowed");
                        }
                    }
                }
                all.insert(name.clone(), json!({"condition": condition}));
            }
            Ok(Value::Object(all))
        }
        _ => wrong(node, path, "must be a list or a map"),
    }
}

pub(super) fn healthcheck(node: &Node, path: &str, known: Known<'_>) -> Result<Value, Wrong> {
    let mut all = Map::new();
    for (key, value) in entries(node, path)? {
        let below = format!("{path}.{key}");
        let one = match key.as_str() {
            "test" => match &value.value {
                Yaml::List(all) => match all.first().and_then(scalar).as_deref() {
                    Some("CMD") => words(value, &below, known)?,
                    Some("CMD-SHELL" | "NONE") => list(value, &below, |item| closed_text(item, &below, known))?,
                    _ => return wrong(value, &below, "must begin with CMD, CMD-SHELL or NONE where it is a list"),
                },
                _ => closed_text(value, &below, known)?,
            },
            "interval" | "timeout" | "start_period" | "start_interval" => duration(value, &below, HEALTH_MOST)?,
            "retries" => match value.value {
                Yaml::Integer(retries @ 1..=1000) => json!(retries),
                _ => return wrong(value, &below, "must be from 1 to 1000"),
            },
            "disable" => boolean(value, &below)?,
            _ => return wrong(value, &below, "is not known to be harmless, so it is not allowed"),
        };
        all.insert(key.clone(), one);
    }
    Ok(Value::Object(all))
}
