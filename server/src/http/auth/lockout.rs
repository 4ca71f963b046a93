//! Limits on failed sign-ins per client address, counted in the database so that they hold for every
//! process. The rule: the more failures, the slower the tries; but one a minute is always taken, and
//! nobody's failures hold up anybody else, or whoever can send wrong secrets could shut the
//! administrator out. Over all addresses, the few verifications at a time bound the guessing.

use std::net::IpAddr;

use domain::time::{HOUR, MINUTE, Millis};

use crate::{
    fault::Fault,
    services::{SIGN_IN_FAILURES_COUNT, Services},
};

/// No further try is taken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locked {
    /// Seconds after which another try makes sense.
    pub retry_after_s: u64,
}

/// So many failures within the span leave one try a minute.
struct Tier {
    span: Millis,
    failures: u32,
}

/// So many tries may fail within a minute before any tier is reached.
const A_MINUTE: u32 = 5;

/// Refused tries are not counted, so that each tier runs out by itself.
const TIERS: [Tier; 3] = [
    Tier { span: 15 * MINUTE, failures: 10 },
    Tier { span: 4 * HOUR, failures: 25 },
    Tier { span: SIGN_IN_FAILURES_COUNT, failures: 50 },
];

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
    let (key, now) = (key(client), services.clock().now());
    let mut c = services.store().read().await?;
    let lately = c.login_failures_since(&key, now.plus(-MINUTE)).await?;
    if lately == 0 {
        return Ok(None);
    }
    let mut most = A_MINUTE;
    for tier in &TIERS {
        if c.login_failures_since(&key, now.plus(-tier.span)).await? >= tier.failures {
            most = 1;
        }
    }
    Ok((lately >= most).then_some(Locked { retry_after_s: 60 }))
}

/// Notes a failure of `client`.
pub(super) async fn failed(services: &Services, client: IpAddr) -> Result<(), Fault> {
    let now = services.clock().now();
    let key = key(client);
    services
        .store()
        .write::<(), Fault, _>(move |c| {
            let key = key.clone();
            Box::pin(async move { Ok(c.login_failure_add(&key, now).await?) })
        })
        .await
}

/// Forgets the failures of `client` after a success.
pub(super) async fn succeeded(services: &Services, client: IpAddr) -> Result<(), Fault> {
    let key = key(client);
    if services
        .store()
        .read()
        .await?
        .login_failures_since(&key, services.clock().now().plus(-SIGN_IN_FAILURES_COUNT))
        .await?
        == 0
    {
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
        assert!(TIERS.windows(2).all(|w| w[0].span < w[1].span && w[0].failures < w[1].failures));
        assert!(TIERS.iter().all(|tier| tier.failures > A_MINUTE && tier.span <= SIGN_IN_FAILURES_COUNT));
    }
}
