//! Reading: a page of a list, one thing by its id, and the start of a server on a database that
//! holds much. The rule: the small and the large database are asked in turns by one client, so that
//! their ratio holds also where the machine is busy.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use domain::id::AllocationId;

use crate::{
    Bench,
    client::{self, Connection},
    engine::{Database, Engine},
    fill,
    load::{self, Outcome},
    report::{self, Report, Table, millis, whole},
    server::{self, Server},
    start,
};

/// Rows in the small and in the large database.
const ROWS: [usize; 2] = [1_000, 100_000];
/// Pages asked for, of each list and database.
const PAGES: usize = 400;
/// Clients at once that ask for one thing.
const CLIENTS: usize = 16;
/// How often they ask, together.
const ASKED: usize = 30_000;
/// The lists.
const LISTS: [&str; 2] = ["/api/v1/allocations", "/api/v1/nodes"];

/// Measures on every database.
pub async fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let rows = ROWS.map(|rows| bench.scaled(rows));
    let small = format!("{} rows", whole(rows[0] as f64));
    let large = format!("{} rows", whole(rows[1] as f64));
    let mut lists = Table::new(
        "One page of a list (50 items, one client; medians)",
        &["", &small, &large, "p99", "ratio", "targets"],
    );
    let mut ones = Table::new(
        format!("One allocation by its id ({CLIENTS} clients, {large})"),
        &["", "per second", "p50", "p99", "processor"],
    );
    let mut starts = Table::new(
        format!("From the start to /readyz ({large}; the middle of {})", start::TIMES),
        &["", "first", "middle", "longest", "target"],
    );
    for engine in bench.engines() {
        report::progress(&format!("filling {} with {large}", engine.name()));
        let databases = [filled(bench, engine, rows[0]).await?, filled(bench, engine, rows[1]).await?];
        let [(small, _), (large, ids)] = &databases;
        report::progress(&format!("reading on {}", engine.name()));
        let servers = [Server::start(bench, small).await?, Server::start(bench, large).await?];
        for server in &servers {
            server.warm().await?;
        }
        for list in LISTS {
            page_rows(bench, engine, list, &servers, &mut lists, report).await?;
        }
        one_rows(bench, engine, &servers[1], ids, &mut ones).await?;
        let [first, second] = servers;
        first.end(&format!("{}, after reading, small", engine.name()), report).await?;
        second.end(&format!("{}, after reading, large", engine.name()), report).await?;
        if bench.wants("start") {
            start::rows(bench, large, &mut starts, report).await?;
        }
        for (database, _) in databases {
            database.remove().await?;
        }
    }
    for (name, table) in [("lists", lists), ("get-one", ones), ("start", starts)] {
        if bench.wants(name) {
            table.print();
        }
    }
    Ok(())
}

async fn filled(bench: &Bench, engine: Engine, rows: usize) -> Result<(Database, Arc<Vec<AllocationId>>)> {
    let database = Database::create(bench, engine).await?;
    let store = database.store().await?;
    let people = fill::people(&store, rows.min(1_000), 1).await?;
    fill::pool(&store, "default", 10).await?;
    let ids = fill::allocations(&store, "default", &people, rows).await?;
    fill::nodes(&store, rows).await?;
    store.close().await;
    database.settle().await?;
    Ok((database, Arc::new(ids)))
}

async fn page_rows(
    bench: &Bench,
    engine: Engine,
    list: &str,
    servers: &[Server; 2],
    table: &mut Table,
    report: &mut Report,
) -> Result<()> {
    let request = client::get(&format!("{list}?limit=50"), &server::admin());
    let mut connections = [Connection::open(servers[0].address).await?, Connection::open(servers[1].address).await?];
    let mut micros = [Vec::new(), Vec::new()];
    let pages = bench.scaled(PAGES).max(40);
    // The first few prepare statements and fill caches.
    for turn in 0..pages + 20 {
        for (connection, micros) in connections.iter_mut().zip(&mut micros) {
            let sent = Instant::now();
            let answer = connection.send(&request).await?;
            let took = sent.elapsed();
            anyhow::ensure!(answer.status == 200, "{list} answers {}", answer.status);
            if turn >= 20 {
                micros.push(u64::try_from(took.as_micros())?);
            }
        }
    }
    let [small, large] = micros.map(|micros| Outcome::new(micros, Duration::ZERO));
    let (before, after) = (small.within(0.5), large.within(0.5));
    let name = format!("{}, {}", engine.name(), list.rsplit('/').next().unwrap_or(list));
    let ratio = after / before.max(1e-9);
    let soon = report.target(&format!("list page, {name}"), "≤ 3 ms", after <= 3.0);
    let level = report.target(&format!("list page, {name}: {ratio:.2}"), "≤ 1.3 of its time before", ratio <= 1.3);
    table.row([
        name,
        millis(before),
        millis(after),
        millis(large.within(0.99)),
        format!("{ratio:.2}"),
        format!("{soon}; {level}"),
    ]);
    Ok(())
}

async fn one_rows(
    bench: &Bench,
    engine: Engine,
    server: &Server,
    ids: &Arc<Vec<AllocationId>>,
    table: &mut Table,
) -> Result<()> {
    let (header, ids) = (server::admin(), Arc::clone(ids));
    let request = move |n: usize| {
        // Far apart, each once in a while: a step that shares no factor with the number of rows.
        let id = ids.get(n * 7_919 % ids.len().max(1)).map_or("", AllocationId::as_str);
        client::get(&format!("/api/v1/allocations/{id}"), &header)
    };
    let before = server.processor_time()?;
    let outcome = load::run(server.address, CLIENTS, bench.scaled(ASKED), 200, request).await?;
    let processor = server.processor_time()?.saturating_sub(before).as_secs_f64();
    table.row([
        engine.name().to_owned(),
        whole(outcome.rate()),
        millis(outcome.within(0.5)),
        millis(outcome.within(0.99)),
        millis(processor * 1_000.0 / outcome.count().max(1) as f64),
    ]);
    Ok(())
}
