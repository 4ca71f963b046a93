//! A profile as work for a machine: one script out of what it requires and what an administrator
//! wrote, and the checks out of the very same list. Rule: pure functions; a name that is not
//! plainly a name is left out, and the check then misses it.

use std::time::Duration;

use domain::profile::ProfileDefinition;
pub use domain::profile::ProfileRequirement as Requirement;

use super::quote::shell_quoted;

/// How long the installation of packages waits for whoever holds the package system, cloud-init
/// and a distribution's own updates among them.
pub const PACKAGE_LOCK_MOST: Duration = Duration::from_secs(300);

/// How long waiting for locks and installing may take in all, before an administrator's script
/// has its own time.
const PACKAGES_MOST: Duration = Duration::from_secs(900);

/// What a machine must have to be ready.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checks {
    /// Commands that root must find.
    pub commands: Vec<String>,
}

impl Checks {
    /// Every required command, whether a package brings it or not.
    pub fn of(requires: &[Requirement]) -> Self {
        Self { commands: requires.iter().map(|it| it.command.clone()).collect() }
    }
}

impl From<&ProfileDefinition> for Checks {
    fn from(definition: &ProfileDefinition) -> Self {
        Self::of(&definition.requires)
    }
}

/// Whether a command or a package is named by letters, digits and `. _ + -`, and cannot be taken
/// for an option.
pub fn is_plain_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'+' | b'-');
    !name.is_empty() && !name.starts_with('-') && name.bytes().all(fits)
}

/// How long a profile may take on a machine: the seconds of its script, and where it may have to
/// install something, the time for that, which is longer than the wait for a package lock.
pub fn profile_within(requires: &[Requirement], seconds: u32) -> Duration {
    let own = Duration::from_secs(seconds.into());
    if requires.iter().any(|it| it.package.is_some()) { own + PACKAGES_MOST } else { own }
}

/// The whole script of a profile for a POSIX shell: waits for cloud-init and for the package
/// system's lock, installs the packages whose command is missing, and then does what the
/// administrator wrote. Running it again does no harm as long as the administrator's part does
/// none.
///
/// It ends with 69 where a package is missing and the machine has no package manager that Hangar
/// knows, and else with what failed.
pub fn profile_script(requires: &[Requirement], script: &str) -> String {
    let mut text = String::new();
    let wanted: Vec<(&str, &str)> = requires
        .iter()
        .filter_map(|it| Some((it.command.as_str(), it.package.as_deref()?)))
        .filter(|(command, package)| is_plain_name(command) && is_plain_name(package))
        .collect();
    if !wanted.is_empty() {
        let seconds = PACKAGE_LOCK_MOST.as_secs();
        text.push_str("# What the profile requires.\n(\nset --\n");
        for (command, package) in wanted {
            let [command, package] = [command, package].map(|word| shell_quoted(&[word.to_owned()]));
            text.push_str(&format!("command -v {command} >/dev/null 2>&1 || set -- \"$@\" {package}\n"));
        }
        text.push_str(&INSTALL.replace("{seconds}", &seconds.to_string()));
        text.push_str(") || exit $?\n");
    }
    text.push_str("# What the administrator wrote.\n");
    text.push_str(&script.replace("\r\n", "\n"));
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// The option is for dpkg's lock alone: apt's own locks are tried again by the text of its refusal.
const INSTALL: &str = r#"[ $# -gt 0 ] || exit 0
echo "Installing: $*"
if command -v cloud-init >/dev/null 2>&1; then
  timeout -k 5 {seconds} cloud-init status --wait >/dev/null 2>&1 || :
fi
if command -v apt-get >/dev/null 2>&1; then
  log=$(mktemp) || exit
  trap 'rm -f "$log" "$log.code"' EXIT
  apt() {
    waited=0
    while :; do
      { DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -q -o DPkg::Lock::Timeout={seconds} "$@" 2>&1
        echo $? >"$log.code"; } | tee "$log"
      code=$(cat "$log.code")
      [ "$code" != 0 ] || return 0
      grep -q -e 'Could not get lock' -e 'Unable to lock' -e 'Unable to acquire' "$log" || return "$code"
      [ "$waited" -lt {seconds} ] || return "$code"
      sleep 2
      waited=$((waited + 2))
    done
  }
  # One source that does not answer is no reason to give up.
  apt update || :
  apt install -y --no-install-recommends "$@"
elif command -v dnf >/dev/null 2>&1; then
  dnf -y install "$@"
elif command -v apk >/dev/null 2>&1; then
  apk add --wait {seconds} "$@"
else
  echo "The machine has neither apt-get nor dnf nor apk to install: $*" >&2
  exit 69
fi
"#;

#[cfg(test)]
mod tests {
    use std::process::{Command, Output};

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    fn requires(list: &[(&str, Option<&str>)]) -> Vec<Requirement> {
        let of = |(command, package): &(&str, Option<&str>)| Requirement {
            command: (*command).to_owned(),
            package: package.map(str::to_owned),
        };
        list.iter().map(of).collect()
    }

    /// Runs a script where only these commands are.
    fn ran(script: &str, commands: &[(&str, &str)]) -> (Output, TempDir) {
        let directory = tempfile::tempdir().unwrap();
        for (name, body) in commands {
            let path = directory.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        for name in ["mktemp", "rm", "tee", "grep", "sleep", "cat", "timeout"] {
            let found = ["/bin", "/usr/bin"].map(|it| std::path::Path::new(it).join(name));
            let found = found.iter().find(|it| it.exists()).unwrap();
            std::os::unix::fs::symlink(found, directory.path().join(name)).unwrap();
        }
        let output = Command::new("/bin/sh")
            .args(["-c", script])
            .env_clear()
            .env("PATH", directory.path())
            .env("DIRECTORY", directory.path())
            .output()
            .unwrap();
        (output, directory)
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    #[test]
    fn only_what_is_missing_is_installed_and_the_script_follows() {
        let script = profile_script(
            &requires(&[("there", Some("there")), ("docker", Some("docker.io")), ("own", None)]),
            "echo \"after $#\"\nexit 4",
        );
        let (output, _) = ran(&script, &[("there", ""), ("apt-get", "echo apt \"$@\"")]);
        assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
        let option = "-q -o DPkg::Lock::Timeout=300";
        let said = format!(
            "Installing: docker.io\napt {option} update\napt {option} install -y --no-install-recommends docker.io\n\
             after 0\n"
        );
        assert_eq!(text(&output.stdout), said);
    }

    #[test]
    fn a_held_lock_is_waited_for_and_another_failure_is_not() {
        let held = "echo x >>\"$DIRECTORY/tries\"; [ \"$(cat \"$DIRECTORY/tries\" | grep -c x)\" -gt 2 ] || \
                    { echo 'E: Could not get lock /var/lib/apt/lists/lock' >&2; exit 100; }";
        let script = profile_script(&requires(&[("jq", Some("jq"))]), "echo done");
        let (output, _) = ran(&script, &[("apt-get", held)]);
        assert!(output.status.success() && text(&output.stdout).ends_with("\ndone\n"), "{}", text(&output.stdout));

        let fails = "echo x >>\"$DIRECTORY/tries\"; echo 'E: Unable to locate package jq'; exit 100";
        let (output, directory) = ran(&script, &[("apt-get", fails)]);
        assert_eq!(output.status.code(), Some(100));
        assert_eq!(std::fs::read_to_string(directory.path().join("tries")).unwrap(), "x\nx\n");
        assert!(!text(&output.stdout).contains("done"));
    }

    #[test]
    fn every_package_manager_is_asked_in_its_way() {
        let script = profile_script(&requires(&[("jq", Some("jq"))]), "");
        for (name, said) in [("dnf", "-y install jq"), ("apk", "add --wait 300 jq")] {
            let (output, _) = ran(&script, &[(name, "echo \"$@\"")]);
            assert_eq!(text(&output.stdout), format!("Installing: jq\n{said}\n"));
        }
        let (output, _) = ran(&script, &[]);
        assert_eq!(output.status.code(), Some(69));
        assert!(text(&output.stderr).contains("neither apt-get nor dnf nor apk"));
    }

    #[test]
    fn nothing_required_is_nothing_done() {
        let (output, _) = ran(&profile_script(&requires(&[("own", None)]), "#!/bin/sh\r\necho a\r\n"), &[]);
        assert_eq!(text(&output.stdout), "a\n");
    }

    #[test]
    fn a_profile_has_longer_than_the_wait_for_a_lock() {
        assert!(profile_within(&requires(&[("jq", Some("jq"))]), 10) > PACKAGE_LOCK_MOST * 2);
        assert_eq!(profile_within(&requires(&[("jq", None)]), 10), Duration::from_secs(10));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_name_is_never_a_command(name in "[a-z;$`|&<>()' \n\"-]{1,12}") {
            let script = profile_script(&requires(&[(&name, Some(&name))]), "");
            prop_assert_eq!(script.contains(&format!("'{name}'")), is_plain_name(&name));
            prop_assert!(is_plain_name(&name) || !script.contains("Installing"));
        }
    }
}
