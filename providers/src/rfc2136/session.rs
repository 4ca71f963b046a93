//! One connection to the name server and the exchanges over it, each signed and each answer
//! verified. Rule: an answer is believed only when its signature fits, its id too, and the key is
//! in no message, error or log.

use std::{
    fmt, io,
    net::SocketAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures::future::select_ok;
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode, UpdateMessage as _},
    rr::{Name, Record, RecordType as WireType, TSigVerifier, TSigner},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, lookup_host},
    time::{sleep, timeout},
};

use super::{
    Settings,
    errors::{Intent, bad_signature, refusal, unproven, unreachable, unreadable, unsigned},
};
use crate::{
    adapter::Timeouts,
    dns_unseen::Unseen,
    error::{Effect, ProviderError},
};

/// Between the tries of two addresses (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// Seconds since 1970, which signatures are about.
type Clock = fn() -> u64;

/// The name server, and what is needed to talk to it.
pub(super) struct Server {
    settings: Settings,
    signer: TSigner,
    clock: Clock,
    pub(super) timeouts: Timeouts,
    /// For how long the server has not had the zone.
    pub(super) unseen: Unseen,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// One UPDATE: what must hold, and what is done then, all or nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Update {
    pub(super) prerequisites: Vec<Record>,
    pub(super) changes: Vec<Record>,
}

/// How an UPDATE ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Updated {
    Done,
    /// Something that had to hold does not; nothing was changed.
    Otherwise,
}

impl Server {
    pub(super) fn new(settings: Settings, signer: TSigner, timeouts: Timeouts) -> Self {
        Self { settings, signer, clock: now, timeouts, unseen: Unseen::default() }
    }

    /// The same with another clock.
    #[cfg(test)]
    pub(super) fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The zone's name, for people and in our records.
    pub(super) fn zone(&self) -> &str {
        &self.settings.zone
    }

    /// The zone's name in the protocol.
    pub(super) fn origin(&self) -> &Name {
        &self.settings.origin
    }

    pub(super) fn key_name(&self) -> String {
        self.settings.key_name.to_ascii().trim_end_matches('.').to_owned()
    }

    pub(super) fn algorithm(&self) -> &'static str {
        self.settings.algorithm
    }

    /// Connects, to whichever of its addresses answers first.
    pub(super) async fn open(&self) -> Result<Session<'_>, ProviderError> {
        let Settings { host, port, .. } = &self.settings;
        let connecting = async { connect(lookup_host((host.as_str(), *port)).await?).await };
        let stream =
            in_time(self.timeouts.connect, connecting).await.map_err(|source| unreachable(source, Effect::None))?;
        // Each question is one small write that an answer is waited for.
        stream.set_nodelay(true).map_err(|source| unreachable(source, Effect::None))?;
        Ok(Session { server: self, stream })
    }
}

/// Connects to each address, a moment after the one before, and takes what stands first: an address
/// that nobody answers at keeps no other from being tried (RFC 8305).
async fn connect(addresses: impl Iterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    let mut wait = Duration::ZERO;
    let tries: Vec<_> = addresses
        .map(|address| {
            let before = wait;
            wait += STAGGER;
            Box::pin(async move {
                sleep(before).await;
                TcpStream::connect(address).await
            })
        })
        .collect();
    if tries.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    select_ok(tries).await.map(|(stream, _)| stream)
}

/// A connection.
#[derive(Debug)]
pub(super) struct Session<'a> {
    pub(super) server: &'a Server,
    stream: TcpStream,
}

impl Session<'_> {
    /// Where the server was reached.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.stream.peer_addr().ok()
    }

    /// What the server answers to one question; `NXDOMAIN` is an answer.
    ///
    /// # Errors
    /// `DNS_ZONE_NOT_FOUND`, `PROVIDER_*`
    pub(super) async fn query(&mut self, name: &Name, kind: WireType) -> Result<Message, ProviderError> {
        let answer = self.exchange(question(name, kind), Intent::Read).await?;
        match answer.metadata.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => Ok(answer),
            ResponseCode::Refused => Err(self.refused().await),
            code => Err(refusal(self.server, code, Intent::Read)),
        }
    }

    /// A server refuses questions about zones that it does not have; whether that is why, an UPDATE
    /// that does nothing tells.
    async fn refused(&mut self) -> ProviderError {
        let refused = |code| refusal(self.server, code, Intent::Read);
        match self.exchange(self.message(&Update::default()), Intent::Read).await {
            Ok(answer) if answer.metadata.response_code == ResponseCode::NotAuth => refused(ResponseCode::NotAuth),
            _ => refused(ResponseCode::Refused),
        }
    }

    /// Sends one UPDATE.
    ///
    /// # Errors
    /// `DNS_ZONE_NOT_FOUND`, `PROVIDER_*`
    pub(super) async fn update(&mut self, update: &Update) -> Result<Updated, ProviderError> {
        let intent = if update.changes.is_empty() { Intent::Read } else { Intent::Write };
        let answer = self.exchange(self.message(update), intent).await?;
        match answer.metadata.response_code {
            ResponseCode::NoError => Ok(Updated::Done),
            ResponseCode::YXDomain | ResponseCode::YXRRSet | ResponseCode::NXDomain | ResponseCode::NXRRSet => {
                Ok(Updated::Otherwise)
            }
            code => Err(refusal(self.server, code, Intent::Write)),
        }
    }

    /// Begins a zone transfer; further messages come by [`Transfer::next`].
    pub(super) async fn transfer(&mut self) -> Result<Transfer<'_>, ProviderError> {
        let origin = self.server.origin();
        let asked = question(origin, WireType::AXFR);
        let id = asked.metadata.id;
        let verifier = self.send(asked, Intent::Read).await?;
        Ok(Transfer { server: self.server, stream: &mut self.stream, verifier, id })
    }

    fn message(&self, update: &Update) -> Message {
        let mut message = Message::query();
        message.metadata.op_code = OpCode::Update;
        message.metadata.recursion_desired = false;
        message.add_zone(Query::query(self.server.origin().clone(), WireType::SOA));
        message.add_pre_requisites(update.prerequisites.iter().cloned());
        message.add_updates(update.changes.iter().cloned());
        message
    }

    async fn exchange(&mut self, message: Message, intent: Intent) -> Result<Message, ProviderError> {
        let id = message.metadata.id;
        let mut verifier = self.send(message, intent).await?;
        let limit = if intent == Intent::Write { self.server.timeouts.write } else { self.server.timeouts.read };
        receive(&mut self.stream, self.server, &mut verifier, id, intent, limit).await
    }

    async fn send(&mut self, mut message: Message, intent: Intent) -> Result<TSigVerifier, ProviderError> {
        let unsendable = |source: hickory_proto::ProtoError| {
            super::wire::invalid("The request cannot be written as a DNS message.").with_source(source)
        };
        let verifier = message.finalize(&self.server.signer, (self.server.clock)()).map_err(unsendable)?;
        let verifier = verifier.ok_or_else(|| unreadable(Intent::Read))?;
        let bytes = message.to_vec().map_err(unsendable)?;
        let length = u16::try_from(bytes.len())
            .map_err(|_| super::wire::invalid("The request is too large for a DNS message."))?;
        let whole = [&length.to_be_bytes()[..], &bytes].concat();
        let effect = if intent == Intent::Write { Effect::Unknown } else { Effect::None };
        in_time(self.server.timeouts.write, self.stream.write_all(&whole))
            .await
            .map_err(|source| unreachable(source, effect))?;
        Ok(verifier)
    }
}

/// A zone transfer under way.
pub(super) struct Transfer<'a> {
    server: &'a Server,
    stream: &'a mut TcpStream,
    verifier: TSigVerifier,
    id: u16,
}

impl Transfer<'_> {
    /// The next message; `None` when the server does not let this key have the zone.
    pub(super) async fn next(&mut self) -> Result<Option<Message>, ProviderError> {
        let limit = self.server.timeouts.read;
        let answer = receive(self.stream, self.server, &mut self.verifier, self.id, Intent::Read, limit).await?;
        match answer.metadata.response_code {
            ResponseCode::NoError => Ok(Some(answer)),
            ResponseCode::Refused => Ok(None),
            code => Err(refusal(self.server, code, Intent::Read)),
        }
    }
}

fn question(name: &Name, kind: WireType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = false;
    message.add_query(Query::query(name.clone(), kind));
    message
}

/// Reads one message and looks at its signature.
async fn receive(
    stream: &mut TcpStream,
    server: &Server,
    verifier: &mut TSigVerifier,
    id: u16,
    intent: Intent,
    limit: Duration,
) -> Result<Message, ProviderError> {
    let effect = if intent == Intent::Write { Effect::Unknown } else { Effect::None };
    let bytes = in_time(limit, async {
        let length = stream.read_u16().await?;
        let mut bytes = vec![0; usize::from(length)];
        stream.read_exact(&mut bytes).await?;
        Ok(bytes)
    })
    .await
    .map_err(|source| unreachable(source, effect))?;
    let message = Message::from_vec(&bytes).map_err(|source| unreadable(intent).with_source(source))?;
    if message.metadata.id != id || message.metadata.message_type != MessageType::Response {
        return Err(unreadable(intent));
    }
    let code = message.metadata.response_code;
    let Some(signature) = message.signature() else {
        return Err(unsigned(server, code, intent));
    };
    // Of these, two come without a signature, since there is no key that both sides know.
    if let Some(error) = signature.data.error {
        return Err(bad_signature(server, &signature.data, error));
    }
    verifier.verify(&bytes).map_err(|source| unproven(intent).with_source(source))?;
    Ok(message)
}

async fn in_time<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    /// A listener whose queue is full answers nobody, like an address that leads nowhere.
    #[tokio::test]
    async fn an_address_that_nobody_answers_at_keeps_no_other_from_being_tried() {
        let full = TcpSocket::new_v4().unwrap();
        full.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let full = full.listen(1).unwrap();
        let silent = full.local_addr().unwrap();
        let mut held = Vec::new();
        while let Ok(Ok(stream)) = timeout(Duration::from_millis(300), TcpStream::connect(silent)).await {
            held.push(stream);
        }
        let there = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = there.local_addr().unwrap();
        let connecting = connect([silent, address].into_iter());
        let stream = timeout(Duration::from_secs(5), connecting).await.unwrap().unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);

        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert!(connect([gone].into_iter()).await.is_err());
        assert!(connect(std::iter::empty()).await.is_err());
    }
}
