//! Everything that goes wrong with a DNS vendor, once for a record made by hand and once for a node
//! with a name: the right code, what is not ours byte for byte as before, no orphan, and deletions
//! that end.

use domain::time::MINUTE;
use serde_json::{Value, json};
use simulators::{
    Cloudflare, CloudflareCall, CloudflareConfig, CloudflareEffect, CloudflareFault, RecordChange, RecordSeed,
};

use crate::{
    app::{TestApp, on_each},
    dns::{
        ZONE, begin, cloudflare, cloudflare_with, create, foreign, fqdn, quick, record_is, records, standing, wish,
        zones,
    },
    nodes::{acquire, act, connect, vendor},
};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    AnswerLost,
    Unreadable,
    BadGateway,
    ExistsForeign,
    ExistsOurs,
    Quota,
    RateLimited,
    Refused,
    ZoneGone,
}

impl Trouble {
    const ALL: [Self; 9] = [
        Self::AnswerLost,
        Self::Unreadable,
        Self::BadGateway,
        Self::ExistsForeign,
        Self::ExistsOurs,
        Self::Quota,
        Self::RateLimited,
        Self::Refused,
        Self::ZoneGone,
    ];

    fn effect(self) -> Option<CloudflareEffect> {
        let status = |status, code| CloudflareEffect::Status { status, code, message: "no".to_owned(), body: None };
        Some(match self {
            Self::AnswerLost => CloudflareEffect::LostAnswer,
            Self::Unreadable => CloudflareEffect::UnreadableBody,
            Self::BadGateway => CloudflareEffect::HtmlBadGateway,
            Self::RateLimited => CloudflareEffect::RateLimited { retry_after: 1 },
            Self::Refused => status(403, 10_000),
            Self::ExistsForeign | Self::ExistsOurs | Self::Quota | Self::ZoneGone => return None,
        })
    }

    /// The code with which a creation ends, if it does not come about in the end.
    fn code(self) -> Option<&'static str> {
        match self {
            Self::ExistsForeign | Self::ExistsOurs => Some("DNS_NAME_CONFLICT"),
            Self::Quota => Some("DNS_QUOTA_EXCEEDED"),
            Self::Refused => Some("PROVIDER_CREDENTIAL_REJECTED"),
            Self::ZoneGone => Some("DNS_ZONE_NOT_FOUND"),
            Self::AnswerLost | Self::Unreadable | Self::BadGateway | Self::RateLimited => None,
        }
    }

    /// Makes it so, when the name `alpha` is about to be written.
    fn make(self, app: &TestApp, sim: &Cloudflare) {
        match self {
            Self::ExistsForeign => foreign(sim, "alpha", "AAAA", "2001:db8::99"),
            Self::ExistsOurs => {
                let comment = format!("hangar {} dns_0190a5b4000070008000000000000001", app.services.instance());
                let seed = RecordSeed::new(&fqdn("alpha"), "A", "192.0.2.99");
                assert!(sim.put_records(&[RecordSeed { comment: Some(comment), ..seed }]));
            }
            Self::Quota => sim.set_record_quota(1),
            _ => {}
        }
        if let Some(effect) = self.effect() {
            sim.fault(CloudflareFault::next(CloudflareCall::RecordCreate, effect));
        }
    }
}

/// Lets time pass until a job has ended, however often the vendor asks for patience.
async fn ended(app: &TestApp, job: &str) -> Value {
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

async fn one_of_somebody() -> Cloudflare {
    let sim = cloudflare_with(CloudflareConfig::default()).await;
    foreign(&sim, "theirs", "A", "198.51.100.1");
    sim
}

#[tokio::test]
async fn whatever_goes_wrong_while_a_record_is_made() {
    on_each(quick(), async |app: &TestApp| {
        for (n, trouble) in Trouble::ALL.into_iter().enumerate() {
            let sim = one_of_somebody().await;
            let provider = named(app, &sim, n).await;
            trouble.make(app, &sim);
            let before = sim.records(ZONE);
            if trouble == Trouble::ZoneGone {
                // Gone right before the write, after its zones were listed for the check of the wish.
                let gone = CloudflareEffect::Status { status: 404, code: 7003, message: "no".to_owned(), body: None };
                sim.fault(CloudflareFault::next(CloudflareCall::RecordList, gone));
            }
            let (id, job) = create(app, wish(&provider, "alpha")).await;
            let over = ended(app, &job).await;
            match trouble.code() {
                Some(code) => {
                    assert_eq!(
                        (&over["status"], &over["error"]["code"]),
                        (&json!("failed"), &json!(code)),
                        "{trouble:?}"
                    );
                    let record = record_is(app, &id, "failed").await;
                    assert_eq!((&record["code"], &record["cleanup"]), (&json!(code), &json!("done")), "{trouble:?}");
                    assert_eq!(sim.records(ZONE), before, "{trouble:?}: byte for byte");
                }
                None => {
                    assert_eq!(over["status"], "succeeded", "{trouble:?}: {over:#}");
                    record_is(app, &id, "active").await;
                    assert_eq!(standing(&sim).len(), 2, "{trouble:?}: once");
                    let deleted = begin(app, &id, "delete-dns-record").await;
                    assert_eq!(ended(app, &deleted).await["status"], "succeeded", "{trouble:?}");
                    assert_eq!(sim.records(ZONE), before, "{trouble:?}: byte for byte");
                }
            }
        }
    })
    .await;
}

/// Connects another account of the same kind.
async fn named(app: &TestApp, sim: &Cloudflare, n: usize) -> String {
    let settings = json!({"endpoint": sim.endpoint(), "dns_servers": sim.dns_address().to_string()});
    let secret = json!({"api_token": "c".repeat(40)});
    let body = json!({"kind": "cloudflare", "name": format!("n{n}"), "settings": settings, "secret": secret});
    let made = app.admin().post("/api/v1/providers", body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    made.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn whatever_goes_wrong_while_a_node_is_named() {
    on_each(quick(), async |app: &TestApp| {
        let hosts = vendor().await;
        let servers = connect(app, &hosts).await;
        for (n, trouble) in Trouble::ALL.into_iter().enumerate() {
            let sim = one_of_somebody().await;
            let provider = named(app, &sim, n).await;
            trouble.make(app, &sim);
            let before = sim.records(ZONE);
            if trouble == Trouble::ZoneGone {
                let gone = CloudflareEffect::Status { status: 404, code: 7003, message: "no".to_owned(), body: None };
                sim.fault(CloudflareFault::next(CloudflareCall::RecordList, gone));
            }
            let dns = json!({"provider_id": provider, "zone": ZONE, "name": "alpha"});
            let (node, job) = acquire(app, &servers, json!({"dns": dns})).await;
            let over = ended(app, &job).await;
            match trouble.code() {
                Some(code) => {
                    assert_eq!(
                        (&over["status"], &over["error"]["code"]),
                        (&json!("failed"), &json!(code)),
                        "{trouble:?}"
                    );
                    let failed = app.node_is(&node, "failed").await;
                    assert_eq!(
                        (&failed["failed_stage"], &failed["cleanup"]),
                        (&json!("naming"), &json!("done")),
                        "{trouble:?}"
                    );
                }
                None => {
                    assert_eq!(over["status"], "succeeded", "{trouble:?}: {over:#}");
                    app.node_is(&node, "ready").await;
                    assert_eq!(standing(&sim).len(), 3, "{trouble:?}: both, once");
                    let destroyed = act(app, &node, "destroy-node").await.json();
                    assert_eq!(
                        ended(app, destroyed["job_id"].as_str().unwrap()).await["status"],
                        "succeeded",
                        "{trouble:?}"
                    );
                }
            }
            assert_eq!(
                (hosts.servers(), sim.records(ZONE)),
                (vec![], before),
                "{trouble:?}: nothing is left, nothing is touched"
            );
            let own = records(app).await;
            let of_this = own.iter().filter(|it| it["provider_id"] == json!(provider));
            for record in of_this {
                assert!(matches!(record["state"].as_str(), Some("deleted" | "failed")), "{trouble:?}: {record:#}");
                assert_ne!(record["cleanup"], "pending", "{trouble:?}: {record:#}");
            }
        }
    })
    .await;
}

/// What goes wrong with a deletion, and whether the record is gone in the end.
#[derive(Debug, Clone, Copy)]
enum Spoilt {
    AnswerLost,
    BadGateway,
    RateLimited,
    RefusedOnce,
    Changed,
    Unmarked,
    DeletedByHand,
    ZoneGone,
}

#[tokio::test]
async fn every_deletion_ends() {
    use Spoilt as G;
    let all = [
        G::AnswerLost,
        G::BadGateway,
        G::RateLimited,
        G::RefusedOnce,
        G::Changed,
        G::Unmarked,
        G::DeletedByHand,
        G::ZoneGone,
    ];
    on_each(quick(), async |app: &TestApp| {
        let hosts = vendor().await;
        let servers = connect(app, &hosts).await;
        for (n, trouble) in all.into_iter().enumerate() {
            let sim = one_of_somebody().await;
            let provider = named(app, &sim, n).await;
            let (by_hand, job) = create(app, wish(&provider, "hand")).await;
            app.job_is(&job, "succeeded").await;
            let dns = json!({"provider_id": provider, "zone": ZONE, "name": "alpha"});
            let (node, job) = acquire(app, &servers, json!({"dns": dns})).await;
            app.job_is(&job, "succeeded").await;
            app.node_is(&node, "ready").await;
            let spoil = |effect| {
                sim.fault(CloudflareFault::next(CloudflareCall::RecordDelete, effect));
            };
            let change = |change: RecordChange| {
                for name in ["hand", "alpha"] {
                    assert!(sim.change_records(&fqdn(name), Some("A"), &change) == 1);
                }
            };
            let refused = CloudflareEffect::Status { status: 403, code: 10_000, message: "no".to_owned(), body: None };
            match trouble {
                G::AnswerLost => spoil(CloudflareEffect::LostAnswer),
                G::BadGateway => spoil(CloudflareEffect::HtmlBadGateway),
                G::RateLimited => spoil(CloudflareEffect::RateLimited { retry_after: 1 }),
                G::RefusedOnce => spoil(refused),
                G::Changed => {
                    change(RecordChange { content: Some("203.0.113.9".to_owned()), ..RecordChange::default() });
                }
                G::Unmarked => change(RecordChange { comment: Some(String::new()), ..RecordChange::default() }),
                G::DeletedByHand => {
                    assert_eq!(sim.remove_records(&fqdn("hand"), "A") + sim.remove_records(&fqdn("alpha"), "A"), 2);
                }
                G::ZoneGone => assert!(sim.remove_zone(ZONE)),
            }
            let kept: Vec<Value> = match trouble {
                G::Changed | G::Unmarked => sim.records(ZONE).into_iter().filter(|it| it["type"] == "A").collect(),
                _ => sim.records(ZONE).into_iter().filter(|it| it["name"] == json!(fqdn("theirs"))).collect(),
            };
            let deletion = begin(app, &by_hand, "delete-dns-record").await;
            let over = ended(app, &deletion).await;
            let path = format!("/api/v1/dns-records/{by_hand}");
            match trouble {
                G::Changed | G::Unmarked => {
                    assert_eq!(over["error"]["code"], "DNS_NAME_CONFLICT", "{trouble:?}: {over:#}");
                    let record = record_is(app, &by_hand, "active").await;
                    assert_eq!(record["drift"].as_array().unwrap().len(), 1, "{trouble:?}");
                }
                G::RefusedOnce => {
                    assert_eq!(over["error"]["code"], "PROVIDER_CREDENTIAL_REJECTED", "{over:#}");
                    app.advance(MINUTE).await;
                    app.until(&path, "gone", |it| it["state"] == "deleted").await;
                }
                _ => {
                    assert_eq!(over["status"], "succeeded", "{trouble:?}: {over:#}");
                    record_is(app, &by_hand, "deleted").await;
                }
            }
            let destroyed = act(app, &node, "destroy-node").await.json();
            assert_eq!(ended(app, destroyed["job_id"].as_str().unwrap()).await["status"], "succeeded", "{trouble:?}");
            app.node_is(&node, "destroyed").await;
            assert_eq!(hosts.servers(), [], "{trouble:?}");
            assert_eq!(sim.records(ZONE), kept, "{trouble:?}: what is not ours is as before");
        }
    })
    .await;
}

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
