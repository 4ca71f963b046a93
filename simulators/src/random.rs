//! Randomness from the operating system. Rule: the simulators have no seed, so that two running at
//! the same time never hand out the same address or token.

use std::net::Ipv4Addr;

/// `N` random bytes.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0u8; N];
    if getrandom::fill(&mut out).is_err() {
        // Only on a system without any entropy source; a simulator may then repeat itself.
        tracing::warn!("no randomness from the operating system");
    }
    out
}

/// `N` random bytes as lower-case hexadecimal.
pub(crate) fn hex<const N: usize>() -> String {
    hex_of(&bytes::<N>())
}

/// Lower-case hexadecimal of any bytes.
pub(crate) fn hex_of(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A random address inside 127.64.0.0/10 that is neither first nor last of its /24.
pub(crate) fn loopback() -> Ipv4Addr {
    let [a, b, c] = bytes::<3>();
    Ipv4Addr::new(127, 64 | (a & 0x3f), b, 1 + c % 254)
}
