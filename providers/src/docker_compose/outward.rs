//! The fields of a service by which a container touches its host: ports and mounts. Rule: a port of
//! the host needs leave, and a path of the host there is none.

use serde_json::{Map, Value, json};

use super::{
    fields::{Known, Wrong, boolean, is_path, matching, scalar, wrong},
    yaml::{Node, Yaml},
};

pub(super) fn port_number(text: &str) -> Option<u16> {
    (text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0')).then(|| text.parse().ok()).flatten()
}

/// A published port in the long form, whichever form it was written in.
pub(super) fn port(node: &Node, path: &str, known: Known<'_>) -> Result<Value, Wrong> {
    const FORM: &str = "must be a container's port, such as \"8080\" or \"8080/udp\"; with a host's address before it \
        as in \"127.0.0.1::8080\", and where the blueprint allows ports of the host \"80:8080\"";
    let mut long = Map::new();
    match &node.value {
        Yaml::Integer(number) => {
            let Some(number) = u16::try_from(*number).ok().filter(|it| *it > 0) else { return wrong(node, path, FORM) };
            long.insert("target".to_owned(), json!(number));
        }
        Yaml::Text(text) => {
            let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
            let parts: Vec<_> = ports.split(':').collect();
            let (ip, published, target) = match parts[..] {
                [target] => (None, "", target),
                [published, target] => (None, published, target),
                [ip, published, target] => (Some(ip), published, target),
                _ => return wrong(node, path, FORM),
            };
            let Some(target) = port_number(target) else { return wrong(node, path, FORM) };
            long.insert("target".to_owned(), json!(target));
            long.insert("protocol".to_owned(), json!(protocol));
            if let Some(ip) = ip {
                long.insert("host_ip".to_owned(), json!(ip));
            }
            if !published.is_empty() {
                long.insert("published".to_owned(), json!(published));
            }
        }
        Yaml::Map(entries) => {
            for (key, value) in entries {
                let value = match key.as_str() {
                    "target" | "published" => match scalar(value).as_deref().map(port_number) {
                        Some(Some(number)) if key == "target" => json!(number),
                        Some(Some(number)) => json!(number.to_string()),
                        _ => return wrong(value, &format!("{path}.{key}"), "must be one port"),
                    },
                    "protocol" | "host_ip" => json!(scalar(value).unwrap_or_default()),
                    _ => {
                        return wrong(
                            value,
                            &format!("{path}.{key}"),
                            "is not known to be harmless, so it is not allowed",
                        );
                    }
                };
                long.insert(key.clone(), value);
            }
        }
        _ => return wrong(node, path, FORM),
    }
    if !long.contains_key("target") {
        return wrong(node, path, FORM);
    }
    if let Some(published) = long.get("published").and_then(Value::as_str) {
        if port_number(published).is_none() {
            return wrong(node, path, FORM);
        }
        if !known.host_ports {
            let message = "must not claim a port of the host: leave the choice to the engine, or let an administrator \
                allow ports of the host in the blueprint";
            return wrong(node, path, message);
        }
    }
    if let Some(protocol) = long.get("protocol")
        && !matches!(protocol.as_str(), Some("tcp" | "udp"))
    {
        return wrong(node, path, "must be tcp or udp");
    }
    if let Some(ip) = long.get("host_ip")
        && ip.as_str().is_none_or(|ip| ip.parse::<std::net::IpAddr>().is_err())
    {
        return wrong(node, path, "must have an address of the host, not a name");
    }
    Ok(Value::Object(long))
}

/// A mount in the long form: a volume of the file, one without a name, or memory.
pub(super) fn mount(node: &Node, path: &str, known: Known<'_>) -> Result<Value, Wrong> {
    const FORM: &str = "must be a volume of the file and an absolute path, such as \"data:/var/lib/data\"";
    const HOST: &str = "must not be a path of the host: use a volume of the file";
    let named = |name: &str| -> Result<Value, Wrong> {
        if known.volumes.contains(&name) {
            return Ok(json!(name));
        }
        if name.contains(['/', '.', '~', '\\', '$']) {
            return wrong(node, path, HOST);
        }
        wrong(node, path, "must be one of the file's volumes")
    };
    match &node.value {
        Yaml::Text(text) => {
            let parts: Vec<_> = text.split(':').collect();
            let (source, target, mode) = match parts[..] {
                [target] => (None, target, "rw"),
                [source, target] => (Some(source), target, "rw"),
                [source, target, mode @ ("ro" | "rw")] => (Some(source), target, mode),
                _ => return wrong(node, path, FORM),
            };
            if source.is_none() && !target.starts_with('/') {
                return wrong(node, path, HOST);
            }
            let mut long = Map::from_iter([("type".to_owned(), json!("volume"))]);
            if let Some(source) = source {
                long.insert("source".to_owned(), named(source)?);
            }
            if !is_path(target) {
                return wrong(node, path, FORM);
            }
            long.insert("target".to_owned(), json!(target));
            if mode == "ro" {
                long.insert("read_only".to_owned(), json!(true));
            }
            Ok(Value::Object(long))
        }
        Yaml::Map(entries) => {
            let of = |key: &str| entries.iter().find(|(known, _)| known == key).map(|(_, node)| node);
            let kind = of("type").and_then(scalar).unwrap_or_default();
            match kind.as_str() {
                "volume" | "tmpfs" => {}
                "bind" | "npipe" => return wrong(node, path, HOST),
                _ => return wrong(node, path, "must have the type volume or tmpfs"),
            }
            let mut long = Map::new();
            for (key, value) in entries {
                let below = format!("{path}.{key}");
                let value = match key.as_str() {
                    "type" => json!(kind),
                    "source" if kind == "volume" => named(&scalar(value).unwrap_or_default())?,
                    "target" => matching(value, &below, "an absolute path", is_path)?,
                    "read_only" => boolean(value, &below)?,
                    _ => return wrong(value, &below, "is not known to be harmless, so it is not allowed"),
                };
                long.insert(key.clone(), value);
            }
            if long.contains_key("target") { Ok(Value::Object(long)) } else { wrong(node, path, FORM) }
        }
        _ => wrong(node, path, FORM),
    }
}

pub(super) fn tmpfs(node: &Node, path: &str) -> Result<Value, Wrong> {
    matching(node, path, "an absolute path, with options such as size=64m", |text| {
        let (path, options) = text.split_once(':').unwrap_or((text, ""));
        is_path(path) && options.bytes().all(|b| b.is_ascii_alphanumeric() || b"=,".contains(&b))
    })
}
