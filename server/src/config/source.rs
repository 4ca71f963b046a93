//! Where settings come from: flags, the environment, a file. The rule: flag over environment over
//! file over default, and an empty text counts as not given.

use std::{collections::BTreeMap, ffi::OsString, fmt, path::Path};

use crate::config::{ConfigFault, table::SETTINGS};

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A flag of the command line.
    Flag,
    /// The environment.
    Environment,
    /// The file of `--config`.
    File,
    /// Nothing was given.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::File => "file",
            Self::Default => "default",
        })
    }
}

/// Everything that was given, by variable.
#[derive(Clone, Default)]
pub struct Sources {
    values: BTreeMap<&'static str, (String, Origin)>,
    pub(super) faults: Vec<ConfigFault>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl Sources {
    /// Takes the settings out of the flags (by variable), the environment and the file.
    pub fn gather<V: Into<OsString>>(
        flags: &BTreeMap<&'static str, String>,
        environment: impl Fn(&str) -> Option<V>,
        file: Option<&Path>,
    ) -> Self {
        let mut sources = Self::default();
        let from_file = file.map(|path| sources.file_read(path)).unwrap_or_default();
        for setting in SETTINGS {
            let given = [
                (flags.get(setting.variable).cloned(), Origin::Flag),
                (sources.text_of(setting.variable, environment(setting.variable)), Origin::Environment),
                (from_file.get(&setting.key()).cloned(), Origin::File),
            ];
            for (value, origin) in given {
                if let Some(value) = value.filter(|v| !v.trim().is_empty()) {
                    sources.values.insert(setting.variable, (value, origin));
                    break;
                }
            }
        }
        sources
    }

    /// What was given for `variable`, and where.
    pub fn get(&self, variable: &str) -> Option<(&str, Origin)> {
        self.values.get(variable).map(|(value, origin)| (value.as_str(), *origin))
    }

    /// The text of a variable; what is no text is a fault, not nothing.
    fn text_of(&mut self, variable: &str, value: Option<impl Into<OsString>>) -> Option<String> {
        match value?.into().into_string() {
            Ok(text) => Some(text),
            Err(bytes) => {
                self.fault(variable, format!("{} bytes that are not UTF-8 (environment)", bytes.len()), "UTF-8 text");
                None
            }
        }
    }

    fn fault(&mut self, variable: &str, came: impl Into<String>, right: impl Into<String>) {
        self.faults.push(ConfigFault { variable: variable.to_owned(), came: came.into(), right: right.into() });
    }

    fn file_read(&mut self, path: &Path) -> BTreeMap<String, String> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                self.fault("--config", format!("{}: {error}", path.display()), "a readable TOML file");
                return BTreeMap::new();
            }
        };
        match text.parse::<toml::Table>() {
            Ok(table) => {
                let mut found = BTreeMap::new();
                self.flatten("", table, &mut found);
                found
            }
            // Only the place: the line itself may hold a secret.
            Err(error) => {
                let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
                self.fault("--config", format!("{}: line {line} is not TOML", path.display()), "a TOML file");
                BTreeMap::new()
            }
        }
    }

    /// `[forge] url = …` is the key `forge_url`.
    fn flatten(&mut self, prefix: &str, table: toml::Table, found: &mut BTreeMap<String, String>) {
        for (name, value) in table {
            let key = if prefix.is_empty() { name } else { format!("{prefix}_{name}") };
            let known = SETTINGS.iter().find(|s| s.key() == key);
            match (known, value) {
                (Some(_), value @ (toml::Value::Array(_) | toml::Value::Table(_))) => {
                    found.insert(key, list_text(value));
                }
                (None, toml::Value::Table(inner)) => self.flatten(&key, inner, found),
                (Some(_), toml::Value::String(text)) => {
                    found.insert(key, text);
                }
                (Some(_), toml::Value::Boolean(yes)) => {
                    found.insert(key, if yes { "1" } else { "0" }.to_owned());
                }
                (Some(_), other) => {
                    found.insert(key, other.to_string());
                }
                (None, _) => {
                    let near = nearest(&key).map(|n| format!("; did you mean {n}?")).unwrap_or_default();
                    self.fault(
                        "--config",
                        format!("the unknown key {key}"),
                        format!("one of the documented keys{near}"),
                    );
                }
            }
        }
    }
}

/// A list of texts as the environment would give it (`a,b`); anything deeper as JSON.
fn list_text(value: toml::Value) -> String {
    if let toml::Value::Array(items) = &value {
        let texts: Option<Vec<&str>> = items.iter().map(toml::Value::as_str).collect();
        if let Some(texts) = texts {
            return texts.join(",");
        }
    }
    serde_json::to_string(&value).unwrap_or_default()
}

/// The known key that differs least, if one is close.
fn nearest(key: &str) -> Option<String> {
    let distance = |other: &str| {
        let other: Vec<char> = other.chars().collect();
        let mut row: Vec<usize> = (0..=other.len()).collect();
        for (i, a) in key.chars().enumerate() {
            let mut last = i;
            row[0] = i + 1;
            for (j, b) in other.iter().enumerate() {
                let cost = last + usize::from(a != *b);
                last = row[j + 1];
                row[j + 1] = cost.min(row[j] + 1).min(last + 1);
            }
        }
        row[other.len()]
    };
    SETTINGS.iter().map(|s| s.key()).map(|k| (distance(&k), k)).min().filter(|(d, _)| *d <= 3).map(|(_, k)| k)
}
