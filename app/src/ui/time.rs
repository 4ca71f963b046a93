//! Moments for people: how long ago in the text, the exact time on hover and for screen readers.
//! The rule: both sides begin with the server's present, so that they draw the same text.

use domain::time::{HOUR, MINUTE, Millis, SECOND, Timestamp};
use leptos::prelude::*;

use crate::context::now;

/// The exact time, to the second: `2026-11-20 04:30:00 UTC`.
pub fn exact(at: Timestamp) -> String {
    let text = at.rfc3339();
    match (text.get(..10), text.get(11..19)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        _ => text,
    }
}

/// A length of time: `850 ms`, `12 s`, `3 min 5 s`, `2 h 10 min`.
pub fn length(span: Millis) -> String {
    match span.max(0) {
        l if l < SECOND => format!("{l} ms"),
        l if l < MINUTE => format!("{} s", l / SECOND),
        l if l < HOUR => two(l / MINUTE, "min", l % MINUTE / SECOND, "s"),
        l => two(l / HOUR, "h", l % HOUR / MINUTE, "min"),
    }
}

/// Two numbers with their units; a second one of nothing is left out.
fn two(first: Millis, unit: &str, second: Millis, smaller: &str) -> String {
    match second {
        0 => format!("{first} {unit}"),
        second => format!("{first} {unit} {second} {smaller}"),
    }
}

/// A moment.
#[component]
pub fn Time(
    /// When; a dash when unknown.
    #[prop(into)]
    at: Option<Timestamp>,
) -> impl IntoView {
    let now = now();
    match at {
        Some(at) => view! {
            <time class="time" datetime=at.rfc3339() title=exact(at)>
                {move || at.relative(now.get())}
            </time>
        }
        .into_any(),
        None => view! { <span class="none">"—"</span> }.into_any(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_well() {
        assert_eq!(length(850), "850 ms");
        assert_eq!(length(12 * SECOND), "12 s");
        assert_eq!(length(185 * SECOND), "3 min 5 s");
        assert_eq!(length(130 * MINUTE), "2 h 10 min");
        assert_eq!(length(60 * MINUTE), "1 h");
        assert_eq!(length(-5), "0 ms");
    }

    #[test]
    fn the_exact_time_names_its_zone() {
        assert_eq!(exact(Timestamp::from_millis(1_763_613_000_123)), "2025-11-20 04:30:00 UTC");
    }
}
