//! `cargo xtask test`: sets up what is missing and runs every test.
//!
//! Each part ends as passed, failed or left out; a part that cannot run on this machine is named
//! with the reason and with the command that would help, and fails the run unless
//! `--allow-missing` was given. Rule: the last line is `N passed, N failed`, whatever happens.

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use std::io::{BufRead, BufReader, IsTerminal};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use super::build;
use super::clients::{self, Clients};
use crate::browser::{self, Mode};
use crate::cluster::{Cluster, Durability};
use crate::process;
use crate::progress::{Progress, duration};
use crate::setup::{Found, Missing, bind, chromium, docker, hetzner, node, postgres, sshd, wasm_target};
use crate::tally::Tally;
use crate::workspace::Workspace;

/// What `test` may be told.
#[derive(Args)]
pub struct Options {
    /// Do not fail because of what this machine does not have.
    #[arg(long)]
    pub allow_missing: bool,
    /// Leave out the browser tests and the tests with real services: SQLite only.
    #[arg(long)]
    pub fast: bool,
    /// Only this kind of tests.
    #[arg(long, value_enum)]
    pub only: Option<Kind>,
    /// Arguments for `cargo test` (or with `--only` for Playwright or pytest), after `--`.
    #[arg(last = true)]
    pub arguments: Vec<String>,
}

/// A kind of tests.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// By `cargo test`.
    Rust,
    /// By Playwright.
    Browser,
    /// Clients written by others against the simulated vendor, by pytest.
    Clients,
}

/// How a part ended.
enum Outcome {
    Ran(Tally),
    LeftOut,
    Missing(Missing),
    /// Missing as well, but not needed for a run to be whole.
    Optional(Missing),
}

/// One line of the table at the end.
struct Part {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

/// One run of the command.
struct Run<'a> {
    options: &'a Options,
    workspace: Workspace,
    progress: Progress,
    parts: Vec<Part>,
    /// Where the docker command finds Compose 2, unless it does so anyhow.
    docker_config: Option<PathBuf>,
}

/// What the browser tests need.
struct Browser {
    chromium: PathBuf,
    npx: PathBuf,
}

/// Runs the command.
pub fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    std::fs::create_dir_all(workspace.site())?;
    let services = if options.fast || wants_only(options, Kind::Clients) { 0 } else { 4 };
    let build = if wants_only(options, Kind::Clients) { 0 } else { browser::STEPS + 2 };
    let browser = if wants_browser(options) { 2 } else { 0 };
    let rust = usize::from(wants_rust(options));
    let clients = if wants_clients(options) { clients::STEPS } else { 0 };
    let mut run = Run {
        options,
        workspace,
        progress: Progress::new(build + services + browser + rust + clients),
        parts: Vec::new(),
        docker_config: None,
    };
    run.everything();
    Ok(run.closing())
}

fn wants_only(options: &Options, kind: Kind) -> bool {
    options.only == Some(kind)
}

fn wants_browser(options: &Options) -> bool {
    !options.fast && (options.only.is_none() || wants_only(options, Kind::Browser))
}

fn wants_rust(options: &Options) -> bool {
    options.only.is_none() || wants_only(options, Kind::Rust)
}

fn wants_clients(options: &Options) -> bool {
    !options.fast && (options.only.is_none() || wants_only(options, Kind::Clients))
}

impl Run<'_> {
    fn everything(&mut self) {
        if !wants_only(self.options, Kind::Clients) {
            self.own();
        }
        if wants_clients(self.options) {
            self.clients();
        } else {
            self.leave_out("Clients");
        }
    }

    /// What runs Hangar itself.
    fn own(&mut self) {
        let mut cluster = None;
        if self.options.fast {
            self.leave_out("PostgreSQL");
            self.leave_out("OpenSSH");
            self.leave_out("BIND");
            self.leave_out("Docker Engine");
        } else {
            cluster = self.part("PostgreSQL", "Starting a private PostgreSQL", |_, line| {
                Cluster::start(&postgres::programs(line)?, Durability::Fast)
            });
            self.part("OpenSSH", "Looking for OpenSSH", |_, line| Ok(sshd::sshd(line)?));
            self.part("BIND", "Looking for BIND", |_, line| Ok(bind::named(line)?));
            let docker = self.part("Docker Engine", "Looking for a Docker Engine", |workspace, line| {
                Ok(docker::docker(workspace, line)?)
            });
            self.docker_config = docker.and_then(|docker| docker.config);
        }
        let browser = self.browser_ready();
        let built = self.built();
        if wants_rust(self.options) {
            self.rust(cluster.as_ref());
        } else {
            self.leave_out("Rust tests");
        }
        match browser {
            Some(browser) if built => self.browser(&browser, cluster.as_ref()),
            Some(_) => {
                eprintln!("The browser tests cannot run: the build failed.");
                self.push("Browser tests", Outcome::Ran(Tally::broken()), Duration::ZERO);
            }
            None => {}
        }
    }

    /// Clients written by others, against the simulated vendor.
    fn clients(&mut self) {
        let command =
            self.part("hcloud command", "Looking for the hcloud command", |_, line| Ok(hetzner::command(line)?));
        let specification = self.part("Specification", "Fetching the vendor's specification", |workspace, line| {
            Ok(hetzner::specification(workspace, line)?)
        });
        let ansible = self.optional("Ansible", "Setting up Ansible", hetzner::ansible);
        let bin = self
            .part("Clients", "Setting up the Python clients", |workspace, line| Ok(hetzner::clients(workspace, line)?));
        let Some(bin) = bin else { return };
        let Some(simulator) = self.part("Clients", "Compiling the simulator", clients::simulator) else { return };
        let clients = Clients { bin, simulator, command, specification, ansible };
        let none = Vec::new();
        let arguments = if wants_only(self.options, Kind::Clients) { &self.options.arguments } else { &none };
        let workspace = &self.workspace;
        let (tally, took) = self.progress.loud("Clients", || clients.run(workspace, arguments));
        self.ran("Clients", tally, took);
    }

    /// Chromium and Playwright; nothing when the browser tests do not run.
    fn browser_ready(&mut self) -> Option<Browser> {
        if !wants_browser(self.options) {
            self.leave_out("Browser tests");
            return None;
        }
        self.part("Browser tests", "Setting up Playwright", |workspace, line| {
            let chromium = chromium::chromium(line)?;
            let npm = node::npm(line)?;
            node::packages(&npm, &workspace.root.join("end2end"), line)?;
            let npx = npm.with_file_name("npx");
            Ok(Browser { chromium, npx })
        })
    }

    /// The browser part and the server that the tests start.
    fn built(&mut self) -> bool {
        let target = self
            .part("Browser build", "Setting up the browser target", |_, line| Ok(wasm_target::wasm_toolchain(line)?));
        let started = Instant::now();
        let site = target.is_some_and(|target| {
            match browser::build(&self.workspace, &target, Mode::Dev, &mut self.progress) {
                Ok(()) => true,
                Err(error) => {
                    eprintln!("error: {error:#}");
                    self.push("Browser build", Outcome::Ran(Tally::broken()), started.elapsed());
                    false
                }
            }
        });
        let server =
            self.part("Server build", "Compiling the server", |workspace, line| build::server(workspace, false, line));
        site && server.is_some()
    }

    fn rust(&mut self, cluster: Option<&Cluster>) {
        // xtask apart: its dependencies are built for it alone already, and the features of the
        // whole workspace would have them built again.
        let workspace = ["--workspace", "--exclude", "frontend", "--exclude", "xtask"];
        let mut commands = vec![self.cargo_test(&workspace, cluster)];
        if self.options.arguments.is_empty() {
            commands.push(self.cargo_test(&["--package", "xtask"], cluster));
        }
        let (tally, took) = self.progress.loud("Rust tests", || {
            let mut sum = Tally::default();
            for command in &mut commands {
                sum += cargo_tally(command)?;
            }
            Ok(sum)
        });
        self.ran("Rust tests", tally, took);
    }

    fn cargo_test(&self, packages: &[&str], cluster: Option<&Cluster>) -> Command {
        let mut command = process::cargo(&self.workspace.root);
        command.arg("test").args(packages).arg("--no-fail-fast");
        if std::env::var_os("RUST_TEST_THREADS").is_none() {
            // Most tests wait for a server, a name or an engine more than they work.
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            command.env("RUST_TEST_THREADS", (2 * cores).max(4).to_string());
        }
        self.environment(&mut command, cluster);
        command.args(&self.options.arguments);
        if std::io::stdout().is_terminal() {
            if !self.options.arguments.iter().any(|word| word == "--") {
                command.arg("--");
            }
            command.arg("--color=always");
        }
        command
    }

    fn browser(&mut self, browser: &Browser, cluster: Option<&Cluster>) {
        let report = self.workspace.scratch().join("playwright.json");
        drop(std::fs::remove_file(&report));
        let mut command = Command::new(&browser.npx);
        command
            .args(["playwright", "test"])
            .current_dir(self.workspace.root.join("end2end"))
            .env("CHROMIUM", &browser.chromium)
            .env("HANGAR_E2E_REPORT", &report)
            .envs(std::env::current_exe().ok().map(|own| ("HANGAR_XTASK", own)))
            .stdin(Stdio::null());
        if self.options.only == Some(Kind::Browser) {
            command.args(&self.options.arguments);
        }
        self.environment(&mut command, cluster);
        let (tally, took) = self.progress.loud("Browser tests", || {
            let status = command.status().context("npx does not start")?;
            let report = std::fs::read_to_string(&report).context("Playwright wrote no report")?;
            let tally = Tally::from_playwright_report(&report)?;
            Ok(tally.with_exit(status.success()))
        });
        self.ran("Browser tests", tally, took);
    }

    /// What every test may rely on; see docs/contributing.md.
    fn environment(&self, command: &mut Command, cluster: Option<&Cluster>) {
        command.env("HANGAR_BIN", self.workspace.server_binary(false)).env("HANGAR_SITE_DIR", self.workspace.site());
        for name in ["HANGAR_TEST_POSTGRES_URL", "HANGAR_TEST_FAST", "HANGAR_ALLOW_MISSING"] {
            command.env_remove(name);
        }
        if let Some(cluster) = cluster {
            command.env("HANGAR_TEST_POSTGRES_URL", cluster.url());
        }
        if let Some(config) = &self.docker_config {
            command.env("DOCKER_CONFIG", config);
        }
        if self.options.fast {
            command.env("HANGAR_TEST_FAST", "1");
        }
        if self.options.allow_missing {
            command.env("HANGAR_ALLOW_MISSING", "1");
        }
    }

    /// A silent step. Only what goes wrong gets a line in the table.
    fn part<T>(
        &mut self,
        name: &'static str,
        title: &str,
        work: impl FnOnce(&Workspace, &mut crate::progress::Line) -> Result<T>,
    ) -> Option<T> {
        let started = Instant::now();
        let workspace = &self.workspace;
        let error = match self.progress.step(title, |line| work(workspace, line)) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let outcome = match error.downcast_ref::<Missing>() {
            Some(missing) => {
                eprintln!("{name} cannot run here: {missing}");
                Outcome::Missing(missing.clone())
            }
            None => {
                eprintln!("error: {error:#}");
                Outcome::Ran(Tally::broken())
            }
        };
        self.push(name, outcome, started.elapsed());
        None
    }

    /// A silent step without which the run is whole all the same.
    fn optional<T>(
        &mut self,
        name: &'static str,
        title: &str,
        work: impl FnOnce(&Workspace, &mut crate::progress::Line) -> Found<T>,
    ) -> Option<T> {
        let started = Instant::now();
        let mut missing = None;
        let workspace = &self.workspace;
        let found = self.progress.step(title, |line| {
            let found = work(workspace, line).map_err(|error| missing = Some(error)).ok();
            if found.is_none() {
                line.note("left out");
            }
            Ok(found)
        });
        if let Some(missing) = missing {
            self.push(name, Outcome::Optional(missing), started.elapsed());
        }
        found.ok().flatten()
    }

    fn ran(&mut self, name: &'static str, tally: Result<Tally>, took: Duration) {
        let tally = tally.unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            Tally::broken()
        });
        self.push(name, Outcome::Ran(tally), took);
    }

    fn leave_out(&mut self, name: &'static str) {
        self.push(name, Outcome::LeftOut, Duration::ZERO);
    }

    fn push(&mut self, name: &'static str, outcome: Outcome, took: Duration) {
        self.parts.push(Part { name, outcome, took });
    }

    /// Prints the table and the closing line.
    fn closing(&self) -> ExitCode {
        let mut sum = Tally::default();
        println!("\n{:<16} {:<36} time", "part", "outcome");
        for part in &self.parts {
            let outcome = match &part.outcome {
                Outcome::Ran(tally) => {
                    sum += *tally;
                    tally.to_string()
                }
                Outcome::LeftOut => "left out, as asked".to_owned(),
                Outcome::Optional(_) => "left out: not needed".to_owned(),
                Outcome::Missing(_) if self.options.allow_missing => "left out: missing here".to_owned(),
                Outcome::Missing(_) => {
                    sum += Tally::broken();
                    "failed: missing here".to_owned()
                }
            };
            println!("{:<16} {outcome:<36} {}", part.name, duration(part.took));
        }
        for part in &self.parts {
            if let Outcome::Missing(missing) | Outcome::Optional(missing) = &part.outcome {
                println!("{}: {missing}", part.name);
            }
        }
        println!();
        println!("{} passed, {} failed", sum.passed, sum.failed);
        if sum.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Runs cargo's tests, passing on what they print and adding up their results.
fn cargo_tally(command: &mut Command) -> Result<Tally> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cargo does not start")?;
    let mut tally = Tally::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            println!("{line}");
            if let Some(more) = Tally::from_cargo_line(&line) {
                tally += more;
            }
        }
    }
    Ok(tally.with_exit(child.wait()?.success()))
}
