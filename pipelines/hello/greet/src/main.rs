//! The task `greet` of the pipeline `hello`: a component that says hello to whom its argument names.
//!
//! An ordinary program: what makes it a sandboxed task is only that it is built for `wasm32-wasip2`.

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut guests = std::env::args().skip(1).filter(|argument| argument != "--");
    let Some(guest) = guests.next() else {
        eprintln!("nobody to greet: give a name");
        return ExitCode::from(2);
    };
    let greeting = greeting(&guest);
    println!("{greeting}");
    match put_out(&greeting) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the output cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}

fn greeting(guest: &str) -> String {
    format!("Hello, {guest}! Your room is ready.")
}

/// What goes into the file that `HOSTLER_OUTPUT` names can be read by the tasks that follow.
#[expect(clippy::disallowed_methods, reason = "a task gets its outputs file by environment")]
fn put_out(greeting: &str) -> std::io::Result<()> {
    let Ok(path) = std::env::var("HOSTLER_OUTPUT") else { return Ok(()) };
    let mut file = std::fs::File::create(path)?;
    writeln!(file, "greeting={greeting}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_guest_is_greeted_by_name() {
        assert_eq!(super::greeting("Ann"), "Hello, Ann! Your room is ready.");
    }
}
