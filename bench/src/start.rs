//! The time until a server is ready. The rule: on a database that exists and was left in order.

use anyhow::Result;

use crate::{
    Bench,
    engine::Database,
    report::{Report, Table, millis},
    server::Server,
};

/// How often it is started.
pub const TIMES: usize = 7;

/// Starts servers on `database`, one after another.
pub async fn rows(bench: &Bench, database: &Database, table: &mut Table, report: &mut Report) -> Result<()> {
    let mut times = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let mut server = Server::start(bench, database).await?;
        times.push(server.started_in.as_secs_f64() * 1_000.0);
        server.stop().await?;
    }
    let first = times.first().copied().unwrap_or_default();
    times.sort_by(f64::total_cmp);
    let middle = times.get(TIMES / 2).copied().unwrap_or_default();
    let longest = times.last().copied().unwrap_or_default();
    let name = database.engine.name().to_owned();
    let target = report.target(&format!("start, {name}"), "≤ 200 ms", middle <= 200.0);
    table.row([name, millis(first), millis(middle), millis(longest), target]);
    Ok(())
}
