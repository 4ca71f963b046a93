//! Tasks on a machine behind a real SSH server: each runs once, whatever breaks, and its output
//! stays small and right.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;
mod ssh_machine;

use std::time::{Duration, Instant};

use common::token;
use domain::{code::Code, profile::ProfileRequirement};
use providers::{
    HostKey, SshFailure, SshTarget,
    ssh::{
        Checks, RemoteTask, TAIL_MOST, Tail, TaskEnd, profile_script, ssh_wait, task_forget, task_run, verify_profile,
    },
};
use ssh_machine::Machine;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::JoinHandle,
};

const LONG: Duration = Duration::from_secs(60);

fn task(id: &str, script: &str) -> RemoteTask {
    RemoteTask { id: id.to_owned(), script: script.to_owned(), within: LONG, merged: false }
}

async fn ran(target: &SshTarget, task: &RemoteTask) -> Result<TaskEnd, SshFailure> {
    task_run(target, task, LONG, &mut |_| ()).await
}

/// A task that runs beside the test, and what is seen of it.
struct Running {
    handle: JoinHandle<Result<TaskEnd, SshFailure>>,
    seen: UnboundedReceiver<Tail>,
}

impl Running {
    fn start(target: SshTarget, task: RemoteTask) -> Self {
        let (sender, seen) = unbounded_channel();
        let handle = tokio::spawn(async move {
            let mut progress = |tail: &Tail| sender.send(tail.clone()).unwrap();
            task_run(&target, &task, LONG, &mut progress).await
        });
        Self { handle, seen }
    }

    /// Waits until the output so far has this in it.
    async fn says(&mut self, part: &str) {
        loop {
            let tail = tokio::time::timeout(LONG, self.seen.recv()).await.unwrap();
            if tail.unwrap().text.contains(part) {
                return;
            }
        }
    }
}

#[tokio::test]
async fn outputs_and_exit_codes_are_data() {
    let Some(machine) = Machine::start(None).await else { return };
    let target = machine.target();
    let end = ran(&target, &task("plain", "echo out; echo err >&2; pwd; id -u; exit 3")).await.unwrap();
    let tail = |text: &str| Tail { text: text.to_owned(), cut: false };
    let expected =
        TaskEnd { exit_code: Some(3), timed_out: false, stdout: tail("out\n/root\n0\n"), stderr: tail("err\n") };
    assert_eq!(end, expected);
    assert_eq!(end.failure().unwrap().code, Code::ProvisionScriptFailed);
    // Asked again, it is the same run.
    assert_eq!(ran(&target, &task("plain", "echo other")).await.unwrap(), expected);

    for code in [0, 1, 2, 124, 126, 127, 137, 255] {
        let end = ran(&target, &task(&format!("code-{code}"), &format!("exit {code}"))).await.unwrap();
        assert_eq!((end.exit_code, end.timed_out), (Some(code), false));
    }
    let merged = RemoteTask { merged: true, ..task("merged", "echo a; echo b >&2; echo c; kill -9 $$") };
    let end = ran(&target, &merged).await.unwrap();
    assert_eq!((end.exit_code, end.stdout.text.as_str(), end.stderr), (Some(137), "a\nb\nc\n", Tail::default()));
    let silent = ran(&target, &task("stdin", "cat; printf 'no newline \\344'")).await.unwrap();
    assert_eq!(silent.stdout.text, "no newline \u{fffd}");
    let large = format!("{}\necho last", "# a comment\n".repeat(20_000));
    assert_eq!(ran(&target, &task("large", &large)).await.unwrap().stdout.text, "last\n");
    let larger = ran(&target, &task("larger", &"#".repeat(256 * 1024 + 1))).await.unwrap_err();
    assert_eq!(larger.code, Code::ProvisionScriptFailed);
    machine.sim.shutdown().await;
}

#[tokio::test]
async fn every_argument_arrives_unchanged() {
    let Some(machine) = Machine::start(None).await else { return };
    for (index, user) in ["root", "admin"].into_iter().enumerate() {
        let target = SshTarget { user: user.to_owned(), ..machine.target() };
        let odd: Vec<String> = (1_u8..128).map(|b| format!("{0}a{0}", char::from(b))).collect();
        let more = [
            "",
            " ",
            "-n",
            "--",
            "$(id)",
            "`id`",
            "${HOME}",
            "a\nb\n",
            "'\"'\"",
            "\\\\n",
            "*",
            "~",
            "ä€🦀",
            "!!",
            "A=b",
        ];
        let mut argv = vec!["printf".to_owned(), "%s\\n--\\n".to_owned()];
        argv.extend(odd.into_iter().chain(more.map(str::to_owned)));
        let end = ran(&target, &RemoteTask::command(&format!("argv-{index}"), &argv, LONG)).await.unwrap();
        let meant: String = argv[2..].iter().map(|it| format!("{it}\n--\n")).collect();
        assert_eq!(end.stdout.text, meant);
    }
    let missing = RemoteTask::command("missing", &["no such program".to_owned()], LONG);
    assert_eq!(ran(&machine.target(), &missing).await.unwrap().exit_code, Some(127));
    machine.sim.shutdown().await;
}

#[tokio::test]
async fn another_host_key_is_not_talked_to() {
    let Some(machine) = Machine::start(None).await else { return };
    ssh_wait(&machine.target(), LONG).await.unwrap();
    let other = HostKey::generate().unwrap().public_openssh().to_owned();
    let target = SshTarget { host_key_public: other, ..machine.target() };
    let began = Instant::now();
    assert_eq!(ran(&target, &task("a", "exit 0")).await.unwrap_err().code, Code::ProvisionHostKeyMismatch);
    assert!(began.elapsed() < LONG / 2);
    assert_eq!(machine.told("ls /var/lib/hangar/tasks | grep -vc told || :").await, "0\n");
    machine.sim.shutdown().await;
}

#[tokio::test]
async fn a_profile_waits_for_the_locks_of_the_package_system() {
    let Some(machine) = Machine::start(None).await else { return };
    let target = machine.target();
    let requires = [("no-tool", Some("no-tool")), ("sh", Some("no-such-sh"))].map(|(command, package)| {
        ProfileRequirement { command: command.to_owned(), package: package.map(str::to_owned) }
    });
    let checks = Checks::of(&requires);
    assert!(!verify_profile(&target, &checks, LONG).await.unwrap().is_empty());
    // Both locks are held until the test lets go, by something that outlives its task.
    machine
        .told(
            "mkdir -p /var/lib/apt/lists; for it in /var/lib/apt/lists/lock /var/lib/dpkg/lock-frontend; do
               setsid flock $it sh -c \": >$it.held; until [ -e $it.free ]; do sleep 0.05; done\" >/dev/null 2>&1 &
               until [ -e $it.held ]; do sleep 0.05; done
             done",
        )
        .await;
    let script = profile_script(&requires, "echo installed; exit 0");
    let mut running = Running::start(target.clone(), RemoteTask { merged: true, ..task("profile", &script) });
    running.says("Could not get lock /var/lib/apt/lists/lock").await;
    machine.told(": >/var/lib/apt/lists/lock.free").await;
    running.says("Waiting for cache lock").await;
    machine.told(": >/var/lib/dpkg/lock-frontend.free").await;
    let end = running.handle.await.unwrap().unwrap();
    assert_eq!((end.exit_code, end.failure()), (Some(0), None), "{end:?}");
    assert!(end.stdout.text.ends_with("installed\n"), "{end:?}");
    assert_eq!(machine.told("cat /var/lib/dpkg/simulated").await, "no-tool\n");
    assert_eq!(verify_profile(&target, &checks, LONG).await, Ok(vec![]));

    let unknown = [ProfileRequirement { command: "never".to_owned(), package: Some("no-such-package".to_owned()) }];
    let end = ran(&target, &task("unknown", &profile_script(&unknown, "echo on"))).await.unwrap();
    assert_eq!(end.exit_code, Some(100));
    assert!(end.stdout.text.contains("Unable to locate package") && !end.stdout.text.contains("on\n"), "{end:?}");
    machine.sim.shutdown().await;
}

#[tokio::test]
async fn what_hangs_is_killed_at_its_limit_with_all_it_started() {
    let Some(machine) = Machine::start(None).await else { return };
    let script = "echo begun; sleep 54321 & sh -c 'sleep 54321'";
    let hanging = RemoteTask { within: Duration::from_secs(1), ..task("hangs", script) };
    let end = ran(&machine.target(), &hanging).await.unwrap();
    assert_eq!((end.exit_code, end.timed_out, end.stdout.text.as_str()), (None, true, "begun\n"));
    assert_eq!(end.failure().unwrap().code, Code::ProvisionTimeout);
    let left = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c 'sleep[ ]54321' || :";
    assert_eq!(machine.told(left).await, "0\n");

    // The caller's own deadline ends nothing but the wait.
    let waiting = task("waits", "until [ -e /root/go ]; do sleep 0.05; done; echo went");
    let failure = task_run(&machine.target(), &waiting, Duration::from_secs(2), &mut |_| ()).await.unwrap_err();
    assert_eq!(failure.code, Code::ProvisionTimeout);
    machine.told(": >/root/go").await;
    assert_eq!(ran(&machine.target(), &waiting).await.unwrap().stdout.text, "went\n");
    machine.sim.shutdown().await;
}

#[tokio::test]
async fn a_hundred_megabytes_leave_the_right_end_and_the_disk_alone() {
    let Some(machine) = Machine::start(None).await else { return };
    let du = "du -sk /var/lib/hangar/tasks/chatty | cut -f 1 >>/root/used";
    let numbers = "i=0; while [ $i -lt 2000 ]; do echo \"line $i\"; i=$((i + 1)); done";
    let script = format!("yes aaaaaaaaa | head -c 60000000; {du}; yes é | head -c 40000000; {du}; {numbers}");
    let began = Instant::now();
    let end = ran(&machine.target(), &task("chatty", &script)).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(end.exit_code, Some(0));
    let lines: String = (0..2000).map(|i| format!("line {i}\n")).collect();
    let expected = &lines[lines.len() - TAIL_MOST..];
    assert!(end.stdout.cut && end.stdout.text == expected, "{}", end.stdout.text);
    let used = machine.told(&format!("{}; cat /root/used", du.replace("tasks/chatty", "tasks"))).await;
    for kib in used.lines().map(|it| it.parse::<u32>().unwrap()) {
        assert!(kib < 6 * 1024, "{used}");
    }

    // Through the middle of a character; and one that never stops.
    let end =
        ran(&machine.target(), &task("umlauts", "echo; yes é | tr -d '\\n' | head -c 20000; echo x")).await.unwrap();
    let text = end.stdout.text;
    assert!(end.stdout.cut && text.trim_end_matches("x\n").chars().all(|c| c == 'é'), "{text:.40}");
    let endless = RemoteTask { within: Duration::from_secs(1), merged: true, ..task("endless", "yes") };
    let end = ran(&machine.target(), &endless).await.unwrap();
    assert!(end.timed_out && end.stdout.text.len() == TAIL_MOST, "{}", end.stdout.text.len());
    machine.sim.shutdown().await;
}

/// A script that fills the disk still ends as it ends, and what it said before is not lost.
#[tokio::test]
async fn a_full_disk_makes_no_success_of_a_failure() {
    let Some(machine) = Machine::start(None).await else { return };
    // A disk of 64 MiB that is not the one of everything else.
    machine.told("mkdir /run/full; ln -s /run/full /var/lib/hangar/tasks/full").await;
    let script = "echo before; sleep 0.2; cat /dev/zero >/run/full/fill; echo after; exit 7";
    let full = task("full", script);
    let end = ran(&machine.target(), &full).await.unwrap();
    assert_eq!((end.exit_code, end.timed_out), (Some(7), false), "{end:?}");
    machine.told("rm /run/full/fill").await;
    let end = ran(&machine.target(), &full).await.unwrap();
    assert!(end.exit_code == Some(7) && end.stdout.text.starts_with("before\n"), "{end:?}");
    machine.sim.shutdown().await;
}

/// A machine under load: the tool gives up waiting, and asked again the task runs.
#[tokio::test]
async fn a_task_that_starts_slowly_is_asked_for_again() {
    let Some(machine) = Machine::start(None).await else { return };
    // The first is taken on and not begun; and no pause of the tool's takes its time.
    let unit = r#"#!/bin/sh
case $3 in
*slow) [ -e /root/asked ] || { : >/root/asked; exit 0; } ;;
esac
while [ "$1" != -- ]; do shift; done
shift
setsid "$@" &"#;
    machine
        .told(&format!(
            "mkdir -p /run/systemd/system; printf '%s\n' '{unit}' >/usr/local/bin/systemd-run; \
             printf '#!/bin/sh\n[ $1 = 0.02 ] || exec /bin/sleep $1\n' >/usr/local/bin/sleep; chmod 755 /usr/local/bin/*"
        ))
        .await;
    let end = ran(&machine.target(), &task("slow", "echo ran")).await.unwrap();
    assert_eq!((end.exit_code, end.stdout.text.as_str()), (Some(0), "ran\n"));
    assert_eq!(machine.told("ls /root/asked").await, "/root/asked\n");
    machine.sim.shutdown().await;
}

/// As when a connection broke before anything had arrived.
#[tokio::test]
async fn what_never_quite_arrived_is_forgotten_too() {
    let Some(machine) = Machine::start(None).await else { return };
    machine.told("mkdir -p /var/lib/hangar/tasks/half; : >/var/lib/hangar/tasks/half/tool.17").await;
    task_forget(&machine.target(), "half").await.unwrap();
    assert_eq!(machine.told("[ -e /var/lib/hangar/tasks/half ] || echo gone").await, "gone\n");
    machine.sim.shutdown().await;
}

#[tokio::test]
async fn a_caller_that_dies_and_comes_again_finds_the_one_run() {
    let Some(machine) = Machine::start(None).await else { return };
    let target = machine.target();
    let script = "echo ran >>/root/count; echo begun; until [ -e /root/go ]; do sleep 0.05; done; echo over";
    let mut first = Running::start(target.clone(), task("once", script));
    first.says("begun").await;
    first.handle.abort();
    assert!(first.handle.await.unwrap_err().is_cancelled());
    // Two come again at once.
    let mut again = [0, 1].map(|_| Running::start(target.clone(), task("once", script)));
    for it in &mut again {
        it.says("begun").await;
    }
    machine.told(": >/root/go").await;
    for it in again {
        assert_eq!(it.handle.await.unwrap().unwrap().stdout.text, "begun\nover\n");
    }
    assert_eq!(machine.told("cat /root/count").await, "ran\n");

    // All at once from the start.
    let many = (0..4).map(|_| Running::start(target.clone(), task("many", "echo ran >>/root/many; echo done")));
    for it in many.collect::<Vec<_>>() {
        assert_eq!(it.handle.await.unwrap().unwrap().stdout.text, "done\n");
    }
    assert_eq!(machine.told("cat /root/many").await, "ran\n");

    // Forgotten, it may run anew.
    task_forget(&target, "many").await.unwrap();
    task_forget(&target, "many").await.unwrap();
    assert_eq!(machine.told("[ -e /var/lib/hangar/tasks/many ] || echo gone").await, "gone\n");
    ran(&target, &task("many", "echo ran >>/root/many")).await.unwrap();
    assert_eq!(machine.told("cat /root/many").await, "ran\nran\n");
    // And what ended long ago goes by itself: when another task begins, while that one already runs.
    machine.told("touch -d '40 days ago' /var/lib/hangar/tasks/many/end").await;
    machine.told(":").await;
    assert_eq!(machine.told("ls /var/lib/hangar/tasks | grep -e many -e once").await, "once\n");
    machine.sim.shutdown().await;
}

async fn power_on(machine: &Machine) {
    let url = format!("{}/servers/{}/actions/poweron", machine.sim.endpoint(), machine.infra_id);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.post(url).bearer_auth(token()).send().await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
}

#[tokio::test]
async fn a_machine_that_restarts_has_lost_its_task_and_does_not_run_it_again() {
    let Some(machine) = Machine::start(None).await else { return };
    let script = "echo ran >>/root/count; echo begun; sleep 54321";
    let mut running = Running::start(machine.target(), task("lost", script));
    running.says("begun").await;
    let finished = ran(&machine.target(), &task("finished", "echo kept")).await.unwrap();
    assert!(machine.sim.power_off("alpha-0001"));
    power_on(&machine).await;
    let failure = running.handle.await.unwrap().unwrap_err();
    assert_eq!(failure.code, Code::ProvisionScriptFailed);
    assert!(failure.message.contains("restarted"), "{failure}");
    let again = ran(&machine.target(), &task("lost", script)).await.unwrap_err();
    assert_eq!(again, failure);
    assert_eq!(machine.told("cat /root/count").await, "ran\n");
    assert_eq!(ran(&machine.target(), &task("finished", "echo other")).await.unwrap(), finished);
    assert_eq!(ran(&machine.target(), &task("lost-2", "echo anew")).await.unwrap().stdout.text, "anew\n");
    machine.sim.shutdown().await;
}

#[tokio::test]
async fn what_is_killed_on_the_machine_is_told_and_takes_its_processes_with_it() {
    let Some(machine) = Machine::start(None).await else { return };
    let mut running = Running::start(machine.target(), task("victim", "echo begun; sleep 65432"));
    running.says("begun").await;
    // The wrapper, as a machine without memory would.
    machine
        .told("for it in /proc/[0-9]*; do tr '\\0' ' ' <$it/cmdline | grep -q 'tasks/victim/tool[ ]run' && kill -9 ${it#/proc/}; done; :")
        .await;
    let failure = running.handle.await.unwrap().unwrap_err();
    assert_eq!(failure.code, Code::ProvisionScriptFailed);
    let left = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c 'sleep[ ]65432' || :";
    assert_eq!(machine.told(left).await, "0\n");

    let mut running = Running::start(machine.target(), task("unwanted", "echo begun; sleep 65432"));
    running.says("begun").await;
    task_forget(&machine.target(), "unwanted").await.unwrap();
    assert_eq!(machine.told(left).await, "0\n");
    // Seen at the last moment, or not any more.
    assert!(!running.handle.await.unwrap().is_ok_and(|end| end.exit_code.is_some()));
    machine.sim.shutdown().await;
}

#[tokio::test]
async fn a_user_who_is_not_root_works_through_sudo() {
    let Some(machine) = Machine::start(None).await else { return };
    let target = SshTarget { user: "admin".to_owned(), ..machine.target() };
    let end = ran(&target, &task("sudo", "id -u; echo \"$HOME\"")).await.unwrap();
    assert_eq!(end.stdout.text, "0\n/root\n", "{end:?}");
    task_forget(&target, "sudo").await.unwrap();
    assert_eq!(machine.told("ls /var/lib/hangar/tasks | grep -c sudo || :").await, "0\n");
    machine.told(": >/etc/simulated/no-sudo").await;
    assert_eq!(ran(&target, &task("refused", "id")).await.unwrap_err().code, Code::ProvisionNotReady);
    machine.sim.shutdown().await;
}

#[tokio::test]
async fn where_systemd_runs_a_task_is_a_unit_of_its_own() {
    let Some(machine) = Machine::start(None).await else { return };
    // No machine here has systemd as its first process: what it would be asked is what counts.
    let unit = r#"#!/bin/sh
echo "$1 $2 $3" >>/root/units
[ "$*" != "${*#* -- /bin/sh /var/lib/hangar/tasks/}" ] || exit 1
[ ! -e /root/broken ] || exit 1
while [ "$1" != -- ]; do shift; done
shift
setsid "$@" &"#;
    machine
        .told(&format!(
            "mkdir -p /run/systemd/system; printf '%s\n' '{unit}' >/usr/local/bin/systemd-run; \
             chmod 755 /usr/local/bin/systemd-run"
        ))
        .await;
    assert_eq!(ran(&machine.target(), &task("unit", "echo a")).await.unwrap().stdout.text, "a\n");
    let asked = machine.told("head -n 1 /root/units; : >/root/broken").await;
    assert_eq!(asked, "--quiet --collect --unit=hangar-task-unit\n");
    assert_eq!(ran(&machine.target(), &task("without", "echo b")).await.unwrap().stdout.text, "b\n");
    machine.sim.shutdown().await;
}

#[tokio::test]
async fn a_connection_that_breaks_is_made_again() {
    let Some(machine) = Machine::start(None).await else { return };
    // The script itself breaks the next three sessions, and waits until they broke. Nobody else has
    // any, so they are those of the one who follows it; and nothing is left to a process in the
    // background, which would end with the task that started it unless it fled in time.
    let script = "echo ran >>/root/count; echo begun; echo 3 >/etc/simulated/refuse; \
                  until [ ! -e /etc/simulated/refuse ]; do sleep 0.05; done; echo over";
    let end = ran(&machine.target(), &task("broken", script)).await.unwrap();
    assert_eq!((end.exit_code, end.stdout.text.as_str()), (Some(0), "begun\nover\n"), "{end:?}");
    assert_eq!(machine.told("cat /root/count").await, "ran\n");
    machine.sim.shutdown().await;
}

#[tokio::test]
async fn a_machine_that_has_only_ipv6_is_reached() {
    let Some(machine) = Machine::start(None).await else { return };
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let to = (machine.host.clone(), machine.target().port);
    let proxy = tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let to = to.clone();
            tokio::spawn(async move {
                // Refused while the machine comes up.
                let mut far = TcpStream::connect(to).await?;
                tokio::io::copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    let target = SshTarget { host: "::1".to_owned(), port, ..machine.target() };
    assert_eq!(ssh_wait(&target, LONG).await, Ok(()));
    assert_eq!(ran(&target, &task("six", "echo six")).await.unwrap().stdout.text, "six\n");
    let other = HostKey::generate().unwrap().public_openssh().to_owned();
    let wrong = SshTarget { host_key_public: other, ..target };
    assert_eq!(ssh_wait(&wrong, LONG).await.unwrap_err().code, Code::ProvisionHostKeyMismatch);
    proxy.abort();
    machine.sim.shutdown().await;
}
