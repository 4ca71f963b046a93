//! The configuration from every source, right and wrong.

use std::{collections::BTreeMap, io::Write as _};

use super::*;

struct Kinds;

impl KnownKinds for Kinds {
    fn resolve(&self, name: &str) -> Option<String> {
        (name == "hetzner").then(|| name.to_owned())
    }
    fn names(&self) -> Vec<String> {
        vec!["hetzner".to_owned()]
    }
}

fn from_env(pairs: &[(&str, &str)]) -> Result<Config, ConfigFaults> {
    load(&[], pairs, "", Mode::Serve).map(|(config, _)| config)
}

fn load(
    flags: &[(&'static str, &str)],
    env: &[(&str, &str)],
    file: &str,
    mode: Mode,
) -> Result<(Config, Sources), ConfigFaults> {
    let mut toml = tempfile::NamedTempFile::new().unwrap();
    toml.write_all(file.as_bytes()).unwrap();
    let flags: BTreeMap<_, _> = flags.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
    let env = |name: &str| env.iter().find(|(k, _)| *k == name).map(|(_, v)| (*v).to_owned());
    let sources = Sources::gather(&flags, env, Some(toml.path()));
    Config::load(&sources, mode, &Kinds).map(|config| (config, sources))
}

fn faults(pairs: &[(&str, &str)]) -> Vec<String> {
    from_env(pairs).unwrap_err().0.into_iter().map(|f| f.variable).collect()
}

#[test]
fn nothing_given_is_enough() {
    let config = from_env(&[]).unwrap();
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:3000");
    assert_eq!(config.http.public_base(), "http://127.0.0.1:3000");
    assert_eq!(config.database.url.expose_secret(), "sqlite:./data/hangar.db");
    assert!(config.secrets.admin.is_none() && config.forge.client.is_none());
    assert_eq!(config.forge.signup, Signup::Closed);
    assert_eq!(config.jobs.auto_release_interval, Duration::from_secs(60));
    assert_eq!(config.providers.preselected, "hetzner");
    let (demo, _) = load(&[], &[], "", Mode::Demo).unwrap();
    assert_eq!(demo.forge.signup, Signup::Open);
}

#[test]
fn flag_over_environment_over_file() {
    let file = "listen = '127.0.0.1:1'\nlog = 'warn'\nsignup = 'open'";
    let env = [("HANGAR_LISTEN", "127.0.0.1:2"), ("HANGAR_LOG", "debug")];
    let (config, sources) = load(&[("HANGAR_LISTEN", "127.0.0.1:3")], &env, file, Mode::Serve).unwrap();
    assert_eq!(config.http.listen.port(), 3);
    assert_eq!(config.log.filter, "debug");
    assert_eq!(config.forge.signup, Signup::Open);
    assert_eq!(sources.get("HANGAR_SIGNUP").unwrap().1, Origin::File);
}

#[test]
fn the_file_knows_tables_and_lists() {
    let file = r#"
        admin_forge_users = ["Ada", "bob"]
        provisioner_demo = true
        [forge]
        url = "https://forge.example.org"
        client_id = "hangar"
        client_secret = "s"
        [[vm_pool_json]]
        id = "vm-1"
    "#;
    let (config, _) = load(&[], &[], file, Mode::Serve).unwrap();
    assert_eq!(config.forge.admin_users, ["ada", "bob"]);
    assert_eq!(config.forge.client.unwrap().client_id, "hangar");
    assert!(config.pool.provisioner_demo);
    assert_eq!(config.pool.vm_pool_json.unwrap(), r#"[{"id":"vm-1"}]"#);
}

#[test]
fn every_fault_is_told_at_once() {
    let found = faults(&[
        ("HANGAR_LISTEN", "here"),
        ("HANGAR_PUBLIC_URL", "ftp://x"),
        ("HANGAR_DATABASE_URL", "mysql://x"),
        ("HANGAR_ADMIN_SECRET_HASH", "sha1:x"),
        ("HANGAR_KEYRING", "nonsense"),
        ("HANGAR_FORGE_URL", "https://f.example.org"),
        ("HANGAR_SIGNUP", "maybe"),
        ("HANGAR_DEPLOYER_URL", "deployer"),
        ("HANGAR_AUTO_RELEASE_INTERVAL", "60"),
        ("HANGAR_LOG", "server=loud"),
        ("HANGAR_LOG_FORMAT", "xml"),
        ("HANGAR_TRUSTED_PROXIES", "10.0.0.1, lb"),
        ("INFRA_PROVIDER", "aws"),
        ("PROVISIONER_DEMO", "perhaps"),
    ]);
    for variable in [
        "HANGAR_LISTEN",
        "HANGAR_PUBLIC_URL",
        "HANGAR_DATABASE_URL",
        "HANGAR_ADMIN_SECRET_HASH",
        "HANGAR_KEYRING",
        "HANGAR_FORGE_CLIENT_ID",
        "HANGAR_FORGE_CLIENT_SECRET",
        "HANGAR_SIGNUP",
        "HANGAR_DEPLOYER_URL",
        "HANGAR_AUTO_RELEASE_INTERVAL",
        "HANGAR_LOG",
        "HANGAR_LOG_FORMAT",
        "HANGAR_TRUSTED_PROXIES",
        "INFRA_PROVIDER",
        "PROVISIONER_DEMO",
    ] {
        assert!(found.iter().any(|f| f == variable), "{variable} is missing in {found:?}");
    }
    assert_eq!(found.len(), 15, "{found:?}");
}

#[test]
fn a_database_address_has_the_form_of_one() {
    for wrong in ["postgres://db:many/hangar", "postgres://[db/hangar", "sqlite:", "file.db"] {
        assert_eq!(faults(&[("HANGAR_DATABASE_URL", wrong)]), ["HANGAR_DATABASE_URL"], "{wrong}");
    }
    for right in ["postgres:///hangar?host=/run/postgresql", "postgres://u:p@db:5432/hangar", "sqlite:a b.db"] {
        assert!(from_env(&[("HANGAR_DATABASE_URL", right)]).is_ok(), "{right}");
    }
}

#[test]
fn what_is_no_text_is_a_fault_and_not_nothing() {
    use std::os::unix::ffi::OsStringExt as _;
    let env = |name: &str| (name == "HANGAR_ADMIN_SECRET").then(|| std::ffi::OsString::from_vec(vec![b'a', 0xff]));
    let sources = Sources::gather(&BTreeMap::new(), env, None);
    let found = Config::load(&sources, Mode::Serve, &Kinds).unwrap_err();
    assert_eq!(found.0.iter().map(|f| f.variable.as_str()).collect::<Vec<_>>(), ["HANGAR_ADMIN_SECRET"]);
    assert!(found.to_string().contains("not UTF-8"), "{found}");
}

#[test]
fn the_forge_needs_one_address_to_send_people_back_to() {
    let forge = [
        ("HANGAR_LISTEN", "0.0.0.0:3000"),
        ("HANGAR_FORGE_URL", "https://f.example.org"),
        ("HANGAR_FORGE_CLIENT_ID", "hangar"),
        ("HANGAR_FORGE_CLIENT_SECRET", "s"),
    ];
    assert_eq!(faults(&forge), ["HANGAR_PUBLIC_URL"]);
    let named = [forge.as_slice(), &[("HANGAR_PUBLIC_URL", "https://hangar.example.org")]].concat();
    assert!(from_env(&named).is_ok());
    let without = from_env(&forge[..1]).unwrap();
    assert_eq!(without.http.public_base(), "http://127.0.0.1:3000", "an address that a browser can open");
}

#[test]
fn an_unknown_kind_is_answered_with_the_known_ones() {
    let text = from_env(&[("INFRA_PROVIDER", "aws")]).unwrap_err().to_string();
    assert_eq!(text, r#"INFRA_PROVIDER: got "aws" (environment); wanted one of the known kinds: hetzner"#);
}

#[test]
fn unknown_keys_of_the_file_are_faults() {
    let text = load(&[], &[], "listne = 'x'\n[forge]\nurl2 = 'y'", Mode::Serve).unwrap_err().to_string();
    assert!(text.contains("the unknown key listne") && text.contains("did you mean listen?"), "{text}");
    assert!(text.contains("the unknown key forge_url2"), "{text}");
    let broken = load(&[], &[], "listen = 'x'\nadmin_secret = hunter2", Mode::Serve).unwrap_err().to_string();
    assert!(broken.contains("line 2") && !broken.contains("hunter2"), "{broken}");
}

#[test]
fn no_secret_is_shown() {
    let hash = "$argon2id$v=19$m=16,t=1,p=1$c29tZXNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI";
    let env = [
        ("HANGAR_ADMIN_SECRET_HASH", hash),
        ("HANGAR_DATABASE_URL", "postgres://hangar:pl4nted@db/hangar?password=pl4nted"),
        ("HANGAR_FORGE_URL", "https://f.example.org"),
        ("HANGAR_FORGE_CLIENT_ID", "hangar"),
        ("HANGAR_FORGE_CLIENT_SECRET", "pl4nted"),
    ];
    let (config, sources) = load(&[], &env, "", Mode::Serve).unwrap();
    let shown = config.show(&sources);
    assert!(!shown.contains("pl4nted") && !shown.contains("argon2id"), "{shown}");
    assert!(shown.contains("postgres://hangar:***@db/hangar"), "{shown}");
    assert!(!format!("{config:?}").contains("pl4nted"));
    for setting in SETTINGS {
        assert!(shown.contains(&format!("{} = ", setting.variable)));
        assert!(!shown.contains("no form to show"), "{}", setting.variable);
    }
    let refused = from_env(&[("HANGAR_ADMIN_SECRET_HASH", "pl4nted")]).unwrap_err().to_string();
    assert!(!refused.contains("pl4nted"), "{refused}");
}

#[test]
fn durations() {
    assert_eq!(duration("60s"), Some(Duration::from_secs(60)));
    assert_eq!(duration("5m"), Some(Duration::from_secs(300)));
    assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
    for wrong in ["", "0s", "5", "s", "-1s", "5 m", "5d", "99999999999999999999h", "18446744073709551615h"] {
        assert_eq!(duration(wrong), None, "{wrong}");
    }
}

#[test]
fn the_public_address_follows_the_bound_port() {
    let mut http = from_env(&[("HANGAR_LISTEN", "127.0.0.1:0")]).unwrap().http;
    http.bound("127.0.0.1:4242".parse().unwrap());
    assert_eq!(http.public_base(), "http://127.0.0.1:4242");
    let mut named = from_env(&[("HANGAR_PUBLIC_URL", "https://hangar.example.org/")]).unwrap().http;
    named.bound("127.0.0.1:4242".parse().unwrap());
    assert_eq!(named.public_base(), "https://hangar.example.org");
    assert!(named.is_https());
}
