//! What is put into a blueprint's file: `${NAME}`, and how the values are written for Compose.
//! Rule: one form of reference and no other, and a value reaches the file as it is, whatever is in it.

use std::collections::BTreeMap;

/// What Hangar itself gives: the version, the node's id, and where its ports are reached.
pub(super) const OWN: [&str; 3] = ["HANGAR_TAG", "HANGAR_NODE", "HANGAR_HOST"];

/// What Compose takes from its own environment, which goes before every other source.
pub(super) const ENVIRONMENT: [&str; 5] = ["PATH", "HOME", "PWD", "SSH_AUTH_SOCK", "TMPDIR"];

/// The names that a text refers to.
///
/// # Errors
/// One sentence when there is a `$` that is neither `$$` nor `${NAME}`.
pub(super) fn references(text: &str) -> Result<Vec<&str>, &'static str> {
    let mut names = Vec::new();
    each(text, |piece| {
        if let Piece::Name(name) = piece {
            names.push(name);
        }
    })?;
    Ok(names)
}

/// The text with the values put in, as Compose does it; what is not known stands for nothing.
pub(super) fn filled(text: &str, values: &BTreeMap<String, String>) -> String {
    let mut whole = String::new();
    let put = |piece: Piece<'_>| match piece {
        Piece::Text(text) => whole.push_str(text),
        Piece::Name(name) => whole.push_str(values.get(name).map_or("", String::as_str)),
    };
    // A text that cannot be read was refused when the blueprint was.
    if each(text, put).is_err() {
        return text.to_owned();
    }
    whole
}

enum Piece<'a> {
    Text(&'a str),
    Name(&'a str),
}

fn each<'a>(text: &'a str, mut take: impl FnMut(Piece<'a>)) -> Result<(), &'static str> {
    const WRONG: &str = "has a $ that is neither ${NAME}, with capital letters, digits and _, nor $$ for the sign \
        itself; what a variable is when nothing is given belongs to the blueprint's variables";
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        take(Piece::Text(&rest[..at]));
        let after = &rest[at + 1..];
        if let Some(after) = after.strip_prefix('$') {
            take(Piece::Text("$"));
            rest = after;
            continue;
        }
        let (name, after) = after.strip_prefix('{').and_then(|it| it.split_once('}')).ok_or(WRONG)?;
        let is_name = name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        if !is_name {
            return Err(WRONG);
        }
        take(Piece::Name(name));
        rest = after;
    }
    take(Piece::Text(rest));
    Ok(())
}

/// The values as Compose reads them from a file of variables.
///
/// Its reader takes everything in single quotes as it is, but for a quote and for a backslash
/// before one; a value that has such is written in double quotes with the signs that mean something
/// there as octal numbers.
pub(super) fn env_file(values: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (name, value) in values {
        text.push_str(name);
        text.push('=');
        if value.contains('\'') || value.ends_with('\\') {
            text.push('"');
            for c in value.chars() {
                match c {
                    '\\' => text.push_str("\\0134"),
                    '"' => text.push_str("\\0042"),
                    '$' => text.push_str("\\$"),
                    c => text.push(c),
                }
            }
            text.push('"');
        } else {
            text.push('\'');
            text.push_str(value);
            text.push('\'');
        }
        text.push('\n');
    }
    text
}
