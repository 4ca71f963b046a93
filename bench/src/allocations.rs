//! Machines handed out: over HTTP, and by a bare loop of the same statements. The rule: both run in
//! turns, several times, so that what else the machine does falls on both.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use domain::{
    allocation::AllocationStatus,
    audit::{AuditEntry, LiveEvent, Outcome as Went},
    id::{AllocationId, AuditId, UserId},
    job::Subject,
    time::HOUR,
    valid::PoolName,
};
use store::{AllocationRow, Conn, FreshId as _, Store, StoreError};
use tokio::task::JoinSet;

use crate::{
    Bench, client,
    engine::{Database, Engine},
    fill,
    load::{self, Outcome},
    report::{self, Report, Table, millis, whole},
    server::{self, Server},
};

/// Rounds of each way.
const ROUNDS: usize = 3;
/// Machines handed out per round and way.
const PER_ROUND: usize = 4_000;
/// Connections at once, and callers of the group commit.
const CLIENTS: usize = 64;
/// The bare loop is given up after this time; it is slow where the disk is.
const BARE_LIMIT: Duration = Duration::from_secs(4);

/// The pool that is handed out over HTTP by an administrator, and the one that people ask for.
const POOLS: [&str; 2] = ["default", "people"];

/// Measures every way on every database.
pub async fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let mut table = Table::new(
        format!(
            "Machines handed out ({CLIENTS} connections; {ROUNDS} rounds of {} in turns; medians)",
            bench.scaled(PER_ROUND)
        ),
        &["", "per second", "p50", "p99", "processor", "targets"],
    );
    for engine in bench.engines() {
        report::progress(&format!("handing out machines on {}", engine.name()));
        let found = on(bench, engine, report).await?;
        found.rows(engine, &mut table, report);
    }
    if bench.wants("allocations") {
        table.print();
        report::say(
            "  The bare loop runs the same statements in this process, a transaction each, one after another;\n  \
             grouped: the same through the store's group commit, by as many callers as there are connections.\n  \
             processor: the server's time on a processor for one.",
        );
    }
    Ok(())
}

/// What was found on one database.
#[derive(Default)]
struct Found {
    bare: Way,
    grouped: Way,
    admin: Way,
    people: Way,
}

/// The rounds of one way.
#[derive(Default)]
struct Way {
    rates: Vec<f64>,
    all: Outcome,
    processor: Duration,
}

impl Way {
    fn round(&mut self, outcome: &Outcome, processor: Duration) {
        self.rates.push(outcome.rate());
        self.all = std::mem::take(&mut self.all).and(outcome);
        self.processor += processor;
    }

    /// The rate of the round in the middle.
    fn rate(&self) -> f64 {
        let mut rates = self.rates.clone();
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied().unwrap_or_default()
    }

    fn cells(&self, name: String, targets: String) -> [String; 6] {
        let processor = match self.processor.is_zero() {
            true => String::new(),
            false => millis(self.processor.as_secs_f64() * 1_000.0 / self.all.count().max(1) as f64),
        };
        [name, whole(self.rate()), millis(self.all.within(0.5)), millis(self.all.within(0.99)), processor, targets]
    }
}

impl Found {
    fn rows(&self, engine: Engine, table: &mut Table, report: &mut Report) {
        let engine = engine.name();
        table.row(self.bare.cells(format!("{engine}, bare loop"), String::new()));
        table.row(self.grouped.cells(format!("{engine}, grouped"), String::new()));
        for (way, who) in [(&self.admin, "for many people"), (&self.people, "by people with a quota")] {
            let name = format!("{engine}, HTTP, {who}");
            let share = way.rate() / self.bare.rate().max(1e-9);
            let fast = report.target(&format!("{name}: rate"), "≥ 1,000/s", way.rate() >= 1_000.0);
            let soon = report.target(&format!("{name}: p99"), "p99 < 50 ms", way.all.within(0.99) < 50.0);
            let half = report.target(
                &format!("{name}: {share:.2} of the bare loop"),
                &format!("≥ 0.5 of the bare loop ({share:.2})"),
                share >= 0.5,
            );
            table.row(way.cells(name, format!("{fast}; {soon}; {half}")));
        }
    }
}

async fn on(bench: &Bench, engine: Engine, report: &mut Report) -> Result<Found> {
    let count = bench.scaled(PER_ROUND);
    let machines = ROUNDS * count;
    // The server's, and one for the loops in this process.
    let served = Database::create(bench, engine).await?;
    let bare = Database::create(bench, engine).await?;
    let store = served.store().await?;
    let recipients = Arc::new(fill::people(&store, 1_000, 1).await?);
    let people = fill::people(&store, machines, 1).await?;
    let cookies = Arc::new(fill::sessions(&store, &people).await?);
    for pool in POOLS {
        fill::pool(&store, pool, machines + 64).await?;
    }
    store.close().await;
    let store = bare.store().await?;
    let known = Arc::new(fill::people(&store, 1_000, 1).await?);
    fill::pool(&store, POOLS[0], 2 * machines).await?;
    for database in [&served, &bare] {
        database.settle().await?;
    }

    let server = Server::start(bench, &served).await?;
    server.warm().await?;
    let mut found = Found::default();
    for round in 0..ROUNDS {
        found.bare.round(&bare_loop(&store, &known, count).await?, Duration::ZERO);
        found.grouped.round(&grouped(&store, &known, count).await?, Duration::ZERO);

        let before = server.processor_time()?;
        let (header, recipients) = (server::admin(), Arc::clone(&recipients));
        let request = move |n: usize| {
            let user = recipients.get(n % recipients.len().max(1)).map_or("usr_admin", UserId::as_str);
            client::post("/api/v1/allocations", &header, &format!(r#"{{"pool":"{}","user_id":"{user}"}}"#, POOLS[0]))
        };
        let outcome = load::run(server.address, CLIENTS, count, 201, request).await?;
        found.admin.round(&outcome, server.processor_time()?.saturating_sub(before));

        let before = server.processor_time()?;
        let (cookies, origin) = (Arc::clone(&cookies), format!("http://{}", server.address));
        let request = move |n: usize| {
            let cookie = cookies.get(round * count + n).map_or("", String::as_str);
            let header = format!("cookie: hangar_session={cookie}\r\norigin: {origin}");
            client::post("/api/v1/allocations", &header, &format!(r#"{{"pool":"{}"}}"#, POOLS[1]))
        };
        let outcome = load::run(server.address, CLIENTS, count, 201, request).await?;
        found.people.round(&outcome, server.processor_time()?.saturating_sub(before));
    }
    server.end(&format!("{}, after handing out", engine.name()), report).await?;
    store.close().await;
    served.remove().await?;
    bare.remove().await?;
    Ok(found)
}

/// What a plain implementation would do: a transaction for each, one after another.
async fn bare_loop(store: &Store, people: &Arc<Vec<UserId>>, count: usize) -> Result<Outcome> {
    let mut micros = Vec::with_capacity(count);
    let began = Instant::now();
    for n in 0..count {
        if began.elapsed() > BARE_LIMIT {
            break;
        }
        let sent = Instant::now();
        claim(store, people, n).await?;
        micros.push(u64::try_from(sent.elapsed().as_micros())?);
    }
    Ok(Outcome::new(micros, began.elapsed()))
}

/// The same by many callers at once, whose operations the store puts together.
async fn grouped(store: &Store, people: &Arc<Vec<UserId>>, count: usize) -> Result<Outcome> {
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for caller in 0..CLIENTS {
        let (store, people) = (store.clone(), Arc::clone(people));
        callers.spawn(async move {
            let mut micros = Vec::new();
            for n in (caller..count).step_by(CLIENTS) {
                let sent = Instant::now();
                claim(&store, &people, n).await?;
                micros.push(u64::try_from(sent.elapsed().as_micros())?);
            }
            anyhow::Ok(micros)
        });
    }
    let mut micros = Vec::with_capacity(count);
    while let Some(caller) = callers.join_next().await {
        micros.extend(caller??);
    }
    Ok(Outcome::new(micros, began.elapsed()))
}

async fn claim(store: &Store, people: &Arc<Vec<UserId>>, n: usize) -> Result<()> {
    let people = Arc::clone(people);
    let row = store
        .write::<Option<AllocationRow>, StoreError, _>(move |c| {
            let user = people.get(n % people.len().max(1)).cloned().unwrap_or_else(UserId::admin);
            Box::pin(claim_in(c, user))
        })
        .await?;
    row.context("the pool is empty or not there").map(drop)
}

/// The statements of handing out one machine, as the server runs them.
async fn claim_in(c: &mut Conn, user: UserId) -> Result<Option<AllocationRow>, StoreError> {
    let now = fill::now();
    let Ok(pool) = POOLS[0].parse::<PoolName>() else { return Ok(None) };
    let (Some(_), Some(person)) = (c.pool_lock(&pool).await?, c.user_get(&user).await?) else { return Ok(None) };
    let Some(vm) = c.pool_vm_claim_unless_waiting(&pool, now).await? else { return Ok(None) };
    let row = AllocationRow {
        id: AllocationId::fresh(),
        user_id: user.clone(),
        forge_id: person.forge_id,
        pool,
        pool_vm_id: Some(vm.id.clone()),
        host: vm.host,
        provisioner: "pool".to_owned(),
        is_demo: false,
        status: AllocationStatus::Active,
        cost_cents: None,
        cockpit_url: vm.cockpit_url,
        duration_hours: 24,
        ssh_pub_key: None,
        reason: None,
        created_at: now,
        allocated_at: Some(now),
        expires_at: Some(now.plus(24 * HOUR)),
        released_at: None,
        version: 1,
    };
    c.allocation_insert(&row).await?;
    let line = AuditEntry {
        id: AuditId::fresh(),
        at: now,
        actor: "usr_admin".to_owned(),
        actor_name: Some("Administrator".to_owned()),
        action: "allocation.create".to_owned(),
        subject: Subject::new("allocation", &row.id),
        outcome: Went::Ok,
        code: None,
        detail: Some(vm.id.to_string()),
    };
    c.audit_insert(&line, None).await?;
    let event = |kind: &str, id: String| LiveEvent { kind: kind.to_owned(), id, version: 1 };
    c.event_insert(&[
        (event("allocation", row.id.to_string()), Some(user)),
        (event("pool", row.pool.to_string()), None),
    ])
    .await?;
    Ok(Some(row))
}
