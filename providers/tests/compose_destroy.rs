//! The end of a stack on a real engine, and the deaths in between: of Hangar's own process in the
//! middle of a verb, while its command lives on, and of the engine. At the end nothing is left.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;
mod docker;
#[expect(dead_code, reason = "no test uses everything")]
mod stacks;

use std::{
    collections::BTreeMap,
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use common::{INSTANCE, NODE};
use docker::{SECRET, stack};
use domain::{code::Code, node::ReasonCode};
use providers::{
    InfraProvider, Journal, JournalLost, MachineFacts, MachinePower, MemoryJournal, ProviderError, Timeouts,
    async_trait,
};
use serde_json::{Value, json};
use stacks::{Bed, LONG, account, exec_wish, lone, to, wish};

/// A journal that outlives the process.
struct FileJournal(PathBuf);

impl FileJournal {
    fn read(&self) -> BTreeMap<String, Value> {
        fs::read(&self.0).map(|bytes| serde_json::from_slice(&bytes).unwrap()).unwrap_or_default()
    }
}

#[async_trait]
impl Journal for FileJournal {
    fn get(&self, key: &str) -> Option<Value> {
        self.read().remove(key)
    }

    async fn put(&mut self, key: &str, value: Value) -> Result<(), JournalLost> {
        let mut all = self.read();
        all.insert(key.to_owned(), value);
        let new = self.0.with_extension("new");
        fs::write(&new, serde_json::to_vec(&all).unwrap()).unwrap();
        fs::rename(new, &self.0).unwrap();
        Ok(())
    }

    async fn step(&mut self, _step: &'static str, _label: &str) -> Result<(), JournalLost> {
        Ok(())
    }

    async fn detail(&mut self, _text: &str, _progress: Option<u8>) -> Result<(), JournalLost> {
        Ok(())
    }

    async fn found(&mut self, _facts: MachineFacts) -> Result<(), JournalLost> {
        Ok(())
    }
}

/// By what it is seen how far another process is with a verb.
#[derive(Clone, Copy, Debug)]
enum Sign {
    /// Compose was called with these words, and has done nothing yet: it waits until the process is dead.
    Call(&'static str),
    /// The task is noted.
    Noted,
    /// The command runs.
    Ran,
    /// There is a file of the backup.
    Kept,
    /// A container is gone.
    Gone,
}

impl Sign {
    fn words(self) -> &'static str {
        match self {
            Self::Call(words) => words,
            // What is in no call.
            _ => "//",
        }
    }

    fn seen(self, bed: &Bed, folder: &Path) -> bool {
        let there = |words: &[&str]| bed.docker.try_docker(words).is_some();
        match self {
            Self::Call(_) => folder.join("called").exists(),
            Self::Noted => there(&["volume", "inspect", &format!("{}_hangar-job-1", bed.project())]),
            Self::Ran => there(&["exec", &bed.container("web"), "test", "-e", "/tmp/ran"]),
            Self::Kept => fs::read_dir(folder.join("kept")).unwrap().count() > 0,
            Self::Gone => !there(&["inspect", &bed.container("web")]),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Provision,
    Upgrade,
    Suspend,
    Resume,
    Exec,
    Backup,
    Destroy,
}

impl Verb {
    const ALL: [Self; 7] =
        [Self::Provision, Self::Upgrade, Self::Suspend, Self::Resume, Self::Exec, Self::Backup, Self::Destroy];

    /// The moments at which its process dies.
    fn signs(self) -> &'static [Sign] {
        match self {
            Self::Provision => &[Sign::Call("--no-start"), Sign::Call("--detach")],
            Self::Upgrade => &[Sign::Call("pull"), Sign::Call("--no-deps web"), Sign::Call("--no-deps side")],
            Self::Suspend => &[Sign::Call("stop")],
            Self::Resume => &[Sign::Call("start")],
            Self::Exec => &[Sign::Noted, Sign::Ran],
            Self::Backup => &[Sign::Call("stop"), Sign::Kept],
            Self::Destroy => &[Sign::Call("down"), Sign::Gone],
        }
    }

    /// `kept` is where the backup goes.
    async fn run(
        self,
        infra: &dyn InfraProvider,
        project: &str,
        kept: &Path,
        journal: &mut dyn Journal,
    ) -> Result<(), ProviderError> {
        let target = common::target(Some(project));
        match self {
            Self::Provision => infra.provision(&wish(stack("good1")), journal).await.map(drop),
            Self::Upgrade => infra.upgrade(&target, &to(stack("good2"), "good1"), journal).await.map(drop),
            Self::Suspend => infra.suspend(&target, LONG, journal).await.map(drop),
            Self::Resume => infra.resume(&target, journal).await.map(drop),
            Self::Exec => {
                let argv = ["sh", "-c", "echo ran >> /tmp/ran; sleep 1; exit 3"];
                let health = stacks::health_target(project);
                infra.exec(&health, &exec_wish("web", "job-1", &argv, LONG)).await.map(drop)
            }
            Self::Backup => {
                let made = infra.backup(&target, &stacks::backup_wish(kept), journal).await?;
                made.map(drop).ok_or_else(|| unreachable!("there is something to keep"))
            }
            Self::Destroy => infra.destroy(&target, journal).await.map(drop),
        }
    }

    /// Makes what the verb has something to do with.
    async fn stage(self, bed: &Bed) {
        if self == Self::Provision {
            return;
        }
        bed.made().await;
        if self == Self::Resume {
            bed.infra().suspend(&bed.target(), LONG, &mut MemoryJournal::default()).await.unwrap();
        }
    }

    async fn check(self, bed: &Bed, case: &str) {
        if self == Self::Destroy {
            return assert_eq!(bed.docker.things(&bed.prefix), Vec::<String>::new(), "{case}");
        }
        let status = bed.infra().status(&bed.project()).await.unwrap().unwrap();
        // After its backup a stack is taken away next.
        let stopped = matches!(self, Self::Suspend | Self::Backup);
        let power = if stopped { MachinePower::Off } else { MachinePower::Running };
        let tag = if self == Self::Upgrade { "good2" } else { "good1" };
        assert_eq!((status.status, status.image.as_deref()), (power, Some(tag)), "{case}");
        if self == Self::Exec {
            let ran = bed.exec("web", "look", &["cat", "/tmp/ran"], LONG).await;
            assert_eq!(ran.stdout, "ran\n", "{case}");
        }
        // Notes of commands are volumes.
        let things = bed.docker.things(&bed.prefix).into_iter().filter(|it| !it.contains("_hangar-")).count();
        assert_eq!(things, 5, "{case}: {:?}", bed.docker.things(&bed.prefix));
    }
}

const TOLD: &str = "HANGAR_TEST_DIES";

/// What this program does when it is run to be killed: the verb of the environment.
async fn dying() -> bool {
    let Ok(told) = env::var(TOLD) else { return false };
    let told: Value = serde_json::from_str(&told).unwrap();
    let text = |key: &str| told[key].as_str().unwrap().to_owned();
    let folder = PathBuf::from(text("folder"));
    let account = account(&text("host"), &text("prefix"), &folder.join("work"), docker::timeouts());
    let verb = Verb::ALL.into_iter().find(|it| format!("{it:?}") == text("verb")).unwrap();
    let project = format!("{}-alpha-0001", text("prefix"));
    let mut journal = FileJournal(folder.join("journal"));
    verb.run(account.infra().unwrap(), &project, &folder.join("kept"), &mut journal).await.unwrap();
    true
}

/// Another process that does a verb, with nobody who would clean up after it.
struct Dying {
    child: Child,
    held: PathBuf,
}

impl Dying {
    /// `test` is the one that begins with [`dying`]. Its Compose is held where it is called as the sign
    /// says.
    fn start(bed: &Bed, verb: Verb, folder: &Path, test: &str, sign: Sign) -> Self {
        fs::create_dir_all(folder.join("kept")).unwrap();
        let (held, called, words) = (folder.join("held"), folder.join("called"), sign.words());
        fs::write(&held, "").unwrap();
        let which = "{{range .ClientInfo.Plugins}}{{if eq .Name \"compose\"}}{{.Path}}{{end}}{{end}}";
        let plugin = bed.docker.docker(&["info", "--format", which]);
        let (held_at, called) = (held.display(), called.display());
        let script = format!(
            "#!/bin/sh\ncase \" $* \" in *' {words} '*) : > '{called}'\n\
             while [ -e '{held_at}' ]; do sleep 0.02; done;; esac\nexec '{plugin}' \"$@\"\n"
        );
        let plugins = folder.join("config/cli-plugins");
        fs::create_dir_all(&plugins).unwrap();
        fs::write(plugins.join("docker-compose"), script).unwrap();
        fs::set_permissions(plugins.join("docker-compose"), fs::Permissions::from_mode(0o755)).unwrap();
        let told = json!({
            "host": bed.docker.host(),
            "prefix": bed.prefix,
            "folder": folder.display().to_string(),
            "verb": format!("{verb:?}"),
        });
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", test]).env(TOLD, told.to_string()).env("DOCKER_CONFIG", folder.join("config"));
        Self { child: command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap(), held }
    }

    /// Kills it alone; whatever it started lives on, held until [`Self::let_go`]. Whether it was at work
    /// still.
    fn kill(&mut self) -> bool {
        let at_work = self.child.try_wait().unwrap().is_none();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        at_work
    }

    fn let_go(self) {
        fs::remove_file(self.held).unwrap();
    }
}

/// The processes that work on a project.
fn commands(project: &str) -> Vec<(u32, String)> {
    let all = fs::read_dir("/proc").unwrap().filter_map(|it| {
        let path = it.ok()?.path();
        let pid = path.file_name()?.to_str()?.parse().ok()?;
        let line = String::from_utf8_lossy(&fs::read(path.join("cmdline")).ok()?).replace('\0', " ");
        line.contains(&format!("--project-name {project} ")).then_some((pid, line))
    });
    all.collect()
}

fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill").args(["-s", name, &pid.to_string()]).stderr(Stdio::null()).status().unwrap();
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + LONG;
    while !done() {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The job is cancelled: what the command of the dead process has not made yet is never made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_process_left_at_work_makes_nothing_after_the_undo() {
    if dying().await {
        return;
    }
    let Some(bed) = Bed::shared().await else { return };
    let test = "what_a_dead_process_left_at_work_makes_nothing_after_the_undo";
    let own = tempfile::tempdir().unwrap();
    let sign = Sign::Call("--no-start");
    let mut process = Dying::start(&bed, Verb::Provision, own.path(), test, sign);
    until("it never began", || sign.seen(&bed, own.path())).await;
    // Not the other way round: what is stopped when its parent dies is ended by the system.
    assert!(process.kill());
    // The command and its plugin, held before they make anything.
    let left = commands(&bed.project());
    assert!(left.len() == 2 && left.iter().all(|(_, line)| line.contains("--no-start")), "{left:?}");
    for (pid, _) in &left {
        signal(*pid, "STOP");
    }
    process.let_go();
    let work = own.path().join("work");
    let account = account(&bed.docker.host(), &bed.prefix, &work, docker::timeouts());
    let mut journal = FileJournal(own.path().join("journal"));
    account.infra().unwrap().destroy(&common::target(None), &mut journal).await.unwrap();
    assert_eq!(bed.docker.things(&bed.prefix), Vec::<String>::new());
    for (pid, _) in &left {
        signal(*pid, "CONT");
    }
    until("the command does not end", || commands(&bed.project()).is_empty()).await;
    assert_eq!(bed.docker.things(&bed.prefix), Vec::<String>::new(), "it came afterwards");
    assert_eq!(fs::read_dir(&work).unwrap().count(), 0, "the secrets are gone too");
    bed.ended().await;
}

/// The engine carries out what it accepted, also when nobody waits for it any more: here it is made
/// by hand as soon as nothing is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_engine_makes_after_an_undo_began_goes_too() {
    let Some(bed) = Bed::shared().await else { return };
    let patient = Timeouts { late_create: Duration::from_secs(10), ..docker::timeouts() };
    let account = account(&bed.docker.host(), &bed.prefix, bed.work.path(), patient);
    let (infra, wish, mut journal) = (account.infra().unwrap(), wish(stack("good1")), MemoryJournal::default());
    tokio::select! {
        made = infra.provision(&wish, &mut journal) => panic!("it is cut off: {made:?}"),
        () = until("it never began", || !bed.docker.things(&bed.prefix).is_empty()) => {}
    }
    let late = async {
        until("it never goes", || bed.docker.things(&bed.prefix).is_empty()).await;
        let name = format!("{}_data", bed.project());
        let labels = [
            format!("com.docker.compose.project={}", bed.project()),
            format!("hangar.instance={INSTANCE}-{}", bed.prefix),
            format!("hangar.node={NODE}"),
        ];
        let labels = labels.iter().flat_map(|it| ["--label", it]);
        bed.docker.docker(&["volume", "create"].into_iter().chain(labels).chain([name.as_str()]).collect::<Vec<_>>());
    };
    let target = common::target(None);
    let (undone, ()) = tokio::join!(infra.destroy(&target, &mut journal), late);
    assert!(undone.unwrap().found);
    assert_eq!(bed.docker.things(&bed.prefix), Vec::<String>::new());
    bed.ended().await;
}

/// The process alone is killed, at several moments of every verb; whoever takes the work up finds
/// its command still running.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_verb_survives_the_death_of_the_process() {
    if dying().await {
        return;
    }
    let Some(bed) = Bed::shared().await else { return };
    for verb in Verb::ALL {
        for sign in verb.signs() {
            let case = format!("{verb:?} {sign:?}");
            let folder = tempfile::tempdir().unwrap();
            verb.stage(&bed).await;
            let test = "every_verb_survives_the_death_of_the_process";
            let mut process = Dying::start(&bed, verb, folder.path(), test, *sign);
            until(&case, || sign.seen(&bed, folder.path())).await;
            let at_work = process.kill();
            if let Sign::Call(_) = sign {
                assert!(at_work, "{case}: it died in the middle");
                assert_eq!(commands(&bed.project()).len(), 2, "{case}: its command lives on");
            }
            process.let_go();
            let account = account(&bed.docker.host(), &bed.prefix, &folder.path().join("work"), docker::timeouts());
            let (infra, kept) = (account.infra().unwrap(), tempfile::tempdir().unwrap());
            let mut journal = FileJournal(folder.path().join("journal"));
            let done = verb.run(infra, &bed.project(), kept.path(), &mut journal).await;
            assert!(done.is_ok(), "{case}: {done:?}");
            assert_eq!(commands(&bed.project()), [], "{case}: one at a time");
            verb.check(&bed, &case).await;
            if verb == Verb::Backup {
                let mut tar = Command::new("tar");
                let told = tar.arg("-xOf").arg(kept.path().join("db-data.tar")).args(["--wildcards", "*file"]).output();
                assert_eq!(String::from_utf8(told.unwrap().stdout).unwrap(), format!("{SECRET}\n"), "{case}");
            }
            infra.destroy(&bed.target(), &mut MemoryJournal::default()).await.unwrap();
            assert_eq!(bed.docker.things(&bed.prefix), Vec::<String>::new(), "{case}");
            let left = fs::read_dir(folder.path().join("work")).map_or(0, Iterator::count);
            assert_eq!(left, 0, "{case}: no files are left");
        }
    }
    bed.ended().await;
}

/// As a job does it: again after what may pass, three times in all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_verb_survives_the_death_of_the_engine() {
    let Some(bed) = Bed::own().await else { return };
    for verb in [Verb::Suspend, Verb::Resume, Verb::Exec, Verb::Backup] {
        for after in [50, 400].map(Duration::from_millis) {
            let case = format!("{verb:?} {after:?}");
            verb.stage(&bed).await;
            let (project, mut journal) = (bed.project(), MemoryJournal::default());
            let kept = tempfile::tempdir().unwrap();
            let dies = async {
                tokio::time::sleep(after).await;
                bed.docker.kill();
            };
            let (outcome, ()) = tokio::join!(verb.run(bed.infra(), &project, kept.path(), &mut journal), dies);
            if let Err(error) = outcome {
                let passes = error.is_transient() || error.code == Code::ProviderBackupFailed;
                assert!(passes, "{case}: {error:?}");
            }
            bed.docker.restart();
            let mut attempts = 0;
            loop {
                attempts += 1;
                let kept = tempfile::tempdir().unwrap();
                match verb.run(bed.infra(), &project, kept.path(), &mut journal).await {
                    Ok(()) => break,
                    // Without a container there is nothing to run it in: that is so after its death.
                    Err(error) if verb == Verb::Exec && error.code == Code::ProvisionNotReady => break,
                    Err(error) => assert!(attempts < 3 && error.is_transient(), "{case} {attempts}: {error:?}"),
                }
            }
            if matches!(verb, Verb::Suspend | Verb::Resume) {
                let status = bed.infra().status(&project).await.unwrap().unwrap();
                let power = if verb == Verb::Suspend { MachinePower::Off } else { MachinePower::Running };
                assert_eq!(status.status, power, "{case}");
            }
            bed.destroyed().await;
            assert_eq!(bed.docker.things(""), Vec::<String>::new(), "{case}");
        }
    }
    bed.ended().await;
}

/// A process that was killed leaves them there, with every secret of the stack.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_a_dead_process_left_go_with_the_stack() {
    let Some(bed) = Bed::shared().await else { return };
    for made in [true, false] {
        if made {
            bed.made().await;
        }
        let folder = bed.work.path().join(bed.project()).join("left");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("variables.env"), SECRET).unwrap();
        bed.destroyed().await;
        assert_eq!(fs::read_dir(bed.work.path()).unwrap().count(), 0, "{made}");
    }
    bed.ended().await;
}

/// It waits out whoever does not listen, but not for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_does_not_stop_is_taken_away_all_the_same() {
    let Some(bed) = Bed::shared().await else { return };
    let lines = "    stop_signal: SIGTERM\n    stop_grace_period: 5m\n    command: [sh, -c, \"trap '' TERM; while true; \
        do sleep 1; done\"]\n";
    bed.made_of(lone("hangar-test/app:good1", lines)).await.unwrap();
    let short = Timeouts { action: Duration::from_secs(5), ..docker::timeouts() };
    let hasty = account(&bed.docker.host(), &bed.prefix, bed.work.path(), short);
    let began = Instant::now();
    hasty.infra().unwrap().destroy(&bed.target(), &mut MemoryJournal::default()).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(300), "as long as it says that it may take");
    assert_eq!(bed.docker.things(&bed.prefix), Vec::<String>::new());

    // With time enough it is asked first, for as long as anybody may wait for that.
    bed.made_of(lone("hangar-test/app:good1", lines)).await.unwrap();
    let began = Instant::now();
    bed.destroyed().await;
    let took = began.elapsed();
    assert!((Duration::from_secs(25)..Duration::from_secs(300)).contains(&took), "{took:?}");
    bed.ended().await;
}

#[tokio::test]
async fn times_that_keep_a_stack_from_ending_are_refused() {
    let registry = providers::Registry::standard();
    let check = |lines: &str| registry.get("docker-compose").unwrap().blueprint_check(&lone("x", lines).blueprint);
    for (lines, fine) in [
        ("    stop_grace_period: 5m\n", true),
        ("    stop_grace_period: 4m60s\n", true),
        ("    stop_grace_period: 5m1s\n", false),
        ("    stop_grace_period: 999999h\n", false),
        ("    healthcheck: {test: [CMD, x], interval: 1h}\n", true),
        ("    healthcheck: {test: [CMD, x], interval: 61m}\n", false),
        ("    healthcheck: {test: [CMD, x], timeout: 2h}\n", false),
        ("    healthcheck: {test: [CMD, x], start_period: 999999h999999h}\n", false),
    ] {
        assert_eq!(check(lines).is_ok(), fine, "{lines}: {:?}", check(lines));
    }
}

/// What carries another installation's labels, or stands beside a service that is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_ours_is_not_healthy_and_two_of_one_service_are_not_two_services() {
    let Some(bed) = Bed::shared().await else { return };
    bed.made().await;
    bed.healthy().await;
    let other = account(&bed.docker.host(), &format!("{}-other", bed.prefix), bed.work.path(), docker::timeouts());
    let found = other.infra().unwrap().health_check(&bed.health_target()).await;
    assert_eq!(found, [ReasonCode::NodeNotReady], "another installation's");

    // A run that died between two containers of a service leaves one under such a name.
    let labels = bed.inspect("web", "{{range $k, $v := .Config.Labels}}{{$k}}={{$v}}\n{{end}}");
    let name = format!("0123456789ab_{}", bed.container("web"));
    let mut words = vec!["run", "-d", "--name", &name, "--network", "none"];
    words.extend(labels.lines().filter(|it| it.contains('=')).flat_map(|it| ["--label", it]));
    words.push("hangar-test/db:1");
    bed.docker.docker(&words);
    bed.docker.docker(&["rm", "--force", &bed.container("db")]);
    assert!(labels.contains(NODE));
    until("it never settles", || {
        let told = bed.docker.docker(&["ps", "--filter", &format!("name={name}"), "--format", "{{.Status}}"]);
        !told.contains("Less than") && !told.contains("Up 1 second")
    })
    .await;
    assert_eq!(bed.infra().health_check(&bed.health_target()).await, [ReasonCode::NodeNotReady]);
    let status = bed.infra().status(&bed.project()).await.unwrap().unwrap();
    assert_eq!(status.status, MachinePower::Changing);
    bed.ended().await;
}
