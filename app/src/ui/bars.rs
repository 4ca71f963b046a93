//! Small pictures, drawn by the server. The rule: every picture has its text for screen readers and
//! for those who want the numbers.

use leptos::prelude::*;

use super::Tone;

/// One part of a bar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BarPart {
    /// What it counts.
    pub label: &'static str,
    /// How many.
    pub count: u32,
    /// How it looks.
    pub tone: Tone,
}

impl BarPart {
    /// A part.
    pub fn new(label: &'static str, count: u32, tone: Tone) -> Self {
        Self { label, count, tone }
    }
}

/// A bar in parts, with its legend: how many of a whole stand where.
#[component]
pub fn Bars(
    /// What the whole is, for screen readers.
    #[prop(into)]
    label: String,
    /// The parts; those of none are left out.
    parts: Vec<BarPart>,
) -> impl IntoView {
    let parts: Vec<BarPart> = parts.into_iter().filter(|part| part.count > 0).collect();
    let whole = parts.iter().map(|part| part.count).sum::<u32>().max(1);
    let words = parts.iter().map(|part| format!("{} {}", part.count, part.label)).collect::<Vec<_>>().join(", ");
    let mut at = 0.0;
    let rects = parts
        .iter()
        .map(|part| {
            let width = f64::from(part.count) / f64::from(whole) * 100.0;
            let x = at;
            at += width;
            view! {
                <rect
                    class=format!("fill-{}", part.tone.as_str())
                    x=format!("{x:.2}")
                    y="0"
                    width=format!("{width:.2}")
                    height="8"
                ></rect>
            }
        })
        .collect_view();
    let legend = parts
        .iter()
        .map(|part| {
            view! {
                <li>
                    <span class=format!("swatch swatch-{}", part.tone.as_str()) aria-hidden="true"></span>
                    <span class="number">{part.count}</span>
                    " "
                    {part.label}
                </li>
            }
        })
        .collect_view();
    let text = if words.is_empty() { format!("{label}: none") } else { format!("{label}: {words}") };
    view! {
        <div class="bars">
            <svg class="bar-svg" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label=text>
                <rect class="fill-empty" x="0" y="0" width="100" height="8"></rect>
                {rects}
            </svg>
            <ul class="legend">{legend}</ul>
        </div>
    }
}

/// A row of columns: something over time, oldest first.
#[component]
pub fn Columns(
    /// What they show, for screen readers.
    #[prop(into)]
    label: String,
    /// The values.
    values: Vec<u32>,
) -> impl IntoView {
    let most = values.iter().copied().max().unwrap_or(0).max(1);
    let count = values.len().max(1);
    let text = format!("{label}: {}", values.iter().map(u32::to_string).collect::<Vec<_>>().join(", "));
    let columns = values
        .into_iter()
        .enumerate()
        .map(|(index, value)| {
            let height = f64::from(value) / f64::from(most) * 24.0;
            view! {
                <rect
                    class="fill-busy"
                    x=(index * 6).to_string()
                    y=format!("{:.2}", 24.0 - height)
                    width="4"
                    height=format!("{height:.2}")
                ></rect>
            }
        })
        .collect_view();
    view! {
        <svg class="columns-svg" viewBox=format!("0 0 {} 24", count * 6) preserveAspectRatio="none" role="img" aria-label=text>
            {columns}
        </svg>
    }
}
