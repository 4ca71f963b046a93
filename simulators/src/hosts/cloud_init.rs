//! The one thing of cloud-init that a simulated machine needs: the SSH host key out of the user
//! data. Rule: whatever cannot be read is as if it were not there, and the machine makes its own
//! key, as cloud-init does.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ssh_key::{
    LineEnding, PrivateKey,
    private::{Ed25519Keypair, KeypairData},
};

use crate::random;

/// The private host key of a machine with this user data, OpenSSH format.
pub(crate) fn host_key(user_data: Option<&str>) -> String {
    user_data.and_then(given_host_key).unwrap_or_else(made_host_key)
}

/// The public half of a private key.
pub(crate) fn public_half(private: &str) -> Option<String> {
    PrivateKey::from_openssh(private).ok()?.public_key().to_openssh().ok()
}

fn made_host_key() -> String {
    let pair = Ed25519Keypair::from_seed(&random::bytes::<32>());
    PrivateKey::new(KeypairData::from(pair), "")
        .and_then(|key| key.to_openssh(LineEnding::LF).map(|text| text.to_string()))
        .unwrap_or_default()
}

fn given_host_key(user_data: &str) -> Option<String> {
    configs(user_data).iter().find_map(|config| {
        let body = config.trim_start().strip_prefix("#cloud-config")?;
        let text = match serde_json::from_str::<serde_json::Value>(body) {
            Ok(json) => json["ssh_keys"]["ed25519_private"].as_str()?.to_owned(),
            Err(_) => entry_of(body, "ssh_keys", "ed25519_private")?,
        };
        let key = PrivateKey::from_openssh(text.trim()).ok()?;
        key.to_openssh(LineEnding::LF).ok().map(|text| text.to_string())
    })
}

/// The user data itself, or the parts of a MIME archive.
fn configs(user_data: &str) -> Vec<String> {
    let user_data = user_data.replace("\r\n", "\n");
    let Some((head, body)) = user_data.split_once("\n\n") else { return vec![user_data] };
    let boundary = head
        .split_once("boundary=")
        .filter(|_| head.to_ascii_lowercase().contains("content-type: multipart/"))
        .and_then(|(_, rest)| rest.split(['\n', ';']).next())
        .map(|boundary| format!("--{}", boundary.trim().trim_matches('"')));
    let Some(boundary) = boundary else { return vec![user_data] };
    body.split(&boundary)
        .filter_map(|part| {
            let (head, text) = part.trim_start().split_once("\n\n")?;
            if !head.to_ascii_lowercase().contains("content-transfer-encoding: base64") {
                return Some(text.to_owned());
            }
            let packed: String = text.split_whitespace().collect();
            String::from_utf8(STANDARD.decode(packed).ok()?).ok()
        })
        .collect()
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// `key` and the rest of a line `key: rest`, quotes around the key taken off.
fn key_value(line: &str) -> Option<(&str, &str)> {
    let (key, rest) = line.trim().split_once(':')?;
    Some((key.trim_matches(['"', '\'']), rest.trim()))
}

/// The text of `outer: {inner: …}` in block style: a block scalar or one line, quoted or plain.
fn entry_of(yaml: &str, outer: &str, inner: &str) -> Option<String> {
    let mut lines = yaml.lines().map(str::trim_end).filter(|line| {
        let start = line.trim_start();
        !start.is_empty() && !start.starts_with('#')
    });
    lines.find(|line| indent_of(line) == 0 && key_value(line).is_some_and(|(key, _)| key == outer))?;
    let mut lines = lines.take_while(|line| indent_of(line) > 0).peekable();
    let level = indent_of(lines.peek()?);
    let (_, value) = lines
        .find(|line| indent_of(line) == level && key_value(line).is_some_and(|(key, _)| key == inner))
        .and_then(key_value)?;
    if value.starts_with(['|', '>']) {
        let block: Vec<&str> = lines.take_while(|line| indent_of(line) > level).map(str::trim).collect();
        return Some(block.join("\n"));
    }
    if let Some(quoted) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        return Some(quoted.replace("\\n", "\n"));
    }
    Some(value.trim_matches('\'').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indented(text: &str, by: &str) -> String {
        text.lines().map(|line| format!("{by}{line}\n")).collect()
    }

    #[test]
    fn the_key_is_found_in_every_usual_notation() {
        let key = made_host_key();
        let block = format!(
            "#cloud-config\npackages: [sudo]\nssh_keys: # ours\n  ed25519_public: ssh-ed25519 AAAA x\n\n  ed25519_private: |\n{}\nruncmd:\n  - ed25519_private: no\n",
            indented(&key, "    "),
        );
        let deep = format!("#cloud-config\nssh_keys:\n    \"ed25519_private\": |-\n{}", indented(&key, "        "));
        let quoted = format!("#cloud-config\nssh_keys:\n  ed25519_private: \"{}\"\n", key.replace('\n', "\\n"));
        let json = format!("#cloud-config\n{}", serde_json::json!({"ssh_keys": {"ed25519_private": key}}));
        let part = |head: &str, text: &str| format!("--b\nMIME-Version: 1.0\n{head}\n\n{text}\n");
        let archive = |head: &str, text: &str| {
            let script = part("Content-Type: text/x-shellscript", "#!/bin/sh\necho ssh_keys:");
            let start = "Content-Type: multipart/mixed; boundary=\"b\"\nMIME-Version: 1.0\n\n";
            format!("{start}{script}{}--b--\n", part(head, text))
        };
        let plain = archive("Content-Type: text/cloud-config", &json);
        let packed = archive("Content-Transfer-Encoding: base64", &STANDARD.encode(&block));
        for text in [block, deep, quoted, json, plain, packed] {
            assert_eq!(host_key(Some(&text)), key, "{text}");
        }
    }

    #[test]
    fn without_a_readable_key_one_is_made() {
        let first = host_key(None);
        assert!(public_half(&first).unwrap().starts_with("ssh-ed25519 "));
        for text in ["", "#!/bin/sh\n", "#cloud-config\nssh_keys:\n  ed25519_private: |\n    junk\n"] {
            let other = host_key(Some(text));
            assert!(public_half(&other).is_some());
            assert_ne!(other, first);
        }
    }
}
