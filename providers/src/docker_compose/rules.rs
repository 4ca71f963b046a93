//! Judges a blueprint: what of its file may be run, and whether it is what the blueprint says of it.
//! Rule: every refusal names its field, and what passes is written anew as the model says; the text
//! itself goes nowhere.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    blueprint::{BlueprintDefinition, ENTRIES_MOST, ServiceRole},
    list::FieldError,
};
use serde_json::{Map, Value, json};

use super::{
    fields::{self, Known, Wrong, entries, wrong},
    model::{Model, Service},
    variables,
    yaml::{self, Node, Yaml},
};
use crate::error::field_error;

/// How much of a file's own words a refusal repeats.
const SHOWN_MOST: usize = 80;

/// The most refusals of one file.
const ERRORS_MOST: usize = 50;

/// What may be run of a blueprint.
///
/// # Errors
/// Every field that speaks against it, with pointers such as `/file`; what stands in the file is
/// named with its line and its path.
pub(super) fn model_of(blueprint: &BlueprintDefinition) -> Result<Model, Vec<FieldError>> {
    blueprint.check()?;
    let mut errors = Vec::new();
    for (index, variable) in blueprint.variables.iter().enumerate() {
        if variables::ENVIRONMENT.contains(&variable.name.as_str()) {
            let message = "is a name that Compose takes from its own environment; choose another";
            errors.push(field_error(format!("/variables/{index}/name"), message));
        }
    }
    if blueprint.services.is_empty() {
        errors.push(field_error("/services", "must name every service of the file and what it is for"));
    }
    let tree = match yaml::read(&blueprint.file) {
        Ok(tree) => tree,
        Err(unreadable) => {
            errors.push(field_error("/file", format!("line {}: {}", unreadable.line, unreadable.message)));
            return Err(errors);
        }
    };
    let mut judge = Judge { blueprint, errors };
    let model = judge.file(&tree);
    match model {
        Some(model) if judge.errors.is_empty() => Ok(model),
        _ => Err(judge.errors),
    }
}

struct Judge<'a> {
    blueprint: &'a BlueprintDefinition,
    errors: Vec<FieldError>,
}

impl Judge<'_> {
    fn refuse(&mut self, place: &str, found: Wrong) {
        if self.errors.len() >= ERRORS_MOST {
            return;
        }
        let whole = [place, &found.path].iter().filter(|it| !it.is_empty()).copied().collect::<Vec<_>>().join(".");
        let shown: String = whole.chars().filter(|c| !c.is_control()).take(SHOWN_MOST).collect();
        let what = if shown.is_empty() { String::new() } else { format!("{shown} ") };
        self.errors.push(field_error("/file", format!("line {}: {what}{}", found.line, found.message)));
    }

    /// What a part of the file is, or nothing when it was refused.
    fn take<T>(&mut self, place: &str, part: Result<T, Wrong>) -> Option<T> {
        part.map_err(|found| self.refuse(place, found)).ok()
    }

    fn file(&mut self, tree: &Node) -> Option<Model> {
        let top = self.take("", entries(tree, ""))?;
        let part = |name: &str| top.iter().find(|(key, _)| key == name).map(|(_, node)| node);
        for (key, node) in top {
            match key.as_str() {
                // The version is of the time before Compose 2, which does not look at it.
                "services" | "volumes" | "networks" | "version" => {}
                "name" => {
                    let message = "is not allowed: every node is a project of its own";
                    self.refuse("", Wrong { path: key.clone(), line: node.line, message: message.to_owned() });
                }
                "include" | "secrets" | "configs" => {
                    let message = "is not allowed: nothing is read from files";
                    self.refuse("", Wrong { path: key.clone(), line: node.line, message: message.to_owned() });
                }
                _ => {
                    let message = "is not known to be harmless, so it is not allowed";
                    self.refuse("", Wrong { path: key.clone(), line: node.line, message: message.to_owned() });
                }
            }
        }
        let volumes = self.named(part("volumes"), "volumes", volume)?;
        let networks = self.named(part("networks"), "networks", network)?;
        let Some(services) = part("services") else {
            self.errors.push(field_error("/file", "must have services"));
            return None;
        };
        let services = self.take("services", few(services))?;
        let written = self.services(services, &volumes, &networks);
        self.compared(services);
        self.cockpit(&written);
        if self.errors.is_empty() {
            self.circles(services, &written);
        }
        if !self.errors.is_empty() {
            return None;
        }
        Some(self.model(written, &volumes, &networks))
    }

    /// The volumes or networks of the file, each with what it is written as.
    fn named(
        &mut self,
        node: Option<&Node>,
        place: &str,
        one: fn(&Node) -> Result<Value, Wrong>,
    ) -> Option<BTreeMap<String, Value>> {
        let mut all = BTreeMap::new();
        let Some(node) = node.filter(|node| node.value != Yaml::Null) else { return Some(all) };
        for (name, node) in self.take(place, few(node))? {
            let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
            if name.len() > 63 || !name.bytes().all(fine) || name.starts_with(['_', '-']) || name.starts_with("hangar")
            {
                let message = "must be named by 1 to 63 of a-z, 0-9, _ and -, beginning with a letter or digit, and \
                    not with hangar";
                self.refuse(place, Wrong { path: name.clone(), line: node.line, message: message.to_owned() });
                continue;
            }
            if let Some(value) = self.take(&format!("{place}.{name}"), one(node)) {
                all.insert(name.clone(), value);
            }
        }
        Some(all)
    }

    fn services(
        &mut self,
        services: &[(String, Node)],
        volumes: &BTreeMap<String, Value>,
        networks: &BTreeMap<String, Value>,
    ) -> BTreeMap<String, Map<String, Value>> {
        let blueprint = self.blueprint;
        let declared = blueprint.variables.iter().map(|it| it.name.as_str());
        let known = Known {
            variables: &declared.chain(variables::OWN).collect::<Vec<_>>(),
            secrets: &blueprint
                .variables
                .iter()
                .filter(|it| it.generate)
                .map(|it| it.name.as_str())
                .collect::<Vec<_>>(),
            services: &services.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            volumes: &volumes.keys().map(String::as_str).collect::<Vec<_>>(),
            networks: &networks.keys().map(String::as_str).collect::<Vec<_>>(),
            host_ports: blueprint.allow_host_ports,
        };
        let mut all = BTreeMap::new();
        for (name, node) in services {
            let place = format!("services.{name}");
            let Some(told) = self.take(&place, entries(node, "")) else { continue };
            let mut written = Map::new();
            for (key, value) in told {
                if let Some(value) = self.take(&place, fields::field(key, value, known)) {
                    written.insert(key.clone(), value);
                }
            }
            if !told.iter().any(|(key, _)| key == "image") {
                self.refuse(
                    &place,
                    Wrong { path: String::new(), line: node.line, message: "must have an image".into() },
                );
            }
            all.insert(name.clone(), written);
        }
        all
    }

    /// Whether the blueprint names the services of the file, each and no other.
    fn compared(&mut self, services: &[(String, Node)]) {
        let blueprint = self.blueprint;
        for (index, told) in blueprint.services.iter().enumerate() {
            if !services.iter().any(|(name, _)| *name == told.name) {
                self.errors.push(field_error(format!("/services/{index}/name"), "is no service of the file"));
            }
        }
        for (name, node) in services {
            if !blueprint.services.iter().any(|told| told.name == *name) {
                let message = "must also stand among the blueprint's services, as application or data";
                let path = name.clone();
                self.refuse("services", Wrong { path, line: node.line, message: message.to_owned() });
            }
        }
    }

    fn cockpit(&mut self, written: &BTreeMap<String, Map<String, Value>>) {
        let Some(cockpit) = &self.blueprint.cockpit else { return };
        let Some(service) = written.get(&cockpit.service) else { return };
        let ports = service.get("ports").and_then(Value::as_array).cloned().unwrap_or_default();
        let is_it = |port: &Value| port["target"] == cockpit.port && port["protocol"] != "udp";
        if !ports.iter().any(is_it) {
            let message = "is not among the ports that the service publishes in the file";
            self.errors.push(field_error("/cockpit/port", message));
        }
    }

    /// Services that wait for one another.
    fn circles(&mut self, services: &[(String, Node)], written: &BTreeMap<String, Map<String, Value>>) {
        let awaited = |name: &str| -> Vec<&str> {
            match written.get(name).and_then(|service| service.get("depends_on")) {
                Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
                Some(Value::Object(names)) => names.keys().map(String::as_str).collect(),
                _ => Vec::new(),
            }
        };
        for (name, node) in services {
            let mut reached: BTreeSet<&str> = BTreeSet::new();
            let mut open = awaited(name);
            while let Some(next) = open.pop() {
                if reached.insert(next) {
                    open.extend(awaited(next));
                }
            }
            if reached.contains(name.as_str()) {
                let path = format!("{name}.depends_on");
                let message = "goes round in a circle".to_owned();
                self.refuse("services", Wrong { path, line: node.line, message });
            }
        }
    }

    fn model(
        &self,
        mut written: BTreeMap<String, Map<String, Value>>,
        volumes: &BTreeMap<String, Value>,
        networks: &BTreeMap<String, Value>,
    ) -> Model {
        let blueprint = self.blueprint;
        let mut uses: BTreeMap<String, ServiceRole> =
            volumes.keys().map(|name| (name.clone(), ServiceRole::Application)).collect();
        let mut services = Vec::new();
        for told in &blueprint.services {
            let service = written.entry(told.name.clone()).or_default();
            if told.role == ServiceRole::Data {
                for mount in service.get("volumes").and_then(Value::as_array).into_iter().flatten() {
                    if let Some(role) = mount["source"].as_str().and_then(|name| uses.get_mut(name)) {
                        *role = ServiceRole::Data;
                    }
                }
            }
            let image = service.get("image").and_then(Value::as_str).unwrap_or_default().to_owned();
            services.push(Service { told: told.clone(), image });
        }
        let networks_known: BTreeSet<String> = networks.keys().cloned().chain(["default".to_owned()]).collect();
        let mut document = json!({"services": written});
        if !volumes.is_empty() {
            document["volumes"] = json!(volumes);
        }
        if !networks.is_empty() {
            document["networks"] = json!(networks);
        }
        Model {
            document,
            services,
            volumes: uses,
            networks: networks_known,
            cockpit: blueprint.cockpit.as_ref().map(|it| (it.service.clone(), it.port)),
        }
    }
}

/// The entries of a map that has no more than a blueprint may have: what is compared with one another
/// stays little.
fn few(node: &Node) -> Result<&[(String, Node)], Wrong> {
    let all = entries(node, "")?;
    if all.len() > ENTRIES_MOST {
        return wrong(node, "", format!("must have at most {ENTRIES_MOST} entries"));
    }
    Ok(all)
}

/// A volume of the file: one of the engine's own kind.
fn volume(node: &Node) -> Result<Value, Wrong> {
    let mut all = Map::new();
    for (key, value) in if node.value == Yaml::Null { &[][..] } else { entries(node, "")? } {
        match key.as_str() {
            "labels" => all.insert(key.clone(), fields::labels(value, key)?),
            "external" | "name" => return wrong(value, key, "is not allowed: every node has volumes of its own"),
            "driver" | "driver_opts" => return wrong(value, key, "is not allowed: it can reach paths of the host"),
            _ => return wrong(value, key, "is not known to be harmless, so it is not allowed"),
        };
    }
    Ok(Value::Object(all))
}

/// A network of the file: a bridge of its own.
fn network(node: &Node) -> Result<Value, Wrong> {
    let mut all = Map::new();
    for (key, value) in if node.value == Yaml::Null { &[][..] } else { entries(node, "")? } {
        match (key.as_str(), &value.value) {
            ("labels", _) => all.insert(key.clone(), fields::labels(value, key)?),
            ("internal", Yaml::Bool(truth)) => all.insert(key.clone(), json!(truth)),
            ("driver", Yaml::Text(driver)) if driver == "bridge" => all.insert(key.clone(), json!(driver)),
            ("external" | "name", _) => {
                return wrong(value, key, "is not allowed: every node has networks of its own");
            }
            _ => return wrong(value, key, "is not known to be harmless, so it is not allowed"),
        };
    }
    Ok(Value::Object(all))
}
