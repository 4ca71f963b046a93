//! Another version of a stack, on a real engine: what it does to the services, where it ends when a
//! version is no good, and which image is run.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;
mod docker;
mod registry;
#[expect(dead_code, reason = "no test uses everything")]
mod stacks;

use std::time::{Duration, Instant};

use docker::SECRET;
use domain::code::Code;
use providers::{Journal, JournalLost, MachineFacts, MachinePower, MemoryJournal, StackWish, Timeouts, async_trait};
use registry::Images;
use serde_json::{Value, json};
use stacks::{Bed, LONG, account, lone, to};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Two services of which the first is healthy only while the second is as it was, and the second
/// spoils it with every other version.
fn of_two(tag: &str) -> StackWish {
    let file = r#"
services:
  web:
    image: hangar-test/app:plain
    environment: {AT: "${HANGAR_TAG}"}
    volumes: ["shared:/tmp"]
    healthcheck: {test: [CMD, test, -e, /tmp/up], interval: 200ms, timeout: 5s, retries: 2}
  side:
    image: hangar-test/app:plain
    volumes: ["shared:/tmp"]
    command: [sh, -c, 'case "$$0" in good1) touch /tmp/up;; *) rm -f /tmp/up;; esac; exec sleep 100000', "${HANGAR_TAG}"]
    healthcheck: {test: [CMD, test, -e, /tmp/up], interval: 200ms, timeout: 5s, retries: 2}
volumes:
  shared:
"#;
    let services = ["web", "side"].map(|name| json!({"name": name, "role": "application"}));
    let blueprint = serde_json::from_value(json!({"file": file, "services": services})).unwrap();
    StackWish { blueprint, tag: tag.to_owned(), ..lone("hangar-test/app:plain", "") }
}

fn versions(bed: &Bed) -> [String; 2] {
    ["web", "side"].map(|service| bed.inspect(service, "{{index .Config.Labels \"hangar.tag\"}} {{.State.Status}}"))
}

/// Were the first waited for before the second is put back, it would never get healthy again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_that_depend_on_one_another_go_back_together() {
    let Some(bed) = Bed::shared().await else { return };
    bed.made_of(of_two("good1")).await.unwrap();
    bed.healthy().await;
    let mut journal = MemoryJournal::default();
    let error = bed.infra().upgrade(&bed.target(), &to(of_two("good2"), "good1"), &mut journal).await.unwrap_err();
    let told = "With the version good2 the service side is unhealthy; it was rolled back: every service is back at \
        the version good1.";
    assert_eq!((error.code, error.message.as_str()), (Code::ProviderAcquisitionFailed, told));
    assert_eq!(versions(&bed), ["good1 running", "good1 running"]);
    bed.healthy().await;
    // What the undo of a job asks for, where the adapter itself never came to it: mixed versions.
    let hand = ["compose", "-p", &bed.project(), "kill", "side"];
    bed.docker.docker(&hand);
    bed.docker.docker(&["exec", &bed.container("web"), "rm", "/tmp/up"]);
    let status = bed.infra().upgrade(&bed.target(), &to(of_two("good1"), "good1"), &mut journal).await.unwrap();
    assert_eq!(status.status, MachinePower::Running);
    assert_eq!(versions(&bed), ["good1 running", "good1 running"]);
    bed.ended().await;
}

/// Nor is it said that all is well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_come_back_is_told_and_the_rest_comes_back() {
    let Some(bed) = Bed::shared().await else { return };
    let stack = |tag: &str| {
        let mut stack = of_two(tag);
        // It never gets healthy again once it has been.
        let once = "test ! -e /tmp/once || exit 7; touch /tmp/once; exec sleep 100000";
        stack.blueprint.file = stack.blueprint.file.replace(
            "environment: {AT: \"${HANGAR_TAG}\"}",
            &format!("command: [sh, -c, '{once}', \"${{HANGAR_TAG}}\"]"),
        );
        stack
    };
    bed.made_of(stack("good1")).await.unwrap();
    bed.healthy().await;
    let error = bed.upgraded_to(stack("good2"), "good1").await.unwrap_err();
    let told = "With the version good2 the service web ended (exit code 7); it was rolled back: every service is \
        back at the version good1, but the service web ended (exit code 7).";
    assert_eq!((error.code, error.message.as_str()), (Code::ProviderAcquisitionFailed, told));
    assert_eq!(versions(&bed), ["good1 exited", "good1 running"]);
    // A port that somebody took: what cannot be put back is named.
    bed.destroyed().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let stack = |tag: &str| {
        let mut stack = of_two(tag);
        let ports =
            format!("    image: hangar-test/app:plain\n    ports: [\"127.0.0.1:{port}:8080\"]\n    environment");
        stack.blueprint.file =
            stack.blueprint.file.replace("    image: hangar-test/app:plain\n    environment", &ports);
        stack.blueprint.allow_host_ports = true;
        stack
    };
    bed.made_of(stack("good1")).await.unwrap();
    bed.healthy().await;
    bed.docker.docker(&["stop", &bed.container("web")]);
    let taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let error = bed.upgraded_to(stack("good2"), "good1").await.unwrap_err();
    assert!(error.message.contains("the service web does not start; it was rolled back"), "{}", error.message);
    assert!(error.message.contains(", but the service web does not start"), "{}", error.message);
    assert!(versions(&bed)[1] == "good1 running", "{:?}", versions(&bed));
    drop(taken);
    bed.ended().await;
}

/// That it does not run does not mean that it is suspended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crashed_stack_is_started_by_the_version_that_mends_it() {
    let Some(bed) = Bed::shared().await else { return };
    let stack = |tag: &str| StackWish { tag: tag.to_owned(), ..lone("hangar-test/app:${HANGAR_TAG}", "") };
    bed.made_of(stack("crash")).await.unwrap();
    let until = Instant::now() + LONG;
    while bed.inspect("web", "{{.State.Status}}") != "exited" {
        assert!(Instant::now() < until, "it does not end");
    }
    let status = bed.upgraded_to(stack("good1"), "crash").await.unwrap();
    assert_eq!((status.status, status.image.as_deref()), (MachinePower::Running, Some("good1")));
    bed.healthy().await;
    bed.ended().await;
}

/// The images of stacks whose versions differ in what they keep without a name.
fn kept_images(bed: &Bed) {
    let made = bed.docker.docker(&["create", "hangar-test/app:good1"]);
    for (tag, volume) in [("good1", "/cache"), ("good2", "/other")] {
        let volume = format!("VOLUME {volume}");
        bed.docker.docker(&["commit", "--change", &volume, &made, &format!("hangar-test/kept:{tag}")]);
    }
    bed.docker.docker(&["rm", "--volumes", &made]);
    for of in ["plain", "crash", "never"] {
        bed.docker.docker(&["tag", &format!("hangar-test/app:{of}"), &format!("hangar-test/kept:{of}")]);
    }
}

fn kept(tag: &str) -> StackWish {
    StackWish { tag: tag.to_owned(), ..lone("hangar-test/kept:${HANGAR_TAG}", "") }
}

/// How many volumes without a name the engine has.
fn nameless(bed: &Bed) -> usize {
    let is_made_up = |name: &str| name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
    bed.docker.docker(&["volume", "ls", "--format", "{{.Name}}"]).lines().filter(|name| is_made_up(name)).count()
}

/// What people put into it may be all that they have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_version_keeps_without_a_name_comes_back_with_it() {
    let Some(bed) = Bed::own().await else { return };
    kept_images(&bed);
    let web = || bed.container("web");
    let file = || bed.docker.try_docker(&["exec", &web(), "cat", "/cache/file", "/file/s"]);
    // What the file itself says stays through every version.
    let kept = |tag: &str| {
        let mut stack = kept(tag);
        stack.blueprint.file.push_str("    volumes: [/file]\n");
        stack
    };
    let upgraded = async |tag: &str, from: &str, journal: &mut MemoryJournal| {
        bed.infra().upgrade(&bed.target(), &to(kept(tag), from), journal).await
    };
    bed.made_of(kept("good1")).await.unwrap();
    bed.docker.docker(&["exec", &web(), "sh", "-c", "echo mine > /cache/file; echo own > /file/s"]);
    let mine = Some("mine\nown".to_owned());
    // The version keeps nothing there, or elsewhere, and is no good.
    upgraded("crash", "good1", &mut MemoryJournal::default()).await.unwrap_err();
    assert_eq!((file(), nameless(&bed)), (mine.clone(), 2), "the adapter went back");
    // It is good, and whoever asked refuses it afterwards; the way back may be asked for twice.
    for tag in ["plain", "good2"] {
        let mut journal = MemoryJournal::default();
        upgraded(tag, "good1", &mut journal).await.unwrap();
        assert_eq!(file(), None);
        assert_eq!(bed.docker.docker(&["exec", &web(), "cat", "/file/s"]), "own");
        for time in 1..=2 {
            upgraded("good1", "good1", &mut journal).await.unwrap();
            assert_eq!((file(), nameless(&bed)), (mine.clone(), 2), "{tag}, {time}");
        }
    }
    let id = bed.inspect("web", "{{.Id}}");
    // The way back was given up, and later somebody tries once more.
    upgraded("good2", "good1", &mut MemoryJournal::default()).await.unwrap();
    upgraded("good1", "good1", &mut MemoryJournal::default()).await.unwrap();
    assert_eq!((file(), nameless(&bed)), (mine.clone(), 2), "another job");
    assert_ne!(bed.inspect("web", "{{.Id}}"), id);
    // A version that has it as well goes on with it.
    bed.docker.docker(&["tag", "hangar-test/kept:good1", "hangar-test/kept:good3"]);
    upgraded("good3", "good1", &mut MemoryJournal::default()).await.unwrap();
    assert_eq!((file(), nameless(&bed)), (mine.clone(), 2));
    upgraded("crash", "good3", &mut MemoryJournal::default()).await.unwrap_err();
    assert_eq!((file(), nameless(&bed)), (mine, 2));
    bed.ended().await;
}

/// They carry no label of ours, and once their container is gone nobody would know whose they were.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volumes_without_a_name_go_once_nobody_goes_back_to_them() {
    let Some(bed) = Bed::own().await else { return };
    kept_images(&bed);
    bed.made_of(kept("good1")).await.unwrap();
    assert_eq!(nameless(&bed), 1);
    bed.upgraded_to(kept("good2"), "good1").await.unwrap();
    assert_eq!(nameless(&bed), 2, "its own, and the one of the version before");
    bed.upgraded_to(kept("crash"), "good2").await.unwrap_err();
    assert_eq!(nameless(&bed), 1, "the version before the one before is gone for good");
    bed.upgraded_to(kept("plain"), "good2").await.unwrap();
    assert_eq!(nameless(&bed), 1, "the one of the version before");
    bed.upgraded_to(kept("good3"), "plain").await.unwrap_err();
    assert_eq!(nameless(&bed), 0);
    bed.upgraded_to(kept("good1"), "plain").await.unwrap();
    bed.docker.docker(&["exec", &bed.container("web"), "sh", "-c", "echo mine > /cache/file"]);
    bed.upgraded_to(kept("plain"), "good1").await.unwrap();
    assert_eq!(nameless(&bed), 1);
    // It was healthy, and somebody goes back all the same.
    bed.upgraded_to(kept("good1"), "plain").await.unwrap();
    assert_eq!(bed.docker.docker(&["exec", &bed.container("web"), "cat", "/cache/file"]), "mine");
    assert_eq!(nameless(&bed), 1);
    bed.ended().await;
}

/// Nothing but the engine knows of it then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volumes_without_a_name_that_an_upgrade_left_when_it_was_given_up_go_with_the_stack() {
    let Some(bed) = Bed::own().await else { return };
    kept_images(&bed);
    bed.made_of(kept("good1")).await.unwrap();
    let begun = async {
        let until = Instant::now() + LONG;
        let words = ["inspect", "--format", "{{index .Config.Labels \"hangar.tag\"}}", &bed.container("web")];
        while bed.docker.try_docker(&words).as_deref() != Some("never") {
            assert!(Instant::now() < until, "it never began");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        done = bed.upgraded_to(kept("never"), "good1") => panic!("it is cut off: {done:?}"),
        () = begun => {}
    }
    assert_eq!(nameless(&bed), 1);
    bed.ended().await;
}

/// Its volume is whole, so the stack can be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_service_that_is_missing_is_made_anew_with_what_it_had() {
    let Some(bed) = Bed::shared().await else { return };
    bed.made().await;
    bed.healthy().await;
    let db = bed.container("db");
    bed.docker.docker(&["exec", &db, "sh", "-c", "echo mine > /data/more"]);
    for (tag, from) in [("good1", "good1"), ("good2", "good1"), ("unhealthy", "good2")] {
        bed.docker.docker(&["rm", "--force", "--volumes", &db]);
        let outcome = bed.upgraded(tag, from).await;
        match tag {
            "unhealthy" => {
                assert!(outcome.unwrap_err().message.ends_with("every service is back at the version good2."))
            }
            _ => assert_eq!(outcome.unwrap().troubles, []),
        }
        bed.healthy().await;
        let told = bed.docker.docker(&["exec", &db, "sh", "-c", "cat /data/more /data/file; echo $PASSWORD"]);
        assert_eq!(told, format!("mine\n{SECRET}\n{SECRET}"), "{tag}");
    }
    // One that is there is left alone.
    let id = bed.inspect("db", "{{.Id}}");
    bed.upgraded("good2", "good2").await.unwrap();
    bed.upgraded("good1", "good2").await.unwrap();
    assert_eq!(bed.inspect("db", "{{.Id}}"), id);
    bed.ended().await;
}

/// A journal that does something when a step is reached.
struct Acting<'a> {
    journal: MemoryJournal,
    at: &'static str,
    act: Box<dyn FnMut() + Send + 'a>,
}

#[async_trait]
impl Journal for Acting<'_> {
    fn get(&self, key: &str) -> Option<Value> {
        self.journal.get(key)
    }

    async fn put(&mut self, key: &str, value: Value) -> Result<(), JournalLost> {
        self.journal.put(key, value).await
    }

    async fn step(&mut self, step: &'static str, label: &str) -> Result<(), JournalLost> {
        if step == self.at {
            (self.act)();
        }
        self.journal.step(step, label).await
    }

    async fn detail(&mut self, text: &str, progress: Option<u8>) -> Result<(), JournalLost> {
        self.journal.detail(text, progress).await
    }

    async fn found(&mut self, facts: MachineFacts) -> Result<(), JournalLost> {
        self.journal.found(facts).await
    }
}

/// Somebody tidies the engine up while a stack is between its versions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_back_without_the_image_that_was_says_so() {
    let Some(bed) = Bed::shared().await else { return };
    let made = bed.docker.docker(&["create", "hangar-test/app:good1"]);
    let image = bed.docker.docker(&["commit", &made, "hangar-test/moves:one"]);
    bed.docker.docker(&["rm", "--volumes", &made]);
    bed.docker.docker(&["tag", "hangar-test/app:unhealthy", "hangar-test/moves:bad"]);
    let stack = |tag: &str| StackWish { tag: tag.to_owned(), ..lone("hangar-test/moves:${HANGAR_TAG}", "") };
    bed.made_of(stack("one")).await.unwrap();
    bed.docker.docker(&["tag", "hangar-test/app:good2", "hangar-test/moves:one"]);
    let act = Box::new(|| drop(bed.docker.docker(&["rmi", &image])));
    let mut journal = Acting { journal: MemoryJournal::default(), at: "roll_back", act };
    let wish = to(stack("bad"), "one");
    let error = bed.infra().upgrade(&bed.target(), &wish, &mut journal).await.unwrap_err();
    drop(journal);
    assert_eq!(bed.docker.docker(&["exec", &bed.container("web"), "cat", "/www/index.html"]), "this is app:good2");
    let told = "With the version bad the service web is unhealthy; it was rolled back: every service is back at the \
        version one, but web with what one is now: the image that it had is not on the engine any more.";
    assert_eq!(error.message, told);
    bed.ended().await;
}

/// A version may be a name that moves, such as `latest`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_image_that_the_registry_has_now_is_run_and_the_way_back_is_the_one_that_was() {
    let Some(bed) = Bed::shared().await else { return };
    let images = Images::start().await;
    let name = format!("{}/hangar/app", images.address);
    let put = |of: &str, tag: &str, pushed: bool| {
        let whole = format!("{name}:{tag}");
        bed.docker.docker(&["tag", &format!("hangar-test/app:{of}"), &whole]);
        if pushed {
            bed.docker.docker(&["push", "--quiet", &whole]);
        }
    };
    let stack = |tag: &str| StackWish { tag: tag.to_owned(), ..lone(&format!("{name}:${{HANGAR_TAG}}"), "") };
    let runs = || bed.docker.docker(&["exec", &bed.container("web"), "cat", "/www/index.html"]);
    put("good1", "stable", true);
    put("good2", "latest", true);
    put("unhealthy", "worse", true);
    // The engine has what the name was before.
    put("good1", "latest", false);
    bed.made_of(stack("stable")).await.unwrap();
    assert_eq!(runs(), "this is app:good1");
    bed.upgraded_to(stack("latest"), "stable").await.unwrap();
    assert_eq!(runs(), "this is app:good2");

    // Somebody else's pull moves the name while this stack still runs what it was.
    put("plain", "latest", false);
    let mut journal = MemoryJournal::default();
    let error = bed.infra().upgrade(&bed.target(), &to(stack("worse"), "latest"), &mut journal).await.unwrap_err();
    assert!(error.message.ends_with("every service is back at the version latest."), "{}", error.message);
    assert_eq!(runs(), "this is app:good2");
    // The job's own undo does not leave it either.
    let undo = to(stack("latest"), "latest");
    let status = bed.infra().upgrade(&bed.target(), &undo, &mut journal).await.unwrap();
    assert_eq!((status.image.as_deref(), runs().as_str()), (Some("latest"), "this is app:good2"));

    // Without the registry the image that is there is as good as it gets.
    drop(images);
    bed.upgraded_to(stack("stable"), "latest").await.unwrap();
    assert_eq!(runs(), "this is app:good1");
    bed.ended().await;
}

/// The name of an image becomes part of what the engine is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_variable_that_makes_no_image_is_refused_by_its_name() {
    let Some(bed) = Bed::shared().await else { return };
    let stack = |image: &str| {
        let blueprint = json!({
            "file": "services:\n  web:\n    image: ${IMG}\n",
            "services": [{"name": "web", "role": "application"}],
            "variables": [{"name": "IMG"}],
        });
        let variables = [("IMG".to_owned(), image.to_owned())].into();
        StackWish { blueprint: serde_json::from_value(blueprint).unwrap(), variables, ..lone("x", "") }
    };
    let began = Instant::now();
    for image in [
        "hangar-test/app:good1/get?x=",
        "../events?",
        "a//b",
        "a/../b",
        "",
        "a b",
        "A/B",
        "a:b:c",
        "/a",
        "a/",
        "a#b",
        "a%2fb",
        "-a",
        "a@sha256:0",
        "a:",
        "host:port/a",
        "é",
        &"a".repeat(600),
    ] {
        let error = bed.made_of(stack(image)).await.unwrap_err();
        assert_eq!(error.code, Code::ProviderInvalidRequest, "{image:?}: {error:?}");
        assert!(error.message.contains("IMG"), "{image:?}: {}", error.message);
    }
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(bed.docker.things(&bed.prefix), Vec::<String>::new());
    bed.made_of(stack("hangar-test/app:good1")).await.unwrap();
    bed.ended().await;
}

/// Passes everything on to an engine but what Hangar itself asks of a single container: that is said
/// to be gone, as an engine does whose list holds a container that is dead.
async fn forgetful(socket: String) -> (u16, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let socket = socket.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                    let mut byte = [0];
                    if from.read(&mut byte).await.unwrap_or(0) == 0 {
                        return;
                    }
                    head.push(byte[0]);
                }
                let text = String::from_utf8_lossy(&head).to_lowercase();
                let one = text.contains("/containers/") && text.contains("/json") && !text.contains("/containers/json");
                // The commands say who they are.
                if one && text.starts_with("get ") && !text.contains("user-agent:") {
                    let body = r#"{"message":"no such one"}"#;
                    let told = format!(
                        "HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    from.write_all(told.as_bytes()).await.unwrap();
                    return;
                }
                let mut to = tokio::net::UnixStream::connect(&socket).await.unwrap();
                to.write_all(&head).await.unwrap();
                drop(tokio::io::copy_bidirectional(&mut from, &mut to).await);
            });
        }
    });
    (port, task)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_the_engine_lists_and_does_not_know_ends_the_wait_in_time() {
    let Some(bed) = Bed::shared().await else { return };
    let stack = |tag: &str| StackWish { tag: tag.to_owned(), ..lone("hangar-test/app:${HANGAR_TAG}", "") };
    bed.made_of(stack("good1")).await.unwrap();
    let (port, proxy) = forgetful(bed.docker.host().trim_start_matches("unix://").to_owned()).await;
    let short = Timeouts { action: Duration::from_secs(6), ..docker::timeouts() };
    let hasty = account(&format!("tcp://127.0.0.1:{port}"), &bed.prefix, bed.work.path(), short);
    let (target, wish, mut journal) = (bed.target(), to(stack("good2"), "good1"), MemoryJournal::default());
    let call = hasty.infra().unwrap().upgrade(&target, &wish, &mut journal);
    let error = tokio::time::timeout(2 * LONG, call).await.expect("it never ends").unwrap_err();
    assert_eq!(error.code, Code::ProviderAcquisitionFailed);
    assert!(error.message.contains("did not get healthy in time"), "{}", error.message);
    proxy.abort();
    bed.ended().await;
}
