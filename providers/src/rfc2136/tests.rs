//! What only a clock that is off can show, at a real BIND 9.

use std::time::{SystemTime, UNIX_EPOCH};

use domain::code::Code;

use super::{check, schemas, session::Server};
use crate::adapter::Timeouts;

#[expect(dead_code, reason = "no test uses everything")]
#[path = "../../tests/bind/mod.rs"]
mod bind;

fn real() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn server(address: &str, clock: fn() -> u64) -> Server {
    let key = bind::HANGAR;
    let settings = serde_json::json!({
        "server": address, "zone": "example.test", "key_name": key.name, "algorithm": schemas::ALGORITHMS[0],
    });
    let settings = super::Settings::read(&settings).unwrap();
    let secret = super::key_of(&serde_json::json!({"key": key.secret})).unwrap();
    let signer = settings.signer(secret).unwrap();
    Server::new(settings, signer, Timeouts::default()).with_clock(clock)
}

/// A clock, and the words that say how it is off.
type Case = (fn() -> u64, &'static str);

#[tokio::test]
async fn a_clock_that_is_off_is_called_that() {
    let Some(bind) = bind::Bind::start(&["example.test".to_owned()]) else { return };
    let cases: [Case; 2] = [(|| real() - 1_000, "s behind"), (|| real() + 1_000, "s ahead of")];
    for (clock, words) in cases {
        let error = check::run(&server(&bind.server(), clock)).await.unwrap_err();
        assert_eq!(error.code, Code::ProviderCredentialRejected);
        assert!(error.message.contains("BADTIME") && error.message.contains(words), "{}", error.message);
        let seconds: u64 = error.message.split(' ').find_map(|word| word.parse().ok()).unwrap();
        assert!((995..=1_005).contains(&seconds), "{}", error.message);
    }
    // Within what signatures allow.
    check::run(&server(&bind.server(), || real() + 200)).await.unwrap();
}
