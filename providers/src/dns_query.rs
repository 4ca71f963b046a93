//! Asks name servers directly, to learn whether they already answer with a record. Rule: an answer
//! counts only when it repeats the id and the question; what is asked changes nothing anywhere.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use domain::code::Code;
use futures::future::join_all;
use hickory_proto::{
    op::{Edns, Message, MessageType, Query, ResponseCode},
    rr::{Name, RData, RecordType as WireType},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket, lookup_host},
    time::{Instant, timeout, timeout_at},
};

use crate::{
    dns::{RecordContent, RecordType},
    error::ProviderError,
};

/// For how long all name servers of a zone may be found and asked.
pub(crate) const VISIBLE_WITHIN: Duration = Duration::from_secs(10);
/// How much of a content is shown.
const SHOWN_MOST: usize = 200;
/// The port of name servers.
pub(crate) const PORT: u16 = 53;
/// Name servers that a setting may name.
const SERVERS_MOST: usize = 16;
/// A datagram is asked again when nothing came back for this long.
const AGAIN: Duration = Duration::from_secs(1);
/// What fits every path without fragments (DNS Flag Day 2020).
const DATAGRAM: u16 = 1232;

/// Why a server did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// The name cannot stand in a question.
    #[error("the name cannot be asked for")]
    Name(#[source] hickory_proto::ProtoError),
    /// The network's reason.
    #[error("the name server cannot be reached")]
    Network(#[source] io::Error),
    /// It said that it cannot or will not tell, or that others are to be asked.
    #[error("the name server does not answer for the zone")]
    Lame,
    /// Nothing came back in time.
    #[error("the name server did not answer in time")]
    Late,
}

/// The addresses behind `servers`: each a name or an address, with or without a port. Those that
/// cannot be resolved are left out.
pub(crate) async fn addresses(servers: &[String], within: Duration) -> Vec<SocketAddr> {
    let one = |server: &str| {
        let (host, port) = host_and_port(server);
        async move {
            let found = timeout(within, lookup_host((host.as_str(), port))).await;
            found.ok().and_then(Result::ok).map(Vec::from_iter).unwrap_or_default()
        }
    };
    let mut all: Vec<SocketAddr> = join_all(servers.iter().map(|it| one(it))).await.into_iter().flatten().collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// A `host`, `host:port`, address or `[address]:port`, taken apart; the port of name servers where
/// none is told.
pub(crate) fn host_and_port(server: &str) -> (String, u16) {
    let server = server.trim();
    if let Ok(address) = server.parse::<SocketAddr>() {
        return (address.ip().to_string(), address.port());
    }
    if let Ok(address) = server.trim_matches(['[', ']']).parse::<IpAddr>() {
        return (address.to_string(), PORT);
    }
    let told = server.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = told.unwrap_or((server, PORT));
    (host.trim_end_matches('.').to_owned(), port)
}

/// The servers that a setting names, separated by commas or spaces.
///
/// # Errors
/// What is wrong with it, for people.
pub(crate) fn server_list(text: &str) -> Result<Vec<String>, &'static str> {
    let servers: Vec<_> = text.split([',', ' ', '\n']).map(str::trim).filter(|it| !it.is_empty()).collect();
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    if servers.len() > SERVERS_MOST {
        return Err("must name at most 16 servers");
    }
    if servers.iter().any(|it| it.len() > 255 || !it.bytes().all(plain) || host_and_port(it).0.is_empty()) {
        return Err("must be name servers such as ns1.example.com or 192.0.2.1:53, separated by commas");
    }
    Ok(servers.into_iter().map(str::to_owned).collect())
}

/// Asks every server at once for the records of exactly this name and type; for each, in order,
/// what it answers with: nothing when there is no such record. Contents are written as [`normal`]
/// writes them.
///
/// # Errors
/// Per server, when it did not answer `within` this time, or does not answer for the zone.
pub(crate) async fn answers(
    servers: &[SocketAddr],
    fqdn: &str,
    kind: RecordType,
    within: Duration,
) -> Vec<Result<Vec<String>, NoAnswer>> {
    let deadline = Instant::now() + within;
    join_all(servers.iter().map(|server| async move {
        timeout_at(deadline, ask(*server, fqdn, kind)).await.unwrap_or(Err(NoAnswer::Late))
    }))
    .await
}

/// Whether every one of these servers that can be reached answers so that `holds`.
///
/// # Errors
/// `PROVIDER_UNREACHABLE` when none of them answered.
pub(crate) async fn all_answer(
    servers: &[SocketAddr],
    fqdn: &str,
    kind: RecordType,
    within: Duration,
    holds: impl Fn(&[String]) -> bool,
) -> Result<bool, ProviderError> {
    let mut answered = None;
    let mut failed = None;
    for answer in answers(servers, fqdn, kind, within).await {
        match answer {
            Ok(contents) => answered = Some(answered.unwrap_or(true) && holds(&contents)),
            Err(error) => failed = Some(error),
        }
    }
    answered.ok_or_else(|| {
        let error = ProviderError::new(Code::ProviderUnreachable, "None of the zone's name servers answered.");
        match failed {
            Some(source) => error.with_source(source),
            None => error,
        }
    })
}

/// A content as it can be compared: addresses in their one short form, names in lower case without
/// a dot at the end, texts as they are.
pub(crate) fn normal(kind: RecordType, content: &str) -> String {
    let parsed = match kind {
        RecordType::A => content.trim().parse::<Ipv4Addr>().map(|it| it.to_string()).ok(),
        RecordType::Aaaa => content.trim().parse::<Ipv6Addr>().map(|it| it.to_string()).ok(),
        RecordType::Cname => Some(content.trim().trim_end_matches('.').to_ascii_lowercase()),
        RecordType::Txt => None,
    };
    parsed.unwrap_or_else(|| content.to_owned())
}

/// The text of strings as master files write them (RFC 1035, section 5.1): in quotes, with `\DDD` for
/// a byte and `\X` for any other sign. What does not begin with a quote is taken as it is.
pub(crate) fn unquoted(value: &str) -> String {
    if !value.starts_with('"') {
        return value.to_owned();
    }
    let (mut text, mut inside, mut rest) = (Vec::new(), false, value.as_bytes());
    while let [first, after @ ..] = rest {
        rest = after;
        match (*first, rest) {
            (b'\\', [a @ b'0'..=b'2', b @ b'0'..=b'9', c @ b'0'..=b'9', after @ ..]) if inside => {
                let byte = [a, b, c].iter().fold(0_u32, |sum, digit| sum * 10 + u32::from(**digit - b'0'));
                // What is no byte is no escape of one.
                text.extend(u8::try_from(byte).map_or_else(|_| vec![*a, *b, *c], |byte| vec![byte]));
                rest = after;
            }
            (b'\\', [sign, after @ ..]) if inside => {
                text.push(*sign);
                rest = after;
            }
            (b'"', _) => inside = !inside,
            (sign, _) if inside => text.push(sign),
            _ => {}
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// A content for messages: without what would change how they read, and not at any length.
pub(crate) fn shown(content: &str) -> String {
    let mut plain = content.chars().map(|it| if it.is_control() { '\u{fffd}' } else { it });
    let mut shown: String = plain.by_ref().take(SHOWN_MOST).collect();
    if plain.next().is_some() {
        shown.push('…');
    }
    shown
}

/// Whether these contents hold this one.
pub(crate) fn holds(contents: &[String], content: &RecordContent) -> bool {
    contents.contains(&normal(content.kind, &content.content))
}

/// Whether this one is all that stands: of addresses, whoever asks takes any, also another's. Texts
/// may have others beside them.
pub(crate) fn is_all(contents: &[String], content: &RecordContent) -> bool {
    let others = contents.iter().any(|it| *it != normal(content.kind, &content.content));
    holds(contents, content) && (content.kind == RecordType::Txt || !others)
}

fn wire_type(kind: RecordType) -> WireType {
    match kind {
        RecordType::A => WireType::A,
        RecordType::Aaaa => WireType::AAAA,
        RecordType::Cname => WireType::CNAME,
        RecordType::Txt => WireType::TXT,
    }
}

async fn ask(server: SocketAddr, fqdn: &str, kind: RecordType) -> Result<Vec<String>, NoAnswer> {
    let name = Name::from_ascii(format!("{}.", fqdn.trim_end_matches('.')));
    let query = Query::query(name.map_err(NoAnswer::Name)?, wire_type(kind));
    let mut question = Message::query();
    question.metadata.recursion_desired = false;
    question.add_query(query.clone());
    let mut edns = Edns::new();
    edns.set_max_payload(DATAGRAM);
    question.set_edns(edns);
    let bytes = question.to_vec().map_err(NoAnswer::Name)?;

    let is_answer = |bytes: &[u8]| {
        let message = Message::from_vec(bytes).ok()?;
        let is_it = message.metadata.id == question.metadata.id
            && message.metadata.message_type == MessageType::Response
            && message.queries.first().is_none_or(|asked| *asked == query);
        is_it.then_some(message)
    };
    let mut message = by_datagram(server, &bytes, is_answer).await.map_err(NoAnswer::Network)?;
    if message.metadata.truncation {
        message = by_stream(server, &bytes, is_answer).await.map_err(NoAnswer::Network)?;
    }
    match message.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => {}
        _ => return Err(NoAnswer::Lame),
    }
    // A resolver that a setting names knows something without having the zone; that it knows nothing
    // says as little as a server's that only tells whom else to ask.
    if !message.metadata.authoritative && message.answers.is_empty() {
        return Err(NoAnswer::Lame);
    }
    let ours = message.answers.into_iter().filter(|it| it.name.to_lowercase() == query.name.to_lowercase());
    Ok(ours.filter_map(|record| content_of(kind, &record.data)).collect())
}

fn content_of(kind: RecordType, data: &RData) -> Option<String> {
    match (kind, data) {
        (RecordType::A, RData::A(address)) => Some(address.0.to_string()),
        (RecordType::Aaaa, RData::AAAA(address)) => Some(address.0.to_string()),
        (RecordType::Cname, RData::CNAME(name)) => Some(normal(kind, &name.0.to_ascii())),
        (RecordType::Txt, RData::TXT(text)) => Some(String::from_utf8_lossy(&text.txt_data.concat()).into_owned()),
        _ => None,
    }
}

async fn by_datagram(
    server: SocketAddr,
    question: &[u8],
    read: impl Fn(&[u8]) -> Option<Message>,
) -> io::Result<Message> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    let mut buffer = [0; 4096];
    loop {
        socket.send(question).await?;
        let again = Instant::now() + AGAIN;
        while let Ok(received) = timeout_at(again, socket.recv(&mut buffer)).await {
            if let Some(message) = read(&buffer[..received?]) {
                return Ok(message);
            }
        }
    }
}

async fn by_stream(
    server: SocketAddr,
    question: &[u8],
    read: impl Fn(&[u8]) -> Option<Message>,
) -> io::Result<Message> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(|_| invalid())?;
    stream.write_all(&[&length.to_be_bytes(), question].concat()).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    read(&answer).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_told_in_every_usual_way() {
        let cases = [
            ("ns1.example.com", ("ns1.example.com", 53)),
            ("ns1.example.com.", ("ns1.example.com", 53)),
            ("ns1.example.com:5355", ("ns1.example.com", 5355)),
            ("127.0.0.1", ("127.0.0.1", 53)),
            ("127.0.0.1:5355", ("127.0.0.1", 5355)),
            ("::1", ("::1", 53)),
            ("[::1]", ("::1", 53)),
            ("[::1]:5355", ("::1", 5355)),
        ];
        for (told, (host, port)) in cases {
            assert_eq!(host_and_port(told), (host.to_owned(), port), "{told}");
        }
    }

    #[test]
    fn contents_are_compared_in_one_form() {
        assert_eq!(normal(RecordType::Aaaa, "2001:DB8:0:0::1"), "2001:db8::1");
        assert_eq!(normal(RecordType::Cname, "Other.Example.com."), "other.example.com");
        assert_eq!(normal(RecordType::Txt, "As It Is."), "As It Is.");
    }

    /// A server that answers every question like this.
    async fn answering(fill: fn(&mut Message)) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let mut answer = Message::from_vec(&buffer[..length]).unwrap().into_response();
                fill(&mut answer);
                socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
            }
        });
        address
    }

    /// One of a zone's servers that does not have the zone says nothing of its names.
    #[tokio::test]
    async fn a_lame_server_is_not_asked() {
        let lame: [fn(&mut Message); 4] = [
            |answer| answer.metadata.response_code = ResponseCode::Refused,
            |answer| answer.metadata.response_code = ResponseCode::ServFail,
            |answer| answer.metadata.response_code = ResponseCode::NXDomain,
            |_| {},
        ];
        let good = answering(|answer| {
            answer.metadata.authoritative = true;
            let name = answer.queries[0].name().clone();
            let data = RData::A("192.0.2.1".parse::<Ipv4Addr>().unwrap().into());
            answer.answers.push(hickory_proto::rr::Record::from_rdata(name, 60, data));
        })
        .await;
        let within = Duration::from_secs(5);
        for fill in lame {
            let bad = answering(fill).await;
            let ask = async |servers: &[SocketAddr]| {
                all_answer(servers, "alpha.example.com", RecordType::A, within, |found| found == ["192.0.2.1"]).await
            };
            assert!(ask(&[bad, good]).await.unwrap());
            assert_eq!(ask(&[bad]).await.unwrap_err().code, Code::ProviderUnreachable);
        }
    }

    #[test]
    fn texts_are_read_as_master_files_write_them() {
        let cases = [
            (r#"bare"#, "bare"),
            (r#""one" "two""#, "onetwo"),
            (r#""a \"b\" \\c""#, r#"a "b" \c"#),
            (r#""gr\195\188\195\159e""#, "grüße"),
            (r#""grüße""#, "grüße"),
            (r#""\0651""#, "A1"),
            (r#""\299""#, "299"),
            (r#""\12""#, "12"),
            (r#""""#, ""),
        ];
        for (value, text) in cases {
            assert_eq!(unquoted(value), text, "{value}");
        }
    }

    #[test]
    fn what_is_shown_is_plain_and_short() {
        assert_eq!(shown("v=spf1 -all"), "v=spf1 -all");
        assert_eq!(shown("a\n\u{1b}[31mb"), "a\u{fffd}\u{fffd}[31mb");
        assert_eq!(shown(&"x".repeat(200)), "x".repeat(200));
        assert_eq!(shown(&"x".repeat(201)), format!("{}…", "x".repeat(200)));
    }

    #[test]
    fn another_address_beside_ours_is_seen() {
        let content =
            |kind, content: &str| RecordContent { record_id: "dns_1".to_owned(), kind, content: content.to_owned() };
        let both = ["192.0.2.1".to_owned(), "192.0.2.2".to_owned()];
        let ours = content(RecordType::A, "192.0.2.1");
        assert!(
            is_all(&both[..1], &ours) && !is_all(&both, &ours) && !is_all(&both[1..], &ours) && !is_all(&[], &ours)
        );
        assert!(is_all(&both, &content(RecordType::Txt, "192.0.2.1")), "texts may have others beside them");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_told_apart_from_one_that_answers_with_nothing() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let there = socket.local_addr().unwrap();
        let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let server = tokio::spawn(async move {
            let mut buffer = [0; 512];
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let mut answer = Message::from_vec(&buffer[..length]).unwrap().into_response();
            answer.metadata.response_code = ResponseCode::NXDomain;
            answer.metadata.authoritative = true;
            // Somebody else's answer first.
            let mut other = answer.clone();
            other.metadata.id ^= 1;
            socket.send_to(&other.to_vec().unwrap(), from).await.unwrap();
            socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
        });
        let found = answers(&[there, gone], "alpha.example.com", RecordType::A, Duration::from_secs(5)).await;
        server.await.unwrap();
        assert!(matches!(&found[0], Ok(contents) if contents.is_empty()), "{found:?}");
        assert!(found[1].is_err(), "{found:?}");
        let none = all_answer(&[gone], "alpha.example.com", RecordType::A, Duration::from_secs(5), |_| true).await;
        assert_eq!(none.unwrap_err().code, Code::ProviderUnreachable);
    }
}
