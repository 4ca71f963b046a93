//! Takes secrets out of what a machine printed. Rule: rather a word too many than a secret; what
//! is known to be secret goes wherever it stands, and what looks like one where it is named.

use std::ops::Range;

/// What stands in the place of a secret.
pub const MASKED: &str = "***";
/// Shorter ones are no secrets, and taking them out would leave nothing to read.
const LEAST: usize = 4;

/// The text without known secrets, private keys, bearer tokens, `Authorization` headers,
/// passwords in URLs and of `curl -u`, and the values of what is named password, token, secret or
/// key. Where the
/// text was cut through a known secret, the part that is left goes too.
///
/// Known secrets of less than four bytes are not looked for.
pub fn mask(text: &str, secrets: &[&str]) -> String {
    let mut spans = Vec::new();
    for secret in secrets {
        for form in [*secret, secret.trim()] {
            if form.len() >= LEAST {
                known(text, form, &mut spans);
            }
        }
    }
    private_keys(text, &mut spans);
    let lower = text.to_ascii_lowercase();
    bearers(&lower, &mut spans);
    headers(&lower, &mut spans);
    values(&lower, &mut spans);
    user_options(&lower, &mut spans);
    url_passwords(text, &mut spans);
    replaced(text, spans)
}

fn replaced(text: &str, mut spans: Vec<Range<usize>>) -> String {
    spans.retain(|span| span.start < span.end);
    spans.sort_by_key(|span| span.start);
    let mut result = String::with_capacity(text.len());
    let mut at = 0;
    let mut open: Option<Range<usize>> = None;
    for span in spans {
        match &mut open {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => {
                if let Some(last) = open.replace(span) {
                    push(&mut result, text, at, &last);
                    at = last.end;
                }
            }
        }
    }
    if let Some(last) = open {
        push(&mut result, text, at, &last);
        at = last.end;
    }
    result.push_str(text.get(at..).unwrap_or_default());
    result
}

fn push(result: &mut String, text: &str, at: usize, span: &Range<usize>) {
    result.push_str(text.get(at..span.start).unwrap_or_default());
    result.push_str(MASKED);
}

/// Where a known secret stands, overlapping itself or not, and what the edges left of it.
fn known(text: &str, secret: &str, spans: &mut Vec<Range<usize>>) {
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find(secret)) {
        let start = from + at;
        spans.push(start..start + secret.len());
        from = start + text.get(start..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8);
    }
    let pieces = |least: usize| (least..secret.len()).rev().filter(|at| secret.is_char_boundary(*at));
    if let Some(at) = pieces(LEAST).find(|at| text.ends_with(&secret[..*at])) {
        spans.push(text.len() - at..text.len());
    }
    let starts = |at: &usize| secret.len() - at >= LEAST && text.starts_with(&secret[*at..]);
    if let Some(at) = (1..secret.len()).filter(|at| secret.is_char_boundary(*at)).find(starts) {
        spans.push(0..secret.len() - at);
    }
    if text.len() >= LEAST && secret.contains(text) {
        spans.push(0..text.len());
    }
}

/// PEM and OpenSSH blocks, and what is left of one that was cut.
fn private_keys(text: &str, spans: &mut Vec<Range<usize>>) {
    let mut open: Option<usize> = None;
    let mut at = 0;
    // Where the lines of nothing but Base64 before this one begin.
    let mut packed: Option<usize> = None;
    for line in text.split_inclusive('\n') {
        let (start, end) = (at, at + line.len());
        at = end;
        let bare = line.trim_end();
        if let Some(begin) = open {
            let is_end = line.contains("-----END");
            if is_end || !(is_packed(bare) || bare.is_empty() || bare.contains(": ")) {
                spans.push(begin..if is_end { start + bare.len() } else { start });
                open = None;
            }
        } else if let Some(begin) = line.find("-----BEGIN") {
            let rest = &line[begin..];
            if rest.contains("PRIVATE KEY") {
                if rest.contains("-----END") {
                    spans.push(start + begin..start + bare.len())
                } else {
                    open = Some(start + begin)
                }
            }
        } else if line.contains("-----END") && line.contains("PRIVATE KEY") {
            spans.push(packed.unwrap_or(start)..start + bare.len());
        }
        packed = if is_packed(bare) { packed.or(Some(start)) } else { None };
    }
    if let Some(begin) = open {
        spans.push(begin..text.len());
    }
}

fn is_packed(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && line.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
}

fn finds<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word).map(|(at, _)| at)
}

fn bearers(lower: &str, spans: &mut Vec<Range<usize>>) {
    for at in finds(lower, "bearer") {
        let after = at + "bearer".len();
        let start = after + blanks(&lower[after..]);
        let end = start + run(&lower[start..], |c| !c.is_whitespace() && !matches!(c, '"' | '\'' | ',' | ';'));
        // Shorter is prose.
        if start > after && end - start >= 6 {
            spans.push(start..end);
        }
    }
}

fn headers(lower: &str, spans: &mut Vec<Range<usize>>) {
    for at in finds(lower, "authorization") {
        let after = at + "authorization".len();
        let colon = after + run(&lower[after..], |c| matches!(c, '"' | '\'' | ' '));
        if lower[colon..].starts_with(':') {
            let start = colon + 1 + blanks(&lower[colon + 1..]);
            spans.push(start..start + run(&lower[start..], |c| !matches!(c, '\n' | '\r')));
        }
    }
}

/// What is named so is secret, with whatever stands before the word in the name.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "token",
    "secret",
    "_key",
    "-key",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "encryptionkey",
    "api key",
    "access key",
    "secret key",
];
/// A name that ends so says something about a secret, and is none.
const HARMLESS: &[&str] =
    &["count", "type", "length", "file", "path", "name", "ttl", "url", "limit", "policy", "stdin"];
/// In prose, so many characters with a digit among them are no word.
const TOKEN_LEAST: usize = 8;
/// A quote that is not closed within so many bytes is none.
const QUOTED_MOST: usize = 4096;

fn values(lower: &str, spans: &mut Vec<Range<usize>>) {
    for word in NAMES {
        for at in finds(lower, word) {
            if let Some(span) = value(lower, word, at) {
                spans.push(span);
            }
        }
    }
}

/// The value of the name in which `word` stands at `at`.
fn value(lower: &str, word: &str, at: usize) -> Option<Range<usize>> {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let begin = at - lower[..at].bytes().rev().take_while(|b| part(char::from(*b))).count();
    let after = at + word.len();
    let rest = &lower[after..after + run(&lower[after..], part)];
    let goes_on = rest.strip_prefix('s').unwrap_or(rest).starts_with(|c: char| c.is_ascii_alphabetic());
    if goes_on || HARMLESS.iter().any(|end| rest.ends_with(end)) || lower[begin..at].ends_with("public") {
        return None;
    }
    let end = after + rest.len();
    // The name's own closing quote, perhaps within other quotes.
    let quote = end + run(&lower[end..], |c| c == '\\');
    let quoted = lower[quote..].starts_with(['"', '\'']);
    let name_end = if quoted { quote + 1 } else { end };
    let mark = name_end + blanks(&lower[name_end..]);
    let start = match lower[mark..].chars().next() {
        Some('=') => mark + run(&lower[mark..], |c| matches!(c, '=' | '>')),
        Some(':') => mark + 1,
        // As an option, the value is the next word.
        _ if mark > name_end && lower[begin..at].starts_with("--") && !lower[mark..].starts_with('-') => mark,
        _ => return None,
    };
    let assigned = lower[mark..].starts_with('=');
    let start = start + blanks(&lower[start..]);
    let open = start + run(&lower[start..], |c| c == '\\');
    if let Some(quote) = lower[open..].chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let text = &lower[open + 1..];
        return Some(open + 1..open + 1 + quoted_len(text, quote, open > start));
    }
    let in_query = assigned && lower[..begin].ends_with(['?', '&']);
    let len = if word == "passphrase" && !assigned {
        run(&lower[start..], |c| !matches!(c, '\n' | '\r'))
    } else {
        run(&lower[start..], |c| !(c.is_whitespace() || matches!(c, '"' | '\'') || in_query && c == '&'))
    };
    let text = &lower[start..start + len];
    if word == "pwd" && matches!(&lower[begin..end], "pwd" | "oldpwd") && text.starts_with('/') {
        return None;
    }
    // In prose a word may follow, unless the name opens its line.
    if word == "token" && lower[mark..].starts_with(':') && !quoted && !opens(lower, begin) {
        let is_word = len < TOKEN_LEAST || !text.bytes().any(|b| b.is_ascii_digit());
        return (!is_word).then_some(start..start + len);
    }
    Some(start..start + len)
}

fn opens(lower: &str, begin: usize) -> bool {
    let line = lower[..begin].rfind('\n').map_or(0, |it| it + 1);
    lower[line..begin].chars().all(char::is_whitespace)
}

/// How much stands before the closing quote. `nested`: within other quotes, where it has a
/// backslash itself.
fn quoted_len(text: &str, quote: char, nested: bool) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().take_while(|(at, _)| *at < QUOTED_MOST) {
        if c == quote && (nested || !escaped) {
            return if nested { text[..at].trim_end_matches('\\').len() } else { at };
        }
        escaped = c == '\\' && !escaped;
    }
    run(text, |c| c != '\n')
}

/// `curl -u me:password`.
fn user_options(lower: &str, spans: &mut Vec<Range<usize>>) {
    for option in ["-u", "--user", "--proxy-user"] {
        for at in finds(lower, option).filter(|at| lower[..*at].is_empty() || lower[..*at].ends_with([' ', '\'', '\n']))
        {
            let after = at + option.len();
            let start = after + run(&lower[after..], |c| matches!(c, ' ' | '\t' | '=' | '\'' | '"'));
            let word = &lower[start..start + run(&lower[start..], |c| !c.is_whitespace() && !matches!(c, '\'' | '"'))];
            if start > after
                && let Some((user, rest)) = word.split_once(':')
                // A group's number is none.
                && !rest.bytes().all(|b| b.is_ascii_digit())
            {
                spans.push(start + user.len() + 1..start + word.len());
            }
        }
    }
}

fn url_passwords(text: &str, spans: &mut Vec<Range<usize>>) {
    for at in finds(text, "://") {
        let start = at + 3;
        let authority =
            &text[start..start + run(&text[start..], |c| !c.is_whitespace() && !matches!(c, '/' | '?' | '#' | '"'))];
        let Some((user, _)) = authority.rsplit_once('@') else { continue };
        // Of the web, what stands there alone or as the user may be a token.
        let web = ["http", "https"].iter().any(|it| text[..at].to_ascii_lowercase().ends_with(it));
        match user.find(':') {
            _ if web => spans.push(start..start + user.len()),
            Some(colon) => spans.push(start + colon + 1..start + user.len()),
            None => {}
        }
    }
}

fn blanks(text: &str) -> usize {
    run(text, |c| matches!(c, ' ' | '\t'))
}

/// How many bytes of the text's start are of such characters.
fn run(text: &str, fits: impl Fn(char) -> bool) -> usize {
    text.find(|c| !fits(c)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::mask;

    #[test]
    fn what_looks_like_a_secret_goes_where_it_is_named() {
        let cases = [
            ("Authorization: Bearer abcdef123456", "Authorization: ***"),
            ("\"authorization\": \"Basic dXNlcjpwYXNz\"\nnext", "\"authorization\": ***\nnext"),
            ("curl -H 'X: bearer abcdef123456' /", "curl -H 'X: bearer ***' /"),
            ("a bearer of news", "a bearer of news"),
            ("PASSWORD=hunter2 ok", "PASSWORD=*** ok"),
            ("HCLOUD_TOKEN='a b c' ok", "HCLOUD_TOKEN='***' ok"),
            ("?token=abc&page=2", "?token=***&page=2"),
            ("{\"client_secret\": \"abc\", \"id\": 1}", "{\"client_secret\": \"***\", \"id\": 1}"),
            ("db_password: hunter2", "db_password: ***"),
            ("the next token: unexpected", "the next token: unexpected"),
            ("token_count=5", "token_count=5"),
            ("postgres://me:hunter2@db/x", "postgres://me:***@db/x"),
            ("http://host:80/a@b", "http://host:80/a@b"),
            ("password = hunter2 ok", "password = *** ok"),
            ("password= hunter2 ok", "password= *** ok"),
            ("Token : hunter2 ok", "Token : *** ok"),
            ("SECRET_KEY=hunter2", "SECRET_KEY=***"),
            ("SECRET_KEY_BASE=hunter2", "SECRET_KEY_BASE=***"),
            ("ENCRYPTION_KEY=hunter2", "ENCRYPTION_KEY=***"),
            ("api-key=hunter2", "api-key=***"),
            ("x-api-key: hunter2", "x-api-key: ***"),
            ("API key: hunter2", "API key: ***"),
            ("{\"secretAccessKey\":\"hunter2\"}", "{\"secretAccessKey\":\"***\"}"),
            ("Generated admin password: hunter2", "Generated admin password: ***"),
            ("Your new token: a1b2c3d4e5 ok", "Your new token: *** ok"),
            ("passphrase: correct horse", "passphrase: ***"),
            ("mysql --password hunter2 db", "mysql --password *** db"),
            ("'--password' 'hunter2 x' db", "'--password' '***' db"),
            ("login --password-stdin x", "login --password-stdin x"),
            ("MYSQL_PWD=hunter2", "MYSQL_PWD=***"),
            ("PWD=/root", "PWD=/root"),
            ("https://hunter2@host/x", "https://***@host/x"),
            ("https://hunter2:x-oauth-basic@host/x", "https://***@host/x"),
            ("ssh://git@host/x", "ssh://git@host/x"),
            ("curl -u me:hunter2 x", "curl -u me:*** x"),
            ("docker run -u 1000:1000 x", "docker run -u 1000:1000 x"),
            ("password=\"hun\\\"ter2\" ok", "password=\"***\" ok"),
            ("password=\"hun\nter2\" ok", "password=\"***\" ok"),
            ("{\\\"password\\\": \\\"hunter2\\\", 1}", "{\\\"password\\\": \\\"***\\\", 1}"),
            ("PASSWORD=abc&rest", "PASSWORD=***"),
            ("passwordless = yes", "passwordless = yes"),
            ("public_key=abc", "public_key=abc"),
        ];
        for (text, masked) in cases {
            assert_eq!(mask(text, &[]), masked, "{text}");
        }
    }

    #[test]
    fn private_keys_go_whole_or_cut() {
        let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz\nAAAA\n-----END OPENSSH PRIVATE KEY-----";
        assert_eq!(mask(&format!("a\n{key}\nb"), &[]), "a\n***\nb");
        assert_eq!(mask(&format!("a\n{}", &key[..50]), &[]), "a\n***");
        assert_eq!(mask(&format!("{}\nb", &key[40..]), &[]), "***\nb");
        assert_eq!(
            mask("{\"k\": \"-----BEGIN RSA PRIVATE KEY-----\\nAA\\n-----END RSA PRIVATE KEY-----\"}\nb", &[]),
            "{\"k\": \"***\nb"
        );
        let public = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
        assert_eq!(mask(public, &[]), public);
    }

    #[test]
    fn the_longest_secret_and_overlaps_leave_nothing() {
        assert_eq!(mask("abcdefgh", &["abcd", "abcdefgh"]), "***");
        assert_eq!(mask("xabababx", &["abab"]), "x***x");
        assert_eq!(mask("one\ntwo\n", &["one\ntwo\n"]), "***");
        assert_eq!(mask("äöüß and", &["äöüßäöüß"]), "*** and");
    }

    proptest! {
        #[test]
        fn a_known_secret_never_survives(
            secret in "[A-Za-z0-9+/]{8,40}",
            other in "[a-z]{5,12}",
            before in "\\PC{0,30}",
            between in "[ a-z=:\n]{0,10}",
            after in "\\PC{0,30}",
        ) {
            let text = format!("{before}{secret}{between}{other}{secret}{after}");
            let masked = mask(&text, &[&secret, &other]);
            prop_assert!(!masked.contains(&secret), "{masked}");
            prop_assert!(!masked.contains(&other), "{masked}");
        }

        #[test]
        fn nor_a_part_of_it_at_the_edge_of_a_cut(
            secret in "[A-Za-z0-9]{12,40}",
            filling in "[ .,!\n]{0,20}",
            cut in 0_usize..40,
        ) {
            let cut = cut.min(secret.len());
            let (head, tail) = secret.split_at(cut);
            for (part, text) in [(head, format!("{filling}{head}")), (tail, format!("{tail}{filling}"))] {
                let masked = mask(&text, &[&secret]);
                prop_assert!(part.len() < 4 || !masked.contains(part), "{masked}");
            }
        }

        #[test]
        fn any_text_is_read_to_its_end(text in "\\PC{0,80}|(bearer |token=|secret: |-----BEGIN PRIVATE KEY|-----END|://a:b@|[\"'=:\n ä]){0,12}") {
            let masked = mask(&text, &["token"]);
            prop_assert!(!masked.contains("token"));
        }

        #[test]
        fn without_secrets_nothing_changes(text in "[a-z ]{0,40}") {
            prop_assume!(!text.contains("bearer"));
            prop_assert_eq!(mask(&text, &[]), text);
        }
    }
}
