//! What no DNS vendor would take, found before one is asked. Rule: the same for every vendor; what
//! only one refuses stands in its own table of errors.

use std::net::{Ipv4Addr, Ipv6Addr};

use domain::code::Code;

use crate::{
    dns::{DnsName, RecordContent, RecordType, RecordWish},
    error::ProviderError,
};

/// The longest name, without the dot at its end (RFC 1035).
const NAME_MOST: usize = 253;
const LABEL_MOST: usize = 63;

/// Refuses what cannot be a name with its records.
///
/// # Errors
/// `DNS_VALIDATION`.
pub(crate) fn check(wish: &RecordWish) -> Result<(), ProviderError> {
    if wish.contents.is_empty() {
        return Err(invalid("No record is asked for."));
    }
    check_name(&wish.name)?;
    for (n, content) in wish.contents.iter().enumerate() {
        let kind = content.kind;
        if wish.contents[..n].iter().any(|it| it.kind == kind) {
            return Err(invalid(format!("Two {} records are asked for under one name.", kind.as_str())));
        }
        if kind == RecordType::Cname && wish.contents.len() > 1 {
            return Err(invalid("Beside a CNAME record nothing else can stand."));
        }
        if wish.proxied == Some(true) && kind == RecordType::Txt {
            return Err(invalid("No proxy can stand before a TXT record."));
        }
        check_content(content)?;
    }
    Ok(())
}

/// Refuses what cannot be a name.
///
/// # Errors
/// `DNS_VALIDATION`.
pub(crate) fn check_name(name: &DnsName) -> Result<(), ProviderError> {
    let fqdn = name.fqdn();
    let is_label = |label: &str| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        (1..=LABEL_MOST).contains(&label.len()) && label.bytes().all(plain)
    };
    let (first, rest) = fqdn.split_once('.').unwrap_or((&fqdn, ""));
    // A wildcard is a first label of its own.
    let first_is = first == "*" || is_label(first);
    if fqdn.len() > NAME_MOST || !first_is || rest.is_empty() || !rest.split('.').all(is_label) {
        return Err(invalid("The name is not one that DNS can hold."));
    }
    Ok(())
}

fn check_content(content: &RecordContent) -> Result<(), ProviderError> {
    let text = &content.content;
    let fits = match content.kind {
        RecordType::A => text.parse::<Ipv4Addr>().is_ok(),
        RecordType::Aaaa => text.parse::<Ipv6Addr>().is_ok(),
        RecordType::Cname => {
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            let is_label = |label: &str| (1..=LABEL_MOST).contains(&label.len()) && label.bytes().all(plain);
            text.len() <= NAME_MOST && text.split('.').all(is_label)
        }
        RecordType::Txt => (1..=2048).contains(&text.len()) && !text.chars().any(char::is_control),
    };
    if fits {
        Ok(())
    } else {
        Err(invalid(match content.kind {
            RecordType::A => "The content of an A record must be an IPv4 address.",
            RecordType::Aaaa => "The content of an AAAA record must be an IPv6 address.",
            RecordType::Cname => "The content of a CNAME record must be a name without a dot at its end.",
            RecordType::Txt => "The content of a TXT record must be text of at most 2,048 bytes.",
        }))
    }
}

fn invalid(message: impl Into<String>) -> ProviderError {
    ProviderError::new(Code::DnsValidation, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(name: &str, contents: &[(RecordType, &str)]) -> RecordWish {
        let content = |&(kind, content): &(RecordType, &str)| RecordContent {
            record_id: "dns_1".to_owned(),
            kind,
            content: content.to_owned(),
        };
        RecordWish {
            name: DnsName { zone: "example.com".to_owned(), name: name.to_owned() },
            contents: contents.iter().map(content).collect(),
            ttl: None,
            proxied: None,
        }
    }

    #[test]
    fn what_can_be_passes_and_what_cannot_is_refused() {
        use RecordType::{A, Aaaa, Cname, Txt};
        let both: &[_] = &[(A, "192.0.2.1"), (Aaaa, "2001:db8::1")];
        for (name, contents) in
            [("@", both), ("a.b", both), ("*", both), ("_acme-challenge", &[(Txt, "x y")]), ("a", &[(Cname, "b.org")])]
        {
            check(&wish(name, contents)).unwrap();
        }
        let long = "a".repeat(64);
        let cases: [(&str, &[(RecordType, &str)]); 9] = [
            ("a", &[]),
            ("a..b", both),
            (&long, both),
            ("A", both),
            ("a.*", both),
            ("a", &[(A, "2001:db8::1")]),
            ("a", &[(A, "192.0.2.1"), (A, "192.0.2.2")]),
            ("a", &[(Cname, "b.org."), (A, "192.0.2.1")]),
            ("a", &[(Cname, "b org")]),
        ];
        for (name, contents) in cases {
            assert_eq!(check(&wish(name, contents)).unwrap_err().code, Code::DnsValidation, "{name} {contents:?}");
        }
    }
}
