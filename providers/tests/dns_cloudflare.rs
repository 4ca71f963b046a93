//! What is Cloudflare's own: its error table, its tokens, its limit of calls, its proxy and comments.
//! Against its simulator where that can do it, else against a double.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use common::{Asked, Double, INSTANCE, Told, raw, timeouts, told};
use domain::code::Code;
use providers::{
    Account, AccountAccess, AccountSecret, DnsFound, DnsName, Effect, MemoryJournal, ProviderError, RecordContent,
    RecordDeleted, RecordTarget, RecordType, RecordWish, Registry,
};
use serde_json::{Value, json};
use simulators::{
    CallLimit, Cloudflare, CloudflareCall, CloudflareConfig, CloudflareEffect, CloudflareFault, CloudflareToken,
    RecordAccess, RecordChange, RecordSeed, TokenOwner, TokenStatus, ZoneAccess,
};

const ZONE: &str = "example.com";

fn token() -> String {
    "c".repeat(40)
}

fn open(settings: Value, token: &str) -> Arc<dyn Account> {
    let access = AccountAccess {
        work_dir: std::env::temp_dir(),
        settings,
        secret: AccountSecret::new(json!({"api_token": token})),
        instance: INSTANCE.to_owned(),
        timeouts: timeouts(),
    };
    Registry::standard().get("cloudflare").unwrap().open(access).unwrap()
}

fn account(sim: &Cloudflare) -> Arc<dyn Account> {
    open(json!({"endpoint": sim.endpoint(), "dns_servers": sim.dns_address().to_string()}), &token())
}

fn account_of(double: &Double) -> Arc<dyn Account> {
    open(json!({"endpoint": format!("http://{}/client/v4", double.address)}), &token())
}

fn name(name: &str) -> DnsName {
    DnsName { zone: ZONE.to_owned(), name: name.to_owned() }
}

fn wish(name_: &str, kind: RecordType, content: &str) -> RecordWish {
    let content = RecordContent { record_id: "dns_1".to_owned(), kind, content: content.to_owned() };
    RecordWish { name: name(name_), contents: vec![content], ttl: None, proxied: None }
}

fn target(wish: &RecordWish, vendor_id: Option<String>) -> RecordTarget {
    RecordTarget {
        name: wish.name.clone(),
        content: wish.contents[0].clone(),
        vendor_id,
        proxied: wish.proxied == Some(true),
    }
}

async fn create(account: &Arc<dyn Account>, wish: &RecordWish) -> Result<RecordTarget, ProviderError> {
    let made = account.dns().unwrap().create_record(wish, &mut MemoryJournal::default()).await?;
    Ok(target(wish, made[0].vendor_id.clone()))
}

async fn delete(account: &Arc<dyn Account>, target: &RecordTarget) -> RecordDeleted {
    account.dns().unwrap().delete_record(target, &mut MemoryJournal::default()).await.unwrap()
}

async fn start(config: CloudflareConfig) -> Cloudflare {
    Cloudflare::start(config).await.unwrap()
}

async fn simulator() -> Cloudflare {
    start(CloudflareConfig::default()).await
}

fn envelope(result: Value) -> Value {
    json!({"success": true, "errors": [], "messages": [], "result": result})
}

/// The only page of a list.
fn page(result: Value) -> Value {
    let mut whole = envelope(result);
    whole["result_info"] = json!({"page": 1, "total_pages": 1});
    whole
}

fn refusal(status: u16, code: u32) -> Told {
    let errors = json!([{"code": code, "message": "VENDOR TEXT"}]);
    told(status, json!({"success": false, "errors": errors, "messages": [], "result": null}))
}

fn a_zone() -> Value {
    json!({"id": "a".repeat(32), "name": ZONE, "name_servers": [], "account": {"id": "b".repeat(32)}})
}

/// A vendor with one empty zone, whose POST of a record is answered like this.
async fn posting(post: impl Fn() -> Told + Send + Sync + 'static) -> Double {
    Double::start(move |asked: &Asked| match (asked.method.as_str(), asked.path.ends_with("/dns_records")) {
        ("GET", false) => told(200, envelope(json!([a_zone()]))),
        ("GET", true) => told(200, envelope(json!([]))),
        ("POST", true) => post(),
        _ => refusal(404, 81044),
    })
    .await
}

const TABLE: &[(u16, u32, Code, Effect)] = &[
    (400, 81053, Code::DnsNameConflict, Effect::None),
    (400, 81054, Code::DnsNameConflict, Effect::None),
    (400, 81057, Code::DnsNameConflict, Effect::None),
    (400, 81058, Code::DnsNameConflict, Effect::None),
    (404, 81044, Code::ProviderResourceGone, Effect::None),
    (400, 81045, Code::DnsQuotaExceeded, Effect::None),
    (400, 1004, Code::DnsValidation, Effect::None),
    (400, 9005, Code::DnsValidation, Effect::None),
    (403, 10000, Code::ProviderCredentialRejected, Effect::None),
    (403, 9109, Code::ProviderCredentialRejected, Effect::None),
    (400, 9109, Code::ProviderCredentialRejected, Effect::None),
    (400, 6003, Code::ProviderCredentialRejected, Effect::None),
    (401, 1000, Code::ProviderCredentialRejected, Effect::None),
    (404, 7003, Code::DnsZoneNotFound, Effect::None),
    (400, 7003, Code::DnsZoneNotFound, Effect::None),
    (429, 10013, Code::ProviderRateLimited, Effect::None),
    (429, 971, Code::ProviderRateLimited, Effect::None),
    (403, 123_456, Code::ProviderCredentialRejected, Effect::None),
    (400, 123_456, Code::ProviderInvalidRequest, Effect::None),
    (500, 10000, Code::ProviderApiError, Effect::Unknown),
    (522, 1000, Code::ProviderApiError, Effect::Unknown),
];

#[tokio::test]
async fn every_row_of_the_error_table_is_met() {
    for &(status, vendor_code, code, effect) in TABLE {
        let double = posting(move || refusal(status, vendor_code)).await;
        let error = create(&account_of(&double), &wish("alpha", RecordType::A, "192.0.2.1")).await.unwrap_err();
        assert_eq!((error.code, error.effect), (code, effect), "{status} {vendor_code}");
        assert!(error.message.contains(&vendor_code.to_string()), "{error}");
        assert!(!format!("{error} {error:?}").contains("VENDOR TEXT"), "{error:?}");
        let looks = double.asked().iter().filter(|it| it.method == "GET" && it.path.ends_with("/dns_records")).count();
        let again = effect == Effect::Unknown || code == Code::DnsNameConflict;
        assert_eq!(looks, if again { 2 } else { 1 }, "{status} {vendor_code}: looked up again exactly when not known");
    }
}

#[tokio::test]
async fn what_lies_beneath_an_error_counts_too() {
    let chain = json!([{"code": 6111, "message": "VENDOR TEXT"}]);
    let errors = json!([{"code": 123_456, "message": "VENDOR TEXT", "error_chain": chain}]);
    let body = json!({"success": false, "errors": errors, "result": null});
    // Also with a status of success.
    for status in [200, 400] {
        let body = body.clone();
        let double = posting(move || told(status, body.clone())).await;
        let error = create(&account_of(&double), &wish("alpha", RecordType::A, "192.0.2.1")).await.unwrap_err();
        assert_eq!(error.code, Code::ProviderCredentialRejected, "{error}");
        assert!(error.message.contains("6111"), "{error}");
    }
}

#[tokio::test]
async fn pages_of_proxies_and_empty_bodies_are_errors_of_the_vendor() {
    let answers: [fn() -> Told; 4] = [
        || raw(403, "text/html", "<html>Just a moment...</html>"),
        || raw(502, "text/html", "<html>Bad gateway</html>"),
        || raw(503, "", ""),
        || raw(200, "text/html", "<html>login</html>"),
    ];
    for answer in answers {
        let double = posting(answer).await;
        let error = create(&account_of(&double), &wish("alpha", RecordType::A, "192.0.2.1")).await.unwrap_err();
        assert_eq!(error.code, Code::ProviderApiError, "{error}");
        let double = Double::start(move |_| answer()).await;
        let error = account_of(&double).dns().unwrap().lookup(&name("alpha")).await.unwrap_err();
        assert_eq!((error.code, error.effect), (Code::ProviderApiError, Effect::None), "{error}");
    }
}

#[tokio::test]
async fn lists_are_read_to_the_last_page_or_to_an_empty_one() {
    for told_pages in [true, false] {
        let double = Double::start(move |asked: &Asked| {
            let page: usize = asked.query.split('&').find_map(|it| it.strip_prefix("page=")).unwrap().parse().unwrap();
            let record = |n: usize| {
                json!({"id": format!("{n:032x}"), "name": "alpha.example.com", "type": "TXT", "content": "x", "ttl": 1})
            };
            let mut body = if asked.path.ends_with("/dns_records") {
                envelope(if page <= 3 { json!([record(page)]) } else { json!([]) })
            } else {
                envelope(json!([a_zone()]))
            };
            let pages = if asked.path.ends_with("/dns_records") { 3 } else { 1 };
            if told_pages {
                body["result_info"] = json!({"page": page, "total_pages": pages});
            } else if page > pages {
                body["result"] = json!([]);
            }
            told(200, body)
        })
        .await;
        let found = account_of(&double).dns().unwrap().lookup(&name("alpha")).await.unwrap();
        assert_eq!(found.len(), 3);
        let pages = double.asked().iter().filter(|it| it.path.ends_with("/dns_records")).count();
        assert_eq!(pages, if told_pages { 3 } else { 4 });
    }
}

#[tokio::test]
async fn a_block_of_five_minutes_is_respected_by_every_account_with_the_token() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let double = Double::start(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        let mut answer = refusal(429, 10013);
        answer.headers.push(("retry-after", "300".to_owned()));
        answer
    })
    .await;
    let first = account_of(&double);
    let error = first.dns().unwrap().zones().await.unwrap_err();
    assert_eq!((error.code, error.retry_after), (Code::ProviderRateLimited, Some(Duration::from_secs(300))));
    let error = account_of(&double).dns().unwrap().zones().await.unwrap_err();
    assert_eq!(error.code, Code::ProviderRateLimited);
    assert!(error.retry_after.unwrap() > Duration::from_secs(290), "{error:?}");
    assert_eq!(calls.load(Ordering::SeqCst), 1, "nothing more went out");
    let budget = first.budget().unwrap();
    assert_eq!(budget.remaining, 0);
    assert!(budget.full_in_seconds > 290, "{budget:?}");
}

/// The second of two records meets the block. The clock is moved, so that five minutes take no time.
#[tokio::test]
async fn a_block_in_the_middle_of_a_name_is_waited_out_to_its_end() {
    let sim = simulator().await;
    let account = account(&sim);
    let mut wished = wish("alpha", RecordType::A, "192.0.2.1");
    wished.contents.push(RecordContent {
        record_id: "dns_2".to_owned(),
        kind: RecordType::Aaaa,
        content: "2001:db8::1".to_owned(),
    });
    let effect = CloudflareEffect::RateLimited { retry_after: 300 };
    sim.fault(CloudflareFault { on: CloudflareCall::RecordCreate, nth: 2, times: 1, effect });
    let dns = account.dns().unwrap();
    let mut journal = MemoryJournal::default();
    let error = dns.create_record(&wished, &mut journal).await.unwrap_err();
    assert_eq!((error.code, error.retry_after), (Code::ProviderRateLimited, Some(Duration::from_secs(300))));
    assert!(error.is_transient());

    let sent = sim.requests().len();
    tokio::time::pause();
    let mut wait = Duration::from_secs(300);
    for passed in [0, 1, 149, 149].map(Duration::from_secs) {
        tokio::time::advance(passed).await;
        let found = DnsFound {
            vendor_id: Some(format!("{}/{}", "a".repeat(32), "b".repeat(32))),
            name: wished.name.clone(),
            kind: "A".to_owned(),
            content: "192.0.2.1".to_owned(),
            ttl: None,
            proxied: false,
            ours: false,
            record_id: None,
        };
        for (what, error) in [
            ("create", dns.create_record(&wished, &mut journal).await.unwrap_err()),
            ("undo", dns.delete_record(&target(&wished, None), &mut journal).await.unwrap_err()),
            ("look-up", dns.lookup(&wished.name).await.unwrap_err()),
            ("adoption", dns.adopt_record(&found, "dns_1").await.unwrap_err()),
            ("check", account.check(None).await.unwrap_err()),
        ] {
            assert_eq!(error.code, Code::ProviderRateLimited, "{what}");
            let left = error.retry_after.unwrap();
            assert!(left <= wait - passed && left > Duration::ZERO, "{what}: {left:?}");
        }
        wait -= passed;
    }
    assert_eq!(sim.requests().len(), sent, "nothing goes out while the vendor blocks");
    tokio::time::advance(wait).await;
    tokio::time::resume();
    let made = dns.create_record(&wished, &mut journal).await.unwrap();
    assert_eq!(sim.records(ZONE).len(), 2);
    for (content, made) in wished.contents.iter().zip(made) {
        let target = RecordTarget {
            name: wished.name.clone(),
            content: content.clone(),
            vendor_id: made.vendor_id,
            proxied: false,
        };
        assert_eq!(delete(&account, &target).await, RecordDeleted::Deleted);
    }
    assert_eq!(sim.records(ZONE), Vec::<Value>::new());
}

/// The vendor has no condition for comments: somebody writes between our look and our comment.
#[tokio::test]
async fn a_record_that_changes_while_it_is_adopted_gets_its_comment_back() {
    let sim = simulator().await;
    let mut seed = RecordSeed::new("alpha.example.com", "A", "198.51.100.1");
    seed.comment = Some("theirs".to_owned());
    sim.put_records(&[seed]);
    let account = account(&sim);
    let dns = account.dns().unwrap();
    let found = dns.lookup(&name("alpha")).await.unwrap().remove(0);
    sim.fault(CloudflareFault::next(CloudflareCall::RecordEdit, CloudflareEffect::Slow { ms: 1_000 }));
    let by_hand = async {
        while !sim.requests().iter().any(|it| it.kind == CloudflareCall::RecordEdit) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let change = RecordChange { content: Some("198.51.100.2".to_owned()), ..RecordChange::default() };
        assert_eq!(sim.change_records("alpha.example.com", None, &change), 1);
    };
    let (adopted, ()) = tokio::join!(dns.adopt_record(&found, "dns_1"), by_hand);
    assert_eq!(adopted.unwrap_err().code, Code::DnsNameConflict);
    let record = &sim.records(ZONE)[0];
    assert_eq!((&record["content"], &record["comment"]), (&json!("198.51.100.2"), &json!("theirs")));
}

#[tokio::test]
async fn the_vendors_own_limit_is_met_and_waited_out() {
    let limit = CallLimit { calls: 4, window: Duration::from_secs(300), block: Duration::from_secs(1) };
    let sim = start(CloudflareConfig { limit, ..CloudflareConfig::default() }).await;
    let account = account(&sim);
    let wish = wish("alpha", RecordType::A, "192.0.2.1");
    let target = create(&account, &wish).await.unwrap();
    let error = account.dns().unwrap().lookup(&wish.name).await.unwrap_err();
    assert_eq!(error.code, Code::ProviderRateLimited);
    tokio::time::sleep(error.retry_after.unwrap()).await;
    assert_eq!(delete(&account, &target).await, RecordDeleted::Deleted);
    assert_eq!(sim.requests().iter().filter(|it| it.status == Some(429)).count(), 1);
}

fn narrow(zone_access: ZoneAccess) -> CloudflareToken {
    CloudflareToken { zone_access, zones: Some(vec![ZONE.to_owned()]), ..CloudflareToken::new(token()) }
}

async fn with_token(token: CloudflareToken) -> Cloudflare {
    let zones = vec![ZONE.to_owned(), "example.org".to_owned()];
    start(CloudflareConfig { tokens: vec![token], zones, ..CloudflareConfig::default() }).await
}

async fn message(sim: &Cloudflare, more: Value) -> Result<String, ProviderError> {
    let mut settings = json!({"endpoint": sim.endpoint()});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    open(settings, &token()).check(None).await.map(|report| report.message)
}

#[tokio::test]
async fn a_check_tells_what_was_proved_and_leaves_nothing() {
    let mut user = CloudflareToken::new(token());
    user.expires_on = Some("2027-01-02T03:04:05Z".to_owned());
    let sim = with_token(user).await;
    let report = open(json!({"endpoint": sim.endpoint()}), &token()).check(None).await.unwrap();
    assert_eq!(
        report.message,
        "The token may read and edit the records of example.com; tried on a record that does not exist. \
         Other zones were not tried. It expires on 2027-01-02T03:04:05Z."
    );
    assert_eq!(report.expires_at.as_deref(), Some("2027-01-02T03:04:05Z"));
    assert_eq!(sim.records(ZONE), Vec::<Value>::new());
    let writes: Vec<_> = sim.requests().into_iter().filter(|it| it.method != "GET").collect();
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert_eq!((writes[0].kind, writes[0].status), (CloudflareCall::RecordDelete, Some(404)));
}

#[tokio::test]
async fn an_accounts_own_token_is_verified_at_its_account() {
    let sim = with_token(CloudflareToken { owner: TokenOwner::Account, ..CloudflareToken::new(token()) }).await;
    // The zone tells the account, or the settings do.
    for more in [json!({}), json!({"account_id": sim.account_id()})] {
        message(&sim, more).await.unwrap();
        let verified = sim.requests().into_iter().rfind(|it| it.kind == CloudflareCall::TokenVerify);
        let verified = verified.unwrap();
        assert_eq!(verified.path, format!("/client/v4/accounts/{}/tokens/verify", sim.account_id()));
        assert_eq!(verified.status, Some(200));
    }
}

#[tokio::test]
async fn a_narrow_token_works_with_the_zones_id() {
    let sim = with_token(narrow(ZoneAccess::None)).await;
    let error = message(&sim, json!({})).await.unwrap_err();
    assert_eq!(error.code, Code::ProviderCredentialRejected);
    assert!(error.message.contains("zone's id"), "{error}");
    let id = sim.zone_id(ZONE).unwrap();
    let error = message(&sim, json!({"zone_id": id})).await.unwrap_err();
    assert!(error.message.contains("name the zone"), "{error}");
    let settings = json!({"zone_id": id, "zone_name": ZONE});
    assert!(message(&sim, settings).await.unwrap().contains("read and edit"));

    // Zone: Read is enough for everything else.
    let sim = with_token(narrow(ZoneAccess::Read)).await;
    let id = sim.zone_id(ZONE).unwrap();
    assert!(message(&sim, json!({"zone_id": id})).await.unwrap().contains("read and edit"));
    let account = open(json!({"endpoint": sim.endpoint(), "zone_id": id}), &token());
    assert_eq!(account.dns().unwrap().zones().await.unwrap()[0].name, ZONE);
    let wish = wish("alpha", RecordType::A, "192.0.2.1");
    let made = create(&account, &wish).await.unwrap();
    assert_eq!(delete(&account, &made).await, RecordDeleted::Deleted);
    let mut elsewhere = wish;
    elsewhere.name.zone = "example.org".to_owned();
    assert_eq!(create(&account, &elsewhere).await.unwrap_err().code, Code::DnsZoneNotFound);
}

/// A vendor that lists these zones, none of which holds anything.
async fn listing(zones: Value) -> Double {
    Double::start(move |asked: &Asked| match asked.path.ends_with("/dns_records") {
        true => told(200, page(json!([]))),
        false => told(200, page(zones.clone())),
    })
    .await
}

/// A zone that was moved, or that somebody began to move, is listed beside the one that answers.
#[tokio::test]
async fn of_several_zones_with_one_name_the_active_one_is_meant() {
    let zone = |id: &str, account: &str, status: &str| {
        let account = json!({"id": account.repeat(32)});
        json!({"id": id.repeat(32), "name": ZONE, "name_servers": [], "account": account, "status": status})
    };
    let in_account = |double: &Double, id: &str| {
        let endpoint = format!("http://{}/client/v4", double.address);
        open(json!({"endpoint": endpoint, "account_id": id.repeat(32)}), &token())
    };
    let asked_in = |double: &Double| {
        let asked = double.asked();
        asked
            .iter()
            .find(|it| it.path.ends_with("/dns_records"))
            .map(|it| it.path.split('/').nth(4).unwrap().to_owned())
    };
    let double = listing(json!([zone("1", "a", "pending"), zone("2", "b", "active"), zone("3", "a", "moved")])).await;
    account_of(&double).dns().unwrap().lookup(&name("alpha")).await.unwrap();
    assert_eq!(asked_in(&double), Some("2".repeat(32)));

    let double = listing(json!([zone("1", "a", "active"), zone("2", "b", "active")])).await;
    let error = account_of(&double).dns().unwrap().lookup(&name("alpha")).await.unwrap_err();
    assert_eq!(error.code, Code::DnsZoneNotFound);
    assert!(error.message.contains("zone's id"), "{error}");
    assert_eq!(asked_in(&double), None);
    in_account(&double, "b").dns().unwrap().lookup(&name("alpha")).await.unwrap();
    assert_eq!(asked_in(&double), Some("2".repeat(32)));
    let error = in_account(&double, "c").dns().unwrap().lookup(&name("alpha")).await.unwrap_err();
    assert_eq!(error.code, Code::DnsZoneNotFound);
}

/// A record that cannot be read may be foreign or ours: neither is it no conflict, nor is it gone.
#[tokio::test]
async fn a_record_that_cannot_be_read_is_not_passed_over() {
    let double = Double::start(|asked: &Asked| {
        let record = json!({"id": "7", "name": "alpha.example.com", "type": "A", "content": "192.0.2.1"});
        match asked.path.ends_with("/dns_records") {
            true => told(200, page(json!([record]))),
            false => told(200, page(json!([a_zone()]))),
        }
    })
    .await;
    let account = account_of(&double);
    let dns = account.dns().unwrap();
    let wished = wish("alpha", RecordType::A, "192.0.2.1");
    assert_eq!(dns.lookup(&wished.name).await.unwrap_err().code, Code::ProviderApiError);
    assert_eq!(create(&account, &wished).await.unwrap_err().code, Code::ProviderApiError);
    let mut journal = MemoryJournal::default();
    providers::Journal::put(&mut journal, "dns:dns_1", json!({"open": 1, "zone": null, "id": null})).await.unwrap();
    let error = dns.delete_record(&target(&wished, None), &mut journal).await.unwrap_err();
    assert_eq!(error.code, Code::ProviderApiError);
    assert!(double.asked().iter().all(|it| it.method == "GET"));
}

#[tokio::test]
async fn a_zone_id_of_another_zone_makes_nothing() {
    let sim = start(CloudflareConfig {
        tokens: vec![CloudflareToken { zone_access: ZoneAccess::None, ..CloudflareToken::new(token()) }],
        zones: vec![ZONE.to_owned(), "example.org".to_owned()],
        ..CloudflareConfig::default()
    })
    .await;
    let other = sim.zone_id("example.org").unwrap();
    let account = open(json!({"endpoint": sim.endpoint(), "zone_id": other, "zone_name": ZONE}), &token());
    let error = create(&account, &wish("alpha", RecordType::A, "192.0.2.1")).await.unwrap_err();
    assert_eq!(error.code, Code::DnsZoneNotFound);
    assert_eq!(sim.records("example.org"), Vec::<Value>::new(), "alpha.example.com.example.org was taken back");
}

#[tokio::test]
async fn tokens_that_do_not_do_are_told_apart() {
    let read = CloudflareToken { record_access: RecordAccess::Read, ..CloudflareToken::new(token()) };
    let error = message(&with_token(read).await, json!({})).await.unwrap_err();
    assert_eq!(error.code, Code::ProviderTokenReadonly);

    for (status, word) in [(TokenStatus::Disabled, "switched off"), (TokenStatus::Expired, "expired")] {
        let sim = with_token(CloudflareToken { status, ..CloudflareToken::new(token()) }).await;
        let error = message(&sim, json!({})).await.unwrap_err();
        assert_eq!(error.code, Code::ProviderCredentialRejected);
        assert!(error.message.contains(word), "{error}");
    }
    let sim = with_token(CloudflareToken::new("another".repeat(6))).await;
    assert_eq!(message(&sim, json!({})).await.unwrap_err().code, Code::ProviderCredentialRejected);
    let sim = with_token(CloudflareToken { zones: Some(Vec::new()), ..CloudflareToken::new(token()) }).await;
    assert_eq!(message(&sim, json!({})).await.unwrap_err().code, Code::DnsZoneNotFound);
}

#[tokio::test]
async fn a_record_behind_the_proxy_is_visible_by_any_address() {
    let sim = simulator().await;
    let account = account(&sim);
    let dns = account.dns().unwrap();
    let mut wished = wish("alpha", RecordType::A, "192.0.2.1");
    (wished.proxied, wished.ttl) = (Some(true), Some(120));
    let made = create(&account, &wished).await.unwrap();
    let record = &sim.records(ZONE)[0];
    assert_eq!((&record["proxied"], &record["ttl"]), (&json!(true), &json!(1)));
    assert!(dns.is_visible(&made).await.unwrap());
    let found = dns.lookup(&wished.name).await.unwrap();
    assert_eq!((found[0].proxied, found[0].ttl), (true, None));
    let mut alias = wish("beta", RecordType::Cname, "other.example.org");
    alias.proxied = Some(true);
    let made = create(&account, &alias).await.unwrap();
    assert!(dns.is_visible(&made).await.unwrap());
}

/// Our own record with another TTL or proxy is set right by a PATCH that leaves its comment alone.
#[tokio::test]
async fn ours_with_another_ttl_is_set_right_and_never_replaced() {
    let sim = simulator().await;
    let account = account(&sim);
    let mut wished = wish("alpha", RecordType::A, "192.0.2.1");
    (wished.ttl, wished.proxied) = (Some(300), Some(false));
    let made = create(&account, &wished).await.unwrap();
    sim.change_records("alpha.example.com", None, &RecordChange { ttl: Some(60), ..RecordChange::default() });
    assert_eq!(create(&account, &wished).await.unwrap(), made);
    let record = &sim.records(ZONE)[0];
    assert_eq!((&record["ttl"], &record["comment"]), (&json!(300), &json!("hangar inst-1 dns_1")));
    wished.proxied = Some(true);
    create(&account, &wished).await.unwrap();
    assert_eq!(sim.records(ZONE)[0]["proxied"], true);
    assert_eq!(sim.records(ZONE)[0]["comment"], "hangar inst-1 dns_1");
    let kinds: Vec<_> = sim.requests().iter().map(|it| it.kind).collect();
    assert!(!kinds.contains(&CloudflareCall::RecordReplace), "PUT resets what it does not name");
    assert_eq!(kinds.iter().filter(|kind| **kind == CloudflareCall::RecordEdit).count(), 2);
}

#[tokio::test]
async fn texts_and_aliases_are_made_found_and_taken_away() {
    let sim = simulator().await;
    let account = account(&sim);
    let dns = account.dns().unwrap();
    let long = "x".repeat(300);
    let cases = [
        wish("_acme-challenge.alpha", RecordType::Txt, r#"a "b" \c"#),
        wish("long", RecordType::Txt, &long),
        wish("umlauts", RecordType::Txt, "grüße"),
        wish("alias", RecordType::Cname, "Other.example.org"),
        wish("@", RecordType::Aaaa, "2001:DB8:0::1"),
    ];
    for wished in cases {
        let made = create(&account, &wished).await.unwrap();
        assert!(dns.is_visible(&made).await.unwrap(), "{wished:?}");
        let found = dns.lookup(&wished.name).await.unwrap();
        assert!(found.len() == 1 && found[0].ours && found[0].name == wished.name, "{found:?}");
        assert_eq!(found[0].record_id.as_deref(), Some("dns_1"));
        if wished.contents[0].kind == RecordType::Txt {
            assert_eq!(found[0].content, wished.contents[0].content, "the whole text");
        }
        assert_eq!(create(&account, &wished).await.unwrap(), made, "taken over");
        assert_eq!(delete(&account, &made).await, RecordDeleted::Deleted);
    }
    assert_eq!(sim.records(ZONE), Vec::<Value>::new());
}

/// A foreign text beside an address is no conflict; one where a text is wished is.
#[tokio::test]
async fn only_what_is_in_the_way_is_a_conflict() {
    let sim = simulator().await;
    sim.put_records(&[RecordSeed::new("alpha.example.com", "TXT", "\"v=spf1 -all\"")]);
    let account = account(&sim);
    create(&account, &wish("alpha", RecordType::A, "192.0.2.1")).await.unwrap();
    let error = create(&account, &wish("alpha", RecordType::Txt, "mine")).await.unwrap_err();
    assert_eq!(error.code, Code::DnsNameConflict);
}

/// Somebody takes the name between our look and our create.
#[tokio::test]
async fn a_conflict_that_comes_in_between_is_one() {
    for code in [81053, 81054, 81057, 81058] {
        let sim = simulator().await;
        let account = account(&sim);
        let effect = CloudflareEffect::Status { status: 400, code, message: "VENDOR TEXT".to_owned(), body: None };
        sim.fault(CloudflareFault::next(CloudflareCall::RecordCreate, effect));
        let wished = wish("alpha", RecordType::A, "192.0.2.1");
        let mut journal = MemoryJournal::default();
        let error = account.dns().unwrap().create_record(&wished, &mut journal).await.unwrap_err();
        assert_eq!(error.code, Code::DnsNameConflict);
        let undone = account.dns().unwrap().delete_record(&target(&wished, None), &mut journal).await.unwrap();
        assert_eq!(undone, RecordDeleted::Gone);
    }
}

/// The vendor takes a second address beside the first: somebody writes between our look and our
/// create, or a create that was given up long ago comes late.
#[tokio::test]
async fn what_came_beside_ours_while_it_was_made_is_a_conflict() {
    let sim = simulator().await;
    let account = account(&sim);
    let dns = account.dns().unwrap();
    let wished = wish("alpha", RecordType::A, "192.0.2.1");
    sim.fault(CloudflareFault::next(CloudflareCall::RecordCreate, CloudflareEffect::Slow { ms: 300 }));
    let mut journal = MemoryJournal::default();
    let by_hand = async {
        while !sim.requests().iter().any(|it| it.kind == CloudflareCall::RecordCreate) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        sim.put_records(&[RecordSeed::new("alpha.example.com", "A", "198.51.100.1")]);
    };
    let (created, ()) = tokio::join!(dns.create_record(&wished, &mut journal), by_hand);
    assert_eq!(created.unwrap_err().code, Code::DnsNameConflict);
    let contents = |sim: &Cloudflare| sim.records(ZONE).iter().map(|it| it["content"].clone()).collect::<Vec<_>>();
    assert_eq!(contents(&sim), [json!("198.51.100.1")], "ours was taken back, theirs stands");
    let undone = dns.delete_record(&target(&wished, None), &mut journal).await.unwrap();
    assert_ne!(undone, RecordDeleted::Deleted);
    assert_eq!(contents(&sim), [json!("198.51.100.1")]);
}

/// Two installations reach for one name: never do both records stand side by side and are called made.
#[tokio::test]
async fn of_two_that_want_one_name_at_most_one_gets_it() {
    let sim = simulator().await;
    let of = |instance: &str| {
        let access = AccountAccess {
            work_dir: std::env::temp_dir(),
            settings: json!({"endpoint": sim.endpoint()}),
            secret: AccountSecret::new(json!({"api_token": token()})),
            instance: instance.to_owned(),
            timeouts: timeouts(),
        };
        Registry::standard().get("cloudflare").unwrap().open(access).unwrap()
    };
    let (one, other) = (of("inst-1"), of("inst-2"));
    for n in 0..20 {
        let (first, second) = (
            wish(&format!("alpha{n}"), RecordType::A, "192.0.2.1"),
            wish(&format!("alpha{n}"), RecordType::A, "192.0.2.2"),
        );
        let (mut mine, mut theirs) = (MemoryJournal::default(), MemoryJournal::default());
        let (a, b) = tokio::join!(
            one.dns().unwrap().create_record(&first, &mut mine),
            other.dns().unwrap().create_record(&second, &mut theirs)
        );
        let stand = sim.records(ZONE).iter().filter(|it| it["name"] == first.name.fqdn()).count();
        assert_eq!(stand, usize::from(a.is_ok()) + usize::from(b.is_ok()), "{a:?} {b:?}");
        assert!(stand <= 1, "{a:?} {b:?}");
        for lost in [a.err(), b.err()].into_iter().flatten() {
            assert_eq!(lost.code, Code::DnsNameConflict, "{lost:?}");
        }
    }
}

/// Another address beside ours is seen by whoever asks for the name.
#[tokio::test]
async fn ours_is_visible_only_when_it_is_all_that_stands() {
    let sim = simulator().await;
    let account = account(&sim);
    let made = create(&account, &wish("alpha", RecordType::A, "192.0.2.1")).await.unwrap();
    assert!(account.dns().unwrap().is_visible(&made).await.unwrap());
    sim.put_records(&[RecordSeed::new("alpha.example.com", "A", "198.51.100.1")]);
    assert!(!account.dns().unwrap().is_visible(&made).await.unwrap());
}

/// A portal's page with a status of success: nothing was carried out, and nothing says that it was.
#[tokio::test]
async fn only_the_vendors_own_word_counts_as_done() {
    let page = CloudflareEffect::Status {
        status: 200,
        code: 0,
        message: String::new(),
        body: Some(json!({"portal": "please log in"})),
    };
    for nothing in [CloudflareEffect::EmptyBody { status: 200 }, page] {
        let sim = simulator().await;
        let account = account(&sim);
        let dns = account.dns().unwrap();
        let made = create(&account, &wish("alpha", RecordType::A, "192.0.2.1")).await.unwrap();
        sim.fault(CloudflareFault::next(CloudflareCall::RecordDelete, nothing.clone()));
        let error = dns.delete_record(&made, &mut MemoryJournal::default()).await.unwrap_err();
        assert_eq!((error.code, error.effect), (Code::ProviderApiError, Effect::Unknown), "{nothing:?}");
        assert!(error.is_transient());
        assert_eq!(sim.records(ZONE).len(), 1, "it stands, and is not called deleted");
        assert_eq!(delete(&account, &made).await, RecordDeleted::Deleted);

        sim.put_records(&[RecordSeed::new("beta.example.com", "A", "198.51.100.1")]);
        let found = dns.lookup(&name("beta")).await.unwrap().remove(0);
        sim.fault(CloudflareFault::next(CloudflareCall::RecordEdit, nothing));
        let error = dns.adopt_record(&found, "dns_1").await.unwrap_err();
        assert_eq!((error.code, error.effect), (Code::ProviderApiError, Effect::Unknown));
        assert!(!dns.lookup(&name("beta")).await.unwrap()[0].ours, "it is not ours, and is not called so");
        dns.adopt_record(&found, "dns_1").await.unwrap();
        assert!(dns.lookup(&name("beta")).await.unwrap()[0].ours);
    }
}

/// What was carried out although its answer cannot be read is looked up.
#[tokio::test]
async fn what_an_unreadable_answer_hides_is_looked_up() {
    let sim = simulator().await;
    sim.put_records(&[RecordSeed::new("beta.example.com", "A", "198.51.100.1")]);
    let account = account(&sim);
    let dns = account.dns().unwrap();
    let made = create(&account, &wish("alpha", RecordType::A, "192.0.2.1")).await.unwrap();
    sim.fault(CloudflareFault::next(CloudflareCall::RecordDelete, CloudflareEffect::UnreadableBody));
    assert_eq!(delete(&account, &made).await, RecordDeleted::Deleted);
    let found = dns.lookup(&name("beta")).await.unwrap().remove(0);
    sim.fault(CloudflareFault::next(CloudflareCall::RecordEdit, CloudflareEffect::UnreadableBody));
    dns.adopt_record(&found, "dns_1").await.unwrap();
    assert!(dns.lookup(&name("beta")).await.unwrap()[0].ours);
}

/// Renamed by hand: the marker came along, the name did not.
#[tokio::test]
async fn a_record_that_was_renamed_is_left() {
    let sim = simulator().await;
    let account = account(&sim);
    let made = create(&account, &wish("alpha", RecordType::A, "192.0.2.1")).await.unwrap();
    let change = RecordChange { name: Some("beta.example.com".to_owned()), ..RecordChange::default() };
    sim.change_records("alpha.example.com", None, &change);
    let deleted = delete(&account, &made).await;
    assert!(matches!(&deleted, RecordDeleted::Changed { observed } if observed.contains("beta")), "{deleted:?}");
}

/// An id that is not one never becomes part of a path; the record is found by its marker.
#[tokio::test]
async fn a_strange_id_is_not_used() {
    let sim = simulator().await;
    let account = account(&sim);
    let made = create(&account, &wish("alpha", RecordType::A, "192.0.2.1")).await.unwrap();
    let strange = RecordTarget { vendor_id: Some("../../zones".to_owned()), ..made };
    assert_eq!(delete(&account, &strange).await, RecordDeleted::Deleted);
    assert!(sim.requests().iter().all(|it| !it.path.contains("..")));
}

#[tokio::test]
async fn name_servers_that_cannot_be_asked_are_told() {
    let sim = simulator().await;
    // The zone's own have no address anywhere.
    let account = open(json!({"endpoint": sim.endpoint()}), &token());
    let made = create(&account, &wish("alpha", RecordType::A, "192.0.2.1")).await.unwrap();
    let error = account.dns().unwrap().is_visible(&made).await.unwrap_err();
    assert_eq!(error.code, Code::ProviderUnreachable);
}

#[test]
fn settings_and_secret_are_checked_without_a_call() {
    let registry = Registry::standard();
    let adapter = registry.get("cloudflare").unwrap();
    let id = "0123456789abcdef".repeat(2);
    let good = json!({
        "endpoint": "https://api.cloudflare.com", "zone_id": id, "zone_name": ZONE, "account_id": id,
        "dns_servers": "ns1.example.com, 192.0.2.1:5355 [2001:db8::1]:53",
    });
    adapter.validate(&good, Some(&json!({"api_token": " token\n"}))).unwrap();
    adapter.validate(&json!({}), None).unwrap();
    let cases = [
        (json!({"endpoint": "ftp://x"}), "/settings/endpoint"),
        (json!({"zone_id": "example.com"}), "/settings/zone_id"),
        (json!({"account_id": "X".repeat(32)}), "/settings/account_id"),
        (json!({"zone_name": "example.com"}), "/settings/zone_name"),
        (json!({"dns_servers": "ns1/../x"}), "/settings/dns_servers"),
        (json!({"other": 1}), "/settings/other"),
    ];
    for (settings, pointer) in cases {
        let errors = adapter.validate(&settings, None).unwrap_err();
        assert_eq!(errors.iter().map(|it| it.pointer.as_str()).collect::<Vec<_>>(), [pointer]);
    }
    for secret in [json!({}), json!({"api_token": "a b"}), json!({"api_token": ""})] {
        let errors = adapter.validate(&json!({}), Some(&secret)).unwrap_err();
        assert_eq!(errors[0].pointer, "/secret/api_token");
    }
}

#[tokio::test]
async fn the_token_is_in_no_error() {
    let secret = "very-secret-token-of-somebody";
    let account = open(json!({"endpoint": "http://127.0.0.1:9/client/v4"}), secret);
    let error = account.check(None).await.unwrap_err();
    assert_eq!(error.code, Code::ProviderUnreachable);
    assert!(!format!("{error} {error:?}").contains(secret));
}
