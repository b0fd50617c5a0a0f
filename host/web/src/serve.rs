//! Takes connections and answers them until it is told to stop.
//!
//! Invariants: a connection that sends its head too slowly, or too large a one, is closed; there is a bound on how many
//! are open, and one more is told so; stopping ends streams at once, lets answers that are under way finish for a
//! while, and then closes what is left.

use crate::error::Error;
use crate::{Listen, ListenError, Web, router};
use axum::Router;
use axum::body::Body;
use hostler_model::Kind;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt;

/// Connections over the limit that are being told so at once; further ones wait in the kernel's queue.
const REFUSALS_MAX: usize = 64;

/// How long one that is refused may take to send its head and to hear the answer.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the head of a request may take; also how long an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);

/// The largest head of a request: target and headers.
const HEAD_BYTES_MAX: usize = 32 * 1024;

const HEADERS_MAX: usize = 64;

/// How long answers that are under way may take once the host stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("`{address}` is in use by another program; stop it, or choose another address with `--listen`")]
    InUse { address: SocketAddr },
    #[error(
        "`{address}` cannot be listened on; ports below 1024 need more rights, and the address must be one of this machine"
    )]
    Bind { address: SocketAddr, source: std::io::Error },
}

/// Listens already and does not answer yet: who connects now waits for `serve`.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

/// Takes the address, or says why not.
pub async fn bind(listen: Listen) -> Result<Server, ServeError> {
    listen.check()?;
    let wanted = listen.address;
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::AddrInUse => ServeError::InUse { address: wanted },
        _ => ServeError::Bind { address: wanted, source },
    };
    let listener = TcpListener::bind(wanted).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Server { listener, address })
}

impl Server {
    /// The address that was taken, with the port that the system chose where it was 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown` is ready, then winds down.
    pub async fn serve(self, web: Web, shutdown: impl Future<Output = ()> + Send) {
        let app = router(web.clone());
        let places = Places::new(web.options().connections_max);
        let (stop, stopping) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(&places) => accepted,
                Some(_) = connections.join_next() => continue,
                () = &mut shutdown => break,
            };
            match accepted {
                Some((stream, Place::Taken(place))) => {
                    let (app, stopping) = (app.clone(), stopping.clone());
                    connections.spawn(async move {
                        answer(stream, app, stopping).await;
                        drop(place);
                    });
                }
                Some((stream, Place::Refused(place))) => {
                    let most = places.most;
                    connections.spawn(async move {
                        let _ = tokio::time::timeout(REFUSAL_TIMEOUT, refuse(stream, most)).await;
                        drop(place);
                    });
                }
                None => {}
            }
        }
        web.stop();
        stop.send_replace(true);
        let left = tokio::time::timeout(STOP_TIMEOUT, async { while connections.join_next().await.is_some() {} }).await;
        if left.is_err() {
            tracing::warn!("{} connections were closed before their answers were sent", connections.len());
            connections.shutdown().await;
        }
    }

    async fn accept(&self, places: &Places) -> Option<(TcpStream, Place)> {
        let place = places.take().await?;
        match self.listener.accept().await {
            Ok((stream, _)) => Some((stream, places.look_again(place))),
            Err(error) => {
                tracing::warn!("a connection could not be taken: {error}");
                // Out of file descriptors: asking again at once would only spin.
                tokio::time::sleep(Duration::from_millis(50)).await;
                None
            }
        }
    }
}

/// How many connections there may be.
struct Places {
    most: usize,
    open: Arc<Semaphore>,
    refused: Arc<Semaphore>,
}

enum Place {
    Taken(OwnedSemaphorePermit),
    /// All are taken; this is one among those that are told so.
    Refused(OwnedSemaphorePermit),
}

impl Places {
    fn new(most: usize) -> Self {
        Self { most, open: Arc::new(Semaphore::new(most)), refused: Arc::new(Semaphore::new(REFUSALS_MAX)) }
    }

    /// Whichever is free first once both are taken.
    async fn take(&self) -> Option<Place> {
        if let Ok(place) = Arc::clone(&self.open).try_acquire_owned() {
            return Some(Place::Taken(place));
        }
        tokio::select! {
            biased;
            place = Arc::clone(&self.open).acquire_owned() => place.ok().map(Place::Taken),
            place = Arc::clone(&self.refused).acquire_owned() => place.ok().map(Place::Refused),
        }
    }

    /// One may have been given back while we waited for somebody to come.
    fn look_again(&self, place: Place) -> Place {
        match Arc::clone(&self.open).try_acquire_owned() {
            Ok(free) if matches!(place, Place::Refused(_)) => Place::Taken(free),
            Ok(_) | Err(_) => place,
        }
    }
}

/// Answers the first request with "too many", and closes.
async fn refuse(stream: TcpStream, most: usize) {
    let service = hyper::service::service_fn(|_: hyper::Request<hyper::body::Incoming>| {
        let busy = Error::new(Kind::Busy, format!("{most} connections are open already, which is the most at once"));
        let busy = busy.hint("use one connection for many requests, try again later, or raise `limits.connections`");
        std::future::ready(Ok::<_, Infallible>(crate::outer::refused(busy)))
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!("a connection that was refused ended early: {error}");
    }
}

async fn answer(stream: TcpStream, app: Router, mut stopping: watch::Receiver<bool>) {
    // Small answers should not wait for more; a socket that refuses the option works all the same.
    let _ = stream.set_nodelay(true);
    let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        app.clone().oneshot(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = crate::sse::stopped(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection ended early: {error}");
    }
}
