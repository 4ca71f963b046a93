//! The shipped binary as a process. The rule: whatever happens here, it is ended.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    Bench, SECRET,
    client::{self, Connection},
    engine::Database,
    report::{Report, Table},
};

/// How long a start or an end may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Ticks of `/proc/…/stat` in a second, on every Linux that people run.
const TICKS: f64 = 100.0;

/// A running server.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// From the start of the process to the first 200 of `/readyz`.
    pub started_in: Duration,
}

impl Server {
    /// Starts one on `database` and waits until it is ready.
    pub async fn start(bench: &Bench, database: &Database) -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let folder = database.folder.path();
        let log = fs::File::create(folder.join("bench.log"))?;
        let mut command = Command::new(&bench.binary);
        command
            .env_clear()
            .env("HANGAR_LISTEN", address.to_string())
            .env("HANGAR_DATA_DIR", folder)
            .env("HANGAR_DATABASE_URL", database.url())
            .env("HANGAR_ADMIN_SECRET_HASH", &bench.secret_hash)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let began = Instant::now();
        let child = command.spawn().with_context(|| format!("{} does not start", bench.binary.display()))?;
        let mut server = Self { child, address, started_in: Duration::ZERO };
        let ready = client::get("/readyz", "accept: */*");
        loop {
            if let Ok(mut connection) = Connection::open(address).await
                && connection.send(&ready).await.is_ok_and(|answer| answer.status == 200)
            {
                break;
            }
            if server.child.try_wait()?.is_some() || began.elapsed() > PATIENCE {
                let log = fs::read_to_string(folder.join("bench.log")).unwrap_or_default();
                bail!("the server is not ready:\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.started_in = began.elapsed();
        Ok(server)
    }

    /// Signs in once, so that the slow hash is not part of what is measured.
    pub async fn warm(&self) -> Result<()> {
        let mut connection = Connection::open(self.address).await?;
        let answer = connection.send(&client::get("/api/v1/me", &admin())).await?;
        anyhow::ensure!(answer.status == 200, "the secret is refused: {}", answer.status);
        Ok(())
    }

    /// What it holds in memory, in kilobytes: now, and the most there was.
    pub fn memory(&self) -> Result<(u64, u64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name))?;
            value.trim().strip_suffix(" kB")?.trim().parse().ok()
        };
        Ok((line("VmRSS:").context("no VmRSS")?, line("VmHWM:").context("no VmHWM")?))
    }

    /// The time it has had on the processors.
    pub fn processor_time(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name, in brackets, may hold anything.
        let fields = stat.rsplit_once(')').context("no name in stat")?.1;
        let ticks: f64 = fields.split_whitespace().skip(11).take(2).filter_map(|f| f.parse::<f64>().ok()).sum();
        Ok(Duration::from_secs_f64(ticks / TICKS))
    }

    /// Ends it as an operator would; what it holds is noted under `name`.
    pub async fn end(mut self, name: &str, report: &mut Report) -> Result<()> {
        let (now, most) = self.memory()?;
        report.memory.push((name.to_owned(), now, most));
        self.stop().await
    }

    /// Ends it.
    pub async fn stop(&mut self) -> Result<()> {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        anyhow::ensure!(told.success(), "the server cannot be told to end");
        let began = Instant::now();
        while self.child.try_wait()?.is_none() {
            anyhow::ensure!(began.elapsed() < PATIENCE, "the server does not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing is left to do if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The header with the admin secret.
pub fn admin() -> String {
    format!("x-admin-secret: {SECRET}")
}

/// Prints what the servers held at their end.
pub fn memory(report: &mut Report) {
    let mut table = Table::new("Memory of the server after its load (VmRSS)", &["", "at the end", "at most", "target"]);
    for (name, now, most) in std::mem::take(&mut report.memory) {
        let megabytes = |kilobytes: u64| format!("{:.1} MB", kilobytes as f64 * 1_024.0 / 1e6);
        let target = report.target(&format!("memory, {name}"), "≤ 50 MB", now * 1_024 <= 50_000_000);
        table.row([name, megabytes(now), megabytes(most), target]);
    }
    table.print();
}
