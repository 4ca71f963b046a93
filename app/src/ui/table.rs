//! Tables. The rule: the first cell holds the row's link, which covers the whole row, so that a
//! click opens the detail and a middle-click a tab; on a phone each row becomes a card whose cells
//! name their columns.

use leptos::prelude::*;

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    label: &'static str,
    number: bool,
}

impl Column {
    /// A column of texts.
    pub const fn text(label: &'static str) -> Self {
        Self { label, number: false }
    }

    /// A column of numbers, aligned to the right.
    pub const fn number(label: &'static str) -> Self {
        Self { label, number: true }
    }
}

/// A table; its children are [`Row`]s.
#[component]
pub fn Table(
    /// What it lists, for screen readers.
    #[prop(into)]
    caption: String,
    /// The columns.
    columns: &'static [Column],
    /// What the browser tests call it.
    testid: &'static str,
    /// The rows.
    children: Children,
) -> impl IntoView {
    view! {
        <div class="table-wrap" tabindex="0" role="region" aria-label=caption>
            <table class="table" data-testid=testid>
                <caption class="visually-hidden">{caption.clone()}</caption>
                <thead>
                    <tr>
                        {columns
                            .iter()
                            .map(|column| view! { <th scope="col" class:number=column.number>{column.label}</th> })
                            .collect_view()}
                    </tr>
                </thead>
                <tbody>{children()}</tbody>
            </table>
        </div>
    }
}

/// A row; its children are [`Cell`]s.
#[component]
pub fn Row(
    /// The id of what it shows, as `data-id`.
    #[prop(into)]
    id: String,
    /// The cells.
    children: Children,
) -> impl IntoView {
    view! { <tr data-id=id>{children()}</tr> }
}

/// A cell.
#[component]
pub fn Cell(
    /// Its column's label, shown on a phone.
    label: &'static str,
    /// Whether it holds a number.
    #[prop(optional)]
    number: bool,
    /// The value.
    children: Children,
) -> impl IntoView {
    view! {
        <td data-label=label class:number=number>
            <div class="cell">{children()}</div>
        </td>
    }
}

/// The link of a row; it covers the whole row.
#[component]
pub fn RowLink(
    /// Where it leads.
    #[prop(into)]
    href: String,
    /// The name of what the row shows.
    children: Children,
) -> impl IntoView {
    view! { <a class="row-link" href=href>{children()}</a> }
}
