//! The warden of the hosts that the tests start: the same as in the binary, without the rest of it.

fn main() -> std::process::ExitCode {
    hostler_engine::warden::main()
}
