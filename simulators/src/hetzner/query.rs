//! Query strings: pages, order, exact filters and label selectors, the same for every list.
//! Rule: what the vendor refuses is refused here with 422 and the field's name.

use std::{cmp::Ordering, collections::BTreeMap};

use serde_json::{Map, Value, json};

use super::reply::Reply;

/// Labels of a resource.
pub(super) type Labels = BTreeMap<String, String>;

/// The parameters of a query string, in order, repeated ones included.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        Self(url::form_urlencoded::parse(text.as_bytes()).map(|(k, v)| (k.into_owned(), v.into_owned())).collect())
    }

    /// The first value; an empty one counts as absent, as clients send `name=` for no filter.
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(k, v)| k == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    /// Every value of a repeated parameter.
    pub(super) fn all<'a>(&'a self, name: &str) -> Vec<&'a str> {
        self.0.iter().filter(|(k, v)| k == name && !v.is_empty()).map(|(_, v)| v.as_str()).collect()
    }

    /// Keeps the values that a repeated filter names; all when it is absent.
    pub(super) fn keeps(&self, name: &str, value: &str) -> bool {
        let wanted = self.all(name);
        wanted.is_empty() || wanted.contains(&value)
    }

    /// Refuses a value that the vendor does not know.
    pub(super) fn one_of(&self, name: &str, known: &[&str]) -> Result<(), Reply> {
        if self.all(name).iter().all(|value| known.contains(value)) {
            Ok(())
        } else {
            Err(Reply::invalid(name, &format!("must be one of {}", known.join(", "))))
        }
    }

    /// A parameter that is true or false, as Go reads it; absent is false.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Reply> {
        match self.one(name) {
            Some("1" | "t" | "T" | "true" | "True" | "TRUE") => Ok(true),
            None | Some("0" | "f" | "F" | "false" | "False" | "FALSE") => Ok(false),
            Some(_) => Err(Reply::invalid(name, "must be true or false")),
        }
    }

    fn number(&self, name: &str, default: usize) -> Result<usize, Reply> {
        match self.one(name) {
            None => Ok(default),
            Some(text) => match text.parse() {
                Ok(number) if number > 0 => Ok(number),
                _ => Err(Reply::invalid(name, "must be a positive number")),
            },
        }
    }

    /// The label selector, ready to be applied.
    pub(super) fn selector(&self) -> Result<Selector, Reply> {
        match self.one("label_selector") {
            None => Ok(Selector(Vec::new())),
            Some(text) => {
                Selector::parse(text).ok_or_else(|| Reply::invalid("label_selector", "is not a label selector"))
            }
        }
    }
}

/// The page size that is used when none is asked for, and the largest one, of most lists.
const PER_PAGE: (usize, usize) = (25, 50);

/// Orders `items` by `sort` (`sortable` says by what), cuts the page and wraps it as the vendor
/// does: under `key`, with `meta.pagination`.
pub(super) fn page(query: &Query, key: &str, sortable: &[&str], items: Vec<Value>) -> Result<Reply, Reply> {
    page_of(query, key, sortable, items, |item, field| item[field].clone(), |item| item)
}

/// The same for things of which only those of the page are turned into JSON.
pub(super) fn page_of<T>(
    query: &Query,
    key: &str,
    sortable: &[&str],
    items: Vec<T>,
    field: impl Fn(&T, &str) -> Value,
    json: impl Fn(T) -> Value,
) -> Result<Reply, Reply> {
    page_up_to(PER_PAGE, query, key, sortable, items, field, json)
}

/// The same with other page sizes: the usual and the largest one.
pub(super) fn page_up_to<T>(
    (usual, largest): (usize, usize),
    query: &Query,
    key: &str,
    sortable: &[&str],
    mut items: Vec<T>,
    value: impl Fn(&T, &str) -> Value,
    json: impl Fn(T) -> Value,
) -> Result<Reply, Reply> {
    for sort in query.all("sort").into_iter().rev() {
        let (field, descending) = match sort.split_once(':') {
            None | Some((_, "asc")) => (sort.split(':').next().unwrap_or(sort), false),
            Some((field, "desc")) => (field, true),
            Some(_) => return Err(Reply::invalid("sort", "direction must be asc or desc")),
        };
        if !sortable.contains(&field) {
            return Err(Reply::invalid("sort", "cannot be sorted by this field"));
        }
        items.sort_by(|a, b| {
            let order = compare(&value(a, field), &value(b, field));
            if descending { order.reverse() } else { order }
        });
    }
    let page = query.number("page", 1)?;
    let per_page = query.number("per_page", usual)?.min(largest);
    let total = items.len();
    let last_page = total.div_ceil(per_page).max(1);
    let items: Vec<Value> =
        items.into_iter().skip((page - 1).saturating_mul(per_page)).take(per_page).map(json).collect();
    let mut body = Map::new();
    body.insert(key.to_owned(), Value::Array(items));
    body.insert(
        "meta".to_owned(),
        json!({"pagination": {
            "page": page,
            "per_page": per_page,
            "previous_page": (page > 1).then(|| page - 1),
            "next_page": (page < last_page).then(|| page + 1),
            "last_page": last_page,
            "total_entries": total,
        }}),
    );
    Ok(Reply::ok(Value::Object(body)))
}

fn compare(a: &Value, b: &Value) -> Ordering {
    match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.as_str().unwrap_or_default().cmp(b.as_str().unwrap_or_default()),
    }
}

/// Requirements on labels, all of which must hold.
#[derive(Clone, Debug)]
pub(super) struct Selector(Vec<Requirement>);

#[derive(Clone, Debug)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Present(String),
    Absent(String),
}

impl Selector {
    /// `k=v`, `k==v`, `k!=v`, `k`, `!k`, `k in (a,b)`, `k notin (a,b)`, joined by commas.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut requirements = Vec::new();
        for part in split_outside_brackets(text) {
            requirements.push(Requirement::parse(part.trim())?);
        }
        Some(Self(requirements))
    }

    pub(super) fn selects(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Requirement::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
            Requirement::Present(key) => labels.contains_key(key),
            Requirement::Absent(key) => !labels.contains_key(key),
        })
    }
}

fn split_outside_brackets(text: &str) -> Vec<&str> {
    let mut depth = 0usize;
    text.split(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .collect()
}

impl Requirement {
    fn parse(part: &str) -> Option<Self> {
        if let Some((key, values)) = set_of(part, " notin ") {
            return valid_key(&key).then_some(Self::NotIn(key, values));
        }
        if let Some((key, values)) = set_of(part, " in ") {
            return valid_key(&key).then_some(Self::In(key, values));
        }
        let (key, equal) = if let Some((key, _)) = part.split_once("!=") {
            (key, false)
        } else if let Some((key, _)) = part.split_once('=') {
            (key, true)
        } else if let Some(key) = part.strip_prefix('!') {
            let key = key.trim();
            return valid_key(key).then(|| Self::Absent(key.to_owned()));
        } else {
            return valid_key(part).then(|| Self::Present(part.to_owned()));
        };
        let value = part.rsplit('=').next().unwrap_or_default().trim();
        let key = key.trim();
        let (key, values) = (key.to_owned(), vec![value.to_owned()]);
        if !valid_key(&key) || !valid_value(value) {
            return None;
        }
        Some(if equal { Self::In(key, values) } else { Self::NotIn(key, values) })
    }
}

fn set_of(part: &str, word: &str) -> Option<(String, Vec<String>)> {
    let (key, set) = part.split_once(word)?;
    let values = set.trim().strip_prefix('(')?.strip_suffix(')')?;
    Some((key.trim().to_owned(), values.split(',').map(|value| value.trim().to_owned()).collect()))
}

fn valid_name(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && edge(text.chars().next())
        && edge(text.chars().last())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// A label key: an optional DNS prefix and a slash, then a name of up to 63 characters.
pub(super) fn valid_key(key: &str) -> bool {
    match key.split_once('/') {
        None => valid_name(key),
        Some((prefix, name)) => {
            !prefix.is_empty() && prefix.len() <= 253 && prefix.split('.').all(valid_name) && valid_name(name)
        }
    }
}

/// A label value: empty, or up to 63 of `[A-Za-z0-9._-]` with alphanumeric ends.
pub(super) fn valid_value(value: &str) -> bool {
    value.is_empty() || valid_name(value)
}

/// Text of a request body; null counts as absent.
pub(super) fn text_of<'a>(body: &'a Map<String, Value>, field: &str) -> Result<Option<&'a str>, Reply> {
    match body.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Reply::invalid(field, "must be text")),
    }
}

/// A flag of a request body; null counts as absent.
pub(super) fn flag_of(body: &Map<String, Value>, field: &str) -> Result<Option<bool>, Reply> {
    match body.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(_) => Err(Reply::invalid(field, "must be true or false")),
    }
}

/// Labels of the vendor's own, which nobody may set.
const RESERVED: &str = "hetzner.cloud/";

/// The `labels` of a request body: absent, or an object of valid strings.
pub(super) fn labels_of(body: &Map<String, Value>) -> Result<Option<Labels>, Reply> {
    let map = match body.get("labels") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(map)) => map,
        Some(_) => return Err(Reply::invalid("labels", "must be an object")),
    };
    let mut labels = Labels::new();
    for (key, value) in map {
        let value = value
            .as_str()
            .filter(|value| valid_key(key) && !key.starts_with(RESERVED) && valid_value(value))
            .ok_or_else(|| Reply::invalid("labels", &format!("label '{key}' is not valid")))?;
        labels.insert(key.clone(), value.to_owned());
    }
    Ok(Some(labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selects(selector: &str) -> bool {
        let labels =
            Labels::from([("env".to_owned(), "prod".to_owned()), ("example.com/team".to_owned(), String::new())]);
        Selector::parse(selector).unwrap().selects(&labels)
    }

    #[test]
    fn selectors_select() {
        for yes in [
            "env",
            "env=prod",
            "env==prod",
            "env!=dev",
            "!gone",
            "gone!=x",
            "env in (dev, prod)",
            "env notin (a,b),env",
            "example.com/team",
            "example.com/team=",
        ] {
            assert!(selects(yes), "{yes}");
        }
        for no in ["gone", "env=dev", "!env", "env!=prod", "env in (a,b)", "env notin (prod)"] {
            assert!(!selects(no), "{no}");
        }
        for bad in ["env=-x", "-a", "a b", "=x", "env in prod"] {
            assert!(Selector::parse(bad).is_none(), "{bad}");
        }
    }
}
