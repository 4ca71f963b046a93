//! A list page's table with everything around it: the count, the pages, and every state drawn:
//! loading, nothing yet, nothing found, failed, data.

use domain::list::Listing;
use leptos::{either::EitherOf3, prelude::*};
use leptos_router::{
    hooks::{use_location, use_query_map},
    params::ParamsMap,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Column, Loaded, Table,
    filter::{FIELDS, is_narrowed, url_filter},
};
use crate::{Fault, routes::testid as ids};

/// Cursors of earlier pages that are remembered in the URL.
const TRAIL: usize = 20;

/// A list with its count, table and pages.
#[component]
pub fn ListView<T, F, V>(
    /// The page's one resource.
    from: Resource<Result<Listing<T>, Fault>>,
    /// What is counted: `["node", "nodes"]`.
    noun: [&'static str; 2],
    /// The columns.
    columns: &'static [Column],
    /// What the browser tests call the table.
    testid: &'static str,
    /// What to show while there is nothing at all: an `EmptyState`.
    #[prop(into)]
    empty: ViewFn,
    /// How an item looks: a `Row`.
    row: F,
) -> impl IntoView
where
    T: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
    F: Fn(T) -> V + Clone + Send + Sync + 'static,
    V: IntoView + 'static,
{
    let filter = url_filter();
    let query = use_query_map();
    let path = use_location().pathname;
    view! {
        <Loaded from=from let:page>
            {
                let narrowed = is_narrowed(&filter.get_untracked());
                let paged = filter.get_untracked().cursor.is_some();
                if page.items.is_empty() && !narrowed && !paged {
                    EitherOf3::A(empty.run())
                } else if page.items.is_empty() && !paged {
                    EitherOf3::B(nothing_found(path.get_untracked(), noun[1]))
                } else {
                    let count = page.count_text();
                    let word = if page.count == 1 { noun[0] } else { noun[1] };
                    let links = pager(&path.get_untracked(), &query.get_untracked(), page.next_cursor.as_deref());
                    let rows = page.items.into_iter().map(row.clone()).collect_view();
                    EitherOf3::C(
                        view! {
                            <p class="count muted">{count}" "{word}</p>
                            <Table caption=noun[1] columns=columns testid=testid>
                                {rows}
                            </Table>
                            {links}
                        },
                    )
                }
            }
        </Loaded>
    }
}

fn nothing_found(path: String, noun: &'static str) -> impl IntoView {
    view! {
        <div class="empty" data-testid=ids::NOTHING_FOUND>
            <p class="empty-title">{format!("No {noun} fit the filters")}</p>
            <p class="empty-next">
                <a class="button" href=path>
                    "Clear filters"
                </a>
            </p>
        </div>
    }
}

fn pager(path: &str, query: &ParamsMap, next_cursor: Option<&str>) -> impl IntoView + use<> {
    let (previous, next) = page_links(path, query, next_cursor);
    (previous.is_some() || next.is_some()).then(|| {
        view! {
            <nav class="pager" aria-label="Pages">
                {previous.map(|href| view! { <a class="button" rel="prev" href=href>"← Previous"</a> })}
                {next.map(|href| view! { <a class="button" rel="next" href=href>"Next →"</a> })}
            </nav>
        }
    })
}

/// The addresses of the page before and the page after. A cursor only leads onward, so the URL also
/// carries the trail of the cursors that led here.
fn page_links(path: &str, query: &ParamsMap, next_cursor: Option<&str>) -> (Option<String>, Option<String>) {
    let cursor = query.get("cursor").filter(|cursor| !cursor.is_empty());
    let trail: Vec<String> =
        query.get("trail").map(|trail| trail.split('~').map(ToOwned::to_owned).collect()).unwrap_or_default();
    let link = |cursor: Option<&str>, trail: &[String]| {
        let mut map = ParamsMap::new();
        for name in FIELDS.iter().chain(&["limit"]) {
            if let Some(value) = query.get(name).filter(|value| !value.is_empty()) {
                map.insert(*name, value);
            }
        }
        if let Some(cursor) = cursor {
            map.insert("cursor", cursor.to_owned());
        }
        let start = trail.len().saturating_sub(TRAIL);
        let trail = trail.get(start..).unwrap_or_default().join("~");
        if !trail.is_empty() {
            map.insert("trail", trail);
        }
        format!("{path}{}", map.to_query_string())
    };
    let previous = cursor.as_ref().map(|_| {
        let (last, before) = trail.split_last().map_or((None, [].as_slice()), |(last, before)| (Some(last), before));
        link(last.filter(|last| !last.is_empty()).map(String::as_str), before)
    });
    let next = next_cursor.map(|next| {
        let mut trail = trail.clone();
        trail.extend(cursor.clone());
        link(Some(next), &trail)
    });
    (previous, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(pairs: &[(&'static str, &str)]) -> ParamsMap {
        pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
    }

    #[test]
    fn one_can_go_on_and_all_the_way_back() {
        let first = page_links("/nodes", &query(&[("status", "ready")]), Some("c1"));
        assert_eq!(first, (None, Some("/nodes?status=ready&cursor=c1".to_owned())));
        let second = page_links("/nodes", &query(&[("cursor", "c1")]), Some("c2"));
        assert_eq!(second, (Some("/nodes".to_owned()), Some("/nodes?cursor=c2&trail=c1".to_owned())));
        let third = page_links("/nodes", &query(&[("cursor", "c2"), ("trail", "c1")]), None);
        assert_eq!(third, (Some("/nodes?cursor=c1".to_owned()), None));
    }

    #[test]
    fn a_single_page_has_no_links() {
        assert_eq!(page_links("/nodes", &query(&[]), None), (None, None));
    }
}
