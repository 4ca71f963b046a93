//! Money for people. The rule: an amount never stands without its currency and its period.

use domain::{
    spending::Spend,
    valid::{amount_display, amount_micros, amount_rounded},
};
use leptos::prelude::*;

/// `4.51 EUR per month`.
pub fn money_monthly(amount: &str, currency: &str) -> String {
    format!("{} {currency} per month", amount_rounded(amount))
}

/// `0.0063 EUR per hour`.
pub fn money_hourly(amount: &str, currency: &str) -> String {
    format!("{} {currency} per hour", amount_display(amount))
}

/// What several currencies come to a month: `13.53 EUR + 4.00 USD`; a dash for nothing.
pub fn spent_monthly(all: &[Spend]) -> String {
    joined(all, |one| amount_rounded(&one.monthly))
}

/// What several currencies come to an hour.
pub fn spent_hourly(all: &[Spend]) -> String {
    joined(all, |one| amount_display(&one.hourly))
}

fn joined(all: &[Spend], amount: impl Fn(&Spend) -> String) -> String {
    let words: Vec<_> = all.iter().map(|one| format!("{} {}", amount(one), one.currency)).collect();
    if words.is_empty() { "—".to_owned() } else { words.join(" + ") }
}

/// How much more (`+3.58`) or less (`−1.20`) `then` is than `now`; `None` unless both are amounts.
pub fn difference(now: &str, then: &str) -> Option<String> {
    let (now, then) = (amount_micros(now).ok()?, amount_micros(then).ok()?);
    let micros = now.abs_diff(then);
    let amount = amount_rounded(&format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000));
    Some(if then >= now { format!("+{amount}") } else { format!("−{amount}") })
}

/// What machines cost: per month, and per hour below it.
#[component]
pub fn Spent(
    /// By currency.
    all: Vec<Spend>,
) -> impl IntoView {
    if all.is_empty() {
        return view! { <span class="none">"—"</span> }.into_any();
    }
    let hourly = format!("{} per hour", spent_hourly(&all));
    view! {
        <span class="spent">
            {spent_monthly(&all)} " per month" <span class="fact-sub muted small">{hourly}</span>
        </span>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spend(currency: &str, monthly: &str, hourly: &str) -> Spend {
        Spend { currency: currency.to_owned(), monthly: monthly.to_owned(), hourly: hourly.to_owned(), nodes: 1 }
    }

    #[test]
    fn currencies_are_never_added_up() {
        let all = [spend("EUR", "13.5300", "0.0189"), spend("USD", "4", "0.006")];
        assert_eq!(spent_monthly(&all), "13.53 EUR + 4.00 USD");
        assert_eq!(spent_hourly(&all), "0.0189 EUR + 0.006 USD");
        assert_eq!(spent_monthly(&[]), "—");
    }

    #[test]
    fn a_difference_has_a_sign() {
        assert_eq!(difference("4.51", "8.09"), Some("+3.58".to_owned()));
        assert_eq!(difference("8.09", "4.5100"), Some("−3.58".to_owned()));
        assert_eq!(difference("4.51", "4.51"), Some("+0.00".to_owned()));
        assert_eq!(difference("?", "4.51"), None);
    }
}
