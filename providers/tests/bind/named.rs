//! A private BIND 9: own folder, own port on 127.0.0.1, an unprivileged user, gone at the end. The
//! tests of every crate and `cargo xtask bind` start it from here; its configuration is written
//! nowhere else.
//!
//! A small shell stands between: it holds the server's process id and waits for the end of its
//! input, which comes when [`Bind`] is dropped and just as well when the process is killed.
//! Rule: nothing of the machine's own name server is touched, and the standard library is enough.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, UdpSocket},
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

/// `$1` is the folder, the rest the server's command.
const GUARD: &str = r#"
folder=$1; shift
"$@" > "$folder/log" 2>&1 < /dev/null &
server=$!
echo "$server"
read -r end
kill -KILL "$server" 2> /dev/null
wait "$server"
rm -rf "$folder"
"#;

const LONG: Duration = Duration::from_secs(30);

/// A key of the server's.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    pub name: &'static str,
    pub algorithm: &'static str,
    pub secret: &'static str,
}

/// May change and transfer everything.
pub const HANGAR: Key =
    Key { name: "hangar", algorithm: "hmac-sha256", secret: "aGFuZ2FyLWhhbmdhci1oYW5nYXItaGFuZ2FyLWhhbmc=" };
/// The same with the other algorithm.
pub const LONGER: Key =
    Key { name: "longer", algorithm: "hmac-sha512", secret: "bG9uZ2VyLWxvbmdlci1sb25nZXItbG9uZ2VyLWxvbmc=" };
/// May change everything and transfer nothing.
pub const WRITER: Key =
    Key { name: "writer", algorithm: "hmac-sha256", secret: "d3JpdGVyLXdyaXRlci13cml0ZXItd3JpdGVyLXdyaXQ=" };
/// May transfer everything and change nothing.
pub const READER: Key =
    Key { name: "reader", algorithm: "hmac-sha256", secret: "cmVhZGVyLXJlYWRlci1yZWFkZXItcmVhZGVyLXJlYWQ=" };
/// Other people's: may do everything.
pub const OTHERS: Key =
    Key { name: "others", algorithm: "hmac-sha256", secret: "b3RoZXJzLW90aGVycy1vdGhlcnMtb3RoZXJzLW90aGU=" };
const KEYS: [Key; 5] = [HANGAR, LONGER, WRITER, READER, OTHERS];

/// A running name server.
pub struct Bind {
    pub address: SocketAddr,
    named: PathBuf,
    has_lock: bool,
    folder: PathBuf,
    guards: Vec<(Child, ChildStdin)>,
    pid: u32,
}

impl Bind {
    /// A server that is the primary of these zones; `None` where there is none, which has to be
    /// allowed.
    pub fn start(zones: &[String]) -> Option<Self> {
        if env::var_os("HANGAR_TEST_FAST").is_some() {
            eprintln!("left out: no real services");
            return None;
        }
        let programs = ["named", "dig", "nsupdate"].map(program);
        let [Some(named), Some(_), Some(_)] = programs else {
            assert!(
                env::var_os("HANGAR_ALLOW_MISSING").is_some(),
                "BIND is missing (Debian: apt-get install bind9 bind9-dnsutils); HANGAR_ALLOW_MISSING=1 leaves it out"
            );
            eprintln!("left out: BIND is missing");
            return None;
        };
        let folder = folder();
        let named = unconfined(named, &folder);
        let has_lock = has_lock(&named);
        // Another program may take the port between our look and the server's start.
        for _ in 0..5 {
            let mut bind = Self {
                address: free_address(),
                named: named.clone(),
                has_lock,
                folder: folder.clone(),
                guards: vec![],
                pid: 0,
            };
            for zone in zones {
                bind.write(&format!("{zone}.zone"), &zone_file(zone));
            }
            bind.configure(zones);
            if bind.run() {
                return Some(bind);
            }
        }
        panic!("named does not start:\n{}", fs::read_to_string(folder.join("log")).unwrap_or_default());
    }

    /// What the account's settings call the server.
    pub fn server(&self) -> String {
        self.address.to_string()
    }

    /// Ends the server at once, in the middle of whatever it does.
    pub fn kill(&self) {
        self.signal("KILL");
    }

    /// Starts it again, with what it had written.
    pub fn restart(&mut self) {
        assert!(self.run(), "{}", fs::read_to_string(self.folder.join("log")).unwrap());
    }

    /// The server is the primary of exactly these zones from now on.
    pub fn reload(&self, zones: &[String]) {
        self.configure(zones);
        self.signal("HUP");
    }

    /// All tests at once are a crowd: with ten places in the queue that BIND gives by default, the
    /// kernel resets connections, and an update beyond the hundredth is dropped.
    fn configure(&self, zones: &[String]) {
        let folder = self.folder.display();
        let lock = if self.has_lock { "lock-file none; " } else { "" };
        let mut text = format!(
            "options {{ directory \"{folder}\"; pid-file \"named.pid\"; session-keyfile \"session.key\"; \
             managed-keys-directory \"{folder}\"; {lock}listen-on {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; \
             recursion no; notify no; dnssec-validation no; empty-zones-enable no; tcp-clients 1000; \
             tcp-listen-queue 1000; update-quota 1000; transfers-out 1000; \
             allow-transfer {{ key hangar; key longer; key reader; key others; }}; }};\ncontrols {{ }};\n"
        );
        for key in KEYS {
            text += &format!("key {} {{ algorithm {}; secret \"{}\"; }};\n", key.name, key.algorithm, key.secret);
        }
        for zone in zones {
            text += &format!("zone \"{zone}\" {{ type primary; file \"{zone}.zone\"; update-policy {{\n");
            for key in KEYS.iter().filter(|key| key.name != READER.name) {
                text += &format!("  grant {} zonesub ANY;\n", key.name);
            }
            text += "}; };\n";
        }
        self.write("named.conf", &text);
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        // The server may be reading the one before.
        let new = self.folder.join(format!("{name}.new"));
        fs::write(&new, text).unwrap();
        if let Some((user, group)) = other_account() {
            chown(&new, Some(user), Some(group)).unwrap();
        }
        fs::rename(new, path).unwrap();
    }

    /// False when it ended at once, as when its port is taken.
    fn run(&mut self) -> bool {
        // What the one before said is no sign that this one runs.
        let log = self.folder.join("log");
        drop(fs::remove_file(&log));
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, "sh"]).arg(&self.folder);
        if let Some((user, group)) = other_account() {
            command.args(["setpriv", &format!("--reuid={user}"), &format!("--regid={group}"), "--clear-groups"]);
        }
        command.arg(&self.named).args(["-g", "-n", "1", "-p", &self.address.port().to_string(), "-c"]);
        command.arg(self.folder.join("named.conf")).current_dir(&self.folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // Ctrl-C reaches the whole group in front; the shell must outlive it to clean up.
        command.process_group(0);
        let mut guard = command.spawn().unwrap();
        let mut pid = String::new();
        BufReader::new(guard.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        self.pid = pid.trim().parse().unwrap();
        let input = guard.stdin.take().unwrap();
        self.guards.push((guard, input));
        let started = Instant::now();
        while started.elapsed() < LONG {
            let text = fs::read_to_string(&log).unwrap_or_default();
            if text.lines().any(|line| line.ends_with(" running")) {
                return true;
            }
            if text.contains("exiting") || text.contains("address in use") {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        false
    }

    fn signal(&self, signal: &str) {
        // The shell's own: the program of this name is in a package that not every machine has.
        let told =
            Command::new("sh").args(["-c", r#"kill -s "$1" "$2""#, "sh", signal, &self.pid.to_string()]).status();
        assert!(told.unwrap().success());
    }
}

impl Drop for Bind {
    fn drop(&mut self) {
        for (mut guard, mut input) in self.guards.drain(..) {
            drop(input.write_all(b"end\n"));
            drop(input);
            drop(guard.wait());
        }
    }
}

/// Where AppArmor is on, the packaged server may only write in folders of the system's; a copy of it
/// is another program.
fn unconfined(named: PathBuf, folder: &Path) -> PathBuf {
    if !fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with('Y')) {
        return named;
    }
    let copy = folder.join("named");
    fs::copy(named, &copy).unwrap();
    copy
}

/// Whether this server locks a file of the system's unless it is told not to; newer ones do not
/// know the option any more.
fn has_lock(named: &Path) -> bool {
    let output = Command::new(named).arg("-C").stderr(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).contains("lock-file")
}

fn zone_file(zone: &str) -> String {
    format!(
        "$TTL 300\n@ IN SOA ns1.{zone}. hostmaster.{zone}. 1 3600 600 86400 60\n@ IN NS ns1.{zone}.\nns1 IN A 127.0.0.1\n"
    )
}

fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // An ordinary user's PATH seldom has the sbin folders.
    let more = ["/usr/sbin", "/usr/local/sbin", "/usr/bin"].map(PathBuf::from);
    env::split_paths(&path).chain(more).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Whom the server runs as when we are root.
fn other_account() -> Option<(u32, u32)> {
    let number = |arguments: &[&str]| -> Option<u32> {
        let output = Command::new("id").args(arguments).stderr(Stdio::null()).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    if number(&["-u"]) != Some(0) {
        return None;
    }
    ["bind", "named", "nobody"].into_iter().find_map(|user| Some((number(&["-u", user])?, number(&["-g", user])?)))
}

/// A new folder that the server's account can walk into and write.
fn folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let own = env::temp_dir();
    let walkable = |folder: &Path| folder.metadata().is_ok_and(|it| it.permissions().mode() & 0o001 != 0);
    let parent = if own.ancestors().all(walkable) { own } else { PathBuf::from("/tmp") };
    let folder = parent.join(format!("hangar-bind-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    if let Some((user, group)) = other_account() {
        chown(&folder, Some(user), Some(group)).unwrap();
    }
    folder
}

/// A port that is free for both datagrams and streams.
fn free_address() -> SocketAddr {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        if UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
}
