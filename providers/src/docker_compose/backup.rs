//! Writes the volumes of a stack's data services into a folder, as archives that the engine makes.
//! Rule: what is written is whole or not there, and a service stands still while it is copied.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use bollard::query_parameters::DownloadFromContainerOptionsBuilder;
use domain::code::Code;
use futures::StreamExt as _;
use tokio::time::timeout;

use super::{
    command::Call,
    core::Core,
    power::ours,
    provision::settled,
    stack::{Stack, Standing},
};
use crate::{
    error::{Effect, ProviderError},
    infra::{BackupMade, MachineTarget},
};

/// For how long a data service may take to stop by itself.
const GRACEFUL: Duration = Duration::from_secs(30);

/// What a tar archive ends with (POSIX ustar): two blocks of zeros.
const END: usize = 1024;

/// The most bytes of a file's name.
const NAME_MOST: usize = 100;

pub(super) async fn run(core: &Core, target: &MachineTarget, into: &Path) -> Result<Option<BackupMade>, ProviderError> {
    let (project, stack) = ours(core, target).await?;
    let volumes = volumes_of(&stack, &project);
    if volumes.is_empty() {
        return Ok(None);
    }
    let data: Vec<_> = stack.units.iter().filter(|it| it.is_data()).map(|it| it.service().to_owned()).collect();
    let running = stack.units.iter().any(|it| it.is_data() && it.standing != Standing::Stopped);
    if running {
        let seconds = GRACEFUL.as_secs().to_string();
        services(core, &project, &["stop", "--timeout", &seconds], &data).await?;
    }
    let made = copied(core, &volumes, into).await;
    // Also those that an earlier run stopped and died: the data services of a stack always run.
    let started = services(core, &project, &["start"], &data).await;
    if let Err(error) = &started {
        tracing::warn!(%error, "the data services of a stack did not start after their backup");
    }
    made.map(Some)
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
            let name: String = format!("{}-{name}", unit.service())
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' })
                .take(NAME_MOST - 8)
                .collect();
            kept.entry(volume).or_insert_with(|| Kept { container: unit.id.clone(), path: path.clone(), file: name });
        }
    }
    let mut all: Vec<_> = kept.into_values().collect();
    // Two paths may have become one name.
    for at in 0..all.len() {
        let same = all[..at].iter().filter(|it| it.file.split('~').next() == Some(&all[at].file)).count();
        if same > 0 {
            all[at].file = format!("{}~{same}", all[at].file);
        }
    }
    for one in &mut all {
        one.file = format!("{}.tar", one.file.replace('~', "_"));
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

async fn copied(core: &Core, volumes: &[Kept], into: &Path) -> Result<BackupMade, ProviderError> {
    let mut begun = Begun { files: Vec::new(), finished: false };
    let mut bytes = 0;
    for volume in volumes {
        let path = into.join(&volume.file);
        let file = File::create_new(&path).map_err(disk)?;
        begun.files.push(path);
        bytes += archived(core, volume, file).await?;
    }
    File::open(into).and_then(|folder| folder.sync_all()).map_err(disk)?;
    begun.finished = true;
    Ok(BackupMade { files: volumes.iter().map(|it| it.file.clone()).collect(), bytes })
}

/// One volume as the engine's archive of it.
async fn archived(core: &Core, volume: &Kept, file: File) -> Result<u64, ProviderError> {
    let docker = core.engine.docker().await?;
    let options = DownloadFromContainerOptionsBuilder::default().path(&volume.path).build();
    let mut archive = std::pin::pin!(docker.download_from_container(&volume.container, Some(options)));
    let mut file = file;
    let mut bytes: u64 = 0;
    let mut zeros = 0;
    loop {
        let Ok(piece) = timeout(core.timeouts.write, archive.next()).await else {
            return Err(engine("The engine stopped sending a volume.", None));
        };
        let piece = match piece {
            None => break,
            Some(Err(error)) => return Err(engine("The engine did not send all of a volume.", Some(error))),
            Some(Ok(piece)) => piece,
        };
        bytes += piece.len() as u64;
        let tail = piece.iter().rev().take_while(|byte| **byte == 0).count();
        zeros = if tail == piece.len() { zeros + tail } else { tail };
        file = tokio::task::spawn_blocking(move || file.write_all(&piece).map(|()| file))
            .await
            .map_err(io::Error::other)
            .and_then(|written| written)
            .map_err(disk)?;
    }
    if zeros < END {
        return Err(engine("The engine did not send all of a volume.", None));
    }
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
