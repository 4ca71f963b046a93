//! What each field of a service may hold, and how it is written for Compose. Rule: what is not
//! known to be harmless is refused, and a variable stands only where no value of it is taken apart:
//! in an image's name, the environment, and a word of a command or of a health check that is a list.
//! A secret stands in the environment alone: everybody on the engine's machine can read commands.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{
    outward::{mount, port, port_number, tmpfs},
    together::{depends_on, healthcheck, networks},
    variables,
    yaml::{Node, Yaml},
};

/// What reading a field needs to know.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    /// Names that may be referred to.
    pub(super) variables: &'a [&'a str],
    /// Those of them that are secrets.
    pub(super) secrets: &'a [&'a str],
    /// The services of the file.
    pub(super) services: &'a [&'a str],
    /// The volumes of the file.
    pub(super) volumes: &'a [&'a str],
    /// The networks of the file.
    pub(super) networks: &'a [&'a str],
    /// Whether ports of the host may be claimed.
    pub(super) host_ports: bool,
}

/// What is wrong: the place below the service, the line, and a sentence's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) path: String,
    pub(super) line: usize,
    pub(super) message: String,
}

pub(super) fn wrong<T>(node: &Node, path: &str, message: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { path: path.to_owned(), line: node.line, message: message.into() })
}

/// A field of a service as Compose gets it.
pub(super) fn field(key: &str, node: &Node, known: Known<'_>) -> Result<Value, Wrong> {
    match key {
        "image" => image(node, known),
        "command" | "entrypoint" => words(node, key, known),
        "environment" => environment(node, key, known),
        "ports" => list(node, key, |item| port(item, key, known)),
        "expose" => list(node, key, |item| match &item.value {
            Yaml::Integer(port @ 1..=65_535) => Ok(json!(port.to_string())),
            Yaml::Text(text) if is_exposed(text) => Ok(json!(text)),
            _ => wrong(item, key, "must be a port"),
        }),
        "volumes" => list(node, key, |item| mount(item, key, known)),
        "tmpfs" => match &node.value {
            Yaml::List(_) => list(node, key, |item| tmpfs(item, key)),
            _ => tmpfs(node, key),
        },
        "networks" => networks(node, key, known),
        "depends_on" => depends_on(node, key, known),
        "healthcheck" => healthcheck(node, key, known),
        "labels" => labels(node, key),
        "restart" => restart(node, key),
        "stop_signal" => matching(node, key, "a signal", |text| {
            text.len() <= 16 && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b"+-".contains(&b))
        }),
        "stop_grace_period" => duration(node, key, GRACE_MOST),
        "init" | "read_only" | "tty" | "stdin_open" => boolean(node, key),
        "user" => matching(node, key, "a user, with or without a group", |text| {
            text.len() <= 128 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b))
        }),
        "hostname" => matching(node, key, "a machine's name", |text| {
            text.len() <= 253 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-".contains(&b))
        }),
        "working_dir" => matching(node, key, "an absolute path", is_path),
        "shm_size" => matching(node, key, "a size such as 64m", is_size),
        "cap_drop" => list(node, key, |item| {
            matching(item, key, "a capability", |text| {
                text.len() <= 40 && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
            })
        }),
        _ => wrong(node, key, refusal(key)),
    }
}

/// Why a field may not be there; those that people reach for are told what to do instead.
fn refusal(key: &str) -> &'static str {
    match key {
        "build" => "is not allowed: an image must be there or be pulled",
        "extends" | "env_file" | "secrets" | "configs" | "credential_spec" | "label_file" => {
            "is not allowed: nothing is read from files; use the environment and the blueprint's variables"
        }
        "container_name" => "is not allowed: every node has names of its own",
        "privileged"
        | "cap_add"
        | "devices"
        | "device_cgroup_rules"
        | "security_opt"
        | "pid"
        | "ipc"
        | "userns_mode"
        | "uts"
        | "cgroup"
        | "cgroup_parent"
        | "sysctls"
        | "runtime"
        | "gpus"
        | "group_add"
        | "oom_score_adj" => "is not allowed: it reaches out of the container",
        "network_mode" | "links" | "external_links" | "extra_hosts" => {
            "is not allowed: services reach one another by the networks of the file"
        }
        "deploy" | "mem_limit" | "memswap_limit" | "mem_reservation" | "cpus" | "cpu_shares" | "cpu_quota"
        | "scale" | "pids_limit" => "is not allowed: limits belong to the blueprint's services",
        "pull_policy" | "profiles" | "develop" | "logging" => "is not allowed: Hangar decides it",
        _ => "is not known to be harmless, so it is not allowed",
    }
}

pub(super) fn list(
    node: &Node,
    path: &str,
    mut one: impl FnMut(&Node) -> Result<Value, Wrong>,
) -> Result<Value, Wrong> {
    let Yaml::List(items) = &node.value else { return wrong(node, path, "must be a list") };
    items.iter().map(&mut one).collect::<Result<Vec<_>, _>>().map(Value::Array)
}

pub(super) fn entries<'a>(node: &'a Node, path: &str) -> Result<&'a [(String, Node)], Wrong> {
    match &node.value {
        Yaml::Map(entries) => Ok(entries),
        _ => wrong(node, path, "must be a map"),
    }
}

/// A scalar as text.
pub(super) fn scalar(node: &Node) -> Option<String> {
    match &node.value {
        Yaml::Text(text) | Yaml::Decimal(text) => Some(text.clone()),
        Yaml::Integer(number) => Some(number.to_string()),
        Yaml::Bool(truth) => Some(truth.to_string()),
        Yaml::Null | Yaml::List(_) | Yaml::Map(_) => None,
    }
}

/// A scalar without variables that passes a test.
pub(super) fn matching(node: &Node, path: &str, what: &str, test: impl Fn(&str) -> bool) -> Result<Value, Wrong> {
    match scalar(node) {
        Some(text) if !text.is_empty() && !text.contains('$') && test(&text) => Ok(json!(text)),
        Some(text) if text.contains('$') => wrong(node, path, "must not hold a variable"),
        _ => wrong(node, path, format!("must be {what}")),
    }
}

/// A scalar in which variables may stand.
fn open_text(node: &Node, path: &str, known: Known<'_>) -> Result<Value, Wrong> {
    let Some(text) = scalar(node) else { return wrong(node, path, "must be text") };
    match variables::references(&text) {
        Err(message) => wrong(node, path, message),
        Ok(names) => match names.iter().find(|name| !known.variables.contains(name)) {
            // The name is made of capital letters, digits and _ alone.
            Some(name) => {
                let shown: String = name.chars().take(64).collect();
                wrong(node, path, format!("refers to {shown}, which is none of the blueprint's variables"))
            }
            None => Ok(json!(text)),
        },
    }
}

/// A command: words in which variables may stand, or one text that is taken apart and has none.
pub(super) fn words(node: &Node, path: &str, known: Known<'_>) -> Result<Value, Wrong> {
    match &node.value {
        Yaml::List(_) => list(node, path, |item| {
            let value = open_text(item, path, known)?;
            no_secret(item, path, &value, known, "everybody on the engine's machine can read a command")?;
            Ok(value)
        }),
        _ => closed_text(node, path, known),
    }
}

/// A text that is taken apart by a shell or as one would: no variables, but `$$` for a dollar sign.
pub(super) fn closed_text(node: &Node, path: &str, known: Known<'_>) -> Result<Value, Wrong> {
    let value = open_text(node, path, known)?;
    if variables::references(value.as_str().unwrap_or_default()).is_ok_and(|names| names.is_empty()) {
        return Ok(value);
    }
    let message = "must not hold a variable, whose value would be taken apart: write it as a list of words, or put \
        the variable into the environment";
    wrong(node, path, message)
}

fn no_secret(node: &Node, path: &str, value: &Value, known: Known<'_>, why: &str) -> Result<(), Wrong> {
    let names = variables::references(value.as_str().unwrap_or_default()).unwrap_or_default();
    match names.iter().find(|it| known.secrets.contains(it)) {
        Some(secret) => {
            wrong(node, path, format!("must not hold the secret {secret}, which belongs into the environment: {why}"))
        }
        None => Ok(()),
    }
}

fn is_exposed(text: &str) -> bool {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    port_number(port).is_some() && matches!(protocol, "tcp" | "udp")
}

pub(super) fn boolean(node: &Node, path: &str) -> Result<Value, Wrong> {
    match node.value {
        Yaml::Bool(truth) => Ok(json!(truth)),
        _ => wrong(node, path, "must be true or false"),
    }
}

/// For how long a service may take to end: an upgrade waits for it, and a backup.
pub(super) const GRACE_MOST: Duration = Duration::from_secs(300);

/// For how long a health check may take, and between two of them.
pub(super) const HEALTH_MOST: Duration = Duration::from_secs(3600);

pub(super) fn duration(node: &Node, path: &str, most: Duration) -> Result<Value, Wrong> {
    let what = format!("a time such as 10s or 1m30s, of {} minutes at most", most.as_secs() / 60);
    matching(node, path, &what, |text| time_of(text).is_some_and(|time| time <= most))
}

fn time_of(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut whole = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u32 = rest[..digits].parse().ok().filter(|_| digits <= 6)?;
        let units = [("ms", 1_000), ("us", 1), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000)];
        let (unit, micros) = units.into_iter().find(|(unit, _)| rest[digits..].starts_with(unit))?;
        whole += Duration::from_micros(micros) * number;
        rest = &rest[digits + unit.len()..];
    }
    (!text.is_empty() && text.len() <= 32).then_some(whole)
}

fn is_size(text: &str) -> bool {
    let digits = text.trim_end_matches(|c: char| "bkmgBKMG".contains(c));
    text.len() - digits.len() <= 2 && (1..=12).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
}

/// Whether it is an absolute path within a container.
pub(super) fn is_path(text: &str) -> bool {
    text.starts_with('/')
        && text.len() <= 1024
        && text.chars().all(|c| !c.is_control() && !matches!(c, ':' | ',' | '$' | '\\' | '"' | '\''))
        && !text.split('/').any(|part| matches!(part, ".." | "."))
}

fn image(node: &Node, known: Known<'_>) -> Result<Value, Wrong> {
    let value = open_text(node, "image", known)?;
    no_secret(node, "image", &value, known, "everybody can read an image's name")?;
    let text = value.as_str().unwrap_or_default();
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"._/:@-${}".contains(&b);
    if text.len() > 512 || !text.bytes().all(fine) || !text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '$')
    {
        return wrong(node, "image", "must be an image's name");
    }
    Ok(value)
}

fn is_environment_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn environment(node: &Node, path: &str, known: Known<'_>) -> Result<Value, Wrong> {
    const NAME: &str = "has a name that cannot be one: letters, digits and _, not beginning with a digit";
    const VALUE: &str = "must have a value for each name: nothing is taken from Hangar's own environment";
    let mut all = Map::new();
    match &node.value {
        Yaml::Map(entries) => {
            for (name, node) in entries {
                if !is_environment_name(name) {
                    return wrong(node, path, NAME);
                }
                if node.value == Yaml::Null {
                    return wrong(node, path, VALUE);
                }
                all.insert(name.clone(), open_text(node, &format!("{path}.{name}"), known)?);
            }
        }
        Yaml::List(items) => {
            for item in items {
                let text = scalar(item).unwrap_or_default();
                let Some((name, value)) = text.split_once('=') else { return wrong(item, path, VALUE) };
                if !is_environment_name(name) {
                    return wrong(item, path, NAME);
                }
                let value = Node { line: item.line, value: Yaml::Text(value.to_owned()) };
                if all.insert(name.to_owned(), open_text(&value, &format!("{path}.{name}"), known)?).is_some() {
                    return wrong(item, path, "has a name twice");
                }
            }
        }
        _ => return wrong(node, path, "must be a map or a list"),
    }
    Ok(Value::Object(all))
}

const LABEL: &str = "must be named by up to 63 letters, digits, _ and -, without a dot, and not as hangar or a program \
    that acts on labels does: others on the engine's machine would do what a label says";

/// Whether a plain name is one by which Hangar, or a program that watches the engine, is told what to
/// do: registrators take `SERVICE_…`, and what restarts the unhealthy `autoheal`.
fn is_for_others(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    ["hangar", "service_", "autoheal"].iter().any(|it| lower.starts_with(it))
}

/// Labels as a map: of a service, a volume or a network. What programs on the engine's machine go by,
/// such as proxies and timers, have dots in their names.
pub(super) fn labels(node: &Node, path: &str) -> Result<Value, Wrong> {
    let pairs: Vec<(&Node, String, Option<String>)> = match &node.value {
        Yaml::Map(entries) => entries
            .iter()
            .map(|(key, node)| {
                let value = if node.value == Yaml::Null { Some(String::new()) } else { scalar(node) };
                (node, key.clone(), value)
            })
            .collect(),
        Yaml::List(items) => items
            .iter()
            .map(|node| {
                let text = scalar(node).unwrap_or_default();
                let (key, value) = text.split_once('=').unwrap_or((&text, ""));
                (node, key.to_owned(), Some(value.to_owned()))
            })
            .collect(),
        _ => return wrong(node, path, "must be a map or a list"),
    };
    let mut all = Map::new();
    for (node, key, value) in pairs {
        let Some(value) = value else { return wrong(node, path, "must have texts") };
        if key.contains('$') || value.contains('$') {
            return wrong(node, path, "must not hold a variable: everybody can read a label");
        }
        let plain = key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
        if !plain || key.is_empty() || key.len() > 63 || is_for_others(&key) {
            return wrong(node, path, LABEL);
        }
        if all.insert(key, json!(value)).is_some() {
            return wrong(node, path, "has a label twice");
        }
    }
    Ok(Value::Object(all))
}

fn restart(node: &Node, path: &str) -> Result<Value, Wrong> {
    let text = scalar(node).unwrap_or_default();
    let retries =
        text.strip_prefix("on-failure:").is_some_and(|n| (1..=4).contains(&n.len()) && port_number(n).is_some());
    match text.as_str() {
        "no" => Ok(json!(text)),
        // With these the engine would start a suspended service when it is started itself: `always` does
        // not ask why it had ended, and `on-failure` only with which exit code.
        "always" | "unless-stopped" | "on-failure" => Ok(json!("unless-stopped")),
        _ if retries => Ok(json!("unless-stopped")),
        _ => wrong(node, path, "must be no, always, unless-stopped or on-failure"),
    }
}
