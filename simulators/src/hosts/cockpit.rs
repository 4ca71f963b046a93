//! The page that a simulated machine shows: small, self-contained, real. Rule: every path answers
//! with it, since people open cockpits with paths of their own.

use axum::{
    Router,
    http::{Uri, header},
    response::IntoResponse,
};
use time::OffsetDateTime;

use super::HostSpec;

const PAGE: &str = include_str!("cockpit.html");

/// Serves the page of one machine.
pub(crate) fn router(spec: &HostSpec) -> Router {
    let spec = spec.clone();
    Router::new().fallback(move |uri: Uri| async move {
        let page = page(&spec, uri.path());
        let headers = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
            (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; img-src data:"),
        ];
        (headers, page).into_response()
    })
}

fn page(spec: &HostSpec, path: &str) -> String {
    PAGE.replace("{name}", &escaped(&spec.name))
        .replace("{server_type}", &escaped(&spec.server_type))
        .replace("{location}", &escaped(&spec.location))
        .replace("{address}", &spec.address.to_string())
        .replace("{uptime}", &uptime(OffsetDateTime::now_utc().unix_timestamp() - spec.booted_at))
        .replace("{path}", &escaped(path))
}

fn uptime(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Text made harmless inside HTML.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::{escaped, uptime};

    #[test]
    fn uptime_reads_well() {
        assert_eq!(uptime(-3), "0 s");
        assert_eq!(uptime(42), "42 s");
        assert_eq!(uptime(150), "2 min 30 s");
        assert_eq!(uptime(3_660), "1 h 1 min");
        assert_eq!(uptime(90_000), "1 d 1 h");
    }

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escaped("<b a='\"&\">"), "&lt;b a=&#39;&quot;&amp;&quot;&gt;");
    }
}
