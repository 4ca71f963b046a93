//! `cargo xtask engine`: a private Docker Engine with images to try, for a try of stacks by hand and
//! for the browser tests, which start it by this command.
//!
//! Rule: it ends with its standard input, so that it never outlives who started it.

use anyhow::Result;
use clap::Args;
use std::io::Read;
use std::process::ExitCode;

use crate::engine::{Docker, PORT};
use crate::progress::Progress;
use crate::setup::docker;
use crate::workspace::Workspace;

/// What `engine` may be told: nothing.
#[derive(Args)]
pub struct Options {}

/// Runs the command; returns when standard input ends.
pub fn run(_: &Options) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let mut progress = Progress::new(2);
    let found = progress.step("Looking for a Docker Engine", |line| Ok(docker::docker(&workspace, line)?))?;
    let engine = progress.step("Starting a private one with images", |_| Ok(Docker::start_apart()))?;
    println!("host {}", engine.host());
    println!("public-host {}", engine.address());
    for image in engine.docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"]).lines().rev() {
        println!("image {image}");
    }
    println!("The images hangar-test/app serve a page at port {PORT}.");
    if let Some(config) = found.config {
        println!("config {}", config.display());
        println!("Hangar finds Compose 2 there: start it with DOCKER_CONFIG={}", config.display());
    }
    println!("It answers `docker --host {} ps`, and ends with Ctrl-C.", engine.host());
    // Whatever comes, and also when reading fails: then it ends.
    drop(std::io::stdin().read_to_end(&mut Vec::new()));
    Ok(ExitCode::SUCCESS)
}
