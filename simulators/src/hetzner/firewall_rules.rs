//! The rules of a firewall, checked. Rule: what the vendor would refuse is refused, with the field.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::{query::text_of, reply::Reply};

/// How many rules a firewall has at most.
const RULES_MAX: usize = 50;

/// The `rules` of a request body, as answers show them.
pub(super) fn rules_of(body: &Map<String, Value>) -> Result<Option<Vec<Value>>, Reply> {
    let rules = match body.get("rules") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(rules)) if rules.len() <= RULES_MAX => rules,
        Some(Value::Array(_)) => return Err(Reply::invalid("rules", "too many rules")),
        Some(_) => return Err(Reply::invalid("rules", "must be a list")),
    };
    let checked = rules.iter().map(|rule| match rule {
        Value::Object(rule) => checked(rule),
        _ => Err(Reply::invalid("rules", "must be a list of objects")),
    });
    checked.collect::<Result<_, _>>().map(Some)
}

fn checked(rule: &Map<String, Value>) -> Result<Value, Reply> {
    let direction = text_of(rule, "direction")?.unwrap_or_default();
    let protocol = text_of(rule, "protocol")?.unwrap_or_default();
    let port = text_of(rule, "port")?;
    let description = text_of(rule, "description")?;
    let (sources, destinations) = (networks_of(rule, "source_ips")?, networks_of(rule, "destination_ips")?);
    if !["in", "out"].contains(&direction) {
        return Err(Reply::invalid("rules.direction", "must be in or out"));
    }
    if !["tcp", "udp", "icmp", "esp", "gre"].contains(&protocol) {
        return Err(Reply::invalid("rules.protocol", "is not a protocol"));
    }
    if description.is_some_and(|text| text.chars().count() > 255) {
        return Err(Reply::invalid("rules.description", "must be at most 255 characters"));
    }
    match (["tcp", "udp"].contains(&protocol), port) {
        (true, Some(port)) if is_port(port) => {}
        (true, _) => return Err(Reply::invalid("rules.port", "must be a port, a range or any")),
        (false, Some(_)) => return Err(Reply::invalid("rules.port", "is for tcp and udp only")),
        (false, None) => {}
    }
    let (needed, named) = if direction == "in" { (&sources, "source_ips") } else { (&destinations, "destination_ips") };
    if needed.is_empty() {
        return Err(Reply::invalid(&format!("rules.{named}"), "is required"));
    }
    Ok(json!({
        "description": description,
        "direction": direction,
        "protocol": protocol,
        "port": port,
        "source_ips": sources,
        "destination_ips": destinations,
    }))
}

fn is_port(port: &str) -> bool {
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    match port.split_once('-') {
        Some((from, to)) => number(from).zip(number(to)).is_some_and(|(from, to)| from <= to),
        None => port == "any" || number(port).is_some(),
    }
}

fn networks_of(rule: &Map<String, Value>, field: &str) -> Result<Vec<String>, Reply> {
    let bad = || Reply::invalid(&format!("rules.{field}"), "must be a list of networks in CIDR notation");
    let list = match rule.get(field) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) if list.len() <= 100 => list,
        Some(_) => return Err(bad()),
    };
    let network = |it: &Value| it.as_str().filter(|text| is_network(text)).map(ToOwned::to_owned);
    list.iter().map(network).collect::<Option<_>>().ok_or_else(bad)
}

/// A network in CIDR notation, without bits set in the part of the hosts.
fn is_network(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let (Ok(address), Ok(length)) = (address.parse::<IpAddr>(), length.parse::<u32>()) else { return false };
    match address {
        IpAddr::V4(it) => length <= 32 && it.to_bits().checked_shl(length).unwrap_or(0) == 0,
        IpAddr::V6(it) => length <= 128 && it.to_bits().checked_shl(length).unwrap_or(0) == 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_ports_are_told_from_other_text() {
        for yes in ["0.0.0.0/0", "::/0", "10.1.0.0/16", "10.1.2.3/32", "2001:db8::/32"] {
            assert!(is_network(yes), "{yes}");
        }
        for no in ["10.1.2.3", "10.1.2.3/16", "10.0.0.0/33", "2001:db8::1/64", "x/8", "::/129"] {
            assert!(!is_network(no), "{no}");
        }
        for yes in ["22", "any", "80-443"] {
            assert!(is_port(yes), "{yes}");
        }
        for no in ["0", "443-80", "70000", "", "ssh"] {
            assert!(!is_port(no), "{no}");
        }
    }
}
