//! Docker Compose on a real engine: what a stack is, and what happens when something of it goes
//! wrong. At the end of every test nothing of it is left on the engine.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;
mod docker;
mod stacks;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{Duration, Instant},
};

use common::{INSTANCE, NODE};
use docker::{PORT, SECRET, stack};
use domain::{
    blueprint::ServiceRole,
    code::Code,
    node::{PartState, PartUsage},
};
use futures::{StreamExt as _, future::join_all};
use providers::{
    BackupWish, Changes, Effect, HealthTarget, MachinePower, MachineStatus, MemoryJournal, ProviderError,
    ProvisionWish, StackWish, Timeouts, UpgradeWish,
};
use serde_json::json;
use stacks::{Bed, LONG, account, backup_wish, exec_wish, health_target, lone, page, to, wish};
use tempfile::TempDir;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stack_is_made_as_its_blueprint_says_and_shows_its_cockpit() {
    let Some(bed) = Bed::shared().await else { return };
    let machine = bed.made().await;
    assert_eq!((machine.host.as_str(), machine.image.as_str()), ("127.0.0.1", "good1"));
    bed.healthy().await;
    assert_eq!(page(machine.cockpit_port).await, "this is app:good1\n");
    let status = bed.infra().status(&machine.infra_id).await.unwrap().unwrap();
    assert_eq!((status.cockpit_port, status.image.as_deref()), (machine.cockpit_port, Some("good1")));

    // Values come as they are.
    let told = bed.exec("web", "env", &["sh", "-c", "printf '%s|%s' \"$TITLE\" \"$PASSWORD\""], LONG).await;
    assert_eq!(told.stdout, format!("A 'title' with $HOME and \\|{SECRET}"));
    let told = bed.exec("side", "own", &["sh", "-c", "echo $NODE $AT"], LONG).await;
    assert_eq!(told.stdout, format!("{NODE} 127.0.0.1\n"));

    assert_eq!(bed.inspect("db", "{{.HostConfig.Memory}}"), (32 << 20).to_string());
    assert_eq!(bed.inspect("web", "{{.HostConfig.NanoCpus}}"), "500000000");
    // With `always` a suspended service would come back with the engine.
    assert_eq!(bed.inspect("db", "{{.HostConfig.RestartPolicy.Name}}"), "unless-stopped");
    for service in ["db", "web", "side"] {
        let labels = bed.inspect(service, "{{json .Config.Labels}}");
        assert!(!labels.contains(SECRET), "{labels}");
        for (label, value) in [("node", NODE), ("service", service), ("name", "alpha-0001")] {
            assert!(labels.contains(&format!("\"hangar.{label}\":\"{value}\"")), "{label}: {labels}");
        }
    }
    for (kind, name) in [("volume", "data"), ("network", "default")] {
        let name = format!("{}_{name}", bed.project());
        let labels = bed.docker.docker(&[kind, "inspect", "--format", "{{json .Labels}}", &name]);
        assert!(labels.contains(&format!("\"hangar.node\":\"{NODE}\"")), "{labels}");
    }
    bed.ended().await;
}

/// While they are there, and then they are gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_in_a_file_of_hangars_own_and_in_no_command() {
    let Some(bed) = Bed::shared().await else { return };
    let folder = bed.work.path().join(bed.project());
    let watch = tokio::task::spawn_blocking(move || {
        let mode = |path: &Path| fs::metadata(path).map(|it| it.permissions().mode() & 0o777);
        let until = Instant::now() + LONG;
        while Instant::now() < until {
            // Each call has a folder of its own.
            let Some(Ok(folder)) = fs::read_dir(&folder).ok().and_then(|mut it| it.next()) else { continue };
            let folder = folder.path();
            let (Ok(folder_mode), Ok(text)) = (mode(&folder), fs::read_to_string(folder.join("variables.env"))) else {
                continue;
            };
            let modes = ["variables.env", "base.json", "override.json"].map(|name| mode(&folder.join(name)));
            let [Ok(env), Ok(base), Ok(over)] = modes else { continue };
            let commands: Vec<_> = fs::read_dir("/proc")
                .unwrap()
                .filter_map(|it| fs::read(it.ok()?.path().join("cmdline")).ok())
                .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
                .filter(|line| line.contains(folder.to_str().unwrap()))
                .collect();
            if commands.is_empty() || !text.contains("TITLE=") || !text.ends_with('\n') {
                continue;
            }
            return Some((folder_mode, env, base, over, text, commands));
        }
        None
    });
    bed.made().await;
    let (folder, env, base, over, text, commands) = watch.await.unwrap().expect("the files were never seen");
    assert_eq!((folder, env, base, over), (0o700, 0o600, 0o600, 0o600));
    assert!(text.contains(SECRET));
    assert!(commands.iter().all(|line| !line.contains(SECRET)), "{commands:?}");
    bed.ended().await;
}

/// Every sign that means something to a shell, to YAML, or to the reader of variables.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_values_arrive_as_they_are_and_do_nothing() {
    let Some(bed) = Bed::shared().await else { return };
    let file = "services:\n  web:\n    image: hangar-test/app:${HANGAR_TAG}\n    environment: {A: \"${A}\", B: \"${B}\", C: \"${C}\", D: \"${D}\", E: \"${E}\", F: \"${F}\"}\n    command: [sh, -c, 'sleep 100000', \"${A}\"]\n";
    let values = [
        ("A", "'; touch /tmp/pwned; $(touch /tmp/pwned) `touch /tmp/pwned`"),
        ("B", "a\\'b\\\\'\\"),
        ("C", "\"\\n\\0134 ${PASSWORD} $$ $HOME \\$x"),
        ("D", "../../etc/passwd\\"),
        ("E", "x: [1, 2] # {privileged: true} \u{1F600}é\u{2028}"),
        ("F", " leading 'and' trailing \\\\\\ "),
    ];
    let blueprint = serde_json::from_value(json!({
        "file": file,
        "services": [{"name": "web", "role": "application"}],
        "variables": values.map(|(name, _)| json!({"name": name})),
    }));
    let stack = StackWish {
        blueprint: blueprint.unwrap(),
        variables: values.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        secrets: Default::default(),
        tag: "good1".to_owned(),
    };
    bed.made_of(stack).await.unwrap();
    for (name, value) in values {
        let script = format!("printf '%s' \"${name}\"");
        let told = bed.exec("web", &name.to_lowercase(), &["sh", "-c", &script], LONG).await;
        assert_eq!(told.stdout, value, "{name}: {told:?}");
    }
    assert_eq!(bed.exec("web", "ls", &["ls", "/tmp"], LONG).await.stdout, "");
    assert!(!Path::new("/tmp/pwned").exists());
    bed.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_a_name_a_version_or_a_value_is_refused() {
    let Some(bed) = Bed::shared().await else { return };
    for name in ["../x", "a;b", "a b", "", "-x", "A", "a\nb", "a/b", "$(id)", &"a".repeat(200)] {
        let wish = ProvisionWish { server_name: name.to_owned(), ..wish(stack("good1")) };
        let error = bed.infra().provision(&wish, &mut MemoryJournal::default()).await.unwrap_err();
        assert_eq!((error.code, error.effect), (Code::ProviderInvalidRequest, Effect::None), "{name:?}");
    }
    for tag in ["", "../x", "a b", "-x", "a;b", "a\nb", "$(id)", &"a".repeat(200)] {
        let error = bed.made_of(stack(tag)).await.unwrap_err();
        assert_eq!((error.code, error.effect), (Code::ProviderInvalidRequest, Effect::None), "{tag:?}");
    }
    let mut hostile = stack("good1");
    hostile.variables.insert("TITLE".to_owned(), "a\nPATH=b".to_owned());
    assert_eq!(bed.made_of(hostile).await.unwrap_err().code, Code::ProviderInvalidRequest);
    // A stored blueprint is judged again.
    let mut hostile = stack("good1");
    hostile.blueprint.file = hostile.blueprint.file.replace("restart: always", "privileged: true");
    let error = bed.made_of(hostile).await.unwrap_err();
    assert_eq!(error.code, Code::ProviderInvalidRequest);
    assert!(error.message.contains("/file"), "{}", error.message);
    assert_eq!(bed.docker.things(&bed.prefix), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_stack_keeps_its_data_services_running() {
    let Some(bed) = Bed::shared().await else { return };
    bed.made().await;
    let status = bed.infra().suspend(&bed.target(), LONG, &mut MemoryJournal::default()).await.unwrap();
    assert_eq!((status.status, status.cockpit_port), (MachinePower::Off, None));
    let states = ["db", "web", "side"].map(|service| bed.inspect(service, "{{.State.Status}}"));
    assert_eq!(states, ["running", "exited", "exited"]);

    // Another version does not start it.
    let wish = UpgradeWish::Tag { stack: Box::new(stack("good2")), from: "good1".to_owned(), suspended: true };
    let status = bed.infra().upgrade(&bed.target(), &wish, &mut MemoryJournal::default()).await.unwrap();
    assert_eq!((status.status, status.image.as_deref()), (MachinePower::Off, Some("good2")));
    let states = ["db", "web", "side"].map(|service| bed.inspect(service, "{{.State.Status}}"));
    assert_eq!(states, ["running", "created", "created"]);

    let status = bed.infra().resume(&bed.target(), &mut MemoryJournal::default()).await.unwrap();
    assert_eq!(status.status, MachinePower::Running);
    bed.healthy().await;
    assert_eq!(page(status.cockpit_port).await, "this is app:good2\n");
    bed.ended().await;
}

/// The engine, which comes back with its machine, starts again what its own rules tell it to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_stack_stays_so_when_the_engine_is_started_again() {
    let Some(bed) = Bed::own().await else { return };
    for restart in ["always", "on-failure:5", "on-failure"] {
        let command = "[sh, -c, \"trap 'exit 3' TERM; touch /tmp/begun; while true; do sleep 0.2; done\"]";
        let lines = format!("    restart: {restart}\n    stop_signal: SIGTERM\n    command: {command}\n");
        bed.made_of(lone("hangar-test/app:plain", &lines)).await.unwrap();
        let until = Instant::now() + LONG;
        while bed.docker.try_docker(&["exec", &bed.container("web"), "ls", "/tmp/begun"]).is_none() {
            assert!(Instant::now() < until, "it never began");
        }
        bed.infra().suspend(&bed.target(), LONG, &mut MemoryJournal::default()).await.unwrap();
        assert_eq!(bed.inspect("web", "{{.State.ExitCode}}"), "3", "{restart}");
        tokio::task::block_in_place(|| {
            bed.docker.stop();
            bed.docker.restart();
        });
        let status = bed.infra().status(&bed.project()).await.unwrap().unwrap();
        assert_eq!(status.status, MachinePower::Off, "{restart}");
        bed.destroyed().await;
    }
    bed.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_version_takes_the_place_of_the_old_one() {
    let Some(bed) = Bed::shared().await else { return };
    bed.made().await;
    let db = bed.inspect("db", "{{.Id}}");
    let status = bed.upgraded("good2", "good1").await.unwrap();
    assert_eq!((status.status, status.image.as_deref()), (MachinePower::Running, Some("good2")));
    assert_eq!(page(status.cockpit_port).await, "this is app:good2\n");
    assert_eq!(bed.image("side"), "hangar-test/app:good2");
    assert_eq!(bed.inspect("db", "{{.Id}}"), db, "what keeps data is left alone");
    bed.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_is_not_healthy_is_rolled_back_and_told() {
    let Some(bed) = Bed::shared().await else { return };
    bed.made().await;
    bed.healthy().await;
    let db = bed.inspect("db", "{{.Id}}");
    for (tag, why) in [("unhealthy", "is unhealthy"), ("crash", "ended (exit code 7)")] {
        let mut journal = MemoryJournal::default();
        let wish = to(stack(tag), "good1");
        let error = bed.infra().upgrade(&bed.target(), &wish, &mut journal).await.unwrap_err();
        assert_eq!((error.code, error.effect), (Code::ProviderAcquisitionFailed, Effect::Happened), "{error:?}");
        let told = format!(
            "With the version {tag} the service web {why}; it was rolled back: every service is back at the version good1."
        );
        assert_eq!(error.message, told);
        assert_eq!(journal.steps(), ["pull_images", "upgrade_services", "roll_back"]);
        // As the job's own undo asks for it.
        let wish = to(stack("good1"), "good1");
        let status = bed.infra().upgrade(&bed.target(), &wish, &mut journal).await.unwrap();
        assert_eq!((status.status, status.image.as_deref()), (MachinePower::Running, Some("good1")));
        assert_eq!(page(status.cockpit_port).await, "this is app:good1\n");
        assert_eq!((bed.image("side"), bed.inspect("db", "{{.Id}}")), ("hangar-test/app:good1".to_owned(), db.clone()));
    }
    bed.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_never_gets_healthy_is_rolled_back_when_the_time_is_up() {
    let Some(bed) = Bed::shared().await else { return };
    bed.made().await;
    let short = Timeouts { action: Duration::from_secs(8), ..docker::timeouts() };
    let hasty = account(&bed.docker.host(), &bed.prefix, bed.work.path(), short);
    let wish = to(stack("never"), "good1");
    let mut journal = MemoryJournal::default();
    let error = hasty.infra().unwrap().upgrade(&bed.target(), &wish, &mut journal).await.unwrap_err();
    assert_eq!(error.code, Code::ProviderAcquisitionFailed);
    assert!(error.message.contains("web did not get healthy in time; it was rolled back"), "{}", error.message);
    assert_eq!(bed.image("web"), "hangar-test/app:good1");
    // Nor is such a stack ever called healthy.
    bed.infra().destroy(&bed.target(), &mut MemoryJournal::default()).await.unwrap();
    bed.made_of(stack("never")).await.unwrap();
    let found = bed.infra().health_check(&bed.health_target()).await;
    assert_eq!(found, [domain::node::ReasonCode::NodeNotReady]);
    bed.ended().await;
}

/// No registry can be reached here: nothing is changed before the images are there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_cannot_be_had_changes_nothing() {
    let Some(bed) = Bed::shared().await else { return };
    bed.made().await;
    let before = ["db", "web", "side"].map(|service| bed.inspect(service, "{{.Id}}"));
    let error = bed.upgraded("no-such-version", "good1").await.unwrap_err();
    let may_be = [Code::ProviderUnreachable, Code::ProviderInvalidRequest, Code::ProviderRateLimited];
    assert!(may_be.contains(&error.code) && error.effect == Effect::None, "{error:?}");
    assert_eq!(["db", "web", "side"].map(|service| bed.inspect(service, "{{.Id}}")), before);
    bed.infra().destroy(&bed.target(), &mut MemoryJournal::default()).await.unwrap();
    let error = bed.made_of(stack("no-such-version")).await.unwrap_err();
    assert!(may_be.contains(&error.code), "{error:?}");
    bed.ended().await;
}

/// The process is killed at any moment, with the command that it runs; then the work is taken up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_at_any_moment_is_taken_up() {
    let Some(bed) = Bed::shared().await else { return };
    let long = Duration::from_millis(2600);
    for part in 1..=6_u32 {
        let moment = long / 6 * part;
        let mut journal = MemoryJournal::default();
        let wish = wish(stack("good1"));
        let _ = tokio::time::timeout(moment, bed.infra().provision(&wish, &mut journal)).await;
        bed.infra().provision(&wish, &mut journal).await.unwrap();
        assert_eq!(bed.docker.things(&bed.prefix).len(), 5, "{moment:?}");

        let mut journal = MemoryJournal::default();
        let upgrade = to(stack("good2"), "good1");
        let target = bed.target();
        let _ = tokio::time::timeout(moment, bed.infra().upgrade(&target, &upgrade, &mut journal)).await;
        let status = bed.infra().upgrade(&target, &upgrade, &mut journal).await.unwrap();
        assert_eq!((status.status, status.image.as_deref()), (MachinePower::Running, Some("good2")), "{moment:?}");
        assert_eq!(bed.docker.things(&bed.prefix).len(), 5, "{moment:?}: {:?}", bed.docker.things(&bed.prefix));

        let mut journal = MemoryJournal::default();
        let _ = tokio::time::timeout(moment / 3, bed.infra().destroy(&target, &mut journal)).await;
        bed.infra().destroy(&target, &mut journal).await.unwrap();
        assert_eq!(bed.docker.things(&bed.prefix), Vec::<String>::new(), "{moment:?}");
    }
    bed.ended().await;
}

/// As a job does it: again after what may pass, three times in all.
macro_rules! patiently {
    ($call:expr) => {{
        let mut attempts = 0;
        loop {
            attempts += 1;
            match $call.await {
                Ok(done) => break done,
                Err(error) => assert!(attempts < 3 && error.is_transient(), "attempt {attempts}: {error:?}"),
            }
        }
    }};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_dies_in_the_middle_is_unreachable_and_then_it_goes_on() {
    let Some(bed) = Bed::own().await else { return };
    // What the verb meets is an error that passes, or it was done already.
    let broken = |outcome: Result<(), ProviderError>, what: &str| {
        if let Err(error) = outcome {
            assert!(error.is_transient(), "{what}: {error:?}");
        }
    };
    let kill = |after: Duration| {
        let docker = &bed.docker;
        async move {
            tokio::time::sleep(after).await;
            docker.kill();
        }
    };
    for after in [200, 900, 1800].map(Duration::from_millis) {
        let (wish, mut journal) = (wish(stack("good1")), MemoryJournal::default());
        let (outcome, ()) = tokio::join!(bed.infra().provision(&wish, &mut journal), kill(after));
        broken(outcome.map(drop), "provision");
        bed.docker.restart();
        patiently!(bed.infra().provision(&wish, &mut journal));

        let upgrade = to(stack("good2"), "good1");
        let (target, mut journal) = (bed.target(), MemoryJournal::default());
        let (outcome, ()) = tokio::join!(bed.infra().upgrade(&target, &upgrade, &mut journal), kill(after));
        broken(outcome.map(drop), "upgrade");
        assert_eq!(bed.infra().status(&bed.project()).await.unwrap_err().code, Code::ProviderUnreachable);
        bed.docker.restart();
        let status = patiently!(bed.infra().upgrade(&target, &upgrade, &mut journal));
        assert_eq!((status.status, status.image.as_deref()), (MachinePower::Running, Some("good2")));

        let mut journal = MemoryJournal::default();
        let (outcome, ()) = tokio::join!(bed.infra().destroy(&target, &mut journal), kill(after / 4));
        broken(outcome.map(drop), "destroy");
        bed.docker.restart();
        patiently!(bed.infra().destroy(&target, &mut journal));
        assert_eq!(bed.docker.things(""), Vec::<String>::new());
    }
    bed.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_not_be_lost_is_kept_whole() {
    let Some(bed) = Bed::shared().await else { return };
    let mut linked = stack("good1");
    // The image has a link there: what it leads to is what is kept.
    linked.blueprint.file = linked.blueprint.file.replace("data:/data", "data:/link");
    bed.made_of(linked).await.unwrap();
    let kept = tempfile::tempdir().unwrap();
    for suspended in [false, true] {
        let into = kept.path().join(format!("{suspended}"));
        fs::create_dir(&into).unwrap();
        if suspended {
            bed.infra().resume(&bed.target(), &mut MemoryJournal::default()).await.unwrap();
            bed.infra().suspend(&bed.target(), LONG, &mut MemoryJournal::default()).await.unwrap();
        }
        let made = bed.backed_up(&into).await.unwrap().unwrap();
        assert_eq!(made.files, ["db-data.tar"]);
        let file = into.join("db-data.tar");
        assert_eq!(made.bytes, fs::metadata(&file).unwrap().len());
        let out = into.join("out");
        fs::create_dir(&out).unwrap();
        let mut tar = std::process::Command::new("tar");
        assert!(tar.arg("-xf").arg(&file).arg("-C").arg(&out).status().unwrap().success());
        assert_eq!(fs::read_to_string(out.join("file")).unwrap(), format!("{SECRET}\n"));
        // What is written from here on would be in no backup.
        for service in ["db", "web", "side"] {
            assert_eq!(bed.inspect(service, "{{.State.Status}}"), "exited", "{service}");
        }
    }
    bed.infra().destroy(&bed.target(), &mut MemoryJournal::default()).await.unwrap();
    let error = bed.backed_up(kept.path()).await.unwrap_err();
    assert_eq!(error.code, Code::ProviderResourceGone);

    bed.made_of(lone("hangar-test/app:good1", "")).await.unwrap();
    assert_eq!(bed.backed_up(kept.path()).await.unwrap(), None);
    bed.ended().await;
}

/// A volume is read through its container: without it, it is not nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_that_cannot_be_read_is_not_passed_over() {
    let Some(bed) = Bed::shared().await else { return };
    bed.made().await;
    let kept = tempfile::tempdir().unwrap();
    for gone in [&["db"][..], &["db", "web", "side"]] {
        for service in gone {
            bed.docker.try_docker(&["rm", "--force", &bed.container(service)]);
        }
        let error = bed.backed_up(kept.path()).await.unwrap_err();
        assert_eq!(error.code, Code::ProviderBackupFailed, "{gone:?}: {error:?}");
        let volume = format!("{}_data", bed.project());
        assert!(error.message.contains(&volume), "{error:?}");
        assert!(bed.docker.things(&bed.prefix).contains(&format!("volume {volume}")));
        assert_eq!(fs::read_dir(kept.path()).unwrap().count(), 0);
    }
    bed.ended().await;
}

/// A volume without a name carries no label: only the containers that are left tell of what is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_container_is_gone_is_not_nothing_to_keep() {
    let Some(bed) = Bed::shared().await else { return };
    let kept = tempfile::tempdir().unwrap();
    let mut nameless = stack("good1");
    nameless.blueprint.file = nameless.blueprint.file.replace("data:/data", "/data").replace("volumes:\n  data:\n", "");
    bed.made_of(nameless.clone()).await.unwrap();
    let volume = bed.inspect("db", "{{range .Mounts}}{{.Name}}{{end}}");
    let refused = async |words: &str| {
        let error = bed.backed_up(kept.path()).await.unwrap_err();
        assert_eq!(error.code, Code::ProviderBackupFailed, "{error:?}");
        assert!(error.message.starts_with(words) && error.message.contains("destroy the stack"), "{error:?}");
        assert_eq!(fs::read_dir(kept.path()).unwrap().count(), 0);
    };
    bed.docker.docker(&["rm", "--force", &bed.container("db")]);
    assert_eq!(bed.inspect("web", "{{.State.Status}}"), "running");
    refused("The service db has no container any more").await;
    assert_eq!(bed.inspect("web", "{{.State.Status}}"), "running", "nothing was stopped");
    bed.docker.docker(&["rm", "--force", &bed.container("web"), &bed.container("side")]);
    refused("The stack has no container any more").await;
    bed.docker.docker(&["volume", "rm", &volume]);
    bed.destroyed().await;

    // An application service that is missing kept nothing.
    bed.made().await;
    bed.docker.docker(&["rm", "--force", &bed.container("side")]);
    let made = bed.backed_up(kept.path()).await.unwrap().unwrap();
    assert_eq!(made.files, ["db-data.tar"]);
    bed.ended().await;
}

/// A stack whose store does this when it is told to end.
fn ending(when: &str, grace: &str) -> StackWish {
    let mut stack = stack("good1");
    let lines = format!(
        "restart: always\n    stop_signal: SIGTERM\n    stop_grace_period: {grace}\n    \
         command: [sh, -c, \"trap '{when}' TERM; touch /data/begun; while true; do sleep 1; done\"]"
    );
    stack.blueprint.file = stack.blueprint.file.replace("restart: always", &lines);
    stack
}

/// What a store holds until its end is in the backup; one that was not given the time for it is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_has_its_time_to_end_before_it_is_kept() {
    let Some(bed) = Bed::shared().await else { return };
    // The least that every service is given.
    let least = Duration::from_secs(3);
    let hasty = Timeouts { action: least, ..docker::timeouts() };
    let hasty = account(&bed.docker.host(), &bed.prefix, bed.work.path(), hasty);
    let kept = tempfile::tempdir().unwrap();
    let begun = async || {
        let until = Instant::now() + LONG;
        let look = ["exec", &bed.container("db"), "ls", "/data/begun"];
        while bed.docker.try_docker(&look).is_none() {
            assert!(Instant::now() < until, "it never began");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let backup = async |name: &str| {
        let into = kept.path().join(name);
        fs::create_dir(&into).unwrap();
        let wish = backup_wish(&into);
        hasty.infra().unwrap().backup(&bed.target(), &wish, &mut MemoryJournal::default()).await
    };

    bed.made_of(ending("sleep 5; echo late > /data/late; exit 0", "40s")).await.unwrap();
    begun().await;
    backup("late").await.unwrap().unwrap();
    let mut tar = std::process::Command::new("tar");
    let late = tar.arg("-xOf").arg(kept.path().join("late/db-data.tar")).arg("./late").output().unwrap();
    assert_eq!(String::from_utf8(late.stdout).unwrap(), "late\n");
    bed.destroyed().await;

    for grace in ["1s", "4s"] {
        bed.made_of(ending("", grace)).await.unwrap();
        begun().await;
        let error = backup(grace).await.unwrap_err();
        assert_eq!(error.code, Code::ProviderBackupFailed, "{error:?}");
        assert!(error.message.contains("db") && error.message.contains("stop_grace_period"), "{error:?}");
        assert_eq!(fs::read_dir(kept.path().join(grace)).unwrap().count(), 0);
        for service in ["db", "web", "side"] {
            assert_eq!(bed.inspect(service, "{{.State.Status}}"), "running", "the stack goes on");
        }
        bed.docker.docker(&["kill", &bed.container("db")]);
        bed.destroyed().await;
    }
    bed.ended().await;
}

/// A file system in memory that is too small.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn new(size: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        let size = format!("size={size}");
        let mounted = mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).status().unwrap();
        assert!(mounted.success());
        Self(folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        assert!(std::process::Command::new("umount").arg(self.0.path()).status().unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_fails_the_backup_and_leaves_nothing_there() {
    let Some(bed) = Bed::shared().await else { return };
    bed.made().await;
    let filled =
        bed.exec("db", "fill", &["dd", "if=/dev/urandom", "of=/data/big", "bs=1024", "count=2048"], LONG).await;
    assert_eq!(filled.exit_code, Some(0));
    let disk = SmallDisk::new("64k");
    let nowhere = bed.work.path().join("no/such/folder");
    let little = BackupWish { most_bytes: 4096, ..backup_wish(bed.work.path()) };
    let short = BackupWish { within: Duration::ZERO, ..backup_wish(bed.work.path()) };
    for (wish, words) in [
        (backup_wish(disk.0.path()), "The disk of the backups is full."),
        (backup_wish(&nowhere), "The backup cannot be written to its disk."),
        (little, "The disk of the backups has no room for all of it."),
        (short, "The backup was not done in time."),
    ] {
        let error = bed.infra().backup(&bed.target(), &wish, &mut MemoryJournal::default()).await.unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (Code::ProviderBackupFailed, words));
        assert_eq!(fs::read_dir(disk.0.path()).unwrap().count(), 0);
        for service in ["db", "web", "side"] {
            assert_eq!(bed.inspect(service, "{{.State.Status}}"), "running", "the stack goes on");
        }
    }
    // A run that is cut off leaves it stopped; the next one knows what ran.
    let mut journal = MemoryJournal::default();
    {
        let (wish, target) = (backup_wish(disk.0.path()), bed.target());
        let mut cut = Box::pin(bed.infra().backup(&target, &wish, &mut journal));
        let until = Instant::now() + LONG;
        while bed.inspect("web", "{{.State.Status}}") == "running" {
            assert!(Instant::now() < until);
            let _ = tokio::time::timeout(Duration::from_millis(10), &mut cut).await;
        }
    }
    bed.infra().backup(&bed.target(), &backup_wish(disk.0.path()), &mut journal).await.unwrap_err();
    assert_eq!(bed.inspect("web", "{{.State.Status}}"), "running", "the stack goes on");
    bed.ended().await;
}

/// Several backups write at once, and the database may lie on the same disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_stay_free_does_so_whoever_else_fills_the_disk() {
    let Some(bed) = Bed::shared().await else { return };
    bed.made().await;
    const MEBIBYTE: u64 = 1 << 20;
    let fill = ["dd", "if=/dev/zero", "of=/data/big", "bs=1048576", "count=24"];
    assert_eq!(bed.exec("db", "fill", &fill, LONG).await.exit_code, Some(0));
    let disk = SmallDisk::new("64m");
    let free = || {
        let told =
            std::process::Command::new("df").args(["--output=avail", "-B1"]).arg(disk.0.path()).output().unwrap();
        String::from_utf8(told.stdout).unwrap().lines().nth(1).unwrap().trim().parse::<u64>().unwrap()
    };
    let leave_bytes = 30 * MEBIBYTE;
    // What there is room for when it begins, before another takes its part of it.
    let most_bytes = free() - leave_bytes;
    let folders = ["one", "two"].map(|name| disk.0.path().join(name));
    for folder in &folders {
        fs::create_dir(folder).unwrap();
    }
    bed.backed_up(&folders[0]).await.unwrap().unwrap();
    assert!(free() > leave_bytes);
    let wish = BackupWish { most_bytes, leave_bytes, ..backup_wish(&folders[1]) };
    let (target, mut journal) = (bed.target(), MemoryJournal::default());
    let mut backup = bed.infra().backup(&target, &wish, &mut journal);
    let mut least = free();
    let error = loop {
        if let Ok(outcome) = timeout(Duration::from_millis(2), &mut backup).await {
            break outcome.unwrap_err();
        }
        least = least.min(free());
    };
    let told = (error.code, error.message.as_str());
    assert_eq!(told, (Code::ProviderBackupFailed, "The disk of the backups has no room for all of it."));
    assert!(least > leave_bytes - 5 * MEBIBYTE, "{least} bytes were free");
    assert_eq!(fs::read_dir(&folders[1]).unwrap().count(), 0);
    drop(backup);
    bed.ended().await;
}

/// Compose would take them for its own by their names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_volume_or_network_of_the_right_name_is_left_alone() {
    let Some(bed) = Bed::shared().await else { return };
    for (kind, name) in [("volume", "data"), ("network", "default")] {
        let name = format!("{}_{name}", bed.project());
        bed.docker.docker(&[kind, "create", &name]);
        let mut journal = MemoryJournal::default();
        let error = bed.infra().provision(&wish(stack("good1")), &mut journal).await.unwrap_err();
        assert_eq!((error.code, error.effect), (Code::ProviderNameConflict, Effect::None), "{kind}");
        let undone = bed.infra().destroy(&common::target(None), &mut journal).await.unwrap();
        assert!(!undone.found);
        assert_eq!(bed.docker.things(&bed.prefix), [format!("{kind} {name}")]);
        bed.docker.docker(&[kind, "rm", &name]);
    }
    bed.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_in_the_project_survives_what_is_ours() {
    let Some(bed) = Bed::shared().await else { return };
    bed.made().await;
    let guest = format!("{}-guest", bed.project());
    let label = format!("com.docker.compose.project={}", bed.project());
    let words = ["run", "-d", "--name", &guest, "--label", &label, "--network", "none", "hangar-test/db:1"];
    bed.docker.docker(&words);
    let error = bed.upgraded("good2", "good1").await.unwrap_err();
    assert_eq!(error.code, Code::ProviderNameConflict);
    assert!(bed.infra().destroy(&bed.target(), &mut MemoryJournal::default()).await.unwrap().found);
    assert_eq!(bed.docker.things(&bed.prefix), [format!("container {guest}")]);
    bed.docker.docker(&["rm", "--force", &guest]);
    bed.infra().destroy(&common::target(None), &mut MemoryJournal::default()).await.unwrap();
    assert_eq!(bed.docker.things(&bed.prefix), Vec::<String>::new());
}

/// They carry no labels: the engine makes them for a path alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volumes_without_a_name_go_too() {
    let Some(bed) = Bed::own().await else { return };
    bed.made_of(lone("hangar-test/app:good1", "    volumes: [/scratch]\n")).await.unwrap();
    assert_eq!(bed.docker.things("").len(), 3);
    bed.ended().await;
}

/// Whoever begins a command dies; whoever asks again waits for it, and it ran once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_was_begun_is_waited_for_and_not_run_again() {
    let Some(bed) = Bed::own().await else { return };
    bed.made().await;
    let argv = ["sh", "-c", "echo ran >> /tmp/ran; while [ ! -e /tmp/go ]; do sleep 0.1; done; exit 5"];
    let target = bed.health_target();
    let wish = exec_wish("web", "job-1", &argv, LONG);
    let dies = async {
        let until = Instant::now() + LONG;
        let look = ["exec", &bed.container("web"), "cat", "/tmp/ran"];
        while bed.docker.try_docker(&look).is_none() {
            assert!(Instant::now() < until, "it never began");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        told = bed.infra().exec(&target, &wish) => panic!("it waits: {told:?}"),
        () = dies => {}
    }
    let go = async {
        bed.docker.docker(&["exec", &bed.container("web"), "touch", "/tmp/go"]);
    };
    let (told, ()) = tokio::join!(bed.infra().exec(&target, &wish), go);
    assert_eq!(told.unwrap().exit_code, Some(5));
    assert_eq!(bed.exec("web", "look", &["cat", "/tmp/ran"], LONG).await.stdout, "ran\n");
    // Of several who ask at once one runs it.
    let count = exec_wish("web", "job-2", &["sh", "-c", "echo once >> /tmp/once"], LONG);
    let all = join_all((0..4).map(|_| bed.infra().exec(&target, &count))).await;
    assert!(all.into_iter().all(|told| told.unwrap().exit_code == Some(0)));
    assert_eq!(bed.exec("web", "once", &["cat", "/tmp/once"], LONG).await.stdout, "once\n");
    // The engine forgets it with the container; it is not run again all the same.
    bed.upgraded("good2", "good1").await.unwrap();
    let told = bed.infra().exec(&target, &wish).await.unwrap();
    assert_eq!((told.exit_code, told.timed_out, told.may_run), (None, false, true));
    assert_eq!(bed.exec("web", "gone", &["ls", "/tmp"], LONG).await.stdout, "");
    // What notes it is no stack, and goes with it.
    assert!(bed.docker.things("").iter().any(|it| it.contains("hangar-job-1")));
    bed.docker.docker(&["rm", "--force", &bed.container("web"), &bed.container("side"), &bed.container("db")]);
    bed.docker.docker(&["volume", "rm", &format!("{}_data", bed.project())]);
    bed.docker.docker(&["network", "rm", &format!("{}_default", bed.project())]);
    assert_eq!(bed.infra().status(&bed.project()).await.unwrap(), None);
    bed.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_in_an_image_without_a_clock_ends_in_time_and_says_so() {
    let Some(bed) = Bed::shared().await else { return };
    bed.made_of(lone("hangar-test/bare:1", "    read_only: true\n")).await.unwrap();
    let told = bed.exec("web", "job-1", &["/busybox", "echo", "out"], LONG).await;
    assert_eq!((told.exit_code, told.stdout.as_str()), (Some(0), "out\n"));
    let began = Instant::now();
    let told = bed.exec("web", "job-2", &["/busybox", "sleep", "60"], Duration::from_secs(1)).await;
    assert!(told.timed_out && told.exit_code.is_none() && told.stderr.contains("may still run"), "{told:?}");
    assert!(told.may_run);
    assert!(began.elapsed() < Duration::from_secs(20));
    bed.infra().suspend(&bed.target(), Duration::ZERO, &mut MemoryJournal::default()).await.unwrap();
    let wish = exec_wish("web", "job-3", &["/busybox", "id"], LONG);
    let error = bed.infra().exec(&bed.health_target(), &wish).await.unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (Code::ProvisionNotReady, "The service web does not run."));
    bed.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_ends_at_once_is_never_healthy_and_does_not_resume() {
    let Some(bed) = Bed::shared().await else { return };
    for lines in ["", "    restart: always\n"] {
        bed.made_of(lone("hangar-test/app:crash", lines)).await.unwrap();
        let until = Instant::now() + Duration::from_secs(4);
        while Instant::now() < until {
            let found = bed.infra().health_check(&bed.health_target()).await;
            assert_eq!(found, [domain::node::ReasonCode::NodeNotReady]);
        }
        bed.infra().destroy(&bed.target(), &mut MemoryJournal::default()).await.unwrap();
    }
    bed.made_of(lone("hangar-test/app:crash", "")).await.unwrap();
    let until = Instant::now() + LONG;
    while bed.inspect("web", "{{.State.Status}}") != "exited" {
        assert!(Instant::now() < until, "it does not end");
    }
    let error = bed.infra().resume(&bed.target(), &mut MemoryJournal::default()).await.unwrap_err();
    assert_eq!(error.code, Code::ProviderAcquisitionFailed, "{error:?}");
    bed.ended().await;
}

/// What keeps services from serving is told with every look, data services included, and the health
/// check says the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keeps_a_service_from_serving_is_told() {
    let Some(bed) = Bed::shared().await else { return };
    bed.made().await;
    bed.healthy().await;
    let told = async |wanted: &[&str]| {
        let status = bed.infra().status(&bed.project()).await.unwrap().unwrap();
        let told: Vec<_> = status.troubles.iter().map(|it| format!("{} {}", it.part, it.trouble.as_str())).collect();
        assert_eq!(told, wanted, "{status:?}");
        let healthy = bed.infra().health_check(&bed.health_target()).await.is_empty();
        assert_eq!(healthy, wanted.is_empty(), "{status:?}");
        let owned = bed.infra().owned().await.unwrap();
        let listed = owned.into_iter().find(|it| it.infra_id == bed.project()).unwrap();
        assert_eq!(listed.troubles, status.troubles);
    };
    told(&[]).await;
    bed.docker.docker(&["stop", "--time", "0", &bed.container("db")]);
    told(&["db stopped"]).await;
    bed.docker.docker(&["pause", &bed.container("web")]);
    told(&["db stopped", "web restarting"]).await;
    bed.docker.docker(&["unpause", &bed.container("web")]);
    bed.docker.docker(&["start", &bed.container("db")]);
    bed.healthy().await;
    bed.docker.docker(&["rm", "--force", &bed.container("side")]);
    told(&["side missing"]).await;
    // An upgrade to what it has makes it anew.
    bed.upgraded("good1", "good1").await.unwrap();
    bed.healthy().await;
    told(&[]).await;
    bed.docker.docker(&["rm", "--force", &bed.container("web"), &bed.container("side"), &bed.container("db")]);
    told(&["every service missing"]).await;
    bed.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_of_the_host_that_is_taken_is_told() {
    let Some(bed) = Bed::shared().await else { return };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut stack = lone("hangar-test/app:good1", &format!("    ports: [\"127.0.0.1:{port}:{PORT}\"]\n"));
    stack.blueprint.allow_host_ports = true;
    let error = bed.made_of(stack).await.unwrap_err();
    assert_eq!((error.code, error.effect), (Code::ProviderInvalidRequest, Effect::Unknown), "{error:?}");
    assert_eq!(error.message, "A port of the host that the stack claims is taken.");
    bed.ended().await;
}

/// The engine chooses ports one after the other and gives up after ten that somebody else has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ports_that_somebody_else_has_are_passed_over() {
    let Some(bed) = Bed::own().await else { return };
    let others = |machine: &MachineStatus| {
        let first = machine.cockpit_port.unwrap() + 1;
        // Others may be in use by somebody else, and free again later.
        let ports = (first..first + 15).filter_map(|port| {
            let taken = std::net::TcpListener::bind(("0.0.0.0", port)).ok()?;
            Some((port, taken))
        });
        ports.collect::<std::collections::BTreeMap<_, _>>()
    };
    let machine = bed.made().await;
    let status = bed.infra().status(&machine.infra_id).await.unwrap().unwrap();
    let taken = others(&status);
    bed.infra().suspend(&bed.target(), LONG, &mut MemoryJournal::default()).await.unwrap();
    let status = bed.infra().resume(&bed.target(), &mut MemoryJournal::default()).await.unwrap();
    assert!(!taken.contains_key(&status.cockpit_port.unwrap()), "{status:?}");
    bed.infra().destroy(&bed.target(), &mut MemoryJournal::default()).await.unwrap();
    drop(taken);
    let taken = others(&status);
    let again = bed.made().await;
    assert!(!taken.contains_key(&again.cockpit_port.unwrap()), "{again:?}");
    assert_eq!(page(again.cockpit_port).await, "this is app:good1\n");
    bed.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_tells_both_versions_and_what_is_there() {
    let Some(bed) = Bed::shared().await else { return };
    bed.made().await;
    let report = bed.account.check(None).await.unwrap();
    assert!(report.message.starts_with("Docker Engine "), "{}", report.message);
    assert!(report.message.contains(" and Docker Compose "), "{}", report.message);
    assert_eq!(report.owned_count, Some(1));
    assert!(report.server_count >= Some(1));
    let catalog = bed.account.catalog().await.unwrap();
    assert!(catalog.server_types.is_empty() && catalog.images.is_empty());
    bed.ended().await;
}

/// What is told up to now, each thing once where it is told again and again. The engine tells in order,
/// so a sign of the test's own comes last.
async fn told(bed: &Bed, changes: &mut Changes) -> Vec<String> {
    let sign = format!("{}-sign", bed.prefix);
    let volume = format!("{sign}_1");
    bed.docker.docker(&["volume", "create", &volume]);
    bed.docker.docker(&["volume", "rm", &volume]);
    let mut all = Vec::new();
    loop {
        let change = timeout(LONG, changes.next()).await.unwrap().unwrap().unwrap();
        if change.infra_id == sign {
            all.dedup();
            return all;
        }
        all.push(change.infra_id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_by_hand_at_the_engine_is_told_and_what_is_not_ours_is_not() {
    let Some(bed) = Bed::own().await else { return };
    bed.made().await;
    bed.healthy().await;
    let ours = vec![bed.project()];
    // What the engine remembers of the making is told as well.
    let mut changes = bed.infra().changes().await.unwrap().unwrap();
    told(&bed, &mut changes).await;

    let docker = &bed.docker;
    let other = ["--label", "hangar.instance=other", "--label", "com.docker.compose.project=other"];
    let words = [&["run", "--detach", "--network", "none", "--name", "other"], &other[..], &["hangar-test/db:1"]];
    docker.docker(&words.concat());
    docker.docker(&["rm", "--force", "other"]);
    docker.docker(&["volume", "create", "other_data"]);
    docker.docker(&["volume", "rm", "other_data"]);
    docker.docker(&["exec", &bed.container("db"), "true"]);
    assert_eq!(told(&bed, &mut changes).await, Vec::<String>::new());

    docker.docker(&["stop", &bed.container("db")]);
    assert_eq!(told(&bed, &mut changes).await, ours, "stopped");
    docker.docker(&["start", &bed.container("db")]);
    assert_eq!(told(&bed, &mut changes).await, ours, "started");
    // One that has no health check, which would be told of as well.
    docker.docker(&["pause", &bed.container("db")]);
    assert_eq!(told(&bed, &mut changes).await, ours, "paused");
    docker.docker(&["unpause", &bed.container("db")]);
    assert_eq!(told(&bed, &mut changes).await, ours, "and goes on");
    docker.docker(&["exec", &bed.container("web"), "rm", "/www/index.html"]);
    // The engine sees that later, and tells nothing else meanwhile.
    let change = timeout(LONG, changes.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(change.infra_id, bed.project());
    assert_eq!(bed.inspect("web", "{{.State.Health.Status}}"), "unhealthy");
    told(&bed, &mut changes).await;
    docker.docker(&["rm", "--force", &bed.container("web"), &bed.container("side"), &bed.container("db")]);
    assert_eq!(told(&bed, &mut changes).await, ours, "taken away");
    docker.docker(&["network", "rm", &format!("{}_default", bed.project())]);
    assert_eq!(told(&bed, &mut changes).await, ours, "its network too");
    docker.docker(&["volume", "rm", &format!("{}_data", bed.project())]);
    assert_eq!(told(&bed, &mut changes).await, ours, "its volume too");

    docker.kill();
    let end = timeout(LONG, async { while let Some(Ok(_)) = changes.next().await {} }).await;
    assert!(end.is_ok(), "an engine that dies tells nothing any more");
    assert_eq!(bed.infra().changes().await.err().unwrap().code, Code::ProviderUnreachable);
    docker.restart();
    // What is done before it is waited for the first time is told.
    let mut changes = patiently!(bed.infra().changes()).unwrap();
    told(&bed, &mut changes).await;
    bed.made().await;
    assert_eq!(told(&bed, &mut changes).await, ours);
    bed.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_services_take_is_told_with_their_limits() {
    const MEBIBYTE: u64 = 1024 * 1024;
    let Some(bed) = Bed::shared().await else { return };
    let target = bed.health_target();
    assert_eq!(bed.infra().usage(&target).await, [], "nothing is there");
    bed.made().await;
    bed.healthy().await;
    bed.docker.docker(&["exec", "--detach", &bed.container("web"), "sh", "-c", "while :; do :; done"]);
    let until = Instant::now() + LONG;
    let told = loop {
        let told = bed.infra().usage(&target).await;
        if told.get(2).and_then(|web| web.cpu_millis).is_some_and(|taken| taken >= 100) {
            break told;
        }
        assert!(Instant::now() < until, "{told:#?}");
    };
    let states: Vec<_> = told.iter().map(|part| (part.name.as_str(), part.state)).collect();
    let (healthy, up, stopped) = (PartState::Healthy, PartState::Up, PartState::Stopped);
    assert_eq!(states, [("db", up), ("side", healthy), ("web", healthy)]);
    let limits: Vec<_> = told.iter().map(|part| (part.cpu_most_millis, part.memory_most_bytes)).collect();
    assert_eq!(limits, [(None, Some(32 * MEBIBYTE)), (None, None), (Some(500), Some(64 * MEBIBYTE))]);
    for part in &told {
        assert!(part.memory_bytes.is_some_and(|held| (1..32 * MEBIBYTE).contains(&held)), "{part:?}");
        assert!(part.cpu_millis.is_some(), "{part:?}");
    }

    bed.docker.docker(&["stop", &bed.container("db")]);
    let told = bed.infra().usage(&target).await;
    let db = PartUsage { memory_most_bytes: Some(32 * MEBIBYTE), ..PartUsage::new("db", stopped) };
    assert_eq!((told.len(), &told[0]), (3, &db), "what is stopped takes nothing");
    bed.docker.docker(&["pause", &bed.container("side")]);
    assert_eq!(bed.infra().usage(&target).await[1].state, PartState::Changing);
    bed.docker.docker(&["unpause", &bed.container("side")]);
    bed.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_says_nothing_is_given_up_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let _silent = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let timeouts = Timeouts { read: Duration::from_secs(1), ..docker::timeouts() };
    let settings = json!({"host": format!("unix://{}", socket.display())});
    let account = docker::account_at(settings, INSTANCE, timeouts, folder.path());
    let began = Instant::now();
    assert_eq!(account.check(None).await.unwrap_err().code, Code::ProviderUnreachable);
    let infra = account.infra().unwrap();
    assert_eq!(infra.owned().await.unwrap_err().code, Code::ProviderUnreachable);
    assert_eq!(infra.changes().await.err().unwrap().code, Code::ProviderUnreachable);
    let target =
        HealthTarget { infra_id: Some("a".to_owned()), host: None, ssh: None, requires: Vec::new(), within: LONG };
    assert_eq!(infra.usage(&target).await, [], "and no error");
    assert!(began.elapsed() < Duration::from_secs(10));
}

/// The whole life of a stack at an engine that is reached in some way.
async fn lives(host: &str, instance: &str) {
    let work = tempfile::tempdir().unwrap();
    let prefix = docker::prefix();
    let settings = json!({"host": host, "project_prefix": format!("{instance}{prefix}"), "public_host": "127.0.0.1"});
    let account = docker::account_at(settings, instance, docker::timeouts(), work.path());
    let infra = account.infra().unwrap();
    account.check(None).await.unwrap();
    let machine = infra.provision(&wish(stack("good1")), &mut MemoryJournal::default()).await.unwrap();
    assert!(machine.cockpit_port.is_some());
    let target = health_target(&machine.infra_id);
    // It says something after a while in which nothing goes either way.
    let argv = ["sh", "-c", "sleep 1; seq 1 20000; echo end; exit 4"];
    let told = infra.exec(&target, &exec_wish("web", "job-1", &argv, LONG)).await.unwrap();
    assert_eq!((told.exit_code, told.stdout.ends_with("\n20000\nend\n")), (Some(4), true));
    let target = common::target(Some(&machine.infra_id));
    let wish = backup_wish(work.path());
    let kept = infra.backup(&target, &wish, &mut MemoryJournal::default()).await.unwrap().unwrap();
    assert_eq!(kept.files, ["db-data.tar"]);
    infra.destroy(&target, &mut MemoryJournal::default()).await.unwrap();
    assert_eq!(infra.owned().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_behind_a_port_is_used_like_one_behind_a_socket() {
    let Some(bed) = Bed::shared().await else { return };
    let socket = bed.docker.host().trim_start_matches("unix://").to_owned();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let proxy = tokio::spawn(async move {
        loop {
            let (mut from, _) = listener.accept().await.unwrap();
            let mut to = tokio::net::UnixStream::connect(&socket).await.unwrap();
            tokio::spawn(async move { drop(tokio::io::copy_bidirectional(&mut from, &mut to).await) });
        }
    });
    lives(&format!("tcp://127.0.0.1:{port}"), "tcp").await;
    proxy.abort();
}

/// The first Compose, none, and no command at all: this program is run again with another PATH.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compose_that_cannot_be_used_is_refused_with_guidance() {
    const TOLD: &str = "HANGAR_TEST_COMPOSE_HOST";
    if let Ok(host) = std::env::var(TOLD) {
        let folder = tempfile::tempdir().unwrap();
        let account = docker::account_at(json!({"host": host}), INSTANCE, docker::timeouts(), folder.path());
        let error = account.check(None).await.unwrap_err();
        assert_eq!(error.code, Code::ProviderAcquisitionUnavailable);
        assert!(error.message.contains("Debian 12"), "{}", error.message);
        return;
    }
    let Some(bed) = Bed::shared().await else { return };
    for script in [Some("echo 1.29.2"), Some("echo \"docker: 'compose' is not a docker command.\" >&2; exit 1"), None] {
        let folder = tempfile::tempdir().unwrap();
        if let Some(script) = script {
            let path = folder.path().join("docker");
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", "a_compose_that_cannot_be_used_is_refused_with_guidance"]);
        let output = again.env("PATH", folder.path()).env(TOLD, bed.docker.host()).output().unwrap();
        assert!(output.status.success(), "{script:?}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn the_roles_of_the_tests_stack_are_as_the_tests_take_them() {
    let roles: Vec<_> = docker::blueprint().services.iter().map(|it| (it.name.clone(), it.role)).collect();
    use ServiceRole::{Application, Data};
    assert_eq!(roles, [("db".to_owned(), Data), ("web".to_owned(), Application), ("side".to_owned(), Application)]);
}
