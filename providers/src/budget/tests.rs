use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use futures::future::{join, join_all};
use proptest::prelude::*;
use tokio::time::{Instant, advance, sleep, timeout};

use super::{Budget, Class, Told};

const FAR: Duration = Duration::from_secs(1_000_000);

/// The vendor's bucket, with headers as it writes them: whole calls, whole seconds.
struct Vendor {
    limit: u32,
    refill: f64,
    left: f64,
    at: Instant,
    began: Instant,
    refused: u32,
    served: u32,
}

impl Vendor {
    fn new(limit: u32, refill: f64, left: f64) -> Rc<RefCell<Self>> {
        let now = Instant::now();
        Rc::new(RefCell::new(Self { limit, refill, left, at: now, began: now, refused: 0, served: 0 }))
    }

    fn call(&mut self) -> Told {
        let now = Instant::now();
        self.left = (self.left + (now - self.at).as_secs_f64() * self.refill).min(f64::from(self.limit));
        self.at = now;
        let refused = self.left < 1.0;
        if refused {
            self.refused += 1;
        } else {
            self.left -= 1.0;
            self.served += 1;
        }
        let full_in = ((f64::from(self.limit) - self.left) / self.refill).ceil() as u64;
        Told {
            limit: Some(self.limit),
            remaining: Some(self.left as u32),
            full_in: Some(Duration::from_secs(full_in)),
            refused,
        }
    }

    fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }
}

/// One call that is half of `latency` on its way there, and half on its way back.
async fn call(budget: &Budget, vendor: &Rc<RefCell<Vendor>>, class: Class, latency: Duration) -> bool {
    let permit = budget.take(class, Instant::now() + FAR).await.unwrap();
    sleep(latency / 2).await;
    let told = vendor.borrow_mut().call();
    sleep(latency / 2).await;
    permit.answered(told);
    !told.refused
}

fn paused<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(work)
}

const CLASSES: [Class; 4] = [Class::Tend, Class::Make, Class::Poll, Class::Background];

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Once learnt, nothing is ever refused, everything goes, and hardly a refill is wasted.
    #[test]
    fn never_more_than_the_bucket_holds(
        limit in 6_u32..400,
        fills_in in 20.0_f64..3600.0,
        full in 0.3_f64..1.0,
        calls in prop::collection::vec((0_usize..4, 1_u64..3_000, 0_u64..4_000), 20..250),
    ) {
        paused(async {
            let refill = f64::from(limit) / fills_in;
            let vendor = Vendor::new(limit, refill, (f64::from(limit) * full).max(1.0));
            let budget = Budget::fresh();
            assert!(call(&budget, &vendor, Class::Make, Duration::from_millis(100)).await);
            let left = vendor.borrow().left;
            let (began, total) = (Instant::now(), calls.len() as f64);
            join_all(calls.iter().map(|(class, latency, after)| {
                let (budget, vendor) = (&budget, &vendor);
                async move {
                    sleep(Duration::from_millis(*after)).await;
                    call(budget, vendor, CLASSES[*class], Duration::from_millis(*latency)).await
                }
            }))
            .await;
            assert_eq!(vendor.borrow().refused, 0, "limit {limit}, refill {refill}");
            // The floor, with the reserve that the last calls leave and what whole numbers cost.
            let reserve = Class::Background.reserve(f64::from(limit));
            let floor = (total - left + reserve + 3.0).max(0.0) / refill;
            let took = began.elapsed().as_secs_f64();
            let most = floor * if limit < 40 { 3.0 } else { 1.3 } + 60.0;
            assert!(took <= most, "{took} s, floor {floor} s, limit {limit}, refill {refill}");
        });
    }
}

/// As the vendor documents itself: 3600 an hour, and nothing left at the start.
#[test]
fn a_long_queue_takes_hardly_longer_than_the_refill_allows() {
    paused(async {
        let vendor = Vendor::new(3600, 1.0, 1.0);
        let budget = Budget::fresh();
        join_all((0..500).map(|_| call(&budget, &vendor, Class::Make, Duration::from_millis(150)))).await;
        let vendor = vendor.borrow();
        // The few that went before anything was known may be refused.
        assert!(vendor.refused <= 8, "{}", vendor.refused);
        assert!(vendor.seconds() <= 500.0 * 1.05, "{}", vendor.seconds());
    });
}

/// Nothing more urgent is due, so what flows back does not lie idle.
#[test]
fn questions_alone_take_what_flows_back() {
    paused(async {
        for left in [0.0, 10.0] {
            let (budget, vendor) = learnt(3600, 1.0, left).await;
            let before = Instant::now();
            join_all((0..80).map(|_| call(&budget, &vendor, Class::Poll, Duration::from_millis(150)))).await;
            let (took, floor) = (before.elapsed().as_secs_f64(), 80.0);
            assert!(took <= floor * 1.05, "{took}");
            assert_eq!(vendor.borrow().refused, 0);
        }
    });
}

/// Many things are made at once, and somebody asks how far they are, as often as the pace allows.
#[test]
fn work_with_questions_in_between_takes_hardly_longer_than_the_refill_allows() {
    paused(async {
        let (budget, vendor) = learnt(3600, 1.0, 20.0).await;
        let latency = Duration::from_millis(150);
        let (before, served) = (Instant::now(), vendor.borrow().served);
        let makes = join_all((0..300).map(|_| call(&budget, &vendor, Class::Make, latency)));
        let removes = join_all((0..40).map(|_| call(&budget, &vendor, Class::Tend, latency)));
        let questions = async {
            loop {
                // 25 in a question, and of two kinds.
                for _ in 0..2 * 300_usize.div_ceil(25) {
                    call(&budget, &vendor, Class::Poll, latency).await;
                }
                sleep(budget.pace(Duration::from_secs(2), 24)).await;
            }
        };
        tokio::select! {
            _ = join(makes, removes) => {}
            () = questions => {}
        }
        let calls = f64::from(vendor.borrow().served - served);
        let (took, floor) = (before.elapsed().as_secs_f64(), calls - 20.0);
        assert!(took <= floor * 1.05, "{took} s for {calls} calls");
        assert!(calls <= 340.0 * 1.35, "{calls} calls: the questions take a quarter at most");
        assert_eq!(vendor.borrow().refused, 0);
    });
}

/// A bucket of which `left` calls are left is known.
async fn learnt(limit: u32, refill: f64, left: f64) -> (Arc<Budget>, Rc<RefCell<Vendor>>) {
    let vendor = Vendor::new(limit, refill, left + 1.0);
    let budget = Arc::new(Budget::fresh());
    assert!(call(&budget, &vendor, Class::Make, Duration::ZERO).await);
    (budget, vendor)
}

#[test]
fn a_flood_of_background_calls_does_not_delay_what_is_essential() {
    paused(async {
        for left in [0.0, 5.0, 60.0] {
            let (budget, vendor) = learnt(100, 0.5, left).await;
            let flood = join_all((0..200).map(|_| call(&budget, &vendor, Class::Background, Duration::ZERO)));
            let essential = async {
                sleep(Duration::from_millis(10)).await;
                let before = Instant::now();
                assert!(call(&budget, &vendor, Class::Make, Duration::ZERO).await);
                before.elapsed()
            };
            let flood = timeout(Duration::from_secs(30), flood);
            let (_, waited) = join(flood, essential).await;
            assert!(waited <= Duration::from_millis(2_100), "{left}: {waited:?}");
            assert_eq!(vendor.borrow().refused, 0);
        }
    });
}

#[test]
fn taking_away_does_not_starve_behind_making_nor_questions_behind_both() {
    paused(async {
        let (budget, vendor) = learnt(3600, 1.0, 0.0).await;
        let makes = join_all((0..100).map(|_| call(&budget, &vendor, Class::Make, Duration::ZERO)));
        let timed = |class, count: usize| {
            let (budget, vendor) = (&budget, &vendor);
            async move {
                sleep(Duration::from_millis(10)).await;
                let before = Instant::now();
                join_all((0..count).map(|_| call(budget, vendor, class, Duration::ZERO))).await;
                before.elapsed().as_secs()
            }
        };
        let (_, (tend, polls)) = join(makes, join(timed(Class::Tend, 1), timed(Class::Poll, 5))).await;
        assert!(tend <= 3, "{tend}");
        assert!((5..=25).contains(&polls), "{polls}");
        assert_eq!(vendor.borrow().refused, 0);
    });
}

#[test]
fn the_reserves_keep_calls_for_what_is_essential() {
    paused(async {
        let (budget, vendor) = learnt(1_000, 0.2, 30.0).await;
        let now = Instant::now();
        assert!(budget.take(Class::Background, now).await.is_err());
        for _ in 0..10 {
            let permit = budget.take(Class::Poll, now).await.unwrap();
            permit.answered(vendor.borrow_mut().call());
        }
        assert!(budget.take(Class::Poll, now).await.is_err(), "it leaves 20");
        for _ in 0..20 {
            let permit = budget.take(Class::Tend, now).await.unwrap();
            permit.answered(vendor.borrow_mut().call());
        }
        let wait = budget.take(Class::Tend, now + Duration::from_secs(1)).await.unwrap_err();
        assert!((4..=6).contains(&wait.as_secs()), "{wait:?}: at one call in five seconds");
    });
}

#[test]
fn a_bucket_of_one_lets_everything_through_in_time() {
    paused(async {
        let (budget, vendor) = learnt(1, 0.1, 0.0).await;
        for class in CLASSES {
            assert!(call(&budget, &vendor, class, Duration::ZERO).await, "{class:?}");
        }
    });
}

/// As many calls that are on their way may be refused at once: that is one refusal.
#[test]
fn a_burst_of_refusals_is_one() {
    paused(async {
        let (budget, vendor) = learnt(3600, 1.0, 99.0).await;
        vendor.borrow_mut().left = -3.0;
        let before = Instant::now();
        join_all((0..20).map(|_| call(&budget, &vendor, Class::Make, Duration::from_millis(50)))).await;
        let refused = vendor.borrow().refused;
        assert_eq!(refused, 20);
        while !call(&budget, &vendor, Class::Tend, Duration::from_millis(50)).await {}
        // Four calls are missing, and the pauses double.
        assert!(before.elapsed() <= Duration::from_secs(8), "{:?}", before.elapsed());
    });
}

/// After the pause one call goes alone, and the others when it went well.
#[test]
fn after_a_refusal_one_call_tries() {
    paused(async {
        let (budget, vendor) = learnt(3600, 1.0, 99.0).await;
        vendor.borrow_mut().left = -30.0;
        assert!(!call(&budget, &vendor, Class::Make, Duration::ZERO).await);
        // Somebody else took it all; what is known says that there is more.
        let latency = Duration::from_secs(5);
        join_all((0..20).map(|_| call(&budget, &vendor, Class::Make, latency))).await;
        let refused = vendor.borrow().refused;
        assert!(refused <= 5, "{refused}");
    });
}

/// A gateway that counts by windows, or a clock that is late: the reset is over, the calls are not
/// there.
#[test]
fn a_reset_that_cannot_be_does_not_fill_the_bucket() {
    paused(async {
        for full_in in [0, 10] {
            let budget = Budget::fresh();
            let told = Told {
                limit: Some(3600),
                remaining: Some(0),
                full_in: Some(Duration::from_secs(full_in)),
                refused: false,
            };
            budget.take(Class::Make, Instant::now()).await.unwrap().answered(told);
            advance(Duration::from_secs(11)).await;
            let standing = budget.standing().unwrap();
            assert_eq!((standing.limit, standing.remaining), (3600, 11), "{full_in}");
        }
    });
}

/// Somebody else empties the bucket: the first refusal holds everybody, and one tries again.
#[test]
fn after_a_refusal_nobody_storms() {
    paused(async {
        let (budget, vendor) = learnt(100, 1.0, 99.0).await;
        vendor.borrow_mut().left = -30.0;
        join_all((0..20).map(|_| call(&budget, &vendor, Class::Make, Duration::from_millis(50)))).await;
        assert!(vendor.borrow().refused <= 20, "those that were on their way");
        let before = vendor.borrow().refused;
        while !call(&budget, &vendor, Class::Make, Duration::from_millis(50)).await {}
        let more = vendor.borrow().refused - before;
        assert!(more <= 6, "{more} more refusals while the bucket came back");
    });
}

#[test]
fn refusals_in_a_row_are_waited_out_ever_longer_and_forgotten_at_the_first_answer() {
    paused(async {
        let budget = Budget::fresh();
        let refused = Told { limit: Some(3600), remaining: Some(0), full_in: None, refused: true };
        let mut waits = Vec::new();
        for _ in 0..9 {
            let permit = budget.take(Class::Make, Instant::now() + FAR).await.unwrap();
            waits.push(permit.answered(refused).unwrap().as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        let fine = Told { remaining: Some(100), refused: false, ..refused };
        assert_eq!(budget.take(Class::Make, Instant::now() + FAR).await.unwrap().answered(fine), None);
        let permit = budget.take(Class::Make, Instant::now() + FAR).await.unwrap();
        assert_eq!(permit.answered(refused), Some(Duration::from_secs(1)));
    });
}

#[test]
fn a_wait_that_would_be_too_long_is_told_at_once() {
    paused(async {
        let (budget, _) = learnt(3600, 1.0, 0.0).await;
        let before = Instant::now();
        let queue: Vec<_> = (0..30).map(|_| budget.take(Class::Make, before + FAR)).collect();
        let queue = join_all(queue);
        let late = async { budget.take(Class::Make, before + Duration::from_secs(10)).await.unwrap_err() };
        let (_, wait) = join(timeout(Duration::from_secs(1), queue), late).await;
        assert!((25..=35).contains(&wait.as_secs()), "{wait:?}");
    });
}

#[test]
fn whoever_gives_up_leaves_its_place_to_the_next() {
    paused(async {
        let (budget, vendor) = learnt(360, 0.1, 0.0).await;
        let first = timeout(Duration::from_secs(1), call(&budget, &vendor, Class::Make, Duration::ZERO));
        let second = call(&budget, &vendor, Class::Make, Duration::ZERO);
        let before = Instant::now();
        let (first, second) = join(first, second).await;
        assert!(first.is_err() && second);
        assert!(before.elapsed() < Duration::from_secs(15), "{:?}", before.elapsed());
    });
}

#[test]
fn a_vendor_that_counts_nothing_is_not_held_back() {
    paused(async {
        let budget = Budget::fresh();
        for _ in 0..3 {
            budget.take(Class::Background, Instant::now()).await.unwrap().answered(Told::default());
        }
        assert_eq!(budget.standing(), None);
        let wait = Duration::from_millis(7);
        assert_eq!(budget.pace(wait, 100), wait);
        let permits = join_all((0..50).map(|_| budget.take(Class::Make, Instant::now()))).await;
        assert!(permits.iter().all(Result::is_ok));
    });
}

#[test]
fn only_a_few_try_what_nobody_knows_yet() {
    paused(async {
        let budget = Budget::fresh();
        let soon = Instant::now() + Duration::from_secs(1);
        let takes = join_all((0..50).map(|_| budget.take(Class::Make, soon))).await;
        assert_eq!(takes.iter().filter(|it| it.is_ok()).count(), 8);
    });
}

/// What is known grows old: others use the same bucket.
#[test]
fn after_a_while_a_few_look_first() {
    paused(async {
        let (budget, vendor) = learnt(3600, 1.0, 3000.0).await;
        advance(Duration::from_secs(600)).await;
        vendor.borrow_mut().left = 0.0;
        vendor.borrow_mut().at = Instant::now();
        join_all((0..50).map(|_| call(&budget, &vendor, Class::Make, Duration::from_millis(50)))).await;
        assert!(vendor.borrow().refused <= 10, "{}", vendor.borrow().refused);
    });
}

#[test]
fn it_tells_what_is_left_and_asks_less_when_that_is_little() {
    paused(async {
        let (budget, vendor) = learnt(3600, 1.0, 3600.0 - 1.0).await;
        let standing = budget.standing().unwrap();
        assert_eq!((standing.limit, standing.remaining), (3600, 3599));
        assert_eq!(standing.full_in_seconds, 1);
        let wait = Duration::from_millis(200);
        assert_eq!(budget.pace(wait, 1), wait);
        assert!(!budget.is_short());
        vendor.borrow_mut().left = 60.0;
        call(&budget, &vendor, Class::Make, Duration::ZERO).await;
        assert!(budget.is_short());
        assert!(budget.pace(wait, 20) >= Duration::from_secs(15), "{:?}", budget.pace(wait, 20));
    });
}

#[test]
fn one_budget_for_one_credential() {
    let one = Budget::shared("https://a/v1", "token");
    assert!(Arc::ptr_eq(&one, &Budget::shared("https://a/v1", "token")));
    assert!(!Arc::ptr_eq(&one, &Budget::shared("https://a/v1", "other")));
    assert!(!Arc::ptr_eq(&one, &Budget::shared("https://b/v1", "token")));
    assert!(!format!("{one:?}").contains("token"));
}
