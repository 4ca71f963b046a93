//! The standard library for `wasm32-unknown-unknown`.
//!
//! In this order: it is there; rustup adds it; Debian's `rustc-web` builds it from `rust-web-src`
//! (`HANGAR_WASM_TOOLCHAIN=debian` takes this way at once).
//! Rule: whoever starts cargo for the browser part goes through [`WasmToolchain::configure`].

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Found, Missing, apt};
use crate::process;
use crate::progress::Line;

const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's compiler, which brings its own sysroot, and the source of the standard library.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_PACKAGES: [&str; 2] = ["rustc-web", "rust-web-src"];

/// How the browser part is compiled on this machine.
pub enum WasmToolchain {
    /// By the toolchain in use.
    Installed,
    /// By Debian's compiler, building the standard library along.
    Debian {
        /// The installed toolchain's `rust-lld`; Debian's compiler comes without one.
        linker: PathBuf,
    },
}

impl WasmToolchain {
    /// Adds the target, and what it needs, to a call of cargo.
    pub fn configure(&self, command: &mut Command) {
        command.args(["--target", TARGET]);
        if let Self::Debian { linker } = self {
            command
                .arg("-Zbuild-std=std,panic_abort")
                .env("RUSTC", DEBIAN_RUSTC)
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
                // Cargo would ask the toolchain's own rustdoc and wrapper otherwise.
                .env_remove("RUSTC_WRAPPER")
                .env_remove("RUSTC_WORKSPACE_WRAPPER");
        }
    }
}

/// Finds or sets up a way to compile for browsers.
pub fn wasm_toolchain(line: &mut Line) -> Found<WasmToolchain> {
    let forced = std::env::var("HANGAR_WASM_TOOLCHAIN").is_ok_and(|value| value == "debian");
    if !forced {
        if is_installed() {
            return Ok(WasmToolchain::Installed);
        }
        line.status("rustup target add");
        let added = process::quiet(Command::new("rustup").args(["target", "add", TARGET]), line);
        if added.is_ok() && is_installed() {
            return Ok(WasmToolchain::Installed);
        }
    }
    debian(line).map_err(|missing| Missing {
        reason: format!("the Rust target {TARGET} is not here and rustup could not add it; {}", missing.reason),
        install: format!("rustup target add {TARGET}, or {}", missing.install),
    })
}

/// Whether the toolchain in use has the target, however it came.
fn is_installed() -> bool {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", TARGET]);
    process::output(&mut rustc).is_ok_and(|folder| Path::new(&folder).is_dir())
}

fn debian(line: &mut Line) -> Found<WasmToolchain> {
    if !DEBIAN_PACKAGES.iter().all(|package| apt::is_installed(package)) {
        apt::install("Debian's compiler for browsers", &DEBIAN_PACKAGES, line)?;
    }
    let linker = rust_lld().map_err(|error| Missing {
        reason: format!("no linker for {TARGET}: {error:#}"),
        install: "a Rust toolchain that brings rust-lld".into(),
    })?;
    Ok(WasmToolchain::Debian { linker })
}

fn rust_lld() -> Result<PathBuf> {
    let sysroot = process::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let version = process::output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let linker = Path::new(&sysroot).join("lib/rustlib").join(host).join("bin/rust-lld");
    anyhow::ensure!(linker.is_file(), "no {}", linker.display());
    Ok(linker)
}
