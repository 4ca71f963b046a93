//! The part of `test` that holds the simulated Hetzner and the simulated Cloudflare against clients
//! written by others: `simulators/clients`.
//!
//! Rule: Debian's command, PyPI's libraries, octoDNS and the vendor's specification are required;
//! Ansible is run where the machine has the Python for it.

use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::process;
use crate::progress::Line;
use crate::setup::hetzner::Ansible;
use crate::tally::Tally;
use crate::workspace::Workspace;

/// The steps of this part: four to set up, the simulator, the tests.
pub const STEPS: usize = 6;

/// How many tests run at once: most of their time they wait for an action.
const WORKERS: &str = "4";

/// What the tests run with; each may be missing but Python's packages and the simulator.
pub struct Clients {
    /// The `bin` folder with pytest.
    pub bin: PathBuf,
    /// The built simulator of Hetzner; that of Cloudflare lies beside it.
    pub simulator: PathBuf,
    /// Debian's command.
    pub command: Option<PathBuf>,
    /// The vendor's specification.
    pub specification: Option<PathBuf>,
    /// Ansible with the vendor's modules.
    pub ansible: Option<Ansible>,
}

/// Cloudflare's simulator as a program.
const CLOUDFLARE: &str = "cloudflare_only";

/// Compiles the simulators as programs of their own; that of Hetzner.
pub fn simulator(workspace: &Workspace, line: &mut Line) -> Result<PathBuf> {
    let mut command = process::cargo(&workspace.root);
    command.args(["build", "--package", "simulators", "--example", "hetzner_only", "--example", CLOUDFLARE]);
    process::quiet(&mut command, line)?;
    Ok(workspace.target.join("debug/examples/hetzner_only"))
}

impl Clients {
    /// Runs the tests, passing on what they print.
    pub fn run(&self, workspace: &Workspace, arguments: &[String]) -> Result<Tally> {
        let report = workspace.scratch().join("clients.xml");
        drop(std::fs::remove_file(&report));
        let mut command = Command::new(self.bin.join("python"));
        command
            .args(["-m", "pytest", "--numprocesses", WORKERS, "--dist", "load", "--maxschedchunk", "2"])
            .arg(format!("--junitxml={}", report.display()))
            .current_dir(workspace.root.join("simulators/clients"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("HANGAR_SIMULATOR", &self.simulator)
            .env("NO_PROXY", "127.0.0.1")
            .env("HANGAR_CLOUDFLARE_SIMULATOR", self.simulator.with_file_name(CLOUDFLARE))
            .stdin(Stdio::null());
        if let Some(hcloud) = &self.command {
            command.env("HANGAR_HCLOUD", hcloud);
        }
        match &self.specification {
            Some(specification) => command.env("HANGAR_HETZNER_SPECIFICATION", specification),
            None => command.arg("--ignore=specification_test.py"),
        };
        if let Some(ansible) = &self.ansible {
            command.env("HANGAR_ANSIBLE", &ansible.program).env("HANGAR_ANSIBLE_COLLECTIONS", &ansible.collections);
        }
        let status = command.args(arguments).status().context("pytest does not start")?;
        let report = std::fs::read_to_string(&report).context("pytest wrote no report")?;
        Ok(Tally::from_junit_report(&report)?.with_exit(status.success()))
    }
}
