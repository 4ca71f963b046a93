//! Writes the volumes of a stack's data services into a folder, as archives that the engine makes.
//! Rule: what is written is whole or not there, no volume is missed, and every service stands still
//! from the copy on.

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
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    archive::{Archive, Broken},
    command::Call,
    core::{Core, foreign, gone},
    labels::{DATA, ROLE, is, is_ours},
    power::ours,
    provision::{other_ports, settled},
    stack::{Stack, Standing},
};
use crate::{
    error::{Effect, ProviderError},
    infra::{BackupMade, BackupWish, MachineTarget},
    journal::Journal,
};

/// For how long a service may take to stop by itself.
const GRACEFUL: Duration = Duration::from_secs(30);

/// The most bytes of a file's name.
const NAME_MOST: usize = 100;

/// What the journal's entry with the services that ran before is called.
const RAN: &str = "backup_ran";

pub(super) async fn run(
    core: &Core,
    target: &MachineTarget,
    wish: &BackupWish<'_>,
    journal: &mut dyn Journal,
) -> Result<Option<BackupMade>, ProviderError> {
    let deadline = Instant::now() + wish.within;
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
    if volumes.is_empty() {
        return Ok(None);
    }
    // What runs now, or ran before an earlier run that was cut off.
    let ran: Vec<String> = match journal.get(RAN).and_then(|noted| serde_json::from_value(noted).ok()) {
        Some(ran) => ran,
        None => {
            let runs = stack.units.iter().filter(|it| it.is_data() || it.standing != Standing::Stopped);
            let ran: Vec<String> = runs.map(|it| it.service().to_owned()).collect();
            journal.put(RAN, json!(ran)).await?;
            ran
        }
    };
    let made = match still(core, &project, &ran).await {
        Ok(()) => match timeout_at(deadline, copied(core, &volumes, wish, journal)).await {
            Ok(made) => made,
            Err(_) => Err(engine("The backup was not done in time.", None)),
        },
        Err(error) => Err(error),
    };
    // It is taken away next: what people write from here on would be in no backup.
    let Err(mut error) = made else { return made.map(Some) };
    if error.lost {
        return Err(error);
    }
    if let Err(second) = other_ports(|| services(core, &project, &["start"], &ran)).await {
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
    other_ports(|| services(core, &project, &["start"], &ran)).await
}

/// Nothing is written while it is copied, neither by a data service nor by one that shares its volume.
async fn still(core: &Core, project: &str, ran: &[String]) -> Result<(), ProviderError> {
    let seconds = GRACEFUL.as_secs().to_string();
    services(core, project, &["stop", "--timeout", &seconds], ran).await
}

async fn services(core: &Core, project: &str, words: &[&str], names: &[String]) -> Result<(), ProviderError> {
    let mut words = words.to_vec();
    words.extend(names.iter().map(String::as_str));
    let within = GRACEFUL + core.timeouts.action;
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
    let mut bytes = 0;
    for (at, volume) in volumes.iter().enumerate() {
        let told = format!("Copying {} ({} of {})", volume.file, at + 1, volumes.len());
        journal.detail(&told, u8::try_from(at * 100 / volumes.len()).ok()).await?;
        let path = wish.into.join(&volume.file);
        let file = File::create_new(&path).map_err(disk)?;
        begun.files.push(path);
        bytes += archived(core, volume, file, wish.most_bytes.saturating_sub(bytes)).await?;
    }
    File::open(wish.into).and_then(|folder| folder.sync_all()).map_err(disk)?;
    begun.finished = true;
    Ok(BackupMade { files: volumes.iter().map(|it| it.file.clone()).collect(), bytes })
}

/// One volume as the engine's archive of it, of at most so many bytes.
async fn archived(core: &Core, volume: &Kept, file: File, most: u64) -> Result<u64, ProviderError> {
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
        let Ok(piece) = timeout(core.timeouts.write, pieces.next()).await else {
            return Err(engine("The engine stopped sending a volume.", None));
        };
        let piece = match piece {
            None => break,
            Some(Err(error)) => return Err(engine("The engine did not send all of a volume.", Some(error))),
            Some(Ok(piece)) => piece,
        };
        bytes += piece.len() as u64;
        if bytes > most {
            return Err(engine("The disk of the backups has no room for all of it.", None));
        }
        archive.piece(&piece).map_err(broken)?;
        file = tokio::task::spawn_blocking(move || file.write_all(&piece).map(|()| file))
            .await
            .map_err(io::Error::other)
            .and_then(|written| written)
            .map_err(disk)?;
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
