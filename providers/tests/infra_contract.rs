//! The contract of infra providers: every implementation passes the same tests. Whatever goes wrong,
//! in the end there is exactly one machine, or none; and what is not ours stays as it was.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;
mod docker;
mod infra_beds;
#[expect(dead_code, reason = "not every test asks the machine itself")]
mod ssh_machine;

use std::{sync::Arc, time::Duration};

use common::{INSTANCE, Lose, LosingJournal, NODE};
use domain::{code::Code, job::CommandOutput, node::ReasonCode};
use futures::{StreamExt as _, future::join_all, stream};
use infra_beds::{InfraBed, target_of};
use providers::{
    Account, Effect, ExecWish, HealthTarget, Journal, Machine, MachinePower, MachineStatus, MemoryJournal,
    ProviderError, ProvisionWish,
};

const LONG: Duration = Duration::from_secs(30);

/// What may be asked for of a machine that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Provision,
    Suspend,
    Resume,
    Upgrade,
    Destroy,
}

impl Verb {
    const OF_A_MACHINE: [Self; 4] = [Self::Suspend, Self::Resume, Self::Upgrade, Self::Destroy];

    async fn run(
        self,
        bed: &impl InfraBed,
        account: &Arc<dyn Account>,
        wish: &ProvisionWish,
        infra_id: Option<&str>,
        journal: &mut dyn Journal,
    ) -> Result<(), ProviderError> {
        let infra = account.infra().unwrap();
        let target = target_of(wish, infra_id);
        match self {
            Self::Provision => infra.provision(wish, journal).await.map(drop),
            Self::Suspend => infra.suspend(&target, Duration::from_secs(5), journal).await.map(drop),
            Self::Resume => infra.resume(&target, journal).await.map(drop),
            Self::Upgrade => infra.upgrade(&target, &bed.upgrade(), journal).await.map(drop),
            Self::Destroy => infra.destroy(&target, journal).await.map(drop),
        }
    }

    /// Makes what the verb has something to do with.
    async fn stage(self, bed: &impl InfraBed, account: &Arc<dyn Account>, wish: &ProvisionWish) -> Option<String> {
        if self == Self::Provision {
            return None;
        }
        let machine = made(account, wish).await;
        if self == Self::Resume {
            bed.stop(&machine).await;
        }
        Some(machine.infra_id)
    }

    /// Whether the vendor is as it should be after the verb.
    async fn check(self, bed: &impl InfraBed, before: &str, case: &str) {
        let machines = bed.machines().await;
        if self == Self::Destroy {
            assert_eq!(bed.things().await, Vec::<String>::new(), "{case}");
            return;
        }
        let [machine] = &machines[..] else { panic!("{case}: one machine: {machines:?}") };
        assert_eq!(machine.node_id, NODE, "{case}");
        assert_eq!(machine.running, self != Self::Suspend, "{case}: {machine:?}");
        if self == Self::Upgrade {
            assert_ne!(machine.is, before, "{case}");
        }
    }
}

async fn made(account: &Arc<dyn Account>, wish: &ProvisionWish) -> Machine {
    account.infra().unwrap().provision(wish, &mut MemoryJournal::default()).await.unwrap()
}

async fn destroyed(account: &Arc<dyn Account>, wish: &ProvisionWish, infra_id: Option<&str>) -> bool {
    let target = target_of(wish, infra_id);
    account.infra().unwrap().destroy(&target, &mut MemoryJournal::default()).await.unwrap().found
}

async fn what_is_made_is_known_and_taken_away_without_a_trace<B: InfraBed>() {
    let bed = B::start().await;
    let account = bed.account(INSTANCE);
    let infra = account.infra().unwrap();
    let (wish, mut journal) = (bed.wish(), MemoryJournal::default());
    let machine = infra.provision(&wish, &mut journal).await.unwrap();
    let seen = bed.machines().await;
    let [one] = &seen[..] else { panic!("one machine: {seen:?}") };
    assert_eq!((&one.infra_id, one.node_id.as_str(), one.running), (&machine.infra_id, NODE, true));
    assert!(!machine.host.is_empty());
    assert_eq!(journal.facts().infra_id.as_ref(), Some(&machine.infra_id));
    assert_eq!(journal.facts().host.as_ref(), Some(&machine.host));

    let status = infra.status(&machine.infra_id).await.unwrap().unwrap();
    assert_eq!((status.status, status.ours, status.node_id.as_deref()), (MachinePower::Running, true, Some(NODE)));
    assert_eq!((&status.name, status.host.as_ref()), (&wish.server_name, Some(&machine.host)));
    assert_eq!(status.cockpit_port, machine.cockpit_port);
    // What its services lack right after they were made changes by itself.
    let still = |it: MachineStatus| MachineStatus { troubles: Vec::new(), ..it };
    let owned: Vec<_> = infra.owned().await.unwrap().into_iter().map(still).collect();
    assert_eq!(owned, [still(status)]);

    assert!(destroyed(&account, &wish, Some(&machine.infra_id)).await);
    assert_eq!(bed.things().await, Vec::<String>::new());
    assert_eq!(infra.status(&machine.infra_id).await.unwrap(), None);
    assert_eq!(infra.owned().await.unwrap(), []);
    for infra_id in [Some(machine.infra_id.as_str()), None] {
        assert!(!destroyed(&account, &wish, infra_id).await, "gone already is done");
    }
}

async fn what_is_made_again_is_the_same<B: InfraBed>() {
    let bed = B::start().await;
    let account = bed.account(INSTANCE);
    let (wish, mut journal) = (bed.wish(), MemoryJournal::default());
    let infra = account.infra().unwrap();
    let first = infra.provision(&wish, &mut journal).await.unwrap();
    let things = bed.things().await;
    let again = infra.provision(&wish, &mut journal).await.unwrap();
    // As after a crash before anything of it was noted.
    let anew = made(&account, &wish).await;
    assert_eq!((&again.infra_id, &anew.infra_id), (&first.infra_id, &first.infra_id));
    assert_eq!(bed.things().await, things);
    assert_eq!(bed.machines().await.len(), 1);
    destroyed(&account, &wish, None).await;
    assert_eq!(bed.things().await, Vec::<String>::new());
}

/// The lease is lost, or the process dies, at every single call of the journal of a verb; then it is
/// taken up.
async fn every_verb_that_stops_anywhere_is_taken_up<B: InfraBed>() {
    let verbs = [Verb::Provision, Verb::Suspend, Verb::Resume, Verb::Upgrade, Verb::Destroy];
    let cases = verbs.into_iter().flat_map(|verb| [(verb, Lose::Before), (verb, Lose::After)]);
    let all = stream::iter(cases).map(|(verb, lose)| async move {
        // How often the journal is called is seen by a run that never gets that far.
        for k in 1.. {
            if !stopped_and_taken_up::<B>(verb, lose, k).await {
                assert!(k > 1, "{verb:?}: the journal was never called");
                break;
            }
        }
    });
    all.buffer_unordered(4).collect::<Vec<_>>().await;
}

async fn stopped_and_taken_up<B: InfraBed>(verb: Verb, lose: Lose, k: usize) -> bool {
    let case = format!("{verb:?}, {lose:?} call {k} of the journal");
    let bed = B::start().await;
    let account = bed.account(INSTANCE);
    let wish = bed.wish();
    let infra_id = verb.stage(&bed, &account, &wish).await;
    let before = bed.machines().await.first().map_or(String::new(), |it| it.is.clone());
    let mut first = LosingJournal::at(k, lose, MemoryJournal::default());
    let outcome = verb.run(&bed, &account, &wish, infra_id.as_deref(), &mut first).await;
    if first.lost {
        assert!(outcome.unwrap_err().lost, "{case}");
        verb.run(&bed, &account, &wish, infra_id.as_deref(), &mut first.inner).await.unwrap();
    } else {
        outcome.unwrap();
    }
    verb.check(&bed, &before, &case).await;
    destroyed(&account, &wish, None).await;
    assert_eq!(bed.things().await, Vec::<String>::new(), "{case}");
    first.lost
}

/// Likewise, and then it is undone with what was noted.
async fn an_undo_leaves_nothing_wherever_the_run_stopped<B: InfraBed>() {
    for k in 1.. {
        let bed = B::start().await;
        let account = bed.account(INSTANCE);
        let wish = bed.wish();
        let mut first = LosingJournal::at(k, Lose::After, MemoryJournal::default());
        let outcome = account.infra().unwrap().provision(&wish, &mut first).await;
        let infra_id = first.inner.facts().infra_id.clone();
        let target = target_of(&wish, infra_id.as_deref());
        account.infra().unwrap().destroy(&target, &mut first.inner).await.unwrap();
        assert_eq!(bed.things().await, Vec::<String>::new(), "call {k}");
        if !first.lost {
            outcome.unwrap();
            break;
        }
    }
}

async fn a_name_that_another_holds_is_a_conflict_and_left_alone<B: InfraBed>() {
    let bed = B::start().await;
    let account = bed.account(INSTANCE);
    let wish = bed.wish();
    bed.put_foreign(&wish.server_name).await;
    let things = bed.things().await;
    assert_eq!(things.len(), 1);
    let mut journal = MemoryJournal::default();
    let error = account.infra().unwrap().provision(&wish, &mut journal).await.unwrap_err();
    assert_eq!((error.code, error.effect), (Code::ProviderNameConflict, Effect::None));
    let target = target_of(&wish, journal.facts().infra_id.as_deref());
    assert!(!account.infra().unwrap().destroy(&target, &mut journal).await.unwrap().found);
    assert_eq!(bed.things().await, things);
    assert_eq!(account.infra().unwrap().owned().await.unwrap(), []);
}

async fn what_is_another_installations_is_left_alone_by_every_verb<B: InfraBed>() {
    let bed = B::start().await;
    let account = bed.account(INSTANCE);
    let wish = bed.wish();
    let machine = made(&account, &wish).await;
    bed.make_foreign(&machine).await;
    let (things, machines) = (bed.things().await, bed.machines().await);
    for verb in Verb::OF_A_MACHINE {
        let mut journal = MemoryJournal::default();
        let error = verb.run(&bed, &account, &wish, Some(&machine.infra_id), &mut journal).await.unwrap_err();
        assert_eq!((error.code, error.effect), (Code::ProviderNameConflict, Effect::None), "{verb:?}");
    }
    let error = account.infra().unwrap().provision(&wish, &mut MemoryJournal::default()).await.unwrap_err();
    assert_eq!(error.code, Code::ProviderNameConflict);
    assert_eq!((bed.things().await, bed.machines().await), (things, machines));
    assert_eq!(account.infra().unwrap().owned().await.unwrap(), []);
    let status = account.infra().unwrap().status(&machine.infra_id).await.unwrap();
    assert!(!status.unwrap().ours);
    assert_eq!(bed.account("inst-2").infra().unwrap().owned().await.unwrap().len(), 1);
}

async fn what_is_gone_is_gone_for_every_verb<B: InfraBed>() {
    let bed = B::start().await;
    let account = bed.account(INSTANCE);
    let wish = bed.wish();
    let machine = made(&account, &wish).await;
    bed.remove(&machine).await;
    for verb in [Verb::Suspend, Verb::Resume, Verb::Upgrade] {
        for infra_id in [Some(machine.infra_id.as_str()), Some("../else"), Some("$(id)"), None] {
            let mut journal = MemoryJournal::default();
            let error = verb.run(&bed, &account, &wish, infra_id, &mut journal).await.unwrap_err();
            assert_eq!((error.code, error.effect), (Code::ProviderResourceGone, Effect::None), "{verb:?} {infra_id:?}");
        }
    }
    for infra_id in ["../else", "$(id)", "", "a\nb"] {
        assert_eq!(account.infra().unwrap().status(infra_id).await.unwrap(), None, "{infra_id:?}");
        assert!(!destroyed(&account, &wish, Some(infra_id)).await);
    }
    assert_eq!(bed.things().await, Vec::<String>::new());
}

async fn a_machine_is_stopped_and_started<B: InfraBed>() {
    let bed = B::start().await;
    let account = bed.account(INSTANCE);
    let infra = account.infra().unwrap();
    let wish = bed.wish();
    let machine = made(&account, &wish).await;
    let target = target_of(&wish, Some(&machine.infra_id));
    // The second time there is nothing to do.
    for _ in 0..2 {
        let status = infra.suspend(&target, LONG, &mut MemoryJournal::default()).await.unwrap();
        assert_eq!((status.status, status.ours), (MachinePower::Off, true));
        assert!(!bed.machines().await[0].running);
        assert_eq!(infra.status(&machine.infra_id).await.unwrap().unwrap().status, MachinePower::Off);
    }
    for _ in 0..2 {
        let status = infra.resume(&target, &mut MemoryJournal::default()).await.unwrap();
        assert_eq!(status.status, MachinePower::Running);
        assert!(bed.machines().await[0].running);
        assert_eq!(status.cockpit_port.is_some(), machine.cockpit_port.is_some());
    }
    destroyed(&account, &wish, Some(&machine.infra_id)).await;
    assert_eq!(bed.things().await, Vec::<String>::new());
}

async fn a_machine_becomes_another_and_runs<B: InfraBed>() {
    let bed = B::start().await;
    let account = bed.account(INSTANCE);
    let infra = account.infra().unwrap();
    let wish = bed.wish();
    let machine = made(&account, &wish).await;
    let before = bed.machines().await[0].is.clone();
    let target = target_of(&wish, Some(&machine.infra_id));
    let mut journal = MemoryJournal::default();
    let status = infra.upgrade(&target, &bed.upgrade(), &mut journal).await.unwrap();
    assert_eq!((status.status, &status.infra_id), (MachinePower::Running, &machine.infra_id));
    let after = bed.machines().await;
    assert_ne!(after[0].is, before);
    // Another job asks for what is there already.
    infra.upgrade(&target, &bed.upgrade(), &mut MemoryJournal::default()).await.unwrap();
    assert_eq!(bed.machines().await, after);
    destroyed(&account, &wish, None).await;
    assert_eq!(bed.things().await, Vec::<String>::new());
}

async fn each_installation_sees_its_own<B: InfraBed>() {
    let bed = B::start().await;
    let (ours, theirs) = (bed.account(INSTANCE), bed.account("inst-2"));
    let named =
        |name: &str| ProvisionWish { server_name: name.to_owned(), node_id: format!("nod_{name}"), ..bed.wish() };
    let (first, second) = (named("one"), named("two"));
    let third = ProvisionWish { instance: "inst-2".to_owned(), ..named("three") };
    let machines = join_all([made(&ours, &first), made(&ours, &second), made(&theirs, &third)]).await;
    let owned = |account: &Arc<dyn Account>| {
        let account = account.clone();
        async move {
            let told = account.infra().unwrap().owned().await.unwrap();
            let mut ids: Vec<_> = told.into_iter().map(|it| (it.infra_id, it.node_id.unwrap())).collect();
            ids.sort();
            ids
        }
    };
    let mut expected = vec![
        (machines[0].infra_id.clone(), "nod_one".to_owned()),
        (machines[1].infra_id.clone(), "nod_two".to_owned()),
    ];
    expected.sort();
    assert_eq!(owned(&ours).await, expected);
    assert_eq!(owned(&theirs).await, [(machines[2].infra_id.clone(), "nod_three".to_owned())]);
    let target = target_of(&second, Some(&machines[0].infra_id));
    let error = ours.infra().unwrap().destroy(&target, &mut MemoryJournal::default()).await.unwrap_err();
    assert_eq!(error.code, Code::ProviderNameConflict, "another node's");
    assert_eq!(bed.machines().await.len(), 3);
    for (account, wish) in [(&ours, &first), (&ours, &second), (&theirs, &third)] {
        assert!(destroyed(account, wish, None).await);
    }
    assert_eq!(bed.things().await, Vec::<String>::new());
}

async fn health_is_told_and_never_an_error<B: InfraBed>() {
    let bed = B::start().await;
    let account = bed.account(INSTANCE);
    let wish = bed.wish();
    let machine = made(&account, &wish).await;
    let target = |infra_id: Option<&str>, host: Option<&str>| HealthTarget {
        infra_id: infra_id.map(str::to_owned),
        host: host.map(str::to_owned),
        ssh: None,
        requires: Vec::new(),
        within: Duration::from_secs(10),
    };
    let infra = account.infra().unwrap();
    let here = target(Some(&machine.infra_id), Some(&machine.host));
    let until = tokio::time::Instant::now() + LONG;
    while !infra.health_check(&here).await.is_empty() {
        assert!(tokio::time::Instant::now() < until, "it does not get healthy");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(infra.health_check(&target(None, None)).await, [ReasonCode::NodeHostMissing]);
    bed.stop(&machine).await;
    assert_eq!(infra.health_check(&here).await.len(), 1);
    let began = std::time::Instant::now();
    let told = bed.account_at_nobody().infra().unwrap().health_check(&here).await;
    assert_eq!(told, bed.health_at_nobody());
    assert!(began.elapsed() < Duration::from_secs(15));
    destroyed(&account, &wish, None).await;
    assert_eq!(infra.health_check(&here).await.len(), 1);
}

async fn a_vendor_that_is_not_there_is_unreachable<B: InfraBed>() {
    let bed = B::start().await;
    let account = bed.account_at_nobody();
    let infra = account.infra().unwrap();
    let wish = bed.wish();
    let target = target_of(&wish, None);
    let mut journal = MemoryJournal::default();
    let errors = [
        account.check(None).await.unwrap_err(),
        infra.owned().await.unwrap_err(),
        infra.provision(&wish, &mut journal).await.unwrap_err(),
        infra.suspend(&target, LONG, &mut journal).await.unwrap_err(),
        infra.resume(&target, &mut journal).await.unwrap_err(),
        infra.upgrade(&target, &bed.upgrade(), &mut journal).await.unwrap_err(),
        infra.destroy(&target, &mut journal).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.code, error.is_transient()), (Code::ProviderUnreachable, true), "{error:?}");
    }
}

async fn a_command_runs_once_and_tells_what_it_wrote<B: InfraBed>() {
    let bed = B::start().await;
    let Some(reachable) = bed.reachable().await else { return };
    let infra = reachable.account.infra().unwrap();
    let run = |task: &str, argv: &[&str], within: Duration| {
        let wish = ExecWish {
            task: task.to_owned(),
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            service: reachable.service.clone(),
            within,
        };
        let target = &reachable.target;
        async move { infra.exec(target, &wish).await }
    };
    let script = "echo ran >> /tmp/ran; echo out; echo 'err $(id)' >&2; exit 3";
    let first = run("job-1", &["sh", "-c", script], LONG).await.unwrap();
    let expected = CommandOutput {
        exit_code: Some(3),
        timed_out: false,
        may_run: false,
        stdout: "out\n".to_owned(),
        stdout_cut: false,
        stderr: "err $(id)\n".to_owned(),
        stderr_cut: false,
    };
    assert_eq!(first, expected);
    let again = run("job-1", &["sh", "-c", script], LONG).await.unwrap();
    assert_eq!((again.exit_code, again == first), (Some(3), reachable.keeps_output));
    let told = run("job-2", &["cat", "/tmp/ran"], LONG).await.unwrap();
    assert_eq!((told.stdout.as_str(), told.exit_code), ("ran\n", Some(0)), "it ran once");

    // What a shell would take for its own.
    let words = ["echo", "$HOME", ";", "`id`", "a'b\"c", "*", "--help"];
    assert_eq!(run("job-3", &words, LONG).await.unwrap().stdout.trim(), words[1..].join(" "));
    let missing = run("job-4", &["/no/such/program"], LONG).await.unwrap();
    assert!(matches!(missing.exit_code, Some(126 | 127)), "{missing:?}");
    let late = run("job-5", &["sleep", "60"], Duration::from_secs(2)).await.unwrap();
    assert_eq!((late.timed_out, late.may_run, late.exit_code), (true, false, None), "it was killed");
    let long = run("job-6", &["sh", "-c", "seq 1 10000; echo end"], LONG).await.unwrap();
    assert!(long.stdout_cut && long.stdout.len() <= 10 * 1024 && long.stdout.ends_with("\n10000\nend\n"));
    assert_eq!(run("job-7", &[], LONG).await.unwrap_err().code, Code::ProviderInvalidRequest);
    if reachable.service.is_some() {
        let wish = ExecWish {
            task: "job-8".to_owned(),
            argv: vec!["true".to_owned()],
            service: Some("../db".to_owned()),
            within: LONG,
        };
        let error = infra.exec(&reachable.target, &wish).await.unwrap_err();
        assert_eq!(error.code, Code::ProviderInvalidRequest);
    }
}

macro_rules! tests {
    ($bed:ty: $($test:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            if <$bed as super::InfraBed>::is_here() {
                super::$test::<$bed>().await;
            }
        }
    )*};
}

/// Every test of the contract for one implementation.
macro_rules! contract {
    ($name:ident: $bed:ty) => {
        mod $name {
            tests! { $bed:
                what_is_made_is_known_and_taken_away_without_a_trace
                what_is_made_again_is_the_same
                every_verb_that_stops_anywhere_is_taken_up
                an_undo_leaves_nothing_wherever_the_run_stopped
                a_name_that_another_holds_is_a_conflict_and_left_alone
                what_is_another_installations_is_left_alone_by_every_verb
                what_is_gone_is_gone_for_every_verb
                a_machine_is_stopped_and_started
                a_machine_becomes_another_and_runs
                each_installation_sees_its_own
                health_is_told_and_never_an_error
                a_vendor_that_is_not_there_is_unreachable
                a_command_runs_once_and_tells_what_it_wrote
            }
        }
    };
}

contract!(hetzner: crate::infra_beds::hetzner::HetznerBed);
contract!(compose: crate::infra_beds::compose::ComposeBed);
