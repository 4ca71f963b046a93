//! A list page's table with everything around it: the count, the pages, and every state drawn:
//! loading, nothing yet, nothing found, failed, data. The rule: a row belongs to its item's id, so
//! that what was opened in it (a question before an action) keeps its subject when rows come and go.

use std::collections::HashMap;

use domain::list::Listing;
use leptos::{
    either::EitherOf3,
    prelude::*,
    tachys::{reactive_graph::OwnedView, view::keyed::keyed},
};
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

/// What holds one page of a list, and perhaps what else its page shows.
pub trait Lists {
    /// What is listed.
    type Item;

    /// The page of the list.
    fn into_listing(self) -> Listing<Self::Item>;
}

impl<T> Lists for Listing<T> {
    type Item = T;

    fn into_listing(self) -> Self {
        self
    }
}

/// A list with its count, table and pages.
#[component]
pub fn ListView<D, F, V>(
    /// The page's one resource.
    from: Resource<Result<D, Fault>>,
    /// What is counted: `["node", "nodes"]`.
    noun: [&'static str; 2],
    /// The columns.
    columns: &'static [Column],
    /// What the browser tests call the table.
    testid: &'static str,
    /// What to show while there is nothing at all: an `EmptyState`.
    #[prop(into)]
    empty: ViewFn,
    /// The id of an item; no two of a list have the same.
    key: fn(&D::Item) -> String,
    /// How an item looks: a `Row`.
    row: F,
) -> impl IntoView
where
    D: Lists + Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
    D::Item: Clone + PartialEq + Send + Sync + 'static,
    F: Fn(D::Item) -> V + Clone + Send + Sync + 'static,
    V: IntoView + 'static,
{
    // What a row keeps must outlive the refetches, so that it belongs to the list, not to the data.
    let owner = Owner::current().unwrap_or_default();
    let shown = StoredValue::new(Shown::new());
    let filter = url_filter();
    let query = use_query_map();
    let path = use_location().pathname;
    view! {
        <Loaded from=from let:page>
            {
                let page = page.into_listing();
                let narrowed = is_narrowed(&filter.get_untracked());
                let paged = filter.get_untracked().cursor.is_some();
                let (count, number) = (page.count_text(), page.count);
                if page.items.is_empty() && !narrowed && !paged {
                    EitherOf3::A(empty.run())
                } else if page.items.is_empty() && !paged {
                    EitherOf3::B(nothing_found(path.get_untracked(), noun[1]))
                } else {
                    let word = if number == 1 { noun[0] } else { noun[1] };
                    let links = pager(&path.get_untracked(), &query.get_untracked(), page.next_cursor.as_deref());
                    let items = shown.try_update_value(|shown| kept(shown, page.items, key)).unwrap_or_default();
                    let (owner, row) = (owner.clone(), row.clone());
                    let rows = keyed(
                        items,
                        |(id, _)| id.clone(),
                        move |_, (_, item)| {
                            let (owner, row) = (owner.with(Owner::new), row.clone());
                            (drop, OwnedView::new_with_owner(move || row(item.get()), owner))
                        },
                    );
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

/// The rows that are shown, by id; each is drawn anew when its item changes.
type Shown<T> = HashMap<String, ArcRwSignal<T>>;

/// The rows for `items`: those that are shown already go on with their new item.
fn kept<T: PartialEq + Send + Sync + 'static>(
    shown: &mut Shown<T>,
    items: Vec<T>,
    key: fn(&T) -> String,
) -> Vec<(String, ArcRwSignal<T>)> {
    let rows: Vec<_> = items
        .into_iter()
        .map(|item| {
            let id = key(&item);
            let row = match shown.remove(&id) {
                Some(row) => {
                    if row.with_untracked(|now| *now != item) {
                        row.set(item);
                    }
                    row
                }
                None => ArcRwSignal::new(item),
            };
            (id, row)
        })
        .collect();
    *shown = rows.iter().cloned().collect();
    rows
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
    fn a_row_goes_on_with_its_own_item() {
        let key: fn(&(u8, char)) -> String = |item| item.0.to_string();
        let mut shown = Shown::new();
        let before = kept(&mut shown, vec![(1, 'a'), (2, 'b')], key);
        let after = kept(&mut shown, vec![(3, 'n'), (1, 'a'), (2, 'c')], key);
        let of = |rows: &[(String, ArcRwSignal<(u8, char)>)], id: &str| {
            rows.iter().find(|(own, _)| own == id).map(|(_, row)| row.clone()).unwrap()
        };
        for id in ["1", "2"] {
            assert_eq!(of(&before, id), of(&after, id), "the row of {id} is another one");
        }
        assert_eq!(of(&before, "2").get_untracked(), (2, 'c'));
        assert_eq!(of(&after, "3").get_untracked(), (3, 'n'));
        kept(&mut shown, Vec::new(), key);
        assert!(shown.is_empty());
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
