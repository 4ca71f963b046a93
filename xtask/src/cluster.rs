//! A private PostgreSQL: own data folder, own port on 127.0.0.1, own socket, gone at the end.
//!
//! A small shell in a process group of its own stands between: it holds the server's process id
//! and waits for the end of its input. That comes when [`Cluster`] is dropped, and just as well
//! when xtask is interrupted or killed; then it ends the server by its id and removes the folder.
//! Rule: nothing of the machine's own PostgreSQL is touched.

use anyhow::{Context, Result, bail};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::process;
use crate::setup::is_root;

/// `$1` is the folder, the rest the server's command. SIGINT is PostgreSQL's fast shutdown.
const GUARD: &str = r#"
folder=$1; shift
"$@" > "$folder/log" 2>&1 < /dev/null &
server=$!
read -r end
kill -INT "$server" 2> /dev/null
wait "$server"
rm -rf "$folder"
"#;

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether what was written survives a power cut.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// As people run it: for measuring.
    Safe,
    /// Without waiting for the disk: for tests.
    Fast,
}

/// A running server.
pub struct Cluster {
    guard: Child,
    port: u16,
}

impl Cluster {
    /// Starts a server with the programs in this folder.
    pub fn start(programs: &Path, durability: Durability) -> Result<Self> {
        // Another program may take the port between our look and the server's start.
        let mut attempts = 0;
        loop {
            attempts += 1;
            match Self::start_once(programs, durability) {
                Err(error) if attempts < 3 && format!("{error:#}").contains("in use") => {}
                outcome => return outcome,
            }
        }
    }

    /// The address of the maintenance database; the user may create others.
    pub fn url(&self) -> String {
        format!("postgres://hangar@127.0.0.1:{}/postgres", self.port)
    }

    fn start_once(programs: &Path, durability: Durability) -> Result<Self> {
        let account = Account::choose()?;
        let folder = account.folder()?;
        let data = folder.join("data");
        let initialised = process::output(
            account
                .command(&programs.join("initdb"))
                .args(["--username=hangar", "--auth=trust", "--encoding=UTF8"])
                .args(["--no-locale", "--no-sync", "--pgdata"])
                .arg(&data)
                .current_dir(&folder),
        );
        if let Err(error) = initialised {
            drop(fs::remove_dir_all(&folder));
            return Err(error.context("no private PostgreSQL"));
        }

        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut server = account.command(&programs.join("postgres"));
        server.arg("-D").arg(&data).arg("-k").arg(&folder);
        server.args(["-h", "127.0.0.1", "-p", &port.to_string()]);
        server.args(["-c", "max_connections=200", "-c", "log_min_messages=fatal"]);
        if durability == Durability::Fast {
            server.args(["-c", "fsync=off", "-c", "full_page_writes=off"]);
            server.args(["-c", "synchronous_commit=off"]);
        }
        let guard = Command::new("sh")
            .args(["-c", GUARD, "sh"])
            .arg(&folder)
            .arg(server.get_program())
            .args(server.get_args())
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C reaches the whole group in front; the shell must outlive it to clean up.
            .process_group(0)
            .spawn()
            .context("sh does not start")?;
        let cluster = Self { guard, port };
        wait_until_ready(&folder)?;
        Ok(cluster)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        drop(self.guard.wait());
    }
}

/// The server tells its state in the eighth line of this file.
fn wait_until_ready(folder: &Path) -> Result<()> {
    let started = Instant::now();
    loop {
        let state = fs::read_to_string(folder.join("data/postmaster.pid")).unwrap_or_default();
        if state.lines().nth(7).is_some_and(|line| line.trim() == "ready") {
            return Ok(());
        }
        let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
        if log.contains("FATAL:") {
            bail!("PostgreSQL does not start:\n{log}");
        }
        if started.elapsed() > PATIENCE {
            bail!("PostgreSQL is not ready after {PATIENCE:?}:\n{log}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// As whom the server runs: as ourselves, or, because it refuses root, as somebody without rights.
struct Account {
    /// Name, user id and group id of the other one.
    other: Option<(String, u32, u32)>,
}

impl Account {
    fn choose() -> Result<Self> {
        if !is_root() {
            return Ok(Self { other: None });
        }
        let number = |flag: &str, name: &str| {
            process::output(Command::new("id").args([flag, name])).ok().and_then(|id| id.parse().ok())
        };
        let other = ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| Some((name.to_owned(), number("-u", name)?, number("-g", name)?)));
        anyhow::ensure!(other.is_some(), "PostgreSQL refuses to run as root, and there is no user postgres or nobody");
        Ok(Self { other })
    }

    fn command(&self, program: &Path) -> Command {
        match &self.other {
            None => Command::new(program),
            Some((_, user, group)) => {
                let mut command = Command::new("setpriv");
                command
                    .arg(format!("--reuid={user}"))
                    .arg(format!("--regid={group}"))
                    .arg("--clear-groups")
                    .arg(program);
                command
            }
        }
    }

    /// A new folder that only this account may enter.
    fn folder(&self) -> Result<PathBuf> {
        let parent = self.parent();
        let name = format!("hangar-postgres-{}", std::process::id());
        let folder = (0..100)
            .map(|n| parent.join(format!("{name}-{n}")))
            .find(|folder| fs::create_dir(folder).is_ok())
            .with_context(|| format!("no folder can be made in {}", parent.display()))?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        if let Some((_, user, group)) = self.other {
            std::os::unix::fs::chown(&folder, Some(user), Some(group))?;
        }
        Ok(folder)
    }

    /// The temporary folder, unless the other account could not walk into it.
    fn parent(&self) -> PathBuf {
        let own = std::env::temp_dir();
        let walkable = own.ancestors().all(|folder| folder.metadata().is_ok_and(|data| data.mode() & 0o001 != 0));
        // A socket's path may have about 100 characters.
        let short = own.as_os_str().len() < 60;
        if short && (self.other.is_none() || walkable) { own } else { "/tmp".into() }
    }
}
