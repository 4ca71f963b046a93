//! `cargo xtask run`: builds everything, then becomes the server.
//!
//! Rule: the server itself says where it listens and how to sign in.

use anyhow::{Context, Result};
use clap::Args;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use super::build;
use crate::progress::Progress;
use crate::workspace::Workspace;

/// What `run` may be told.
#[derive(Args)]
pub struct Options {
    /// Build small and fast instead of quickly.
    #[arg(long)]
    pub release: bool,
    /// Start with nothing but the configuration: `hangar serve` instead of `hangar demo`.
    #[arg(long)]
    pub no_demo: bool,
    /// Arguments for the server, after `--`.
    #[arg(last = true)]
    pub server: Vec<String>,
}

/// Runs the command; returns only when something failed.
pub fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let mut progress = Progress::new(build::STEPS);
    build::everything(&workspace, options.release, &mut progress)?;

    let binary = workspace.server_binary(options.release);
    let mut server = Command::new(&binary);
    server.arg(if options.no_demo { "serve" } else { "demo" }).args(&options.server);
    if !options.release && std::env::var_os("HANGAR_SITE_DIR").is_none() {
        server.env("HANGAR_SITE_DIR", workspace.site());
    }
    Err(server.exec()).with_context(|| format!("{} does not start", binary.display()))
}
