//! A failure as a page, for browsers. The rule: nothing of a request gets into it unescaped.

use axum::{
    http::{HeaderValue, header},
    response::Response,
};

use crate::{fault::Fault, http::problem::problem_of};

/// Shows the problem of `response` as a page; its status and headers stay.
pub(crate) fn render(response: Response, fault: &Fault) -> Response {
    let problem = problem_of(fault.clone());
    let next_step = problem.recovery.as_ref().map(|r| escape(&r.next_step)).unwrap_or_default();
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title} · Hangar</title><link rel=\"stylesheet\" href=\"/pkg/hangar.css\">\
         <link rel=\"icon\" href=\"/icon.svg\"></head>\
         <body><main class=\"main\"><h1>{title}</h1><p>{detail}</p><p>{next_step}</p>\
         <p><a href=\"/\">Back to the start</a></p>\
         <p><small>{status} · <code>{code}</code> · request {id}</small></p></main></body></html>\n",
        title = escape(&problem.title),
        detail = escape(&problem.detail),
        status = response.status().as_u16(),
        code = problem.code,
        id = escape(&problem.request_id),
    );
    let (mut parts, _) = response.into_parts();
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, page.into())
}

/// Text as HTML shows it.
pub(crate) fn escape(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn markup_is_text() {
        assert_eq!(escape(r#"<a href="x">&'"#), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
    }
}
