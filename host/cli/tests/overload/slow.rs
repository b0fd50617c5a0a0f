//! Readers of logs and events that take a few bytes a second, with the smallest buffer that the kernel gives.
//!
//! Invariant: a reader is never cut off while the host lives. Must not know what the bytes mean.

use hostler_web::Client;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

/// Taken at once.
const PIECE: usize = 16;

/// From one piece to the next.
const PAUSE: Duration = Duration::from_secs(2);

/// Reads the answer to `GET path` until `end`, and answers how many bytes it took.
pub(crate) async fn read(client: &Client, token: &str, path: &str, end: Instant) -> u64 {
    let address: SocketAddr = client.url().trim_start_matches("http://").parse().expect("its own address");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(1024).expect("set");
    let mut stream = socket.connect(address).await.expect("connected");
    let head = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let (mut taken, mut piece) = (0, [0; PIECE]);
    let length = stream.read_exact(&mut piece).await.expect("an answer");
    assert!(piece.starts_with(b"HTTP/1.1 200"), "{path}: {:?}", String::from_utf8_lossy(&piece));
    taken += length as u64;
    while Instant::now() < end {
        let length = stream.read(&mut piece).await.expect("the connection stands");
        assert!(length > 0, "{path} was cut off after {taken} bytes");
        taken += length as u64;
        // tidy: allow(sleep), because how slowly it is read is the measure.
        tokio::time::sleep(PAUSE).await;
    }
    taken
}
