//! Filters in the URL. The rule: the URL alone says what a list shows, so that a link, a reload and
//! the back button all show the same; the form is a plain GET form and works without JavaScript.

use std::time::Duration;

use domain::list::Filter;
use leptos::{html, prelude::*};
use leptos_router::{
    NavigateOptions,
    hooks::{use_location, use_navigate, use_query_map},
};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::js_sys::Reflect;

use super::{Choice, Icon, Sign};

/// The fields of a filter that people set; `cursor` and `trail` are the pager's.
pub(super) const FIELDS: [&str; 8] = ["q", "status", "pool", "provider", "user", "kind", "node", "subject"];

/// What the URL narrows the list by.
pub fn url_filter() -> Memo<Filter> {
    let query = use_query_map();
    Memo::new(move |_| {
        let query = query.get();
        let text = |name: &str| query.get(name).filter(|text| !text.is_empty());
        Filter {
            status: text("status"),
            q: text("q"),
            pool: text("pool"),
            provider: text("provider"),
            user: text("user"),
            kind: text("kind"),
            node: text("node"),
            subject: text("subject"),
            cursor: text("cursor"),
            limit: text("limit").and_then(|text| text.parse().ok()),
        }
    })
}

/// Whether the URL narrows the list.
pub(super) fn is_narrowed(filter: &Filter) -> bool {
    let Filter { status, q, pool, provider, user, kind, node, subject, cursor: _, limit: _ } = filter;
    [status, q, pool, provider, user, kind, node, subject].iter().any(|field| field.is_some())
}

/// The choices of a filter for a list of words, with "any" first.
pub fn word_choices<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<Choice> {
    std::iter::once(Choice::new("", "any")).chain(words.into_iter().map(|word| Choice::new(word, word))).collect()
}

/// The filters of a list: a text for the beginning of a name or id, and the given selects.
#[component]
pub fn FilterBar(
    /// What the text narrows by: "Name or id".
    #[prop(into, default = "Name or id".to_owned())]
    what: String,
    /// Whether there is the text field.
    #[prop(default = true)]
    text: bool,
    /// [`FilterSelect`]s.
    #[prop(optional)]
    children: Option<Children>,
) -> impl IntoView {
    let filter = url_filter();
    let path = use_location().pathname;
    let navigate = StoredValue::new(use_navigate());
    let form = NodeRef::<html::Form>::new();
    let timer = StoredValue::new(None::<TimeoutHandle>);

    let apply = move || {
        // Who typed may have left the page before it is applied; then there is nothing to apply.
        let (Some(form), Some(path)) = (form.try_get_untracked().flatten(), path.try_get_untracked()) else { return };
        let target = format!("{path}{}", query_of(&form));
        let options = NavigateOptions { replace: true, scroll: false, ..Default::default() };
        let _ = navigate.try_with_value(|go| go(&target, options));
    };
    let apply_later = move || {
        timer.update_value(|timer| {
            if let Some(timer) = timer.take() {
                timer.clear();
            }
            *timer = set_timeout_with_handle(apply, Duration::from_millis(250)).ok();
        });
    };
    // What a link or the back button changed goes into the fields, except where somebody types.
    Effect::new(move |_| {
        let filter = filter.get();
        if let Some(form) = form.get() {
            show_in(&form, &filter);
        }
    });
    let first = filter.get_untracked().q.unwrap_or_default();
    view! {
        <form
            class="filters"
            method="get"
            role="search"
            node_ref=form
            on:submit=move |ev| {
                ev.prevent_default();
                apply();
            }
            on:change=move |_| apply()
        >
            {text
                .then(|| {
                    view! {
                        <label class="filter filter-text">
                            <span class="filter-label">{what}</span>
                            <span class="filter-search">
                                <Icon of=Sign::Search />
                                <input
                                    class="input"
                                    id="filter"
                                    r#type="search"
                                    name="q"
                                    value=first
                                    autocomplete="off"
                                    spellcheck="false"
                                    on:input=move |_| apply_later()
                                />
                                <kbd aria-hidden="true">"/"</kbd>
                            </span>
                        </label>
                    }
                })}
            {children.map(|children| children())}
            <button class="button filter-apply" r#type="submit">
                "Filter"
            </button>
            {move || {
                is_narrowed(&filter.get()).then(|| view! { <a class="link filter-clear" href=path.get()>"Clear filters"</a> })
            }}
        </form>
    }
}

/// One choice of a [`FilterBar`].
#[component]
pub fn FilterSelect(
    /// The field of the filter: `status`, `pool`, `provider`, `user`, `kind`.
    name: &'static str,
    /// The label.
    #[prop(into)]
    label: String,
    /// The choices; see [`word_choices`].
    choices: Vec<Choice>,
) -> impl IntoView {
    let chosen = use_query_map().get_untracked().get(name).unwrap_or_default();
    view! {
        <label class="filter">
            <span class="filter-label">{label}</span>
            <select class="input" name=name>
                {choices
                    .into_iter()
                    .map(|choice| {
                        let selected = choice.value == chosen;
                        view! {
                            <option value=choice.value selected=selected>
                                {choice.label}
                            </option>
                        }
                    })
                    .collect_view()}
            </select>
        </label>
    }
}

/// The query that the form's fields make; what is empty is left out.
fn query_of(form: &web_sys::HtmlFormElement) -> String {
    let Ok(data) = web_sys::FormData::new_with_form(form) else { return String::new() };
    let pairs: Vec<String> = FIELDS
        .iter()
        .filter_map(|name| {
            let value = data.get(name).as_string().filter(|value| !value.is_empty())?;
            Some(format!("{name}={}", web_sys::js_sys::encode_uri_component(&value)))
        })
        .collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

fn show_in(form: &web_sys::HtmlFormElement, filter: &Filter) {
    let active = document().active_element();
    let Filter { status, q, pool, provider, user, kind, node, subject, cursor: _, limit: _ } = filter;
    let values = [q, status, pool, provider, user, kind, node, subject];
    for (name, value) in FIELDS.iter().zip(values) {
        let Ok(Some(field)) = form.query_selector(&format!("[name={name}]")) else { continue };
        if active.as_ref() != Some(&field) {
            // Fields and selects both have a value.
            let _ = Reflect::set(
                field.unchecked_ref::<JsValue>(),
                &JsValue::from_str("value"),
                &JsValue::from_str(value.as_deref().unwrap_or_default()),
            );
        }
    }
}
