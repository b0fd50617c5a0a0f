//! A registry that does what a test says, down to the bytes on the line.
//!
//! It speaks just enough HTTP/1.1: one request a line, then it closes. Knows a good artifact to answer with where the
//! test has nothing to say.

use crate::materials::{component, facts, hex};
use hostler_plugin::oci::{Digest, Reference, Store};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    /// How many requests of this method and path came before.
    pub(crate) before: usize,
}

pub(crate) enum Reply {
    /// Status, headers, body; its length is told.
    Whole(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// The same, but this is what comes after the status line, byte for byte, and then the line is closed.
    Raw(u16, Vec<u8>),
    /// Nothing comes until the client goes.
    Silence,
    /// One byte after the other, for ever.
    Drip,
    /// As much as the client takes.
    Endless,
    /// As a good registry does it.
    Good,
}

/// A component as a registry has it.
#[derive(Clone)]
pub(crate) struct Good {
    pub(crate) manifest: Vec<u8>,
    pub(crate) config: Vec<u8>,
    pub(crate) layer: Vec<u8>,
}

impl Good {
    pub(crate) fn new(word: &str) -> Self {
        Self::of(component(word))
    }

    pub(crate) fn of(layer: Vec<u8>) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::open(dir.path(), 64 << 20).expect("opened");
        let stored = store.put_component(&layer, &facts("good")).expect("stored");
        let blob = |hex: &str| std::fs::read(dir.path().join("blobs/sha256").join(hex)).expect("there");
        let manifest = blob(&hex(stored.manifest_digest));
        let read: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
        let config = read["config"]["digest"].as_str().expect("a digest").trim_start_matches("sha256:").to_owned();
        Self { config: blob(&config), manifest, layer }
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    /// The same artifact with another manifest.
    pub(crate) fn with_manifest(&self, change: impl FnOnce(&mut serde_json::Value)) -> Self {
        let mut manifest = serde_json::from_slice(&self.manifest).expect("JSON");
        change(&mut manifest);
        Self { manifest: manifest.to_string().into_bytes(), ..self.clone() }
    }

    fn answer(&self, path: &str) -> Reply {
        for (blob, kind) in [(&self.config, "application/octet-stream"), (&self.layer, "application/octet-stream")] {
            if path.ends_with(&format!("/blobs/{}", Digest::of(blob))) {
                return Reply::Whole(200, vec![("content-type", kind.into())], blob.clone());
            }
        }
        let is_tag = path.ends_with("/manifests/1") || path.ends_with(&format!("/manifests/{}", self.digest()));
        if is_tag {
            let kind = "application/vnd.oci.image.manifest.v1+json".into();
            return Reply::Whole(200, vec![("content-type", kind)], self.manifest.clone());
        }
        Reply::Whole(404, Vec::new(), br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"unknown"}]}"#.to_vec())
    }
}

type Script = dyn Fn(&Ask) -> Reply + Send + Sync;

pub(crate) struct Fake {
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<Ask>>>,
    over: Arc<AtomicBool>,
}

impl Fake {
    pub(crate) fn start(good: Good, script: impl Fn(&Ask) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0", good, script)
    }

    pub(crate) fn start_at(at: &str, good: Good, script: impl Fn(&Ask) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(at).expect("a port is free");
        let address = listener.local_addr().expect("it has one").to_string();
        let asked = Arc::<Mutex<Vec<Ask>>>::default();
        let over = Arc::<AtomicBool>::default();
        let (script, good): (Arc<Script>, _) = (Arc::new(script), Arc::new(good));
        let (asks, ended) = (asked.clone(), over.clone());
        std::thread::spawn(move || {
            for line in listener.incoming().flatten() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let (script, good, asks) = (script.clone(), good.clone(), asks.clone());
                std::thread::spawn(move || drop(serve(line, script.as_ref(), &good, &asks)));
            }
        });
        Self { address, asked, over }
    }

    /// `things/good:1` at this registry.
    pub(crate) fn reference(&self) -> Reference {
        format!("{}/things/good:1", self.address).parse().expect("a reference")
    }

    pub(crate) fn asked(&self) -> Vec<Ask> {
        self.asked.lock().expect("no panic").clone()
    }

    /// How many requests had this in their path.
    pub(crate) fn count(&self, part: &str) -> usize {
        self.asked().iter().filter(|ask| ask.path.contains(part)).count()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for a line.
        drop(TcpStream::connect(&self.address));
    }
}

fn serve(line: TcpStream, script: &Script, good: &Good, asked: &Mutex<Vec<Ask>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(line.try_clone()?);
    let mut line = line;
    // A TLS client begins with this byte, and servers of plain HTTP answer it like that.
    if reader.fill_buf()?.first() == Some(&0x16) {
        return line.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    }
    let mut head = Vec::new();
    let mut length = 0;
    loop {
        let mut text = String::new();
        if reader.read_line(&mut text)? == 0 {
            return Ok(());
        }
        if text.trim().is_empty() {
            break;
        }
        if let Some(value) = text.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or_default();
        }
        head.push(text);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let Some((method, rest)) = head.first().and_then(|first| first.split_once(' ')) else { return Ok(()) };
    let path = rest.split(' ').next().unwrap_or_default().to_owned();
    let authorization = head.iter().find_map(|header| {
        let (name, value) = header.split_once(':')?;
        name.eq_ignore_ascii_case("authorization").then(|| value.trim().to_owned())
    });
    let ask = {
        let mut asked = asked.lock().expect("no panic");
        let before = asked.iter().filter(|ask| ask.path == path && ask.method == method).count();
        let ask = Ask { method: method.into(), path, authorization, before };
        asked.push(ask.clone());
        ask
    };
    let mut reply = script(&ask);
    if let Reply::Good = reply {
        reply = good.answer(&ask.path);
    }
    write_reply(&mut line, reply)
}

fn write_reply(line: &mut TcpStream, reply: Reply) -> std::io::Result<()> {
    match reply {
        Reply::Whole(status, headers, body) => {
            write!(line, "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n", body.len())?;
            for (name, value) in headers {
                write!(line, "{name}: {value}\r\n")?;
            }
            line.write_all(b"\r\n")?;
            line.write_all(&body)
        }
        Reply::Raw(status, rest) => {
            write!(line, "HTTP/1.1 {status} X\r\nconnection: close\r\n")?;
            line.write_all(&rest)
        }
        Reply::Silence => line.read(&mut [0]).map(drop),
        Reply::Drip => {
            write!(line, "HTTP/1.1 200 X\r\nconnection: close\r\n\r\n")?;
            loop {
                line.write_all(b".")?;
                // tidy: allow(sleep), because slowness is what this registry is for.
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
        Reply::Endless => {
            write!(line, "HTTP/1.1 200 X\r\nconnection: close\r\n\r\n")?;
            loop {
                line.write_all(&[b' '; 64 << 10])?;
            }
        }
        Reply::Good => unreachable!("it was answered before"),
    }
}

/// Nothing of a pull that failed has a place in the store.
pub(crate) fn assert_nothing_left(root: &Path) {
    for folder in ["blobs/sha256", "incoming"] {
        let count = std::fs::read_dir(root.join("plugins").join(folder)).expect("a folder").count();
        assert_eq!(count, 0, "something is left in {folder}");
    }
}
