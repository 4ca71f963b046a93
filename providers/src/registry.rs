//! Every kind of account that Hangar knows. Rule: one line per vendor; nothing else names one.

use domain::provider::ProviderKindView;

use crate::{
    adapter::ProviderAdapter, cloudflare::CloudflareAdapter, docker_compose::DockerComposeAdapter,
    hetzner::HetznerAdapter, rfc2136::Rfc2136Adapter,
};

/// Maps a kind to its adapter.
pub struct Registry {
    adapters: Vec<Box<dyn ProviderAdapter>>,
}

/// Other names that operators may use for a kind.
const ALIASES: &[(&str, &str)] = &[("docker", "docker-compose")];

impl Registry {
    /// Every adapter of this crate.
    pub fn standard() -> Self {
        Self {
            adapters: vec![
                Box::new(HetznerAdapter),
                Box::new(CloudflareAdapter),
                Box::new(Rfc2136Adapter),
                Box::new(DockerComposeAdapter),
            ],
        }
    }

    /// The same with one more adapter, in the place of one of its kind.
    pub fn with(mut self, adapter: Box<dyn ProviderAdapter>) -> Self {
        self.adapters.retain(|known| known.kind() != adapter.kind());
        self.adapters.push(adapter);
        self
    }

    /// The adapter of a kind.
    pub fn get(&self, kind: &str) -> Option<&dyn ProviderAdapter> {
        self.adapters.iter().find(|adapter| adapter.kind() == kind).map(AsRef::as_ref)
    }

    /// The kind that is meant by a name or an alias, if it is known.
    pub fn resolve(&self, name: &str) -> Option<&'static str> {
        let kind = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, kind)| kind);
        self.get(kind).map(ProviderAdapter::kind)
    }

    /// Every kind as the API and the pages show it.
    pub fn kinds(&self) -> Vec<ProviderKindView> {
        let view = |adapter: &dyn ProviderAdapter| ProviderKindView {
            kind: adapter.kind().to_owned(),
            display_name: adapter.display_name().to_owned(),
            capabilities: adapter.capabilities().to_vec(),
            has_blueprints: adapter.has_blueprints(),
            settings_schema: adapter.settings_schema(),
            secret_schema: adapter.secret_schema(),
            operations: adapter.operations(),
        };
        self.adapters.iter().map(|adapter| view(adapter.as_ref())).collect()
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::standard()
    }
}
