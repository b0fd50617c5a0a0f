//! A command that does what its first argument says, for the tests of the wasm executor. In no release.

#![expect(clippy::disallowed_methods, reason = "it shows its environment, which is the point")]

use std::io::{Read, Write};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let first = args.get(1).map_or("", String::as_str);
    match first {
        "show" => show(&args),
        "exit" => std::process::exit(args.get(2).and_then(|code| code.parse().ok()).unwrap_or(0)),
        "panic" => panic!("on purpose"),
        "spin" => loop {
            std::hint::black_box(0);
        },
        "sleep" => std::thread::sleep(std::time::Duration::from_secs(3600)),
        "hoard" => {
            let mut hoard: Vec<Vec<u8>> = Vec::new();
            loop {
                hoard.push(std::hint::black_box(vec![1; 1 << 20]));
            }
        }
        "flood" => {
            let line = [b'x'; 1024];
            for _ in 0..16 * 1024 {
                std::io::stdout().write_all(&line).expect("stdout takes it");
            }
        }
        "files" => files(),
        "both" => {
            println!("one\ntwo");
            eprintln!("oops");
        }
        "sample" => println!("{}", std::env::var("SAMPLE").unwrap_or_default()),
        "many" => many(),
        "ready" => {
            println!("ready");
            std::thread::sleep(std::time::Duration::from_secs(3600));
        }
        "make" => std::fs::write("made", "here").expect("the workspace is writable"),
        "outputs" => std::fs::write("/outputs/outputs", r#"{"rows": 3}"#).expect("the outputs folder is writable"),
        "net" => net(),
        _ => println!("nothing to do"),
    }
}

fn show(args: &[String]) {
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input).expect("stdin is text");
    println!("args {args:?}");
    let mut env: Vec<_> = std::env::vars().collect();
    env.sort();
    println!("env {env:?}");
    println!("stdin {input:?}");
    eprintln!("to stderr");
}

/// Numbered lines, more than any buffer between guest and reader holds.
fn many() {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for number in 0..500_000 {
        writeln!(out, "{number:09}").expect("stdout takes it");
    }
    out.flush().expect("stdout takes it");
}

fn files() {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_else(|error| format!("{:?}", error.kind()));
    println!("workspace {} {}", read("/workspace/in.txt"), read("in.txt"));
    println!("outside {} {}", read("/workspace/../secret.txt"), read("/etc/passwd"));
    std::fs::write("out.txt", "written").expect("the workspace is writable");
    std::fs::write("/tmp/scratch", "private").expect("/tmp is writable");
    println!("tmp {}", read("/tmp/scratch"));
    if let Ok(path) = std::env::var("HOSTLER_OUTPUT") {
        std::fs::write(path, "rows=3").expect("the outputs folder is writable");
    }
}

fn net() {
    let tcp = std::net::TcpStream::connect(("127.0.0.1", 80)).is_ok();
    let listen = std::net::TcpListener::bind(("127.0.0.1", 0)).is_ok();
    let udp = std::net::UdpSocket::bind(("127.0.0.1", 0)).is_ok();
    let name = std::net::ToSocketAddrs::to_socket_addrs(&("localhost", 80)).is_ok();
    println!("{tcp} {listen} {udp} {name}");
}
