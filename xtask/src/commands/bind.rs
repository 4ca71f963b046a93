//! `cargo xtask bind`: a private BIND 9 that takes signed updates, for a try of RFC 2136 by hand and
//! for the browser tests, which start it by this command.
//!
//! Rule: it ends with its standard input, so that it never outlives who started it.

use anyhow::{Context, Result};
use clap::Args;
use std::io::Read;
use std::process::ExitCode;

use crate::named::{Bind, HANGAR, LONGER, OTHERS};
use crate::progress::Progress;
use crate::setup::bind;

/// What `bind` may be told.
#[derive(Args)]
pub struct Options {
    /// The zones that it holds.
    #[arg(default_value = "example.test")]
    pub zones: Vec<String>,
}

/// Runs the command; returns when standard input ends.
pub fn run(options: &Options) -> Result<ExitCode> {
    Progress::new(1).step("Looking for BIND", |line| Ok(bind::named(line)?))?;
    let bind = Bind::start(&options.zones).context("BIND is left out here")?;
    println!("server {}", bind.server());
    for zone in &options.zones {
        println!("zone {zone}");
    }
    for key in [HANGAR, LONGER, OTHERS] {
        println!("key {} {} {}", key.name, key.algorithm, key.secret);
    }
    println!("It answers `dig @127.0.0.1 -p {}`, and ends with Ctrl-C.", bind.address.port());
    // Whatever comes, and also when reading fails: then it ends.
    drop(std::io::stdin().read_to_end(&mut Vec::new()));
    Ok(ExitCode::SUCCESS)
}
