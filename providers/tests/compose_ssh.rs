//! Docker Compose at an engine behind a login: a real SSH server, a real client, and a real engine;
//! and commands in a stack's services while Hangar or the engine dies. `docker` finds its `ssh` by
//! the path, so each test runs this program again with a path in which there is one that knows the
//! way.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;
mod docker;
mod login;

use std::{
    env, fs,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use common::INSTANCE;
use docker::{Docker, stack};
use domain::{code::Code, node::ReasonCode};
use futures::future::join_all;
use login::{Login, descendants};
use providers::{
    Account, BackupWish, Effect, ExecWish, HealthTarget, InfraProvider, MachineTarget, MemoryJournal, ProviderError,
    ProvisionWish, Timeouts,
};
use serde_json::json;

const LONG: Duration = Duration::from_secs(240);

/// What the program is told when it runs again: the name at which it logs in, the port, the server's
/// process and the engine's socket.
const TOLD: &str = "HANGAR_TEST_LOGIN";

/// The program run again, with the way to the engine.
struct Inside {
    port: u16,
    server: u32,
    /// The engine as this machine reaches it.
    engine: String,
    prefix: String,
}

/// What a test does is done by the program that is run again.
///
/// `None` outside, when that has ended well.
fn inside(test: &str) -> Option<Inside> {
    inside_by(test, Login::start)
}

fn inside_by(test: &str, login: fn(&str) -> Login) -> Option<Inside> {
    if let Ok(told) = env::var(TOLD) {
        let words: Vec<_> = told.split(' ').collect();
        let [port, server, engine, prefix] = words[..] else { panic!("{told}") };
        let (port, server) = (port.parse().unwrap(), server.parse().unwrap());
        return Some(Inside { port, server, engine: engine.to_owned(), prefix: prefix.to_owned() });
    }
    if docker::is_here() && login::is_here() {
        let (_login, mut again) = again(test, login);
        let output = again.output().unwrap();
        let told = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(output.status.success(), "{}", told.join("\n"));
    }
    None
}

/// The command that runs this program again for one test, with a login of its own.
fn again(test: &str, login: fn(&str) -> Login) -> (Login, Command) {
    let engine = Docker::shared().host();
    let login = login(&engine);
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).stdin(Stdio::null());
    command.env("PATH", format!("{}:{}", login.bin().display(), env::var("PATH").unwrap()));
    command.env(TOLD, format!("{} {} {engine} {}", login.port(), login.server(), docker::prefix()));
    (login, command)
}

impl Inside {
    fn account(&self, machine: &str, timeouts: Timeouts, work: &Path) -> Arc<dyn Account> {
        self.account_at(&format!("ssh://root@{machine}:{}", self.port), timeouts, work)
    }

    /// Without a login, for what has been tried already.
    fn near(&self, work: &Path) -> Arc<dyn Account> {
        self.account_at(&self.engine, docker::timeouts(), work)
    }

    fn account_at(&self, host: &str, timeouts: Timeouts, work: &Path) -> Arc<dyn Account> {
        let settings = json!({"host": host, "project_prefix": self.prefix, "public_host": "127.0.0.1"});
        docker::account_at(settings, &format!("{INSTANCE}-{}", self.prefix), timeouts, work)
    }

    fn health_target(&self) -> HealthTarget {
        let infra_id = Some(format!("{}-alpha-0001", self.prefix));
        HealthTarget { infra_id, host: None, ssh: None, requires: Vec::new(), within: LONG }
    }

    fn target(&self) -> MachineTarget {
        common::target(self.health_target().infra_id.as_deref())
    }

    async fn made(&self, infra: &dyn InfraProvider) {
        let wish = ProvisionWish { stack: Some(stack("good1")), pairs: Vec::new(), ..common::wish() };
        infra.provision(&wish, &mut MemoryJournal::default()).await.unwrap();
    }

    async fn destroyed(&self, infra: &dyn InfraProvider) {
        infra.destroy(&self.target(), &mut MemoryJournal::default()).await.unwrap();
        assert_eq!(infra.owned().await.unwrap(), []);
    }

    /// What the `docker` command of this machine prints, where it succeeds.
    fn docker(&self, words: &[&str]) -> Option<String> {
        let output = Command::new("docker").env("DOCKER_HOST", &self.engine).args(words).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }

    fn web(&self) -> String {
        format!("{}-alpha-0001-web-1", self.prefix)
    }

    /// Waits for a file in the service.
    async fn file(&self, path: &str) {
        eventually("the command begins", || self.docker(&["exec", &self.web(), "cat", path]).is_some()).await;
    }
}

async fn eventually(what: &str, mut test: impl FnMut() -> bool) {
    let until = Instant::now() + LONG;
    while !test() {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn exec_wish(task: &str, script: &str, within: Duration) -> ExecWish {
    let argv = ["sh", "-c", script].map(str::to_owned).into();
    ExecWish { task: task.to_owned(), argv, service: Some("web".to_owned()), within }
}

/// The whole life of a stack; afterwards neither this machine nor the engine's has a process more
/// than before, though the account is still open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_through_a_login_leaves_no_process_behind() {
    let Some(bed) = inside("what_is_done_through_a_login_leaves_no_process_behind") else { return };
    let work = tempfile::tempdir().unwrap();
    let account = bed.account("engine.test", docker::timeouts(), work.path());
    let infra = account.infra().unwrap();
    account.check(None).await.unwrap();
    bed.made(infra).await;
    let target = bed.health_target();
    let until = Instant::now() + LONG;
    while !infra.health_check(&target).await.is_empty() {
        assert!(Instant::now() < until, "it does not get healthy");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let most = descendants(std::process::id());
    assert!(most.len() < 12, "they become more and more: {most:#?}");
    // It says something after a while in which nothing goes either way.
    let told = infra.exec(&target, &exec_wish("job-1", "sleep 1; seq 1 20000; echo end; exit 4", LONG)).await.unwrap();
    assert_eq!((told.exit_code, told.stdout.ends_with("\n20000\nend\n")), (Some(4), true));
    let folder = tempfile::tempdir().unwrap();
    let wish = BackupWish { into: folder.path(), most_bytes: 1 << 30, leave_bytes: 0, within: LONG };
    let kept = infra.backup(&bed.target(), &wish, &mut MemoryJournal::default()).await.unwrap().unwrap();
    assert_eq!(kept.files, ["db-data.tar"]);
    // After a backup it stands still.
    infra.resume(&bed.target(), &mut MemoryJournal::default()).await.unwrap();
    // What is given up in the middle ends too.
    let wish = exec_wish("job-2", "touch /tmp/begun; sleep 1000", LONG);
    tokio::select! {
        told = infra.exec(&target, &wish) => panic!("it waits: {told:?}"),
        () = bed.file("/tmp/begun") => {}
    }
    bed.destroyed(infra).await;
    eventually("the commands of this machine end", || descendants(std::process::id()).is_empty()).await;
    // But for the server itself.
    eventually("the sessions at the engine's machine end", || descendants(bed.server).len() == 1).await;
    drop(account);
}

/// Whoever may not log in is told why, and that is not retried for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_is_refused_is_told_as_such() {
    let Some(bed) = inside("a_login_that_is_refused_is_told_as_such") else { return };
    let work = tempfile::tempdir().unwrap();
    let told = |error: ProviderError| {
        assert!(!error.is_transient(), "{error:?}");
        (error.code, error.message)
    };
    for (machine, message) in [
        (
            "stranger.test",
            "The host key of the engine's machine is not among the known hosts of the account that Hangar runs as.",
        ),
        ("closed.test", "The engine's machine refused the login."),
    ] {
        let account = bed.account(machine, docker::timeouts(), work.path());
        let infra = account.infra().unwrap();
        let expected = (Code::ProviderCredentialRejected, message.to_owned());
        assert_eq!(told(account.check(None).await.unwrap_err()), expected);
        assert_eq!(told(infra.owned().await.unwrap_err()), expected);
        let destroyed = infra.destroy(&bed.target(), &mut MemoryJournal::default()).await;
        assert_eq!(told(destroyed.unwrap_err()), expected);
        assert_eq!(infra.health_check(&bed.health_target()).await, [ReasonCode::NodeUnreachable]);
    }
    let nobody = Inside { port: 1, ..bed };
    let account = nobody.account("engine.test", docker::timeouts(), work.path());
    let error = account.check(None).await.unwrap_err();
    assert_eq!((error.code, error.is_transient()), (Code::ProviderUnreachable, true), "{error:?}");
}

/// Every read is a login, and a server turns away who comes while too many are not in yet; two
/// accounts may be at one machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_reads_at_once_are_not_turned_away() {
    let Some(bed) = inside_by("many_reads_at_once_are_not_turned_away", Login::start_untuned) else { return };
    let work = tempfile::tempdir().unwrap();
    let near = bed.near(work.path());
    bed.made(near.infra().unwrap()).await;
    let patient = Timeouts { read: LONG, ..docker::timeouts() };
    let accounts = ["engine.test", "engine.test"].map(|machine| bed.account(machine, patient, work.path()));
    let project = bed.target().infra_id.unwrap();
    let all = (0..20).map(|at| accounts[at % 2].infra().unwrap().status(&project));
    for told in join_all(all).await {
        let status = told.unwrap().unwrap();
        assert!(status.ours, "{status:?}");
    }
    drop(accounts);
    bed.destroyed(near.infra().unwrap()).await;
    assert_eq!(fs::read_dir(work.path()).unwrap().count(), 0, "no socket is left");
}

/// A read that comes to nothing opens a new way; who is under way on the old one goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_fails_does_not_cut_off_a_command() {
    let Some(bed) = inside("a_read_that_fails_does_not_cut_off_a_command") else { return };
    let work = tempfile::tempdir().unwrap();
    let near = bed.near(work.path());
    bed.made(near.infra().unwrap()).await;
    let timeouts = Timeouts { read: Duration::from_secs(10), ..docker::timeouts() };
    let account = bed.account("engine.test", timeouts, work.path());
    let infra = account.infra().unwrap();
    let target = bed.health_target();
    let script = "touch /tmp/begun; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo out; exit 6";
    let wish = exec_wish("job-1", script, LONG);
    let fails = async {
        bed.file("/tmp/begun").await;
        let server = bed.server.to_string();
        // Whoever logs in now waits.
        signal("STOP", &server);
        let owned = infra.owned().await;
        signal("CONT", &server);
        assert_eq!(owned.unwrap_err().code, Code::ProviderUnreachable);
        assert_eq!(infra.owned().await.unwrap().len(), 1);
        bed.docker(&["exec", &bed.web(), "touch", "/tmp/go"]).unwrap();
    };
    let (told, ()) = tokio::join!(infra.exec(&target, &wish), fails);
    let told = told.unwrap();
    assert_eq!((told.exit_code, told.stdout.as_str()), (Some(6), "out\n"));
    bed.destroyed(near.infra().unwrap()).await;
}

/// The server itself, which is the one process below; its sessions go on.
fn signal(name: &str, server: &str) {
    let path = format!("/proc/{server}/task/{server}/children");
    let listener = fs::read_to_string(path).unwrap();
    assert!(Command::new("kill").args(["-s", name, listener.trim()]).status().unwrap().success());
}

/// Hangar is killed while a command runs: asked again it is not run a second time, and what was
/// opened for it is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_whose_hangar_was_killed_is_waited_for() {
    const DIES: &str = "HANGAR_TEST_DIES";
    let name = "a_command_whose_hangar_was_killed_is_waited_for";
    let Some(bed) = inside(name) else { return };
    let work = tempfile::tempdir().unwrap();
    let account = bed.account("engine.test", docker::timeouts(), work.path());
    let infra = account.infra().unwrap();
    let target = bed.health_target();
    let wish = exec_wish("job-1", "echo ran >> /tmp/ran; while [ ! -e /tmp/go ]; do sleep 0.1; done; exit 5", LONG);
    if env::var_os(DIES).is_some() {
        let told = infra.exec(&target, &wish).await;
        panic!("it waits: {told:?}");
    }
    let near = bed.near(work.path());
    bed.made(near.infra().unwrap()).await;
    let mut hangar = Killed(
        Command::new(env::current_exe().unwrap())
            .args(["--exact", name])
            .env(DIES, "1")
            .env("TMPDIR", work.path())
            .spawn()
            .unwrap(),
    );
    bed.file("/tmp/ran").await;
    hangar.0.kill().unwrap();
    hangar.0.wait().unwrap();
    let go = async { bed.docker(&["exec", &bed.web(), "touch", "/tmp/go"]).unwrap() };
    let (told, _) = tokio::join!(infra.exec(&target, &wish), go);
    assert_eq!(told.unwrap().exit_code, Some(5));
    assert_eq!(bed.docker(&["exec", &bed.web(), "cat", "/tmp/ran"]).as_deref(), Some("ran"));
    bed.destroyed(near.infra().unwrap()).await;
    eventually("the sessions at the engine's machine end", || descendants(bed.server).len() == 1).await;
}

/// A process that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Whoever asks after days finds its own note all the same, also when the clock went ahead; a note
/// that nobody asks for is kept as long as the engine knows the command.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_note_of_a_command_is_looked_at_before_it_is_forgotten() {
    let Some(bed) = inside("an_old_note_of_a_command_is_looked_at_before_it_is_forgotten") else { return };
    let work = tempfile::tempdir().unwrap();
    let account = bed.near(work.path());
    let infra = account.infra().unwrap();
    bed.made(infra).await;
    let project = bed.target().infra_id.unwrap();
    let instance = format!("hangar.instance={INSTANCE}-{}", bed.prefix);
    let noted = |task: &str, exec: &str| {
        let name = format!("{project}_hangar-{task}");
        let labels = [
            instance.clone(),
            format!("hangar.node={}", common::NODE),
            "hangar.name=alpha-0001".to_owned(),
            format!("com.docker.compose.project={project}"),
            format!("hangar.exec={exec}"),
            "hangar.until=1000000000".to_owned(),
        ];
        let mut words = vec!["volume", "create"];
        labels.iter().for_each(|label| words.extend(["--label", label]));
        words.push(&name);
        bed.docker(&words).unwrap();
    };
    let is_noted = |task: &str| bed.docker(&["volume", "inspect", &format!("{project}_hangar-{task}")]).is_some();
    noted("job-1", &"0".repeat(64));
    noted("job-2", &"1".repeat(64));
    let target = bed.health_target();
    let told = infra.exec(&target, &exec_wish("job-1", "touch /tmp/ran-1", LONG)).await.unwrap();
    assert!(told.exit_code.is_none() && told.stderr.contains("begun by an earlier run"), "{told:?}");
    // The other one is let go by who has no note of its own.
    assert!(is_noted("job-1") && is_noted("job-2"));
    let told = infra.exec(&target, &exec_wish("job-3", "ls /tmp", LONG)).await.unwrap();
    assert_eq!((told.exit_code, told.stdout.as_str()), (Some(0), ""));
    assert!(!is_noted("job-2") && is_noted("job-3"));
    // What the engine still knows is no old story, whatever the clocks say.
    let exec = bed.docker(&[
        "volume",
        "inspect",
        "--format",
        "{{index .Labels \"hangar.exec\"}}",
        &format!("{project}_hangar-job-3"),
    ]);
    noted("job-4", &exec.unwrap());
    infra.exec(&target, &exec_wish("job-5", "true", LONG)).await.unwrap();
    assert!(is_noted("job-4"));
    bed.destroyed(infra).await;
}

/// The engine is killed while a command runs, and has forgotten it when it is there again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_the_engine_forgot_is_not_run_again() {
    if !docker::is_here() {
        return;
    }
    let docker = tokio::task::spawn_blocking(Docker::start).await.unwrap();
    let work = tempfile::tempdir().unwrap();
    let bed = Inside { port: 0, server: 0, engine: docker.host(), prefix: docker::prefix() };
    let account = bed.near(work.path());
    let infra = account.infra().unwrap();
    bed.made(infra).await;
    let target = bed.health_target();
    let wish = exec_wish("job-1", "echo ran >> /tmp/ran; while [ ! -e /tmp/go ]; do sleep 0.1; done; exit 5", LONG);
    let dies = async {
        bed.file("/tmp/ran").await;
        tokio::task::block_in_place(|| docker.kill());
    };
    let (told, ()) = tokio::join!(infra.exec(&target, &wish), dies);
    let error = told.unwrap_err();
    assert_eq!((error.code, error.effect), (Code::ProviderUnreachable, Effect::Unknown), "{error:?}");
    assert!(infra.exec(&target, &wish).await.unwrap_err().is_transient());
    tokio::task::block_in_place(|| docker.restart());
    let told = infra.exec(&target, &wish).await.unwrap();
    assert!(told.exit_code.is_none() && told.stderr.contains("how it ended is not known"), "{told:?}");
    let ran = bed.docker(&["cp", &format!("{}:/tmp/ran", bed.web()), "-"]).unwrap();
    assert_eq!(ran.matches("ran\n").count(), 1, "{ran:?}");
    bed.destroyed(infra).await;
    assert_eq!(docker.things(""), Vec::<String>::new());
}
