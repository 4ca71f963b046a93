//! Figures for Prometheus. The rule: counting a request is a few atomic additions; everything else
//! is asked for when somebody reads the figures.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use domain::access::ACCESS;

use crate::http::{extract::Who, problem::Answer, state::AppState};

/// Upper bounds of the latency histogram, in microseconds and as Prometheus writes them.
const BOUNDS: [(u64, &str); 8] = [
    (1_000, "0.001"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (5_000_000, "5"),
];

#[derive(Debug, Default)]
struct Route {
    by_class: [AtomicU64; 5],
    buckets: [AtomicU64; BOUNDS.len()],
    micros: AtomicU64,
}

/// The counts of this process, one per line of the ACCESS table.
#[derive(Debug)]
pub(crate) struct Metrics {
    routes: Vec<Route>,
}

impl Metrics {
    pub fn new() -> Self {
        Self { routes: ACCESS.iter().map(|_| Route::default()).collect() }
    }

    /// Counts one answer of the route at `index` of ACCESS.
    pub fn request(&self, index: usize, status: StatusCode, took: Duration) {
        let Some(route) = self.routes.get(index) else { return };
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        route.by_class[class].fetch_add(1, Relaxed);
        route.micros.fetch_add(micros, Relaxed);
        if let Some(bucket) = BOUNDS.iter().position(|(bound, _)| micros <= *bound) {
            route.buckets[bucket].fetch_add(1, Relaxed);
        }
    }

    fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "# HELP hangar_http_requests_total Answered requests.\n# TYPE hangar_http_requests_total counter"
        );
        let used = || ACCESS.iter().zip(&self.routes).filter(|(_, r)| r.by_class.iter().any(|c| c.load(Relaxed) > 0));
        for (rule, route) in used() {
            for (class, count) in route.by_class.iter().enumerate().filter(|(_, c)| c.load(Relaxed) > 0) {
                let _ = writeln!(
                    out,
                    "hangar_http_requests_total{{method=\"{}\",route=\"{}\",status=\"{}xx\"}} {}",
                    rule.method,
                    rule.path,
                    class + 1,
                    count.load(Relaxed)
                );
            }
        }
        let _ = writeln!(
            out,
            "# HELP hangar_http_request_seconds Time to the answer's head.\n# TYPE hangar_http_request_seconds histogram"
        );
        for (rule, route) in used() {
            let labels = format!("method=\"{}\",route=\"{}\"", rule.method, rule.path);
            let mut below = 0;
            for ((_, bound), bucket) in BOUNDS.iter().zip(&route.buckets) {
                below += bucket.load(Relaxed);
                let _ = writeln!(out, "hangar_http_request_seconds_bucket{{{labels},le=\"{bound}\"}} {below}");
            }
            let count: u64 = route.by_class.iter().map(|c| c.load(Relaxed)).sum();
            let micros = route.micros.load(Relaxed);
            let _ = writeln!(out, "hangar_http_request_seconds_bucket{{{labels},le=\"+Inf\"}} {count}");
            let _ = writeln!(
                out,
                "hangar_http_request_seconds_sum{{{labels}}} {}.{:06}",
                micros / 1_000_000,
                micros % 1_000_000
            );
            let _ = writeln!(out, "hangar_http_request_seconds_count{{{labels}}} {count}");
        }
        out
    }
}

/// Figures in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "service",
    responses((status = 200, description = "Prometheus text format", body = String, content_type = "text/plain")))]
pub(crate) async fn show(State(state): State<AppState>, who: Who) -> Answer<Response> {
    let overview = state.services.overview(&who).await?;
    let mut text = state.metrics.text();
    let mut gauge = |name: &str, help: &str, values: &[(String, u64)]| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, value) in values {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let one = |value: u32| [(String::new(), u64::from(value))];
    gauge("hangar_jobs_running", "Jobs at work.", &one(overview.jobs_running));
    gauge("hangar_jobs_queued", "Jobs that wait for their turn.", &one(overview.jobs_queued));
    gauge("hangar_nodes_ready", "Nodes that are ready.", &one(overview.nodes_ready));
    gauge("hangar_nodes_live", "Nodes that Hangar answers for.", &one(overview.nodes_live));
    let mut machines = Vec::new();
    let mut waiting = Vec::new();
    for pool in &overview.pools {
        let c = pool.counts;
        for (status, value) in [
            ("available", c.available),
            ("allocated", c.allocated),
            ("cleaning", c.cleaning),
            ("maintenance", c.maintenance),
            ("draining", c.draining),
            ("coming", c.coming),
        ] {
            machines.push((format!("{{pool=\"{}\",status=\"{status}\"}}", pool.name), u64::from(value)));
        }
        waiting.push((format!("{{pool=\"{}\"}}", pool.name), u64::from(c.waiting)));
    }
    gauge("hangar_pool_vms", "Machines of each pool by status.", &machines);
    gauge("hangar_pool_waiting", "Requests in the waiting list of each pool.", &waiting);
    let mut response = text.into_response();
    let plain = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    Ok(response)
}

#[cfg(test)]
mod tests {

    use axum::http::Method;

    use super::*;
    use crate::http::access::rule_index;

    #[test]
    fn requests_are_counted_by_template() {
        let metrics = Metrics::new();
        let index = rule_index(&Method::GET, "/api/v1/nodes/{id}").unwrap();
        metrics.request(index, StatusCode::OK, Duration::from_micros(1_500));
        metrics.request(index, StatusCode::NOT_FOUND, Duration::from_secs(9));
        let text = metrics.text();
        let labels = r#"method="GET",route="/api/v1/nodes/{id}""#;
        for line in [
            format!(r#"hangar_http_requests_total{{{labels},status="2xx"}} 1"#),
            format!(r#"hangar_http_requests_total{{{labels},status="4xx"}} 1"#),
            format!(r#"hangar_http_request_seconds_bucket{{{labels},le="0.001"}} 0"#),
            format!(r#"hangar_http_request_seconds_bucket{{{labels},le="0.005"}} 1"#),
            format!(r#"hangar_http_request_seconds_bucket{{{labels},le="5"}} 1"#),
            format!(r#"hangar_http_request_seconds_bucket{{{labels},le="+Inf"}} 2"#),
            format!(r#"hangar_http_request_seconds_sum{{{labels}}} 9.001500"#),
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
    }
}
