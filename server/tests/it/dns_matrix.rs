//! Everything that goes wrong with a DNS vendor, at each of them, once for a record made by hand and once
//! for a node with a name: the right code, what is not ours byte for byte as before, no orphan, and
//! deletions that end.

use std::time::{Duration, Instant};

use domain::time::MINUTE;
use serde_json::{Value, json};
use simulators::{CloudflareCall, CloudflareEffect, CloudflareFault};

use crate::{
    app::{Setup, TestApp, on_each},
    dns::{ZONE, act_on, begin, cloudflare, create, quick, record_is, records, standing, zones},
    dns_beds::{Call, DnsBed, Trouble, hetzner::HetznerBed},
    nodes::{acquire, act, connect, step, vendor},
};

/// What goes wrong while a name is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Met(Trouble),
    ExistsForeign,
    ExistsOurs,
    Full,
}

impl Wrong {
    fn all() -> impl Iterator<Item = Self> {
        let met = Trouble::PASSING.into_iter().chain([Trouble::Refused]).map(Self::Met);
        met.chain([Self::ExistsForeign, Self::ExistsOurs, Self::Full])
    }

    /// The code with which a creation ends, if it does not come about in the end.
    fn code(self) -> Option<&'static str> {
        match self {
            Self::ExistsForeign | Self::ExistsOurs => Some("DNS_NAME_CONFLICT"),
            Self::Full => Some("DNS_QUOTA_EXCEEDED"),
            Self::Met(Trouble::Refused) => Some("PROVIDER_CREDENTIAL_REJECTED"),
            Self::Met(_) => None,
        }
    }

    /// Whether the vendor was indeed met like that, where that is a matter of one request.
    async fn came(self, bed: &impl DnsBed) -> bool {
        match self {
            Self::Met(_) => is_met(bed).await,
            _ => true,
        }
    }

    /// Makes it so, when the name `alpha` is about to be written; false when it cannot be here.
    async fn make(self, app: &TestApp, bed: &impl DnsBed, provider: &str) -> bool {
        match self {
            Self::Met(trouble) => return bed.trouble(Call::Create, 1, trouble),
            Self::Full => return bed.full().await,
            Self::ExistsForeign => bed.put(&[("alpha".to_owned(), "AAAA", "2001:db8::99".to_owned())]).await,
            // With our marker, and of no record that Hangar still answers for.
            Self::ExistsOurs => {
                let (id, job) = create(app, wish(bed, provider, "alpha")).await;
                app.job_is(&job, "succeeded").await;
                bed.change("alpha", "A", "192.0.2.98").await;
                let deletion = begin(app, &id, "delete-dns-record").await;
                app.job_is(&deletion, "failed").await;
                record_is(app, &id, "active").await;
                assert_eq!(act_on(app, &id, "give-up-dns-record").await.status, 200);
            }
        }
        true
    }
}

/// Whether the last trouble was met by now.
async fn is_met(bed: &impl DnsBed) -> bool {
    tokio::time::timeout(Duration::from_millis(200), bed.met()).await.is_ok()
}

/// With a worker; a name is waited for as long as this bed needs.
pub fn setup<B: DnsBed>() -> Setup {
    quick().with_work(|work| work.name_deadline = B::NAME_DEADLINE)
}

/// Connects the bed's account.
pub async fn connected(app: &TestApp, bed: &impl DnsBed, name: &str) -> String {
    let made = app.admin().post("/api/v1/providers", bed.connection(name)).await;
    assert_eq!((made.status, &made.json()["status"]), (201, &json!("connected")), "{}", made.body);
    made.json()["id"].as_str().unwrap().to_owned()
}

pub fn wish(bed: &impl DnsBed, provider: &str, name: &str) -> Value {
    json!({"provider_id": provider, "zone": bed.zone(), "name": name, "type": "A", "content": "192.0.2.7"})
}

/// What is wanted of a node's name.
fn named(bed: &impl DnsBed, provider: &str) -> Value {
    json!({"dns": {"provider_id": provider, "zone": bed.zone(), "name": "alpha"}})
}

/// Lets time pass until a job has ended, however often the vendor asks for patience.
pub async fn ended(app: &TestApp, job: &str) -> Value {
    let path = format!("/api/v1/jobs/{job}");
    loop {
        let seen = app
            .until(&path, "over or waiting", |it| {
                let status = it["status"].as_str().unwrap();
                let waits = status == "queued" && !it["error"].is_null();
                waits || !matches!(status, "queued" | "running")
            })
            .await;
        if seen["status"] != "queued" {
            return seen;
        }
        app.advance(MINUTE).await;
        // Whatever the clock says, the vendor's second passes by itself.
        app.until(&path, "taken up again", |it| {
            it["attempt"] != seen["attempt"] || it["status"] != "queued" || it["run_after"] != seen["run_after"]
        })
        .await;
    }
}

#[track_caller]
fn failed_with(job: &Value, code: &str, what: &str) {
    assert_eq!((&job["status"], &job["error"]["code"]), (&json!("failed"), &json!(code)), "{what}: {job:#}");
}

#[track_caller]
fn succeeded(job: &Value, what: &str) {
    assert_eq!(job["status"], "succeeded", "{what}: {job:#}");
}

async fn destroyed(app: &TestApp, node: &str, what: &str) {
    let destroying = act(app, node, "destroy-node").await.json();
    succeeded(&ended(app, job_of(&destroying)).await, what);
    app.node_is(node, "destroyed").await;
}

fn job_of(accepted: &Value) -> &str {
    accepted["job_id"].as_str().unwrap_or_else(|| panic!("{accepted:#}"))
}

/// The records of an account; none of them leaves anything behind that is still looked for.
async fn settled(app: &TestApp, provider: &str, what: &str) -> Vec<Value> {
    let own: Vec<Value> = records(app).await.into_iter().filter(|it| it["provider_id"] == json!(provider)).collect();
    for record in &own {
        assert_ne!(record["cleanup"], "pending", "{what}: {record:#}");
    }
    own
}

async fn whatever_goes_wrong_while_a_record_is_made<B: DnsBed>() {
    on_each(setup::<B>(), async |app: &TestApp| {
        for (n, wrong) in Wrong::all().enumerate() {
            let what = format!("{wrong:?}");
            let bed = B::start().await;
            let provider = connected(app, &bed, &format!("n{n}")).await;
            if !wrong.make(app, &bed, &provider).await {
                continue;
            }
            let before = bed.records().await;
            let (id, job) = create(app, wish(&bed, &provider, "alpha")).await;
            let over = ended(app, &job).await;
            assert!(wrong.came(&bed).await, "{what}");
            if let Some(code) = wrong.code() {
                failed_with(&over, code, &what);
                let record = record_is(app, &id, "failed").await;
                assert_eq!((&record["code"], &record["cleanup"]), (&json!(code), &json!("done")), "{what}");
            } else {
                succeeded(&over, &what);
                record_is(app, &id, "active").await;
                assert_eq!(bed.contents("alpha", "A").await, ["192.0.2.7"], "{what}: once");
                let deletion = begin(app, &id, "delete-dns-record").await;
                succeeded(&ended(app, &deletion).await, &what);
                record_is(app, &id, "deleted").await;
            }
            assert_eq!(bed.records().await, before, "{what}: byte for byte");
        }
    })
    .await;
}

/// Not the write alone: whichever request of a creation it is.
async fn whichever_request_goes_wrong<B: DnsBed>() {
    on_each(setup::<B>(), async |app: &TestApp| {
        for trouble in [Trouble::AnswerLost, Trouble::Unreadable, Trouble::ServerError, Trouble::Refused] {
            let bed = B::start().await;
            let before = bed.records().await;
            let provider = connected(app, &bed, &format!("{trouble:?}")).await;
            let mut met = 0;
            for nth in 1.. {
                let what = format!("{trouble:?} at request {nth}");
                assert!(bed.trouble(Call::Any, nth, trouble), "{what}");
                let (id, job) = create(app, wish(&bed, &provider, "alpha")).await;
                let over = ended(app, &job).await;
                let came = is_met(&bed).await;
                bed.calm();
                if over["status"] == "failed" {
                    assert_eq!(trouble, Trouble::Refused, "{what}: {over:#}");
                    failed_with(&over, "PROVIDER_CREDENTIAL_REJECTED", &what);
                    record_is(app, &id, "failed").await;
                    app.advance(15 * MINUTE).await;
                    let path = format!("/api/v1/dns-records/{id}");
                    app.until(&path, "at rest", |it| it["cleanup"] != "pending").await;
                } else {
                    succeeded(&over, &what);
                    assert_eq!(bed.contents("alpha", "A").await, ["192.0.2.7"], "{what}: once");
                    let deletion = begin(app, &id, "delete-dns-record").await;
                    succeeded(&ended(app, &deletion).await, &what);
                }
                assert_eq!(bed.records().await, before, "{what}: byte for byte");
                if !came {
                    break;
                }
                met = nth;
            }
            assert!(met >= 2, "{trouble:?}: {met} requests");
        }
    })
    .await;
}

async fn whatever_goes_wrong_while_a_node_is_named<B: DnsBed>() {
    on_each(setup::<B>(), async |app: &TestApp| {
        let hosts = vendor().await;
        let servers = connect(app, &hosts).await;
        for (n, wrong) in Wrong::all().enumerate() {
            let what = format!("{wrong:?}");
            let bed = B::start().await;
            let provider = connected(app, &bed, &format!("n{n}")).await;
            if !wrong.make(app, &bed, &provider).await {
                continue;
            }
            let before = bed.records().await;
            let (node, job) = acquire(app, &servers, named(&bed, &provider)).await;
            let over = ended(app, &job).await;
            assert!(wrong.came(&bed).await, "{what}");
            if let Some(code) = wrong.code() {
                failed_with(&over, code, &what);
                let failed = app.node_is(&node, "failed").await;
                let seen = (&failed["code"], &failed["failed_stage"], &failed["cleanup"]);
                assert_eq!(seen, (&json!(code), &json!("naming"), &json!("done")), "{what}");
            } else {
                succeeded(&over, &what);
                let ready = app.node_is(&node, "ready").await;
                assert_eq!(bed.contents("alpha", "A").await, [ready["ipv4"].as_str().unwrap()], "{what}: once");
                assert_eq!(bed.contents("alpha", "AAAA").await.len(), 1, "{what}: both, once");
                destroyed(app, &node, &what).await;
            }
            assert_eq!(hosts.servers(), [], "{what}: nothing is left");
            assert_eq!(bed.records().await, before, "{what}: byte for byte");
            for record in settled(app, &provider, &what).await {
                assert!(matches!(record["state"].as_str(), Some("deleted" | "failed")), "{what}: {record:#}");
            }
        }
    })
    .await;
}

/// It was there when the wish was checked, and is gone when its turn comes.
async fn a_zone_that_goes_away_leaves_no_server<B: DnsBed>() {
    on_each(setup::<B>().idle(), async |app: &TestApp| {
        let (bed, hosts) = (B::start().await, vendor().await);
        let (provider, servers) = (connected(app, &bed, "names").await, connect(app, &hosts).await);
        let (id, by_hand) = create(app, wish(&bed, &provider, "hand")).await;
        let (node, acquisition) = acquire(app, &servers, named(&bed, &provider)).await;
        bed.remove_zone().await;
        let worker = app.worker();
        failed_with(&ended(app, &by_hand).await, "DNS_ZONE_NOT_FOUND", "by hand");
        let record = record_is(app, &id, "failed").await;
        assert_eq!((&record["code"], &record["cleanup"]), (&json!("DNS_ZONE_NOT_FOUND"), &json!("done")), "{record:#}");
        failed_with(&ended(app, &acquisition).await, "DNS_ZONE_NOT_FOUND", "with a node");
        let failed = app.node_is(&node, "failed").await;
        assert_eq!((&failed["failed_stage"], &failed["cleanup"]), (&json!("naming"), &json!("done")), "{failed:#}");
        assert_eq!(hosts.servers(), []);
        settled(app, &provider, "the zone is gone").await;
        app.begin_end();
        worker.await.unwrap();
    })
    .await;
}

/// What goes wrong with a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spoilt {
    Met(Trouble),
    Changed,
    Unmarked,
    DeletedByHand,
    ZoneGone,
}

impl Spoilt {
    fn all() -> impl Iterator<Item = Self> {
        let met = Trouble::PASSING.into_iter().chain([Trouble::Refused]).map(Self::Met);
        met.chain([Self::Changed, Self::Unmarked, Self::DeletedByHand, Self::ZoneGone])
    }

    /// Sets the trap for the next deletion; false when it cannot be met here.
    fn arm(self, bed: &impl DnsBed) -> bool {
        match self {
            Self::Met(trouble) => bed.trouble(Call::Delete, 1, trouble),
            _ => true,
        }
    }

    /// Whether the vendor was indeed met like that, where that is a matter of one request.
    async fn came(self, bed: &impl DnsBed) -> bool {
        match self {
            Self::Met(_) => is_met(bed).await,
            _ => true,
        }
    }

    /// What somebody does by hand; what has to stand there in the end.
    async fn happens(self, bed: &impl DnsBed, before: Vec<String>) -> Vec<String> {
        for name in ["hand", "alpha"] {
            match self {
                Self::Changed => bed.change(name, "A", CHANGED).await,
                Self::Unmarked => bed.unmark(name).await,
                Self::DeletedByHand => bed.remove(name, "A").await,
                Self::Met(_) | Self::ZoneGone => {}
            }
        }
        let stands = bed.records().await;
        match self {
            Self::Changed => stands.into_iter().filter(|it| before.contains(it) || it.contains(CHANGED)).collect(),
            Self::Unmarked => stands,
            Self::Met(_) | Self::DeletedByHand => before,
            Self::ZoneGone => {
                bed.remove_zone().await;
                Vec::new()
            }
        }
    }

    /// Whether a person has to say what becomes of it.
    fn is_left(self) -> bool {
        matches!(self, Self::Changed | Self::Unmarked)
    }
}

const CHANGED: &str = "203.0.113.9";

async fn every_deletion_ends<B: DnsBed>() {
    on_each(setup::<B>(), async |app: &TestApp| {
        let hosts = vendor().await;
        let servers = connect(app, &hosts).await;
        for (n, spoilt) in Spoilt::all().enumerate() {
            let what = format!("{spoilt:?}");
            let bed = B::start().await;
            if !spoilt.arm(&bed) {
                continue;
            }
            bed.calm();
            let before = bed.records().await;
            let provider = connected(app, &bed, &format!("n{n}")).await;
            let (by_hand, job) = create(app, wish(&bed, &provider, "hand")).await;
            app.job_is(&job, "succeeded").await;
            let (node, job) = acquire(app, &servers, named(&bed, &provider)).await;
            app.job_is(&job, "succeeded").await;
            app.node_is(&node, "ready").await;
            let kept = spoilt.happens(&bed, before).await;

            spoilt.arm(&bed);
            let deletion = begin(app, &by_hand, "delete-dns-record").await;
            let over = ended(app, &deletion).await;
            assert!(spoilt.came(&bed).await, "{what}");
            if spoilt.is_left() {
                failed_with(&over, "DNS_NAME_CONFLICT", &what);
                let record = record_is(app, &by_hand, "active").await;
                assert_eq!(record["drift"].as_array().unwrap().len(), 1, "{what}: {record:#}");
            } else if spoilt == Spoilt::Met(Trouble::Refused) {
                failed_with(&over, "PROVIDER_CREDENTIAL_REJECTED", &what);
                app.advance(15 * MINUTE).await;
                app.until(&format!("/api/v1/dns-records/{by_hand}"), "gone", |it| it["state"] == "deleted").await;
            } else {
                succeeded(&over, &what);
                record_is(app, &by_hand, "deleted").await;
            }

            spoilt.arm(&bed);
            destroyed(app, &node, &what).await;
            assert!(spoilt.came(&bed).await, "{what}");
            assert_eq!(hosts.servers(), [], "{what}");
            for record in records(app).await.iter().filter(|it| it["cleanup"] == "pending") {
                // The vendor's second is long by the clock of the jobs, and a server waits for minutes alone.
                let may_be_left = matches!(spoilt, Spoilt::Met(Trouble::Refused | Trouble::RateLimited));
                assert!(may_be_left, "{what}: {record:#}");
                let path = format!("/api/v1/dns-records/{}", record["id"].as_str().unwrap());
                let pending = app.admin().get(&path).await.json();
                app.advance(15 * MINUTE).await;
                ended(app, pending["job"]["id"].as_str().unwrap()).await;
                app.until(&path, "gone", |it| it["state"] == "deleted" && it["cleanup"] == "done").await;
            }
            settled(app, &provider, &what).await;
            let mut stands = bed.records().await;
            if spoilt == Spoilt::Changed {
                // The note beside what was changed says whose it was; the record itself is untouched.
                stands.retain(|it| !it.starts_with("_hangar."));
            }
            assert_eq!(stands, kept, "{what}: what is not ours is as before");
        }
    })
    .await;
}

/// What somebody did by hand is seen at the next look, and told.
async fn drift_is_seen<B: DnsBed>() {
    on_each(setup::<B>(), async |app: &TestApp| {
        let bed = B::start().await;
        let provider = connected(app, &bed, "names").await;
        let mut ids = Vec::new();
        for name in ["same", "gone", "changed", "unmarked"] {
            let (id, job) = create(app, wish(&bed, &provider, name)).await;
            app.job_is(&job, "succeeded").await;
            ids.push(id);
        }
        bed.remove("gone", "A").await;
        bed.change("changed", "A", CHANGED).await;
        bed.unmark("unmarked").await;
        let stands = bed.records().await;
        app.observed().await;
        for (id, observed) in ids.iter().zip([None, Some("gone"), Some(CHANGED), Some("192.0.2.7")]) {
            let record = app.admin().get(&format!("/api/v1/dns-records/{id}")).await.json();
            assert_eq!(record["freshness"]["stale"], json!(false), "{record:#}");
            match observed {
                None => assert_eq!(record["drift"], json!([]), "{record:#}"),
                Some(text) => {
                    let told = record["drift"][0]["observed"].as_str().unwrap_or_else(|| panic!("{record:#}"));
                    assert!(told.contains(text), "{record:#}");
                }
            }
        }
        assert_eq!(bed.records().await, stands, "who looks changes nothing");
    })
    .await;
}

/// How late a creation may come, and how late this one does.
const LATE_MOST: i64 = 12_000;
const LATE: u64 = 4_000;

fn with_late_ones<B: DnsBed>() -> Setup {
    setup::<B>().with_work(|work| work.late_create_grace = LATE_MOST)
}

/// What the creation noted of it is known to whoever looks for what may be left.
async fn what_comes_late_is_waited_for_by_the_cleanup<B: DnsBed>() {
    on_each(with_late_ones::<B>().with_work(|work| work.max_attempts = 1), async |app: &TestApp| {
        let bed = B::start().await;
        let before = bed.records().await;
        let provider = connected(app, &bed, "names").await;
        assert!(bed.trouble(Call::Create, 1, Trouble::Late { ms: LATE }));
        let (id, job) = create(app, wish(&bed, &provider, "alpha")).await;
        bed.met().await;
        let begun = Instant::now();
        let is_undoing = |it: &Value| it["steps"].as_array().unwrap().iter().any(|s| s["name"] == "undo_delete_record");
        app.until(&format!("/api/v1/jobs/{job}"), "undoing", is_undoing).await;
        bed.trouble(Call::Any, 1, Trouble::Refused);
        app.job_is(&job, "failed").await;
        let path = format!("/api/v1/dns-records/{id}");
        app.until(&path, "pending", |it| it["cleanup"] == "pending").await;
        app.advance(15 * MINUTE).await;
        app.until(&path, "cleaned up", |it| it["cleanup"] == "done").await;
        assert!(begun.elapsed() >= Duration::from_millis(LATE), "it was still to come");
        assert_eq!(bed.records().await, before, "and was taken away");
    })
    .await;
}

/// A deletion that follows at once knows what the creation noted.
async fn what_comes_late_is_waited_for_by_the_deletion<B: DnsBed>() {
    on_each(with_late_ones::<B>(), async |app: &TestApp| {
        let bed = B::start().await;
        let before = bed.records().await;
        let provider = connected(app, &bed, "names").await;
        assert!(bed.trouble(Call::Create, 1, Trouble::Late { ms: LATE }));
        let (id, job) = create(app, wish(&bed, &provider, "alpha")).await;
        bed.met().await;
        let begun = Instant::now();
        succeeded(&ended(app, &job).await, "created");
        let deletion = begin(app, &id, "delete-dns-record").await;
        succeeded(&ended(app, &deletion).await, "deleted");
        assert!(begun.elapsed() >= Duration::from_millis(LATE), "one was still to come");
        assert_eq!(bed.records().await, before, "nothing stands");
    })
    .await;
}

/// One call makes server and record, one destroys both, and nothing is left anywhere.
async fn made_by_one_call_and_destroyed_by_one(app: &TestApp, bed: &impl DnsBed, (servers, names): (&str, &str)) {
    let before = bed.records().await;
    let (node, job) = acquire(app, servers, named(bed, names)).await;
    let done = app.job_is(&job, "succeeded").await;
    for name in ["create_server", "create_record", "name_visible", "reverse_dns"] {
        assert_eq!(step(&done, name)["status"], "succeeded", "{done:#}");
    }
    let ready = app.node_is(&node, "ready").await;
    assert_eq!(ready["fqdn"], json!(format!("alpha.{}", bed.zone())));
    for (kind, address) in [("A", &ready["ipv4"]), ("AAAA", &ready["ipv6"])] {
        let stands = bed.contents("alpha", kind).await;
        let stands: Vec<std::net::IpAddr> = stands.iter().map(|it| it.parse().unwrap()).collect();
        assert_eq!(stands, [address.as_str().unwrap().parse::<std::net::IpAddr>().unwrap()]);
    }
    let of_node = app.admin().get(&format!("/api/v1/dns-records?node={node}")).await.json();
    assert_eq!(of_node["items"].as_array().unwrap().len(), 2, "{of_node:#}");
    let destroying = act(app, &node, "destroy-node").await.json();
    let done = app.job_is(job_of(&destroying), "succeeded").await;
    assert_eq!(done["steps"][0]["name"], "delete_record", "names first, then the server: {done:#}");
    app.node_is(&node, "destroyed").await;
    assert_eq!(bed.records().await, before, "byte for byte");
    for record in settled(app, names, "destroyed").await {
        assert_eq!(record["state"], "deleted", "{record:#}");
    }
}

async fn one_call_makes_server_and_record_and_one_destroys_both<B: DnsBed>() {
    on_each(setup::<B>(), async |app: &TestApp| {
        let (bed, hosts) = (B::start().await, vendor().await);
        let (names, servers) = (connected(app, &bed, "names").await, connect(app, &hosts).await);
        made_by_one_call_and_destroyed_by_one(app, &bed, (&servers, &names)).await;
        assert_eq!(hosts.servers(), []);
    })
    .await;
}

#[tokio::test]
async fn one_account_serves_both_server_and_record() {
    on_each(setup::<HetznerBed>(), async |app: &TestApp| {
        let bed = HetznerBed::start().await;
        let both = connected(app, &bed, "both").await;
        made_by_one_call_and_destroyed_by_one(app, &bed, (&both, &both)).await;
        assert_eq!(bed.servers(), []);
    })
    .await;
}

macro_rules! tests {
    ($bed:ty: $($test:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            if <$bed as crate::dns_beds::DnsBed>::is_here() {
                super::$test::<$bed>().await;
            }
        }
    )*};
}

/// Every test of this file at one vendor.
macro_rules! at {
    ($name:ident: $bed:ty) => {
        mod $name {
            tests! { $bed:
                whatever_goes_wrong_while_a_record_is_made
                whichever_request_goes_wrong
                whatever_goes_wrong_while_a_node_is_named
                a_zone_that_goes_away_leaves_no_server
                every_deletion_ends
                drift_is_seen
                what_comes_late_is_waited_for_by_the_cleanup
                what_comes_late_is_waited_for_by_the_deletion
                one_call_makes_server_and_record_and_one_destroys_both
            }
        }
    };
}

at!(cloudflare: crate::dns_beds::cloudflare::CloudflareBed);
at!(bind9: crate::dns_beds::bind::BindBed);
at!(hetzner: crate::dns_beds::hetzner::HetznerBed);

#[tokio::test]
async fn a_vendor_who_stays_away_keeps_no_server_and_the_name_is_looked_for() {
    on_each(quick(), async |app: &TestApp| {
        let (sim, hosts) = (cloudflare().await, vendor().await);
        let (provider, servers) = (zones(app, &sim).await, connect(app, &hosts).await);
        let late = CloudflareFault {
            times: 10_000,
            ..CloudflareFault::next(CloudflareCall::RecordCreate, CloudflareEffect::LostAnswer)
        };
        sim.fault(late);
        // Nothing can be read either once the first create went out.
        let down = CloudflareFault {
            nth: 2,
            times: 10_000,
            ..CloudflareFault::next(CloudflareCall::RecordList, CloudflareEffect::HtmlBadGateway)
        };
        sim.fault(down);
        let dns = json!({"provider_id": provider, "zone": ZONE, "name": "alpha"});
        let (node, job) = acquire(app, &servers, json!({"dns": dns})).await;
        let over = ended(app, &job).await;
        assert_eq!(over["status"], "failed", "{over:#}");
        app.node_is(&node, "failed").await;
        assert_eq!(hosts.servers(), []);
        let pending = records(app).await.into_iter().filter(|it| it["cleanup"] == "pending").count();
        assert!(pending > 0, "what may stand there is visible");
        sim.clear_faults();
        for record in records(app).await {
            let path = format!("/api/v1/dns-records/{}", record["id"].as_str().unwrap());
            app.advance(15 * MINUTE).await;
            app.until(&path, "at rest", |it| it["cleanup"] != "pending").await;
        }
        assert_eq!(standing(&sim), []);
    })
    .await;
}
