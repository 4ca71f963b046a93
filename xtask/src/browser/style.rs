//! One style sheet out of `style/main.css` and what it imports, so that a page asks once.
//!
//! Understood are `@import "tokens.css";` and `@import "ui/button.css" layer(ui);`, each on a line
//! of its own, the path relative to the importing file.
//! Rule: an import that is not understood stops the build; it would be missing in the browser.

use anyhow::{Context, Result, bail, ensure};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The whole sheet.
pub fn sheet(main: &Path) -> Result<String> {
    let mut text = String::new();
    inline(main, &mut Vec::new(), &mut text)?;
    Ok(text)
}

fn inline(file: &Path, above: &mut Vec<PathBuf>, text: &mut String) -> Result<()> {
    ensure!(!above.iter().any(|open| open == file), "{} imports itself", file.display());
    let source = std::fs::read_to_string(file).with_context(|| format!("no style {}", file.display()))?;
    let folder = file.parent().context("a file lies in a folder")?;
    above.push(file.to_owned());
    for line in source.lines() {
        match import(line).with_context(|| format!("in {}", file.display()))? {
            None => writeln!(text, "{line}")?,
            Some((path, None)) => inline(&folder.join(path), above, text)?,
            Some((path, Some(layer))) => {
                writeln!(text, "@layer {layer} {{")?;
                inline(&folder.join(path), above, text)?;
                writeln!(text, "}}")?;
            }
        }
    }
    above.pop();
    Ok(())
}

/// The path and the layer that this line imports.
fn import(line: &str) -> Result<Option<(&str, Option<&str>)>> {
    let Some(rest) = line.trim().strip_prefix("@import") else {
        return Ok(None);
    };
    let parsed = rest
        .trim()
        .strip_suffix(';')
        .and_then(|rest| rest.strip_prefix('"'))
        .and_then(|rest| rest.split_once('"'))
        .filter(|(path, _)| !path.contains("//"))
        .and_then(|(path, rest)| match rest.trim() {
            "" => Some((path, None)),
            rest => rest.strip_prefix("layer(")?.strip_suffix(')').map(|layer| (path, Some(layer))),
        });
    match parsed {
        Some(import) => Ok(Some(import)),
        None => bail!("this import is not understood: {}", line.trim()),
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use std::fs;

    /// A folder of its own for each test, gone afterwards.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let path = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
            fs::create_dir_all(path.join("ui")).unwrap();
            for (file, text) in files {
                fs::write(path.join(file), text).unwrap();
            }
            Self(path)
        }

        fn sheet(&self) -> Result<String> {
            sheet(&self.0.join("main.css"))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn imports_are_inlined_in_order_and_relative_to_their_file() {
        let folder = Folder::new(
            "inline",
            &[
                ("main.css", "@import \"tokens.css\";\n@import \"ui/all.css\" layer(ui);\nz {}\n"),
                ("tokens.css", ":root { --a: 1 }\n"),
                ("ui/all.css", "@import \"button.css\";\n"),
                ("ui/button.css", "button {}\n"),
            ],
        );
        assert_eq!(folder.sheet().unwrap(), ":root { --a: 1 }\n@layer ui {\nbutton {}\n}\nz {}\n");
    }

    #[test]
    fn a_circle_is_refused() {
        let folder = Folder::new(
            "circle",
            &[("main.css", "@import \"tokens.css\";\n"), ("tokens.css", "@import \"main.css\";\n")],
        );
        let error = format!("{:#}", folder.sheet().unwrap_err());
        assert!(error.contains("imports itself"), "{error}");
    }

    #[test]
    fn one_file_may_be_imported_twice() {
        let folder =
            Folder::new("twice", &[("main.css", "@import \"a.css\";\n@import \"a.css\";\n"), ("a.css", "a {}\n")]);
        assert_eq!(folder.sheet().unwrap(), "a {}\na {}\n");
    }

    #[test]
    fn what_is_not_understood_stops_the_build() {
        for line in [
            "@import url(a.css);",
            "@import \"https://example.org/a.css\";",
            "@import \"a.css\" screen;",
            "@import \"a.css\"",
        ] {
            assert!(import(line).is_err(), "{line}");
        }
        assert_eq!(import("a { color: red }").unwrap(), None);
    }

    #[test]
    fn a_missing_file_is_named() {
        let folder = Folder::new("missing", &[("main.css", "@import \"gone.css\";\n")]);
        let error = format!("{:#}", folder.sheet().unwrap_err());
        assert!(error.contains("gone.css"), "{error}");
    }
}
