//! `target/site`: what the server hands out, each compressible file with a `.br` beside it, and
//! `manifest.json` with a hash of every file:
//!
//! ```json
//! {"mode": "dev", "files": {"pkg/hangar.js": {"hash": "0f3c…", "bytes": 61234, "br": 9876}}}
//! ```
//!
//! `hash` is the first 16 hex digits of the content's SHA-256; `br` is the compressed size, or null.
//! Rule: the folder holds exactly what the manifest names, and equal bytes are not written again.

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{Mode, style};
use crate::progress::Line;
use crate::workspace::Workspace;

/// Kinds of file that gain from compression; pictures and fonts are compressed already.
const COMPRESSIBLE: [&str; 8] = ["css", "html", "js", "json", "svg", "txt", "wasm", "webmanifest"];

/// The name of the list of files.
const MANIFEST: &str = "manifest.json";

/// The files by their path below the site, with `/`.
type Files = BTreeMap<String, Vec<u8>>;

/// Gathers the site from `package` (what was bound), `style/` and `public/`.
pub fn publish(workspace: &Workspace, package: &Path, mode: Mode, line: &mut Line) -> Result<()> {
    let mut files = Files::new();
    collect(&workspace.root.join("public"), "", &mut files)?;
    collect(package, "pkg/", &mut files)?;
    let style = style::sheet(&workspace.root.join("style/main.css"))?;
    files.insert("pkg/hangar.css".into(), style.into_bytes());

    let mut compressed = Files::new();
    let cache = Cache::open(workspace, mode)?;
    for (path, bytes) in files.iter().filter(|(path, _)| is_compressible(path)) {
        line.status(path);
        compressed.insert(format!("{path}.br"), cache.compressed(bytes)?);
    }
    cache.prune(&files)?;

    let manifest = manifest(&files, &compressed, mode);
    line.note(first_load(&files, &compressed));
    files.append(&mut compressed);
    files.insert(MANIFEST.into(), manifest);
    mirror(&files, &workspace.site())
}

/// The first 16 hex digits of the content's SHA-256.
pub fn hash(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut hex = String::new();
    for byte in &Sha256::digest(bytes)[..8] {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

fn is_compressible(path: &str) -> bool {
    Path::new(path)
        .extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| COMPRESSIBLE.contains(&extension))
}

fn collect(folder: &Path, prefix: &str, files: &mut Files) -> Result<()> {
    for file in listing(folder)? {
        let relative = file.strip_prefix(folder)?.to_string_lossy().replace('\\', "/");
        files.insert(format!("{prefix}{relative}"), fs::read(&file)?);
    }
    Ok(())
}

/// Every file below the folder, hidden ones left out; nothing when there is no folder.
fn listing(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if !folder.exists() {
        return Ok(found);
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.path().is_dir() {
            found.extend(listing(&entry.path())?);
        } else {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn manifest(files: &Files, compressed: &Files, mode: Mode) -> Vec<u8> {
    let entries: serde_json::Map<_, _> = files
        .iter()
        .map(|(path, bytes)| {
            let br = compressed.get(&format!("{path}.br")).map(Vec::len);
            let entry = serde_json::json!({"hash": hash(bytes), "bytes": bytes.len(), "br": br});
            (path.clone(), entry)
        })
        .collect();
    let manifest = serde_json::json!({"mode": mode.name(), "files": entries});
    format!("{manifest:#}\n").into_bytes()
}

/// What the first visit loads, compressed, in words.
fn first_load(files: &Files, compressed: &Files) -> String {
    let size = |extension: &str| -> usize {
        compressed
            .iter()
            .filter(|(path, _)| path.ends_with(&format!("{extension}.br")))
            .map(|(_, bytes)| bytes.len())
            .sum()
    };
    let raw = files.get("pkg/hangar_bg.wasm").map_or(0, Vec::len);
    format!(
        "first load: wasm {} KB, js {} KB, css {} KB in brotli; the wasm plain {} KB",
        size(".wasm").div_ceil(1000),
        size(".js").div_ceil(1000),
        size(".css").div_ceil(1000),
        raw.div_ceil(1000)
    )
}

/// Makes the folder hold exactly these files; a reader sees the old file or the new one, never half.
fn mirror(files: &Files, folder: &Path) -> Result<()> {
    for (path, bytes) in files {
        let file = folder.join(path);
        if fs::read(&file).is_ok_and(|old| old == *bytes) {
            continue;
        }
        let parent = file.parent().context("a file lies in a folder")?;
        fs::create_dir_all(parent)?;
        let fresh = parent.join(format!(".fresh-{}", std::process::id()));
        fs::write(&fresh, bytes)?;
        fs::rename(&fresh, &file)?;
    }
    for file in listing(folder)? {
        let relative = file.strip_prefix(folder)?.to_string_lossy().into_owned();
        if !files.contains_key(&relative) {
            fs::remove_file(file)?;
        }
    }
    Ok(())
}

/// Compressed files by the hash of what they hold, so that only what changed is compressed.
struct Cache {
    folder: PathBuf,
    quality: u32,
}

impl Cache {
    fn open(workspace: &Workspace, mode: Mode) -> Result<Self> {
        let folder = workspace.scratch().join(mode.name()).join("br");
        fs::create_dir_all(&folder)?;
        let quality = match mode {
            Mode::Dev => 5,
            Mode::Release => 11,
        };
        Ok(Self { folder, quality })
    }

    fn compressed(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let file = self.folder.join(hash(bytes));
        if let Ok(known) = fs::read(&file) {
            return Ok(known);
        }
        let mut writer = brotli::CompressorWriter::new(Vec::new(), 4096, self.quality, 22);
        writer.write_all(bytes)?;
        let compressed = writer.into_inner();
        let fresh = file.with_extension(std::process::id().to_string());
        fs::write(&fresh, &compressed)?;
        fs::rename(fresh, file)?;
        Ok(compressed)
    }

    fn prune(&self, files: &Files) -> Result<()> {
        let used: Vec<String> = files.values().map(|bytes| hash(bytes)).collect();
        for file in listing(&self.folder)? {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            if !used.iter().any(|hash| *hash == name) {
                fs::remove_file(&file)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    fn files(list: &[(&str, &str)]) -> Files {
        list.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn the_manifest_names_each_file_with_its_hash() {
        let files = files(&[("logo.png", "png"), ("pkg/hangar.js", "js")]);
        let compressed = self::files(&[("pkg/hangar.js.br", "short")]);
        let manifest: serde_json::Value = serde_json::from_slice(&manifest(&files, &compressed, Mode::Dev)).unwrap();
        // The first digits of `printf js | sha256sum`.
        assert_eq!(
            manifest["files"]["pkg/hangar.js"],
            serde_json::json!({"hash": "16cedf80ade01c62", "bytes": 2, "br": 5})
        );
        assert_eq!(manifest["files"]["logo.png"]["br"], serde_json::Value::Null);
        assert_eq!(manifest["mode"], "dev");
    }

    #[test]
    fn mirroring_leaves_equal_files_alone_and_removes_strangers() {
        let folder = std::env::temp_dir().join(format!("xtask-mirror-{}", std::process::id()));
        mirror(&files(&[("pkg/a.js", "one"), ("pkg/old.js", "x")]), &folder).unwrap();
        let before = fs::metadata(folder.join("pkg/a.js")).unwrap();
        mirror(&files(&[("pkg/a.js", "one"), ("b.css", "two")]), &folder).unwrap();
        let after = fs::metadata(folder.join("pkg/a.js")).unwrap();

        use std::os::unix::fs::MetadataExt;
        assert_eq!(before.ino(), after.ino(), "an equal file was written again");
        assert!(!folder.join("pkg/old.js").exists());
        assert_eq!(fs::read_to_string(folder.join("b.css")).unwrap(), "two");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn pictures_are_not_compressed_again() {
        assert!(is_compressible("pkg/hangar_bg.wasm"));
        assert!(is_compressible("icon.svg"));
        assert!(!is_compressible("shot.png"));
        assert!(!is_compressible("pkg/hangar.js.br"));
    }
}
