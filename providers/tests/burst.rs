//! Many at once on one token: how many calls it takes, and that none is refused.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use common::{account_with, target, timeouts, token, wish};
use domain::code::Code;
use futures::future::{join, join_all};
use providers::{
    Account, DnsName, MachineTarget, MemoryJournal, ProvisionWish, RecordContent, RecordTarget, RecordType, Timeouts,
};
use simulators::{Hetzner, HetznerConfig, RateLimit, RequestKind};

/// In the proportions of the real thing: an action takes some questions, and a question some calls.
fn proportions() -> Timeouts {
    Timeouts {
        read: Duration::from_secs(20),
        write: Duration::from_secs(20),
        action: Duration::from_secs(60),
        poll_first: Duration::from_millis(40),
        poll_most: Duration::from_millis(400),
        ..timeouts()
    }
}

fn named(number: usize, wish: &ProvisionWish) -> ProvisionWish {
    let name = format!("burst-{number}");
    ProvisionWish { server_name: name.clone(), node_id: name, ..wish.clone() }
}

async fn provisioned(account: &Arc<dyn Account>, numbers: std::ops::Range<usize>) {
    let wish = wish();
    let one = |number| {
        let (account, wish) = (account.clone(), named(number, &wish));
        tokio::spawn(async move {
            account.infra().unwrap().provision(&wish, &mut MemoryJournal::default()).await.unwrap();
        })
    };
    for done in join_all(numbers.map(one)).await {
        done.unwrap();
    }
}

fn refused(sim: &Hetzner) -> usize {
    sim.requests().iter().filter(|request| request.status == Some(429)).count()
}

async fn simulator(limit: RateLimit, left: Option<u32>) -> Hetzner {
    let config = HetznerConfig {
        action_time: Duration::from_millis(400),
        rate_limit: limit,
        rate_limit_left: left,
        server_quota: 2_000,
        ..HetznerConfig::default()
    };
    Hetzner::start(config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_at_once_take_hardly_more_than_a_call_each() {
    const MANY: usize = 500;
    let sim = simulator(RateLimit::default(), None).await;
    let account = account_with(&sim.endpoint(), &token(), proportions());
    let before = Instant::now();
    provisioned(&account, 0..MANY).await;
    let requests = sim.requests();
    let of = |kind| requests.iter().filter(|request| request.kind == kind).count();
    println!(
        "{} calls in {:?}: {} creates, {} and {} for actions, {} and {} for servers",
        requests.len(),
        before.elapsed(),
        of(RequestKind::ServerCreate),
        of(RequestKind::ActionList),
        of(RequestKind::ActionGet),
        of(RequestKind::ServerList),
        of(RequestKind::ServerGet),
    );
    assert_eq!((sim.servers().len(), of(RequestKind::ServerCreate), refused(&sim)), (MANY, MANY, 0));
    assert!(requests.len() * 10 <= MANY * 18, "{} calls for {MANY} servers", requests.len());
}

/// The bucket is all but empty at the start, and an hour is shortened to 36 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_an_empty_bucket_nothing_is_refused_and_destroys_take_turns_with_creates() {
    const MANY: usize = 200;
    let sim = simulator(RateLimit::per_window(3600, Duration::from_secs(36)), None).await;
    let account = account_with(&sim.endpoint(), &token(), proportions());
    provisioned(&account, 1_000..1_004).await;
    sim.set_rate_limit(RateLimit::per_window(3600, Duration::from_secs(36)), Some(20));
    // One call tells everybody.
    account.infra().unwrap().status("1").await.unwrap();
    let before = sim.requests().len();
    let destroys = join_all((1_000..1_004_usize).map(|number| {
        let account = account.clone();
        async move {
            let name = format!("burst-{number}");
            let target = MachineTarget { server_name: name.clone(), node_id: name, ..target(None) };
            account.infra().unwrap().destroy(&target, &mut MemoryJournal::default()).await.unwrap();
        }
    }));
    join(provisioned(&account, 0..MANY), destroys).await;
    let requests = sim.requests().split_off(before);
    assert_eq!((sim.servers().len(), refused(&sim)), (MANY, 0));
    let at = |kind| requests.iter().enumerate().filter(move |(_, it)| it.kind == kind).map(|(at, _)| at);
    let (deleted, created) = (at(RequestKind::ServerDelete).nth(3), at(RequestKind::ServerCreate).nth(MANY / 2));
    println!("{} calls; the last delete was call {deleted:?}", requests.len());
    assert!(deleted < created, "the last delete was call {deleted:?}, the hundredth create {created:?}");
    // The destroys look each for themselves before and after.
    assert!(requests.len() * 10 <= MANY * 18 + 4 * 100, "{} calls", requests.len());
}

/// Two accounts with one token, and one that is opened anew, know the same of the bucket.
#[tokio::test]
async fn accounts_with_one_token_share_what_is_known_of_its_budget() {
    let sim = simulator(RateLimit::default(), Some(1_001)).await;
    let [one, two] = [0, 1].map(|_| account_with(&sim.endpoint(), &token(), proportions()));
    let other = account_with(&sim.endpoint(), &"o".repeat(64), proportions());
    assert_eq!((one.budget(), two.budget()), (None, None), "nobody asked yet");
    one.infra().unwrap().status("1").await.unwrap();
    let budget = two.budget().unwrap();
    assert_eq!((budget.limit, budget.remaining), (3600, 1_000));
    assert!((2_590..=2_602).contains(&budget.full_in_seconds), "{budget:?}");
    drop(one);
    let anew = account_with(&sim.endpoint(), &token(), proportions());
    assert_eq!(anew.budget().map(|budget| budget.limit), Some(3600));
    assert_eq!(other.budget(), None);
}

/// What somebody looks at leaves a tenth of the bucket, and says so at once; work goes on.
#[tokio::test]
async fn what_is_only_looked_at_gives_way_when_little_is_left() {
    let sim = simulator(RateLimit::default(), Some(100)).await;
    let account = account_with(&sim.endpoint(), &token(), Timeouts { read: Duration::from_secs(2), ..proportions() });
    account.infra().unwrap().status("1").await.unwrap();
    let before = sim.requests().len();
    for error in [account.catalog().await.unwrap_err(), account.infra().unwrap().owned().await.unwrap_err()] {
        assert_eq!(error.code, Code::ProviderRateLimited);
        assert!(error.retry_after.is_some_and(|wait| wait > Duration::from_secs(60)), "{error:?}");
        assert!(error.is_transient());
    }
    assert_eq!(sim.requests().len(), before, "not a single call was spent on them");
    let wish = wish();
    account.infra().unwrap().provision(&wish, &mut MemoryJournal::default()).await.unwrap();
    assert_eq!(refused(&sim), 0);
}

/// What somebody waits for is not answered after half an hour because work is in line before it.
#[tokio::test]
async fn what_somebody_waits_for_is_answered_in_time_or_told_when_to_come_again() {
    // A call flows back every ten seconds.
    let sim = simulator(RateLimit::per_window(360, Duration::from_secs(3_600)), Some(30)).await;
    let read = Duration::from_millis(400);
    let account = account_with(&sim.endpoint(), &token(), Timeouts { read, ..proportions() });
    let infra = account.infra().unwrap();
    let made = infra.provision(&wish(), &mut MemoryJournal::default()).await.unwrap();
    sim.set_rate_limit(RateLimit::per_window(360, Duration::from_secs(3_600)), Some(2));
    infra.status(&made.infra_id).await.unwrap();
    let work: Vec<_> = (0..20)
        .map(|number| {
            let account = account.clone();
            let wish = named(number, &wish());
            tokio::spawn(async move { account.infra().unwrap().provision(&wish, &mut MemoryJournal::default()).await })
        })
        .collect();
    // All that is left is spent, and the others are in line.
    while account.budget().is_none_or(|budget| budget.remaining > 0) {
        tokio::task::yield_now().await;
    }
    let dns = account.dns().unwrap();
    let name = DnsName { zone: "example.com".to_owned(), name: "alpha".to_owned() };
    let content = RecordContent { record_id: "dns_1".to_owned(), kind: RecordType::A, content: "192.0.2.1".to_owned() };
    let record = RecordTarget { name: name.clone(), content, vendor_id: None, proxied: false };
    let key = wish().managed_key;
    let before = sim.requests().len();
    for what in ["check", "proof", "catalogue", "status", "owned", "zones", "lookup", "owned records", "visible"] {
        let began = Instant::now();
        let error = match what {
            "check" => account.check(None).await.err(),
            "proof" => account.check(Some(&key)).await.err(),
            "catalogue" => account.catalog().await.err(),
            "status" => infra.status(&made.infra_id).await.err(),
            "owned" => infra.owned().await.err(),
            "zones" => dns.zones().await.err(),
            "lookup" => dns.lookup(&name).await.err(),
            "owned records" => dns.owned(&name.zone).await.err(),
            _ => dns.is_visible(&record).await.err(),
        };
        assert!(began.elapsed() < read + Duration::from_secs(2), "{what}: {:?}", began.elapsed());
        let error = error.unwrap();
        assert_eq!(error.code, Code::ProviderRateLimited, "{what}: {error:?}");
        assert!(error.retry_after.is_some_and(|wait| wait >= Duration::from_secs(1)), "{what}: {error:?}");
    }
    assert!(sim.requests().len() <= before + 2, "a call flows back every ten seconds");
    work.iter().for_each(tokio::task::JoinHandle::abort);
}
