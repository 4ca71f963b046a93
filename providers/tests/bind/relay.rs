//! A relay before a name server, at which requests meet their trouble. Rule: what meets none is passed
//! on as it is, in both directions.
#![expect(dead_code, reason = "no test uses everything")]

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::watch,
    task::JoinHandle,
};

/// What a request may meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayEffect {
    /// It is carried out, and the connection breaks.
    AnswerLost,
    /// It is carried out, and its answer cannot be read.
    Unreadable,
    /// The connection breaks before it is carried out.
    Broken,
    /// The server fails.
    ServerError,
    /// The server refuses.
    Refused,
    /// No answer comes now; it is carried out this much later.
    Late(Duration),
    /// No answer ever comes.
    Hang {
        /// Whether it is carried out before.
        after_effect: bool,
    },
}

/// Which requests count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayCall {
    /// Every one that comes over a stream.
    Any,
    /// Updates alone.
    Update,
}

impl RelayCall {
    fn covers(self, request: &[u8]) -> bool {
        // RFC 1035, 4.1.1 and RFC 2136, 2.2: four bits of the third byte.
        self == Self::Any || request.get(2).is_some_and(|it| it >> 3 & 0xf == 5)
    }
}

/// What is to go wrong next, and what is still on its way.
#[derive(Debug)]
struct Plan {
    next: Mutex<Option<(RelayCall, u32, RelayEffect)>>,
    met: watch::Sender<bool>,
    /// How many requests are to be carried out later.
    late: watch::Sender<u32>,
}

/// Passes messages on to the server and answers back.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    plan: Arc<Plan>,
    tasks: [JoinHandle<()>; 2],
}

impl Relay {
    /// A relay before the server at this address.
    pub async fn start(server: SocketAddr) -> Self {
        let (listener, socket) = loop {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            if let Ok(socket) = UdpSocket::bind(listener.local_addr().unwrap()).await {
                break (listener, socket);
            }
        };
        let address = listener.local_addr().unwrap();
        let plan =
            Arc::new(Plan { next: Mutex::default(), met: watch::Sender::new(false), late: watch::Sender::new(0) });
        let streams = tokio::spawn({
            let plan = plan.clone();
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(relay(stream, server, plan.clone()));
                }
            }
        });
        let datagrams = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let to = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                to.send_to(&buffer[..length], server).await.unwrap();
                let length = to.recv(&mut buffer).await.unwrap();
                socket.send_to(&buffer[..length], from).await.unwrap();
            }
        });
        Self { address, plan, tasks: [streams, datagrams] }
    }

    /// What an account's settings call the server.
    pub fn server(&self) -> String {
        self.address.to_string()
    }

    /// The `nth` request of these from now on, and no other, meets this.
    pub fn trouble(&self, on: RelayCall, nth: u32, effect: RelayEffect) {
        self.plan.met.send_replace(false);
        *self.plan.next.lock().unwrap() = Some((on, nth, effect));
    }

    /// No trouble that has not come yet comes any more.
    pub fn calm(&self) {
        *self.plan.next.lock().unwrap() = None;
    }

    /// Waits until the last trouble was met.
    pub async fn met(&self) {
        self.plan.met.subscribe().wait_for(|met| *met).await.unwrap();
    }

    /// Waits until whatever is late is carried out.
    pub async fn settled(&self) {
        self.plan.late.subscribe().wait_for(|late| *late == 0).await.unwrap();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Plan {
    /// What this request meets.
    fn meets(&self, request: &[u8]) -> Option<RelayEffect> {
        let mut next = self.next.lock().unwrap();
        let (on, nth, effect) = (*next)?;
        if !on.covers(request) {
            return None;
        }
        if nth > 1 {
            *next = Some((on, nth - 1, effect));
            return None;
        }
        *next = None;
        Some(effect)
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

/// The header of the request made into an answer with this code and nothing in it.
fn bare(request: &[u8], code: u8) -> Vec<u8> {
    let mut header = request[..12].to_vec();
    header[2] |= 0x80;
    header[3] = code;
    header[4..].fill(0);
    header
}

async fn relay(mut client: TcpStream, server: SocketAddr, plan: Arc<Plan>) {
    let mut upstream = TcpStream::connect(server).await.unwrap();
    while let Some(request) = message(&mut client).await {
        let effect = plan.meets(&request);
        if let Some(RelayEffect::AnswerLost | RelayEffect::Unreadable | RelayEffect::Hang { after_effect: true }) =
            effect
        {
            send(&mut upstream, &request).await;
            message(&mut upstream).await;
        }
        if effect.is_some() {
            plan.met.send_replace(true);
        }
        match effect {
            Some(RelayEffect::Broken | RelayEffect::AnswerLost) => return,
            Some(RelayEffect::Unreadable) => {
                send(&mut client, b"not a DNS message").await;
                continue;
            }
            Some(RelayEffect::ServerError) => {
                send(&mut client, &bare(&request, 2)).await;
                continue;
            }
            Some(RelayEffect::Refused) => {
                send(&mut client, &bare(&request, 5)).await;
                continue;
            }
            Some(RelayEffect::Hang { .. }) => {
                // Until who asked hangs up.
                drop(client.read_to_end(&mut Vec::new()).await);
                return;
            }
            Some(RelayEffect::Late(after)) => {
                plan.late.send_modify(|late| *late += 1);
                drop(client);
                tokio::time::sleep(after).await;
                send(&mut upstream, &request).await;
                message(&mut upstream).await;
                plan.late.send_modify(|late| *late -= 1);
                return;
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
