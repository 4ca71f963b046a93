//! The one HTTP core for every call: the envelope, the limit of calls, the id of a call, deadlines.
//! Rule: the token is in one place, marked sensitive, and in no error; redirects are not followed.

use std::{fmt, sync::Arc, time::Duration};

use domain::{code::Code, provider::CallBudget};
use reqwest::{
    Client, Method, Response,
    header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER},
    redirect::Policy,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::{Host, Url};

use super::{
    errors::{Intent, Refusal, held_back, no_answer, unreadable},
    limit::Limit,
};
use crate::{adapter::Timeouts, error::ProviderError};

/// The most bytes of an answer that are read; a thousand records have some 500 KiB.
const BODY_MOST: usize = 16 * 1024 * 1024;
/// Pages of one list.
const PAGES_MOST: u64 = 400;

/// Makes calls for one token.
pub(super) struct Core {
    http: Client,
    base: String,
    limit: Arc<Limit>,
    pub(super) timeouts: Timeouts,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("base", &self.base).finish_non_exhaustive()
    }
}

/// The base URL that an endpoint setting means, with or without its path.
pub(super) fn base_of(endpoint: &str) -> Result<Url, &'static str> {
    let mut url =
        Url::parse(endpoint.trim()).map_err(|_| "must be a URL such as https://api.cloudflare.com/client/v4")?;
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
        return Err("must end with its path, such as /client/v4");
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(if path.is_empty() { "/client/v4" } else { &path });
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
        let limit = Limit::shared(&base, token.expose_secret());
        Ok(Self { http, base, limit, timeouts })
    }

    pub(super) fn budget(&self) -> Option<CallBudget> {
        self.limit.standing()
    }

    /// Reads `path`: the envelope's `result`.
    pub(super) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, ProviderError> {
        self.get_whole(path, query).await.map(|mut envelope| envelope["result"].take())
    }

    async fn get_whole(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, ProviderError> {
        let request = self.http.get(self.url(path)).query(query).timeout(self.timeouts.read);
        let (body, id) = self.send(request, Intent::Read).await?;
        body.ok_or_else(|| unreadable(Intent::Read, id))
    }

    /// Changes something: the envelope's `result`. Only an answer that says `success` counts as one: a
    /// proxy, a portal or a gateway may answer with a status of success without the vendor having
    /// heard of it.
    pub(super) async fn write(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, ProviderError> {
        let mut request = self.http.request(method, self.url(path)).timeout(self.timeouts.write);
        if let Some(body) = body {
            request = request.json(body);
        }
        match self.send(request, Intent::Write).await? {
            (Some(mut envelope), _) if envelope["success"] == true => Ok(envelope["result"].take()),
            (_, id) => Err(unreadable(Intent::Write, id)),
        }
    }

    /// Every entry of a list: up to the last page where the answer tells how many there are, else
    /// until one is empty.
    pub(super) async fn list(
        &self,
        path: &str,
        query: &[(&str, &str)],
        per_page: &str,
        most: usize,
    ) -> Result<Vec<Value>, ProviderError> {
        let mut entries = Vec::new();
        for page in 1..=PAGES_MOST {
            let number = page.to_string();
            let mut query = query.to_vec();
            query.extend([("page", number.as_str()), ("per_page", per_page)]);
            let mut envelope = self.get_whole(path, &query).await?;
            let Value::Array(more) = envelope["result"].take() else {
                return Err(unreadable(Intent::Read, None));
            };
            let empty = more.is_empty();
            entries.extend(more);
            let last = envelope["result_info"]["total_pages"].as_u64().is_some_and(|pages| page >= pages);
            if empty || last || entries.len() >= most {
                break;
            }
        }
        entries.truncate(most);
        Ok(entries)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn send(
        &self,
        request: reqwest::RequestBuilder,
        intent: Intent,
    ) -> Result<(Option<Value>, Option<String>), ProviderError> {
        self.limit.take().map_err(held_back)?;
        let response = request.send().await.map_err(|source| no_answer(source, intent))?;
        let status = response.status();
        let correlation_id = correlation_id(response.headers());
        let retry_after = retry_after(response.headers());
        let body = match read(response).await {
            Ok(bytes) => serde_json::from_slice::<Value>(&bytes).ok(),
            Err(Some(source)) if status.is_success() && source.is_timeout() => {
                return Err(no_answer(source, intent));
            }
            Err(_) if status.is_success() => return Err(unreadable(intent, correlation_id)),
            Err(_) => None,
        };
        // Some refusals come with a status of success.
        let refused = body.as_ref().is_some_and(|body| body["success"] == false);
        if status.is_success() && !refused {
            return Ok((body, correlation_id));
        }
        let status = if refused && status.is_success() { 400 } else { status.as_u16() };
        let error = Refusal { status, body: body.as_ref(), intent, correlation_id, retry_after }.into_error();
        if let Some(wait) = error.retry_after {
            self.limit.blocked(wait);
        }
        tracing::debug!(status, code = error.code.as_str(), id = error.correlation_id, "the vendor refused a call");
        Err(error)
    }
}

fn correlation_id(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("cf-ray")?.to_str().ok()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    ((1..=64).contains(&text.len()) && text.bytes().all(plain)).then(|| text.to_owned())
}

/// Seconds; the vendor sends no dates here. No longer than an hour is believed.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.clamp(1, 3600)))
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
