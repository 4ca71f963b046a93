//! Reads a blueprint's file into a tree. Rule: anchors, aliases, merge keys, tags, several documents
//! and repeated keys are refused while the text is read, before anything is made of it, and depth
//! and size are bounded; so nothing in it can grow or mean two things.
//!
//! What is a number and what is text is decided here, once: the file that Compose gets is written
//! anew from the tree, so that its own reader has nothing left to interpret.

use std::collections::HashSet;

use saphyr_parser::{Event, Parser, ScalarStyle};

/// The deepest nesting.
const DEPTH_MOST: usize = 16;
/// The most values.
const NODES_MOST: usize = 20_000;
/// The most bytes of a key.
const KEY_MOST: usize = 256;

/// A value and the line where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Yaml,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Yaml {
    Null,
    Bool(bool),
    Integer(i64),
    /// A number with a fraction, as it is written.
    Decimal(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// Why a text cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) line: usize,
    pub(super) message: &'static str,
}

/// A value that is not finished.
enum Open {
    List { line: usize, items: Vec<Node> },
    Map { line: usize, entries: Vec<(String, Node)>, known: HashSet<String>, key: Option<String> },
}

/// The one document of a text.
pub(super) fn read(text: &str) -> Result<Node, Unreadable> {
    // A reader that other people wrote may have a flaw that its own tests did not meet; the text is
    // a stranger's.
    std::panic::catch_unwind(|| document(text))
        .unwrap_or(Err(Unreadable { line: 1, message: "is not YAML that can be read" }))
}

fn document(text: &str) -> Result<Node, Unreadable> {
    let mut parser = Parser::new_from_str(text);
    let mut open: Vec<Open> = Vec::new();
    let mut root: Option<Node> = None;
    let mut documents = 0;
    let mut nodes = 0;
    while let Some(event) = parser.next_event() {
        let (event, span) = event
            .map_err(|error| Unreadable { line: error.marker().line(), message: "is not YAML that can be read" })?;
        let line = span.start.line();
        let refuse = |message| Err(Unreadable { line, message });
        let done = match event {
            Event::Nothing | Event::StreamStart | Event::DocumentEnd => continue,
            Event::StreamEnd => break,
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    return refuse("must be one document");
                }
                continue;
            }
            Event::Alias(_) => return refuse("must not have aliases"),
            Event::Scalar(_, _, anchor, _) | Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _)
                if anchor != 0 =>
            {
                return refuse("must not have anchors");
            }
            Event::Scalar(_, _, _, Some(_)) | Event::SequenceStart(_, Some(_)) | Event::MappingStart(_, Some(_)) => {
                return refuse("must not have tags");
            }
            Event::Scalar(text, style, _, None) => {
                if let Some(Open::Map { known, key: key @ None, .. }) = open.last_mut() {
                    if text == "<<" {
                        return refuse("must not have merge keys");
                    }
                    if text.is_empty() || text.len() > KEY_MOST || !is_plain_text(&text) || text.contains('\n') {
                        return refuse("has a key that cannot be one");
                    }
                    let text = text.into_owned();
                    if !known.insert(text.clone()) {
                        return refuse("has a key twice");
                    }
                    *key = Some(text);
                    continue;
                }
                if !is_plain_text(&text) {
                    return refuse("must not have control characters");
                }
                Node { line, value: resolved(&text, style) }
            }
            start @ (Event::SequenceStart(..) | Event::MappingStart(..)) => {
                if let Some(Open::Map { key: None, .. }) = open.last() {
                    return refuse("has a key that cannot be one");
                }
                if open.len() >= DEPTH_MOST {
                    return refuse("is nested too deep");
                }
                open.push(match start {
                    Event::SequenceStart(..) => Open::List { line, items: Vec::new() },
                    _ => Open::Map { line, entries: Vec::new(), known: HashSet::new(), key: None },
                });
                nodes += 1;
                if nodes > NODES_MOST {
                    return refuse("has too many values");
                }
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List { line, items }) => Node { line, value: Yaml::List(items) },
                Some(Open::Map { line, entries, key: None, .. }) => Node { line, value: Yaml::Map(entries) },
                _ => return refuse("is not YAML that can be read"),
            },
        };
        nodes += 1;
        if nodes > NODES_MOST {
            return refuse("has too many values");
        }
        match open.last_mut() {
            None => root = Some(done),
            Some(Open::List { items, .. }) => items.push(done),
            Some(Open::Map { entries, key, .. }) => match key.take() {
                Some(key) => entries.push((key, done)),
                None => return refuse("is not YAML that can be read"),
            },
        }
    }
    root.ok_or(Unreadable { line: 1, message: "has nothing in it" })
}

/// Text that every reader of YAML reads alike within quotes: no control characters but line ends and
/// tabs, and none of the signs that some take for a line's end or for a mark of the encoding.
fn is_plain_text(text: &str) -> bool {
    text.chars().all(|c| match c {
        '\n' | '\t' => true,
        '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => false,
        c => !c.is_control(),
    })
}

/// What a scalar is, by the core schema of YAML 1.2 in its plainest form; what that leaves open, such
/// as `yes`, `0777` or `1_000`, is text.
fn resolved(text: &str, style: ScalarStyle) -> Yaml {
    if style != ScalarStyle::Plain {
        return Yaml::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Yaml::Null,
        "true" | "True" | "TRUE" => return Yaml::Bool(true),
        "false" | "False" | "FALSE" => return Yaml::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = |digits: &str| {
        !digits.is_empty()
            && digits.bytes().all(|b| b.is_ascii_digit())
            && (digits.len() == 1 || !digits.starts_with('0'))
    };
    if is_number(digits)
        && let Ok(number) = text.parse()
    {
        return Yaml::Integer(number);
    }
    if let Some((whole, fraction)) = digits.split_once('.')
        && is_number(whole)
        && digits.len() <= 20
        && !fraction.is_empty()
        && fraction.bytes().all(|b| b.is_ascii_digit())
    {
        return Yaml::Decimal(text.to_owned());
    }
    Yaml::Text(text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{document, read};

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

        /// Without the net below it.
        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
            prop_assert_eq!(document(&text), read(&text));
        }

        #[test]
        fn no_text_of_the_languages_own_signs_makes_the_reader_panic(text in "[-\\[\\]{}:,?&*!|>'\"%@#a1 \\t\\n]{0,120}") {
            prop_assert_eq!(document(&text), read(&text));
        }
    }
}
