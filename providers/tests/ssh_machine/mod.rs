//! A simulated machine that was made with our user data, for the tests over a real SSH server.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use providers::{
    HostKey, ManagedKey, MemoryJournal, SshTarget, UserData,
    ssh::{RemoteTask, ssh_available, task_run, user_data},
};
use secrecy::ExposeSecret as _;
use simulators::{Hetzner, HetznerConfig, Hosts, Ssh};
use tempfile::TempDir;

use crate::common::{account, wish};

/// A machine made with our user data, and what is needed to log in to it.
pub struct Machine {
    pub sim: Hetzner,
    pub directory: TempDir,
    pub private_key: PathBuf,
    pub host_key: HostKey,
    pub host: String,
    pub infra_id: String,
}

impl Machine {
    /// `None` where no SSH server can run, which has to be allowed.
    pub async fn start(extra: Option<&str>) -> Option<Self> {
        let hosts = Hosts::Loopback { cockpit_port: 0, ssh: Ssh::Auto { port: 0 } };
        let sim = Hetzner::start(HetznerConfig { hosts, ..HetznerConfig::default() }).await.unwrap();
        if let Some(reason) = sim.ssh_unavailable_reason().or_else(|| ssh_available().err()) {
            assert!(std::env::var_os("HANGAR_ALLOW_MISSING").is_some(), "{reason}");
            eprintln!("left out: {reason}");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let (managed_key, private) = ManagedKey::generate("hangar").unwrap();
        let private_key = private_file(directory.path(), "managed", private.expose_secret());
        let host_key = HostKey::generate().unwrap();
        let mut wish = wish();
        let data =
            UserData { host_key: &host_key, ssh_user: "root", authorized_key: &managed_key.public_openssh, extra };
        wish.user_data = Some(user_data(&data).unwrap());
        wish.managed_key = managed_key;
        let account = account(&sim.endpoint());
        let made = account.infra().unwrap().provision(&wish, &mut MemoryJournal::default()).await.unwrap();
        let (host, infra_id) = (made.host, made.infra_id);
        Some(Self { sim, directory, private_key, host_key, host, infra_id })
    }

    pub fn target(&self) -> SshTarget {
        SshTarget {
            host: self.host.clone(),
            port: self.sim.ssh_port().unwrap(),
            user: self.sim.ssh_user().unwrap(),
            private_key_path: self.private_key.clone(),
            host_key_public: self.host_key.public_openssh().to_owned(),
            known_hosts_dir: self.directory.path().join("known hosts 100%"),
        }
    }

    /// Runs a script on the machine as root, beside everything that is tested; what it printed.
    pub async fn told(&self, script: &str) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = format!("told-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let (script, within) = (script.to_owned(), Duration::from_secs(20));
        let task = RemoteTask { id, script, within, merged: true };
        let end = task_run(&self.target(), &task, within, &mut |_| ()).await.unwrap();
        assert_eq!(end.exit_code, Some(0), "{end:?}");
        end.stdout.text
    }
}

pub fn private_file(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}
