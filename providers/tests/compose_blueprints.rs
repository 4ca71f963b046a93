//! What a blueprint's file may hold, asked of the adapter as the server asks it: whatever reaches out
//! of a container is refused with its place, and no text makes it panic.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::{cell::Cell, time::Duration};

use domain::blueprint::{BlueprintDefinition, FILE_MOST};
use proptest::{prelude::*, sample::Index, test_runner::TestRunner};
use providers::{FieldError, Registry};
use serde_json::{Value, json};

fn checked(blueprint: &BlueprintDefinition) -> Result<(), Vec<FieldError>> {
    Registry::standard().get("docker-compose").unwrap().blueprint_check(blueprint)
}

fn with_file(file: &str) -> BlueprintDefinition {
    serde_json::from_value(json!({
        "file": file,
        "services": [{"name": "web", "role": "application"}],
        "variables": [{"name": "TITLE", "default": "x"}, {"name": "PASSWORD", "generate": true}],
    }))
    .unwrap()
}

/// A file whose one service has these lines more.
fn with_lines(lines: &str) -> BlueprintDefinition {
    let lines: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    with_file(&format!(
        "services:\n  web:\n    image: app:${{HANGAR_TAG}}\n{lines}volumes:\n  data:\nnetworks:\n  inner: {{internal: true}}\n"
    ))
}

/// The one refusal.
fn refusal(blueprint: &BlueprintDefinition) -> String {
    let errors = checked(blueprint).unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:?}");
    format!("{} {}", errors[0].pointer, errors[0].message)
}

#[test]
fn what_is_harmless_is_accepted_in_every_form() {
    for lines in [
        "",
        "command: [sh, -c, 'echo $$HOME ${TITLE}']\nentrypoint: [/bin/start, --title, '${TITLE}']",
        "command: sh -c 'echo $$HOME'\nentrypoint: /bin/start",
        "environment: {A: 1, B: true, C: \"${PASSWORD}\", D: '', E: 1.50, NODE: \"${HANGAR_NODE}\"}",
        "environment: [A=1, 'B=${TITLE}=x', C=]",
        "ports: [80, \"81\", \"82/udp\", \"127.0.0.1::83\", {target: 84, protocol: tcp, host_ip: \"::1\"}]",
        "expose: [80, \"81/tcp\"]",
        "volumes: [\"data:/data\", \"data:/more:ro\", /var/cache, {type: volume, source: data, target: /x, read_only: true}, {type: tmpfs, target: /t}]",
        "tmpfs: /tmp\nread_only: true\ninit: true\ntty: false\nstdin_open: false",
        "tmpfs: [/tmp, '/run:size=64m,mode=755']",
        "networks: [inner, default]",
        "networks: {inner: {aliases: [www]}, default: }",
        "healthcheck:\n  test: [CMD, wget, -q, 'http://127.0.0.1/']\n  interval: 1m30s\n  timeout: 500ms\n  retries: 3\n  start_period: 5s",
        "healthcheck: {test: [CMD, wget, 'http://${HANGAR_HOST}/']}",
        "healthcheck: {test: [CMD-SHELL, 'wget http://$$HOST/']}",
        "healthcheck: {test: wget http://$$HOST/}",
        "healthcheck: {disable: true}",
        "restart: always",
        "restart: on-failure:5",
        "restart: no",
        "labels: {team: red, empty: }",
        "labels: [team=red, a=a, other, Cost_Centre-2=x.y/z]",
        "user: 1000:1000\nworking_dir: /srv/app\nhostname: web-1\nstop_signal: SIGINT\nstop_grace_period: 20s\nshm_size: 64m\ncap_drop: [ALL]",
    ] {
        assert_eq!(checked(&with_lines(lines)), Ok(()), "{lines}");
    }
    assert_eq!(checked(&with_file("version: '3.8'\nservices: {web: {image: app}}")), Ok(()));
}

#[test]
fn what_reaches_out_of_a_container_is_refused_with_its_place() {
    for (line, place) in [
        ("privileged: true", "web.privileged"),
        ("privileged: false", "web.privileged"),
        ("cap_add: [SYS_ADMIN]", "web.cap_add"),
        ("devices: [/dev/kvm]", "web.devices"),
        ("device_cgroup_rules: ['c 1:3 mr']", "web.device_cgroup_rules"),
        ("network_mode: host", "web.network_mode"),
        ("pid: host", "web.pid"),
        ("ipc: host", "web.ipc"),
        ("uts: host", "web.uts"),
        ("userns_mode: host", "web.userns_mode"),
        ("cgroup: host", "web.cgroup"),
        ("cgroup_parent: /x", "web.cgroup_parent"),
        ("security_opt: [seccomp:unconfined]", "web.security_opt"),
        ("sysctls: {net.ipv4.ip_forward: 1}", "web.sysctls"),
        ("group_add: [docker]", "web.group_add"),
        ("runtime: other", "web.runtime"),
        ("gpus: all", "web.gpus"),
        ("build: .", "web.build"),
        ("extends: {file: /etc/x.yml, service: a}", "web.extends"),
        ("env_file: /etc/shadow", "web.env_file"),
        ("label_file: /etc/shadow", "web.label_file"),
        ("secrets: [a]", "web.secrets"),
        ("configs: [a]", "web.configs"),
        ("credential_spec: {file: x}", "web.credential_spec"),
        ("container_name: db", "web.container_name"),
        ("external_links: [other]", "web.external_links"),
        ("extra_hosts: ['a:host-gateway']", "web.extra_hosts"),
        ("deploy: {replicas: 1000}", "web.deploy"),
        ("scale: 3", "web.scale"),
        ("mem_limit: 1t", "web.mem_limit"),
        ("volumes_from: [other]", "web.volumes_from"),
        ("logging: {driver: syslog}", "web.logging"),
        ("profiles: [x]", "web.profiles"),
        ("develop: {watch: []}", "web.develop"),
        ("post_start: [{command: id, privileged: true}]", "web.post_start"),
        ("provider: {type: x}", "web.provider"),
        ("use_api_socket: true", "web.use_api_socket"),
        ("annotations: {a: b}", "web.annotations"),
        ("x-anything: 1", "web.x-anything"),
        ("volumes: [\"/etc:/etc\"]", "web.volumes"),
        ("volumes: [\"./x:/x\"]", "web.volumes"),
        ("volumes: [\"~/x:/x\"]", "web.volumes"),
        ("volumes: [\"../x:/x\"]", "web.volumes"),
        ("volumes: [../x]", "web.volumes"),
        ("volumes: [\"${TITLE}:/x\"]", "web.volumes"),
        ("volumes: [\"data:${TITLE}\"]", "web.volumes"),
        ("volumes: [\"data:/x:z\"]", "web.volumes"),
        ("volumes: [\"data:/x/../../y\"]", "web.volumes"),
        ("volumes: [\"other:/x\"]", "web.volumes"),
        ("volumes: [{type: bind, source: /, target: /host}]", "web.volumes"),
        ("volumes: [{type: npipe, source: a, target: /host}]", "web.volumes"),
        ("volumes: [{type: image, source: a, target: /host}]", "web.volumes"),
        ("volumes: [{type: volume, source: data, target: /x, volume: {nocopy: true}}]", "web.volumes.volume"),
        ("volumes: [{source: data, target: /x}]", "web.volumes"),
        ("ports: [\"80:80\"]", "web.ports"),
        ("ports: [\"127.0.0.1:80:80\"]", "web.ports"),
        ("ports: [\"8000-8010\"]", "web.ports"),
        ("ports: [\"${TITLE}\"]", "web.ports"),
        ("ports: [\"80/sctp\"]", "web.ports"),
        ("ports: [\"host.example::80\"]", "web.ports"),
        ("ports: [{target: 80, published: 80}]", "web.ports"),
        ("ports: [{target: 80, mode: host}]", "web.ports.mode"),
        ("ports: [0]", "web.ports"),
        ("ports: [65536]", "web.ports"),
        ("ports: 80", "web.ports"),
        ("labels: {hangar.node: nod_1}", "web.labels"),
        ("labels: {HANGAR.instance: x}", "web.labels"),
        ("labels: ['hangar.role=data']", "web.labels"),
        ("labels: {com.docker.compose.project: other}", "web.labels"),
        ("labels: {traefik.enable: true}", "web.labels"),
        ("labels: ['traefik.http.routers.x.rule=Host(`other`)']", "web.labels"),
        ("labels: {ofelia.job-exec.x.command: id}", "web.labels"),
        ("labels: {com.centurylinklabs.watchtower.lifecycle.pre-check: id}", "web.labels"),
        ("labels: {autoheal: true}", "web.labels"),
        ("labels: {SERVICE_NAME: other}", "web.labels"),
        ("labels: {\"a/b\": c}", "web.labels"),
        ("labels: {\"a b\": c}", "web.labels"),
        ("labels: {a: \"${PASSWORD}\"}", "web.labels"),
        ("labels: {\"a${PASSWORD}\": b}", "web.labels"),
        ("restart: sometimes", "web.restart"),
        ("environment: [PATH]", "web.environment"),
        ("environment: {HOME: }", "web.environment"),
        ("environment: {\"A B\": x}", "web.environment"),
        ("environment: {A: \"${NOSUCH}\"}", "web.environment.A"),
        ("environment: {A: \"$TITLE\"}", "web.environment.A"),
        ("environment: {A: \"${TITLE:-x}\"}", "web.environment.A"),
        ("environment: {A: \"${TITLE\"}", "web.environment.A"),
        ("environment: {A: [b]}", "web.environment.A"),
        ("command: [sh, \"${HANGAR_SECRET}\"]", "web.command"),
        ("command: ", "web.command"),
        ("command: start --title ${TITLE}", "web.command"),
        ("command: \"$${TITLE} ${TITLE}\"", "web.command"),
        ("entrypoint: start ${HANGAR_HOST}", "web.entrypoint"),
        ("command: [start, --password, \"${PASSWORD}\"]", "web.command"),
        ("entrypoint: [\"--password=${PASSWORD}\"]", "web.entrypoint"),
        ("healthcheck: {test: [CMD, login, \"${PASSWORD}\"]}", "web.healthcheck.test"),
        ("healthcheck: {test: [CMD-SHELL, \"login ${TITLE}\"]}", "web.healthcheck.test"),
        ("healthcheck: {test: \"login ${TITLE}\"}", "web.healthcheck.test"),
        ("expose: [\"80/udp/tcp\"]", "web.expose"),
        ("expose: [\"80/\"]", "web.expose"),
        ("tmpfs: [\"/x:exec,${TITLE}\"]", "web.tmpfs"),
        ("tmpfs: relative", "web.tmpfs"),
        ("networks: [other]", "web.networks"),
        ("networks: {inner: {ipv4_address: 10.0.0.1}}", "web.networks.ipv4_address"),
        ("depends_on: [other]", "web.depends_on"),
        ("depends_on: {web: {condition: service_completed_successfully}}", "web.depends_on"),
        ("depends_on: [web]", "web.depends_on"),
        ("healthcheck: {test: [wget, x]}", "web.healthcheck.test"),
        ("healthcheck: {test: []}", "web.healthcheck.test"),
        ("healthcheck: {test: [CMD, x], interval: soon}", "web.healthcheck.interval"),
        ("healthcheck: {test: [CMD, x], retries: 0}", "web.healthcheck.retries"),
        ("user: \"${TITLE}\"", "web.user"),
        ("working_dir: ../x", "web.working_dir"),
        ("hostname: \"a;b\"", "web.hostname"),
    ] {
        let told = refusal(&with_lines(line));
        assert!(told.starts_with("/file line ") && told.contains(&format!("services.{place} ")), "{line}: {told}");
    }
}

#[test]
fn services_that_wait_for_one_another_are_told() {
    let file = "services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: {c: {}}}\n  c: {image: x, depends_on: [b]}\n";
    let mut blueprint = with_file(file);
    let service = blueprint.services[0].clone();
    let named = |name: &str| domain::blueprint::BlueprintService { name: name.to_owned(), ..service.clone() };
    blueprint.services = ["a", "b", "c"].map(named).into();
    let errors = checked(&blueprint).unwrap_err();
    let told: Vec<_> = errors.iter().map(|it| it.message.as_str()).collect();
    assert_eq!(
        told,
        [
            "line 3: services.b.depends_on goes round in a circle",
            "line 4: services.c.depends_on goes round in a circle"
        ]
    );
}

#[test]
fn an_image_is_a_name_and_no_secret() {
    for image in ["\"a;b\"", "'../x'", "-x", "\"a b\"", "''", "[a]", "\"a:${PASSWORD}\"", "\"a\\nb\"", "\"${NOSUCH}\""]
    {
        let told = refusal(&with_file(&format!("services: {{web: {{image: {image}}}}}")));
        assert!(told.contains("services.web.image "), "{image}: {told}");
    }
    let told = refusal(&with_file("services: {web: {command: x}}"));
    assert_eq!(told, "/file line 1: services.web must have an image");
}

#[test]
fn what_stands_beside_the_services_is_judged_too() {
    for (more, place) in [
        ("name: other", "name"),
        ("include: [/etc/x.yml]", "include"),
        ("secrets: {a: {file: /etc/shadow}}", "secrets"),
        ("configs: {a: {file: /etc/shadow}}", "configs"),
        ("x-anchor: 1", "x-anchor"),
        ("models: {a: b}", "models"),
        ("volumes: {data: {external: true}}", "volumes.data.external"),
        ("volumes: {data: {name: other}}", "volumes.data.name"),
        ("volumes: {data: {driver: nfs}}", "volumes.data.driver"),
        ("volumes: {data: {driver_opts: {type: none, o: bind, device: /}}}", "volumes.data.driver_opts"),
        ("volumes: {data: {labels: {hangar.node: x}}}", "volumes.data.labels"),
        ("volumes: {data: {labels: {backup.enable: true}}}", "volumes.data.labels"),
        ("networks: {inner: {labels: {traefik.enable: true}}}", "networks.inner.labels"),
        ("volumes: {hangar-x: }", "volumes.hangar-x"),
        ("volumes: {\"a/b\": }", "volumes.a/b"),
        ("networks: {inner: {external: true}}", "networks.inner.external"),
        ("networks: {inner: {name: host}}", "networks.inner.name"),
        ("networks: {inner: {driver: host}}", "networks.inner.driver"),
        ("networks: {inner: {driver: macvlan}}", "networks.inner.driver"),
        ("networks: {inner: {ipam: {}}}", "networks.inner.ipam"),
    ] {
        let told = refusal(&with_file(&format!("services: {{web: {{image: a}}}}\n{more}\n")));
        assert!(told.starts_with("/file line 2: ") && told.contains(&format!(" {place} ")), "{more}: {told}");
    }
}

#[test]
fn ports_of_the_host_need_leave() {
    for line in ["ports: [\"8080:80\", \"127.0.0.1:8081:81\"]", "ports: [{target: 80, published: \"8080\"}]"] {
        let mut blueprint = with_lines(line);
        assert!(refusal(&blueprint).contains("must not claim a port of the host"), "{line}");
        blueprint.allow_host_ports = true;
        assert_eq!(checked(&blueprint), Ok(()), "{line}");
    }
    let mut blueprint = with_lines("ports: [\"8080-8090:80\"]");
    blueprint.allow_host_ports = true;
    assert!(checked(&blueprint).is_err());
}

#[test]
fn the_file_and_the_blueprint_say_the_same() {
    let change = |change: &dyn Fn(&mut Value)| {
        let mut value = serde_json::to_value(with_lines("ports: [80, \"53/udp\"]")).unwrap();
        change(&mut value);
        let blueprint = serde_json::from_value(value).unwrap();
        checked(&blueprint).err().unwrap_or_default().into_iter().map(|it| it.pointer).collect::<Vec<_>>()
    };
    assert_eq!(change(&|_| ()), Vec::<String>::new());
    assert_eq!(
        change(&|it| it["services"] = json!([{"name": "web", "role": "application"}, {"name": "db", "role": "data"}])),
        ["/services/1/name"]
    );
    assert_eq!(change(&|it| it["services"][0]["name"] = json!("other")), ["/services/0/name", "/file"]);
    assert_eq!(change(&|it| it["services"] = json!([])), ["/services", "/file"]);
    assert_eq!(change(&|it| it["cockpit"] = json!({"service": "web", "port": 80})), Vec::<String>::new());
    assert_eq!(change(&|it| it["cockpit"] = json!({"service": "web", "port": 81})), ["/cockpit/port"]);
    assert_eq!(change(&|it| it["cockpit"] = json!({"service": "web", "port": 53})), ["/cockpit/port"]);
    assert_eq!(change(&|it| it["variables"][0]["name"] = json!("PATH")), ["/variables/0/name"]);
    assert_eq!(change(&|it| it["file"] = json!("services: {}")), ["/services/0/name"]);
    assert_eq!(change(&|it| it["file"] = json!("volumes: {}")), ["/file"]);
}

#[test]
fn tricks_of_the_language_are_refused_before_anything_is_made_of_them() {
    let laughs = {
        let mut text = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for (one, next) in ('a'..'i').zip('b'..) {
            let many = vec![format!("*{one}"); 9].join(", ");
            text += &format!("{next}: &{next} [{many}]\n");
        }
        text
    };
    let deep = format!("services: {}{}", "[".repeat(20), "]".repeat(20));
    let deepest = format!("services: {}{}", "[".repeat(5000), "]".repeat(5000));
    let broad = format!("services: [{}]", "1,".repeat(30_000));
    let cases = [
        ("services: &a {web: {image: x}}", "must not have anchors"),
        ("services: {web: *a}", ""),
        (laughs.as_str(), "must not have anchors"),
        ("services: {web: {image: x, <<: {privileged: true}}}", "must not have merge keys"),
        ("services: {web: {image: x, \"<<\": {privileged: true}}}", "must not have merge keys"),
        ("services: {web: {image: !!str x}}", "must not have tags"),
        ("services: !override {web: {image: x}}", "must not have tags"),
        ("services: {web: {image: !reset null}}", "must not have tags"),
        ("services: {web: {image: x, image: y}}", "has a key twice"),
        ("services: {web: {image: x}}\nservices: {web: {image: x, privileged: true}}", "has a key twice"),
        ("services: {web: {image: x}}\n---\nservices: {web: {privileged: true}}", "must be one document"),
        ("services: {web: {? [a] : b}}", "has a key that cannot be one"),
        ("services: {web: {? {a: b} : b}}", "has a key that cannot be one"),
        ("services: {web: {'': b}}", "has a key that cannot be one"),
        ("services: {web: {\"a\\0b\": b}}", "has a key that cannot be one"),
        ("services: {web: {image: \"a\\u0007\"}}", "must not have control characters"),
        ("services: {web: {image: \"a\\L\"}}", "must not have control characters"),
        (deep.as_str(), "is nested too deep"),
        (deepest.as_str(), ""),
        (broad.as_str(), "has too many values"),
        ("services: [", "is not YAML that can be read"),
        ("\t- a\n -b: [}", ""),
        ("# nothing", "has nothing in it"),
    ];
    for (text, expected) in cases {
        let shown: String = text.chars().take(80).collect();
        let told = refusal(&with_file(text));
        assert!(told.starts_with("/file line ") && told.ends_with(expected), "{shown}: {told}");
    }
}

#[test]
fn what_is_too_long_is_refused_at_once() {
    let megabyte = format!("services: {{web: {{image: {}}}}}", "a".repeat(1 << 20));
    let errors = checked(&with_file(&megabyte)).unwrap_err();
    assert!(errors.iter().all(|it| it.pointer == "/file"), "{errors:?}");
    let just = format!("services: {{web: {{image: {}}}}}", "a".repeat(FILE_MOST - 30));
    assert!(refusal(&with_file(&just)).contains("services.web.image "));
    // Nor does a refusal repeat it.
    let key = format!("services: {{web: {{image: x, {}: 1}}}}", "k".repeat(250));
    assert!(refusal(&with_file(&key)).len() < 300);
    let many: String = (0..2000).map(|n| format!("x{n}: 1\n")).collect();
    assert!(checked(&with_file(&many)).unwrap_err().len() <= 60);
}

/// What is compared with one another is little, whatever stands in the file: nobody waits while a
/// stranger's file is judged.
#[test]
fn a_file_of_many_things_is_judged_in_no_time() {
    let chain: String = (0..3000).map(|n| format!("  s{n}: {{image: x, depends_on: [s{}]}}\n", n + 1)).collect();
    let keys: String = (0..17_000).map(|n| format!("{n:05}: ,")).collect();
    let volumes: String = (0..4000).map(|n| format!("  v{n}: \n")).collect();
    let mounts: String = (0..4000).map(|_| "\"v3999:/x\",").collect();
    for (file, expected) in [
        (format!("services:\n{chain}  s3000: {{image: x}}\n"), "services must have at most 100 entries"),
        (format!("services: {{web: {{image: x, labels: {{{keys}}}}}}}"), ""),
        (
            format!("services: {{web: {{image: x, volumes: [{mounts}]}}}}\nvolumes:\n{volumes}"),
            "volumes must have at most 100 entries",
        ),
        (
            format!("services: {{web: {{image: x}}}}\nnetworks:\n{}", volumes.replace(": \n", ": {}\n")),
            "networks must have at most 100 entries",
        ),
    ] {
        assert!(file.len() < FILE_MOST, "{}", file.len());
        let began = busy();
        let told = checked(&with_file(&file)).err().unwrap_or_default();
        let took = busy() - began;
        assert!(took < Duration::from_millis(700), "{took:?}: {told:?}");
        assert_eq!(told.is_empty(), expected.is_empty(), "{told:?}");
        assert!(told.iter().all(|it| it.message.ends_with(expected)), "{told:?}");
    }
}

/// For how long this thread has been at work, where the kernel counts it; the machine may have other
/// things to do.
fn busy() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default())
}

#[test]
fn settings_are_refused_by_field() {
    let registry = Registry::standard();
    let adapter = registry.get("docker-compose").unwrap();
    let pointers = |settings: Value, secret: Option<Value>| {
        let errors = adapter.validate(&settings, secret.as_ref()).err().unwrap_or_default();
        errors.into_iter().map(|it| it.pointer).collect::<Vec<_>>()
    };
    for host in [
        "unix:///var/run/docker.sock",
        "tcp://10.0.0.1:2375",
        "tcp://engine.example",
        "tcp://[2001:db8::1]:2375",
        "ssh://engine.example",
        "ssh://hangar@engine.example:2222",
    ] {
        assert_eq!(pointers(json!({"host": host}), Some(json!({}))), Vec::<String>::new(), "{host}");
    }
    for host in [
        "unix://relative",
        "unix:///a/../b",
        "unix:///a b",
        "unix:///a;b",
        "unix:///a\nb",
        "tcp://",
        "tcp://a:0",
        "tcp://a:65536",
        "tcp://a:b",
        "tcp://a/b",
        "tcp://user@a",
        "tcp://[::1",
        "ssh://-oProxyCommand=id",
        "ssh://-l@a",
        "ssh://a b@c",
        "ssh://a@b@c",
        "ssh://a:22/x",
        "ssh://$(id)",
        "http://a",
        "npipe:////./pipe/docker",
        "fd://",
        "a",
    ] {
        assert_eq!(pointers(json!({"host": host}), None), ["/settings/host"], "{host}");
    }
    for prefix in ["-a", "a-", "A", "a b", "a/b", "../a", "a;b", "_a"] {
        assert_eq!(pointers(json!({"project_prefix": prefix}), None), ["/settings/project_prefix"], "{prefix}");
    }
    for place in ["-a", "a b", "http://a", "a:80", "a/b", "<script>"] {
        assert_eq!(pointers(json!({"public_host": place}), None), ["/settings/public_host"], "{place}");
    }
    assert_eq!(pointers(json!({"public_host": "2001:db8::1", "project_prefix": "team_1"}), None), Vec::<String>::new());
    assert_eq!(pointers(json!({"other": 1}), Some(json!({"token": "x"}))), ["/settings/other", "/secret/token"]);
}

/// Words out of which a fuzzed file is made: what is known, what is dangerous, and what is neither.
const WORDS: &[&str] = &[
    "services",
    "volumes",
    "networks",
    "web",
    "image",
    "command",
    "environment",
    "ports",
    "healthcheck",
    "test",
    "labels",
    "restart",
    "tmpfs",
    "depends_on",
    "privileged",
    "cap_add",
    "devices",
    "pid",
    "network_mode",
    "host",
    "build",
    "extends",
    "env_file",
    "container_name",
    "security_opt",
    "driver_opts",
    "external",
    "name",
    "type",
    "bind",
    "source",
    "target",
    "/",
    "/etc",
    "/etc:/etc",
    "data:/data",
    "data",
    "./x:/x",
    "published",
    "80",
    "80:80",
    "8000-9000",
    "${TITLE}",
    "${PASSWORD}",
    "$X",
    "CMD-SHELL",
    "traefik.enable",
    "<<",
    "include",
    "a=b",
    "A",
    "true",
    "hangar.node",
    "condition",
    "service_healthy",
];

fn tree() -> impl Strategy<Value = Value> {
    let word = || proptest::sample::select(WORDS).prop_map(str::to_owned);
    let leaf = prop_oneof![
        word().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        (0..100_000_i64).prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((word(), inner), 0..5).prop_map(|all| Value::Object(all.into_iter().collect())),
        ]
    })
}

/// What an accepted service may be at most, told apart from the code under test.
fn is_confined(service: &Value) -> bool {
    let allowed = [
        "image",
        "command",
        "entrypoint",
        "environment",
        "ports",
        "expose",
        "volumes",
        "tmpfs",
        "networks",
        "depends_on",
        "healthcheck",
        "labels",
        "restart",
        "stop_signal",
        "stop_grace_period",
        "init",
        "read_only",
        "tty",
        "stdin_open",
        "user",
        "hostname",
        "working_dir",
        "shm_size",
        "cap_drop",
    ];
    let known = service.as_object().unwrap().keys().all(|key| allowed.contains(&key.as_str()));
    let mounts = service["volumes"].as_array().into_iter().flatten().all(|mount| match mount {
        Value::String(text) => {
            let path = text.strip_prefix("data:").unwrap_or(text);
            path.starts_with('/') && !path.contains([':', '$']) && !path.contains("..")
        }
        Value::Object(fields) => fields["type"] != "bind" && fields.get("source").is_none_or(|it| it == "data"),
        _ => false,
    });
    let labels = has_plain_names(&service["labels"]);
    let has = |value: &Value, text: &str| value.to_string().contains(text);
    let commands = ["command", "entrypoint"].iter().all(|key| {
        let words = &service[*key];
        !has(words, "PASSWORD") && (words.is_array() || !has(words, "${"))
    });
    let test = &service["healthcheck"]["test"];
    let by_shell = test.is_string() || test[0] == "CMD-SHELL";
    let tests = !has(test, if by_shell { "${" } else { "PASSWORD" });
    let secrets =
        service.as_object().unwrap().iter().all(|(key, value)| key == "environment" || !has(value, "PASSWORD"));
    let ports = service["ports"].as_array().into_iter().flatten().all(|port| match port {
        Value::String(text) => !text.contains([':', '-', '$']),
        Value::Number(_) => true,
        fields => fields.get("published").is_none(),
    });
    known && mounts && ports && labels && commands && tests && secrets
}

fn has_plain_names(labels: &Value) -> bool {
    let of_list = labels.as_array().into_iter().flatten().filter_map(|it| it.as_str()?.split('=').next());
    let of_map = labels.as_object().into_iter().flatten().map(|(key, _)| key.as_str());
    of_map.chain(of_list).all(|name| !name.contains(['.', '$', '/']))
}

/// Whether an accepted file is one that may be run at most.
fn is_harmless(file: &Value) -> bool {
    let top = ["services", "volumes", "networks", "version"];
    let only = |place: &str, keys: &[&str]| {
        let all = file[place].as_object().into_iter().flatten();
        let fits = |(key, value): (&String, &Value)| match key.as_str() {
            "driver" => keys.contains(&"driver") && value == "bridge",
            "labels" => has_plain_names(value),
            key => keys.contains(&key),
        };
        all.flat_map(|(_, one)| one.as_object().into_iter().flatten()).all(fits)
    };
    is_confined(&file["services"]["web"])
        && file.as_object().unwrap().keys().all(|key| top.contains(&key.as_str()))
        && only("volumes", &[])
        && only("networks", &["internal", "driver"])
}

/// A file that uses everything there is.
fn good() -> Value {
    json!({
        "services": {"web": {
            "image": "app:${HANGAR_TAG}",
            "command": ["sh", "-c", "x", "${TITLE}"],
            "entrypoint": ["/bin/start"],
            "environment": {"A": "${PASSWORD}", "B": 1},
            "ports": ["80", {"target": 81, "protocol": "tcp"}],
            "expose": ["80"],
            "volumes": ["data:/data", "/cache", {"type": "volume", "source": "data", "target": "/x", "read_only": true}],
            "tmpfs": ["/tmp:size=1m"],
            "networks": {"inner": {"aliases": ["www"]}},
            "healthcheck": {"test": ["CMD", "x"], "interval": "1s", "retries": 2},
            "labels": {"team": "red"},
            "restart": "always",
            "stop_signal": "SIGINT",
            "stop_grace_period": "1s",
            "init": true,
            "user": "1",
            "hostname": "a",
            "working_dir": "/srv",
            "cap_drop": ["ALL"],
        }},
        "volumes": {"data": {"labels": {"a": "b"}}},
        "networks": {"inner": {"internal": true, "driver": "bridge"}},
    })
}

/// Every place in a value, but for the service itself and what it stands in.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    if !matches!(at, "" | "/services" | "/services/web") {
        all.push(at.to_owned());
    }
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| places(value, &format!("{at}/{key}"), all)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| places(value, &format!("{at}/{index}"), all));
        }
        _ => {}
    }
}

/// Of files that are good but for one thing most are refused and many are not, so that what is
/// accepted is looked at.
#[test]
fn no_change_of_a_good_file_makes_it_reach_out() {
    assert_eq!(checked(&with_file(&good().to_string())), Ok(()));
    assert!(is_harmless(&good()));
    let mut all = Vec::new();
    places(&good(), "", &mut all);
    let (accepted, refused) = (Cell::new(0), Cell::new(0));
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() });
    let change = (any::<Index>(), proptest::sample::select(WORDS), 0..4_u8, tree());
    let done = runner.run(&change, |(place, word, how, tree)| {
        let mut file = good();
        let place = file.pointer_mut(place.get::<String>(&all)).unwrap();
        match (how, &mut *place) {
            (0, Value::Object(fields)) => drop(fields.insert(word.to_owned(), tree)),
            (0, Value::Array(items)) => items.push(tree),
            (1, Value::Object(fields)) => drop(fields.insert("x".to_owned(), json!(word))),
            (1, Value::Array(items)) => items.push(json!(word)),
            (0 | 1, place) => *place = tree,
            (2, Value::String(text)) => text.push_str(word),
            (_, place) => *place = json!(word),
        }
        if checked(&with_file(&file.to_string())).is_ok() {
            accepted.set(accepted.get() + 1);
            prop_assert!(is_harmless(&file), "{file}");
        } else {
            refused.set(refused.get() + 1);
        }
        Ok(())
    });
    done.unwrap();
    assert!(accepted.get() > 250 && refused.get() > 250, "{} accepted, {} refused", accepted.get(), refused.get());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        let _ = checked(&with_file(&text));
    }

    #[test]
    fn no_text_of_the_languages_own_signs_makes_it_panic(text in "[-\\[\\]{}:,?&*!|>'\"%@#a1 \t\n]{0,120}") {
        let _ = checked(&with_file(&text));
    }

    #[test]
    fn no_change_of_a_good_file_makes_it_panic(at in 0..200_usize, cut in 0..20_usize, put in "\\PC{0,6}") {
        let good = with_lines("ports: [80]\nvolumes: [\"data:/data\"]\nenvironment: {A: \"${TITLE}\"}").file;
        let chars: Vec<_> = good.chars().collect();
        let at = at.min(chars.len());
        let rest = &chars[(at + cut).min(chars.len())..];
        let text: String = chars[..at].iter().copied().chain(put.chars()).chain(rest.iter().copied()).collect();
        let _ = checked(&with_file(&text));
    }
}
