//! What is left of a blueprint once it was judged: the file written anew, and what the verbs need to
//! know of it. Rule: it comes from [`rules`](super::rules) alone.

use std::collections::{BTreeMap, BTreeSet};

use domain::blueprint::{BlueprintService, ServiceRole};
use serde_json::Value;

/// A blueprint that may be run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Model {
    /// The file, with its `${NAME}`s.
    pub(super) document: Value,
    /// Each service, in the blueprint's order.
    pub(super) services: Vec<Service>,
    /// The named volumes, by what uses them: data when any data service does.
    pub(super) volumes: BTreeMap<String, ServiceRole>,
    /// The networks that the file names, and `default`.
    pub(super) networks: BTreeSet<String>,
    /// The service that serves the cockpit and its port.
    pub(super) cockpit: Option<(String, u16)>,
}

/// A service that may be run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Service {
    pub(super) told: BlueprintService,
    /// Its image, with its `${NAME}`s.
    pub(super) image: String,
}

impl Model {
    /// The ports of the host that it takes for itself, in words.
    pub(super) fn claims(&self) -> Vec<String> {
        let services = self.document["services"].as_object().into_iter().flat_map(|all| all.values());
        let ports = services.filter_map(|service| service["ports"].as_array()).flatten();
        let claim = |port: &Value| {
            let (published, protocol) = (port["published"].as_str()?, port["protocol"].as_str().unwrap_or("tcp"));
            Some(match port["host_ip"].as_str() {
                Some(ip) => format!("port {ip}:{published}/{protocol}"),
                None => format!("port {published}/{protocol}"),
            })
        };
        ports.filter_map(claim).collect()
    }

    /// Whether a service keeps data.
    pub(super) fn is_data(&self, name: &str) -> bool {
        self.services.iter().any(|it| it.told.name == name && it.told.role == ServiceRole::Data)
    }

    /// The application services, in the order in which they are made anew.
    pub(super) fn applications(&self) -> impl Iterator<Item = &Service> {
        self.services.iter().filter(|service| service.told.role == ServiceRole::Application)
    }
}
