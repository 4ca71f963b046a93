//! What `check-config` prints: each setting as it would be used, and where it came from. The rule:
//! no secret is ever part of it.

use secrecy::ExposeSecret as _;

use crate::config::{AdminSecret, Config, LogFormat, Signup, source::Sources, table::SETTINGS};

impl Config {
    /// One line for each setting.
    pub fn show(&self, sources: &Sources) -> String {
        let mut text = String::new();
        for setting in SETTINGS {
            let origin = sources.get(setting.variable).map_or("default".to_owned(), |(_, origin)| origin.to_string());
            text.push_str(&format!("{} = {} ({origin})\n", setting.variable, self.shown(setting.variable)));
        }
        text
    }

    fn shown(&self, variable: &str) -> String {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
        let masked = |given: bool| if given { "(set, not shown)" } else { "none" }.to_owned();
        let client = self.forge.client.as_ref();
        match variable {
            "HANGAR_LISTEN" => self.http.listen.to_string(),
            "HANGAR_PUBLIC_URL" => self.http.public_base().to_owned(),
            "HANGAR_TRUSTED_PROXIES" => list(self.http.trusted_proxies.iter().map(ToString::to_string)),
            "HANGAR_SITE_DIR" => or_none(self.http.site_dir.as_ref().map(|p| p.display().to_string())),
            "HANGAR_DATA_DIR" => self.database.data_dir.display().to_string(),
            "HANGAR_BACKUP_DIR" => self.database.backup_dir.display().to_string(),
            "HANGAR_DATABASE_URL" => database_shown(self.database.url.expose_secret()),
            "HANGAR_ADMIN_SECRET_HASH" => masked(matches!(self.secrets.admin, Some(AdminSecret::Hash(_)))),
            "HANGAR_ADMIN_SECRET" => masked(matches!(self.secrets.admin, Some(AdminSecret::Plain(_)))),
            "HANGAR_KEYRING" => masked(self.secrets.keyring.is_some()),
            "HANGAR_FORGE_URL" => or_none(client.map(|c| c.url.to_string())),
            "HANGAR_FORGE_CLIENT_ID" => or_none(client.map(|c| c.client_id.clone())),
            "HANGAR_FORGE_CLIENT_SECRET" => masked(client.is_some()),
            "HANGAR_ADMIN_FORGE_USERS" => list(self.forge.admin_users.iter().cloned()),
            "HANGAR_SIGNUP" => match self.forge.signup {
                Signup::Open => "open".to_owned(),
                Signup::Closed => "closed".to_owned(),
            },
            "HANGAR_DEPLOYER_URL" => or_none(self.pool.deployer_url.as_ref().map(ToString::to_string)),
            "HANGAR_JOB_LEASE" => format!("{:?}", self.jobs.lease),
            "HANGAR_JOB_BACK_OFF" => {
                self.jobs.back_off.iter().map(|wait| format!("{wait:?}")).collect::<Vec<_>>().join(",")
            }
            "HANGAR_LATE_CREATE_GRACE" => format!("{:?}", self.jobs.late_create_grace),
            "HANGAR_NAME_DEADLINE" => format!("{:?}", self.jobs.name_deadline),
            "HANGAR_OBSERVE_INTERVAL" => format!("{:?}", self.jobs.observe_interval),
            "HANGAR_ORPHAN_GRACE" => format!("{:?}", self.jobs.orphan_grace),
            "HANGAR_AUTO_RELEASE_INTERVAL" => format!("{:?}", self.jobs.auto_release_interval),
            "HANGAR_LOG" => self.log.filter.clone(),
            "HANGAR_LOG_FORMAT" => match self.log.format {
                LogFormat::Text => "text".to_owned(),
                LogFormat::Json => "json".to_owned(),
            },
            "INFRA_PROVIDER" => self.providers.preselected.clone(),
            "VM_POOL_JSON" => match &self.pool.vm_pool_json {
                Some(text) => format!("{} characters", text.chars().count()),
                None => "none".to_owned(),
            },
            "PROVISIONER_DEMO" => if self.pool.provisioner_demo { "1" } else { "unset" }.to_owned(),
            other => format!("(no form to show {other})"),
        }
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    let text = items.collect::<Vec<_>>().join(",");
    if text.is_empty() { "none".to_owned() } else { text }
}

/// The address of the database without its password.
fn database_shown(text: &str) -> String {
    match url::Url::parse(text) {
        Ok(mut url) if url.has_host() => {
            if url.password().is_some() {
                let _ = url.set_password(Some("***"));
            }
            url.set_query(None);
            url.to_string()
        }
        _ => text.to_owned(),
    }
}
