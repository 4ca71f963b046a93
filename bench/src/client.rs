//! A lean HTTP/1.1 client: one kept connection, one request at a time, answers with a length. The
//! rule: it takes as little of the machine as it can, for it shares it with what is measured.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A kept connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer.
pub struct Answer<'a> {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: &'a [u8],
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(64 * 1024) })
    }

    /// Sends `request`, a whole one as text, and reads the answer.
    pub async fn send(&mut self, request: &[u8]) -> Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            self.more().await?;
            if let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break end;
            }
        };
        let text = std::str::from_utf8(&self.buffer[..head])?;
        let status: u16 = text.get(9..12).context("no status")?.parse()?;
        let length: usize = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .context("an answer without a length")?
            .1
            .trim()
            .parse()?;
        let begin = head + 4;
        while self.buffer.len() < begin + length {
            self.more().await?;
        }
        if self.buffer.len() > begin + length {
            bail!("more than the answer came");
        }
        Ok(Answer { status, body: &self.buffer[begin..] })
    }

    async fn more(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }
}

/// The text of a GET.
pub fn get(path: &str, header: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{header}\r\n\r\n").into_bytes()
}

/// The text of a POST with a JSON body.
pub fn post(path: &str, header: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\n{header}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers one request with `pieces`, one write each.
    async fn answered(pieces: &'static [&'static str]) -> Result<(u16, String)> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 64];
            let _ = stream.read(&mut request).await.unwrap();
            for piece in pieces {
                stream.write_all(piece.as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let asked = async {
            let mut connection = Connection::open(address).await?;
            let answer = connection.send(&get("/", "accept: */*")).await?;
            Ok((answer.status, String::from_utf8(answer.body.to_vec())?))
        };
        tokio::join!(served, asked).1
    }

    #[tokio::test]
    async fn an_answer_is_read_however_it_comes() {
        let whole = answered(&["HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello"]).await.unwrap();
        assert_eq!(whole, (201, "hello".to_owned()));
        let pieces = answered(&["HTTP/1.1 404 Not", " Found\r\ncontent-length:2\r", "\n\r\n", "n", "o"]).await.unwrap();
        assert_eq!(pieces, (404, "no".to_owned()));
    }

    #[tokio::test]
    async fn an_answer_that_ends_early_is_an_error() {
        let error = answered(&["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort"]).await.unwrap_err();
        assert!(error.to_string().contains("closed"), "{error}");
    }
}
