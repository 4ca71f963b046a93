//! `cargo xtask setup`: everything that building and testing need, or the parts that are named.

use anyhow::Result;
use clap::{Args, ValueEnum};
use std::process::ExitCode;

use crate::progress::{Line, Progress};
use crate::setup::{Missing, bind, chromium, docker, hetzner, node, postgres, sshd, wasm_target};
use crate::workspace::Workspace;

/// What `setup` may be told.
#[derive(Args)]
pub struct Options {
    /// Only these parts; everything when none is named.
    #[arg(value_enum)]
    pub parts: Vec<Part>,
}

/// Something to set up.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The standard library for the browser part.
    Wasm,
    /// PostgreSQL's programs.
    Postgres,
    /// OpenSSH's client and server.
    Sshd,
    /// BIND 9 with dig and nsupdate.
    Bind,
    /// A Docker Engine with Compose 2.
    Docker,
    /// A Chromium.
    Chromium,
    /// Node, npm and the packages of the browser tests.
    Npm,
    /// The clients that the simulated vendor is held against, and the vendor's specification.
    Clients,
}

impl Part {
    fn set_up(self, workspace: &Workspace, line: &mut Line) -> Result<()> {
        match self {
            Self::Wasm => drop(wasm_target::wasm_toolchain(line)?),
            Self::Postgres => drop(postgres::programs(line)?),
            Self::Sshd => drop(sshd::sshd(line)?),
            Self::Bind => drop(bind::named(line)?),
            Self::Docker => {
                if let Some(config) = docker::docker(workspace, line)?.config {
                    line.after(format!("for cargo test: export DOCKER_CONFIG={}", config.display()));
                }
            }
            Self::Chromium => drop(chromium::chromium(line)?),
            Self::Npm => {
                let npm = node::npm(line)?;
                node::packages(&npm, &workspace.root.join("end2end"), line)?;
            }
            Self::Clients => {
                hetzner::command(line)?;
                hetzner::specification(workspace, line)?;
                hetzner::clients(workspace, line)?;
            }
        }
        Ok(())
    }

    fn title(self) -> &'static str {
        match self {
            Self::Wasm => "Browser target",
            Self::Postgres => "PostgreSQL",
            Self::Sshd => "OpenSSH",
            Self::Bind => "BIND",
            Self::Docker => "Docker Engine",
            Self::Chromium => "Chromium",
            Self::Npm => "Node packages",
            Self::Clients => "Clients of the vendor",
        }
    }
}

/// Runs the command.
pub fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    // The server's build wants the folder, also before anything is in it.
    std::fs::create_dir_all(workspace.site())?;
    let parts = if options.parts.is_empty() { Part::value_variants() } else { &options.parts };
    let mut progress = Progress::new(parts.len());
    let mut complete = true;
    for part in parts {
        if let Err(error) = progress.step(part.title(), |line| part.set_up(&workspace, line)) {
            complete = false;
            match error.downcast_ref::<Missing>() {
                Some(missing) => eprintln!("missing: {missing}"),
                None => eprintln!("error: {error:#}"),
            }
        }
    }
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
