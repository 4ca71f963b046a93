//! Query strings: filters and pages, the same for every list. Rule: text is compared without regard
//! to case, as the vendor does.

use super::{reply::Reply, world::Record};

/// The parameters of a query string, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

/// The filters on a record's text fields.
const FIELDS: [&str; 3] = ["name", "content", "comment"];

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        Self(url::form_urlencoded::parse(text.as_bytes()).map(|(k, v)| (k.into_owned(), v.into_owned())).collect())
    }

    pub(super) fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(k, v)| k == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    /// The page and how many entries it has.
    pub(super) fn page(&self, usual: usize, least: usize, most: usize) -> Result<(usize, usize), Reply> {
        let number =
            |name: &str, usual: usize| match self.one(name) {
                None => Ok(usual),
                Some(text) => text.parse().ok().filter(|number| *number > 0).ok_or_else(|| {
                    Reply::error(400, 1004, &format!("Invalid request: {name} must be a positive number"))
                }),
            };
        Ok((number("page", 1)?, number("per_page", usual)?.clamp(least, most)))
    }

    /// Whether a record passes the filters: all of them, or any with `match=any`.
    pub(super) fn keeps(&self, record: &Record) -> bool {
        let comment = record.comment.as_deref().unwrap_or_default();
        let mut verdicts = Vec::new();
        for (key, value) in self.0.iter().filter(|(_, value)| !value.is_empty()) {
            let (field, how) = key.split_once('.').unwrap_or((key, "exact"));
            if FIELDS.contains(&field) {
                let text = match field {
                    "name" => &record.name,
                    "content" => &record.content,
                    _ => comment,
                };
                verdicts.push(compares(how, text, value));
            }
            match key.as_str() {
                "type" => verdicts.push(record.kind.eq_ignore_ascii_case(value)),
                "proxied" => verdicts.push(record.proxied == (value == "true")),
                "search" => verdicts.push(
                    [&record.name, &record.content, comment].iter().any(|text| compares("contains", text, value)),
                ),
                _ => {}
            }
        }
        if self.one("match") == Some("any") {
            verdicts.is_empty() || verdicts.contains(&true)
        } else {
            !verdicts.contains(&false)
        }
    }

    /// Puts records into the order asked for.
    pub(super) fn order(&self, records: &mut [&Record]) {
        match self.one("order") {
            Some("name") => records.sort_by(|a, b| a.name.cmp(&b.name)),
            Some("type") => records.sort_by(|a, b| a.kind.cmp(&b.kind)),
            Some("content") => records.sort_by(|a, b| a.content.cmp(&b.content)),
            Some("ttl") => records.sort_by_key(|it| it.ttl),
            Some("proxied") => records.sort_by_key(|it| it.proxied),
            _ => {}
        }
        if self.one("direction") == Some("desc") {
            records.reverse();
        }
    }
}

fn compares(how: &str, text: &str, wanted: &str) -> bool {
    let (text, wanted) = (text.to_lowercase(), wanted.to_lowercase());
    match how {
        "exact" => text == wanted,
        "contains" => text.contains(&wanted),
        "startswith" => text.starts_with(&wanted),
        "endswith" => text.ends_with(&wanted),
        "present" => text.is_empty() != (wanted != "false"),
        "absent" => text.is_empty() == (wanted != "false"),
        _ => true,
    }
}
