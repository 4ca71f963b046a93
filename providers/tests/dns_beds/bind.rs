//! BIND 9 by dynamic updates. One server for all tests, a zone for each bed, and before it a relay
//! at which requests meet their trouble.

use std::{
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use providers::{Account, AccountAccess, AccountSecret, Registry, Timeouts, async_trait};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::watch,
    task::JoinHandle,
};

use super::{DnsBed, Foreign, Trouble};
use crate::{
    bind::{Bind, HANGAR},
    common::timeouts,
};

/// As many beds as all tests together can want.
const ZONES: usize = 800;
/// After this, a late request is carried out.
const LATE: Duration = Duration::from_millis(150);

/// For an answer: all beds together are a crowd for one small server.
const LONG: Duration = Duration::from_secs(20);

/// The server and its zones. It ends with the process: a guard sees the end of its input.
static SERVER: LazyLock<Option<(Bind, Mutex<Vec<String>>)>> = LazyLock::new(|| {
    let zones: Vec<String> = (0..ZONES).map(zone_name).collect();
    Some((Bind::start(&zones)?, Mutex::new(zones)))
});
static NEXT: AtomicUsize = AtomicUsize::new(0);

fn zone_name(n: usize) -> String {
    format!("z{n}.test")
}

fn server() -> &'static Bind {
    &SERVER.as_ref().unwrap().0
}

/// A zone and its relay.
pub struct BindBed {
    zone: String,
    relay: Relay,
}

#[async_trait]
impl DnsBed for BindBed {
    fn is_here() -> bool {
        SERVER.is_some()
    }

    async fn start() -> Self {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(n < ZONES, "more zones are needed");
        Self { zone: zone_name(n), relay: Relay::start().await }
    }

    fn zone(&self) -> String {
        self.zone.clone()
    }

    fn account(&self, instance: &str) -> Arc<dyn Account> {
        let settings = json!({
            "server": self.relay.address, "zone": self.zone, "key_name": HANGAR.name, "algorithm": HANGAR.algorithm,
        });
        let access = AccountAccess {
            settings,
            secret: AccountSecret::new(json!({"key": HANGAR.secret})),
            instance: instance.to_owned(),
            timeouts: Timeouts { connect: LONG, read: LONG, write: LONG, ..timeouts() },
        };
        Registry::standard().get("rfc2136").unwrap().open(access).unwrap()
    }

    async fn put(&self, records: &[Foreign]) {
        let line = |it: &Foreign| {
            let content = match it.kind.as_str() {
                "CNAME" => format!("{}.", it.content),
                "TXT" => format!("\"{}\"", it.content),
                _ => it.content.clone(),
            };
            format!("update add {}. 3600 {} {content}", it.fqdn, it.kind.as_str())
        };
        server().update(&self.zone, &records.iter().map(line).collect::<Vec<_>>()).await;
    }

    async fn change(&self, fqdn: &str, kind: providers::RecordType, content: &str) {
        let lines = [
            format!("update delete {fqdn}. {}", kind.as_str()),
            format!("update add {fqdn}. 300 {} {content}", kind.as_str()),
        ];
        server().update(&self.zone, &lines).await;
    }

    async fn unmark(&self, fqdn: &str) {
        server().update(&self.zone, &[format!("update delete _hangar.{fqdn}. TXT")]).await;
    }

    async fn remove(&self, fqdn: &str, kind: providers::RecordType) {
        server().update(&self.zone, &[format!("update delete {fqdn}. {}", kind.as_str())]).await;
    }

    async fn remove_zone(&self) {
        let (bind, zones) = SERVER.as_ref().unwrap();
        {
            let mut zones = zones.lock().unwrap();
            zones.retain(|it| *it != self.zone);
            bind.reload(&zones);
        }
        while !bind.dig(&[&self.zone, "SOA"]).await.contains("REFUSED") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn records(&self) -> Vec<String> {
        let (own, ns) = (format!("{}. ", self.zone), format!("ns1.{}. ", self.zone));
        let mut all = server().records(&self.zone).await;
        all.retain(|line| !(line.starts_with(&ns) || line.starts_with(&own) && line.contains(" IN NS ")));
        all
    }

    async fn room(&self, _records: usize) -> bool {
        false
    }

    async fn trouble(&self, nth: u32, trouble: Trouble) -> bool {
        *self.relay.plan.lock().unwrap() = Some((nth, trouble));
        trouble != Trouble::RateLimited
    }

    async fn calm(&self) {
        *self.relay.plan.lock().unwrap() = None;
    }

    async fn settled(&self) {
        let mut late = self.relay.late.subscribe();
        late.wait_for(|late| *late == 0).await.unwrap();
    }
}

type Plan = Arc<Mutex<Option<(u32, Trouble)>>>;

/// Passes messages on to the server and answers back.
struct Relay {
    address: String,
    plan: Plan,
    /// How many requests are to be carried out later.
    late: watch::Sender<u32>,
    tasks: [JoinHandle<()>; 2],
}

impl Relay {
    async fn start() -> Self {
        let (listener, socket) = loop {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            if let Ok(socket) = UdpSocket::bind(listener.local_addr().unwrap()).await {
                break (listener, socket);
            }
        };
        let address = listener.local_addr().unwrap().to_string();
        let plan = Plan::default();
        let late = watch::Sender::new(0);
        let streams = tokio::spawn({
            let (plan, late) = (plan.clone(), late.clone());
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(relay(stream, plan.clone(), late.clone()));
                }
            }
        });
        let datagrams = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let to = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                to.send_to(&buffer[..length], server().address).await.unwrap();
                let length = to.recv(&mut buffer).await.unwrap();
                socket.send_to(&buffer[..length], from).await.unwrap();
            }
        });
        Self { address, plan, late, tasks: [streams, datagrams] }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::from(stream.read_u16().await.ok()?)];
    stream.read_exact(&mut bytes).await.ok()?;
    Some(bytes)
}

async fn send(stream: &mut TcpStream, message: &[u8]) {
    let length = u16::try_from(message.len()).unwrap().to_be_bytes();
    drop(stream.write_all(&[&length[..], message].concat()).await);
}

/// What this request meets.
fn met(plan: &Plan) -> Option<Trouble> {
    let mut plan = plan.lock().unwrap();
    let (nth, trouble) = plan.take()?;
    if nth > 1 {
        *plan = Some((nth - 1, trouble));
        return None;
    }
    Some(trouble)
}

/// The header of the request made into an answer with this code and nothing in it.
fn bare(request: &[u8], code: u8) -> Vec<u8> {
    let mut header = request[..12].to_vec();
    header[2] |= 0x80;
    header[3] = code;
    header[4..].fill(0);
    header
}

async fn relay(mut client: TcpStream, plan: Plan, late: watch::Sender<u32>) {
    let mut upstream = TcpStream::connect(server().address).await.unwrap();
    while let Some(request) = message(&mut client).await {
        match met(&plan) {
            Some(Trouble::Broken) => return,
            Some(Trouble::ServerError | Trouble::RateLimited) => {
                send(&mut client, &bare(&request, 2)).await;
                continue;
            }
            Some(Trouble::Refused) => {
                send(&mut client, &bare(&request, 5)).await;
                continue;
            }
            Some(Trouble::Late) => {
                late.send_modify(|late| *late += 1);
                drop(client);
                tokio::time::sleep(LATE).await;
                send(&mut upstream, &request).await;
                message(&mut upstream).await;
                late.send_modify(|late| *late -= 1);
                return;
            }
            Some(Trouble::AnswerLost) => {
                send(&mut upstream, &request).await;
                message(&mut upstream).await;
                return;
            }
            Some(Trouble::Unreadable) => {
                send(&mut upstream, &request).await;
                message(&mut upstream).await;
                send(&mut client, b"not a DNS message").await;
                continue;
            }
            None => {}
        }
        // A zone transfer is more than one message: what comes is passed on until the next request.
        send(&mut upstream, &request).await;
        let mut more = [0];
        loop {
            tokio::select! {
                answer = message(&mut upstream) => match answer {
                    Some(answer) => send(&mut client, &answer).await,
                    None => return,
                },
                more = client.peek(&mut more) => {
                    drop(more);
                    break;
                }
            }
        }
    }
}
