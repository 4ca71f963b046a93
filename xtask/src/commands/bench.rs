//! `cargo xtask bench`: the benchmark tables, from release builds and a PostgreSQL that syncs.

use anyhow::{Context, Result, bail};
use clap::Args;
use std::process::ExitCode;

use super::build;
use crate::cluster::{Cluster, Durability};
use crate::process;
use crate::progress::Progress;
use crate::setup::postgres;
use crate::workspace::Workspace;

/// What `bench` may be told.
#[derive(Args)]
pub struct Options {
    /// Only this table; all when none is named.
    pub name: Option<String>,
    /// Arguments for the benchmark program, after `--`.
    #[arg(last = true)]
    pub arguments: Vec<String>,
}

/// Runs the command.
pub fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    if !workspace.has_package("bench") {
        bail!("there are no benchmarks: the workspace has no package `bench`");
    }
    let mut progress = Progress::new(build::STEPS + 2);
    build::everything(&workspace, true, &mut progress)?;
    progress.step("Compiling the benchmarks", |line| {
        process::quiet(process::cargo(&workspace.root).args(["build", "--release", "--package", "bench"]), line)
    })?;
    let cluster = progress
        .step("Starting a private PostgreSQL", |line| Cluster::start(&postgres::programs(line)?, Durability::Safe))?;
    let status = std::process::Command::new(workspace.target.join("release/hangar-bench"))
        .args(&options.name)
        .args(&options.arguments)
        .current_dir(&workspace.root)
        .env("HANGAR_TEST_POSTGRES_URL", cluster.url())
        .env("HANGAR_BIN", workspace.server_binary(true))
        .env("HANGAR_SITE_DIR", workspace.site())
        .status()
        .context("target/release/hangar-bench does not start")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
