//! A small HTTP server on loopback that does what a test says: answers by path, remembers what came.

#![allow(dead_code, reason = "each test file uses its own part")]

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// One request that came.
#[derive(Clone, Debug)]
pub(crate) struct Came {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

pub(crate) struct Server {
    pub(crate) port: u16,
    came: Arc<Mutex<Vec<Came>>>,
    /// Lets `/never` go on at the end of the test.
    _never: Arc<Notify>,
    _serving: tokio::task::JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (came, never) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Notify::new()));
        let (kept, waits) = (came.clone(), never.clone());
        let serving = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let (kept, waits) = (kept.clone(), waits.clone());
                let service = service_fn(move |request| answer(request, port, kept.clone(), waits.clone()));
                let serve = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async move { drop(serve.await) });
            }
        });
        Self { port, came, _never: never, _serving: serving }
    }

    pub(crate) fn came(&self) -> Vec<Came> {
        self.came.lock().expect("no panic").clone()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

async fn answer(
    request: Request<Incoming>,
    port: u16,
    came: Arc<Mutex<Vec<Came>>>,
    never: Arc<Notify>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let path = head.uri.path().to_owned();
    let one = Came { method: head.method.to_string(), path: path.clone(), headers: head.headers, body };
    came.lock().expect("no panic").push(one);
    let to = |status: u16, location: String| {
        Response::builder().status(status).header("location", location).body(Full::default()).expect("good")
    };
    let says =
        |status: StatusCode, text: Vec<u8>| Response::builder().status(status).body(Full::from(text)).expect("good");
    Ok(match path.as_str() {
        "/metadata" => to(302, "http://169.254.169.254/latest/meta-data/".into()),
        "/elsewhere" => to(302, format!("http://other.example:{port}/stolen")),
        "/round" => to(302, "/round".into()),
        "/moved" => to(303, "/here".into()),
        "/moved-other-origin" => to(307, format!("http://named.example:{port}/granted/after")),
        "/large-bytes" => says(StatusCode::OK, vec![0xff; 2 << 20]),
        "/large" => says(StatusCode::OK, vec![b'x'; 2 << 20]),
        "/busy" => {
            let answer = Response::builder().status(503).header("retry-after", "7");
            answer.body(Full::default()).expect("good")
        }
        "/gone" => says(StatusCode::GONE, Vec::new()),
        "/never" => {
            never.notified().await;
            says(StatusCode::OK, Vec::new())
        }
        _ => says(StatusCode::OK, format!("at {path}").into_bytes()),
    })
}
