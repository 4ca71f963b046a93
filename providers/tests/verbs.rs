//! Suspend, resume and upgrade against the simulated vendor: what they do, what they leave alone,
//! and what they never do twice.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;
mod ssh_machine;

use std::{sync::Arc, time::Duration};

use common::{
    Lose, LosingJournal, NODE, account, account_with, pair, target, timeouts, token,
    verbs::{IMAGE, TYPE, Verb, fresh_user_data},
    wish,
};
use domain::code::Code;
use providers::{
    Account, Effect, ExecWish, HealthTarget, Journal as _, MachinePower, MachineStatus, MemoryJournal, ProviderError,
    ProvisionWish, Timeouts, UpgradeWish,
};
use secrecy::ExposeSecret as _;
use serde_json::json;
use simulators::{Fault, FaultEffect, Hetzner, RequestKind, ServerStatus};
use ssh_machine::Machine;

const LONG: Duration = Duration::from_secs(10);

async fn machine() -> (Hetzner, Arc<dyn Account>, String) {
    let sim = Hetzner::start(common::quick()).await.unwrap();
    let account = account(&sim.endpoint());
    let machine = account.infra().unwrap().provision(&wish(), &mut MemoryJournal::default()).await.unwrap();
    (sim, account, machine.infra_id)
}

fn count(sim: &Hetzner, kind: RequestKind) -> usize {
    sim.requests().iter().filter(|it| it.kind == kind).count()
}

fn posts(sim: &Hetzner) -> usize {
    sim.requests().iter().filter(|it| it.method != "GET").count()
}

async fn retype(
    account: &dyn Account,
    id: &str,
    server_type: &str,
    journal: &mut MemoryJournal,
) -> Result<MachineStatus, ProviderError> {
    let wish = UpgradeWish::Type { server_type: server_type.to_owned(), graceful: LONG };
    account.infra().unwrap().upgrade(&target(Some(id)), &wish, journal).await
}

async fn rebuild(account: &dyn Account, id: &str, journal: &mut MemoryJournal) -> Result<MachineStatus, ProviderError> {
    let wish = UpgradeWish::Image { image: IMAGE.to_owned(), user_data: Some(fresh_user_data()) };
    account.infra().unwrap().upgrade(&target(Some(id)), &wish, journal).await
}

#[tokio::test]
async fn one_that_obeys_is_not_switched_off() {
    let (sim, account, id) = machine().await;
    let infra = account.infra().unwrap();
    let mut journal = MemoryJournal::default();
    let status = infra.suspend(&target(Some(&id)), LONG, &mut journal).await.unwrap();
    assert_eq!((status.status, status.ours, status.node_id.as_deref()), (MachinePower::Off, true, Some(NODE)));
    assert_eq!(sim.servers()[0].status, ServerStatus::Off);
    assert_eq!((journal.steps(), count(&sim, RequestKind::ServerPoweroff)), (&["shut_down"][..], 0));

    let status = infra.resume(&target(Some(&id)), &mut journal).await.unwrap();
    assert_eq!((status.status, status.infra_id), (MachinePower::Running, id));
    assert_eq!(sim.servers()[0].status, ServerStatus::Running);
}

#[tokio::test]
async fn one_that_does_not_obey_is_switched_off_when_its_time_is_over() {
    let (sim, account, id) = machine().await;
    sim.set_ignores_shutdown("alpha-0001", true);
    let mut journal = MemoryJournal::default();
    let short = Duration::from_millis(30);
    account.infra().unwrap().suspend(&target(Some(&id)), short, &mut journal).await.unwrap();
    assert_eq!(sim.servers()[0].status, ServerStatus::Off);
    assert_eq!(journal.steps(), ["shut_down", "power_off"]);
    assert_eq!(count(&sim, RequestKind::ServerShutdown), 1);
}

#[tokio::test]
async fn without_a_grace_it_is_switched_off_at_once() {
    let (sim, account, id) = machine().await;
    let mut journal = MemoryJournal::default();
    account.infra().unwrap().suspend(&target(Some(&id)), Duration::ZERO, &mut journal).await.unwrap();
    assert_eq!((sim.servers()[0].status, count(&sim, RequestKind::ServerShutdown)), (ServerStatus::Off, 0));
}

#[tokio::test]
async fn what_is_done_already_is_only_looked_at() {
    let (sim, account, id) = machine().await;
    let infra = account.infra().unwrap();
    let before = posts(&sim);
    let mut journal = MemoryJournal::default();
    infra.resume(&target(Some(&id)), &mut journal).await.unwrap();
    retype(account.as_ref(), &id, "cx33", &mut journal).await.unwrap();
    sim.power_off("alpha-0001");
    infra.suspend(&target(Some(&id)), LONG, &mut journal).await.unwrap();
    assert_eq!(posts(&sim), before);
}

#[tokio::test]
async fn what_is_not_ours_is_left_alone_by_every_verb() {
    for (key, value) in [("hangar-instance", "inst-2"), ("hangar-node", "nod_other"), ("managed-by", "terraform")] {
        for verb in [Verb::Destroy, Verb::Suspend, Verb::Resume, Verb::Retype, Verb::Rebuild] {
            let sim = Hetzner::start(common::quick()).await.unwrap();
            let account = account(&sim.endpoint());
            let mut stage = verb.stage(&sim, account.as_ref()).await;
            let mut labels = sim.servers()[0].labels.clone();
            labels.insert(key.to_owned(), value.to_owned());
            let labels: Vec<_> = labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            assert!(sim.set_server_labels("alpha-0001", &labels));
            let before = posts(&sim);
            let error = verb.run(account.as_ref(), &stage, &mut MemoryJournal::default()).await.unwrap_err();
            assert_eq!((error.code, error.effect), (Code::ProviderNameConflict, Effect::None), "{verb:?} {key}");
            if verb != Verb::Destroy {
                // Nor is it taken for ours by its name.
                stage.id = None;
                let error = verb.run(account.as_ref(), &stage, &mut MemoryJournal::default()).await.unwrap_err();
                assert_eq!(error.code, Code::ProviderNameConflict, "{verb:?} {key}");
            }
            assert_eq!(posts(&sim), before, "{verb:?} {key}: left alone");
        }
    }
}

#[tokio::test]
async fn what_is_gone_is_gone_for_every_verb() {
    for verb in [Verb::Suspend, Verb::Resume, Verb::Retype, Verb::Rebuild] {
        let sim = Hetzner::start(common::quick()).await.unwrap();
        let account = account(&sim.endpoint());
        let mut stage = verb.stage(&sim, account.as_ref()).await;
        assert!(sim.remove_server("alpha-0001"));
        for id in [stage.id.clone(), Some("../ssh_keys".to_owned()), None] {
            stage.id = id;
            let error = verb.run(account.as_ref(), &stage, &mut MemoryJournal::default()).await.unwrap_err();
            assert_eq!((error.code, error.effect), (Code::ProviderResourceGone, Effect::None), "{verb:?}");
        }
    }
}

/// It vanishes while the verb is at work.
#[tokio::test]
async fn what_goes_meanwhile_is_gone() {
    for (verb, kind) in [
        (Verb::Suspend, RequestKind::ServerPoweroff),
        (Verb::Resume, RequestKind::ServerPoweron),
        (Verb::Retype, RequestKind::ServerChangeType),
        (Verb::Rebuild, RequestKind::ServerRebuild),
    ] {
        let sim = Hetzner::start(common::quick()).await.unwrap();
        let account = account(&sim.endpoint());
        let stage = verb.stage(&sim, account.as_ref()).await;
        let fault = sim.fault(Fault::next(kind, FaultEffect::SlowAction { ms: 100 }));
        let mut journal = MemoryJournal::default();
        let vanish = async {
            sim.fault_hit(fault).await;
            assert!(sim.remove_server("alpha-0001"));
        };
        let (outcome, ()) = tokio::join!(verb.run(account.as_ref(), &stage, &mut journal), vanish);
        assert_eq!(outcome.unwrap_err().code, Code::ProviderResourceGone, "{verb:?}");
    }
}

#[tokio::test]
async fn another_type_is_laid_under_the_same_disk() {
    let (sim, account, id) = machine().await;
    let mut journal = MemoryJournal::default();
    let status = retype(account.as_ref(), &id, TYPE, &mut journal).await.unwrap();
    assert_eq!((status.status, status.server_type.as_deref()), (MachinePower::Running, Some(TYPE)));
    assert_eq!(journal.steps(), ["shut_down", "change_type", "power_on"]);
    // The way back is open, since the disk did not grow.
    retype(account.as_ref(), &id, "cx33", &mut journal).await.unwrap();
    assert_eq!(sim.servers()[0].server_type, "cx33");
}

#[tokio::test]
async fn a_type_without_capacity_leaves_what_resume_undoes() {
    let (sim, account, id) = machine().await;
    sim.set_capacity(TYPE, "fsn1", false);
    let mut journal = MemoryJournal::default();
    let error = retype(account.as_ref(), &id, TYPE, &mut journal).await.unwrap_err();
    assert_eq!((error.code, error.effect), (Code::ProviderCapacity, Effect::None));
    account.infra().unwrap().resume(&target(Some(&id)), &mut journal).await.unwrap();
    let server = &sim.servers()[0];
    assert_eq!((server.server_type.as_str(), server.status), ("cx33", ServerStatus::Running));
}

#[tokio::test]
async fn a_type_that_cannot_be_is_refused_as_such() {
    let (sim, account, id) = machine().await;
    for unfit in ["cax11", "no-such-type"] {
        let error = retype(account.as_ref(), &id, unfit, &mut MemoryJournal::default()).await.unwrap_err();
        assert_eq!(error.code, Code::ProviderInvalidRequest, "{unfit}");
    }
    assert_eq!(sim.servers()[0].server_type, "cx33");
}

/// Somebody starts it between the stop and the change.
#[tokio::test]
async fn one_that_was_started_meanwhile_is_stopped_again() {
    let (sim, account, id) = machine().await;
    let late = sim.fault(Fault::next(RequestKind::ServerChangeType, FaultEffect::Slow { ms: 60 }));
    let mut journal = MemoryJournal::default();
    let start = async {
        // The change is carried out a little later than it is asked for.
        sim.fault_hit(late).await;
        assert!(sim.set_server_status("alpha-0001", ServerStatus::Running));
    };
    let (status, ()) = tokio::join!(retype(account.as_ref(), &id, TYPE, &mut journal), start);
    assert_eq!(status.unwrap().server_type.as_deref(), Some(TYPE));
    assert_eq!(count(&sim, RequestKind::ServerChangeType), 2);
}

#[tokio::test]
async fn an_image_is_laid_with_the_user_data_that_is_given() {
    let (sim, account, id) = machine().await;
    let before = sim.servers()[0].host_key.clone();
    let mut journal = MemoryJournal::default();
    let status = rebuild(account.as_ref(), &id, &mut journal).await.unwrap();
    assert_eq!((status.status, status.image.as_deref()), (MachinePower::Running, Some(IMAGE)));
    assert_eq!(journal.steps(), ["rebuild"]);
    assert_eq!(journal.get("rebuild").unwrap()["begun"], true);
    assert_eq!(journal.get("rebuild").unwrap()["actions"].as_array().unwrap().len(), 1);
    let host_key = providers::HostKey::generate().unwrap();
    let user_data = providers::ssh::user_data(&providers::UserData {
        host_key: &host_key,
        ssh_user: "root",
        authorized_key: "ssh-ed25519 AAAA k",
        extra: None,
    });
    let wish = UpgradeWish::Image { image: IMAGE.to_owned(), user_data: Some(user_data.unwrap()) };
    let infra = account.infra().unwrap();
    infra.upgrade(&target(Some(&id)), &wish, &mut MemoryJournal::default()).await.unwrap();
    let after = sim.servers()[0].host_key.clone();
    assert_ne!(after, before);
    assert_eq!(after.as_deref(), Some(host_key.public_openssh()));
}

/// As after a crash once it was done, and before anybody noted that the job is.
#[tokio::test]
async fn an_image_is_not_laid_twice_by_one_job() {
    let (sim, account, id) = machine().await;
    let mut journal = MemoryJournal::default();
    rebuild(account.as_ref(), &id, &mut journal).await.unwrap();
    let boots = sim.servers()[0].boots;
    rebuild(account.as_ref(), &id, &mut journal).await.unwrap();
    assert_eq!((count(&sim, RequestKind::ServerRebuild), sim.servers()[0].boots), (1, boots));
    // Another job does it anew.
    rebuild(account.as_ref(), &id, &mut MemoryJournal::default()).await.unwrap();
    assert_eq!(count(&sim, RequestKind::ServerRebuild), 2);
}

#[tokio::test]
async fn a_rebuild_whose_answer_is_lost_or_late_is_waited_for_and_not_repeated() {
    for effect in [
        FaultEffect::LostAnswer,
        FaultEffect::UnreadableBody,
        FaultEffect::Reset { after_effect: true },
        FaultEffect::Late { ms: 60 },
    ] {
        let (sim, account, id) = machine().await;
        sim.fault(Fault::next(RequestKind::ServerRebuild, effect.clone()));
        let mut journal = MemoryJournal::default();
        rebuild(account.as_ref(), &id, &mut journal).await.unwrap();
        assert_eq!((count(&sim, RequestKind::ServerRebuild), sim.servers()[0].boots), (1, 2), "{effect:?}");
    }
}

/// The process dies while the answer is awaited.
#[tokio::test]
async fn a_rebuild_that_hangs_is_found_by_the_next_run() {
    let (sim, account, id) = machine().await;
    let fault = sim.fault(Fault::next(RequestKind::ServerRebuild, FaultEffect::Hang { after_effect: true }));
    let mut journal = MemoryJournal::default();
    tokio::select! {
        _ = rebuild(account.as_ref(), &id, &mut journal) => panic!("the rebuild hangs"),
        () = sim.fault_hit(fault) => {}
    }
    let noted = journal.get("rebuild").unwrap();
    assert_eq!((&noted["begun"], &noted["actions"]), (&json!(true), &json!([])));
    rebuild(account.as_ref(), &id, &mut journal).await.unwrap();
    assert_eq!((count(&sim, RequestKind::ServerRebuild), sim.servers()[0].image.as_str()), (1, IMAGE));
}

#[tokio::test]
async fn a_rebuild_that_ends_in_error_is_told_and_asked_for_anew() {
    let (sim, account, id) = machine().await;
    let failing = FaultEffect::ActionError { code: "server_error".to_owned(), message: "VENDOR TEXT".to_owned() };
    sim.fault(Fault::next(RequestKind::ServerRebuild, failing));
    let mut journal = MemoryJournal::default();
    let error = rebuild(account.as_ref(), &id, &mut journal).await.unwrap_err();
    assert_eq!((error.code, error.effect), (Code::ProviderAcquisitionFailed, Effect::Happened));
    assert_eq!(error.message, "The vendor's action rebuild_server ended in error (server_error).");
    rebuild(account.as_ref(), &id, &mut journal).await.unwrap();
    assert_eq!(count(&sim, RequestKind::ServerRebuild), 2);
}

#[tokio::test]
async fn a_rebuild_that_is_refused_was_not_begun() {
    let (_sim, account, id) = machine().await;
    let wish = UpgradeWish::Image { image: "plan9".to_owned(), user_data: None };
    let mut journal = MemoryJournal::default();
    let infra = account.infra().unwrap();
    let error = infra.upgrade(&target(Some(&id)), &wish, &mut journal).await.unwrap_err();
    assert_eq!((error.code, error.effect), (Code::ProviderInvalidRequest, Effect::None));
    assert_eq!(journal.get("rebuild").unwrap()["begun"], false, "its disk is as it was");
}

fn status(status: u16, code: &str) -> FaultEffect {
    FaultEffect::Status { status, code: code.to_owned(), message: "VENDOR TEXT".to_owned(), body: None }
}

/// The first call went unanswered and is carried out late; the second is refused in between.
#[tokio::test]
async fn a_refusal_does_not_make_a_rebuild_forgotten_that_may_be_under_way() {
    for refused in [status(401, "unauthorized"), status(422, "invalid_input")] {
        let (sim, _, id) = machine().await;
        let short = Timeouts { late_create: Duration::from_millis(20), ..timeouts() };
        let account = account_with(&sim.endpoint(), &token(), short);
        let mut journal = MemoryJournal::default();
        sim.fault(Fault::next(RequestKind::ServerRebuild, FaultEffect::Reset { after_effect: false }));
        let lost = rebuild(account.as_ref(), &id, &mut journal).await.unwrap_err();
        assert_eq!(lost.effect, Effect::Unknown);
        sim.fault(Fault::next(RequestKind::ServerRebuild, refused.clone()));
        let error = rebuild(account.as_ref(), &id, &mut journal).await.unwrap_err();
        assert_eq!(error.effect, Effect::None, "{refused:?}");
        assert_eq!(journal.get("rebuild").unwrap()["begun"], true, "{refused:?}: its disk may be gone");
        // As the vendor carries out the first one at last.
        let url = format!("{}/servers/{id}/actions/rebuild", sim.endpoint());
        let request = reqwest::Client::new().post(url).bearer_auth(token());
        let answer = request.json(&json!({"image": IMAGE, "user_data": fresh_user_data()})).send().await.unwrap();
        assert_eq!(answer.status(), 201);
        rebuild(account.as_ref(), &id, &mut journal).await.unwrap();
        assert_eq!((count(&sim, RequestKind::ServerRebuild), sim.servers()[0].boots), (3, 2), "{refused:?}");
    }
}

/// What failed half-way may have wiped the disk.
#[tokio::test]
async fn a_refusal_after_a_rebuild_that_failed_does_not_undo_that() {
    let (sim, account, id) = machine().await;
    let failing = FaultEffect::ActionError { code: "server_error".to_owned(), message: "VENDOR TEXT".to_owned() };
    sim.fault(Fault::next(RequestKind::ServerRebuild, failing));
    let mut journal = MemoryJournal::default();
    rebuild(account.as_ref(), &id, &mut journal).await.unwrap_err();
    sim.fault(Fault::next(RequestKind::ServerRebuild, status(401, "unauthorized")));
    rebuild(account.as_ref(), &id, &mut journal).await.unwrap_err();
    assert_eq!(journal.get("rebuild").unwrap()["begun"], true);
    rebuild(account.as_ref(), &id, &mut journal).await.unwrap();
    assert_eq!(sim.servers()[0].image, IMAGE);
}

#[tokio::test]
async fn a_rebuild_of_a_server_that_stays_locked_was_not_begun() {
    let (sim, _, id) = machine().await;
    let short = Timeouts { write: Duration::from_millis(60), ..timeouts() };
    let account = account_with(&sim.endpoint(), &token(), short);
    sim.fault(Fault { times: u32::MAX, ..Fault::next(RequestKind::ServerRebuild, FaultEffect::Locked) });
    let mut journal = MemoryJournal::default();
    let error = rebuild(account.as_ref(), &id, &mut journal).await.unwrap_err();
    assert_eq!((error.code, error.effect), (Code::ProviderLocked, Effect::None));
    assert_eq!(journal.get("rebuild").unwrap()["begun"], false, "nobody touched its disk");
    sim.clear_faults();
    rebuild(account.as_ref(), &id, &mut journal).await.unwrap();
}

/// The credential is refused while the vendor lays the image, which it does all the same.
#[tokio::test]
async fn a_rebuild_that_cannot_be_asked_about_is_not_repeated() {
    let (sim, account, id) = machine().await;
    sim.fault(Fault::next(RequestKind::ActionGet, status(401, "unauthorized")));
    let mut journal = MemoryJournal::default();
    let error = rebuild(account.as_ref(), &id, &mut journal).await.unwrap_err();
    assert_eq!(error.code, Code::ProviderCredentialRejected);
    rebuild(account.as_ref(), &id, &mut journal).await.unwrap();
    assert_eq!((count(&sim, RequestKind::ServerRebuild), sim.servers()[0].boots), (1, 2));
}

#[tokio::test]
async fn what_is_protected_is_told_so() {
    let (sim, account, id) = machine().await;
    let url = format!("{}/servers/{id}/actions/change_protection", sim.endpoint());
    let request = reqwest::Client::new().post(url).bearer_auth(token());
    request.json(&json!({"delete": true, "rebuild": true})).send().await.unwrap();
    let infra = account.infra().unwrap();
    let destroyed = infra.destroy(&target(Some(&id)), &mut MemoryJournal::default()).await.unwrap_err();
    let rebuilt = rebuild(account.as_ref(), &id, &mut MemoryJournal::default()).await.unwrap_err();
    for error in [destroyed, rebuilt] {
        assert_eq!((error.code, error.effect), (Code::ProviderInvalidRequest, Effect::None));
        assert!(error.message.contains("protected at the vendor"), "{error}");
        assert!(error.correlation_id.is_some(), "{error:?}");
    }
    assert_eq!(sim.servers()[0].status, ServerStatus::Running);
}

fn crowded() -> FaultEffect {
    FaultEffect::ActionError { code: "resource_unavailable".to_owned(), message: "VENDOR TEXT".to_owned() }
}

fn two_pairs() -> ProvisionWish {
    ProvisionWish { pairs: vec![pair("cx33", "fsn1"), pair("cx33", "nbg1")], ..wish() }
}

/// Accepted with 201, and then there is no room.
#[tokio::test]
async fn a_pair_without_room_after_all_gives_way_to_the_next() {
    let sim = Hetzner::start(common::quick()).await.unwrap();
    let account = account(&sim.endpoint());
    let infra = account.infra().unwrap();
    sim.fault(Fault::next(RequestKind::ServerCreate, crowded()));
    let mut journal = MemoryJournal::default();
    let machine = infra.provision(&two_pairs(), &mut journal).await.unwrap();
    let servers = sim.servers();
    assert_eq!((servers.len(), machine.location.as_str()), (1, "nbg1"));
    assert_eq!(servers[0].id.to_string(), machine.infra_id);
    assert_eq!(journal.facts().infra_id, Some(machine.infra_id));

    // And where there is no next one, nothing is left.
    let sim = Hetzner::start(common::quick()).await.unwrap();
    let account = common::account(&sim.endpoint());
    sim.fault(Fault { times: 2, ..Fault::next(RequestKind::ServerCreate, crowded()) });
    let mut journal = MemoryJournal::default();
    let error = account.infra().unwrap().provision(&two_pairs(), &mut journal).await.unwrap_err();
    assert_eq!((error.code, error.effect), (Code::ProviderCapacity, Effect::None));
    assert!(sim.servers().is_empty());
    // A later run begins with the first pair again.
    let machine = account.infra().unwrap().provision(&two_pairs(), &mut journal).await.unwrap();
    assert_eq!(machine.location, "fsn1");
}

/// The same when the process dies at any moment of it.
#[tokio::test]
async fn a_change_of_pair_that_stops_anywhere_ends_with_one_server() {
    for lose in [Lose::Before, Lose::After] {
        for k in 1.. {
            let sim = Hetzner::start(common::quick()).await.unwrap();
            let account = account(&sim.endpoint());
            let infra = account.infra().unwrap();
            sim.fault(Fault::next(RequestKind::ServerCreate, crowded()));
            let mut first = LosingJournal::at(k, lose, MemoryJournal::default());
            let outcome = infra.provision(&two_pairs(), &mut first).await;
            if !first.lost {
                outcome.unwrap();
                assert!(k > 12, "the journal was called {k} times");
                break;
            }
            let machine = infra.provision(&two_pairs(), &mut first.inner).await.unwrap();
            let servers = sim.servers();
            assert_eq!(servers.len(), 1, "{lose:?} {k}");
            assert_eq!((servers[0].id.to_string(), servers[0].status), (machine.infra_id, ServerStatus::Running));
        }
    }
}

#[tokio::test]
async fn a_limit_that_an_action_meets_is_a_quota() {
    let sim = Hetzner::start(common::quick()).await.unwrap();
    let account = account(&sim.endpoint());
    let limit =
        FaultEffect::ActionError { code: "resource_limit_exceeded".to_owned(), message: "VENDOR TEXT".to_owned() };
    sim.fault(Fault::next(RequestKind::ServerCreate, limit));
    let infra = account.infra().unwrap();
    let error = infra.provision(&two_pairs(), &mut MemoryJournal::default()).await.unwrap_err();
    assert_eq!((error.code, error.effect), (Code::ProviderQuotaExceeded, Effect::Happened));
    assert!(error.correlation_id.unwrap().starts_with("action-"));
}

#[tokio::test]
async fn an_action_that_does_not_end_says_which_one() {
    let (sim, _, id) = machine().await;
    let mut short = timeouts();
    short.action = Duration::from_millis(60);
    let account = account_with(&sim.endpoint(), &token(), short);
    sim.fault(Fault::next(RequestKind::ServerPoweroff, FaultEffect::SlowAction { ms: 300 }));
    let infra = account.infra().unwrap();
    let mut journal = MemoryJournal::default();
    let error = infra.suspend(&target(Some(&id)), Duration::ZERO, &mut journal).await.unwrap_err();
    assert_eq!((error.code, error.is_transient()), (Code::ProviderAcquisitionTimeout, true));
    assert!(error.correlation_id.unwrap().starts_with("action-"));
    let account = account_with(&sim.endpoint(), &token(), timeouts());
    account.infra().unwrap().suspend(&target(Some(&id)), Duration::ZERO, &mut journal).await.unwrap();
    assert_eq!(sim.servers()[0].status, ServerStatus::Off);
}

/// The key and the firewall are asked for once for everybody, and anew when they are gone.
#[tokio::test]
async fn what_is_known_is_asked_for_once_and_forgotten_when_it_is_refused() {
    let sim = Hetzner::start(common::quick()).await.unwrap();
    common::verbs::firewall(&sim, "web").await;
    let account = account(&sim.endpoint());
    let infra = account.infra().unwrap();
    let wish = ProvisionWish { firewalls: vec!["web".to_owned()], ..wish() };
    let named = |name: &str| ProvisionWish { server_name: name.to_owned(), node_id: name.to_owned(), ..wish.clone() };
    infra.provision(&named("one"), &mut MemoryJournal::default()).await.unwrap();
    let asked = count(&sim, RequestKind::SshKeyList) + count(&sim, RequestKind::Firewall);
    infra.provision(&named("two"), &mut MemoryJournal::default()).await.unwrap();
    assert_eq!(count(&sim, RequestKind::SshKeyList) + count(&sim, RequestKind::Firewall), asked);

    let key = &sim.ssh_keys()[0];
    let url = format!("{}/ssh_keys/{}", sim.endpoint(), key.id);
    assert!(reqwest::Client::new().delete(url).bearer_auth(token()).send().await.unwrap().status().is_success());
    infra.provision(&named("three"), &mut MemoryJournal::default()).await.unwrap();
    assert_eq!((sim.servers().len(), sim.ssh_keys().len()), (3, 1));
    assert_ne!(sim.ssh_keys()[0].id, key.id);
}

/// A command runs on the machine and runs once, however often its task is asked for.
#[tokio::test]
async fn a_command_runs_once_and_tells_what_it_wrote() {
    let Some(machine) = Machine::start(None).await else { return };
    let account = account(&machine.sim.endpoint());
    let target = HealthTarget {
        infra_id: Some(machine.infra_id.clone()),
        host: Some(machine.host.clone()),
        ssh: Some(machine.target()),
        requires: Vec::new(),
        within: LONG,
    };
    let script = "echo ran >>/var/lib/ran; echo $$; echo \"password=hunter22 of mine\" >&2; exit 3";
    let wish = ExecWish {
        task: "job-1".to_owned(),
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        service: None,
        within: Duration::from_secs(30),
    };
    let infra = account.infra().unwrap();
    let first = infra.exec(&target, &wish).await.unwrap();
    assert_eq!((first.exit_code, first.timed_out, first.stdout_cut), (Some(3), false, false));
    assert!(first.stdout.trim().parse::<u32>().is_ok(), "{first:?}");
    // A secret that looks in part like another is known to the caller alone, who masks all at once.
    assert_eq!(first.stderr, "password=hunter22 of mine\n");
    assert_eq!(providers::ssh::mask(&first.stderr, &["hunter22 of mine"]), "password=***\n");
    let again = infra.exec(&target, &wish).await.unwrap();
    assert_eq!(again, first, "the same run");
    assert_eq!(machine.told("cat /var/lib/ran").await, "ran\n");

    let wrong = providers::SshTarget {
        host_key_public: providers::HostKey::generate().unwrap().public_openssh().to_owned(),
        ..machine.target()
    };
    let error = infra.exec(&HealthTarget { ssh: Some(wrong), ..target }, &wish).await.unwrap_err();
    assert_eq!(error.code, Code::ProvisionHostKeyMismatch);
    machine.sim.shutdown().await;
}

/// Neither the vendor nor the machine answers.
#[tokio::test]
async fn a_health_check_ends_in_time() {
    let (sim, _, id) = machine().await;
    let slow = Timeouts { read: Duration::from_secs(60), ..timeouts() };
    let account = account_with(&sim.endpoint(), &token(), slow);
    sim.fault(Fault {
        times: u32::MAX,
        ..Fault::next(RequestKind::ServerGet, FaultEffect::Hang { after_effect: false })
    });
    let directory = tempfile::tempdir().unwrap();
    let (_, private) = providers::ManagedKey::generate("hangar").unwrap();
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ssh = providers::SshTarget {
        host: "127.0.0.1".to_owned(),
        port: silent.local_addr().unwrap().port(),
        user: "root".to_owned(),
        private_key_path: ssh_machine::private_file(directory.path(), "key", private.expose_secret()),
        host_key_public: providers::HostKey::generate().unwrap().public_openssh().to_owned(),
        known_hosts_dir: directory.path().join("ssh"),
    };
    let target = HealthTarget {
        infra_id: Some(id),
        host: Some("127.0.0.1".to_owned()),
        ssh: Some(ssh),
        requires: Vec::new(),
        within: Duration::from_secs(3),
    };
    let began = std::time::Instant::now();
    let found = account.infra().unwrap().health_check(&target).await;
    assert_eq!(found, [domain::node::ReasonCode::NodeUnreachable]);
    assert!(began.elapsed() < Duration::from_millis(5_500), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_command_needs_a_machine_and_a_way_in() {
    let (_sim, account, id) = machine().await;
    let target = HealthTarget {
        infra_id: Some(id),
        host: Some("127.0.0.1".to_owned()),
        ssh: None,
        requires: Vec::new(),
        within: LONG,
    };
    let wish = |argv: &[&str], service: Option<&str>| ExecWish {
        task: "t".to_owned(),
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        service: service.map(str::to_owned),
        within: LONG,
    };
    let infra = account.infra().unwrap();
    for (wish, code) in [
        (wish(&["true"], None), Code::ProvisionSshUnreachable),
        (wish(&[], None), Code::ProviderInvalidRequest),
        (wish(&["true"], Some("web")), Code::ProviderInvalidRequest),
    ] {
        assert_eq!(infra.exec(&target, &wish).await.unwrap_err().code, code, "{wish:?}");
    }
}
