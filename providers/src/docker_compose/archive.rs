//! Reads an archive while it passes, to know whether it is whole. Rule: only a stream that is a tar
//! archive from its first header to its end counts; the engine ends one that it could not read to the
//! end just as it ends a good one.
//!
//! The form is POSIX ustar with pax headers, as the engine writes it (pax(1), "ustar Interchange
//! Format"): blocks of 512 bytes, a header before each entry, and two blocks of zeros at the end.

/// Bytes of a block.
const BLOCK: usize = 512;

/// The most bytes of a pax header; names and attributes are far shorter.
const PAX_MOST: u64 = 1 << 20;

/// Why a stream is no whole archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    /// A header does not add up, or something stands where a header belongs.
    #[error("it is damaged")]
    Header,
    /// It ends before its end.
    #[error("it ends too early")]
    Short,
    /// What was read is no folder.
    #[error("it is no folder")]
    NoFolder,
}

/// Where the reader is.
#[derive(Debug)]
enum At {
    /// In a header, of which this is there.
    Header(Vec<u8>),
    /// In an entry's content with so many bytes to come, padding included.
    Content(u64),
    /// In a pax header's content: what is there, its length, and the bytes to come.
    Pax(Vec<u8>, usize, u64),
}

/// Judges an archive piece by piece.
#[derive(Debug)]
pub(super) struct Archive {
    at: At,
    /// Blocks of zeros since the last entry.
    zeros: usize,
    /// Entries that were seen.
    entries: u64,
    /// The size that a pax header gave the next entry.
    size: Option<u64>,
}

impl Archive {
    pub(super) fn new() -> Self {
        Self { at: At::Header(Vec::with_capacity(BLOCK)), zeros: 0, entries: 0, size: None }
    }

    /// The next piece.
    pub(super) fn piece(&mut self, mut piece: &[u8]) -> Result<(), Broken> {
        while !piece.is_empty() {
            match &mut self.at {
                At::Header(block) => {
                    let taken = piece.len().min(BLOCK - block.len());
                    block.extend_from_slice(&piece[..taken]);
                    piece = &piece[taken..];
                    if block.len() == BLOCK {
                        let block = std::mem::take(block);
                        self.header(&block)?;
                    }
                }
                At::Content(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(piece.len());
                    piece = &piece[taken..];
                    *left -= taken as u64;
                    if *left == 0 {
                        self.at = At::Header(Vec::with_capacity(BLOCK));
                    }
                }
                At::Pax(text, length, left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(piece.len());
                    text.extend_from_slice(&piece[..taken]);
                    piece = &piece[taken..];
                    *left -= taken as u64;
                    if *left == 0 {
                        text.truncate(*length);
                        self.size = size_of(text)?.or(self.size);
                        self.at = At::Header(Vec::with_capacity(BLOCK));
                    }
                }
            }
        }
        Ok(())
    }

    /// The stream is over.
    pub(super) fn ended(&self) -> Result<(), Broken> {
        match &self.at {
            At::Header(block) if block.is_empty() && self.zeros >= 2 => match self.entries {
                0 => Err(Broken::NoFolder),
                _ => Ok(()),
            },
            _ => Err(Broken::Short),
        }
    }

    fn header(&mut self, block: &[u8]) -> Result<(), Broken> {
        self.at = At::Header(Vec::with_capacity(BLOCK));
        if block.iter().all(|byte| *byte == 0) {
            self.zeros += 1;
            return Ok(());
        }
        // After the first of the blocks at the end comes nothing but zeros.
        if self.zeros > 0 || octal(&block[148..156]) != Some(sum(block)) {
            return Err(Broken::Header);
        }
        let size = number(&block[124..136]).ok_or(Broken::Header)?;
        let kind = block[156];
        let padded = |size: u64| size.checked_next_multiple_of(BLOCK as u64).ok_or(Broken::Header);
        match kind {
            // What belongs to the entry after it, or to all of them.
            b'x' | b'g' => {
                if size > PAX_MOST {
                    return Err(Broken::Header);
                }
                let length = usize::try_from(size).map_err(|_| Broken::Header)?;
                if length > 0 {
                    self.at = At::Pax(Vec::with_capacity(length), length, padded(size)?);
                }
                return Ok(());
            }
            b'L' | b'K' => {}
            // The folder itself comes first.
            b'5' => self.entries += 1,
            _ if self.entries == 0 => return Err(Broken::NoFolder),
            _ => self.entries += 1,
        }
        let size = match kind {
            // Links, devices, folders and pipes have no content, whatever their header says.
            b'1'..=b'6' => 0,
            b'L' | b'K' => size,
            _ => self.size.unwrap_or(size),
        };
        if !matches!(kind, b'L' | b'K') {
            self.size = None;
        }
        let left = padded(size)?;
        if left > 0 {
            self.at = At::Content(left);
        }
        Ok(())
    }
}

/// The sum of a header's bytes, with its own field taken for spaces.
fn sum(block: &[u8]) -> u64 {
    let own = 148..156;
    block.iter().enumerate().map(|(at, byte)| u64::from(if own.contains(&at) { b' ' } else { *byte })).sum()
}

/// A number in octal digits, with spaces and zeros around it.
fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

/// A size: octal, or with the highest bit set binary (a GNU extension for more than 8 GiB).
fn number(field: &[u8]) -> Option<u64> {
    match field {
        [0x80, rest @ ..] => rest.iter().try_fold(0_u64, |sum, byte| sum.checked_mul(256)?.checked_add((*byte).into())),
        _ => octal(field),
    }
}

/// The size in a pax header, whose records are "length key=value\n".
fn size_of(mut text: &[u8]) -> Result<Option<u64>, Broken> {
    let mut size = None;
    while !text.is_empty() {
        let space = text.iter().position(|byte| *byte == b' ').ok_or(Broken::Header)?;
        let digits = std::str::from_utf8(&text[..space]).map_err(|_| Broken::Header)?;
        let length: usize = digits.parse().map_err(|_| Broken::Header)?;
        let record = text.get(space + 1..length).ok_or(Broken::Header)?;
        text = &text[length..];
        if let Some(value) = record.strip_prefix(b"size=") {
            let digits = std::str::from_utf8(value).map_err(|_| Broken::Header)?.trim_end();
            size = Some(digits.parse().map_err(|_| Broken::Header)?);
        }
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn judged(bytes: &[u8], piece: usize) -> Result<(), Broken> {
        let mut archive = Archive::new();
        for piece in bytes.chunks(piece) {
            archive.piece(piece)?;
        }
        archive.ended()
    }

    /// A folder with what volumes hold, as the system's own command packs it.
    fn packed(format: &str) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir_all(data.join("deep").join("d".repeat(120))).unwrap();
        std::fs::write(data.join("zeros"), vec![0; 5 * BLOCK]).unwrap();
        std::fs::write(data.join("deep").join("d".repeat(120)).join("n".repeat(200)), "long").unwrap();
        std::fs::write(data.join("odd"), vec![7; 777]).unwrap();
        std::fs::hard_link(data.join("odd"), data.join("same")).unwrap();
        std::os::unix::fs::symlink("odd", data.join("link")).unwrap();
        let mut tar = Command::new("tar");
        tar.arg(format!("--format={format}")).args(["-b", "1", "-cf", "-", "-C"]).arg(folder.path()).arg("data");
        let output = tar.output().unwrap();
        assert!(output.status.success());
        output.stdout
    }

    #[test]
    fn a_whole_archive_passes_and_no_part_of_it() {
        for format in ["gnu", "pax"] {
            let whole = packed(format);
            for piece in [1, 7, BLOCK, 4096, whole.len()] {
                assert_eq!(judged(&whole, piece), Ok(()), "{format} by {piece}");
            }
            for end in (0..whole.len()).step_by(64) {
                assert_ne!(judged(&whole[..end], 4096), Ok(()), "{format}, cut at {end}");
            }
        }
    }

    #[test]
    fn what_is_lost_on_the_way_breaks_it() {
        let whole = packed("gnu");
        let zeros = whole.windows(5).position(|it| it == b"zeros").unwrap();
        let mut cut = whole[..zeros + BLOCK].to_vec();
        cut.extend_from_slice(&whole[zeros + 2 * BLOCK + 100..]);
        assert!(judged(&cut, 4096).is_err());
        // Cut in the middle of zeros, as at the end of a body that the engine gave up.
        assert_eq!(judged(&whole[..zeros / BLOCK * BLOCK + 4 * BLOCK], 4096), Err(Broken::Short));
    }

    #[test]
    fn what_is_no_folder_does_not_pass() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("elsewhere", folder.path().join("data")).unwrap();
        let output = Command::new("tar").args(["-cf", "-", "-C"]).arg(folder.path()).arg("data").output().unwrap();
        assert_eq!(judged(&output.stdout, 512), Err(Broken::NoFolder));
        assert_eq!(judged(&[0; 4 * BLOCK], 512), Err(Broken::NoFolder));
        assert_eq!(judged(b"{\"message\":\"no such container\"}", 512), Err(Broken::Short));
    }

    #[test]
    fn sizes_of_large_files_are_understood() {
        assert_eq!(number(b"00000001000\0"), Some(512));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]), Some(8 << 30));
        assert_eq!(size_of(b"19 size=8589934592\n"), Ok(Some(8 << 30)));
        assert_eq!(size_of(b"30 mtime=1700000000.123456789\n"), Ok(None));
        assert_eq!(size_of(b"no record"), Err(Broken::Header));
    }
}
