//! Files as a stream, one or several in a tar archive (POSIX.1-1988 ustar). The rule: nothing is held
//! in memory but the piece that is being sent, and what is sent has the size that was announced.

use std::io;

use axum::body::Bytes;
use domain::time::Timestamp;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio_util::io::ReaderStream;

use crate::services::{BackupContent, BackupFile};

/// What everything in an archive is a multiple of.
const BLOCK: u64 = 512;

/// The size from which on it no longer fits into eleven octal digits.
const OCTAL_MOST: u64 = 1 << 33;

/// A file as it is.
pub(super) fn one(file: BackupFile) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    contents(file)
}

/// Files as an archive; `at` is when they were made.
pub(super) fn all(files: Vec<BackupFile>, at: Timestamp) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let parts = stream::iter(files).flat_map(move |file| {
        let head = stream::iter([Ok(Bytes::from(head(&file, at)))]);
        let rest = stream::iter([Ok(Bytes::from(vec![0; padding(file.bytes)]))]);
        head.chain(contents(file)).chain(rest)
    });
    parts.chain(stream::iter([Ok(Bytes::from(vec![0; 2 * BLOCK as usize]))]))
}

/// The size of such an archive in bytes.
pub(super) fn size(files: &[BackupFile]) -> u64 {
    files.iter().map(|file| BLOCK + file.bytes + padding(file.bytes) as u64).sum::<u64>() + 2 * BLOCK
}

fn padding(bytes: u64) -> usize {
    (bytes.next_multiple_of(BLOCK) - bytes) as usize
}

fn contents(file: BackupFile) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let opened = async move {
        let reader: Box<dyn AsyncRead + Send + Unpin> = match file.content {
            BackupContent::Disk(path) => Box::new(tokio::fs::File::open(&path).await?.take(file.bytes)),
            BackupContent::Held(bytes) => Box::new(io::Cursor::new(bytes)),
        };
        Ok::<_, io::Error>(ReaderStream::with_capacity(reader, 64 * 1024))
    };
    stream::once(opened).try_flatten()
}

/// The block that stands before a file.
fn head(file: &BackupFile, at: Timestamp) -> Vec<u8> {
    let mut block = vec![0_u8; BLOCK as usize];
    let mut put = |from: usize, bytes: &[u8]| {
        for (slot, byte) in block.iter_mut().skip(from).zip(bytes) {
            *slot = *byte;
        }
    };
    put(0, file.name.as_bytes());
    put(100, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    if file.bytes < OCTAL_MOST {
        put(124, format!("{:011o}\0", file.bytes).as_bytes());
    } else {
        // GNU's and every newer tar's way for what is larger: the number itself, its first bit set.
        put(124, &[0x80, 0, 0, 0]);
        put(128, &file.bytes.to_be_bytes());
    }
    put(136, format!("{:011o}\0", at.millis().max(0) / 1000).as_bytes());
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    for (slot, byte) in block.iter_mut().skip(148).zip(format!("{sum:06o}\0 ").as_bytes()) {
        *slot = *byte;
    }
    block
}
