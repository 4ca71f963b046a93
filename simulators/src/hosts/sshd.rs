//! OpenSSH's server on the address of each simulated machine, without privileges.
//!
//! It never runs as root. Each server is the first process of a machine of its own: under a user id
//! that nothing else has, with its own processes, its own disk as root directory, and no way to
//! write anything of the real machine or to reach its network. What is started there goes on after
//! the session, as on a rented machine. One logs in as `root`, or as `admin`, who has sudo. Tests
//! and people steer a machine over SSH, by the locks of its `apt-get` and by files in
//! `/etc/simulated`: `slow` (seconds before each command), `refuse` (so many sessions break off),
//! `no-sudo`, and `cloud-init` (`running SECONDS` after the boot, or `error`).
//!
//! Rule: no process outlives the simulator, not even one that is killed: each asks the kernel to
//! be killed when its parent ends, and a machine ends with its first process. The kernel means the
//! parent *thread*, hence `Starter`.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use tempfile::TempDir;
use tokio::{net::TcpStream, sync::oneshot, time::sleep};

use super::{HostSpec, cloud_init, disk::disk};

const BOOT: &str = include_str!("machine/boot.sh");
const SESSION: &str = include_str!("machine/session.sh");

/// Where a machine sees the files of its server.
const INSIDE: &str = "/run/simulated";

/// How the directories of SSH servers begin; the process id follows.
const PREFIX: &str = "simulated-hosts-";

/// Whom one logs in as.
const USER: &str = "root";

/// Who the machines belong to on the real one.
#[derive(Clone, Copy, Debug)]
struct Owner {
    uid: u32,
    /// The id is to be taken on first, since root starts them.
    taken_on: bool,
}

/// The SSH servers of one simulator.
#[derive(Debug)]
pub(crate) struct SshDaemons {
    port: u16,
    sshd: PathBuf,
    owner: Owner,
    directory: TempDir,
    starter: Starter,
}

/// One running SSH server.
#[derive(Debug)]
pub(super) struct Sshd {
    child: Child,
}

impl SshDaemons {
    /// Finds out whether and how SSH servers can run here. The error is a reason for people.
    pub(crate) fn prepare(port: u16) -> Result<Self, String> {
        let sshd = program(&["/usr/sbin/sshd", "/sbin/sshd", "/usr/bin/sshd"])
            .ok_or("OpenSSH's server is not installed (Debian: apt-get install openssh-server)")?;
        let directory =
            reachable_directory().map_err(|error| format!("no directory for the SSH server's files: {error}"))?;
        fs::write(directory.path().join("boot.sh"), BOOT)
            .map_err(|error| format!("the SSH server's files cannot be written: {error}"))?;
        let starter = Starter::new().map_err(|error| format!("no thread: {error}"))?;
        let owner = Owner::find().map_err(|error| format!("/proc: {error}"))?;
        let daemons = Self { port, sshd, owner, directory, starter };
        daemons.check().map(|()| daemons).map_err(|reason| {
            format!("no machine for OpenSSH's server, since an ordinary user may not have namespaces here: {reason}")
        })
    }

    /// The user to log in as.
    pub(crate) fn user(&self) -> &str {
        USER
    }

    /// Lets the server check a configuration under the very conditions it will run in.
    fn check(&self) -> Result<(), String> {
        let spec = HostSpec {
            id: 0,
            name: "check".to_owned(),
            server_type: String::new(),
            location: String::new(),
            address: std::net::Ipv4Addr::LOCALHOST,
            boots: 0,
            booted_at: 0,
            host_key: cloud_init::host_key(None),
            authorized_keys: Vec::new(),
        };
        let config = self.files(&spec).map_err(|error| error.to_string())?;
        let output = self
            .command(&spec, &config, &["-t"])
            .map_err(|error| error.to_string())?
            .stderr(Stdio::piped())
            .output()
            .map_err(|error| format!("setpriv (package util-linux): {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr);
        Err(text.lines().last().unwrap_or("it ended without a message").trim().to_owned())
    }

    /// Starts the server of one machine and waits until it listens.
    pub(super) async fn start(&self, spec: &HostSpec) -> Result<Sshd, String> {
        let config = self.files(spec).map_err(|error| error.to_string())?;
        let address = SocketAddr::from((spec.address, self.port));
        // Right after a restart the port may still be held by the server before.
        for _ in 0..20 {
            let command = self.command(spec, &config, &["-D", "-e"]).map_err(|error| error.to_string())?;
            let child = self.starter.start(command).await.map_err(|error| error.to_string())?;
            let mut sshd = Sshd { child };
            for _ in 0..500 {
                if !matches!(sshd.child.try_wait(), Ok(None)) {
                    break;
                }
                if TcpStream::connect(address).await.is_ok() {
                    return Ok(sshd);
                }
                sleep(Duration::from_millis(5)).await;
            }
            sshd.stop();
            sleep(Duration::from_millis(100)).await;
        }
        let log = fs::read_to_string(config.with_file_name("log")).unwrap_or_default();
        Err(log.lines().last().unwrap_or("it does not listen").to_owned())
    }

    /// Writes what one server reads; returns its configuration.
    fn files(&self, spec: &HostSpec) -> io::Result<PathBuf> {
        let directory = self.directory.path().join(format!("{}-{}", spec.id, spec.boots));
        fs::create_dir_all(&directory)?;
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755))?;
        let host_key = directory.join("host_key");
        // Removed first: a file of another owner could not be written over.
        let _ = fs::remove_file(&host_key);
        fs::write(&host_key, "")?;
        fs::set_permissions(&host_key, fs::Permissions::from_mode(0o600))?;
        fs::write(&host_key, &spec.host_key)?;
        if self.owner.taken_on {
            chown(&host_key, Some(self.owner.uid), Some(self.owner.uid))?;
        }
        let mut keys = spec.authorized_keys.join("\n");
        keys.push('\n');
        fs::write(directory.join("authorized_keys"), keys)?;
        let config = directory.join("sshd_config");
        fs::write(&config, self.config(spec))?;
        fs::write(directory.join("session.sh"), SESSION)?;
        for name in ["authorized_keys", "sshd_config", "session.sh"] {
            fs::set_permissions(directory.join(name), fs::Permissions::from_mode(0o644))?;
        }
        Ok(config)
    }

    fn config(&self, spec: &HostSpec) -> String {
        let (port, address) = (self.port, spec.address);
        format!(
            "AddressFamily inet\nListenAddress {address}\nPort {port}\n\
             HostKey {INSIDE}/host_key\nAuthorizedKeysFile {INSIDE}/authorized_keys\n\
             PidFile none\nUsePAM no\nStrictModes no\nUseDNS no\nLogLevel ERROR\n\
             PermitRootLogin prohibit-password\nPubkeyAuthentication yes\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             AllowTcpForwarding no\nAllowStreamLocalForwarding no\nAllowAgentForwarding no\n\
             X11Forwarding no\nPermitTunnel no\nGatewayPorts no\nPermitTTY no\n\
             PermitUserEnvironment no\nPermitUserRC no\nPrintMotd no\nPrintLastLog no\n\
             MaxSessions 100\nMaxStartups 200:30:400\nLoginGraceTime 20\n\
             ForceCommand /bin/sh {INSIDE}/session.sh\n"
        )
    }

    /// A machine with `sshd` and these arguments, with the death of its parent in mind.
    fn command(&self, spec: &HostSpec, config: &Path, arguments: &[&str]) -> io::Result<Command> {
        let Owner { uid, taken_on } = self.owner;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--no-new-privs", "--inh-caps=-all"]);
        if taken_on {
            command.args([format!("--reuid={uid}"), format!("--regid={uid}")]);
            command.args(["--clear-groups", "--bounding-set=-all"]);
        }
        command.args(["--", "unshare", "--user", "--map-root-user", "--mount", "--pid", "--uts", "--ipc"]);
        command.args(["--fork", "--kill-child=KILL", "--", "/bin/sh"]);
        command.arg(self.directory.path().join("boot.sh"));
        command.arg(disk(self.directory.path(), spec, uid, taken_on.then_some(uid))?);
        command.arg(config.parent().unwrap_or(config)).arg(uid.to_string()).arg(&spec.name);
        command.arg(&self.sshd).args(arguments).args(["-f", &format!("{INSIDE}/sshd_config")]);
        command.current_dir("/").env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let log = fs::File::create(config.with_file_name("log"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(log.map_or_else(|_| Stdio::null(), Stdio::from));
        Ok(command)
    }
}

impl Owner {
    fn find() -> io::Result<Self> {
        // Without unsafe code the own user id is read from who owns the process's entry in /proc.
        let own = fs::metadata("/proc/self")?.uid();
        if own != 0 {
            return Ok(Self { uid: own, taken_on: false });
        }
        let text = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let taken: Vec<u32> = text.lines().filter_map(|line| line.split(':').nth(2)?.parse().ok()).collect();
        let free = (64_000..64_900).rev().find(|uid| !taken.contains(uid));
        Ok(Self { uid: free.unwrap_or(64_000), taken_on: true })
    }
}

impl Sshd {
    /// Ends the server and what it started. Errors mean that it has ended already.
    pub(super) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let children = descendants(self.child.id());
            let _ = self.child.kill();
            let _ = self.child.wait();
            // In a namespace of their own they are gone already; elsewhere a session would stay.
            if !children.is_empty() {
                let mut command = Command::new("/bin/sh");
                command.args(["-c", "kill -KILL \"$@\"", "sh"]).args(children);
                let _ = command.stderr(Stdio::null()).status();
            }
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.end();
    }
}

/// The process ids below one, as the kernel lists them.
fn descendants(pid: u32) -> Vec<String> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let children = fs::read_to_string(path).unwrap_or_default();
    let mut all = Vec::new();
    for child in children.split_whitespace() {
        if let Ok(pid) = child.parse() {
            all.extend(descendants(pid));
            all.push(child.to_owned());
        }
    }
    all
}

/// A thread that starts processes and lives as long as the simulator: the kernel kills them when
/// the thread that started them ends, and a runtime's threads come and go.
#[derive(Debug)]
struct Starter {
    orders: mpsc::Sender<(Command, oneshot::Sender<io::Result<Child>>)>,
}

impl Starter {
    fn new() -> io::Result<Self> {
        let (orders, queue) = mpsc::channel::<(Command, oneshot::Sender<io::Result<Child>>)>();
        thread::Builder::new().name("simulated-sshd".to_owned()).spawn(move || {
            for (mut command, started) in queue {
                if let Err(Ok(mut child)) = started.send(command.spawn()) {
                    // Nobody waits for it any more.
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        })?;
        Ok(Self { orders })
    }

    async fn start(&self, command: Command) -> io::Result<Child> {
        let (started, child) = oneshot::channel();
        let ended = |_| io::Error::other("the starting thread has ended");
        self.orders.send((command, started)).map_err(|_| io::Error::other("no thread"))?;
        child.await.map_err(ended)?
    }
}

fn program(paths: &[&str]) -> Option<PathBuf> {
    paths.iter().map(PathBuf::from).find(|path| path.is_file())
}

/// A directory that an unprivileged account can reach: every one above must let others through.
fn reachable_directory() -> io::Result<TempDir> {
    let passable = |path: &Path| fs::metadata(path).is_ok_and(|it| it.is_dir() && it.permissions().mode() & 0o001 != 0);
    let candidates = [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into()];
    let base = candidates
        .into_iter()
        .filter_map(|path| path.canonicalize().ok())
        .find(|path| path.ancestors().all(passable))
        .ok_or(io::ErrorKind::NotFound)?;
    leftovers_remove(&base);
    let prefix = format!("{PREFIX}{}-", std::process::id());
    let directory = tempfile::Builder::new().prefix(&prefix).tempdir_in(base)?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    Ok(directory)
}

/// Removes what simulators that were killed left behind.
fn leftovers_remove(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            // Fails where it is another user's, which is right.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
