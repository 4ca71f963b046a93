//! Gives a stack another version. Rule: data services that are there are left alone, each application
//! service is healthy before the next is touched, and when one is not, all go back, together, to what
//! they had; a stack that is suspended gets its new containers and stays suspended.

use std::collections::BTreeMap;

use domain::code::Code;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use super::{
    core::Core,
    files::{Plan, Written},
    health::{Stop, healthy},
    labels, nameless,
    power::ours,
    provision::{images_had, images_renewed, up},
    stack::{Stack, Unit},
};
use crate::{
    error::{Effect, ProviderError},
    infra::{MachineStatus, MachineTarget, StackWish, UpgradeWish},
    journal::{Journal, JournalLost},
};

const NOTE: &str = "upgrade";

/// How far it is. It outlives the job's attempts, and serves the undo as well.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Note {
    /// The version that was asked for.
    to: String,
    /// Why it goes back, once it does.
    because: Option<String>,
    /// The engine's ids of the images that the services had before anything was done: what a version
    /// is called may have become another image since.
    images: BTreeMap<String, String>,
}

impl Note {
    async fn put(&self, journal: &mut dyn Journal) -> Result<(), JournalLost> {
        journal.put(NOTE, json!(self)).await
    }
}

/// What is to be done, with what.
struct Work<'a> {
    core: &'a Core,
    target: &'a MachineTarget,
    stack: &'a StackWish,
    from: &'a str,
    suspended: bool,
}

pub(super) async fn run(
    core: &Core,
    target: &MachineTarget,
    wish: &UpgradeWish,
    journal: &mut dyn Journal,
) -> Result<MachineStatus, ProviderError> {
    let UpgradeWish::Tag { stack, from, suspended } = wish else {
        return Err(ProviderError::new(
            Code::ProviderInvalidRequest,
            "A stack has a version, and neither type nor image.",
        ));
    };
    let work = Work { core, target, stack, from, suspended: *suspended };
    journal.step("pull_images", "Get the images of the version").await?;
    core.alone(&core.project_of(target)?).await?;
    let (project, there) = ours(core, target).await?;
    let mut plan = work.plan(&stack.tag, project.clone())?;
    let noted: Option<Note> = journal.get(NOTE).and_then(|it| serde_json::from_value(it).ok());
    let begins = noted.is_none();
    nameless::noted(core, &project, &there, from, begins).await?;
    if begins {
        // Here it is known that the version before was kept, unless this is the way back from it.
        nameless::swept(core, &ours(core, target).await?.1, &[from, &stack.tag]).await?;
    }
    let mut note = noted.unwrap_or_else(|| Note { images: images_of(&there, from), ..Note::default() });
    if note.to != stack.tag {
        // Another version of the same job: the way back.
        (note.to, note.because) = (stack.tag.clone(), None);
    }
    note.put(journal).await?;
    if *from == stack.tag {
        journal.step("upgrade_services", "Make the application services anew").await?;
        let outcome = work.back(&note, journal).await?;
        work.swept().await?;
        if outcome.wrong.is_empty() {
            return work.status().await;
        }
        let message = format!("With the version {from} {}.", outcome.wrong.join("; "));
        return Err(ProviderError::new(Code::ProviderAcquisitionFailed, message).with_effect(Effect::Happened));
    }
    if note.because.is_none() {
        for it in nameless::missed(core, &there, &stack.tag).await? {
            plan.mount(&it.service, it.path, it.volume);
        }
        let files = plan.written(core)?;
        images_renewed(core, &plan, &files, &plan.application_images(), journal).await?;
        journal.step("upgrade_services", "Make the application services anew").await?;
        match work.forth(&plan, &files, &there, journal).await {
            Ok(()) => {
                // Its own are not taken for those of the version before if it is refused after all.
                nameless::noted(core, &project, &ours(core, target).await?.1, from, false).await?;
                work.swept().await?;
                return work.status().await;
            }
            Err(Stop::Because(because)) => note.because = Some(because),
            Err(Stop::Error(error)) => return Err(error),
        }
        nameless::noted(core, &project, &ours(core, target).await?.1, from, false).await?;
        note.put(journal).await?;
    }
    journal.step("roll_back", "Go back to the version before").await?;
    let outcome = work.back(&note, journal).await?;
    work.swept().await?;
    // Whoever asks for it once more means it.
    let because = note.because.take().unwrap_or_default();
    note.put(journal).await?;
    let message = format!("With the version {} {because}; it was rolled back: {}.", stack.tag, outcome.told(from));
    Err(ProviderError::new(Code::ProviderAcquisitionFailed, message).with_effect(Effect::Happened))
}

/// The images of the services that have a version.
fn images_of(stack: &Stack, tag: &str) -> BTreeMap<String, String> {
    let has_it = |it: &&Unit| it.is_application() && labels::is(&it.labels, labels::TAG, tag);
    let units = stack.units.iter().filter(has_it);
    units.filter_map(|it| Some((it.service().to_owned(), it.image.clone()?))).collect()
}

/// Where going back ended.
struct Back {
    /// Services that have the old version again.
    back: Vec<String>,
    /// Those that do not.
    not: Vec<String>,
    /// Those whose image from before is not to be had any more.
    other: Vec<String>,
    /// Half a sentence for each that is not well.
    wrong: Vec<String>,
}

impl Back {
    fn told(&self, from: &str) -> String {
        let whole = if self.not.is_empty() {
            format!("every service is back at the version {from}")
        } else if self.back.is_empty() {
            format!("no service is back at the version {from}")
        } else {
            format!("back at the version {from}: {}; not back: {}", self.back.join(", "), self.not.join(", "))
        };
        let other = self.other.join(", ");
        let other = format!("{other} with what {from} is now: the image that it had is not on the engine any more");
        let but: Vec<_> =
            self.wrong.iter().chain((!self.other.is_empty()).then_some(&other)).map(String::as_str).collect();
        if but.is_empty() { whole } else { format!("{whole}, but {}", but.join("; ")) }
    }
}

impl Work<'_> {
    fn plan(&self, tag: &str, project: String) -> Result<Plan, ProviderError> {
        let owner = self.core.owner(&self.target.node_id, &self.target.server_name);
        Plan::new(self.core, &StackWish { tag: tag.to_owned(), ..self.stack.clone() }, owner, project)
    }

    async fn status(&self) -> Result<MachineStatus, ProviderError> {
        let (project, stack) = ours(self.core, self.target).await?;
        Ok(stack.into_status(self.core, &project))
    }

    /// An application service as the files say.
    async fn made(&self, plan: &Plan, files: &Written, name: &str) -> Result<(), Stop> {
        let start = if self.suspended { "--no-start" } else { "--detach" };
        self.up(plan, files, name, start).await
    }

    /// Makes the data services anew that have no container any more, on the volumes that they had; what
    /// is there is left alone. Each is healthy before the next: whatever uses it comes after it.
    async fn data_made(
        &self,
        plan: &Plan,
        files: &Written,
        there: &Stack,
        journal: &mut dyn Journal,
    ) -> Result<(), Stop> {
        let has = |name: &str| there.units.iter().any(|it| it.service() == name);
        let mut images = plan.images();
        images.retain(|(name, _)| plan.model.is_data(name) && !has(name));
        images_had(self.core, plan, files, &images, journal).await?;
        for (name, _) in images {
            journal.detail(&format!("Making {name} anew, which was missing"), None).await?;
            self.up(plan, files, name, "--detach").await?;
            let deadline = Instant::now() + self.core.timeouts.action;
            healthy(self.core, &plan.project, name, deadline, false, journal).await?;
        }
        Ok(())
    }

    async fn up(&self, plan: &Plan, files: &Written, name: &str, start: &str) -> Result<(), Stop> {
        match up(self.core, plan, files, &[start, "--no-deps", name]).await {
            // It cannot be started: its command does not fit the image, its port is taken.
            Err(error) if matches!(error.code, Code::ProviderAcquisitionFailed | Code::ProviderInvalidRequest) => {
                Err(Stop::Because(format!("the service {name} does not start")))
            }
            done => Ok(done?),
        }
    }

    /// Each application service in declared order, and its health before the next.
    async fn forth(&self, plan: &Plan, files: &Written, there: &Stack, journal: &mut dyn Journal) -> Result<(), Stop> {
        self.data_made(plan, files, there, journal).await?;
        for service in plan.model.applications() {
            let name = service.told.name.as_str();
            journal.detail(&format!("Making {name} anew"), None).await?;
            self.made(plan, files, name).await?;
            if !self.suspended {
                let deadline = Instant::now() + self.core.timeouts.action;
                healthy(self.core, &plan.project, name, deadline, false, journal).await?;
            }
        }
        if !self.suspended {
            journal.detail("Every application service is healthy", None).await?;
        }
        Ok(())
    }

    /// Gives every application service its old version again, and only then waits for them: one may
    /// need another to be well. What stands in the way of one does not keep the others.
    async fn back(&self, note: &Note, journal: &mut dyn Journal) -> Result<Back, ProviderError> {
        let core = self.core;
        let (project, there) = ours(core, self.target).await?;
        let mut plan = self.plan(self.from, project)?;
        for it in nameless::of_version(core, &there, self.from).await? {
            plan.mount(&it.service, it.path, it.volume);
        }
        let mut other = Vec::new();
        for (service, name) in
            plan.application_images().into_iter().map(|(it, name)| (it.to_owned(), name)).collect::<Vec<_>>()
        {
            // By its name where that is the image still: as it was made.
            let Some(id) = note.images.get(&service) else { continue };
            if core.engine.image_id(&name).await?.as_ref() == Some(id) {
                continue;
            }
            if core.engine.has_image(id).await? {
                plan.pin(&service, id.clone());
            } else {
                let told = format!("The image that {service} had is gone; it gets what {} is now", self.from);
                journal.detail(&told, None).await?;
                other.push(service);
            }
        }
        let files = plan.written(core)?;
        images_had(core, &plan, &files, &plan.application_images(), journal).await?;
        let names: Vec<_> = plan.model.applications().map(|it| it.told.name.as_str()).collect();
        let data = match self.data_made(&plan, &files, &there, journal).await {
            Ok(()) => None,
            Err(Stop::Because(why)) => Some(why),
            Err(Stop::Error(error)) => return Err(error),
        };
        let deadline = Instant::now() + core.timeouts.action;
        let mut wrong = Vec::new();
        // A second time for what could not start, or ended, while the others were not back yet.
        for _ in 0..2 {
            wrong = self.all_made(&plan, &files, &names, deadline, journal).await?;
            if wrong.is_empty() {
                break;
            }
        }
        let (_, there) = ours(core, self.target).await?;
        let is_back = |name: &&str| {
            let mut units = there.units.iter().filter(|it| it.service() == *name).peekable();
            units.peek().is_some() && units.all(|it| labels::is(&it.labels, labels::TAG, self.from))
        };
        let (back, not): (Vec<_>, Vec<_>) =
            names.iter().map(|name| (*name).to_owned()).partition(|name| is_back(&name.as_str()));
        wrong.extend(data);
        Ok(Back { back, not, other, wrong })
    }

    async fn all_made(
        &self,
        plan: &Plan,
        files: &Written,
        names: &[&str],
        deadline: Instant,
        journal: &mut dyn Journal,
    ) -> Result<Vec<String>, ProviderError> {
        let (mut made, mut wrong, mut failed) = (Vec::new(), Vec::new(), None);
        for name in names {
            journal.detail(&format!("Making {name} anew"), None).await?;
            match self.made(plan, files, name).await {
                Ok(()) => made.push(*name),
                Err(Stop::Because(why)) => wrong.push(why),
                Err(Stop::Error(error)) => failed = failed.or(Some(error)),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        for name in made.into_iter().filter(|_| !self.suspended) {
            match healthy(self.core, &plan.project, name, deadline, true, journal).await {
                Ok(()) => {}
                Err(Stop::Because(why)) => wrong.push(why),
                Err(Stop::Error(error)) => return Err(error),
            }
        }
        Ok(wrong)
    }

    /// Takes away the nameless volumes that nobody goes back to. Those of the version before stay until
    /// the next upgrade: what is healthy may still be refused by whoever asked for it.
    async fn swept(&self) -> Result<(), ProviderError> {
        let (_, there) = ours(self.core, self.target).await?;
        nameless::swept(self.core, &there, &[self.from]).await
    }
}
