//! Provision and destroy against the simulated vendor: whatever goes wrong, in the end there is
//! exactly one server, or none.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::time::Duration;

use common::{INSTANCE, Lose, LosingJournal, account, account_with, pair, target, timeouts, token, wish};
use domain::code::Code;
use futures::future::join_all;
use providers::{
    Account, Destroyed, Effect, Journal as _, Machine, MachinePower, MemoryJournal, ProviderError, ProvisionWish,
    Selection, choose,
};
use serde_json::json;
use simulators::{Fault, FaultEffect, Hetzner, HetznerConfig, RequestKind, ServerStatus, TokenAccess};

async fn simulator() -> Hetzner {
    Hetzner::start(common::quick()).await.unwrap()
}

async fn provision(
    account: &dyn Account,
    wish: &ProvisionWish,
    journal: &mut MemoryJournal,
) -> Result<Machine, ProviderError> {
    account.infra().unwrap().provision(wish, journal).await
}

async fn destroy(
    account: &dyn Account,
    id: Option<&str>,
    journal: &mut MemoryJournal,
) -> Result<Destroyed, ProviderError> {
    account.infra().unwrap().destroy(&target(id), journal).await
}

/// A server that somebody else made.
async fn foreign(sim: &Hetzner, name: &str, labels: serde_json::Value) {
    let order = json!({
        "name": name, "server_type": "cx33", "image": "debian-13", "location": "fsn1", "labels": labels,
    });
    let request = reqwest::Client::new().post(format!("{}/servers", sim.endpoint())).bearer_auth(token());
    assert_eq!(request.json(&order).send().await.unwrap().status(), 201);
}

fn count(sim: &Hetzner, kind: RequestKind) -> usize {
    sim.requests().iter().filter(|it| it.kind == kind).count()
}

#[tokio::test]
async fn what_is_made_is_known_and_taken_away_without_a_trace() {
    let sim = simulator().await;
    let account = account(&sim.endpoint());
    let mut journal = MemoryJournal::default();
    let machine = provision(account.as_ref(), &wish(), &mut journal).await.unwrap();
    let servers = sim.servers();
    let [server] = &servers[..] else { panic!("one server: {servers:?}") };
    assert_eq!(machine.infra_id, server.id.to_string());
    assert_eq!(machine.ipv4, server.ipv4.map(|it| it.to_string()));
    assert_eq!(Some(&machine.host), machine.ipv4.as_ref());
    assert!(machine.ipv6.as_ref().unwrap().ends_with("::1"), "{machine:?}");
    assert_eq!(server.status, ServerStatus::Running);
    assert_eq!(server.labels["hangar-instance"], INSTANCE);
    assert_eq!(machine.price_monthly.as_deref(), Some("4.15"));
    assert_eq!(journal.facts().infra_id.as_deref(), Some(machine.infra_id.as_str()));

    let infra = account.infra().unwrap();
    let status = infra.status(&machine.infra_id).await.unwrap().unwrap();
    assert_eq!((status.status, status.host), (MachinePower::Running, Some(machine.host)));
    assert_eq!(infra.owned().await.unwrap().len(), 1);

    let mut journal = MemoryJournal::default();
    assert!(destroy(account.as_ref(), Some(&machine.infra_id), &mut journal).await.unwrap().found);
    assert!(sim.servers().is_empty());
    assert_eq!(infra.status(&machine.infra_id).await.unwrap(), None);
    let again = destroy(account.as_ref(), Some(&machine.infra_id), &mut MemoryJournal::default()).await.unwrap();
    assert!(!again.found, "gone already is done");
    assert_eq!(sim.ssh_keys().len(), 1, "the managed key stays");
}

/// The lease is lost, or the process dies, at every single call of the journal.
#[tokio::test]
async fn a_run_that_stops_anywhere_is_taken_up_and_ends_with_one_server() {
    for lose in [Lose::Before, Lose::After] {
        let mut k = 1;
        loop {
            let sim = simulator().await;
            let account = account(&sim.endpoint());
            let infra = account.infra().unwrap();
            let wish = wish();
            let mut first = LosingJournal::at(k, lose, MemoryJournal::default());
            let outcome = infra.provision(&wish, &mut first).await;
            if !first.lost {
                outcome.unwrap();
                assert!(k > 7, "the journal was called {k} times");
                break;
            }
            assert!(outcome.unwrap_err().lost, "{lose:?} {k}");
            let mut journal = first.inner;
            let machine = infra.provision(&wish, &mut journal).await.unwrap();
            let servers = sim.servers();
            assert_eq!(servers.len(), 1, "{lose:?} {k}");
            assert_eq!(servers[0].id.to_string(), machine.infra_id);
            assert_eq!(journal.facts().infra_id.as_ref(), Some(&machine.infra_id));
            assert_eq!(journal.facts().host.as_ref(), Some(&machine.host));
            assert_eq!(sim.ssh_keys().len(), 1);
            // And the undo, as a job does it that fails later.
            destroy(account.as_ref(), None, &mut journal).await.unwrap();
            assert!(sim.servers().is_empty(), "{lose:?} {k}");
            k += 1;
        }
    }
}

/// The same for a run that is undone instead of taken up, and for a destruction itself.
#[tokio::test]
async fn an_undo_and_a_destruction_that_stop_anywhere_leave_nothing() {
    let mut short = timeouts();
    // Nothing is on the wire any more when these runs stop.
    short.late_create = Duration::from_millis(30);
    for lose in [Lose::Before, Lose::After] {
        for k in 1.. {
            let sim = simulator().await;
            let account = account_with(&sim.endpoint(), &token(), short);
            let infra = account.infra().unwrap();
            let mut first = LosingJournal::at(k, lose, MemoryJournal::default());
            let made = infra.provision(&wish(), &mut first).await;
            destroy(account.as_ref(), None, &mut first.inner).await.unwrap();
            assert!(sim.servers().is_empty(), "undo: {lose:?} {k}");
            if made.is_ok() {
                break;
            }
        }
        for k in 1.. {
            let sim = simulator().await;
            let account = account_with(&sim.endpoint(), &token(), short);
            let machine = provision(account.as_ref(), &wish(), &mut MemoryJournal::default()).await.unwrap();
            let mut first = LosingJournal::at(k, lose, MemoryJournal::default());
            let outcome = account.infra().unwrap().destroy(&target(Some(&machine.infra_id)), &mut first).await;
            if !first.lost {
                assert!(outcome.unwrap().found && k > 3);
                break;
            }
            destroy(account.as_ref(), Some(&machine.infra_id), &mut first.inner).await.unwrap();
            assert!(sim.servers().is_empty(), "destroy: {lose:?} {k}");
        }
    }
}

fn effects() -> Vec<FaultEffect> {
    vec![
        FaultEffect::LostAnswer,
        FaultEffect::UnreadableBody,
        FaultEffect::Reset { after_effect: true },
        FaultEffect::Reset { after_effect: false },
        FaultEffect::HtmlBadGateway,
        FaultEffect::EmptyBody { status: 503 },
        FaultEffect::Locked,
        FaultEffect::RateLimited,
        FaultEffect::Late { ms: 40 },
    ]
}

/// As a job does it: again after every failure that may pass, at most this often.
async fn until_made(account: &dyn Account, wish: &ProvisionWish, journal: &mut MemoryJournal) -> Machine {
    for _ in 0..6 {
        match provision(account, wish, journal).await {
            Ok(machine) => return machine,
            Err(error) => assert!(error.is_transient(), "{error:?}"),
        }
    }
    panic!("not made after six runs");
}

async fn until_gone(account: &dyn Account, id: &str) {
    let mut journal = MemoryJournal::default();
    for _ in 0..6 {
        match destroy(account, Some(id), &mut journal).await {
            Ok(_) => return,
            Err(error) => assert!(error.is_transient(), "{error:?}"),
        }
    }
    panic!("not gone after six runs");
}

/// The N-th request meets a fault, for every N and every fault: one server, one key, then none.
#[tokio::test]
async fn every_request_may_go_wrong_in_every_way() {
    let case = |nth: u32, effect: FaultEffect| async move {
        let sim = simulator().await;
        let account = account(&sim.endpoint());
        let wish = wish();
        let at = |nth| Fault { on: RequestKind::Any, nth, times: 1, effect: effect.clone() };
        sim.fault(at(nth));
        let machine = until_made(account.as_ref(), &wish, &mut MemoryJournal::default()).await;
        let ids: Vec<_> = sim.servers().iter().map(|it| it.id.to_string()).collect();
        assert_eq!(ids, std::slice::from_ref(&machine.infra_id), "request {nth} met {effect:?}");
        assert_eq!(sim.ssh_keys().len(), 1, "request {nth} met {effect:?}");
        sim.clear_faults();
        sim.fault(at(nth));
        until_gone(account.as_ref(), &machine.infra_id).await;
        assert!(sim.servers().is_empty(), "request {nth} met {effect:?}");
        sim.shutdown().await;
    };
    join_all((1..=7).flat_map(|nth| effects().into_iter().map(move |effect| case(nth, effect)))).await;
}

#[tokio::test]
async fn a_create_whose_answer_is_lost_is_adopted_in_the_same_run() {
    for effect in [FaultEffect::LostAnswer, FaultEffect::UnreadableBody, FaultEffect::Reset { after_effect: true }] {
        let sim = simulator().await;
        sim.fault(Fault::next(RequestKind::ServerCreate, effect.clone()));
        let account = account(&sim.endpoint());
        let machine = provision(account.as_ref(), &wish(), &mut MemoryJournal::default()).await.unwrap();
        assert_eq!(sim.servers()[0].id.to_string(), machine.infra_id, "{effect:?}");
        assert_eq!(count(&sim, RequestKind::ServerCreate), 1, "{effect:?}");
    }
}

/// The answer never comes, and the process is killed while it waits.
#[tokio::test]
async fn a_create_that_hangs_is_adopted_by_the_next_run() {
    let sim = simulator().await;
    let fault = sim.fault(Fault::next(RequestKind::ServerCreate, FaultEffect::Hang { after_effect: true }));
    let account = account(&sim.endpoint());
    let mut journal = MemoryJournal::default();
    let wish = wish();
    tokio::select! {
        _ = provision(account.as_ref(), &wish, &mut journal) => panic!("the create hangs"),
        () = sim.fault_hit(fault) => {}
    }
    assert_eq!(journal.get("create").unwrap(), json!({"attempted": 0, "open": true}));
    let machine = provision(account.as_ref(), &wish, &mut journal).await.unwrap();
    assert_eq!(sim.servers()[0].id.to_string(), machine.infra_id);
    assert_eq!(count(&sim, RequestKind::ServerCreate), 1);
}

/// The create is carried out only after the failed run began its undo.
#[tokio::test]
async fn an_undo_waits_for_a_create_that_comes_late() {
    let sim = simulator().await;
    sim.fault(Fault::next(RequestKind::ServerCreate, FaultEffect::Late { ms: 300 }));
    let account = account(&sim.endpoint());
    let mut journal = MemoryJournal::default();
    let error = provision(account.as_ref(), &wish(), &mut journal).await.unwrap_err();
    assert_eq!((error.code, error.effect), (Code::ProviderApiError, Effect::Unknown));
    assert!(sim.servers().is_empty());
    assert!(destroy(account.as_ref(), None, &mut journal).await.unwrap().found);
    assert!(sim.servers().is_empty());
}

#[tokio::test]
async fn a_name_that_another_holds_is_a_conflict_and_left_alone() {
    let sim = simulator().await;
    foreign(&sim, "alpha-0001", json!({})).await;
    let account = account(&sim.endpoint());
    let mut journal = MemoryJournal::default();
    let error = provision(account.as_ref(), &wish(), &mut journal).await.unwrap_err();
    assert_eq!(error.code, Code::ProviderNameConflict);
    assert!(!destroy(account.as_ref(), None, &mut journal).await.unwrap().found);
    let id = sim.servers()[0].id.to_string();
    let error = destroy(account.as_ref(), Some(&id), &mut MemoryJournal::default()).await.unwrap_err();
    assert_eq!(error.code, Code::ProviderNameConflict);
    assert_eq!(sim.servers().len(), 1);
    assert_eq!(count(&sim, RequestKind::ServerDelete), 0);
}

#[tokio::test]
async fn without_capacity_the_next_pair_is_tried_and_then_none() {
    let sim = simulator().await;
    let account = account(&sim.endpoint());
    let mut wish = wish();
    wish.pairs = vec![pair("cx33", "fsn1"), pair("cx33", "nbg1"), pair("cx43", "fsn1")];
    sim.set_capacity("cx33", "fsn1", false);
    let mut journal = MemoryJournal::default();
    let machine = provision(account.as_ref(), &wish, &mut journal).await.unwrap();
    assert_eq!((machine.server_type.as_str(), machine.location.as_str()), ("cx33", "nbg1"));
    assert_eq!(journal.facts().location.as_deref(), Some("nbg1"));
    destroy(account.as_ref(), None, &mut journal).await.unwrap();

    for (server_type, location) in [("cx33", "nbg1"), ("cx43", "fsn1")] {
        sim.set_capacity(server_type, location, false);
    }
    let before = count(&sim, RequestKind::ServerCreate);
    let mut journal = MemoryJournal::default();
    let error = provision(account.as_ref(), &wish, &mut journal).await.unwrap_err();
    assert_eq!((error.code, error.effect), (Code::ProviderCapacity, Effect::None));
    assert_eq!(count(&sim, RequestKind::ServerCreate) - before, 3);
    // A later run with the same journal begins with the first pair again.
    sim.set_capacity("cx33", "fsn1", true);
    let machine = provision(account.as_ref(), &wish, &mut journal).await.unwrap();
    assert_eq!(machine.location, "fsn1");
}

#[tokio::test]
async fn a_refusal_that_is_not_about_capacity_ends_the_list() {
    let sim = simulator().await;
    let account = account(&sim.endpoint());
    let mut wish = wish();
    wish.pairs = vec![pair("no-such-type", "fsn1"), pair("cx33", "fsn1")];
    let error = provision(account.as_ref(), &wish, &mut MemoryJournal::default()).await.unwrap_err();
    assert_eq!((error.code, error.effect), (Code::ProviderInvalidRequest, Effect::None));
    assert!(sim.servers().is_empty());
}

#[tokio::test]
async fn an_action_that_ends_in_error_fails_and_is_undone() {
    let sim = simulator().await;
    let fault = FaultEffect::ActionError { code: "server_error".to_owned(), message: "VENDOR TEXT".to_owned() };
    sim.fault(Fault::next(RequestKind::ServerCreate, fault));
    let account = account(&sim.endpoint());
    let mut journal = MemoryJournal::default();
    let error = provision(account.as_ref(), &wish(), &mut journal).await.unwrap_err();
    assert_eq!((error.code, error.effect), (Code::ProviderAcquisitionFailed, Effect::Happened));
    assert_eq!(error.message, "The vendor's action create_server ended in error (server_error).");
    destroy(account.as_ref(), None, &mut journal).await.unwrap();
    assert!(sim.servers().is_empty());
}

#[tokio::test]
async fn an_action_that_does_not_end_times_out_and_is_waited_for_again() {
    let config = HetznerConfig { action_time: Duration::from_millis(700), ..common::quick() };
    let sim = Hetzner::start(config).await.unwrap();
    let mut short = timeouts();
    short.action = Duration::from_millis(100);
    let account = account_with(&sim.endpoint(), &token(), short);
    let mut journal = MemoryJournal::default();
    let error = provision(account.as_ref(), &wish(), &mut journal).await.unwrap_err();
    assert_eq!((error.code, error.effect), (Code::ProviderAcquisitionTimeout, Effect::Happened));
    let account = account_with(&sim.endpoint(), &token(), timeouts());
    provision(account.as_ref(), &wish(), &mut journal).await.unwrap();
    assert_eq!(count(&sim, RequestKind::ServerCreate), 1);
}

/// Everybody waits for two actions of half a second; alone each would ask some thirty times.
#[tokio::test]
async fn many_who_wait_ask_together() {
    const MANY: usize = 40;
    let config = HetznerConfig { action_time: Duration::from_millis(500), ..common::quick() };
    let sim = Hetzner::start(config).await.unwrap();
    let account = account(&sim.endpoint());
    let key = common::managed_key();
    let one = |number: usize| {
        let (account, key) = (account.clone(), key.clone());
        async move {
            let name = format!("many-{number}");
            let wish = ProvisionWish { server_name: name.clone(), node_id: name, managed_key: key, ..wish() };
            provision(account.as_ref(), &wish, &mut MemoryJournal::default()).await.unwrap()
        }
    };
    let machines = join_all((0..MANY).map(one)).await;
    let hosts: std::collections::BTreeSet<_> = machines.iter().map(|machine| machine.host.clone()).collect();
    assert_eq!((hosts.len(), sim.servers().len(), sim.ssh_keys().len()), (MANY, MANY, 1));
    let asked = count(&sim, RequestKind::ActionGet) + count(&sim, RequestKind::ActionList);
    assert!(count(&sim, RequestKind::ActionList) > 0 && asked < MANY * 8, "{asked} questions for {MANY} servers");
}

/// One who is dropped while it asks for all leaves nobody without an answer.
#[tokio::test]
async fn who_stops_waiting_leaves_the_others_their_answer() {
    let sim = simulator().await;
    // One by one, or both in one question.
    let [single, many] = [RequestKind::ActionGet, RequestKind::ActionList]
        .map(|kind| sim.fault(Fault::next(kind, FaultEffect::Hang { after_effect: false })));
    let account = account(&sim.endpoint());
    let key = common::managed_key();
    let named = |name: &str| ProvisionWish {
        server_name: name.to_owned(),
        node_id: name.to_owned(),
        managed_key: key.clone(),
        ..wish()
    };
    let (first, second) = (named("first"), named("second"));
    let mut journal = MemoryJournal::default();
    let stopped = async {
        tokio::select! {
            _ = provision(account.as_ref(), &first, &mut journal) => panic!("its question hangs"),
            () = sim.fault_hit(single) => {}
            () = sim.fault_hit(many) => {}
        }
        sim.clear_faults();
    };
    let mut other = MemoryJournal::default();
    let (made, ()) = tokio::join!(provision(account.as_ref(), &second, &mut other), stopped);
    assert_eq!(made.unwrap().infra_id, sim.servers().iter().find(|it| it.name == "second").unwrap().id.to_string());
}

#[tokio::test]
async fn a_server_that_vanishes_while_it_is_made_is_gone() {
    let sim = simulator().await;
    let account = account(&sim.endpoint());
    let mut first = LosingJournal::at(7, Lose::After, MemoryJournal::default());
    account.infra().unwrap().provision(&wish(), &mut first).await.unwrap_err();
    assert!(sim.remove_server("alpha-0001"), "made before the journal was lost");
    let error = provision(account.as_ref(), &wish(), &mut first.inner).await.unwrap_err();
    assert_eq!(error.code, Code::ProviderResourceGone);
}

#[tokio::test]
async fn a_deletion_whose_answer_is_lost_is_waited_for() {
    for effect in [FaultEffect::LostAnswer, FaultEffect::Reset { after_effect: true }, FaultEffect::UnreadableBody] {
        let sim = simulator().await;
        let account = account(&sim.endpoint());
        let machine = provision(account.as_ref(), &wish(), &mut MemoryJournal::default()).await.unwrap();
        sim.fault(Fault::next(RequestKind::ServerDelete, effect.clone()));
        let mut journal = MemoryJournal::default();
        assert!(destroy(account.as_ref(), Some(&machine.infra_id), &mut journal).await.unwrap().found, "{effect:?}");
        assert!(sim.servers().is_empty(), "{effect:?}");
    }
}

#[tokio::test]
async fn a_locked_server_is_waited_for_and_then_deleted_later() {
    let sim = simulator().await;
    let account = account(&sim.endpoint());
    let machine = provision(account.as_ref(), &wish(), &mut MemoryJournal::default()).await.unwrap();
    // An undo comes right after a create, whose actions still run.
    sim.fault(Fault { times: 3, ..Fault::next(RequestKind::ServerDelete, FaultEffect::Locked) });
    assert!(destroy(account.as_ref(), Some(&machine.infra_id), &mut MemoryJournal::default()).await.unwrap().found);
    assert_eq!(count(&sim, RequestKind::ServerDelete), 4);

    let mut short = timeouts();
    short.write = Duration::from_millis(50);
    let account = account_with(&sim.endpoint(), &token(), short);
    let machine = provision(account.as_ref(), &wish(), &mut MemoryJournal::default()).await.unwrap();
    sim.fault(Fault { times: 1_000, ..Fault::next(RequestKind::ServerDelete, FaultEffect::Locked) });
    let mut journal = MemoryJournal::default();
    let error = destroy(account.as_ref(), Some(&machine.infra_id), &mut journal).await.unwrap_err();
    assert_eq!((error.code, error.effect, error.is_transient()), (Code::ProviderLocked, Effect::None, true));
    sim.clear_faults();
    assert!(destroy(account.as_ref(), Some(&machine.infra_id), &mut journal).await.unwrap().found);
}

#[tokio::test]
async fn a_deletion_that_ends_in_error_is_asked_for_anew() {
    let sim = simulator().await;
    let account = account(&sim.endpoint());
    let machine = provision(account.as_ref(), &wish(), &mut MemoryJournal::default()).await.unwrap();
    let failing = FaultEffect::ActionError { code: "server_error".to_owned(), message: "VENDOR TEXT".to_owned() };
    sim.fault(Fault::next(RequestKind::ServerDelete, failing));
    let mut journal = MemoryJournal::default();
    let error = destroy(account.as_ref(), Some(&machine.infra_id), &mut journal).await.unwrap_err();
    assert_eq!((error.code, error.is_transient()), (Code::ProviderApiError, true));
    assert_eq!(sim.servers().len(), 1);
    destroy(account.as_ref(), Some(&machine.infra_id), &mut journal).await.unwrap();
    assert!(sim.servers().is_empty());
}

#[tokio::test]
async fn a_check_tells_good_tokens_from_wrong_and_read_only_ones() {
    let config = HetznerConfig {
        tokens: vec![("w".repeat(64), TokenAccess::ReadWrite), ("r".repeat(64), TokenAccess::ReadOnly)],
        ..HetznerConfig::default()
    };
    let sim = Hetzner::start(config).await.unwrap();
    let with = |token: String| account_with(&sim.endpoint(), &token, timeouts());
    let key = common::managed_key();
    assert_eq!(with("x".repeat(64)).check(Some(&key)).await.unwrap_err().code, Code::ProviderCredentialRejected);
    let read_only = with("r".repeat(64));
    assert_eq!(read_only.check(Some(&key)).await.unwrap_err().code, Code::ProviderTokenReadonly);
    assert!(sim.ssh_keys().is_empty());

    let report = with("w".repeat(64)).check(Some(&key)).await.unwrap();
    assert_eq!((report.message.as_str(), report.server_count), ("The token may read and write.", Some(0)));
    // Also once the key is there: then it is labelled anew, which a read-only token may not.
    with("w".repeat(64)).check(Some(&key)).await.unwrap();
    assert_eq!(read_only.check(Some(&key)).await.unwrap_err().code, Code::ProviderTokenReadonly);
    assert_eq!(sim.ssh_keys().len(), 1);
    assert_eq!(sim.ssh_keys()[0].labels["hangar-instance"], INSTANCE);
}

/// Keys are compared by fingerprint: a name that another key holds stays with it.
#[tokio::test]
async fn a_key_name_that_another_key_holds_is_no_obstacle() {
    let sim = simulator().await;
    let account = account(&sim.endpoint());
    let (old, new) = (common::managed_key(), common::managed_key());
    account.check(Some(&old)).await.unwrap();
    account.check(Some(&new)).await.unwrap();
    account.check(Some(&new)).await.unwrap();
    let keys = sim.ssh_keys();
    let fingerprints: Vec<_> = keys.iter().map(|key| key.fingerprint.clone()).collect();
    assert_eq!(fingerprints, [old.fingerprint_md5().unwrap(), new.fingerprint_md5().unwrap()]);
    assert_eq!(keys[0].name, old.name);
    assert!(keys[1].name.starts_with(&format!("{}-", new.name)));
}

#[tokio::test]
async fn what_is_chosen_by_default_can_be_made() {
    let sim = simulator().await;
    let account = account(&sim.endpoint());
    let catalog = account.catalog().await.unwrap();
    assert_eq!(catalog.currency, "EUR");
    let chosen = choose(&catalog, &Selection::default()).unwrap();
    assert_eq!(chosen.image, "debian-13");
    let mut wish = wish();
    wish.pairs = chosen.pairs;
    wish.image = chosen.image;
    let machine = provision(account.as_ref(), &wish, &mut MemoryJournal::default()).await.unwrap();
    assert_eq!(machine.price_monthly, Some(chosen.price_monthly));
}
