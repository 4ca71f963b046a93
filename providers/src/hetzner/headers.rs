//! What the headers of an answer say: the bucket of calls, and the vendor's id of the call. Rule:
//! what is not plainly what it should be is not there.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use domain::time::Timestamp;
use reqwest::header::HeaderMap;

use crate::budget::Told;

/// This machine's clock and the vendor's are held for the same within so many seconds.
const SAME_CLOCK: f64 = 2.0;

/// What is said of the bucket in the answer to a call that was sent at `sent`. `RateLimit-Reset`
/// is when the bucket is full again, in whole seconds by the vendor's clock.
pub(super) fn told(headers: &HeaderMap, sent: SystemTime) -> Told {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let full_in = text("ratelimit-reset").and_then(|reset| reset.parse::<u64>().ok()).and_then(|reset| {
        let here = sent.duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
        let there = text("date").and_then(http_date);
        // The vendor's own time is told in whole seconds, so ours is better where it agrees.
        let now = there.filter(|there| (there - here).abs() > SAME_CLOCK).unwrap_or(here);
        Duration::try_from_secs_f64((reset as f64 - now).max(0.0)).ok()
    });
    Told {
        limit: text("ratelimit-limit").and_then(|limit| limit.parse().ok()),
        remaining: text("ratelimit-remaining").and_then(|left| left.parse().ok()),
        full_in,
        refused: false,
    }
}

/// `Fri, 20 Nov 2026 07:55:43 GMT` in Unix seconds.
fn http_date(text: &str) -> Option<f64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let mut words = text.split(' ').skip(1);
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let month = MONTHS.find(month).filter(|at| month.len() == 3 && at % 3 == 0)? / 3 + 1;
    let moment = Timestamp::parse(&format!("{year}-{month:02}-{day}T{time}Z"))?;
    Some(moment.millis() as f64 / 1000.0)
}

/// The vendor's id of the call, for its support.
pub(super) fn correlation_id(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("x-correlation-id")?.to_str().ok()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    ((1..=128).contains(&text.len()) && text.bytes().all(plain)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs_f64(seconds)
    }

    fn headers(reset: &str, date: &str) -> HeaderMap {
        let pairs =
            [("ratelimit-limit", "3600"), ("ratelimit-remaining", "12"), ("ratelimit-reset", reset), ("date", date)];
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    /// 2026-11-20T07:55:43Z.
    const NOW: u64 = 1_795_161_343;

    #[test]
    fn the_bucket_is_read_and_full_by_the_clock_that_is_right() {
        let reset = (NOW + 100).to_string();
        let date = "Fri, 20 Nov 2026 07:55:43 GMT";
        let here = told(&headers(&reset, date), at(NOW as f64 + 0.5));
        assert_eq!((here.limit, here.remaining), (Some(3600), Some(12)));
        assert_eq!(here.full_in, Some(Duration::from_millis(99_500)));
        for skewed in [at(NOW as f64 - 3600.0), at(NOW as f64 + 50.0)] {
            assert_eq!(told(&headers(&reset, date), skewed).full_in, Some(Duration::from_secs(100)));
            assert!(told(&headers(&reset, "yesterday"), skewed).full_in.is_some());
        }
    }

    #[test]
    fn what_is_not_plain_is_not_there() {
        let odd = headers("soon", "x");
        assert_eq!(told(&odd, at(0.0)).full_in, None);
        assert_eq!(told(&HeaderMap::new(), at(0.0)), Told::default());
        assert_eq!(told(&headers("5", ""), at(NOW as f64)).full_in, Some(Duration::ZERO), "it was full long ago");
    }
}
