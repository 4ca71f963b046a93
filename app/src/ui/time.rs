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
        l if l < HOUR => format!("{} min {} s", l / MINUTE, l % MINUTE / SECOND),
        l => format!("{} h {} min", l / HOUR, l % HOUR / MINUTE),
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
        assert_eq!(length(-5), "0 ms");
    }

    #[test]
    fn the_exact_time_names_its_zone() {
        assert_eq!(exact(Timestamp::from_millis(1_763_613_000_123)), "2025-11-20 04:30:00 UTC");
    }
}
