//! What is put into a blueprint's file: `${NAME}`, and how the values are written for Compose.
//! Rule: one form of reference and no other, and a value reaches the file as it is, whatever is in it.

use std::collections::BTreeMap;

/// What Hangar itself gives: the version, the node's id, and where its ports are reached.
pub(super) const OWN: [&str; 3] = ["HANGAR_TAG", "HANGAR_NODE", "HANGAR_HOST"];

/// The most bytes of an image's name.
const IMAGE_MOST: usize = 512;

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

/// Whether a text is an image's name: `[host[:port]/]path[:tag][@digest]`. It becomes part of what
/// the engine is asked for.
pub(super) fn is_image(text: &str) -> bool {
    let (rest, digest) = text.split_once('@').map_or((text, None), |(rest, digest)| (rest, Some(digest)));
    let is_digest = |it: &str| {
        it.strip_prefix("sha256:")
            .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
    };
    let (path, tag) = match rest.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (rest, None),
    };
    let is_part = |part: &str| {
        let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        part.bytes().all(|b| fine(b) || b"._-".contains(&b))
            && [part.bytes().next(), part.bytes().next_back()].iter().all(|it| it.is_some_and(fine))
            && !part.contains("..")
    };
    let is_host = |part: &str| {
        let (name, port) = part.split_once(':').map_or((part, None), |(name, port)| (name, Some(port)));
        let fine = |b: u8| b.is_ascii_alphanumeric() || b".-".contains(&b);
        (name == "localhost" || name.contains('.') || port.is_some() || name.bytes().any(|b| b.is_ascii_uppercase()))
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.bytes().all(fine)
            && !name.contains("..")
            && port.is_none_or(|it| it.parse::<u16>().is_ok_and(|port| port > 0))
    };
    let parts: Vec<_> = path.split('/').collect();
    let (first, more) = parts.split_first().map_or(("", &[][..]), |(first, more)| (*first, more));
    text.len() <= IMAGE_MOST
        && digest.is_none_or(is_digest)
        && tag.is_none_or(domain::blueprint::is_tag)
        && (is_part(first) || (!more.is_empty() && is_host(first)))
        && more.iter().all(|part| is_part(part))
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

#[cfg(test)]
mod tests {
    use super::is_image;

    #[test]
    fn names_of_images_are_known_from_what_only_looks_like_one() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for fine in [
            "a",
            "a-b/c__d.e:1.2_3-x",
            "localhost/a",
            "localhost:5000/a/b:latest",
            "127.0.0.1:5000/hangar/app:good1",
            "registry.example/a",
            "REGISTRY.example:443/a",
            &format!("a@{digest}"),
            &format!("registry.example:443/a/b:tag@{digest}"),
        ] {
            assert!(is_image(fine), "{fine}");
        }
        for bad in [
            "",
            ":",
            "@",
            "/",
            "a:",
            ":a",
            "a@",
            "a/",
            "/a",
            "a//b",
            "a:b/c/",
            "A",
            "a/B",
            "a..b",
            "../a",
            "a/../b",
            "a?x",
            "a#x",
            "a%20",
            "a b",
            "a\n",
            "é",
            "x:0/a",
            "x:99999/a",
            "x:y/a",
            "..x:1/a",
            "a:b:c",
            "a@b@c",
            "a@sha256:00",
            "a@md5:00",
            "-a",
            "a-",
            ".a",
        ] {
            assert!(!is_image(bad), "{bad}");
        }
    }
}
