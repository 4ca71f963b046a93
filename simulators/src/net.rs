//! Serving a router so that a connection can be cut: by a fault, without an answer, or all of them
//! at once when the machine behind the address is switched off.
//!
//! Rule: when the token is cancelled, nothing answers any more, not even a kept-alive connection.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use axum::{Router, extract::connect_info::Connected, serve::IncomingStream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Cuts one connection: once set, the next byte written becomes a TCP reset.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cut(Arc<AtomicBool>);

impl Cut {
    /// From now on nothing more is sent on this connection.
    pub(crate) fn cut(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_cut(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Connected<IncomingStream<'_, CutListener>> for Cut {
    fn connect_info(stream: IncomingStream<'_, CutListener>) -> Self {
        stream.io().cut.clone()
    }
}

/// A listener whose connections end with the token.
pub(crate) struct CutListener {
    listener: TcpListener,
    ended: CancellationToken,
}

/// A connection that can be cut.
pub(crate) struct CutStream {
    stream: TcpStream,
    cut: Cut,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl axum::serve::Listener for CutListener {
    type Io = CutStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (CutStream, SocketAddr) {
        let (stream, address) = axum::serve::Listener::accept(&mut self.listener).await;
        // Small answers: without this each one waits for the client's delayed acknowledgement.
        let _ = stream.set_nodelay(true);
        let ended = Box::pin(self.ended.clone().cancelled_owned());
        let cut = Cut::default();
        (CutStream { stream, cut, ended }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl CutStream {
    fn gone(&mut self, cx: &mut Context<'_>) -> Option<io::Error> {
        if self.cut.is_cut() || self.ended.as_mut().poll(cx).is_ready() {
            // Closing with zero linger sends a reset instead of an orderly end.
            let _ = self.stream.set_zero_linger();
            return Some(io::ErrorKind::ConnectionReset.into());
        }
        None
    }
}

impl AsyncRead for CutStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.gone(cx) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for CutStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(error) = self.gone(cx) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Serves `router` until `ended` is cancelled; handlers may extract `ConnectInfo<Cut>`. The port
/// is free again once the returned task has ended.
pub(crate) fn serve(listener: TcpListener, router: Router, ended: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        let listener = CutListener { listener, ended: ended.clone() };
        let service = router.into_make_service_with_connect_info::<Cut>();
        tokio::select! {
            _ = axum::serve(listener, service).into_future() => {}
            () = ended.cancelled() => {}
        }
    })
}
