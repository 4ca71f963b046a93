//! A private Docker Engine: own folder, own socket, own addresses, no bridge and no firewall rules of
//! the machine's own, gone at the end; and the images that stacks are made of in tests. The tests of
//! every crate and `cargo xtask engine` start it from here. The `docker` command acts on it as
//! somebody else would.
//!
//! A small shell stands between: it holds the engine's process id and waits for the end of its
//! input, which comes when [`Docker`] is dropped and just as well when the process ends or is killed.
//! Rule: nothing of the machine's own engine is touched, and the standard library is enough.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    os::unix::{fs::symlink, process::CommandExt as _},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// `$1` is the folder, the rest the engine's command. What a failed test left is taken away first:
/// networks are interfaces of the machine, which do not go with the engine.
const ENGINE: &str = r#"
folder=$1; shift
"$@" > "$folder/log" 2>&1 < /dev/null &
engine=$!
echo "$engine"
read -r end
export DOCKER_HOST="unix://$folder/socket"
timeout 30 docker ps --all --quiet 2> /dev/null | xargs -r timeout 30 docker rm --force > /dev/null 2>&1
timeout 30 docker network prune --force > /dev/null 2>&1
kill -TERM "$engine" 2> /dev/null
(sleep 20; kill -KILL "$engine" 2> /dev/null) &
late=$!
wait "$engine"
kill "$late" 2> /dev/null
"#;

/// `$1` is the folder, the rest the command of what runs the containers, which goes on while the
/// engine is away, as a service of its own does. When the engine has ended, whatever a killed one
/// left goes too.
const RUNNER: &str = r#"
folder=$1; shift
"$@" > "$folder/runner.log" 2>&1 < /dev/null &
runner=$!
echo "$runner"
read -r end
for turn in $(seq 300); do
    [ -e "$folder/pid" ] && kill -0 "$(cat "$folder/pid")" 2> /dev/null || break
    sleep 0.1
done
for pid in $(cat "$folder"/runner/state/*/moby/*/init.pid 2> /dev/null); do kill -KILL "$pid" 2> /dev/null; done
sleep 0.2
for pid in $(pgrep -f -- "containerd-shim.* -address $folder/runner/socket"); do kill -KILL "$pid" 2> /dev/null; done
kill -KILL "$runner" 2> /dev/null
wait "$runner"
grep -o "$folder/[^ ]*" /proc/self/mounts | sort -r | while read -r mount; do umount -l "$mount"; done 2> /dev/null
rm -rf --one-file-system "$folder"
"#;

/// What runs first in a network of the engine's own: the one way to the machine's, and then the engine.
/// `$1` is the name of that way, `$2` what both addresses begin with, the rest the engine's command.
const APART: &str = r#"
name=$1 net=$2; shift 2
ip link add eth0 type veth peer name "$name" netns "$PPID" &&
    ip address add "$net.2/30" dev eth0 && ip link set eth0 up && ip link set lo up &&
    nsenter --net="/proc/$PPID/ns/net" sh -c 'ip address add "$2.1/30" dev "$1" && ip link set "$1" up' sh "$name" "$net" &&
    exec "$@"
"#;

const LONG: Duration = Duration::from_secs(60);

/// A page that says which version it is.
pub const PORT: u16 = 8080;

/// A running engine.
pub struct Docker {
    folder: PathBuf,
    dockerd: PathBuf,
    number: u32,
    apart: bool,
    guard: Mutex<Option<(Child, ChildStdin)>>,
    runner: Mutex<Option<(Child, ChildStdin)>>,
    pid: AtomicU32,
}

/// Whether a real engine can run here, or has to.
pub fn is_here() -> bool {
    if env::var_os("HANGAR_TEST_FAST").is_some() {
        eprintln!("left out: no real services");
        return false;
    }
    let missing = missing();
    if let Some(missing) = &missing {
        assert!(
            env::var_os("HANGAR_ALLOW_MISSING").is_some(),
            "{missing} (`cargo xtask setup docker` gets what it can and tells the rest); HANGAR_ALLOW_MISSING=1 \
             leaves it out"
        );
        eprintln!("left out: {missing}");
    }
    missing.is_none()
}

fn missing() -> Option<&'static str> {
    let names = ["dockerd", "docker", "busybox", "containerd", "pgrep"];
    if names.into_iter().any(|name| program(name).is_none()) {
        return Some("The Docker Engine, its command or busybox is missing");
    }
    let id = Command::new("id").arg("-u").output().unwrap();
    if id.stdout != b"0\n" {
        return Some("Only root can start a Docker Engine");
    }
    let told = Command::new("docker").args(["compose", "version", "--short"]).output().unwrap();
    let version = String::from_utf8(told.stdout).unwrap();
    let mut numbers = version.trim().trim_start_matches('v').split('.').map_while(|part| part.parse::<u32>().ok());
    if !told.status.success() || (numbers.next(), numbers.next()) < (Some(2), Some(20)) {
        return Some("Docker Compose 2 is not a plugin of the docker command");
    }
    None
}

impl Docker {
    /// The engine that the tests of one program share; each test has a prefix of its own. The end of
    /// the program ends it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Docker> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// An engine of a test's own, with the images; its ports are the machine's own.
    pub fn start() -> Self {
        Self::started(false)
    }

    /// The same in a network of its own, for programs that mind when the machine's interfaces change:
    /// containers come and go unseen, and the ports are reached at [`Docker::address`].
    pub fn start_apart() -> Self {
        Self::started(true)
    }

    fn started(apart: bool) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let own = env::temp_dir();
        // Sockets have short paths.
        let parent = if own.as_os_str().len() <= 30 { own } else { PathBuf::from("/tmp") };
        let folder = parent.join(format!("hangar-docker-{}-{number}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let docker = Self {
            dockerd: program("dockerd").unwrap(),
            folder,
            number,
            apart,
            guard: Mutex::default(),
            runner: Mutex::default(),
            pid: AtomicU32::new(0),
        };
        docker.runner_start();
        docker.run();
        docker.images();
        docker
    }

    /// What the account's settings call it.
    pub fn host(&self) -> String {
        format!("unix://{}", self.folder.join("socket").display())
    }

    /// Where its ports are reached.
    pub fn address(&self) -> String {
        if self.apart { format!("{}.2", self.net()) } else { "127.0.0.1".to_owned() }
    }

    /// Two engines must not choose the same addresses; the machine's own are elsewhere.
    fn second(&self) -> u32 {
        64 + (std::process::id() + self.number * 17) % 128
    }

    fn net(&self) -> String {
        format!("10.{}.255", self.second())
    }

    fn runner_start(&self) {
        let config = self.folder.join("runner.toml");
        fs::write(&config, "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n").unwrap();
        let folder = self.folder.join("runner");
        let path = |name: &str| folder.join(name).display().to_string();
        let mut command = Command::new("sh");
        command.args(["-c", RUNNER, "sh"]).arg(&self.folder).arg(program("containerd").unwrap());
        command.arg("--config").arg(config).args(["--root", &path("root"), "--state", &path("state")]);
        command.args(["--address", &path("socket")]);
        let (guard, input, _) = guarded(&mut command);
        *self.runner.lock().unwrap() = Some((guard, input));
        let started = Instant::now();
        while !folder.join("socket").exists() {
            assert!(started.elapsed() < LONG, "containerd does not start");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn run(&self) {
        let second = self.second();
        let folder = &self.folder;
        let path = |name: &str| folder.join(name).display().to_string();
        fs::write(folder.join("none.json"), "{}").unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", ENGINE, "sh"]).arg(folder).current_dir(folder);
        if self.apart {
            // As long as a name may be: 15 letters.
            let name = format!("hd{}-{}", std::process::id(), self.number);
            command.args(["unshare", "--net", "sh", "-c", APART, "sh", &name, &self.net()]);
        }
        command.arg(&self.dockerd);
        command.args(["--host", &self.host(), "--containerd", &path("runner/socket")]);
        command.args(["--data-root", &path("data"), "--exec-root", &path("exec")]);
        command.args(["--pidfile", &path("pid"), "--config-file", &path("none.json")]);
        command.args(["--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"]);
        command.args([
            "--default-address-pool",
            &format!("base=10.{second}.0.0/16,size=28"),
            "--shutdown-timeout",
            "2",
        ]);
        let (guard, input, pid) = guarded(&mut command);
        *self.guard.lock().unwrap() = Some((guard, input));
        self.pid.store(pid, Ordering::SeqCst);
        let started = Instant::now();
        while self.try_docker(&["version"]).is_none() {
            let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
            assert!(started.elapsed() < LONG, "the engine does not start:\n{}", log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the engine at once, in the middle of whatever it does; its containers go on.
    pub fn kill(&self) {
        let pid = self.pid.load(Ordering::SeqCst).to_string();
        assert!(Command::new("kill").args(["-s", "KILL", &pid]).status().unwrap().success());
        let started = Instant::now();
        while self.try_docker(&["version"]).is_some() {
            assert!(started.elapsed() < LONG);
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends the engine as a machine that is shut down does: its containers stop, and come back with it
    /// where they are to.
    pub fn stop(&self) {
        let pid = self.pid.load(Ordering::SeqCst).to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
        let started = Instant::now();
        // Nobody has asked for its exit code: it is there, and no program any more.
        while fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|words| !words.is_empty()) {
            assert!(started.elapsed() < LONG);
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts it again, with what it had.
    pub fn restart(&self) {
        ended(&self.guard);
        drop(fs::remove_file(self.folder.join("pid")));
        self.run();
    }

    fn command(&self) -> Command {
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", self.host()).env_remove("DOCKER_CONTEXT").stdin(Stdio::null());
        command
    }

    /// What the `docker` command prints, where it succeeds.
    pub fn try_docker(&self, words: &[&str]) -> Option<String> {
        let output = self.command().args(words).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }

    /// What the `docker` command prints.
    pub fn docker(&self, words: &[&str]) -> String {
        let output = self.command().args(words).output().unwrap();
        assert!(output.status.success(), "docker {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The containers, volumes and networks whose names begin with a prefix, sorted; those that every
    /// engine has are left out.
    pub fn things(&self, prefix: &str) -> Vec<String> {
        let mut all = Vec::new();
        for (kind, words) in [
            ("container", &["ps", "--all", "--format", "{{.Names}}"][..]),
            ("volume", &["volume", "ls", "--format", "{{.Name}}"]),
            ("network", &["network", "ls", "--format", "{{.Name}}"]),
        ] {
            let told = self.docker(words);
            let names = told.lines().filter(|name| !matches!(*name, "" | "bridge" | "host" | "none"));
            // Between two containers of a service the new one has a name that begins with a number.
            let ours = names.filter(|name| name.starts_with(prefix) || name.contains(&format!("_{prefix}")));
            all.extend(ours.map(|name| format!("{kind} {name}")));
        }
        all.sort();
        all
    }

    /// The images of the tests, all of busybox.
    fn images(&self) {
        let root = self.folder.join("images/root");
        for folder in ["bin", "tmp", "www", "data"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        // Browsers ask for it on their own.
        fs::write(root.join("www/favicon.ico"), "").unwrap();
        symlink("data", root.join("link")).unwrap();
        let busybox = program("busybox").unwrap();
        fs::copy(&busybox, root.join("bin/busybox")).unwrap();
        let list = Command::new(&busybox).arg("--list").output().unwrap();
        for name in String::from_utf8(list.stdout).unwrap().lines().filter(|name| *name != "busybox") {
            symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        let serve = format!(r#"CMD ["/bin/httpd", "-f", "-p", "{PORT}", "-h", "/www"]"#);
        let asked = format!(
            r#"HEALTHCHECK --interval=200ms --timeout=5s --retries=3 CMD ["/bin/wget", "-q", "-O", "/dev/null", "http://127.0.0.1:{PORT}/"]"#
        );
        let never = r#"HEALTHCHECK --interval=1h CMD ["/bin/true"]"#;
        let bad = r#"HEALTHCHECK --interval=100ms --timeout=5s --retries=2 CMD ["/bin/false"]"#;
        let ends = r#"CMD ["/bin/sh", "-c", "exit 7"]"#;
        let keeps =
            r#"CMD ["/bin/sh", "-c", "test -e /data/file || echo \"$PASSWORD\" > /data/file; exec sleep 100000"]"#;
        for (name, lines) in [
            ("app:good1", [serve.as_str(), asked.as_str()]),
            ("app:good2", [&serve, &asked]),
            ("app:plain", [&serve, ""]),
            ("app:unhealthy", [&serve, bad]),
            ("app:never", [&serve, never]),
            ("app:crash", [ends, ""]),
            ("db:1", [keeps, ""]),
        ] {
            fs::write(root.join("www/index.html"), format!("this is {name}\n")).unwrap();
            let text = format!("FROM scratch\nCOPY root/ /\nENV PATH=/bin\nSTOPSIGNAL SIGKILL\n{}\n", lines.join("\n"));
            fs::write(self.folder.join("images/Dockerfile"), text).unwrap();
            let mut command = self.command();
            command.env("DOCKER_BUILDKIT", "0").args(["build", "--quiet", "--tag", &format!("hangar-test/{name}")]);
            let output = command.arg(self.folder.join("images")).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        // What has only busybox itself, and nothing to keep time with.
        let bare = self.folder.join("bare");
        fs::create_dir_all(&bare).unwrap();
        fs::copy(&busybox, bare.join("busybox")).unwrap();
        let text =
            "FROM scratch\nCOPY busybox /busybox\nSTOPSIGNAL SIGKILL\nCMD [\"/busybox\", \"sleep\", \"100000\"]\n";
        fs::write(bare.join("Dockerfile"), text).unwrap();
        let mut command = self.command();
        command.env("DOCKER_BUILDKIT", "0").args(["build", "--quiet", "--tag", "hangar-test/bare:1"]).arg(&bare);
        assert!(command.output().unwrap().status.success());
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        ended(&self.guard);
        ended(&self.runner);
    }
}

/// Starts a guard, which tells the process id of what it guards.
fn guarded(command: &mut Command) -> (Child, ChildStdin, u32) {
    // Ctrl-C reaches the whole group in front; the shell must outlive it to clean up.
    command.process_group(0);
    let mut guard = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut pid = String::new();
    BufReader::new(guard.stdout.take().unwrap()).read_line(&mut pid).unwrap();
    let input = guard.stdin.take().unwrap();
    (guard, input, pid.trim().parse().unwrap())
}

fn ended(guard: &Mutex<Option<(Child, ChildStdin)>>) {
    if let Some((mut guard, input)) = guard.lock().unwrap().take() {
        drop(input);
        guard.wait().unwrap();
    }
}

fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // An ordinary user's PATH seldom has the sbin folders.
    let more = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    env::split_paths(&path).chain(more).map(|folder| folder.join(name)).find(|file| file.is_file())
}
