//! The arrows between the crates are those of docs/architecture.md, and no others.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Which workspace crates each may depend on (tests' own dependencies apart).
const ARROWS: &[(&str, &[&str])] = &[
    ("app", &["domain"]),
    ("bench", &["domain", "simulators", "store"]),
    ("domain", &[]),
    ("frontend", &["app"]),
    ("providers", &["domain"]),
    ("server", &["app", "domain", "providers", "simulators", "store"]),
    ("simulators", &[]),
    ("store", &["domain"]),
    ("xtask", &[]),
];

/// Libraries that only the named crates may name.
const OWNED: &[(&str, &[&str])] = &[
    ("sqlx", &["store"]),
    ("openssh", &["providers"]),
    ("leptos", &["app", "frontend", "server"]),
    ("axum", &["server", "simulators"]),
];

#[test]
fn the_arrows_between_crates_hold() {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let ours: BTreeSet<&str> = packages.iter().map(|p| p["name"].as_str().unwrap()).collect();
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let may = allowed.get(name).unwrap_or_else(|| panic!("{name} has no line in ARROWS"));
        for dependency in package["dependencies"].as_array().unwrap() {
            let on = dependency["name"].as_str().unwrap();
            if dependency["kind"] == "dev" {
                continue;
            }
            assert!(!ours.contains(on) || may.contains(&on), "{name} may not depend on {on}");
            if let Some((_, owners)) = OWNED.iter().find(|(library, _)| *library == on) {
                assert!(owners.contains(&name), "{name} may not name {on}");
            }
        }
    }
}
