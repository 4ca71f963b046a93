//! A door in front of an engine's socket: it lets every request through but the one it is told to
//! hold, each kind of request once. The rule: what is held was asked for in full, and either never
//! reaches the engine, or its answer never comes back, or it is carried out late.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// How a held request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The engine never heard of it.
    NeverSent,
    /// The engine did it, and nobody was told.
    AnswerLost,
    /// The engine does it when whoever asked is long dead.
    Late,
}

const ENDS: [End; 3] = [End::NeverSent, End::AnswerLost, End::Late];

/// The engine's lists are asked for again and again: these times they are worth a stop.
const LISTS: [u32; 11] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15];

/// For how long the engine is spoken to though whoever asked is dead.
const STAYS: Duration = Duration::from_secs(3);

#[derive(Default)]
struct Run {
    armed: bool,
    /// How often each kind of request came since it was armed.
    counts: BTreeMap<String, u32>,
    /// What was held in any run.
    seen: BTreeSet<String>,
    held: Option<(String, End)>,
    first: usize,
}

struct Inner {
    upstream: PathBuf,
    run: Mutex<Run>,
    /// What is held at this moment, once it is.
    hit: watch::Sender<Option<String>>,
    /// Counts up when what is held is let go: `Late` ones last.
    gone: watch::Sender<(u64, u64)>,
}

/// A door.
pub struct Gate {
    inner: Arc<Inner>,
    path: PathBuf,
    task: JoinHandle<()>,
}

impl Gate {
    /// A door at `path`; `first` says how the first held request ends, the others follow in turn.
    pub fn open(path: PathBuf, upstream: &Path, first: usize) -> Self {
        let listener = UnixListener::bind(&path).unwrap();
        let run = Run { first, ..Run::default() };
        let inner = Arc::new(Inner {
            upstream: upstream.to_owned(),
            run: Mutex::new(run),
            hit: watch::Sender::new(None),
            gone: watch::Sender::new((0, 0)),
        });
        let door = inner.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let inner = door.clone();
                // A broken connection is what this is for.
                tokio::spawn(async move { drop(carried(inner, stream).await) });
            }
        });
        Self { inner, path, task }
    }

    /// What the account's settings call the engine behind it.
    pub fn host(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    /// From here on the next request of a kind that was never held is held.
    pub fn arm(&self) {
        let mut run = self.inner.run.lock().unwrap();
        (run.armed, run.held) = (true, None);
        run.counts.clear();
        self.inner.hit.send_replace(None);
    }

    /// The same for requests that change something.
    pub fn arm_for_changes(&self) {
        self.arm();
        let lists = LISTS.map(|count| format!("hangar GET containers/json {count}"));
        self.inner.run.lock().unwrap().seen.extend(lists);
    }

    /// From here on everything goes through.
    pub fn calm(&self) {
        self.inner.run.lock().unwrap().armed = false;
    }

    /// Comes back once something is held: its kind.
    pub async fn hit(&self) -> String {
        self.inner.hit.subscribe().wait_for(Option::is_some).await.unwrap().clone().unwrap()
    }

    /// How what is held will end.
    pub fn end(&self) -> Option<End> {
        self.inner.run.lock().unwrap().held.as_ref().map(|(_, end)| *end)
    }

    /// What is held ends, but for what is carried out late.
    pub fn let_go(&self) {
        self.inner.gone.send_modify(|gone| gone.0 += 1);
    }

    /// Now that, too.
    pub fn let_late_go(&self) {
        self.inner.gone.send_modify(|gone| gone.1 += 1);
    }

    /// Everything that was held so far.
    pub fn seen(&self) -> BTreeSet<String> {
        self.inner.run.lock().unwrap().seen.clone()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Inner {
    /// Whether the request is the one to be held, and how it ends then.
    fn judged(&self, head: &str) -> Option<(String, End)> {
        let kind = kind(head)?;
        let mut run = self.run.lock().unwrap();
        if !run.armed || run.held.is_some() {
            return None;
        }
        let count = run.counts.entry(kind.clone()).or_default();
        *count += 1;
        let (count, key) = (*count, format!("{kind} {count}"));
        if kind.contains("GET containers/json") && !LISTS.contains(&count) || run.seen.contains(&key) {
            return None;
        }
        let end = ENDS[(run.first + run.seen.len()) % ENDS.len()];
        run.seen.insert(key.clone());
        run.held = Some((key.clone(), end));
        Some((key, end))
    }

    fn held(&self, key: String) {
        self.hit.send_replace(Some(key));
    }
}

/// What a request is, where it is worth a stop: by whom, the method, and the path without names.
fn kind(head: &str) -> Option<String> {
    let mut words = head.lines().next()?.split(' ');
    let (method, whole) = (words.next()?, words.next()?);
    let path = whole.split('?').next()?;
    // What looks at the whole account now and then is no part of a verb.
    let of_a_stack = whole.contains("compose.project%3D");
    let told = head.to_ascii_lowercase();
    let by_command = told.lines().any(|line| line.starts_with("user-agent:") && line.contains('/'));
    let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    if parts.first().is_some_and(|first| first.starts_with("v1.")) {
        parts.remove(0);
    }
    if parts.len() > 1 && (method == "DELETE" || parts.len() == 3) {
        parts[1] = "*";
    }
    let what = format!("{method} {}", parts.join("/"));
    let worth = match method {
        "POST" => parts[0] != "auth",
        "DELETE" => true,
        _ => what == "GET containers/*/archive" || (what == "GET containers/json" && !by_command && of_a_stack),
    };
    worth.then(|| format!("{} {what}", if by_command { "compose" } else { "hangar" }))
}

/// Reads one request; its head as text and all of its bytes.
async fn request(from: &mut OwnedReadHalf, kept: &mut Vec<u8>) -> io::Result<Option<(String, Vec<u8>)>> {
    let end = loop {
        if let Some(at) = kept.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if from.read_buf(kept).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&kept[..end]).into_owned();
    let lower = head.to_ascii_lowercase();
    let of = |name: &str| lower.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let whole = match of("content-length:") {
        Some(length) => Some(end + length.parse::<usize>().unwrap()),
        None if of("transfer-encoding:") == Some("chunked") => None,
        None => Some(end),
    };
    loop {
        let enough = match whole {
            Some(whole) => (kept.len() >= whole).then_some(whole),
            None => kept[end..].windows(5).position(|five| five == b"0\r\n\r\n").map(|at| end + at + 5),
        };
        if let Some(whole) = enough {
            let rest = kept.split_off(whole);
            return Ok(Some((head, std::mem::replace(kept, rest))));
        }
        if from.read_buf(kept).await? == 0 {
            return Ok(None);
        }
    }
}

async fn carried(inner: Arc<Inner>, client: UnixStream) -> io::Result<()> {
    let engine = UnixStream::connect(&inner.upstream).await?;
    let (mut from, to_client) = client.into_split();
    let (from_engine, mut to_engine) = engine.into_split();
    let lost = watch::Sender::new(None::<String>);
    let answers = tokio::spawn(answered(inner.clone(), from_engine, to_client, lost.subscribe()));
    let (mut kept, mut is_late) = (Vec::new(), false);
    while let Some((head, bytes)) = request(&mut from, &mut kept).await? {
        match inner.judged(&head) {
            None => {}
            Some((key, End::AnswerLost)) => {
                lost.send_replace(Some(key));
            }
            Some((key, end)) => {
                let mut gone = inner.gone.subscribe();
                gone.mark_unchanged();
                let before = *gone.borrow();
                inner.held(key);
                let over = |now: &(u64, u64)| if end == End::Late { now.1 > before.1 } else { now.0 > before.0 };
                gone.wait_for(over).await.map_err(io::Error::other)?;
                if end == End::NeverSent {
                    break;
                }
                is_late = true;
            }
        }
        if to_engine.write_all(&bytes).await.is_err() {
            break;
        }
    }
    if is_late {
        // Whoever asked is dead, which must not keep the engine from doing it.
        tokio::time::sleep(STAYS).await;
    }
    let _ = to_engine.shutdown().await;
    let _ = answers.await;
    Ok(())
}

/// What the engine says goes back, unless it is to be lost.
async fn answered(
    inner: Arc<Inner>,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    lost: watch::Receiver<Option<String>>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        let key = lost.borrow().clone();
        if let Some(key) = key {
            let before = inner.gone.borrow().0;
            inner.held(key);
            let mut gone = inner.gone.subscribe();
            gone.wait_for(|now| now.0 > before).await.map_err(io::Error::other)?;
            return Ok(());
        }
        // Whoever asked may be dead; what was asked for is carried out all the same.
        let _ = to.write_all(&buffer[..read]).await;
    }
}
