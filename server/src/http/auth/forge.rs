//! Sign-in by the Forge: authorization code with PKCE. The rule: state and verifier stay on the
//! server, bound to the browser by its session; the token reads the user once and is dropped.

use std::time::Duration;

use domain::time::{MINUTE, Timestamp};
use oauth2::{
    AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, Scope, TokenResponse as _, TokenUrl, basic::BasicClient,
};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use url::Url;

use crate::{config::ForgeClient, services::ForgePerson};

/// What is asked of the Forge.
const SCOPES: [&str; 5] = ["openid", "profile", "email", "groups", "read:user"];
/// How long a person may take at the Forge.
const PATIENCE: i64 = 10 * MINUTE;
/// A user's record is small; more is not read.
const LARGEST_ANSWER: usize = 256 * 1024;

/// Why a sign-in by Forge failed; the word stands in the address of the sign-in page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForgeFailure {
    /// The browser that comes back is not the one that left, or took too long.
    State,
    /// The person or the Forge said no.
    Denied,
    /// The Forge did not answer, or not as documented.
    Unreachable,
    /// The account is suspended here.
    Suspended,
    /// Hangar itself failed.
    Internal,
}

impl ForgeFailure {
    /// The stable word.
    pub fn word(self) -> &'static str {
        match self {
            Self::State => "forge_state",
            Self::Denied => "forge_denied",
            Self::Unreachable => "forge_unreachable",
            Self::Suspended => "forbidden",
            Self::Internal => "internal",
        }
    }
}

/// A sign-in that has begun; lives in the browser's session on the server.
#[derive(Clone, Serialize, Deserialize)]
pub struct Pending {
    state: String,
    verifier: String,
    /// Where to go afterwards.
    pub next: String,
    began_at: i64,
}

type Client = BasicClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// The Forge as Hangar signs in by it.
pub struct ForgeLogin {
    client: Client,
    base: String,
    user_url: Url,
    http: reqwest::Client,
}

impl std::fmt::Debug for ForgeLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ForgeLogin").field("base", &self.base).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct ForgeUser {
    id: i64,
    login: String,
    #[serde(default)]
    full_name: String,
}

impl ForgeLogin {
    /// The sign-in through `config` for a Hangar that people reach at `public_base`.
    ///
    /// # Errors
    /// In words, when an address cannot be put together or no HTTP client can be made.
    pub fn new(config: &ForgeClient, public_base: &str) -> Result<Self, String> {
        let base = config.url.as_str().trim_end_matches('/').to_owned();
        let url = |text: String| Url::parse(&text).map_err(|e| format!("{text}: {e}"));
        let client = BasicClient::new(ClientId::new(config.client_id.clone()))
            .set_client_secret(ClientSecret::new(config.client_secret.expose_secret().to_owned()))
            .set_auth_uri(AuthUrl::from_url(url(format!("{base}/login/oauth/authorize"))?))
            .set_token_uri(TokenUrl::from_url(url(format!("{base}/login/oauth/access_token"))?))
            .set_redirect_uri(RedirectUrl::from_url(url(format!("{public_base}/auth/forge/callback"))?));
        // A redirect of the token endpoint would carry the client secret elsewhere.
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(10))
            .user_agent(concat!("hangar/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| e.to_string())?;
        Ok(Self { client, user_url: url(format!("{base}/api/v1/user"))?, base, http })
    }

    /// Begins a sign-in: where to send the browser, and what to remember for it.
    pub fn begin(&self, next: String, now: Timestamp) -> (Url, Pending) {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, state) = self
            .client
            .authorize_url(CsrfToken::new_random)
            .add_scopes(SCOPES.map(|s| Scope::new(s.to_owned())))
            .set_pkce_challenge(challenge)
            .url();
        let pending =
            Pending { state: state.into_secret(), verifier: verifier.into_secret(), next, began_at: now.millis() };
        (url, pending)
    }

    /// Ends a sign-in: trades the code for a token, reads the user, drops the token.
    ///
    /// # Errors
    /// [`ForgeFailure`].
    pub async fn finish(
        &self,
        pending: &Pending,
        state: &str,
        code: String,
        now: Timestamp,
    ) -> Result<ForgePerson, ForgeFailure> {
        let same = bool::from(pending.state.as_bytes().ct_eq(state.as_bytes()));
        let age = now.since(Timestamp::from_millis(pending.began_at));
        if !same || !(0..=PATIENCE).contains(&age) {
            return Err(ForgeFailure::State);
        }
        let token = self
            .client
            .exchange_code(AuthorizationCode::new(code))
            .set_pkce_verifier(PkceCodeVerifier::new(pending.verifier.clone()))
            .request_async(&self.http)
            .await
            .map_err(|error| match error {
                oauth2::RequestTokenError::ServerResponse(_) => ForgeFailure::Denied,
                // Neither the answer nor the request may get into the log: both hold secrets.
                _ => ForgeFailure::Unreachable,
            })?;
        let user = self.user(token.access_token().secret()).await?;
        let display_name = if user.full_name.trim().is_empty() { user.login.clone() } else { user.full_name };
        Ok(ForgePerson { forge: self.base.clone(), subject: user.id.to_string(), login: user.login, display_name })
    }

    async fn user(&self, token: &str) -> Result<ForgeUser, ForgeFailure> {
        let request = self.http.get(self.user_url.clone()).bearer_auth(token).header("accept", "application/json");
        let mut response = request.send().await.map_err(|_| ForgeFailure::Unreachable)?;
        if matches!(response.status().as_u16(), 401 | 403) {
            return Err(ForgeFailure::Denied);
        }
        if !response.status().is_success() {
            return Err(ForgeFailure::Unreachable);
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|_| ForgeFailure::Unreachable)? {
            body.extend_from_slice(&chunk);
            if body.len() > LARGEST_ANSWER {
                return Err(ForgeFailure::Unreachable);
            }
        }
        let user: ForgeUser = serde_json::from_slice(&body).map_err(|_| ForgeFailure::Unreachable)?;
        // A Forge numbers people from 1; anything else would make different people one.
        if user.id < 1 || user.login.is_empty() {
            return Err(ForgeFailure::Unreachable);
        }
        Ok(user)
    }
}
