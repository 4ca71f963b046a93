//! Every verb, each of its calls, every way in which that can go wrong: in the end the vendor is as
//! it should be, with nothing left over, and the verb may be asked for again.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::time::Duration;

use common::{
    Lose, LosingJournal, account_with, timeouts, token,
    verbs::{Stage, Verb},
};
use domain::code::Code;
use futures::{FutureExt as _, StreamExt as _, stream};
use providers::{Account, MemoryJournal, Timeouts};
use simulators::{Fault, FaultEffect, Hetzner, RequestKind};

fn quick_timeouts() -> Timeouts {
    // What is still on the wire when a run fails arrives within this.
    Timeouts { late_create: Duration::from_millis(80), ..timeouts() }
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
        FaultEffect::Late { ms: 30 },
        FaultEffect::Slow { ms: 30 },
        FaultEffect::SlowAction { ms: 60 },
        FaultEffect::ActionError { code: "server_error".to_owned(), message: "VENDOR TEXT".to_owned() },
        FaultEffect::Status { status: 409, code: "conflict".to_owned(), message: "VENDOR TEXT".to_owned(), body: None },
    ]
}

/// As a job does it: again after every failure that may pass. One that does not is undone, and the
/// work is begun anew.
async fn until_done(verb: Verb, account: &dyn Account, stage: &Stage, case: &str) {
    let mut journal = MemoryJournal::default();
    for _ in 0..8 {
        let Err(error) = verb.run(account, stage, &mut journal).await else { return };
        assert!(!error.to_string().contains("VENDOR TEXT"), "{case}: {error}");
        if error.is_transient() {
            continue;
        }
        assert_eq!(error.code, Code::ProviderAcquisitionFailed, "{case}: {error:?}");
        assert!(error.correlation_id.as_ref().is_some_and(|id| id.starts_with("action-")), "{case}: {error:?}");
        if verb == Verb::Provision {
            Verb::Destroy.run(account, stage, &mut journal).await.unwrap();
        }
        journal = MemoryJournal::default();
    }
    panic!("{case}: not done after eight runs");
}

async fn one(verb: Verb, kind: RequestKind, nth: u32, effect: FaultEffect) -> bool {
    let case = format!("{verb:?}, call {nth} of {kind:?}, {effect:?}");
    let sim = Hetzner::start(common::quick()).await.unwrap();
    let account = account_with(&sim.endpoint(), &token(), quick_timeouts());
    let stage = verb.stage(&sim, account.as_ref()).await;
    let fault = sim.fault(Fault { nth, ..Fault::next(kind, effect.clone()) });
    until_done(verb, account.as_ref(), &stage, &case).await;
    verb.check(&sim, &stage, &case);
    if verb == Verb::Rebuild && !matches!(effect, FaultEffect::ActionError { .. }) {
        assert_eq!(sim.servers()[0].boots, 2, "{case}: laid once");
    }
    let hit = sim.fault_hit(fault).now_or_never().is_some();
    sim.clear_faults();
    // Asked for again, it finds everything done.
    verb.run(account.as_ref(), &stage, &mut MemoryJournal::default()).await.unwrap();
    verb.check(&sim, &stage, &case);
    hit
}

async fn every_call_in_every_way(verb: Verb) {
    let calls = verb.calls().await;
    assert!(calls.len() >= 3, "{verb:?}: {calls:?}");
    let cases = calls.iter().flat_map(|(kind, nth)| effects().into_iter().map(|effect| (*kind, *nth, effect)));
    let hits: Vec<bool> =
        stream::iter(cases).map(|(kind, nth, effect)| one(verb, kind, nth, effect)).buffer_unordered(8).collect().await;
    let hit = hits.iter().filter(|hit| **hit).count();
    assert!(hit * 4 >= hits.len() * 3, "{verb:?}: {hit} of {} faults were met", hits.len());
}

/// The first call of a kind goes unanswered, and the next is refused: somebody took the token's
/// rights away and gave them back. The job's journal is kept.
async fn every_pair_of_lost_and_refused(verb: Verb) {
    let refused = FaultEffect::Status {
        status: 401,
        code: "unauthorized".to_owned(),
        message: "VENDOR TEXT".to_owned(),
        body: None,
    };
    let losses = [
        FaultEffect::LostAnswer,
        FaultEffect::Reset { after_effect: true },
        FaultEffect::Reset { after_effect: false },
    ];
    for (kind, _) in verb.calls().await.into_iter().filter(|(_, nth)| *nth == 1) {
        for lost in losses.clone() {
            let case = format!("{verb:?}, {kind:?}: {lost:?}, then refused");
            let sim = Hetzner::start(common::quick()).await.unwrap();
            let account = account_with(&sim.endpoint(), &token(), quick_timeouts());
            let stage = verb.stage(&sim, account.as_ref()).await;
            sim.fault(Fault::next(kind, lost));
            sim.fault(Fault { nth: 2, ..Fault::next(kind, refused.clone()) });
            let mut journal = MemoryJournal::default();
            let mut runs = 0;
            while let Err(error) = verb.run(account.as_ref(), &stage, &mut journal).await {
                assert!(error.is_transient() || error.code == Code::ProviderCredentialRejected, "{case}: {error:?}");
                runs += 1;
                assert!(runs < 8, "{case}: {error:?}");
            }
            verb.check(&sim, &stage, &case);
            if verb == Verb::Rebuild {
                assert_eq!(sim.servers()[0].boots, 2, "{case}: laid once");
            }
        }
    }
}

/// The lease is lost, or the process dies, at every single call of the journal.
async fn every_stop(verb: Verb) {
    for lose in [Lose::Before, Lose::After] {
        for k in 1.. {
            let case = format!("{verb:?}, {lose:?} call {k} of the journal");
            let sim = Hetzner::start(common::quick()).await.unwrap();
            let account = account_with(&sim.endpoint(), &token(), quick_timeouts());
            let stage = verb.stage(&sim, account.as_ref()).await;
            let mut first = LosingJournal::at(k, lose, MemoryJournal::default());
            let outcome = verb.run(account.as_ref(), &stage, &mut first).await;
            if !first.lost {
                outcome.unwrap();
                assert!(k > 1, "{case}: the journal was never called");
                break;
            }
            assert!(outcome.unwrap_err().lost, "{case}");
            verb.run(account.as_ref(), &stage, &mut first.inner).await.unwrap();
            verb.check(&sim, &stage, &case);
        }
    }
}

macro_rules! verbs {
    ($($name:ident $verb:ident)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn ends_well_whatever_goes_wrong_at_any_call() {
                every_call_in_every_way(Verb::$verb).await;
            }

            #[tokio::test]
            async fn ends_well_when_it_is_refused_after_a_call_that_was_lost() {
                every_pair_of_lost_and_refused(Verb::$verb).await;
            }

            #[tokio::test]
            async fn ends_well_wherever_it_stops() {
                every_stop(Verb::$verb).await;
            }
        }
    )*};
}

verbs! {
    provision Provision
    destroy Destroy
    suspend Suspend
    resume Resume
    retype Retype
    rebuild Rebuild
}
