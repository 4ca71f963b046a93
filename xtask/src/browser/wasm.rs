//! Compiling `frontend` and binding it to JavaScript.
//!
//! wasm-bindgen runs as a library at the locked version, so no installed tool can drift from the
//! crate. Rule: the size options live in the profile
//! `wasm-release` of the root `Cargo.toml` and in [`optimise`], nowhere else.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use wasm_bindgen_cli_support::Bindgen;

use super::{Mode, site};
use crate::process;
use crate::progress::Line;
use crate::setup::{node, wasm_target::WasmToolchain};
use crate::workspace::Workspace;

/// The stem of what browsers load: `hangar.js` and `hangar_bg.wasm`.
const NAME: &str = "hangar";

/// Changes when binding or optimising gives other bytes for the same input.
const RECIPE: &str = "wasm-bindgen 0.2.130, wasm-opt 132 -Oz, 1";

/// Compiles `frontend`; gives the wasm file.
///
/// While developing it is the server's own profile, so that both share what runs on the host (four
/// fifths of it: macros and build scripts), at opt-level 1: unoptimised the wasm is 2.6 times as
/// large, and what compiling saves is lost again by binding and loading it.
pub fn compile(workspace: &Workspace, toolchain: &WasmToolchain, mode: Mode, line: &mut Line) -> Result<PathBuf> {
    let mut command = process::cargo(&workspace.root);
    command.args(["build", "--package", "frontend", "--lib"]);
    let folder = match mode {
        Mode::Dev => {
            command.env("CARGO_PROFILE_DEV_OPT_LEVEL", "1").env("CARGO_PROFILE_DEV_DEBUG", "false");
            "debug"
        }
        Mode::Release => {
            command.args(["--profile", "wasm-release"]);
            "wasm-release"
        }
    };
    toolchain.configure(&mut command);
    process::quiet(&mut command, line)?;
    Ok(workspace.target.join("wasm32-unknown-unknown").join(folder).join("frontend.wasm"))
}

/// Writes `hangar.js` and `hangar_bg.wasm` into a folder of ours and gives that folder.
pub fn bind(workspace: &Workspace, compiled: &Path, mode: Mode, line: &mut Line) -> Result<PathBuf> {
    let folder = workspace.scratch().join(mode.name());
    let package = folder.join("pkg");
    let stamp = folder.join("pkg.stamp");

    let bytes = fs::read(compiled).with_context(|| format!("no {}", compiled.display()))?;
    let wanted = format!("{RECIPE} {}", site::hash(&bytes));
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        line.note("unchanged");
        return Ok(package);
    }

    if package.exists() {
        fs::remove_dir_all(&package)?;
    }
    fs::create_dir_all(&package)?;
    let release = mode == Mode::Release;
    line.status("wasm-bindgen");
    let mut bindgen = Bindgen::new();
    bindgen
        .input_path(compiled)
        .web(true)?
        .typescript(false)
        .out_name(NAME)
        // The loader may call init() without an address.
        .omit_default_module_path(false)
        .remove_name_section(release)
        .remove_producers_section(release);
    bindgen.generate(&package).context("wasm-bindgen refuses what was compiled")?;
    if release {
        optimise(workspace, &package.join(format!("{NAME}_bg.wasm")), line)?;
    }
    fs::write(stamp, wanted)?;
    Ok(package)
}

/// Shrinks the wasm in place. Only wasm-opt may strip: `strip = true` in the profile would take
/// away the section in which wasm-bindgen reads the features.
fn optimise(workspace: &Workspace, wasm: &Path, line: &mut Line) -> Result<()> {
    line.status("npm ci (binaryen)");
    let npm = node::npm(line)?;
    let folder = workspace.root.join("xtask/binaryen");
    node::packages(&npm, &folder, line)?;
    line.status("wasm-opt -Oz");
    let small = wasm.with_extension("small");
    process::quiet(
        Command::new(folder.join("node_modules/.bin/wasm-opt"))
            .args(["-Oz", "--strip-debug", "--strip-producers"])
            .arg(wasm)
            .arg("-o")
            .arg(&small),
        line,
    )?;
    fs::rename(small, wasm)?;
    Ok(())
}
