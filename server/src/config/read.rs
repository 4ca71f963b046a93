//! Turns given texts into values. The rule: a text that is not right becomes a fault and reading
//! goes on, so that one start shows every fault.

use std::{fmt, time::Duration};

use secrecy::SecretString;
use url::Url;

use crate::config::{
    source::{Origin, Sources},
    table::setting,
};

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFault {
    /// The variable.
    pub variable: String,
    /// What came; secrets only by their length.
    pub came: String,
    /// What would be right.
    pub right: String,
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: got {}; wanted {}", self.variable, self.came, self.right)
    }
}

/// Every fault of a configuration; one line each. The process ends with [`ConfigFaults::EXIT`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigFaults(pub Vec<ConfigFault>);

impl ConfigFaults {
    /// `EX_CONFIG` of sysexits.h.
    pub const EXIT: u8 = 78;

    /// One fault.
    pub fn one(variable: &str, came: impl Into<String>, right: impl Into<String>) -> Self {
        Self(vec![ConfigFault { variable: variable.to_owned(), came: came.into(), right: right.into() }])
    }
}

/// Reads values and collects faults.
pub(super) struct Reader<'a> {
    sources: &'a Sources,
    pub faults: Vec<ConfigFault>,
}

impl<'a> Reader<'a> {
    pub fn new(sources: &'a Sources) -> Self {
        Self { sources, faults: sources.faults.clone() }
    }

    /// Notes that `variable` is not right.
    pub fn fault(&mut self, variable: &str, right: impl Into<String>) {
        let came = match self.sources.get(variable) {
            None => "nothing".to_owned(),
            Some((value, origin)) if setting(variable).is_none_or(|s| s.secret) => {
                format!("a secret of {} characters ({origin})", value.chars().count())
            }
            Some((value, origin)) => format!("{:?} ({origin})", value.chars().take(200).collect::<String>()),
        };
        self.faults.push(ConfigFault { variable: variable.to_owned(), came, right: right.into() });
    }

    pub fn given(&self, variable: &str) -> bool {
        self.sources.get(variable).is_some_and(|(_, origin)| origin != Origin::Default)
    }

    pub fn text(&self, variable: &str) -> Option<String> {
        self.sources.get(variable).map(|(value, _)| value.trim().to_owned())
    }

    pub fn secret(&self, variable: &str) -> Option<SecretString> {
        self.text(variable).map(SecretString::from)
    }

    /// The parsed value; `None` when absent or wrong (then noted).
    pub fn parse<T>(&mut self, variable: &str, right: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.text(variable)?;
        let value = parse(&text);
        if value.is_none() {
            self.fault(variable, right);
        }
        value
    }

    /// An http or https address without query, fragment or credentials; without a slash at its end.
    pub fn url(&mut self, variable: &str) -> Option<Url> {
        self.parse(variable, "an address that begins with http:// or https://, without query and credentials", base_url)
    }

    pub fn list(&self, variable: &str) -> Vec<String> {
        let text = self.text(variable).unwrap_or_default();
        text.split(',').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect()
    }
}

/// Reads an http(s) base address.
pub(super) fn base_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let fits = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    fits.then_some(url)
}

/// Reads `500ms`, `60s`, `5m`, `2h`; never nothing.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().ok().filter(|n| *n > 0)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}
