//! Durable work as it looks from outside: attempts, waits, lost leases.

use domain::time::{SECOND, Timestamp};
use serde_json::json;
use simulators::{Fault, FaultEffect, Match};

use crate::{
    app::{Setup, TestApp, on_each},
    log,
    nodes::{acquire, connect, vendor},
};

#[tokio::test]
async fn attempts_and_waits_are_those_configured() {
    let setup = Setup::usual().with_work(|work| {
        work.max_attempts = 3;
        work.back_off = vec![5 * SECOND, 30 * SECOND];
    });
    on_each(setup, async |app: &TestApp| {
        let vendor = vendor().await;
        let provider = connect(app, &vendor).await;
        let effect =
            FaultEffect::Status { status: 423, code: "locked".to_owned(), message: "no".to_owned(), body: None };
        vendor.fault(Fault { times: 1_000, ..Fault::next(Match::ServerCreate, effect) });
        let (node, job) = acquire(app, &provider, json!({})).await;
        let path = format!("/api/v1/jobs/{job}");
        for (attempt, least) in [(1, 5), (2, 30)] {
            let waits = app.until(&path, "waiting", |j| j["attempt"] == attempt && j["status"] == "queued").await;
            assert_eq!(waits["error"]["code"], "PROVIDER_LOCKED", "{waits:#}");
            let wait = Timestamp::parse(waits["run_after"].as_str().unwrap()).unwrap().since(app.clock.now());
            assert!((least * SECOND..=least * SECOND * 5 / 4).contains(&wait), "attempt {attempt}: {wait} ms");
            app.advance(wait).await;
        }
        let over = app.job_is(&job, "failed").await;
        assert_eq!((&over["attempt"], &over["max_attempts"]), (&json!(3), &json!(3)));
        assert_eq!(app.node_is(&node, "failed").await["cleanup"], "done");
        vendor.shutdown().await;
    })
    .await;
}

/// A worker is thought dead in the middle of a create, another one goes on; then the first gets its
/// answer. There is one server, and the first one's answer changes nothing.
#[tokio::test]
async fn whoever_lost_the_lease_changes_nothing() {
    on_each(Setup::usual().with_jobs(), async |app: &TestApp| {
        let vendor = vendor().await;
        let provider = connect(app, &vendor).await;
        let slow = vendor.fault(Fault::next(Match::ServerCreate, FaultEffect::Slow { ms: 1_500 }));
        let (node, job) = acquire(app, &provider, json!({})).await;
        vendor.fault_hit(slow).await;
        // Its lease runs out before its next sign of life.
        app.advance(16 * SECOND).await;
        let other = app.worker();
        let done = app.job_is(&job, "succeeded").await;
        assert_eq!(done["attempt"], 1, "the same attempt went on");
        let ready = app.node_is(&node, "ready").await;
        assert_eq!(vendor.servers().len(), 1);
        let lost = || log::lines_with("the lease was lost").into_iter().any(|line| line.contains(&job));
        let begun = tokio::time::Instant::now();
        while !lost() {
            assert!(begun.elapsed().as_secs() < 30, "the first worker never noticed");
            tokio::task::yield_now().await;
        }
        let after = app.admin().get(&format!("/api/v1/nodes/{node}")).await.json();
        assert_eq!((&after["state"], &after["infra_id"]), (&ready["state"], &ready["infra_id"]));
        let job = app.admin().get(&format!("/api/v1/jobs/{job}")).await.json();
        assert_eq!(job["version"], done["version"], "{job:#}");
        app.begin_end();
        other.await.unwrap();
        vendor.shutdown().await;
    })
    .await;
}
