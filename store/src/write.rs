//! Group commit: one task per store takes every queued operation, runs them in one transaction and
//! commits once. The rule: whatever happens to one operation, no other one notices.
//!
//! ```text
//! queue → up to 128 → BEGIN → run each → write pending → COMMIT → answer each
//!                        └─ any failure → ROLLBACK → each again, alone, in order
//! ```

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{Conn, StoreError, db::Db};

/// Operations in one transaction at most.
const BATCH: usize = 128;
/// How often an operation that stood in another process's way is tried.
const TRIES: u32 = 3;
/// The PostgreSQL channel on which processes tell each other of commits.
pub(crate) const CHANNEL: &str = "hangar";

/// How an operation's function ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Ok,
    Err,
    Panicked,
}

/// An operation with its types erased.
trait Operation: Send {
    /// Runs it and keeps its answer; what it answered before is forgotten.
    fn run<'a>(&'a mut self, conn: &'a mut Conn) -> BoxFuture<'a, Ended>;
    /// Forgets its answer, which did not come true.
    fn forget(&mut self);
    /// Sends its answer, or `error` if it has none. A caller that went away is no matter.
    fn answer(self: Box<Self>, error: StoreError);
    /// Sends `error` whatever it answered.
    fn fail(self: Box<Self>, error: StoreError);
}

struct Op<T, E, F> {
    function: F,
    outcome: Option<Result<T, E>>,
    caller: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Operation for Op<T, E, F>
where
    F: for<'a> Fn(&'a mut Conn) -> BoxFuture<'a, Result<T, E>> + Send + Sync,
    T: Send,
    E: From<StoreError> + Send,
{
    fn run<'a>(&'a mut self, conn: &'a mut Conn) -> BoxFuture<'a, Ended> {
        Box::pin(async move {
            self.outcome = None;
            let function = &self.function;
            // The call itself may panic too, before there is a future.
            let outcome = AssertUnwindSafe(async move { function(conn).await }).catch_unwind().await;
            match outcome {
                Ok(outcome) => {
                    let ended = if outcome.is_ok() { Ended::Ok } else { Ended::Err };
                    self.outcome = Some(outcome);
                    ended
                }
                Err(_) => Ended::Panicked,
            }
        })
    }

    fn forget(&mut self) {
        self.outcome = None;
    }

    fn answer(self: Box<Self>, error: StoreError) {
        let outcome = self.outcome.unwrap_or_else(|| Err(error.into()));
        let _ = self.caller.send(outcome);
    }

    fn fail(self: Box<Self>, error: StoreError) {
        let _ = self.caller.send(Err(error.into()));
    }
}

enum Message {
    Run(Box<dyn Operation>),
    Close,
}

/// The way to the writer.
pub(crate) struct Queue {
    to_writer: mpsc::UnboundedSender<Message>,
    /// Held by the writer; closed once it has ended.
    ended: mpsc::Sender<()>,
}

impl Queue {
    pub async fn put<T, E, F>(&self, function: F) -> Result<T, E>
    where
        F: for<'a> Fn(&'a mut Conn) -> BoxFuture<'a, Result<T, E>> + Send + Sync + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let operation = Op { function, outcome: None, caller };
        if self.to_writer.send(Message::Run(Box::new(operation))).is_err() {
            return Err(StoreError::Closed.into());
        }
        match answer.await {
            Ok(outcome) => outcome,
            Err(_) => Err(StoreError::Closed.into()),
        }
    }

    pub async fn close(&self) {
        let _ = self.to_writer.send(Message::Close);
        self.ended.closed().await;
    }
}

/// Starts the writer.
pub(crate) fn start(db: Db, wakeups: Arc<watch::Sender<u64>>) -> Queue {
    let (to_writer, mut queue) = mpsc::unbounded_channel();
    let (ended, alive) = mpsc::channel(1);
    let mut writer = Writer { db, conn: None, wakeups };
    tokio::spawn(async move {
        let _alive = alive;
        let mut messages = Vec::with_capacity(BATCH);
        let mut open = true;
        while open && queue.recv_many(&mut messages, BATCH).await > 0 {
            let mut operations = Vec::with_capacity(messages.len());
            for message in messages.drain(..) {
                match message {
                    Message::Run(operation) if open => operations.push(operation),
                    Message::Run(operation) => operation.fail(StoreError::Closed),
                    Message::Close => {
                        open = false;
                        queue.close();
                    }
                }
            }
            writer.batch(operations).await;
        }
    });
    Queue { to_writer, ended }
}

/// Why operations were not carried out together.
enum Trouble {
    /// Nothing was kept, since one failed; it may go differently when they are run alone.
    RolledBack(StoreError),
    /// Nothing can be run now, or nobody knows what became of it.
    Lost(StoreError),
}

struct Writer {
    db: Db,
    conn: Option<Conn>,
    wakeups: Arc<watch::Sender<u64>>,
}

impl Writer {
    async fn batch(&mut self, mut operations: Vec<Box<dyn Operation>>) {
        if operations.len() > 1 {
            match self.attempt(&mut operations).await {
                Ok(()) => {
                    for operation in operations {
                        operation.answer(StoreError::Aborted);
                    }
                    return;
                }
                Err(Trouble::Lost(error)) => {
                    for operation in operations {
                        operation.fail(error.clone());
                    }
                    return;
                }
                Err(Trouble::RolledBack(error)) => {
                    tracing::debug!(%error, operations = operations.len(), "operations are run again one by one");
                }
            }
        }
        for operation in operations {
            self.alone(operation).await;
        }
    }

    async fn alone(&mut self, operation: Box<dyn Operation>) {
        let mut one = vec![operation];
        let mut tries = 0;
        let ended = loop {
            tries += 1;
            match self.attempt(&mut one).await {
                Err(Trouble::RolledBack(error)) if error.is_retryable() && tries < TRIES => {
                    tokio::time::sleep(Duration::from_millis(u64::from(tries) * 5)).await;
                }
                ended => break ended,
            }
        };
        for operation in one {
            match &ended {
                Ok(()) => operation.answer(StoreError::Aborted),
                // Its own error says more; without one, what went wrong around it.
                Err(Trouble::RolledBack(error)) => operation.answer(error.clone()),
                Err(Trouble::Lost(error)) => operation.fail(error.clone()),
            }
        }
    }

    /// Runs `operations` in one transaction.
    async fn attempt(&mut self, operations: &mut [Box<dyn Operation>]) -> Result<(), Trouble> {
        let mut conn = self.begun().await.map_err(Trouble::Lost)?;
        let mut changed = false;
        let mut trouble = None;
        for operation in operations.iter_mut() {
            conn.progress = Default::default();
            let pending_before = conn.pending.len();
            let ended = operation.run(&mut conn).await;
            let has_changed = conn.progress.changed || conn.pending.len() != pending_before;
            let failed = conn.progress.failed.take();
            trouble = match (ended, failed) {
                (Ended::Panicked, _) => Some((StoreError::Panicked, Forget::Answer)),
                (Ended::Ok, Some(_)) => Some((StoreError::Aborted, Forget::Answer)),
                (Ended::Err, Some(error)) => Some((error, Forget::Nothing)),
                (Ended::Err, None) if has_changed => Some((StoreError::Aborted, Forget::Nothing)),
                (Ended::Err, None) | (Ended::Ok, None) => None,
            };
            if trouble.is_some() {
                break;
            }
            changed |= has_changed;
        }
        if trouble.is_none() && changed {
            trouble = conn.pending_write().await.err().map(|error| (error, Forget::Answer));
        }
        let Some((error, forget)) = trouble else {
            return self.committed(conn, changed, operations).await;
        };
        self.undone(conn, &error).await;
        if forget == Forget::Answer {
            forget_answers(operations);
        }
        Err(Trouble::RolledBack(error))
    }

    /// A connection with a transaction begun. A connection that was lost while idle is replaced.
    async fn begun(&mut self) -> Result<Conn, StoreError> {
        if let Some(mut conn) = self.conn.take() {
            match conn.begin().await {
                Ok(()) => return Ok(conn),
                Err(error) => {
                    tracing::debug!(%error, "the connection for writing is replaced");
                    conn.discard();
                }
            }
        }
        let mut conn = self.db.writer().await?;
        match conn.begin().await {
            Ok(()) => Ok(conn),
            Err(error) => {
                conn.discard();
                Err(error)
            }
        }
    }

    async fn committed(
        &mut self,
        mut conn: Conn,
        changed: bool,
        operations: &mut [Box<dyn Operation>],
    ) -> Result<(), Trouble> {
        match conn.commit().await {
            Ok(()) => {
                self.conn = Some(conn);
                if changed {
                    self.wakeups.send_modify(|n| *n = n.wrapping_add(1));
                }
                Ok(())
            }
            Err(error @ StoreError::OutcomeUnknown(_)) => {
                conn.discard();
                Err(Trouble::Lost(error))
            }
            Err(error) => {
                self.undone(conn, &error).await;
                forget_answers(operations);
                Err(Trouble::RolledBack(error))
            }
        }
    }

    async fn undone(&mut self, mut conn: Conn, error: &StoreError) {
        if conn.rollback().await && !error.is_lost() {
            self.conn = Some(conn);
        } else {
            conn.discard();
        }
    }
}

/// Whether an operation's answer holds although its transaction was rolled back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Forget {
    /// It answered its own error, which is what its caller is to hear.
    Nothing,
    /// It answered something that did not come true.
    Answer,
}

fn forget_answers(operations: &mut [Box<dyn Operation>]) {
    for operation in operations {
        operation.forget();
    }
}
