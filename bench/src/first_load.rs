//! What a browser loads before a page lives. The rule: sizes are those of the built site's list.

use std::fs;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    Bench,
    report::{Report, Table},
};

/// In bytes.
const TARGET: u64 = 250_000;

/// Reads the sizes of the browser part.
pub fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let path = bench.site.join("manifest.json");
    let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let manifest: Value = serde_json::from_str(&text)?;
    let files = manifest["files"].as_object().context("the site's list names no files")?;
    let mode = manifest["mode"].as_str().unwrap_or("?");
    let mut table = Table::new(format!("First load ({mode} build)"), &["", "plain", "brotli", "target"]);
    let mut sum = (0, 0);
    for (name, file) in files.iter().filter(|(name, _)| name.ends_with(".js") || name.ends_with(".wasm")) {
        let plain = file["bytes"].as_u64().unwrap_or_default();
        let packed = file["br"].as_u64().unwrap_or(plain);
        sum = (sum.0 + plain, sum.1 + packed);
        table.row([name.clone(), kilobytes(plain), kilobytes(packed), String::new()]);
    }
    let met = sum.1 <= TARGET && sum.1 > 0 && mode == "release";
    let target = report.target("first load", "≤ 250 KB", met);
    table.row(["together".to_owned(), kilobytes(sum.0), kilobytes(sum.1), target]);
    table.print();
    Ok(())
}

fn kilobytes(bytes: u64) -> String {
    format!("{:.1} KB", bytes as f64 / 1e3)
}
