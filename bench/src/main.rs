//! `hangar-bench`: Hangar's figures, each with its target, on both databases side by side in one run.
//! `cargo xtask bench` builds what it needs and starts it.
//!
//! | table | what |
//! |---|---|
//! | `allocations` | machines handed out per second over HTTP, against a bare loop of the same statements |
//! | `lists` | one page of a list, with 1,000 and with 100,000 rows |
//! | `get-one` | one allocation by its id, asked by 16 clients |
//! | `memory` | what the server holds after all that |
//! | `start` | from the start of the process to `/readyz` |
//! | `acquire` | nodes at once on one token with few calls, beside the vendor's own command |
//! | `first-load` | what a browser loads before a page lives |
//!
//! The rule: the shipped binary is measured, as people run it, over loopback; every loop is bounded
//! in count and time; what the databases keep is synced to disk on each commit.

mod acquire;
mod allocations;
mod client;
mod engine;
mod fill;
mod first_load;
mod load;
mod reads;
mod report;
mod server;
mod start;

use std::{
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{engine::Engine, report::Report};

/// The tables there are.
const TABLES: [&str; 7] = ["allocations", "acquire", "lists", "get-one", "memory", "start", "first-load"];

/// The admin secret of every measured server.
pub const SECRET: &str = "correct-horse-battery-staple";

/// What is measured, and how much of it.
pub struct Bench {
    /// The server's binary.
    pub binary: PathBuf,
    /// The built browser part.
    pub site: PathBuf,
    /// A PostgreSQL on which databases may be made.
    pub postgres: Option<String>,
    /// The argon2id hash of [`SECRET`].
    pub secret_hash: String,
    /// A tenth of the rows and requests: to see whether everything works.
    pub quick: bool,
    wanted: Vec<&'static str>,
}

impl Bench {
    /// Whether this table was asked for.
    pub fn wants(&self, table: &str) -> bool {
        self.wanted.contains(&table)
    }

    /// `count`, or a tenth of it.
    pub fn scaled(&self, count: usize) -> usize {
        if self.quick { count / 10 } else { count }
    }

    /// The databases that can be measured here.
    pub fn engines(&self) -> Vec<Engine> {
        let mut engines = vec![Engine::Sqlite];
        engines.extend(self.postgres.as_ref().map(|_| Engine::Postgres));
        engines
    }

    fn from_process() -> Result<Self> {
        let mut names = Vec::new();
        let mut quick = false;
        for argument in std::env::args().skip(1) {
            match argument.as_str() {
                "--quick" => quick = true,
                "--help" | "-h" => {
                    bail!("hangar-bench [--quick] [part of a table's name]…; the tables: {}", TABLES.join(", "))
                }
                name if !name.starts_with('-') => names.push(name.to_owned()),
                other => bail!("{other} is not known; see --help"),
            }
        }
        let wanted: Vec<_> = TABLES
            .into_iter()
            .filter(|table| names.is_empty() || names.iter().any(|name| table.contains(name.as_str())))
            .collect();
        if wanted.is_empty() {
            bail!("no such table; there are {}", TABLES.join(", "));
        }
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let binary: PathBuf = set("HANGAR_BIN").context("HANGAR_BIN names the server's binary")?.into();
        Ok(Self {
            secret_hash: secret_hash(&binary)?,
            binary,
            site: set("HANGAR_SITE_DIR").unwrap_or_else(|| "target/site".to_owned()).into(),
            postgres: set("HANGAR_TEST_POSTGRES_URL"),
            quick,
            wanted,
        })
    }
}

/// The hash that an operator would put into the configuration.
fn secret_hash(binary: &PathBuf) -> Result<String> {
    use std::io::Write as _;
    let mut child = Command::new(binary)
        .arg("hash-secret")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("{} does not start", binary.display()))?;
    if let Some(mut stdin) = child.stdin.take() {
        writeln!(stdin, "{SECRET}")?;
    }
    let output = child.wait_with_output()?;
    let hash = String::from_utf8(output.stdout)?.trim().to_owned();
    anyhow::ensure!(output.status.success() && hash.starts_with("$argon2id$"), "hash-secret gives no hash");
    Ok(hash)
}

// One thread: the load must leave the cores to what is measured.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let outcome = match Bench::from_process() {
        Ok(bench) => run(&bench).await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hangar-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(bench: &Bench) -> Result<()> {
    let mut report = Report::new();
    report::say(&about(bench));
    if bench.wants("allocations") || bench.wants("memory") {
        allocations::measure(bench, &mut report).await?;
    }
    if bench.wants("acquire") {
        acquire::measure(bench, &mut report).await?;
    }
    if ["lists", "get-one", "memory", "start"].iter().any(|table| bench.wants(table)) {
        reads::measure(bench, &mut report).await?;
    }
    if bench.wants("memory") {
        server::memory(&mut report);
    }
    if bench.wants("first-load") {
        first_load::measure(bench, &mut report)?;
    }
    report.end();
    Ok(())
}

/// The circumstances, without which figures say little.
fn about(bench: &Bench) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?");
    let mut text = format!("Hangar's figures, on {cores} cores; load of the machine before: {load}");
    if bench.postgres.is_none() {
        text.push_str("\nPostgreSQL is left out: HANGAR_TEST_POSTGRES_URL is not set");
    }
    if bench.quick {
        text.push_str("\n--quick: a tenth of the work, and figures that are not for comparison");
    }
    text
}
