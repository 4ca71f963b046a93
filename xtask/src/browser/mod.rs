//! The browser part: from the crate `frontend`, `style/` and `public/` to `target/site`.
//!
//! ```text
//! frontend ─ cargo ─► wasm ─ wasm-bindgen ─► js + wasm ─ wasm-opt (release) ─┐
//! style/main.css ─ imports inlined ──────────────────────────────────────────┼─► target/site
//! public/ ───────────────────────────────────────────────────────────────────┘   + .br + manifest
//! ```
//!
//! Rule: what did not change is neither made again nor written again, so that a warm build is
//! quick and cargo does not compile the server anew for equal bytes.

mod site;
mod style;
mod wasm;

use anyhow::Result;

use crate::progress::Progress;
use crate::setup::wasm_target::WasmToolchain;
use crate::workspace::Workspace;

/// How many steps [`build`] takes.
pub const STEPS: usize = 3;

/// For whom the browser part is built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Quick to build.
    Dev,
    /// Small to load.
    Release,
}

impl Mode {
    /// The mode that `--release` asks for.
    pub fn new(release: bool) -> Self {
        if release { Self::Release } else { Self::Dev }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Release => "release",
        }
    }
}

/// Builds the browser part into `target/site`.
pub fn build(workspace: &Workspace, toolchain: &WasmToolchain, mode: Mode, progress: &mut Progress) -> Result<()> {
    let compiled =
        progress.step("Compiling the browser part", |line| wasm::compile(workspace, toolchain, mode, line))?;
    let package = progress.step("Binding it to JavaScript", |line| wasm::bind(workspace, &compiled, mode, line))?;
    progress.step("Gathering and compressing the site", |line| site::publish(workspace, &package, mode, line))
}
