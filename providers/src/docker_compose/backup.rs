//! Writes the volumes of a stack's data services into a folder, as archives that the engine makes.
//! Rule: what is written is whole or not there, no volume is missed, and every service ended by itself
//! before the copy and stands still from then on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Write as _},
    path::PathBuf,
    time::Duration,
};

use bollard::query_parameters::DownloadFromContainerOptionsBuilder;
use domain::code::Code;
use futures::StreamExt as _;
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::{
    archive::{Archive, Broken},
    command::Call,
    core::{Core, foreign, gone},
    fields::GRACE_MOST,
    labels::{DATA, ROLE, is, is_ours},
    power::ours,
    provision::{other_ports, settled},
    stack::{Stack, Standing, Unit},
};
use crate::{
    error::{Effect, ProviderError},
    infra::{BackupMade, BackupWish, MachineTarget},
    journal::Journal,
};

/// For how long every service may take to stop by itself, also where it says less of itself.
const GRACEFUL: Duration = Duration::from_secs(30);

/// How a container ended that was killed: 128 and the number of the signal.
const KILLED: i64 = 128 + 9;

/// How many bytes are written between two looks at how much of the disk is free.
const LOOK: u64 = 4 << 20;

/// The most bytes of a file's name.
const NAME_MOST: usize = 100;

/// What the journal's entry with the services that ran before is called.
const RAN: &str = "backup_ran";

/// And that with the data services that were running then.
const RUNNING: &str = "backup_running";

pub(super) async fn run(
    core: &Core,
    target: &MachineTarget,
    wish: &BackupWish<'_>,
    journal: &mut dyn Journal,
) -> Result<Option<BackupMade>, ProviderError> {
    let project = core.project_of(target)?;
    let stack = Stack::read(core, &project).await?;
    if stack.is_gone() {
        return Err(gone());
    }
    if !stack.all(|labels| is_ours(labels, &core.instance, &target.node_id)) {
        return Err(foreign());
    }
    let volumes = volumes_of(&stack, &project);
    // A volume is read through its container, and taken away without one: none may be missed.
    let is_kept = |id: &str| volumes.iter().any(|kept| kept.volume == id);
    let missed = stack.volumes.iter().find(|it| is(&it.labels, ROLE, DATA) && !is_kept(&it.id));
    if let Some(missed) = missed {
        let message = format!("The volume {} has no container any more through which it can be read.", missed.id);
        return Err(engine(&message, None));
    }
    // One that has no name carries no label either: with its container everything is gone that would
    // tell of it.
    let lacking = stack.lacking_data().map(|name| format!("The service {name} has"));
    if let Some(what) = lacking.or_else(|| stack.units.is_empty().then(|| "The stack has".to_owned())) {
        let message = format!(
            "{what} no container any more, so what was kept cannot be told: look among the engine's volumes for it, \
             and destroy the stack without a backup."
        );
        return Err(engine(&message, None));
    }
    if volumes.is_empty() {
        return Ok(None);
    }
    // What runs now, or ran before an earlier run that was cut off.
    let is_up = |it: &&Unit| it.standing != Standing::Stopped;
    let ran = noted(journal, RAN, stack.units.iter().filter(|it| it.is_data() || is_up(it))).await?;
    let running = noted(journal, RUNNING, stack.units.iter().filter(|it| it.is_data() && is_up(it))).await?;
    let made = match still(core, &project, &stack, &ran, &running).await {
        Ok(()) => copied(core, &volumes, wish, journal).await,
        Err(error) => Err(error),
    };
    // It is taken away next: what people write from here on would be in no backup.
    let Err(mut error) = made else { return made.map(Some) };
    if error.lost {
        return Err(error);
    }
    if let Err(second) = other_ports(|| services(core, &project, &["start"], &ran, GRACEFUL)).await {
        tracing::warn!(error = %second, "the services of a stack did not start after a backup that failed");
        error.message.push_str(" Its services were stopped for it and could not be started again.");
    }
    Err(error)
}

/// Starts what ran before the backup that the journal tells of.
pub(super) async fn undone(
    core: &Core,
    target: &MachineTarget,
    journal: &mut dyn Journal,
) -> Result<(), ProviderError> {
    let ran: Option<Vec<String>> = journal.get(RAN).and_then(|noted| serde_json::from_value(noted).ok());
    let Some(ran) = ran.filter(|ran| !ran.is_empty()) else { return Ok(()) };
    let (project, _) = ours(core, target).await?;
    other_ports(|| services(core, &project, &["start"], &ran, GRACEFUL)).await
}

/// The services of these containers, as they were when this was first asked in a job.
async fn noted(
    journal: &mut dyn Journal,
    key: &str,
    units: impl Iterator<Item = &Unit> + Send,
) -> Result<Vec<String>, ProviderError> {
    if let Some(noted) = journal.get(key).and_then(|noted| serde_json::from_value(noted).ok()) {
        return Ok(noted);
    }
    let names: Vec<String> = units.map(|it| it.service().to_owned()).collect();
    journal.put(key, json!(names)).await?;
    Ok(names)
}

/// Services that are stopped together, with how long one may take, and all of them one after another.
struct Leaving<'a> {
    names: Vec<&'a str>,
    each: Duration,
    all: Duration,
}

/// Nothing is written while it is copied, neither by a data service nor by one that shares its volume;
/// and a data service that was running had the time to write what it held.
async fn still(
    core: &Core,
    project: &str,
    stack: &Stack,
    ran: &[String],
    running: &[String],
) -> Result<(), ProviderError> {
    let least = GRACEFUL.min(core.timeouts.action);
    let is_data = |name: &&str| stack.units.iter().any(|it| it.is_data() && it.service() == *name);
    let (data, others): (Vec<_>, Vec<_>) = ran.iter().map(String::as_str).partition(is_data);
    // Those that need a data service go before it.
    let mut leaving = [others, data].map(|names| Leaving { names, each: least, all: Duration::ZERO });
    for unit in stack.units.iter().filter(|it| it.standing != Standing::Stopped) {
        let config = core.engine.container(&unit.id).await?.and_then(|it| it.config);
        let own = config.and_then(|it| it.stop_timeout).map_or(least, graceful);
        let of = &mut leaving[usize::from(unit.is_data())];
        of.each = of.each.max(own);
        of.all += own.max(least);
    }
    let [others, data] = leaving;
    if others.each == data.each {
        let names = [others.names, data.names].concat();
        stopped(core, project, &Leaving { names, each: data.each, all: others.all + data.all }).await?;
    } else {
        stopped(core, project, &others).await?;
        stopped(core, project, &data).await?;
    }
    let there = Stack::read(core, project).await?;
    for unit in there.units.iter().filter(|it| ran.iter().any(|name| name == it.service())) {
        let name = unit.service();
        if unit.standing != Standing::Stopped {
            return Err(engine(&format!("The service {name} did not stop."), None));
        }
        if unit.is_data() && running.iter().any(|it| it == name) {
            ended_well(core, unit).await?;
        }
    }
    Ok(())
}

/// What a container's own time comes to: below zero it would be waited for as long as it likes.
fn graceful(seconds: i64) -> Duration {
    u64::try_from(seconds).map_or(GRACE_MOST, Duration::from_secs).min(GRACE_MOST)
}

async fn stopped(core: &Core, project: &str, leaving: &Leaving<'_>) -> Result<(), ProviderError> {
    if leaving.names.is_empty() {
        return Ok(());
    }
    let seconds = leaving.each.as_secs().to_string();
    let names: Vec<_> = leaving.names.iter().map(|it| (*it).to_owned()).collect();
    // Compose waits for one after another where they depend on one another.
    services(core, project, &["stop", "--timeout", &seconds], &names, leaving.all.max(leaving.each)).await
}

/// What was killed before it had ended may not have written all. Compose and the engine call that a
/// success.
async fn ended_well(core: &Core, unit: &Unit) -> Result<(), ProviderError> {
    let Some(told) = core.engine.container(&unit.id).await? else { return Ok(()) };
    let state = told.state.unwrap_or_default();
    let signal = told.config.and_then(|it| it.stop_signal).unwrap_or_default().to_ascii_uppercase();
    // So a service says that it may be killed at any time.
    if state.exit_code != Some(KILLED) || matches!(signal.trim_start_matches("SIG"), "KILL" | "9") {
        return Ok(());
    }
    let name = unit.service();
    let message = if state.oom_killed == Some(true) {
        format!("The service {name} was killed for want of memory, so its volumes may lack what it still held.")
    } else {
        format!(
            "The service {name} did not end in its time and was killed, so its volumes may lack what it still held: \
             its stop_grace_period must be longer, or its stop_signal another."
        )
    };
    Err(engine(&message, None))
}

async fn services(
    core: &Core,
    project: &str,
    words: &[&str],
    names: &[String],
    graceful: Duration,
) -> Result<(), ProviderError> {
    let mut words = words.to_vec();
    words.extend(names.iter().map(String::as_str));
    let within = graceful + core.timeouts.action;
    let call = Call { project, files: None, words: &words, secrets: None, within };
    settled(core, core.compose.run(&call).await).await
}

/// A volume that is to be kept.
struct Kept {
    volume: String,
    container: String,
    path: String,
    file: String,
}

/// Each volume of a data service once, with the name of its file.
fn volumes_of(stack: &Stack, project: &str) -> Vec<Kept> {
    let mut kept: BTreeMap<&str, Kept> = BTreeMap::new();
    for unit in stack.units.iter().filter(|it| it.is_data()) {
        for (volume, path) in &unit.volumes {
            let own = volume.strip_prefix(project).and_then(|it| it.strip_prefix('_'));
            let name = own.map_or_else(|| path.trim_matches('/').replace('/', "-"), str::to_owned);
            let file: String = format!("{}-{name}", unit.service())
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' })
                .take(NAME_MOST - 8)
                .collect();
            let (container, path) = (unit.id.clone(), path.clone());
            kept.entry(volume).or_insert_with(|| Kept { volume: volume.clone(), container, path, file });
        }
    }
    let mut taken = BTreeSet::new();
    let mut all: Vec<_> = kept.into_values().collect();
    for one in &mut all {
        // Two paths may have become one name.
        let names = (0..).map(|at| if at == 0 { one.file.clone() } else { format!("{}.{at}", one.file) });
        let name = names.into_iter().find(|name| !taken.contains(name)).unwrap_or_default();
        one.file = format!("{name}.tar");
        taken.insert(name);
    }
    all
}

/// What was begun, and goes unless it is finished.
struct Begun {
    files: Vec<PathBuf>,
    finished: bool,
}

impl Drop for Begun {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        for file in &self.files {
            if let Err(error) = fs::remove_file(file) {
                tracing::warn!(%error, "a file of an unfinished backup was not removed");
            }
        }
    }
}

async fn copied(
    core: &Core,
    volumes: &[Kept],
    wish: &BackupWish<'_>,
    journal: &mut dyn Journal,
) -> Result<BackupMade, ProviderError> {
    let mut begun = Begun { files: Vec::new(), finished: false };
    let deadline = Instant::now() + wish.within;
    let mut bytes = 0;
    for (at, volume) in volumes.iter().enumerate() {
        let told = format!("Copying {} ({} of {})", volume.file, at + 1, volumes.len());
        journal.detail(&told, u8::try_from(at * 100 / volumes.len()).ok()).await?;
        let path = wish.into.join(&volume.file);
        let file = File::create_new(&path).map_err(disk)?;
        begun.files.push(path);
        let room = Room { most: wish.most_bytes.saturating_sub(bytes), left: wish.leave_bytes, looked_at: None };
        bytes += archived(core, volume, file, room, later(deadline, bytes)).await?;
    }
    File::open(wish.into).and_then(|folder| folder.sync_all()).map_err(disk)?;
    begun.finished = true;
    Ok(BackupMade { files: volumes.iter().map(|it| it.file.clone()).collect(), bytes })
}

/// Until when it may go on: what comes at a good pace is not given up because there is much of it.
fn later(deadline: Instant, bytes: u64) -> Instant {
    deadline + Duration::from_secs(bytes / BackupWish::PACE)
}

/// What one file may take of the disk.
struct Room {
    /// Its own bytes at most.
    most: u64,
    /// Those of the disk that stay free, whoever else is writing there.
    left: u64,
    /// How long the file was when the disk was last looked at.
    looked_at: Option<u64>,
}

impl Room {
    /// Whether a file that is so long may be.
    fn is_for(&mut self, file: &File, bytes: u64) -> io::Result<bool> {
        if bytes > self.most {
            return Ok(false);
        }
        if self.looked_at.is_some_and(|at| bytes - at < LOOK) {
            return Ok(true);
        }
        self.looked_at = Some(bytes);
        let disk = rustix::fs::fstatvfs(file)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize) >= self.left)
    }
}

/// One volume as the engine's archive of it.
async fn archived(
    core: &Core,
    volume: &Kept,
    file: File,
    mut room: Room,
    deadline: Instant,
) -> Result<u64, ProviderError> {
    let docker = core.engine.docker().await?;
    // The folder itself: of a link the engine would send the link.
    let path = format!("{}/.", volume.path.trim_end_matches('/'));
    let options = DownloadFromContainerOptionsBuilder::default().path(&path).build();
    let mut pieces = std::pin::pin!(docker.download_from_container(&volume.container, Some(options)));
    let mut file = file;
    let mut bytes: u64 = 0;
    let mut archive = Archive::new();
    let broken = |why: Broken| {
        engine(&format!("The engine's archive of the volume {} is not whole: {why}.", volume.volume), None)
    };
    loop {
        let left = later(deadline, bytes).saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(engine("The backup was not done in time.", None));
        }
        let piece = match timeout(core.timeouts.write.min(left), pieces.next()).await {
            Ok(piece) => piece,
            Err(_) if left <= core.timeouts.write => return Err(engine("The backup was not done in time.", None)),
            Err(_) => return Err(engine("The engine stopped sending a volume.", None)),
        };
        let piece = match piece {
            None => break,
            Some(Err(error)) => return Err(engine("The engine did not send all of a volume.", Some(error))),
            Some(Ok(piece)) => piece,
        };
        bytes += piece.len() as u64;
        archive.piece(&piece).map_err(broken)?;
        let has_room;
        (file, room, has_room) = tokio::task::spawn_blocking(move || {
            let has_room = room.is_for(&file, bytes)?;
            if has_room {
                file.write_all(&piece)?;
            }
            Ok((file, room, has_room))
        })
        .await
        .map_err(io::Error::other)
        .and_then(|written| written)
        .map_err(disk)?;
        if !has_room {
            return Err(engine("The disk of the backups has no room for all of it.", None));
        }
    }
    archive.ended().map_err(broken)?;
    let synced = tokio::task::spawn_blocking(move || file.sync_all()).await;
    synced.map_err(io::Error::other).and_then(|synced| synced).map_err(disk)?;
    Ok(bytes)
}

fn disk(error: io::Error) -> ProviderError {
    let message = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "The disk of the backups is full.",
        _ => "The backup cannot be written to its disk.",
    };
    ProviderError::new(Code::ProviderBackupFailed, message).with_source(error)
}

fn engine(message: &str, error: Option<bollard::errors::Error>) -> ProviderError {
    let failed = ProviderError::new(Code::ProviderBackupFailed, message).with_effect(Effect::None);
    match error {
        Some(error) => failed.with_source(error),
        None => failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_goes_on_at_a_good_pace_is_given_its_time() {
        let deadline = Instant::now();
        let hours = |hours: u64| Duration::from_secs(3600 * hours);
        assert_eq!(later(deadline, BackupWish::PACE - 1), deadline);
        assert_eq!(later(deadline, 36_000 * BackupWish::PACE), deadline + hours(10));
    }

    #[test]
    fn what_a_container_asks_for_is_bounded() {
        for (seconds, most) in [(0, 0), (45, 45), (300, 300), (301, 300), (i64::MAX, 300), (-1, 300)] {
            assert_eq!(graceful(seconds), Duration::from_secs(most), "{seconds}");
        }
    }
}
