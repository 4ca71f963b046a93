//! Limits on failed sign-ins, per client address and over all, counted in the database so that
//! they hold for every process. The rule: the more failures, the longer the wait.

use std::net::IpAddr;

use domain::time::{HOUR, MINUTE, Millis};

use crate::{fault::Fault, services::Services};

/// No further try is taken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locked {
    /// Seconds after which another try makes sense.
    pub retry_after_s: u64,
}

/// So many failures within the span lock for what is left of it, at most the span.
struct Tier {
    span: Millis,
    failures: u32,
}

/// For one address. Refused tries are not counted, so that each tier runs out by itself.
const ADDRESS: [Tier; 4] = [
    Tier { span: MINUTE, failures: 5 },
    Tier { span: 15 * MINUTE, failures: 10 },
    Tier { span: 4 * HOUR, failures: 25 },
    Tier { span: 24 * HOUR, failures: 50 },
];

/// For all addresses together, against many that each try a little.
const GLOBAL: [Tier; 2] = [Tier { span: MINUTE, failures: 60 }, Tier { span: HOUR, failures: 600 }];

const GLOBAL_KEY: &str = "all";

/// The key of an address: IPv6 by its /64, because a client owns a whole one.
fn key(client: IpAddr) -> String {
    match client {
        IpAddr::V4(address) => format!("ip:{address}"),
        IpAddr::V6(address) => {
            let s = address.segments();
            format!("ip:{:x}:{:x}:{:x}:{:x}::/64", s[0], s[1], s[2], s[3])
        }
    }
}

/// Whether `client` has to wait.
pub(super) async fn locked(services: &Services, client: IpAddr) -> Result<Option<Locked>, Fault> {
    let now = services.clock().now();
    let mut c = services.store().read().await?;
    let mut wait: Option<Millis> = None;
    for (key, tiers) in [(key(client), ADDRESS.as_slice()), (GLOBAL_KEY.to_owned(), GLOBAL.as_slice())] {
        for tier in tiers {
            if c.login_failures_since(&key, now.plus(-tier.span)).await? >= tier.failures {
                wait = wait.max(Some(tier.span));
            }
        }
    }
    Ok(wait.map(|span| Locked { retry_after_s: u64::try_from(span / 1_000).unwrap_or(60) }))
}

/// Notes a failure of `client`.
pub(super) async fn failed(services: &Services, client: IpAddr) -> Result<(), Fault> {
    let now = services.clock().now();
    let key = key(client);
    services
        .store()
        .write::<(), Fault, _>(move |c| {
            let key = key.clone();
            Box::pin(async move {
                c.login_failure_add(&key, now).await?;
                c.login_failure_add(GLOBAL_KEY, now).await?;
                Ok(())
            })
        })
        .await
}

/// Forgets the failures of `client` after a success.
pub(super) async fn succeeded(services: &Services, client: IpAddr) -> Result<(), Fault> {
    let key = key(client);
    if services.store().read().await?.login_failures_since(&key, services.clock().now().plus(-24 * HOUR)).await? == 0 {
        return Ok(());
    }
    services
        .store()
        .write::<(), Fault, _>(move |c| {
            let key = key.clone();
            Box::pin(async move { Ok(c.login_failures_clear(&key).await?) })
        })
        .await
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn an_ipv6_client_is_its_network() {
        let key_of = |text: &str| key(text.parse().unwrap());
        assert_eq!(key_of("2001:db8:1:2::7"), key_of("2001:db8:1:2:ffff::1"));
        assert_ne!(key_of("2001:db8:1:2::7"), key_of("2001:db8:1:3::7"));
        assert_ne!(key_of("192.0.2.1"), key_of("192.0.2.2"));
    }

    #[test]
    fn longer_tiers_take_more_failures() {
        for tiers in [ADDRESS.as_slice(), GLOBAL.as_slice()] {
            assert!(tiers.windows(2).all(|w| w[0].span < w[1].span && w[0].failures < w[1].failures));
        }
    }
}
