//! What a simulated Forge is started with, and what can go wrong with it. Rule: the defaults are
//! the demo's.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// How to start a simulated Forge.
#[derive(Clone, Debug)]
pub struct ForgeConfig {
    /// Where it listens; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The one registered client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// Redirect URIs of the client, compared exactly. Any URI on a loopback host is allowed too.
    pub redirect_uris: Vec<String>,
    /// Who can sign in.
    pub people: Vec<Person>,
}

impl Default for ForgeConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            client_id: "hangar-demo".to_owned(),
            client_secret: "demo-client-secret".to_owned(),
            redirect_uris: Vec::new(),
            people: vec![
                Person::new(1, "ada", "Ada Lovelace"),
                Person::new(2, "grace", "Grace Hopper"),
                Person::new(3, "alan", "Alan Turing"),
            ],
        }
    }
}

/// Someone with an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The account's number, which never changes.
    pub id: u64,
    /// The account's name, which may.
    pub login: String,
    /// How the person is called.
    pub full_name: String,
    /// Their address.
    pub email: String,
    /// Organisations and teams, as the Forge names them in the `groups` claim.
    pub groups: Vec<String>,
    /// Whether they administer the Forge.
    pub admin: bool,
}

impl Person {
    /// A person without groups, with an address at example.org.
    pub fn new(id: u64, login: &str, full_name: &str) -> Self {
        Self {
            id,
            login: login.to_owned(),
            full_name: full_name.to_owned(),
            email: format!("{login}@example.org"),
            groups: Vec::new(),
            admin: false,
        }
    }
}

/// What goes wrong at a Forge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ForgeFault {
    /// The token endpoint answers 500.
    TokenError,
    /// Both user endpoints answer 500.
    UserError,
    /// The token and the user endpoints answer this much later.
    Slow {
        /// Milliseconds.
        ms: u64,
    },
    /// The browser comes back with a state that is not the one it was sent with.
    WrongState,
    /// The person refuses: the browser comes back with `error=access_denied`.
    Denied,
}
