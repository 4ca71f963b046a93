//! The form that stores a blueprint. The rule: texts come in, a definition or marked fields come out;
//! what is wrong is marked at the row where it was typed.

use domain::{
    blueprint::{BlueprintCockpit, BlueprintDefinition, BlueprintService, BlueprintVariable, ServiceRole},
    valid::BlueprintName,
};
use serde::{Deserialize, Serialize};

use crate::{Fault, ui::FormReader};

/// A row of the services, as typed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceRow {
    /// Its name in the file; the row says nothing when empty.
    pub name: String,
    /// `application` or `data`.
    pub role: String,
    /// The most memory in MiB; no limit when empty.
    pub memory_mib: String,
    /// The most of a core in thousandths; no limit when empty.
    pub cpu_millis: String,
}

/// A row of the variables, as typed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VariableRow {
    /// Its name; the row says nothing when empty.
    pub name: String,
    /// What it is.
    pub description: String,
    /// What it is when nothing is given; it must be given when empty.
    pub default: String,
    /// `true` if Hangar makes a secret for each node.
    pub generate: String,
}

/// The fields, as typed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlueprintForm {
    /// The blueprint's name.
    pub name: String,
    /// The Compose file.
    pub file: String,
    /// Its services.
    pub services: Vec<ServiceRow>,
    /// What it asks for.
    pub variables: Vec<VariableRow>,
    /// The service that serves the cockpit; none when empty.
    pub cockpit_service: String,
    /// The port inside its container.
    pub cockpit_port: String,
    /// The version of new nodes; `latest` when empty.
    pub tag: String,
    /// `true` if the file may claim fixed ports of the host.
    pub allow_host_ports: String,
}

impl BlueprintForm {
    /// The definition that was typed. Field errors carry the pointers of the form's rows.
    ///
    /// # Errors
    /// The fields that cannot be used.
    pub fn read(&self) -> Result<(BlueprintName, BlueprintDefinition), Fault> {
        let mut reader = FormReader::default();
        let name: Option<BlueprintName> = reader.required("/name", &self.name, "give it a name");
        let mut services = Vec::new();
        for (at, row) in self.services.iter().enumerate() {
            let Some(name) = FormReader::text(&row.name) else {
                if FormReader::text(&row.memory_mib).or(FormReader::text(&row.cpu_millis)).is_some() {
                    reader
                        .check::<(), _>(&format!("/services/{at}/name"), Some(Err("which service of the file is it?")));
                }
                continue;
            };
            services.push(BlueprintService {
                name,
                role: if row.role == "data" { ServiceRole::Data } else { ServiceRole::Application },
                memory_mib: reader.number(&format!("/services/{at}/memory_mib"), &row.memory_mib),
                cpu_millis: reader.number(&format!("/services/{at}/cpu_millis"), &row.cpu_millis),
            });
        }
        let mut variables = Vec::new();
        for (at, row) in self.variables.iter().enumerate() {
            let Some(name) = FormReader::text(&row.name) else {
                if !row.default.is_empty() || !row.description.is_empty() || row.generate == "true" {
                    reader.check::<(), _>(&format!("/variables/{at}/name"), Some(Err("give it a name")));
                }
                continue;
            };
            variables.push(BlueprintVariable {
                name,
                description: row.description.trim().to_owned(),
                default: (!row.default.is_empty()).then(|| row.default.clone()),
                generate: row.generate == "true",
            });
        }
        let cockpit = FormReader::text(&self.cockpit_service).and_then(|service| {
            let port = reader.required("/cockpit/port", &self.cockpit_port, "give the port inside its container")?;
            Some(BlueprintCockpit { service, port })
        });
        let definition = BlueprintDefinition {
            // Browsers send line breaks as CR LF.
            file: self.file.replace("\r\n", "\n"),
            services,
            variables,
            cockpit,
            tag: FormReader::text(&self.tag).unwrap_or_else(|| "latest".to_owned()),
            allow_host_ports: self.allow_host_ports == "true",
        };
        for error in definition.check().err().unwrap_or_default() {
            reader.check::<(), _>(&self.at_its_row(&error.pointer), Some(Err(error.message)));
        }
        reader.finish(|| Some((name?, definition)))
    }

    /// What the server refused, marked at the rows as they were typed.
    #[must_use]
    pub fn at_its_rows(&self, fault: Fault) -> Fault {
        fault.pointing(|pointer| self.at_its_row(pointer))
    }

    /// The pointer at the row as it was typed: rows that say nothing are not part of the definition.
    fn at_its_row(&self, pointer: &str) -> String {
        let typed = || {
            let (list, rest) = pointer.strip_prefix('/')?.split_once('/')?;
            let (at, field) = rest.split_once('/')?;
            let names: Vec<&String> = match list {
                "services" => self.services.iter().map(|row| &row.name).collect(),
                "variables" => self.variables.iter().map(|row| &row.name).collect(),
                _ => return None,
            };
            let mut filled = names.iter().enumerate().filter(|(_, name)| !name.trim().is_empty());
            let (place, _) = filled.nth(at.parse().ok()?)?;
            Some(format!("/{list}/{place}/{field}"))
        };
        typed().unwrap_or_else(|| pointer.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, role: &str) -> ServiceRow {
        ServiceRow { name: name.to_owned(), role: role.to_owned(), ..ServiceRow::default() }
    }

    fn form() -> BlueprintForm {
        BlueprintForm {
            name: "shop".to_owned(),
            file: "services:\r\n  web: {}\r\n".to_owned(),
            services: vec![service("", "data"), service("web", "application"), service("db", "data")],
            cockpit_service: "web".to_owned(),
            cockpit_port: "80".to_owned(),
            ..BlueprintForm::default()
        }
    }

    #[test]
    fn empty_rows_say_nothing() {
        let (name, definition) = form().read().unwrap();
        assert_eq!((name.as_str(), definition.file.as_str()), ("shop", "services:\n  web: {}\n"));
        let roles: Vec<_> = definition.services.iter().map(|one| (one.name.as_str(), one.role)).collect();
        assert_eq!(roles, [("web", ServiceRole::Application), ("db", ServiceRole::Data)]);
        assert_eq!((definition.tag.as_str(), definition.cockpit.unwrap().port), ("latest", 80));
    }

    #[test]
    fn a_wrong_row_is_marked_where_it_was_typed() {
        let mut wrong = form();
        wrong.services[2].name = "No Good".to_owned();
        wrong.services[1].memory_mib = "much".to_owned();
        wrong.cockpit_port = "0".to_owned();
        wrong.variables = vec![VariableRow::default(), VariableRow { name: "a".to_owned(), ..VariableRow::default() }];
        let fault = wrong.read().unwrap_err();
        for pointer in ["/services/2/name", "/services/1/memory_mib", "/variables/1/name", "/cockpit/port"] {
            assert!(fault.field(pointer).is_some(), "{pointer} is not marked: {fault:?}");
        }
        let mut nameless = form();
        nameless.services[0].cpu_millis = "500".to_owned();
        nameless.variables = vec![VariableRow { default: "x".to_owned(), ..VariableRow::default() }];
        let fault = nameless.read().unwrap_err();
        assert!(fault.field("/services/0/name").is_some() && fault.field("/variables/0/name").is_some(), "{fault:?}");
        let told = Fault::fields(vec![domain::list::FieldError {
            pointer: "/services/1/name".to_owned(),
            message: "is not in the file".to_owned(),
        }]);
        assert!(form().at_its_rows(told).field("/services/2/name").is_some());
    }
}
