//! The volumes that application services have without a name. Rule: whose they are is noted at the
//! engine before their container is replaced, so that a way back finds them and a destruction takes
//! them away, whoever asks for it.
//!
//! The engine names such a volume itself and puts no label on it, and Compose hands it on only where
//! the next image declares its path as well. A note is a volume with nothing in it, whose labels say
//! which volume was where, and with which version.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    iter,
};

use bollard::models::VolumeCreateRequest;
use domain::code::Code;

use super::{
    core::Core,
    labels,
    stack::{Stack, Thing, Unit},
};
use crate::error::{Effect, ProviderError};

/// On a note: the volume that it is about.
const VOLUME: &str = "hangar.volume";
/// On the same: where it was in the container.
const PATH: &str = "hangar.path";

/// A volume that is noted.
#[derive(Debug, Clone)]
pub(super) struct Noted {
    pub(super) volume: String,
    pub(super) service: String,
    pub(super) path: String,
    /// The version that it goes back to.
    tag: String,
    /// What it is noted in.
    note: String,
}

impl Noted {
    fn read(thing: &Thing) -> Option<Self> {
        let label = |key| thing.labels.get(key).cloned();
        Some(Self {
            volume: label(VOLUME)?,
            service: label(labels::SERVICE)?,
            path: label(PATH)?,
            tag: label(labels::TAG)?,
            note: thing.id.clone(),
        })
    }
}

pub(super) fn all_noted(stack: &Stack) -> Vec<Noted> {
    stack.volumes.iter().filter_map(Noted::read).collect()
}

/// The volumes of a unit that have no name, each with where it is.
fn of(unit: &Unit) -> Vec<&(String, String)> {
    let nameless: BTreeSet<_> = unit.nameless().collect();
    unit.volumes.iter().filter(|(volume, _)| nameless.contains(volume)).collect()
}

/// Notes the volumes of the application services. What is known of none yet is said to be of the
/// version `from` when a job `begins`: that is what it goes back to.
pub(super) async fn noted(
    core: &Core,
    project: &str,
    stack: &Stack,
    from: &str,
    begins: bool,
) -> Result<(), ProviderError> {
    let known: BTreeMap<_, _> = all_noted(stack).into_iter().map(|it| (it.volume.clone(), it)).collect();
    for unit in stack.units.iter().filter(|it| it.is_application()) {
        let has = unit.labels.get(labels::TAG).map_or("", String::as_str);
        for (volume, path) in of(unit) {
            match known.get(volume) {
                // A version took it over from another, and was kept.
                Some(known) if has == from && known.tag != from => core.engine.volume_remove(&known.note).await?,
                Some(_) => continue,
                None => {}
            }
            let tag = if begins { from } else { has };
            note(core, project, unit, volume, path, tag).await?;
        }
    }
    Ok(())
}

async fn note(
    core: &Core,
    project: &str,
    unit: &Unit,
    volume: &str,
    path: &str,
    tag: &str,
) -> Result<(), ProviderError> {
    let own = [labels::INSTANCE, labels::NODE, labels::NAME, labels::SERVICE];
    let own = own.into_iter().filter_map(|key| Some((key, unit.labels.get(key)?.as_str())));
    // The empty one has it counted among the notes, and not as something of the stack that is there.
    let more = [(labels::PROJECT, project), (labels::TAG, tag), (labels::EXEC, ""), (VOLUME, volume), (PATH, path)];
    let all: HashMap<_, _> = own.chain(more).map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let name = format!("{project}_hangar-of-{volume}");
    let order = VolumeCreateRequest { name: Some(name), labels: Some(all), ..VolumeCreateRequest::default() };
    let docker = core.engine.docker().await?;
    let call = docker.create_volume(order);
    core.engine.within(core.timeouts.write, Effect::Unknown, call).await.map(drop)
}

/// The volumes of a version, at most one for each place; what a container has there comes first.
pub(super) async fn of_version(core: &Core, stack: &Stack, tag: &str) -> Result<Vec<Noted>, ProviderError> {
    let used = used(stack);
    let mut all: Vec<_> = all_noted(stack).into_iter().filter(|it| it.tag == tag).collect();
    all.sort_by_key(|it| !used.contains(&it.volume));
    let (mut places, mut found) = (BTreeSet::new(), Vec::new());
    for one in all {
        // Somebody may have taken it away: whoever names it would be refused.
        if !places.contains(&(one.service.clone(), one.path.clone()))
            && core.engine.volume(&one.volume).await?.is_some()
        {
            places.insert((one.service.clone(), one.path.clone()));
            found.push(one);
        }
    }
    Ok(found)
}

/// Those of them that no container has, where there is no other either.
pub(super) async fn missed(core: &Core, stack: &Stack, tag: &str) -> Result<Vec<Noted>, ProviderError> {
    let mut all = of_version(core, stack, tag).await?;
    let has =
        |unit: &Unit, it: &Noted| unit.service() == it.service && unit.volumes.iter().any(|(_, at)| *at == it.path);
    all.retain(|it| !used(stack).contains(&it.volume) && !stack.units.iter().any(|unit| has(unit, it)));
    Ok(all)
}

/// Takes away the volumes that no container has any more, but those of these versions.
pub(super) async fn swept(core: &Core, stack: &Stack, but: &[&str]) -> Result<(), ProviderError> {
    let used = used(stack);
    let is_left = |it: &Noted| !but.contains(&it.tag.as_str()) && !used.contains(&it.volume);
    for one in all_noted(stack).into_iter().filter(is_left) {
        for name in iter::once(&one.volume).chain([&one.note]) {
            match core.engine.volume_remove(name).await {
                // Somebody else may have taken a liking to it: then it stays, and its note.
                Err(error) if error.code == Code::ProviderLocked => break,
                removed => removed?,
            }
        }
    }
    Ok(())
}

fn used(stack: &Stack) -> BTreeSet<String> {
    stack.units.iter().flat_map(Unit::nameless).cloned().collect()
}
