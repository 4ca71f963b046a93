//! The command line. The rule: a command reads the configuration, calls one function and turns what
//! comes back into an exit code; 78 means that the configuration is not right.

use std::{
    io::{BufRead as _, IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::{
    config::{Config, ConfigFaults, Flags, KnownKinds, LogConfig, LogFormat, Mode, Sources},
    http,
    run::{self, RunError},
};

/// Hangar: acquires machines at your providers, keeps a pool of them ready and hands them to people.
///
/// Every setting can be given as a flag, in the environment or in a file; without any, Hangar listens
/// on 127.0.0.1:3000 and keeps its data in ./data. Exit codes: 0 done, 1 failed, 2 wrong command
/// line, 78 wrong configuration (a line for each fault).
#[derive(Debug, Parser)]
#[command(name = "hangar", version, max_term_width = 110)]
pub struct Cli {
    /// What to do; `serve` when left out.
    #[command(subcommand)]
    command: Option<Command>,
    /// TOML file with settings: the variables' names in lower case without `hangar_`; tables such as
    /// `[forge] url = "…"` are taken.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Flags,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Serve pages and API (the default). Brings the database up to date first.
    Serve,
    /// Serve with simulated vendors and a simulated Forge on loopback, to look around without an
    /// account anywhere.
    Demo,
    /// Bring the database up to date and end.
    Migrate,
    /// Check the configuration and print what would be used; secrets are masked.
    CheckConfig,
    /// Read a secret (prompted for, or from standard input) and print its argon2id hash, for
    /// HANGAR_ADMIN_SECRET_HASH.
    HashSecret,
    /// Seal every stored secret anew with the first key of the keyring.
    RotateKeys,
    /// Write a consistent copy of the SQLite database to FILE, also while Hangar runs.
    Backup {
        /// The file to write; must not exist.
        file: PathBuf,
    },
    /// Print the description of the REST API (OpenAPI 3.1).
    Openapi,
}

/// What a command can fail with.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The configuration is not right.
    #[error(transparent)]
    Config(#[from] ConfigFaults),
    /// Hangar could not start, or ended in error.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl CommandError {
    fn failed(error: &dyn std::error::Error) -> Self {
        Self::Failed(with_causes(error))
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// The registry's kinds, as the configuration asks for them.
struct RegistryKinds(providers::Registry);

impl KnownKinds for RegistryKinds {
    fn resolve(&self, name: &str) -> Option<String> {
        self.0.resolve(name).map(str::to_owned)
    }

    fn names(&self) -> Vec<String> {
        self.0.kinds().into_iter().map(|kind| kind.kind).collect()
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match execute(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(CommandError::Config(faults)) => {
            for fault in &faults.0 {
                eprintln!("hangar: {fault}");
            }
            ExitCode::from(ConfigFaults::EXIT)
        }
        Err(CommandError::Run(error)) => {
            eprintln!("hangar: {}", with_causes(&error));
            ExitCode::from(error.exit_code())
        }
        Err(CommandError::Failed(text)) => {
            eprintln!("hangar: {text}");
            ExitCode::FAILURE
        }
    }
}

fn execute(cli: Cli) -> Result<(), CommandError> {
    let command = cli.command.unwrap_or(Command::Serve);
    // These two need no configuration.
    match command {
        Command::HashSecret => return hash_secret(),
        Command::Openapi => return print(&http::openapi_json()),
        _ => {}
    }
    let mode = if matches!(command, Command::Demo) { Mode::Demo } else { Mode::Serve };
    let sources = Sources::gather(&cli.settings.0, |name| std::env::var_os(name), cli.config.as_deref());
    let config = Config::load(&sources, mode, &RegistryKinds(providers::Registry::standard()))?;
    if matches!(command, Command::CheckConfig) {
        return print(config.show(&sources).trim_end());
    }
    log_to_stderr(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::failed(&error))?;
    runtime.block_on(async move {
        match command {
            Command::Migrate => run::migrate(&config).await?,
            Command::RotateKeys => {
                let sealed = run::rotate_keys(&config).await?;
                print(&format!("{sealed} secrets are sealed with the first key."))?;
            }
            Command::Backup { file } => run::backup(&config, &file).await?,
            Command::Serve | Command::Demo | Command::CheckConfig | Command::HashSecret | Command::Openapi => {
                run::serve(config).await?;
            }
        }
        Ok(())
    })
}

fn print(text: &str) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}") {
        // `hangar openapi | head` is no failure.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(CommandError::failed(&error)),
        _ => Ok(()),
    }
}

fn hash_secret() -> Result<(), CommandError> {
    let stdin = std::io::stdin();
    let mut line = Zeroizing::new(String::new());
    let unseen = stdin.is_terminal().then(Unseen::begin);
    if let Some(unseen) = &unseen {
        eprint!("Secret{}: ", if unseen.works() { "" } else { " (shown while typed; pipe it in to avoid that)" });
    }
    let read = stdin.lock().read_line(&mut line);
    drop(unseen);
    read.map_err(|error| CommandError::failed(&error))?;
    let secret = line.trim_end_matches(['\n', '\r']);
    if secret.is_empty() {
        return Err(CommandError::Failed("there is no secret to hash".to_owned()));
    }
    print(&http::auth::hash_secret(secret).map_err(|error| CommandError::failed(&error))?)
}

/// While it lives, the terminal does not show what is typed.
struct Unseen(Option<Termios>);

impl Unseen {
    fn begin() -> Self {
        let Ok(before) = tcgetattr(std::io::stdin()) else { return Self(None) };
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        // The end of the line is still shown, so that the prompt stands alone on its line.
        quiet.local_modes.insert(LocalModes::ECHONL);
        Self(tcsetattr(std::io::stdin(), OptionalActions::Flush, &quiet).is_ok().then_some(before))
    }

    fn works(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // It could be changed before, so it can be changed back.
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// Sends the log to standard error, as it is configured.
///
/// # Errors
/// A fault of `HANGAR_LOG` when the filter cannot be read.
fn log_to_stderr(config: &LogConfig) -> Result<(), CommandError> {
    let filter = tracing_subscriber::EnvFilter::try_new(&config.filter)
        .map_err(|_| ConfigFaults::one("HANGAR_LOG", format!("{:?}", config.filter), "a level or directives"))?;
    // They call every session cookie that has run out suspicious.
    let quiet = ["tower_sessions=error", "tower_sessions_core=error"].into_iter().filter_map(|d| d.parse().ok());
    let filter = quiet.fold(filter, tracing_subscriber::EnvFilter::add_directive);
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let set = match config.format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    set.map_err(|error| CommandError::Failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_setting_is_a_flag_and_explained() {
        let mut command = Cli::command();
        command.clone().debug_assert();
        let help = command.render_long_help().to_string();
        for setting in crate::config::SETTINGS {
            assert!(help.contains(&format!("--{}", setting.flag())), "{}", setting.variable);
            assert!(help.contains(&format!("[env: {}]", setting.variable)), "{}", setting.variable);
        }
        for name in ["serve", "demo", "migrate", "check-config", "hash-secret", "rotate-keys", "backup", "openapi"] {
            assert!(help.contains(name), "{name}");
        }
    }

    #[test]
    fn flags_stand_before_or_after_the_command() {
        for line in [["hangar", "--listen", "1.2.3.4:5", "demo"], ["hangar", "demo", "--listen", "1.2.3.4:5"]] {
            let cli = Cli::parse_from(line);
            assert!(matches!(cli.command, Some(Command::Demo)));
            assert_eq!(cli.settings.0.get("HANGAR_LISTEN").map(String::as_str), Some("1.2.3.4:5"));
        }
    }
}
