//! A project as the engine has it. Rule: it is read whole before anything is judged or changed, and
//! one thing in it that is not ours makes it somebody else's.

use std::collections::BTreeMap;

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum as State, PortSummaryTypeEnum};

use domain::time::Timestamp;

use super::{
    core::Core,
    labels::{self, Labels},
};
use crate::{
    error::ProviderError,
    infra::{MachinePower, MachineStatus, PartTrouble, Trouble},
};

/// How a container stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Running,
    /// Made and never started, or ended.
    Stopped,
    /// It is being started again, paused or taken away.
    Between,
}

/// What its health check last said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// It has none.
    Unchecked,
    Starting,
    Healthy,
    Unhealthy,
}

/// A container of a stack.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    pub(super) id: String,
    pub(super) labels: Labels,
    pub(super) standing: Standing,
    pub(super) health: Health,
    /// Whether it has been running for a little while: what ends at once, again and again, runs in
    /// between.
    pub(super) settled: bool,
    /// The volumes that it has, with where.
    pub(super) volumes: Vec<(String, String)>,
    /// The engine's id of the image that it was made from.
    pub(super) image: Option<String>,
    /// Ports inside, with those of the host.
    ports: Vec<(u16, u16)>,
    /// Seconds since 1970.
    created: Option<i64>,
}

impl Unit {
    fn read(told: ContainerSummary) -> Option<Self> {
        let status = told.status.unwrap_or_default();
        // Older engines tell the health in their words on the state alone.
        let health = match () {
            () if status.contains("(healthy)") => Health::Healthy,
            () if status.contains("(unhealthy)") => Health::Unhealthy,
            () if status.contains("(health: starting)") => Health::Starting,
            () => Health::Unchecked,
        };
        // The engine counts by its own clock.
        let settled = !status.starts_with("Up Less than a second") && !status.starts_with("Up 1 second");
        let standing = match told.state {
            Some(State::RUNNING) => Standing::Running,
            Some(State::CREATED | State::EXITED | State::DEAD) => Standing::Stopped,
            _ => Standing::Between,
        };
        let mounts = told.mounts.unwrap_or_default().into_iter();
        let volumes = mounts
            .filter(|mount| mount.typ.as_deref() == Some("volume"))
            .filter_map(|mount| Some((mount.name?, mount.destination?)))
            .collect();
        let mut ports: Vec<_> = told.ports.unwrap_or_default();
        ports.retain(|port| port.typ.is_none_or(|kind| kind == PortSummaryTypeEnum::TCP));
        // The same port is told for both families of addresses.
        ports.sort_by_key(|port| port.ip.as_deref().is_some_and(|ip| ip.contains(':')));
        let ports = ports.into_iter().filter_map(|port| Some((port.private_port, port.public_port?))).collect();
        let labels = told.labels.unwrap_or_default();
        let (image, created) = (told.image_id, told.created);
        Some(Self { id: told.id?, labels, standing, health, settled, volumes, image, ports, created })
    }

    pub(super) fn is_application(&self) -> bool {
        labels::is(&self.labels, labels::ROLE, labels::APPLICATION)
    }

    pub(super) fn is_data(&self) -> bool {
        labels::is(&self.labels, labels::ROLE, labels::DATA)
    }

    /// Its volumes that have no name: the engine gave them one, and they carry no label of ours.
    pub(super) fn nameless(&self) -> impl Iterator<Item = &String> {
        let is_made_up = |name: &str| name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
        self.volumes.iter().map(|(name, _)| name).filter(move |name| is_made_up(name))
    }

    pub(super) fn service(&self) -> &str {
        self.labels.get(labels::SERVICE).map_or("", String::as_str)
    }

    fn trouble(&self) -> Option<Trouble> {
        match (self.standing, self.health) {
            (Standing::Stopped, _) => Some(Trouble::Stopped),
            (Standing::Between, _) => Some(Trouble::Restarting),
            (Standing::Running, Health::Healthy) => None,
            (Standing::Running, Health::Unchecked) => (!self.settled).then_some(Trouble::Restarting),
            (Standing::Running, Health::Starting) => Some(Trouble::Starting),
            (Standing::Running, Health::Unhealthy) => Some(Trouble::Unhealthy),
        }
    }
}

/// A volume or a network of a stack.
#[derive(Debug, Clone)]
pub(super) struct Thing {
    /// What it is taken away by: a volume's name, a network's id.
    pub(super) id: String,
    pub(super) labels: Labels,
}

/// A project.
#[derive(Debug, Clone, Default)]
pub(super) struct Stack {
    pub(super) units: Vec<Unit>,
    pub(super) volumes: Vec<Thing>,
    pub(super) networks: Vec<Thing>,
}

impl Stack {
    /// What is there of a project, whoever made it.
    pub(super) async fn read(core: &Core, project: &str) -> Result<Self, ProviderError> {
        Self::labelled(core, &format!("{}={project}", labels::PROJECT)).await
    }

    /// What is there with a label.
    pub(super) async fn labelled(core: &Core, label: &str) -> Result<Self, ProviderError> {
        let engine = &core.engine;
        let units = engine.containers(label).await?.into_iter().filter_map(Unit::read).collect();
        let volumes = engine.volumes(label).await?.into_iter();
        let volumes = volumes.map(|it| Thing { id: it.name, labels: it.labels }).collect();
        let networks = engine.networks(label).await?.into_iter();
        let networks =
            networks.filter_map(|it| Some(Thing { id: it.id?, labels: it.labels.unwrap_or_default() })).collect();
        Ok(Self { units, volumes, networks })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.units.is_empty() && self.volumes.is_empty() && self.networks.is_empty()
    }

    /// Whether nothing of it is there but notes of commands that were run.
    pub(super) fn is_gone(&self) -> bool {
        let is_note = |volume: &Thing| volume.labels.contains_key(labels::EXEC);
        self.units.is_empty() && self.networks.is_empty() && self.volumes.iter().all(is_note)
    }

    pub(super) fn all_labels(&self) -> impl Iterator<Item = &Labels> {
        let things = self.volumes.iter().chain(&self.networks).map(|it| &it.labels);
        self.units.iter().map(|it| &it.labels).chain(things)
    }

    /// Whether everything of it passes.
    pub(super) fn all(&self, test: impl Fn(&Labels) -> bool) -> bool {
        self.all_labels().all(test)
    }

    /// What of it passes.
    pub(super) fn only(mut self, test: impl Fn(&Labels) -> bool) -> Self {
        self.units.retain(|it| test(&it.labels));
        self.volumes.retain(|it| test(&it.labels));
        self.networks.retain(|it| test(&it.labels));
        self
    }

    /// Its projects by their names.
    pub(super) fn projects(self) -> BTreeMap<String, Self> {
        let mut all: BTreeMap<String, Self> = BTreeMap::new();
        let name = |labels: &Labels| labels.get(labels::PROJECT).cloned();
        for unit in self.units {
            let Some(name) = name(&unit.labels) else { continue };
            all.entry(name).or_default().units.push(unit);
        }
        for volume in self.volumes {
            let Some(name) = name(&volume.labels) else { continue };
            all.entry(name).or_default().volumes.push(volume);
        }
        for network in self.networks {
            let Some(name) = name(&network.labels) else { continue };
            all.entry(name).or_default().networks.push(network);
        }
        all
    }

    /// What its power depends on: the application services, or all where it has none.
    pub(super) fn leading(&self) -> Vec<&Unit> {
        let applications: Vec<_> = self.units.iter().filter(|it| it.is_application()).collect();
        if applications.is_empty() { self.units.iter().collect() } else { applications }
    }

    /// The services that have no container, as between an old one and its new one, each with its role
    /// where that is told.
    fn lacking_roles(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let mut told: Vec<_> = self.units.iter().filter_map(|it| it.labels.get(labels::SERVICES)).collect();
        // What was made before roles were told may stand beside what was made since.
        told.sort_by_key(|it| !it.contains(':'));
        let wanted = told.first().map_or("", |it| it.as_str()).split(',').filter(|it| !it.is_empty());
        let parted = wanted.map(|it| it.split_once(':').map_or((it, None), |(name, role)| (name, Some(role))));
        parted.filter(|(name, _)| !self.units.iter().any(|it| it.service() == *name))
    }

    fn lacking(&self) -> Vec<&str> {
        self.lacking_roles().map(|(name, _)| name).collect()
    }

    /// A service without a container that may have kept something.
    pub(super) fn lacking_data(&self) -> Option<&str> {
        self.lacking_roles().find(|(_, role)| role.is_none_or(|role| role == labels::DATA)).map(|(name, _)| name)
    }

    pub(super) fn lacks_some(&self) -> bool {
        !self.lacking().is_empty()
    }

    /// What keeps its services from serving; nothing when all of them run and are well.
    pub(super) fn troubles(&self) -> Vec<PartTrouble> {
        let of = |part: &str, trouble| PartTrouble { part: part.to_owned(), trouble };
        if self.units.is_empty() {
            return vec![of("every service", Trouble::Missing)];
        }
        let missing = self.lacking().into_iter().map(|name| of(name, Trouble::Missing));
        let mut all: Vec<_> = self.units.iter().filter_map(|it| Some(of(it.service(), it.trouble()?))).collect();
        all.extend(missing);
        all.sort_by(|one, other| one.part.cmp(&other.part));
        all
    }

    pub(super) fn power(&self) -> MachinePower {
        let leading = self.leading();
        let all = |standing| leading.iter().all(|it| it.standing == standing);
        if leading.is_empty() {
            return MachinePower::Unknown;
        }
        match () {
            () if self.lacks_some() => MachinePower::Changing,
            () if all(Standing::Running) => MachinePower::Running,
            () if all(Standing::Stopped) => MachinePower::Off,
            () if leading.iter().any(|it| it.standing == Standing::Between) => MachinePower::Changing,
            () => MachinePower::Unknown,
        }
    }

    /// The version, where the application services agree on it.
    pub(super) fn tag(&self) -> Option<String> {
        let mut tags = self.units.iter().filter(|it| it.is_application()).map(|it| it.labels.get(labels::TAG));
        let first = tags.next()??;
        tags.all(|tag| tag == Some(first)).then(|| first.clone())
    }

    fn cockpit_port(&self) -> Option<u16> {
        self.units.iter().find_map(|unit| {
            let inside = unit.labels.get(labels::COCKPIT)?.parse::<u16>().ok()?;
            unit.ports.iter().find(|(port, _)| *port == inside).map(|(_, outside)| *outside)
        })
    }

    pub(super) fn into_status(self, core: &Core, project: &str) -> MachineStatus {
        let host = core.settings.public_host.clone();
        let ip = host.parse::<std::net::IpAddr>().ok();
        let label = |key| self.all_labels().find_map(|labels| labels.get(key).cloned());
        let ours = self.all(|labels| labels::is(labels, labels::INSTANCE, &core.instance));
        let node_id = label(labels::NODE).filter(|_| ours);
        let name = label(labels::NAME).filter(|_| ours).unwrap_or_else(|| project.to_owned());
        let created = self.units.iter().filter_map(|it| it.created).min();
        let troubles = self.troubles();
        MachineStatus {
            infra_id: project.to_owned(),
            name,
            status: self.power(),
            ipv4: ip.filter(std::net::IpAddr::is_ipv4).map(|ip| ip.to_string()),
            ipv6: ip.filter(std::net::IpAddr::is_ipv6).map(|ip| ip.to_string()),
            host: Some(host),
            server_type: None,
            location: None,
            image: self.tag(),
            ours,
            node_id,
            created: created.map(|seconds| Timestamp::from_millis(seconds * 1000).rfc3339()),
            cockpit_port: self.cockpit_port(),
            troubles,
        }
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ContainerSummary;

    use super::{Stack, Unit, labels};

    fn stack(units: &[(&str, &str)]) -> Stack {
        let units = units.iter().filter_map(|(service, services)| {
            let labels = [(labels::SERVICE, service), (labels::SERVICES, services)];
            let labels = labels.map(|(key, value)| (key.to_owned(), (*value).to_owned())).into();
            Unit::read(ContainerSummary { id: Some((*service).to_owned()), labels: Some(labels), ..Default::default() })
        });
        Stack { units: units.collect(), ..Stack::default() }
    }

    #[test]
    fn what_is_missing_is_told_by_those_that_are_there() {
        let (new, old) = ("db:data,web:application,side:application", "db,web,side");
        for (units, lacking, data) in [
            (&[("web", new)][..], &["db", "side"][..], Some("db")),
            (&[("db", new), ("web", new)], &["side"], None),
            (&[("db", new), ("web", new), ("side", new)], &[], None),
            // Where no role is told, any of them may have kept something.
            (&[("db", old), ("web", old)], &["side"], Some("side")),
            (&[("web", old), ("side", old)], &["db"], Some("db")),
            // An upgrade makes the application services anew.
            (&[("db", old), ("web", new)], &["side"], None),
            (&[], &[], None),
        ] {
            let stack = stack(units);
            assert_eq!((stack.lacking(), stack.lacking_data()), (lacking.to_vec(), data), "{units:?}");
        }
    }
}
