//! The one HTTP core for every call: status, headers for the limiter, correlation id, deadlines.
//! Rule: the token is in one place, marked sensitive, and in no error; redirects are not followed.

use std::{
    fmt,
    ops::Deref,
    sync::Arc,
    time::{Duration, SystemTime},
};

use domain::{code::Code, provider::CallBudget};
use reqwest::{
    Client, Method, RequestBuilder, Response,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
    redirect::Policy,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use url::{Host, Url};

use super::{
    board::Board,
    errors::{self, Intent, Refusal, Scope, no_answer, no_turn, unreadable},
    headers,
    known::Known,
    wire::{Action, Server},
};
use crate::{
    adapter::Timeouts,
    budget::{Budget, Class, Permit, Told},
    dns_unseen::Unseen,
    error::ProviderError,
};

/// The most bytes of an answer that are read; a full page of servers has some 200 KiB.
const BODY_MOST: usize = 16 * 1024 * 1024;
/// Pages of one list; 50 entries each.
const PAGES_MOST: u64 = 400;
/// How often an essential call that was refused for lack of budget is made again.
const REFUSED_MOST: u32 = 5;

/// Makes calls for one token.
pub(super) struct Core {
    http: Client,
    base: String,
    budget: Arc<Budget>,
    /// This installation's id.
    pub(super) instance: String,
    /// Who waits for which action.
    pub(super) actions: Board<Action>,
    /// Who waits for which server.
    pub(super) servers: Board<Server>,
    pub(super) known: Known,
    /// For how long which zone has not been seen.
    pub(super) unseen: Unseen,
    pub(super) timeouts: Timeouts,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("base", &self.base).finish_non_exhaustive()
    }
}

/// Which calls one goes before, and until when it waits for its turn in the budget.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    class: Class,
    /// As long as calls of the class do when absent.
    until: Option<Instant>,
}

impl Turn {
    /// Not later than `until`: for what somebody waits for.
    pub(super) fn by(class: Class, until: Instant) -> Self {
        Self { class, until: Some(until) }
    }
}

impl From<Class> for Turn {
    fn from(class: Class) -> Self {
        Self { class, until: None }
    }
}

/// An answer of success.
#[derive(Debug)]
pub(super) struct Answer {
    body: Value,
    intent: Intent,
    correlation_id: Option<String>,
}

impl Answer {
    /// The failure that it cannot be read as what it should be.
    pub(super) fn unreadable(&self) -> ProviderError {
        unreadable(self.intent, self.correlation_id.clone())
    }
}

impl Deref for Answer {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.body
    }
}

/// The base URL that an endpoint setting means, with or without its path.
pub(super) fn base_of(endpoint: &str) -> Result<Url, &'static str> {
    let mut url = Url::parse(endpoint.trim()).map_err(|_| "must be a URL such as https://api.hetzner.cloud/v1")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("must begin with https:// or http://");
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("must name a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or password");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must end with its path, such as /v1");
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(if path.is_empty() { "/v1" } else { &path });
    Ok(url)
}

/// Whether calls stay on this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

impl Core {
    pub(super) fn new(
        base: &Url,
        token: &SecretString,
        instance: String,
        timeouts: Timeouts,
    ) -> Result<Self, ProviderError> {
        let unusable =
            || ProviderError::new(Code::ProviderAcquisitionUnavailable, "The account's secret cannot be used.");
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).map_err(|_| unusable())?;
        bearer.set_sensitive(true);
        let mut builder = Client::builder()
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, bearer)]))
            .user_agent(concat!("hangar/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(timeouts.connect)
            .redirect(Policy::none());
        if is_loopback(base) {
            // A proxy could not reach it.
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|source| {
            let message = "The HTTP client cannot be set up on this machine.";
            ProviderError::new(Code::ProviderAcquisitionUnavailable, message).with_source(source)
        })?;
        let base = base.as_str().trim_end_matches('/').to_owned();
        let budget = Budget::shared(&base, token.expose_secret());
        Ok(Self {
            http,
            base,
            budget,
            instance,
            actions: Board::default(),
            servers: Board::default(),
            known: Known::default(),
            unseen: Unseen::default(),
            timeouts,
        })
    }

    /// Reads `path`.
    pub(super) async fn get(
        &self,
        turn: impl Into<Turn>,
        path: &str,
        query: &[(&str, &str)],
        scope: Scope,
    ) -> Result<Answer, ProviderError> {
        let request = || self.http.get(self.url(path)).query(query).timeout(self.timeouts.read);
        let answer = self.send(turn.into(), request, Intent::Read, scope).await?;
        if answer.is_null() { Err(answer.unreadable()) } else { Ok(answer) }
    }

    /// Reads one thing until the vendor answers for good, waiting out limits, locks, errors of its
    /// own and lost connections until `deadline`.
    pub(super) async fn get_patiently(
        &self,
        class: Class,
        path: &str,
        query: &[(&str, &str)],
        scope: Scope,
        deadline: Instant,
    ) -> Result<Answer, ProviderError> {
        let mut wait = self.timeouts.poll_first;
        loop {
            match self.get(class, path, query, scope).await {
                Err(error) if error.is_transient() => {
                    let pause = error.retry_after.unwrap_or_default().max(wait);
                    if Instant::now() + pause >= deadline {
                        return Err(error);
                    }
                    sleep(pause).await;
                    wait = (wait * 2).min(self.timeouts.poll_most);
                }
                other => return other,
            }
        }
    }

    /// Changes something; the answer is null where it is no JSON.
    pub(super) async fn write(
        &self,
        turn: impl Into<Turn>,
        method: Method,
        path: &str,
        body: Option<&Value>,
        scope: Scope,
    ) -> Result<Answer, ProviderError> {
        let request = || {
            let request = self.http.request(method.clone(), self.url(path)).timeout(self.timeouts.write);
            match body {
                Some(body) => request.json(body),
                None => request,
            }
        };
        self.send(turn.into(), request, Intent::Write, scope).await
    }

    /// Every entry of a list, over all its pages; one page where the answer speaks of none.
    pub(super) async fn list(
        &self,
        turn: impl Into<Turn>,
        path: &str,
        key: &str,
        query: &[(&str, &str)],
    ) -> Result<Vec<Value>, ProviderError> {
        let turn = turn.into();
        let mut entries = Vec::new();
        let mut page = 1;
        for _ in 0..PAGES_MOST {
            let (more, next) = self.page(turn, path, key, query, page).await?;
            let empty = more.is_empty();
            entries.extend(more);
            match next {
                Some(next) if next > page && !empty => page = next,
                _ => break,
            }
        }
        Ok(entries)
    }

    /// One page of a list, and the number of the next.
    pub(super) async fn page(
        &self,
        turn: impl Into<Turn>,
        path: &str,
        key: &str,
        query: &[(&str, &str)],
        page: u64,
    ) -> Result<(Vec<Value>, Option<u64>), ProviderError> {
        let number = page.to_string();
        let mut query = query.to_vec();
        query.extend([("page", number.as_str()), ("per_page", "50")]);
        let mut answer = self.get(turn, path, &query, Scope::Collection).await?;
        let Some(Value::Array(entries)) = answer.body.get_mut(key).map(Value::take) else {
            return Err(answer.unreadable());
        };
        Ok((entries, answer["meta"]["pagination"]["next_page"].as_u64()))
    }

    /// How long to wait before a question that costs `calls`: `wait`, longer when little is left of
    /// the bucket, since every client of the project shares it.
    pub(super) fn pace(&self, wait: Duration, calls: usize) -> Duration {
        self.budget.pace(wait, calls)
    }

    /// Whether little is left of the bucket.
    pub(super) fn is_short(&self) -> bool {
        self.budget.is_short()
    }

    /// What is known of the bucket.
    pub(super) fn budget(&self) -> Option<CallBudget> {
        self.budget.standing()
    }

    /// How long a call of this class would wait for its turn now, at least.
    pub(super) fn turn_in(&self, class: Class) -> Duration {
        self.budget.turn_in(class)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// For how long a call waits for its turn where nobody says until when. What somebody looks at is answered soon or not at
    /// all; work takes its time, since giving up would only cost more calls.
    fn patience(&self, class: Class) -> Duration {
        match class {
            Class::Background => self.timeouts.read,
            Class::Tend | Class::Make | Class::Poll => self.timeouts.action * 3,
        }
    }

    async fn send(
        &self,
        Turn { class, until }: Turn,
        request: impl Fn() -> RequestBuilder,
        intent: Intent,
        scope: Scope,
    ) -> Result<Answer, ProviderError> {
        let until = until.unwrap_or_else(|| Instant::now() + self.patience(class));
        let mut refused = 0;
        loop {
            let permit = self.budget.take(class, until).await.map_err(no_turn)?;
            let result = self.answer(permit, request(), intent, scope).await;
            let again = matches!(&result, Err(error) if error.code == Code::ProviderRateLimited)
                && matches!(class, Class::Tend | Class::Make)
                && refused < REFUSED_MOST;
            if !again {
                return result;
            }
            // Nothing happened, and the next try waits for its turn.
            refused += 1;
        }
    }

    async fn answer(
        &self,
        permit: Permit<'_>,
        request: RequestBuilder,
        intent: Intent,
        scope: Scope,
    ) -> Result<Answer, ProviderError> {
        let sent = SystemTime::now();
        let response = request.send().await.map_err(|source| no_answer(source, intent))?;
        let status = response.status().as_u16();
        let correlation_id = headers::correlation_id(response.headers());
        let told = headers::told(response.headers(), sent);
        let body = read(response).await;
        let value = body.as_ref().ok().and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
        let rate_limited = status == 429 || value.as_ref().and_then(errors::vendor_code) == Some("rate_limit_exceeded");
        let retry_after = permit.answered(Told { refused: rate_limited, ..told });
        if (200..300).contains(&status) {
            return match body {
                Ok(_) => Ok(Answer { body: value.unwrap_or(Value::Null), intent, correlation_id }),
                Err(Some(source)) if source.is_timeout() => Err(no_answer(source, intent)),
                Err(_) => Err(unreadable(intent, correlation_id)),
            };
        }
        let error = Refusal { status, body: value.as_ref(), scope, intent, correlation_id, retry_after }.into_error();
        tracing::debug!(status, code = error.code.as_str(), id = error.correlation_id, "the vendor refused a call");
        Err(error)
    }
}

/// The body; `Err(None)` when it is too large.
async fn read(mut response: Response) -> Result<Vec<u8>, Option<reqwest::Error>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Some)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > BODY_MOST {
            return Err(None);
        }
    }
    Ok(bytes)
}
