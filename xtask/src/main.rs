//! Hangar's own commands: `cargo xtask run`, `test`, `bench`, `build`, `bind`, `engine` and `setup`.
//!
//! | module | holds |
//! |---|---|
//! | `commands` | one file for each command: which steps, in which order |
//! | `browser` | the browser part: wasm, style, public files, compression, manifest |
//! | `setup` | what the machine must have, and how it gets there |
//! | `cluster` | a private PostgreSQL that ends with us |
//! | `named` | a private BIND 9, as the tests of the other crates start it |
//! | `engine` | a private Docker Engine, likewise |
//! | `tally` | reading the results of the test runners |
//! | `process`, `progress`, `workspace` | starting programs, telling how it goes, where things lie |
//!
//! The one rule: few dependencies, because whoever clones Hangar compiles this first.

mod browser;
mod cluster;
mod commands;
#[path = "../../providers/tests/docker/engine.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "it is a part of tests, and they use the rest")]
mod engine;
#[path = "../../providers/tests/bind/named.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "it is a part of tests, and they use the rest")]
mod named;
mod process;
mod progress;
mod setup;
mod tally;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Hangar's build, run, test and bench commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds everything and starts Hangar with the demo.
    Run(commands::run::Options),
    /// Runs every test: Rust on both databases, real services, browser.
    Test(commands::test::Options),
    /// Prints the benchmark tables.
    Bench(commands::bench::Options),
    /// Builds the browser part and the server; with --release, one binary that holds everything.
    Build(commands::build::Options),
    /// Starts a private BIND 9 that takes signed updates, and says how to use it.
    Bind(commands::bind::Options),
    /// Starts a private Docker Engine with images to try, and says how to use it.
    Engine(commands::engine::Options),
    /// Sets up what is missing on this machine, and names what it cannot.
    Setup(commands::setup::Options),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(options) => commands::run::run(&options),
        Command::Test(options) => commands::test::run(&options),
        Command::Bench(options) => commands::bench::run(&options),
        Command::Build(options) => commands::build::run(&options),
        Command::Bind(options) => commands::bind::run(&options),
        Command::Engine(options) => commands::engine::run(&options),
        Command::Setup(options) => commands::setup::run(&options),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
