//! The browser's part of Hangar: pages, components, server functions, and (with `ssr`) the ports
//! that the server implements. The rule: a noun's folder knows `ui`, `domain` and its own server
//! functions, never another noun's inside.
//!
//! | module | what |
//! |---|---|
//! | `shell` | the html document, [`App`] and its routes |
//! | `context` | what every page knows at once: who, the present, the theme |
//! | `routes` | every path and test id |
//! | `live` | live updates: one event stream per tab |
//! | `fault` | the one error of server functions |
//! | `ports`, `seam` | what the server provides, and how a server function reaches it |
//! | `ui` | the components; its `mod.rs` is the map |
//! | the others | one folder per noun |
#![recursion_limit = "256"]

pub mod account;
pub mod allocations;
pub mod audit;
pub mod backups;
pub mod blueprints;
mod context;
pub mod dashboard;
pub mod dns;
mod fault;
pub mod jobs;
mod live;
mod login;
pub mod nodes;
pub mod orphans;
pub mod overview;
pub mod pools;
#[cfg(feature = "ssr")]
pub mod ports;
pub mod profiles;
pub mod providers;
pub mod routes;
#[cfg(feature = "ssr")]
mod seam;
pub mod services;
pub mod session;
pub mod settings;
mod shell;
pub mod ui;
pub mod users;

#[cfg(feature = "ssr")]
pub use context::PageContext;
pub use context::{Boot, Theme};
pub use fault::Fault;
#[cfg(feature = "ssr")]
pub use seam::Caller;
pub use shell::App;
#[cfg(feature = "ssr")]
pub use shell::{Assets, shell};

#[cfg(all(test, feature = "ssr"))]
mod tests {
    use domain::access::{ACCESS, Surface};

    /// A server function that the table does not know would be reachable by nobody, and a line
    /// without a function would promise something that is not there.
    #[test]
    fn server_functions_and_the_access_table_are_the_same() {
        let mut paths: Vec<_> =
            leptos::server_fn::axum::server_fn_paths().map(|(path, method)| (path, method.to_string())).collect();
        let mut table: Vec<_> = ACCESS
            .iter()
            .filter(|rule| rule.surface == Surface::Rpc)
            .map(|rule| (rule.path, rule.method.to_owned()))
            .collect();
        paths.sort();
        table.sort();
        assert_eq!(paths, table);
    }
}
