//! Values checked at the edge. The rule: outside text becomes one of these before anything is done
//! with it; every refusal says what would be right.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A value that cannot be used, with what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String))]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                $check(text).map_err(|why| Invalid(why.to_owned()))?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;

            fn try_from(text: String) -> Result<Self, Invalid> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text!(
    /// The name of a node: an RFC 1123 label, short enough to take the node id's tail.
    NodeName,
    node_name
);
text!(
    /// The name of a pool.
    PoolName,
    pool_name
);
text!(
    /// The id of a pool VM, unique in the installation: a node's id, or the operator's own.
    PoolVmId,
    pool_vm_id
);
text!(
    /// The name of a profile.
    ProfileName,
    profile_name
);
text!(
    /// The name of a blueprint.
    BlueprintName,
    profile_name
);
text!(
    /// The name of a DNS zone, in lower case and without a dot at the end.
    ZoneName,
    zone_name
);
text!(
    /// A name within a zone, in lower case; `@` for the zone itself.
    RecordName,
    record_name
);
text!(
    /// The name of an account, for people.
    AccountName,
    account_name
);
text!(
    /// An address that a person may open: http or https, nothing else.
    CockpitUrl,
    cockpit_url
);

impl PoolName {
    /// The pool that comes into being by itself.
    pub fn default_pool() -> Self {
        Self("default".to_owned())
    }
}

impl ProfileName {
    /// The profile by which Hangar does not log in: a machine is ready when the vendor reports it
    /// running.
    pub fn none() -> Self {
        Self("none".to_owned())
    }

    /// The profile of nodes that name no other.
    pub fn base() -> Self {
        Self("base".to_owned())
    }

    /// Whether Hangar logs in to nodes with this profile.
    pub fn has_login(&self) -> bool {
        self.0 != "none"
    }
}

/// Labels of a name in the DNS: RFC 1123, and underscores at the beginning as services have them.
fn dns_labels(text: &str) -> bool {
    text.split('.').all(|part| {
        let body = part.strip_prefix('_').unwrap_or(part);
        label(body, 62)
    })
}

fn zone_name(text: &str) -> Result<(), &'static str> {
    if text.len() <= 253 && text.contains('.') && dns_labels(text) {
        Ok(())
    } else {
        Err("a zone is a name such as example.org, in lower case and without a dot at the end")
    }
}

fn record_name(text: &str) -> Result<(), &'static str> {
    let body = text.strip_prefix("*.").unwrap_or(text);
    if text == "@" || text == "*" || (text.len() <= 190 && dns_labels(body)) {
        Ok(())
    } else {
        Err(
            "a name within the zone is lower-case letters, digits and hyphens, such as alpha or alpha.lab; @ is the zone itself",
        )
    }
}

fn profile_name(text: &str) -> Result<(), &'static str> {
    if label(text, 40) {
        Ok(())
    } else {
        Err(
            "a profile's name is 1 to 40 lower-case letters, digits and hyphens, and neither begins nor ends with a hyphen",
        )
    }
}

fn label(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn node_name(text: &str) -> Result<(), &'static str> {
    if label(text, 54) {
        Ok(())
    } else {
        Err("a name is 1 to 54 lower-case letters, digits and hyphens, and neither begins nor ends with a hyphen")
    }
}

fn pool_name(text: &str) -> Result<(), &'static str> {
    if label(text, 63) {
        Ok(())
    } else {
        Err(
            "a pool's name is 1 to 63 lower-case letters, digits and hyphens, and neither begins nor ends with a hyphen",
        )
    }
}

fn pool_vm_id(text: &str) -> Result<(), &'static str> {
    let fits = (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'))
        && !matches!(text, "." | "..");
    if fits { Ok(()) } else { Err("an id is 1 to 128 letters, digits, and any of - _ . :") }
}

fn account_name(text: &str) -> Result<(), &'static str> {
    let fits = (1..=80).contains(&text.chars().count()) && text.trim() == text && !text.chars().any(char::is_control);
    if fits { Ok(()) } else { Err("a name is 1 to 80 characters without space at its ends") }
}

fn cockpit_url(text: &str) -> Result<(), &'static str> {
    const WRONG: &str = "a cockpit URL begins with http:// or https://, names a host, and holds no user name, space or control character";
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or(WRONG)?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let bad = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '\\' | '"' | '<' | '>' | '`');
    if host.is_empty() || host.starts_with(':') || host.contains('@') || text.len() > 2048 || text.chars().any(bad) {
        return Err(WRONG);
    }
    Ok(())
}

/// What may stand in braces in a cockpit URL template.
#[derive(Debug, Clone, Copy)]
pub struct CockpitFacts<'a> {
    /// The node's name.
    pub name: &'a str,
    /// Its IPv4 address.
    pub ipv4: Option<&'a str>,
    /// Its DNS name.
    pub fqdn: Option<&'a str>,
    /// The port at which its cockpit answers, where the machine decides that.
    pub port: Option<u16>,
}

/// A cockpit URL with places for `{fqdn}`, `{ipv4}`, `{name}` and, where the machine decides it, `{port}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CockpitTemplate(String);

impl CockpitTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// [`Invalid`] if what comes out of it could never be a cockpit URL.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let template = Self(text.to_owned());
        let sample = CockpitFacts { name: "n", ipv4: Some("192.0.2.1"), fqdn: Some("n.example.org"), port: Some(1) };
        let filled = template.fill(&sample).ok_or_else(unknown_place)?;
        if filled.as_str().contains(['{', '}']) {
            return Err(unknown_place());
        }
        Ok(template)
    }

    /// The URL for a node; `None` while something it needs is not known, or if it would not be a
    /// cockpit URL.
    pub fn fill(&self, facts: &CockpitFacts<'_>) -> Option<CockpitUrl> {
        let mut text = self.0.replace("{name}", facts.name);
        for (place, value) in [("{ipv4}", facts.ipv4), ("{fqdn}", facts.fqdn)] {
            if text.contains(place) {
                text = text.replace(place, value?);
            }
        }
        if text.contains("{port}") {
            text = text.replace("{port}", &facts.port?.to_string());
        }
        text.parse().ok()
    }
}

/// Where a cockpit answers at a port of its host, when nothing else was wished.
pub fn cockpit_at(host: &str, port: u16) -> Option<CockpitUrl> {
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
    format!("http://{host}:{port}/").parse().ok()
}

fn unknown_place() -> Invalid {
    Invalid("a cockpit URL is http or https and may hold {fqdn}, {ipv4}, {name} and {port}".to_owned())
}

/// A decimal amount of money in millionths of the unit, for comparing prices exactly.
///
/// # Errors
/// [`Invalid`] unless the text is a plain non-negative decimal.
pub fn amount_micros(text: &str) -> Result<u64, Invalid> {
    let wrong = || Invalid("an amount is a plain decimal such as 4.51".to_owned());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 12 || !digits(whole) || !digits(fraction) {
        return Err(wrong());
    }
    let micros: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    let micros: u64 = micros.parse().map_err(|_| wrong())?;
    Ok(whole * 1_000_000 + micros)
}

/// An amount for people: at least two decimals, no trailing noise.
pub fn amount_display(text: &str) -> String {
    match amount_micros(text) {
        Ok(micros) => {
            let fraction = format!("{:06}", micros % 1_000_000);
            let fraction = fraction.trim_end_matches('0');
            format!("{}.{fraction:0<2}", micros / 1_000_000)
        }
        Err(_) => text.to_owned(),
    }
}

/// An amount for people, rounded to two decimals, for what is paid by the month.
pub fn amount_rounded(text: &str) -> String {
    match amount_micros(text) {
        Ok(micros) => {
            let cents = (micros + 5_000) / 10_000;
            format!("{}.{:02}", cents / 100, cents % 100)
        }
        Err(_) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "alpha", "a-1", &"x".repeat(54)] {
            assert!(good.parse::<NodeName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a b", "ä", &"x".repeat(55)] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad}");
        }
        assert!("vm-1.example:22_x".parse::<PoolVmId>().is_ok());
        assert!("../x".parse::<PoolVmId>().is_err());
    }

    #[test]
    fn cockpit_urls_are_http_only() {
        for good in ["http://127.0.0.1:8080/", "https://a.example.org", "https://a.example.org/x?y#z"] {
            assert!(good.parse::<CockpitUrl>().is_ok(), "{good}");
        }
        for bad in [
            "javascript:alert(1)",
            "JAVASCRIPT:alert(1)",
            "data:text/html,x",
            "//a.example.org",
            "http://",
            "http:///x",
            "http://user@evil.example",
            "http://a b",
            "http://a\n.b",
            "https://\"onclick=",
            "ftp://a",
        ] {
            assert!(bad.parse::<CockpitUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn templates() {
        let facts = CockpitFacts { name: "alpha", ipv4: Some("192.0.2.7"), fqdn: None, port: None };
        let t = CockpitTemplate::parse("http://{ipv4}:8080/{name}").unwrap();
        assert_eq!(t.fill(&facts).unwrap().as_str(), "http://192.0.2.7:8080/alpha");
        assert!(CockpitTemplate::parse("https://{fqdn}/").unwrap().fill(&facts).is_none());
        let at = CockpitTemplate::parse("http://{ipv4}:{port}/").unwrap();
        assert!(at.fill(&facts).is_none());
        assert_eq!(at.fill(&CockpitFacts { port: Some(8081), ..facts }).unwrap().as_str(), "http://192.0.2.7:8081/");
        assert_eq!(cockpit_at("stacks.example.org", 80).unwrap().as_str(), "http://stacks.example.org:80/");
        assert_eq!(cockpit_at("2001:db8::1", 80).unwrap().as_str(), "http://[2001:db8::1]:80/");
        assert!(cockpit_at("a b", 80).is_none());
        assert!(CockpitTemplate::parse("https://{other}/").is_err());
        assert!(CockpitTemplate::parse("javascript:{name}").is_err());
    }

    #[test]
    fn amounts() {
        assert_eq!(amount_micros("4.51"), Ok(4_510_000));
        assert_eq!(amount_micros("4.5100000000000000"), Ok(4_510_000));
        assert!(amount_micros("4,51").is_err());
        assert!(amount_micros("-1").is_err());
        assert_eq!(amount_display("4.5100000000"), "4.51");
        assert_eq!(amount_display("4"), "4.00");
        assert_eq!(amount_display("0.0063"), "0.0063");
        for (exact, shown) in [("2.9631", "2.96"), ("4.515", "4.52"), ("9.996", "10.00"), ("4", "4.00"), ("?", "?")] {
            assert_eq!(amount_rounded(exact), shown, "{exact}");
        }
    }
}
