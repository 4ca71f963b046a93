//! The one HTTP core for every call: status, headers for the limiter, correlation id, deadlines.
//! Rule: the token is in one place, marked sensitive, and in no error; redirects are not followed.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use domain::code::Code;
use reqwest::{
    Client, Method, Response,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
    redirect::Policy,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use url::{Host, Url};

use super::{
    board::Board,
    errors::{Intent, Refusal, Scope, no_answer, unreadable},
};
use crate::{adapter::Timeouts, error::ProviderError};

/// The most bytes of an answer that are read; a full page of servers has some 200 KiB.
const BODY_MOST: usize = 16 * 1024 * 1024;
/// Pages of one list; 50 entries each.
const PAGES_MOST: u64 = 400;

/// What the headers last said of the project's bucket of calls.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    limit: Option<u32>,
    remaining: Option<u32>,
}

/// Makes calls for one token.
pub(super) struct Core {
    http: Client,
    base: String,
    bucket: Mutex<Bucket>,
    pub(super) board: Board,
    pub(super) timeouts: Timeouts,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("base", &self.base).finish_non_exhaustive()
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
    pub(super) fn new(base: &Url, token: &SecretString, timeouts: Timeouts) -> Result<Self, ProviderError> {
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
        Ok(Self { http, base, bucket: Mutex::default(), board: Board::default(), timeouts })
    }

    /// Reads `path`.
    pub(super) async fn get(&self, path: &str, query: &[(&str, &str)], scope: Scope) -> Result<Value, ProviderError> {
        let request = self.http.get(self.url(path)).query(query).timeout(self.timeouts.read);
        let (body, id) = self.send(request, Intent::Read, scope).await?;
        body.ok_or_else(|| unreadable(Intent::Read, id))
    }

    /// Reads one thing until the vendor answers for good, waiting out limits, locks, errors of its
    /// own and lost connections until `deadline`.
    pub(super) async fn get_patiently(
        &self,
        path: &str,
        query: &[(&str, &str)],
        scope: Scope,
        deadline: Instant,
    ) -> Result<Value, ProviderError> {
        let mut wait = self.timeouts.poll_first;
        loop {
            match self.get(path, query, scope).await {
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

    /// Changes something; the body of the answer where it is JSON.
    pub(super) async fn write(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        scope: Scope,
    ) -> Result<Option<Value>, ProviderError> {
        let mut request = self.http.request(method, self.url(path)).timeout(self.timeouts.write);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.send(request, Intent::Write, scope).await.map(|(body, _)| body)
    }

    /// Every entry of a list, over all its pages; one page where the answer speaks of none.
    pub(super) async fn list(
        &self,
        path: &str,
        key: &str,
        query: &[(&str, &str)],
    ) -> Result<Vec<Value>, ProviderError> {
        let mut entries = Vec::new();
        let mut page = 1;
        for _ in 0..PAGES_MOST {
            let number = page.to_string();
            let mut query = query.to_vec();
            query.extend([("page", number.as_str()), ("per_page", "50")]);
            let mut body = self.get(path, &query, Scope::Collection).await?;
            let Some(Value::Array(more)) = body.get_mut(key).map(Value::take) else {
                return Err(unreadable(Intent::Read, None));
            };
            let empty = more.is_empty();
            entries.extend(more);
            match body["meta"]["pagination"]["next_page"].as_u64() {
                Some(next) if next > page && !empty => page = next,
                _ => break,
            }
        }
        Ok(entries)
    }

    /// How long to wait between questions: `wait`, longer when little is left of the bucket, since
    /// every client of the project shares it.
    pub(super) fn pace(&self, wait: Duration) -> Duration {
        let bucket = *self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        match (bucket.limit, bucket.remaining) {
            (Some(limit), Some(remaining)) if remaining < limit / 10 => wait * 4,
            (Some(limit), Some(remaining)) if remaining < limit / 4 => wait * 2,
            _ => wait,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn send(
        &self,
        request: reqwest::RequestBuilder,
        intent: Intent,
        scope: Scope,
    ) -> Result<(Option<Value>, Option<String>), ProviderError> {
        let response = request.send().await.map_err(|source| no_answer(source, intent))?;
        let status = response.status();
        let correlation_id = correlation_id(response.headers());
        let per_call = self.note_bucket(response.headers());
        let body = read(response).await;
        if status.is_success() {
            return match body {
                Ok(bytes) => Ok((serde_json::from_slice(&bytes).ok(), correlation_id)),
                Err(Some(source)) if source.is_timeout() => Err(no_answer(source, intent)),
                Err(_) => Err(unreadable(intent, correlation_id)),
            };
        }
        let body: Option<Value> = body.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let status = status.as_u16();
        let error = Refusal { status, body: body.as_ref(), scope, intent, correlation_id, per_call }.into_error();
        tracing::debug!(status, code = error.code.as_str(), id = error.correlation_id, "the vendor refused a call");
        Err(error)
    }

    /// Remembers the bucket; returns how long one call takes to flow back into it. The vendor's
    /// bucket refills evenly within the hour, and `RateLimit-Reset` says when it is full again,
    /// which nobody needs to wait for.
    fn note_bucket(&self, headers: &HeaderMap) -> Duration {
        let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u32>().ok();
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.limit = number("ratelimit-limit").or(bucket.limit);
        bucket.remaining = number("ratelimit-remaining");
        let per_call = bucket.limit.filter(|limit| *limit > 0).map_or(1.0, |limit| 3600.0 / f64::from(limit));
        Duration::from_secs_f64(per_call.max(1.0))
    }
}

fn correlation_id(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("x-correlation-id")?.to_str().ok()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    ((1..=128).contains(&text.len()) && text.bytes().all(plain)).then(|| text.to_owned())
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
