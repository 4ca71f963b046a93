//! A login at this machine that leads to an engine and nowhere else: a real SSH server and a real
//! client, each with settings of their own.
//!
//! The server runs as root, since whoever logs in has to reach the engine, on a loopback address,
//! with processes and a `/run` of its own; whatever is asked of it, it runs one command. As with the
//! engine a small shell stands between, at whose end everything goes. Rule: no file of the machine's
//! own SSH is read or written.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// `$1` is the folder, the rest the server's command. The account need not have a password, but
/// where it is locked the server lets nobody in.
const SERVER: &str = r#"
folder=$1; shift
unshare --mount --pid --fork --kill-child=KILL sh -c '
    mount -t tmpfs none /run && mkdir -m 755 /run/sshd && mount --bind "$0/shadow" /etc/shadow && exec "$@"
' "$folder" "$@" > "$folder/log" 2>&1 < /dev/null &
server=$!
echo "$server"
read -r end
kill -KILL "$server" 2> /dev/null
wait "$server"
rm -rf --one-file-system "$folder"
"#;

const LONG: Duration = Duration::from_secs(60);

/// The way to an engine through a login.
pub struct Login {
    folder: TempDir,
    port: u16,
    server: u32,
    guard: Option<(Child, ChildStdin)>,
}

/// Whether such a server can run here, or has to.
pub fn is_here() -> bool {
    let is_there = |names: &[&str]| names.iter().any(|name| Path::new(name).is_file());
    let here = is_there(&["/usr/sbin/sshd"]) && is_there(&["/usr/bin/ssh"]);
    let missing = "OpenSSH is missing (`cargo xtask setup sshd` gets it)";
    assert!(here || std::env::var_os("HANGAR_ALLOW_MISSING").is_some(), "{missing}");
    if !here {
        eprintln!("left out: {missing}");
    }
    here
}

impl Login {
    /// A server behind which is the engine at a socket, and that lets in whoever comes.
    pub fn start(engine: &str) -> Self {
        Self::started(engine, "MaxStartups 200:30:400")
    }

    /// One that lets in as many at once as it does where nobody said otherwise.
    pub fn start_untuned(engine: &str) -> Self {
        Self::started(engine, "# MaxStartups 10:30:100")
    }

    fn started(engine: &str, crowd: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("hangar-login-").tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let mut login = Self { folder, port, server: 0, guard: None };
        for name in ["host", "user", "other"] {
            login.key(name);
        }
        let path = |name: &str| login.path(name).display().to_string();
        let own = std::env::var("PATH").unwrap();
        login.write(
            "engine.sh",
            &format!(
                "case \"$SSH_ORIGINAL_COMMAND\" in *' dial-stdio') ;; *) exit 9 ;; esac\n\
                 PATH='{own}' DOCKER_HOST='{engine}' exec docker system dial-stdio\n"
            ),
        );
        login.write("shadow", "root:*:1::::::\n");
        fs::copy(login.path("user.pub"), login.path("authorized_keys")).unwrap();
        login.write(
            "sshd_config",
            &format!(
                "AddressFamily inet\nListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\n\
                 PidFile none\nUsePAM no\nStrictModes no\nUseDNS no\nPermitRootLogin prohibit-password\n\
                 PasswordAuthentication no\nKbdInteractiveAuthentication no\nDisableForwarding yes\nPermitTTY no\n\
                 PermitUserEnvironment no\nPermitUserRC no\n{crowd}\nForceCommand /bin/sh {}\n",
                path("host"),
                path("authorized_keys"),
                path("engine.sh"),
            ),
        );
        // The same server under three names: one that is known, one whose key is not known, and one
        // at which we have another key than the one that is let in.
        let host = fs::read_to_string(login.path("host.pub")).unwrap();
        login.write("known", &format!("known {host}"));
        login.write("nobody", "");
        login.write(
            "config",
            &format!(
                "Host closed.test\n  IdentityFile {}\nHost * !closed.test\n  IdentityFile {}\n\
                 Host stranger.test\n  UserKnownHostsFile {}\n\
                 Host *\n  HostName 127.0.0.1\n  HostKeyAlias known\n  UserKnownHostsFile {}\n  \
                 GlobalKnownHostsFile none\n  StrictHostKeyChecking yes\n  IdentitiesOnly yes\n  IdentityAgent none\n",
                path("other"),
                path("user"),
                path("nobody"),
                path("known"),
            ),
        );
        fs::create_dir(login.path("bin")).unwrap();
        login.write("bin/ssh", &format!("#!/bin/sh\nexec /usr/bin/ssh -F '{}' \"$@\"\n", path("config")));
        fs::set_permissions(login.path("bin/ssh"), fs::Permissions::from_mode(0o755)).unwrap();
        login.serve();
        login
    }

    fn serve(&mut self) {
        let mut command = Command::new("sh");
        command.args(["-c", SERVER, "sh"]).arg(self.folder.path());
        command.args(["/usr/sbin/sshd", "-D", "-e", "-f"]).arg(self.path("sshd_config"));
        let mut guard = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut pid = String::new();
        BufReader::new(guard.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        self.server = pid.trim().parse().unwrap();
        let input = guard.stdin.take().unwrap();
        self.guard = Some((guard, input));
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = || fs::read_to_string(self.path("log")).unwrap_or_default();
            assert!(started.elapsed() < LONG, "the SSH server does not listen:\n{}", log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn key(&self, name: &str) {
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(self.path(name));
        assert!(command.status().unwrap().success());
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where its `ssh` is.
    pub fn bin(&self) -> PathBuf {
        self.path("bin")
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process below which its sessions are.
    pub fn server(&self) -> u32 {
        self.server
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        if let Some((mut guard, input)) = self.guard.take() {
            drop(input);
            guard.wait().unwrap();
        }
    }
}

/// The processes below one, each with its command.
pub fn descendants(pid: u32) -> Vec<String> {
    let mut all = Vec::new();
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return all };
    for task in tasks.flatten() {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace() {
            let words = fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
            all.push(format!("{child} {}", words.replace('\0', " ")));
            all.extend(descendants(child.parse().unwrap()));
        }
    }
    all
}
