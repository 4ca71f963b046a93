//! Finds the server of a node. Rule: an id is believed only after its labels were read and are this
//! node's; what is not ours is left alone, whatever its name.

use domain::code::Code;
use tokio::time::Instant;

use super::{
    core::Core,
    errors::Scope,
    labels,
    wire::{Server, is_id},
};
use crate::{
    budget::Class,
    error::ProviderError,
    infra::{MachinePower, MachineTarget},
};

/// The server of this id, whosever it is; `None` when the vendor does not know it (any more).
pub(super) async fn by_id(core: &Core, class: Class, id: &str) -> Result<Option<Server>, ProviderError> {
    let until = Instant::now() + core.timeouts.read * 3;
    match core.get_patiently(class, &format!("/servers/{id}"), &[], Scope::Resource, until).await {
        Ok(answer) => Server::read(&answer["server"]).map(Some).ok_or_else(|| answer.unreadable()),
        Err(error) if error.code == Code::ProviderResourceGone => Ok(None),
        Err(error) => Err(error),
    }
}

/// The server of this name, whosever it is.
pub(super) async fn by_name(core: &Core, class: Class, name: &str) -> Result<Option<Server>, ProviderError> {
    let deadline = Instant::now() + core.timeouts.read * 3;
    let answer = core.get_patiently(class, "/servers", &[("name", name)], Scope::Collection, deadline).await?;
    let Some(servers) = answer["servers"].as_array() else { return Err(answer.unreadable()) };
    // The filter is only a help: whoever ignores it is not believed.
    let named = servers.iter().find(|server| server["name"] == name);
    match named {
        Some(server) => Server::read(server).map(Some).ok_or_else(|| answer.unreadable()),
        None if answer["meta"]["pagination"]["next_page"].is_u64() => {
            let servers = core.list(class, "/servers", "servers", &[("name", name)]).await?;
            Ok(servers.iter().filter_map(Server::read).find(|server| server.name == name))
        }
        None => Ok(None),
    }
}

/// The node's server by its id; `None` when it is gone, or the id is none.
///
/// # Errors
/// `PROVIDER_NAME_CONFLICT` when the id belongs to something that is not this node's.
pub(super) async fn ours_by_id(core: &Core, id: &str, target: &MachineTarget) -> Result<Option<Server>, ProviderError> {
    if !is_id(id) {
        return Ok(None);
    }
    match by_id(core, Class::Tend, id).await? {
        Some(server) if !labels::is_nodes(&server, &core.instance, &target.node_id) => Err(foreign()),
        found => Ok(found),
    }
}

/// The node's server, which something is to be done with.
///
/// # Errors
/// `PROVIDER_RESOURCE_GONE`, `PROVIDER_NAME_CONFLICT`; other `PROVIDER_*`.
pub(super) async fn ours(core: &Core, target: &MachineTarget) -> Result<Server, ProviderError> {
    let found = match &target.infra_id {
        Some(id) => ours_by_id(core, id, target).await?,
        None => match by_name(core, Class::Tend, &target.server_name).await? {
            Some(server) if !labels::is_nodes(&server, &core.instance, &target.node_id) => return Err(foreign()),
            found => found,
        },
    };
    found.filter(|server| server.power != MachinePower::Deleting).ok_or_else(gone)
}

pub(super) fn gone() -> ProviderError {
    ProviderError::new(Code::ProviderResourceGone, "The server is not there any more.")
}

fn foreign() -> ProviderError {
    let message = "The server does not carry this node's labels, so it is not ours; it was left alone.";
    ProviderError::new(Code::ProviderNameConflict, message)
}
