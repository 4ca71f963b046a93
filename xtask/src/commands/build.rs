//! `cargo xtask build`: the browser part, then the server, which embeds it in a release.
//!
//! Rule: the browser part comes first; the server's build reads `target/site`.

use anyhow::Result;
use clap::Args;
use std::process::ExitCode;

use crate::browser::{self, Mode};
use crate::process;
use crate::progress::{Line, Progress};
use crate::setup::wasm_target;
use crate::workspace::Workspace;

/// How many steps [`everything`] takes.
pub const STEPS: usize = browser::STEPS + 2;

/// What `build` may be told.
#[derive(Args)]
pub struct Options {
    /// Small and fast: one binary with the browser part and the migrations in it.
    #[arg(long)]
    pub release: bool,
    /// Build the browser part only.
    #[arg(long)]
    pub browser_only: bool,
}

/// Runs the command.
pub fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let steps = if options.browser_only { STEPS - 1 } else { STEPS };
    let mut progress = Progress::new(steps);
    browser_part(&workspace, options.release, &mut progress)?;
    if options.browser_only {
        eprintln!("Built {}", workspace.site().display());
    } else {
        server_step(&workspace, options.release, &mut progress)?;
        eprintln!("Built {}", workspace.server_binary(options.release).display());
    }
    Ok(ExitCode::SUCCESS)
}

/// The browser part and the server, in [`STEPS`] steps.
pub fn everything(workspace: &Workspace, release: bool, progress: &mut Progress) -> Result<()> {
    browser_part(workspace, release, progress)?;
    server_step(workspace, release, progress)
}

fn browser_part(workspace: &Workspace, release: bool, progress: &mut Progress) -> Result<()> {
    let toolchain = progress.step("Setting up the browser target", |line| Ok(wasm_target::wasm_toolchain(line)?))?;
    browser::build(workspace, &toolchain, Mode::new(release), progress)
}

fn server_step(workspace: &Workspace, release: bool, progress: &mut Progress) -> Result<()> {
    progress.step("Compiling the server", |line| server(workspace, release, line))
}

/// Compiles the binary `hangar`.
pub fn server(workspace: &Workspace, release: bool, line: &mut Line) -> Result<()> {
    let mut command = process::cargo(&workspace.root);
    command.args(["build", "--package", "server", "--bin", "hangar"]);
    if release {
        command.arg("--release");
    }
    process::quiet(&mut command, line)
}
