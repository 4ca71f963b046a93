//! The icons: a few strokes each, drawn in the text's colour. The rule: an icon never stands alone
//! for a word that matters; it is hidden from screen readers.

use leptos::prelude::*;

/// What there is an icon for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Hangar itself.
    Hangar,
    /// The overview.
    Overview,
    /// Nodes.
    Node,
    /// Pools.
    Pool,
    /// Allocations.
    Allocation,
    /// Provider accounts.
    Provider,
    /// DNS records.
    Dns,
    /// People.
    Users,
    /// Jobs.
    Job,
    /// The audit trail.
    Audit,
    /// What is set for the whole installation.
    Settings,
    /// One's services.
    Services,
    /// One's account.
    Account,
    /// As the device says.
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
    /// Copy.
    Copy,
    /// Passed or done.
    Check,
    /// Blocked or failed.
    Cross,
    /// To be noticed.
    Alert,
    /// More below.
    Down,
    /// Search.
    Search,
}

impl Sign {
    fn path(self) -> &'static str {
        match self {
            Self::Hangar => "M3 20V10.5C3 7 7 4 12 4s9 3 9 6.5V20M3 20h18M7.5 20v-7h9v7M7.5 16.5h9",
            Self::Overview => "M4 4h7v7H4zM13 4h7v4h-7zM13 10h7v10h-7zM4 13h7v7H4z",
            Self::Node => "M4 4h16v7H4zM4 13h16v7H4zM7.5 7.5h.01M7.5 16.5h.01M12 7.5h5M12 16.5h5",
            Self::Pool => "M12 3l9 4.5-9 4.5-9-4.5zM3 12l9 4.5 9-4.5M3 16.5L12 21l9-4.5",
            Self::Allocation => "M4 12h11M11 7l5 5-5 5M20 4v16",
            Self::Provider => "M7 18a4.5 4.5 0 0 1-.6-8.96A6 6 0 0 1 17.9 9.6 4.2 4.2 0 0 1 17.5 18z",
            Self::Dns => {
                "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM3 12h18M12 3c2.6 2.4 4 5.5 4 9s-1.4 6.6-4 9c-2.6-2.4-4-5.5-4-9s1.4-6.6 4-9z"
            }
            Self::Users => {
                "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 20c0-3.6 2.9-6 6.5-6s6.5 2.4 6.5 6M16 4.3a3.5 3.5 0 0 1 0 6.4M18 14.5c2.1.8 3.5 2.7 3.5 5.5"
            }
            Self::Job => "M4 6h3M4 12h3M4 18h3M10.5 6H20M10.5 12H20M10.5 18H17",
            Self::Audit => "M6 3h9l4 4v14H6zM14.5 3v4.5H19M9 12h7M9 16h5",
            Self::Settings => {
                "M4 7h9M17 7h3M4 12h3M11 12h9M4 17h9M17 17h3M15 5a2 2 0 1 0 0 4 2 2 0 0 0 0-4zM9 10a2 2 0 1 0 0 4 2 2 0 0 0 0-4zM15 15a2 2 0 1 0 0 4 2 2 0 0 0 0-4z"
            }
            Self::Services => "M4 5h16v11H4zM9 20h6M12 16v4M8 9l2.5 2L8 13M13 13h3",
            Self::Account => "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20.5c0-4 3.4-6.5 7.5-6.5s7.5 2.5 7.5 6.5",
            Self::System => "M4 5h16v11H4zM9 20h6M12 16v4",
            Self::Light => {
                "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4"
            }
            Self::Dark => "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z",
            Self::Copy => "M9 9h11v11H9zM5 15H4V4h11v1",
            Self::Check => "M4.5 12.5l5 5 10-11",
            Self::Cross => "M6 6l12 12M18 6L6 18",
            Self::Alert => "M12 4l9 16H3zM12 10v4.5M12 17.2h.01",
            Self::Down => "M6 9l6 6 6-6",
            Self::Search => "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM16 16l4.5 4.5",
        }
    }
}

/// An icon.
#[component]
pub fn Icon(
    /// Of what.
    of: Sign,
) -> impl IntoView {
    view! {
        <svg
            class="icon"
            viewBox="0 0 24 24"
            width="20"
            height="20"
            fill="none"
            stroke="currentColor"
            stroke-width="1.7"
            stroke-linecap="round"
            stroke-linejoin="round"
            aria-hidden="true"
            focusable="false"
        >
            <path d=of.path()></path>
        </svg>
    }
}
