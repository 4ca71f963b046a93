//! Every setting there is. The rule: one line here gives a setting its variable, its flag, its key
//! in the file, its default and its help, so that the four can never differ.

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The environment variable.
    pub variable: &'static str,
    /// What it means, for `--help`.
    pub help: &'static str,
    /// What holds when it is given nowhere, in words.
    pub default: &'static str,
    /// Whether its value must never be shown.
    pub secret: bool,
}

impl Setting {
    /// The key in the file: the variable in lower case without `hangar_`.
    pub fn key(&self) -> String {
        let lower = self.variable.to_ascii_lowercase();
        lower.strip_prefix("hangar_").map(str::to_owned).unwrap_or(lower)
    }

    /// The long flag without its dashes: the key with hyphens.
    pub fn flag(&self) -> String {
        self.key().replace('_', "-")
    }
}

const fn plain(variable: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting { variable, help, default, secret: false }
}
const fn secret(variable: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting { variable, help, default, secret: true }
}

/// Every setting, in the order in which they are shown.
pub const SETTINGS: &[Setting] = &[
    plain("HANGAR_LISTEN", "127.0.0.1:3000", "Address to listen on"),
    plain(
        "HANGAR_PUBLIC_URL",
        "http:// and the listen address",
        "The address people use; for sign-in, cookies and links",
    ),
    plain("HANGAR_TRUSTED_PROXIES", "none", "Addresses whose X-Forwarded-For is believed, comma separated"),
    plain("HANGAR_SITE_DIR", "what is built in", "Folder with the browser part, while developing"),
    plain("HANGAR_DATA_DIR", "./data", "Folder for the SQLite file, the keyring and the managed SSH key"),
    plain("HANGAR_BACKUP_DIR", "backups in HANGAR_DATA_DIR", "Folder for the backups of nodes that were destroyed"),
    secret("HANGAR_DATABASE_URL", "hangar.db in the data folder", "sqlite:<path> or postgres://…"),
    secret("HANGAR_ADMIN_SECRET_HASH", "none", "argon2id PHC string of the admin secret (see hash-secret)"),
    secret("HANGAR_ADMIN_SECRET", "none", "The admin secret in clear, for development"),
    secret(
        "HANGAR_KEYRING",
        "a file in the data folder",
        "Keys that seal secrets: id:base64, comma separated; the first seals",
    ),
    plain("HANGAR_FORGE_URL", "none", "Address of the Forge (Forgejo or Gitea) where people sign in"),
    plain("HANGAR_FORGE_CLIENT_ID", "none", "Client id of the OAuth application at the Forge"),
    secret("HANGAR_FORGE_CLIENT_SECRET", "none", "Client secret of the OAuth application at the Forge"),
    plain("HANGAR_ADMIN_FORGE_USERS", "none", "Forge logins who are administrators, comma separated"),
    plain(
        "HANGAR_SIGNUP",
        "closed; open in the demo",
        "open: new people may ask for services at once; closed: after approval",
    ),
    plain("HANGAR_DEPLOYER_URL", "none", "Release hook: POST {url}/admin/release-vm"),
    plain("HANGAR_AUTO_RELEASE_INTERVAL", "60s", "How often expired allocations are swept"),
    plain("HANGAR_JOB_LEASE", "15s", "For how long a worker holds a job without a sign of life"),
    plain("HANGAR_JOB_BACK_OFF", "5s,30s,120s", "The waits between the attempts of a job, comma separated"),
    plain("HANGAR_LATE_CREATE_GRACE", "60s", "For how long a create whose answer was lost may still come true"),
    plain("HANGAR_NAME_DEADLINE", "120s", "For how long a node's name may take until its name servers answer with it"),
    plain("HANGAR_OBSERVE_INTERVAL", "60s", "How often an account's machines are compared with what is recorded"),
    plain("HANGAR_ORPHAN_GRACE", "30m", "For how long an orphan must have been seen before a sweep may take it away"),
    plain("HANGAR_LOG", "info", "What is logged, such as info or info,server=debug"),
    plain("HANGAR_LOG_FORMAT", "text", "text or json"),
    plain("INFRA_PROVIDER", "hetzner", "Kind of account preselected for new nodes"),
    plain("VM_POOL_JSON", "none", "Operator-listed pool machines, loaded while none was ever stored"),
    plain("PROVISIONER_DEMO", "unset", "1 registers the demo provisioner"),
];

/// The setting of a variable.
pub fn setting(variable: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|s| s.variable == variable)
}
