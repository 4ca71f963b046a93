//! What the engine tells by itself of our stacks. Rule: an event says only that something changed;
//! how it is now is read from the engine by whoever wants to know.

use bollard::models::{EventMessage, EventMessageTypeEnum as Type};
use futures::{StreamExt as _, future::ready};

use super::{
    core::{Core, is_id},
    labels,
};
use crate::{
    error::ProviderError,
    infra::{Change, Changes},
};

const TYPES: [&str; 3] = ["container", "volume", "network"];

/// What may change how a stack stands. Commands that are run inside and networks that are joined are
/// told as well and are left out: every health check is such a command.
const NAMES: [&str; 9] = ["create", "start", "die", "stop", "pause", "unpause", "destroy", "rename", "health_status"];

pub(super) async fn changes(core: &Core) -> Result<Changes, ProviderError> {
    let events = core.engine.events(&TYPES, &NAMES).await?;
    let (instance, prefix) = (core.instance.clone(), format!("{}-", core.settings.prefix));
    let changes = events.filter_map(move |event| {
        ready(event.map(|event| project_of(&event, &instance, &prefix).map(|infra_id| Change { infra_id })).transpose())
    });
    Ok(changes.boxed())
}

/// The project of ours that an event is about.
fn project_of(event: &EventMessage, instance: &str, prefix: &str) -> Option<String> {
    let actor = event.actor.as_ref()?;
    let told = |key: &str| Some(actor.attributes.as_ref()?.get(key)?.as_str());
    let is_destroy = event.action.as_deref() == Some("destroy");
    let project = match event.typ? {
        Type::CONTAINER if told(labels::INSTANCE) == Some(instance) => told(labels::PROJECT)?.to_owned(),
        // No labels are told of these, so their names have to do. Their making goes with a container's.
        Type::VOLUME if is_destroy => project_named(actor.id.as_deref()?, prefix)?,
        Type::NETWORK if is_destroy => project_named(told("name")?, prefix)?,
        _ => return None,
    };
    is_id(&project).then_some(project)
}

/// The project in the name of a volume or a network, which is `{prefix}{name}_{the file's}`.
fn project_named(name: &str, prefix: &str) -> Option<String> {
    let (name, _) = name.strip_prefix(prefix)?.split_once('_')?;
    Some(format!("{prefix}{name}"))
}
