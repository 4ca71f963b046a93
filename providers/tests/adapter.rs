//! What an adapter shows of itself, what it refuses, and that no secret is ever printed.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use common::{Double, access, account, refusal, timeouts, told};
use domain::{code::Code, provider::Capability};
use providers::{
    AccountSecret, HostKey, ManagedKey, MemoryJournal, Registry, UserData,
    ssh::{USER_DATA_MOST, user_data},
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

fn pointers(settings: Value, secret: Option<Value>) -> Vec<String> {
    let registry = Registry::standard();
    let errors = registry.get("hetzner").unwrap().validate(&settings, secret.as_ref()).err().unwrap_or_default();
    errors.into_iter().map(|error| error.pointer).collect()
}

#[test]
fn the_registry_knows_its_kinds() {
    let registry = Registry::standard();
    assert_eq!(registry.resolve("hetzner"), Some("hetzner"));
    assert_eq!(registry.resolve("nowhere"), None);
    assert!(registry.get("nowhere").is_none());
    for kind in registry.kinds() {
        assert_eq!(registry.get(&kind.kind).unwrap().display_name(), kind.display_name);
        assert_eq!(kind.settings_schema["additionalProperties"], false, "{}", kind.kind);
        assert_eq!(kind.secret_schema["additionalProperties"], false, "{}", kind.kind);
        for (schema, hidden) in [(&kind.settings_schema, Value::Null), (&kind.secret_schema, json!(true))] {
            for (name, field) in schema["properties"].as_object().unwrap() {
                assert!(field["title"].is_string() && field["description"].is_string(), "{name}");
                assert_eq!(field["writeOnly"], hidden, "{name}");
            }
        }
    }
}

#[test]
fn the_operations_are_those_that_the_capabilities_promise() {
    let registry = Registry::standard();
    let adapter = registry.get("hetzner").unwrap();
    let operations = adapter.operations();
    let names = [
        "check-health",
        "create-dns-record",
        "create-server",
        "delete-dns-record",
        "delete-server",
        "exec-command",
        "get-server-status",
        "rebuild-node",
        "resume-node",
        "suspend-node",
        "upgrade-node",
    ];
    assert_eq!(operations.keys().collect::<Vec<_>>(), names);
    assert!(operations.values().all(|it| it.input_schema["type"] == "object" && it.output_schema["type"] == "object"));
    use Capability as C;
    let all =
        [C::Provision, C::Destroy, C::Suspend, C::Resume, C::Upgrade, C::Rebuild, C::HealthCheck, C::Exec, C::Dns];
    assert_eq!(adapter.capabilities(), all);
}

/// Whoever has never seen such a token is told what it is, where to make one and how to end it.
#[test]
fn the_form_explains_the_token() {
    let schema = Registry::standard().get("hetzner").unwrap().secret_schema();
    let text = schema["properties"]["api_token"]["description"].as_str().unwrap();
    for part in ["bearer token", "Security", "API tokens", "Read & Write", "one project", "revoke", "delete it"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn labels_of_an_operator_are_checked_by_the_vendors_rule() {
    let refused = |key: &str, value: &str| {
        let labels = [(key.to_owned(), value.to_owned())].into();
        providers::label_errors(&labels).into_iter().next().map(|error| error.pointer)
    };
    let long = "x".repeat(63);
    for (key, value) in [
        ("team", "red"),
        ("team", ""),
        ("Team_1.a-b", "R.e_d-1"),
        ("example.com/team", "red"),
        (long.as_str(), long.as_str()),
    ] {
        assert_eq!(refused(key, value), None, "{key}={value}");
    }
    let longer = "x".repeat(64);
    for (key, value) in [
        ("", "red"),
        ("-team", "red"),
        ("team_", "red"),
        ("te am", "red"),
        ("team", "rot grün"),
        ("team", "-red"),
        ("team", "red."),
        (longer.as_str(), ""),
        ("team", longer.as_str()),
        ("managed-by", "somebody"),
        ("hangar-node", "x"),
        ("hangar-instance", "x"),
        ("hangar-job", "x"),
    ] {
        assert_eq!(refused(key, value), Some(format!("/labels/{key}")), "{key}={value}");
    }
    for key in ["hetzner.cloud/x", "a/b/c", "/x", "bad_domain.x/y"] {
        assert_eq!(refused(key, "red"), Some(format!("/labels/{}", key.replace('/', "~1"))));
    }
}

#[test]
fn settings_and_secrets_are_checked_field_by_field() {
    let good = json!({"api_token": "t".repeat(64)});
    assert!(pointers(json!({}), Some(good.clone())).is_empty());
    assert!(pointers(json!({"endpoint": "http://127.0.0.1:1", "ssh_port": 2222, "ssh_user": "ops"}), None).is_empty());
    for (settings, pointer) in [
        (json!({"endpoint": "ftp://x"}), "/settings/endpoint"),
        (json!({"endpoint": "api.hetzner.cloud"}), "/settings/endpoint"),
        (json!({"endpoint": "https://user:pw@x"}), "/settings/endpoint"),
        (json!({"endpoint": "https://x/v1?a=b"}), "/settings/endpoint"),
        (json!({"endpoint": "javascript:alert(1)"}), "/settings/endpoint"),
        (json!({"endpoint": ""}), "/settings/endpoint"),
        (json!({"endpoint": 7}), "/settings/endpoint"),
        (json!({"ssh_port": 0}), "/settings/ssh_port"),
        (json!({"ssh_port": 65536}), "/settings/ssh_port"),
        (json!({"ssh_port": "22"}), "/settings/ssh_port"),
        (json!({"ssh_user": "-oProxyCommand=x"}), "/settings/ssh_user"),
        (json!({"colour": "red"}), "/settings/colour"),
        (json!("text"), "/settings"),
    ] {
        assert_eq!(pointers(settings.clone(), None), [pointer], "{settings}");
    }
    for (secret, pointer) in [
        (json!({}), "/secret/api_token"),
        (json!({"api_token": ""}), "/secret/api_token"),
        (json!({"api_token": "two words"}), "/secret/api_token"),
        (json!({"api_token": "a\r\nX-Evil: 1"}), "/secret/api_token"),
        (json!({"api_token": ["t"]}), "/secret/api_token"),
        (json!({"api_token": "t", "password": "p"}), "/secret/password"),
    ] {
        assert_eq!(pointers(json!({}), Some(secret.clone())), [pointer], "{secret}");
    }
}

#[tokio::test]
async fn an_endpoint_may_come_with_or_without_its_path() {
    let double = Double::start(|_| told(200, json!({"servers": []}))).await;
    let root = format!("http://{}", double.address);
    for (tail, path) in [
        ("", "/v1/servers"),
        ("/", "/v1/servers"),
        ("/v1", "/v1/servers"),
        ("/v1/", "/v1/servers"),
        ("/api/x", "/api/x/servers"),
    ] {
        account(&format!("{root}{tail}")).check(None).await.unwrap();
        assert_eq!(double.asked().last().unwrap().path, path, "{tail:?}");
    }
}

#[tokio::test]
async fn no_secret_is_ever_printed() {
    let token = "planted-token-0123456789";
    let registry = Registry::standard();
    let adapter = registry.get("hetzner").unwrap();
    let mut printed = format!("{:?}", access("http://127.0.0.1:9/v1", token, timeouts()));
    for bad in [json!({"api_token": token, "other": 1}), json!({"api_token": format!("{token} x")})] {
        printed.push_str(&format!("{:?}", adapter.validate(&json!({}), Some(&bad)).unwrap_err()));
        printed.push_str(&format!("{:?}", AccountSecret::new(bad)));
    }
    // An error with all its sources: refused, not connected, not read.
    let refusing = Double::start(|_| refusal(401, "unauthorized")).await;
    let odd = Double::start(|_| common::raw(200, "text/plain", "?")).await;
    for endpoint in [refusing.endpoint(), odd.endpoint(), "http://127.0.0.1:9/v1".to_owned()] {
        let account = adapter.open(access(&endpoint, token, timeouts())).unwrap();
        let error = account.check(None).await.unwrap_err();
        printed.push_str(&format!("{error} {error:?}"));
        let error =
            account.infra().unwrap().provision(&common::wish(), &mut MemoryJournal::default()).await.unwrap_err();
        printed.push_str(&format!("{error} {error:?}"));
    }
    let mut wish = common::wish();
    wish.user_data = Some(token.to_owned());
    printed.push_str(&format!("{wish:?}"));
    assert!(!printed.contains(token), "{printed}");

    let (key, private) = ManagedKey::generate("k").unwrap();
    let host_key = HostKey::generate().unwrap();
    let printed = format!("{key:?} {private:?} {host_key:?}");
    assert!(!printed.contains("PRIVATE KEY"), "{printed}");
}

#[test]
fn an_account_without_a_usable_secret_does_not_open() {
    let registry = Registry::standard();
    for token in ["", "a\nb"] {
        let error =
            registry.get("hetzner").unwrap().open(access("http://127.0.0.1:9", token, timeouts())).err().unwrap();
        assert_eq!(error.code, Code::ProviderAcquisitionUnavailable);
    }
}

#[tokio::test]
async fn plain_http_to_elsewhere_is_said() {
    let double = Double::start(|_| told(200, json!({"servers": []}))).await;
    let report = account(&double.endpoint()).check(None).await.unwrap();
    assert!(!report.message.contains("plain http"), "on this machine it does not matter");
    // Any other name for this machine will do.
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let elsewhere = format!("http://{}:{}", name.trim(), double.address.port());
    if let Ok(report) = account(&elsewhere).check(None).await {
        assert!(report.message.contains("plain http"), "{}", report.message);
    }
}

#[test]
fn fingerprints_are_those_that_ssh_keygen_prints() {
    // ssh-keygen -l -E md5
    let line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl a comment";
    let key = ManagedKey { public_openssh: line.to_owned(), name: "k".to_owned() };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key.pub");
    std::fs::write(&file, line).unwrap();
    let output = std::process::Command::new("ssh-keygen").args(["-l", "-E", "md5", "-f"]).arg(&file).output();
    let Ok(output) = output else {
        assert!(std::env::var_os("HANGAR_ALLOW_MISSING").is_some(), "ssh-keygen is missing (openssh-client)");
        return;
    };
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains(&format!("MD5:{} ", key.fingerprint_md5().unwrap())), "{printed}");
    assert!(ManagedKey { public_openssh: "junk".to_owned(), name: "k".to_owned() }.fingerprint_md5().is_err());
}

#[test]
fn keys_can_be_read_again() {
    let (key, private) = ManagedKey::generate("hangar").unwrap();
    assert_eq!(ManagedKey::from_private_openssh(&private, "hangar").unwrap(), key);
    let host_key = HostKey::generate().unwrap();
    let again = HostKey::from_openssh(host_key.private_openssh().clone()).unwrap();
    assert_eq!(again.public_openssh(), host_key.public_openssh());
    assert!(host_key.public_openssh().starts_with("ssh-ed25519 "));
}

fn config_of(text: &str) -> Value {
    serde_json::from_str(text.strip_prefix("#cloud-config\n").unwrap()).unwrap()
}

#[test]
fn user_data_plants_the_host_key_and_lets_the_managed_key_in() {
    let host_key = HostKey::generate().unwrap();
    let data =
        |ssh_user, extra| UserData { host_key: &host_key, ssh_user, authorized_key: "ssh-ed25519 AAAA k", extra };
    let config = config_of(&user_data(&data("root", None)).unwrap());
    assert_eq!(config["ssh_keys"]["ed25519_private"], host_key.private_openssh().expose_secret());
    assert_eq!(config["ssh_keys"]["ed25519_public"], host_key.public_openssh());
    assert_eq!(config["ssh_deletekeys"], true);
    assert_eq!(config["disable_root"], false);
    let config = config_of(&user_data(&data("ops", Some("  \n"))).unwrap());
    assert_eq!(config["users"][1]["name"], "ops");
    assert_eq!(config["users"][1]["sudo"][0], "ALL=(ALL) NOPASSWD:ALL");
    assert_eq!(config["users"][1]["ssh_authorized_keys"], json!(["ssh-ed25519 AAAA k"]));

    let both = user_data(&data("root", Some("#cloud-config\npackages: [jq]\n"))).unwrap();
    assert!(both.starts_with("Content-Type: multipart/mixed; boundary="));
    let boundary = both.split('"').nth(1).unwrap().to_owned();
    let parts: Vec<_> = both.split(&format!("--{boundary}")).collect();
    assert_eq!(parts.len(), 4, "a head, two parts and the end");
    assert!(parts[1].contains("text/cloud-config") && parts[1].contains("packages: [jq]"));
    assert!(parts[2].contains("#cloud-config\n{") && parts[2].contains("no_replace"));
    assert_eq!(parts[3], "--\n");
    let script = user_data(&data("root", Some("#!/bin/sh\ntrue\n"))).unwrap();
    assert!(script.contains("text/x-shellscript"));
}

#[test]
fn user_data_of_the_operator_is_refused_when_it_cannot_be_used() {
    let host_key = HostKey::generate().unwrap();
    let refused = |extra: &str| {
        let data = UserData {
            host_key: &host_key,
            ssh_user: "root",
            authorized_key: "ssh-ed25519 AAAA k",
            extra: Some(extra),
        };
        user_data(&data).unwrap_err()
    };
    let comment = |size: usize| format!("#cloud-config\n# {}\n", "x".repeat(size));
    for extra in ["packages: [jq]", "#cloud-config\nssh_keys:\n  rsa_private: x\n", &comment(USER_DATA_MOST)] {
        assert_eq!(refused(extra).pointer, "/user_data");
    }
    // What it says would fit, fits.
    let message = refused(&comment(USER_DATA_MOST)).message;
    let room: usize = message.split(' ').find_map(|word| word.parse().ok()).unwrap();
    let fits = comment(room - comment(0).len());
    assert_eq!(fits.len(), room);
    let data =
        UserData { host_key: &host_key, ssh_user: "root", authorized_key: "ssh-ed25519 AAAA k", extra: Some(&fits) };
    assert!(user_data(&data).unwrap().len() <= USER_DATA_MOST);
}

/// What holds secrets cannot be written somewhere by accident.
#[test]
fn what_is_wished_for_is_not_written_as_a_whole() {
    use std::marker::PhantomData;

    /// Whether a type can be serialized: the constant of its own goes before the trait's.
    struct Of<T>(PhantomData<T>);
    trait Otherwise {
        const WRITTEN: bool = false;
    }
    impl<T> Otherwise for Of<T> {}
    impl<T: serde::Serialize> Of<T> {
        const WRITTEN: bool = true;
    }
    let written = [
        Of::<providers::StackWish>::WRITTEN,
        Of::<providers::UpgradeWish>::WRITTEN,
        Of::<providers::ProvisionWish>::WRITTEN,
        Of::<providers::Machine>::WRITTEN,
    ];
    assert_eq!(written, [false, false, false, true]);
}

/// The schemas of stacks' operations take what the server takes, and no more.
#[test]
fn the_operations_on_stacks_take_what_is_taken() {
    let registry = Registry::standard();
    let operations = registry.get("docker-compose").unwrap().operations();
    let input = |name: &str| operations[name].input_schema.clone();
    let refused = |name: &str, value: &Value| !jsonschema_is_met(&input(name), value);
    let create = |more: Value| {
        let mut compose = json!({"blueprint": "shop", "variables": {"A": "b"}});
        compose.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"provider_id": "p", "name": "n", "compose": compose})
    };
    for more in [json!({}), json!({"backup": true}), json!({"tag": "v1.2"}), json!({"tag": null})] {
        assert!(!refused("create-server", &create(more.clone())), "{more}");
        serde_json::from_value::<domain::blueprint::ComposeCreate>(create(more)["compose"].clone()).unwrap();
    }
    assert!(!refused("exec-command", &json!({"node_id": "n", "argv": ["id"]})));
    assert!(!refused("exec-command", &json!({"node_id": "n", "argv": ["id"], "service": "web"})));
    assert!(refused("exec-command", &json!({"node_id": "n", "argv": []})));
    for tag in ["v1", "latest", "_a", &"a".repeat(128), "", ".a", "-a", "a b", "a\n", "a/b", &"a".repeat(129)] {
        let fits = domain::blueprint::is_tag(tag);
        assert_eq!(refused("upgrade-node", &json!({"node_id": "n", "tag": tag})), !fits, "{tag}");
        assert_eq!(refused("create-server", &create(json!({"tag": tag}))), !fits, "{tag}");
    }
}

/// As much of JSON Schema as the operations use.
fn jsonschema_is_met(schema: &Value, value: &Value) -> bool {
    let kinds = |told: &Value| told.as_array().cloned().unwrap_or_else(|| vec![told.clone()]);
    let is = |kind: &Value| match kind.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        _ => value.is_object(),
    };
    if !kinds(&schema["type"]).iter().any(is) {
        return false;
    }
    match value {
        Value::Object(fields) => {
            let properties = schema["properties"].as_object();
            let is_there = |name: &Value| fields.contains_key(name.as_str().unwrap());
            schema["required"].as_array().into_iter().flatten().all(is_there)
                && fields.iter().all(|(name, value)| match properties.and_then(|it| it.get(name)) {
                    Some(below) => jsonschema_is_met(below, value),
                    None => {
                        let more = &schema["additionalProperties"];
                        more.is_object() && jsonschema_is_met(more, value)
                    }
                })
        }
        Value::Array(items) => {
            items.len() as u64 >= schema["minItems"].as_u64().unwrap_or(0)
                && items.iter().all(|item| jsonschema_is_met(&schema["items"], item))
        }
        Value::String(text) => match schema["pattern"].as_str() {
            // The one pattern there is.
            Some(pattern) => {
                assert_eq!(pattern, "^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$");
                let mut chars = text.chars();
                text.len() <= 128
                    && chars.next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
                    && chars.all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
            }
            None => true,
        },
        _ => true,
    }
}
