//! What each code means, as a page: every problem's `type` leads to its place here. The rule: made
//! from the registry of codes, and public, because who is refused has to be able to read why.

use std::{fmt::Write as _, sync::LazyLock};

use axum::response::Html;
use domain::code::Code;

use crate::http::error_page::escape;

static PAGE: LazyLock<String> = LazyLock::new(page);

/// What each error code means.
#[utoipa::path(get, path = "/docs/errors", tag = "service",
    responses((status = 200, description = "A page with an anchor for each code", body = String,
        content_type = "text/html")))]
pub(crate) async fn show() -> Html<&'static str> {
    Html(PAGE.as_str())
}

fn page() -> String {
    let mut page = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <title>Error codes · Hangar</title><link rel=\"stylesheet\" href=\"/pkg/hangar.css\">\
         <link rel=\"icon\" href=\"/icon.svg\"></head><body><main class=\"main\">\
         <div class=\"page-head\"><h1>Error codes</h1></div>\
         <p>Every failure carries one of these codes. A code never changes its meaning.</p>"
        .to_owned();
    for code in Code::ALL {
        let recovery = code.recovery();
        // Writing to a text cannot fail.
        let _ = write!(
            page,
            "<section class=\"section panel\" id=\"{code}\"><h2><code>{code}</code> {title}</h2>\
             <p class=\"muted\">HTTP {status}</p><p>{cause}</p><p>{policy}</p>\
             <p><strong>Next step:</strong> {next}</p><p><strong>Safe to try again?</strong> {safe}</p></section>",
            code = code.as_str(),
            title = escape(code.title()),
            status = code.http_status(),
            cause = escape(&recovery.cause),
            policy = escape(&recovery.policy_context),
            next = escape(&recovery.next_step),
            safe = escape(&recovery.safe_retry),
        );
    }
    page.push_str("</main></body></html>\n");
    page
}
