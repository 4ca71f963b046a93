//! The configuration: one struct per topic. The rule: it is read once, whole, and a start with a
//! fault in it does not happen (exit 78, a line for each fault).

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

mod flags;
mod read;
mod show;
mod source;
mod table;

#[cfg(test)]
mod tests;

pub use flags::Flags;
pub use read::{ConfigFault, ConfigFaults};
pub use source::{Origin, Sources};
pub use table::{SETTINGS, Setting};

use read::{Reader, duration};

/// Whether the demo runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The ordinary server.
    Serve,
    /// With simulated vendors and Forge on loopback.
    Demo,
}

/// Everything Hangar is told at start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Whether the demo runs.
    pub mode: Mode,
    /// Where it listens and under which name.
    pub http: HttpConfig,
    /// Where it keeps its data.
    pub database: DatabaseConfig,
    /// The admin secret and the keyring.
    pub secrets: SecretsConfig,
    /// How people sign in.
    pub forge: ForgeConfig,
    /// The pool.
    pub pool: PoolConfig,
    /// Work that the clock starts.
    pub jobs: JobsConfig,
    /// What is logged.
    pub log: LogConfig,
    /// The accounts.
    pub providers: ProvidersConfig,
}

/// Where Hangar listens and under which name it is reached.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// `HANGAR_LISTEN`.
    pub listen: SocketAddr,
    /// `HANGAR_PUBLIC_URL`.
    pub public_url: Url,
    /// Whether `HANGAR_PUBLIC_URL` was left out, so that it follows the bound address.
    pub public_url_follows: bool,
    /// `HANGAR_TRUSTED_PROXIES`.
    pub trusted_proxies: Vec<IpAddr>,
    /// `HANGAR_SITE_DIR`.
    pub site_dir: Option<PathBuf>,
}

impl HttpConfig {
    /// Takes over the address that was really bound, which matters when the port was 0.
    pub fn bound(&mut self, address: SocketAddr) {
        self.listen = address;
        if self.public_url_follows {
            self.public_url = url_of(address);
        }
    }

    /// Whether people reach Hangar over TLS.
    pub fn is_https(&self) -> bool {
        self.public_url.scheme() == "https"
    }

    /// The public address without a slash at its end.
    pub fn public_base(&self) -> &str {
        self.public_url.as_str().trim_end_matches('/')
    }
}

/// Where the data is kept.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// `HANGAR_DATA_DIR`.
    pub data_dir: PathBuf,
    /// `HANGAR_BACKUP_DIR`: where backups of nodes are kept.
    pub backup_dir: PathBuf,
    /// `HANGAR_DATABASE_URL`; it may hold a password.
    pub url: SecretString,
}

/// The admin secret, as it was given.
#[derive(Debug, Clone)]
pub enum AdminSecret {
    /// `HANGAR_ADMIN_SECRET_HASH`: an argon2id PHC string.
    Hash(SecretString),
    /// `HANGAR_ADMIN_SECRET`: in clear, for development; hashed at start.
    Plain(SecretString),
}

/// The admin secret and the keys that seal.
#[derive(Debug, Clone)]
pub struct SecretsConfig {
    /// The admin secret; without one the secret sign-in is off (the demo makes one).
    pub admin: Option<AdminSecret>,
    /// `HANGAR_KEYRING`; the file in the data folder when absent.
    pub keyring: Option<SecretString>,
}

/// Whether new people wait for approval (`HANGAR_SIGNUP`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signup {
    /// Whoever signs in may ask for services at once.
    Open,
    /// An administrator approves first.
    Closed,
}

/// The OAuth application at the Forge.
#[derive(Debug, Clone)]
pub struct ForgeClient {
    /// `HANGAR_FORGE_URL`.
    pub url: Url,
    /// `HANGAR_FORGE_CLIENT_ID`.
    pub client_id: String,
    /// `HANGAR_FORGE_CLIENT_SECRET`.
    pub client_secret: SecretString,
}

/// How people sign in.
#[derive(Debug, Clone)]
pub struct ForgeConfig {
    /// The application; Forge sign-in is off without it.
    pub client: Option<ForgeClient>,
    /// `HANGAR_ADMIN_FORGE_USERS`, in lower case.
    pub admin_users: Vec<String>,
    /// `HANGAR_SIGNUP`.
    pub signup: Signup,
}

/// The pool.
#[derive(Debug, Clone)]
pub struct PoolConfig {
    /// `VM_POOL_JSON`, as it came; its content is judged where the pool is loaded.
    pub vm_pool_json: Option<String>,
    /// `PROVISIONER_DEMO`.
    pub provisioner_demo: bool,
    /// `HANGAR_DEPLOYER_URL`.
    pub deployer_url: Option<Url>,
}

/// Work that the clock starts.
#[derive(Debug, Clone)]
pub struct JobsConfig {
    /// `HANGAR_AUTO_RELEASE_INTERVAL`.
    pub auto_release_interval: Duration,
    /// `HANGAR_JOB_LEASE`.
    pub lease: Duration,
    /// `HANGAR_JOB_BACK_OFF`; never empty.
    pub back_off: Vec<Duration>,
    /// `HANGAR_LATE_CREATE_GRACE`.
    pub late_create_grace: Duration,
    /// `HANGAR_NAME_DEADLINE`.
    pub name_deadline: Duration,
    /// `HANGAR_OBSERVE_INTERVAL`.
    pub observe_interval: Duration,
    /// `HANGAR_ORPHAN_GRACE`.
    pub orphan_grace: Duration,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// What is logged.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// `HANGAR_LOG`.
    pub filter: String,
    /// `HANGAR_LOG_FORMAT`.
    pub format: LogFormat,
}

/// The accounts.
#[derive(Debug, Clone)]
pub struct ProvidersConfig {
    /// `INFRA_PROVIDER`: the kind preselected for new nodes.
    pub preselected: String,
}

/// The kinds of account that the registry knows, for `INFRA_PROVIDER`.
pub trait KnownKinds {
    /// The kind that `name` means, aliases included.
    fn resolve(&self, name: &str) -> Option<String>;
    /// Every kind.
    fn names(&self) -> Vec<String>;
}

impl Config {
    /// Reads the whole configuration.
    ///
    /// # Errors
    /// Every fault there is, not just the first.
    pub fn load(sources: &Sources, mode: Mode, kinds: &dyn KnownKinds) -> Result<Self, ConfigFaults> {
        let mut r = Reader::new(sources);
        let http = http(&mut r);
        let forge = forge(&mut r, mode);
        if forge.client.is_some() && http.public_url_follows && http.listen.ip().is_unspecified() {
            r.fault(
                "HANGAR_PUBLIC_URL",
                "the address that people use, because HANGAR_LISTEN is every address and the Forge has to send them back to one",
            );
        }
        let config = Self {
            mode,
            database: database(&mut r),
            secrets: secrets(&mut r),
            forge,
            pool: pool(&mut r),
            jobs: jobs(&mut r),
            log: log(&mut r),
            providers: providers(&mut r, kinds),
            http,
        };
        if r.faults.is_empty() { Ok(config) } else { Err(ConfigFaults(r.faults)) }
    }
}

const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 3000);

/// `http://` and the address; this machine's own where it is every address. An address is always a
/// valid host, so that the fallback is never met.
fn url_of(address: SocketAddr) -> Url {
    let mut url = Url::parse("http://localhost").unwrap_or_else(|_| unreachable!("a constant address"));
    let _ = url.set_ip_host(match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        ip => ip,
    });
    let _ = url.set_port(Some(address.port()));
    url
}

fn http(r: &mut Reader<'_>) -> HttpConfig {
    let listen =
        r.parse("HANGAR_LISTEN", "an address and port such as 127.0.0.1:3000", |t| t.parse().ok()).unwrap_or(LISTEN);
    let public_url = r.url("HANGAR_PUBLIC_URL");
    let mut trusted_proxies = Vec::new();
    for part in r.list("HANGAR_TRUSTED_PROXIES") {
        match part.parse() {
            Ok(address) => trusted_proxies.push(address),
            Err(_) => r.fault("HANGAR_TRUSTED_PROXIES", "IP addresses, comma separated"),
        }
    }
    HttpConfig {
        listen,
        public_url_follows: !r.given("HANGAR_PUBLIC_URL"),
        public_url: public_url.unwrap_or_else(|| url_of(listen)),
        trusted_proxies,
        site_dir: r.text("HANGAR_SITE_DIR").map(PathBuf::from),
    }
}

fn database(r: &mut Reader<'_>) -> DatabaseConfig {
    let data_dir = PathBuf::from(r.text("HANGAR_DATA_DIR").unwrap_or_else(|| "./data".to_owned()));
    let url = r.parse("HANGAR_DATABASE_URL", "sqlite:<path> or postgres://user@host/database", |text| {
        let known =
            ["sqlite:", "postgres://", "postgresql://"].iter().any(|p| text.starts_with(p) && text.len() > p.len());
        // A file's path may hold anything; an address has to be one.
        let fits = known && (text.starts_with("sqlite:") || Url::parse(text).is_ok());
        fits.then(|| text.to_owned())
    });
    let url = url.unwrap_or_else(|| format!("sqlite:{}", data_dir.join("hangar.db").display()));
    let backup_dir = r.text("HANGAR_BACKUP_DIR").map_or_else(|| data_dir.join("backups"), PathBuf::from);
    DatabaseConfig { data_dir, backup_dir, url: url.into() }
}

fn secrets(r: &mut Reader<'_>) -> SecretsConfig {
    let hash = r.parse("HANGAR_ADMIN_SECRET_HASH", "an argon2id PHC string, as hash-secret prints it", |text| {
        let parsed = argon2::PasswordHash::new(text).ok()?;
        (parsed.algorithm.as_str() == "argon2id" && parsed.hash.is_some()).then(|| SecretString::from(text.to_owned()))
    });
    let plain = r.secret("HANGAR_ADMIN_SECRET");
    if plain.is_some() && r.given("HANGAR_ADMIN_SECRET_HASH") {
        r.fault("HANGAR_ADMIN_SECRET", "nothing, because HANGAR_ADMIN_SECRET_HASH is given too");
    }
    let keyring = r.secret("HANGAR_KEYRING");
    if let Some(text) = &keyring
        && let Err(error) = crate::seal::Keyring::parse(text.expose_secret())
    {
        r.fault("HANGAR_KEYRING", error.to_string());
    }
    SecretsConfig { admin: hash.map(AdminSecret::Hash).or(plain.map(AdminSecret::Plain)), keyring }
}

fn forge(r: &mut Reader<'_>, mode: Mode) -> ForgeConfig {
    const NAMES: [&str; 3] = ["HANGAR_FORGE_URL", "HANGAR_FORGE_CLIENT_ID", "HANGAR_FORGE_CLIENT_SECRET"];
    let url = r.url(NAMES[0]);
    let client_id = r.text(NAMES[1]);
    let client_secret = r.secret(NAMES[2]);
    if NAMES.iter().any(|name| r.given(name)) {
        for name in NAMES.iter().filter(|name| !r.given(name)).collect::<Vec<_>>() {
            r.fault(name, "a value, because the Forge sign-in needs address, client id and client secret");
        }
    }
    let client = match (url, client_id, client_secret) {
        (Some(url), Some(client_id), Some(client_secret)) => Some(ForgeClient { url, client_id, client_secret }),
        _ => None,
    };
    let signup = r.parse("HANGAR_SIGNUP", "open or closed", |text| match text {
        "open" => Some(Signup::Open),
        "closed" => Some(Signup::Closed),
        _ => None,
    });
    ForgeConfig {
        client,
        admin_users: r.list("HANGAR_ADMIN_FORGE_USERS").iter().map(|login| login.to_lowercase()).collect(),
        signup: signup.unwrap_or(match mode {
            Mode::Serve => Signup::Closed,
            Mode::Demo => Signup::Open,
        }),
    }
}

fn pool(r: &mut Reader<'_>) -> PoolConfig {
    let demo = r.parse("PROVISIONER_DEMO", "1, or leave it unset", |text| match text {
        "1" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    });
    PoolConfig {
        vm_pool_json: r.text("VM_POOL_JSON"),
        provisioner_demo: demo.unwrap_or(false),
        deployer_url: r.url("HANGAR_DEPLOYER_URL"),
    }
}

fn jobs(r: &mut Reader<'_>) -> JobsConfig {
    let interval =
        r.parse("HANGAR_AUTO_RELEASE_INTERVAL", "a number above zero with ms, s, m or h, such as 60s", duration);
    let lease = r.parse("HANGAR_JOB_LEASE", "a number above zero with ms, s, m or h, such as 15s", duration);
    let mut back_off = Vec::new();
    for part in r.list("HANGAR_JOB_BACK_OFF") {
        match duration(&part) {
            Some(wait) => back_off.push(wait),
            None => r.fault("HANGAR_JOB_BACK_OFF", "numbers above zero with ms, s, m or h, such as 5s,30s,120s"),
        }
    }
    if back_off.is_empty() {
        back_off = [5, 30, 120].map(Duration::from_secs).to_vec();
    }
    let grace = r.parse("HANGAR_LATE_CREATE_GRACE", "a number above zero with ms, s, m or h, such as 60s", duration);
    let name = r.parse("HANGAR_NAME_DEADLINE", "a number above zero with ms, s, m or h, such as 120s", duration);
    let observe = r.parse("HANGAR_OBSERVE_INTERVAL", "a number above zero with ms, s, m or h, such as 60s", duration);
    let orphans = r.parse("HANGAR_ORPHAN_GRACE", "a number above zero with ms, s, m or h, such as 30m", duration);
    JobsConfig {
        auto_release_interval: interval.unwrap_or(Duration::from_secs(60)),
        lease: lease.unwrap_or(Duration::from_secs(15)),
        back_off,
        late_create_grace: grace.unwrap_or(Duration::from_secs(60)),
        name_deadline: name.unwrap_or(Duration::from_secs(120)),
        observe_interval: observe.unwrap_or(Duration::from_secs(60)),
        orphan_grace: orphans.unwrap_or(Duration::from_secs(30 * 60)),
    }
}

fn log(r: &mut Reader<'_>) -> LogConfig {
    let filter = r.parse("HANGAR_LOG", "a level, or directives such as info,server=debug", |text| {
        tracing_subscriber::EnvFilter::try_new(text).ok().map(|_| text.to_owned())
    });
    let format = r.parse("HANGAR_LOG_FORMAT", "text or json", |text| match text {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    });
    LogConfig { filter: filter.unwrap_or_else(|| "info".to_owned()), format: format.unwrap_or(LogFormat::Text) }
}

fn providers(r: &mut Reader<'_>, kinds: &dyn KnownKinds) -> ProvidersConfig {
    let right = format!("one of the known kinds: {}", kinds.names().join(", "));
    let preselected = r.parse("INFRA_PROVIDER", &right, |text| kinds.resolve(text));
    ProvidersConfig { preselected: preselected.unwrap_or_else(|| "hetzner".to_owned()) }
}
