//! Stands between an executor and its engine, and behaves as engines do when they are ill.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mood {
    Well,
    /// Everything takes a little longer.
    Slow,
    /// Takes connections, and says nothing; also on those that it has.
    Stalled,
    /// Hangs up on everybody.
    Gone,
    /// Answers what is no HTTP.
    Nonsense,
    /// Answers HTTP whose body is no answer.
    Babble,
}

pub(crate) struct Proxy {
    mood: watch::Sender<Mood>,
    socket: PathBuf,
    connections: Arc<Mutex<JoinSet<()>>>,
    _folder: tempfile::TempDir,
}

impl Proxy {
    pub(crate) fn before(engine: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let socket = folder.path().join("engine.sock");
        let listener = UnixListener::bind(&socket).expect("a socket can be made");
        let (mood, seen) = watch::channel(Mood::Well);
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let (engine, all) = (engine.to_owned(), connections.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                all.lock().expect("whole").spawn(serve(stream, engine.clone(), seen.clone()));
            }
        });
        Self { mood, socket, connections, _folder: folder }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.socket.clone()
    }

    /// From now on, also on what is open.
    pub(crate) fn be(&self, mood: Mood) {
        self.mood.send_replace(mood);
        if mood == Mood::Gone {
            self.connections.lock().expect("whole").abort_all();
        }
    }
}

async fn serve(mut stream: UnixStream, engine: PathBuf, mut mood: watch::Receiver<Mood>) {
    let now = *mood.borrow();
    let answer: &[u8] = match now {
        Mood::Gone => return,
        Mood::Nonsense => b"\x00\x01\x02 what is this?\r\n",
        Mood::Babble => b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\n{\"Api\": [7,8}",
        Mood::Well | Mood::Slow | Mood::Stalled => b"",
    };
    if !answer.is_empty() {
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await;
        let _ = stream.write_all(answer).await;
        return;
    }
    let Ok(behind) = UnixStream::connect(engine).await else { return };
    let (from_host, to_host) = stream.into_split();
    let (from_engine, to_engine) = behind.into_split();
    let there = pass_on(from_host, to_engine, mood.clone());
    let back = pass_on(from_engine, to_host, mood.clone());
    let _ = mood.borrow_and_update();
    tokio::join!(there, back);
}

async fn pass_on(
    mut from: tokio::net::unix::OwnedReadHalf,
    mut to: tokio::net::unix::OwnedWriteHalf,
    mut mood: watch::Receiver<Mood>,
) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let held = mood.wait_for(|mood| *mood != Mood::Stalled).await;
        let is_slow = held.is_ok_and(|mood| *mood == Mood::Slow);
        if is_slow {
            // tidy: allow(sleep), because being slow is what this mood is.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
