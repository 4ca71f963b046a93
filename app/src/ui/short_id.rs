//! An id where many stand below one another: the eye gets its random tail, whoever copies or listens
//! gets all of it.

use leptos::prelude::*;

/// Letters of the tail.
const TAIL: usize = 8;
/// Ids up to this length are shown whole.
const SHORT: usize = 20;

/// An id by its tail. Ids that people gave themselves are shown whole.
#[component]
pub fn ShortId(
    /// The whole id.
    #[prop(into)]
    value: String,
) -> impl IntoView {
    let (head, tail) = split(&value);
    let (head, tail) = (head.to_owned(), tail.to_owned());
    view! {
        <span class="short-id mono" title=value>
            <span class="visually-hidden">{head}</span>
            {tail}
        </span>
    }
}

/// The part that is not drawn and the part that is.
fn split(id: &str) -> (&str, &str) {
    let at = id.len().saturating_sub(TAIL);
    if id.len() > SHORT && id.is_ascii() && id.contains('_') { id.split_at(at) } else { ("", id) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_an_id_is_lost() {
        assert_eq!(split("nod_0193aaaabbbb7cccddddeeee12345678"), ("nod_0193aaaabbbb7cccddddeeee", "12345678"));
        assert_eq!(split("vm-1"), ("", "vm-1"));
        assert_eq!(split("usr_admin"), ("", "usr_admin"));
        assert_eq!(split("bürohaus-erdgeschoss_links"), ("", "bürohaus-erdgeschoss_links"));
    }
}
