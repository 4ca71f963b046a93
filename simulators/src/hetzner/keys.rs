//! SSH public keys: reading and fingerprints. Rule: two texts are the same key when their key
//! material is, whatever their comments say.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use md5::{Digest as _, Md5};

/// Key material of an OpenSSH public key line, if it is one.
fn material(line: &str) -> Option<Vec<u8>> {
    let mut words = line.split_whitespace();
    let (kind, encoded) = (words.next()?, words.next()?);
    let material = STANDARD.decode(encoded).ok()?;
    // The material repeats the kind, length first.
    let (length, rest) = material.split_at_checked(4)?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    let inner = rest.get(..usize::try_from(length).ok()?)?;
    (inner == kind.as_bytes() && rest.len() > inner.len()).then_some(material)
}

/// The MD5 fingerprint with colons, which is how the vendor names keys.
pub(super) fn fingerprint(line: &str) -> Option<String> {
    let digest = Md5::digest(material(line)?);
    Some(digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"))
}

#[cfg(test)]
mod tests {
    use super::fingerprint;

    // Key and fingerprint as `ssh-keygen -E md5 -l` tells them.
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ9T9o4VyVdzSGJfJmIw0mvS3YVzJm3IYbl5vG0cLw2S";

    #[test]
    fn comments_do_not_count_and_other_text_is_no_key() {
        assert!(fingerprint(KEY).is_some());
        assert_eq!(fingerprint(KEY), fingerprint(&format!("{KEY} someone@somewhere")));
        assert_eq!(fingerprint(&KEY.replace("ssh-ed25519", "ssh-rsa")), None);
        assert_eq!(fingerprint("ssh-ed25519 AAAA"), None);
        assert_eq!(fingerprint("hello"), None);
    }
}
