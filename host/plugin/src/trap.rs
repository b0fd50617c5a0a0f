//! A guest's trap in one line for people: what happened, and in which of its functions.

use wasmtime::{Trap, WasmBacktrace};

const FRAMES_MAX: usize = 5;

/// `None`: the error is no trap of the guest's code.
pub(crate) fn told(error: &wasmtime::Error) -> Option<String> {
    let trap = error.downcast_ref::<Trap>()?;
    let frames = error.downcast_ref::<WasmBacktrace>().map_or(&[][..], WasmBacktrace::frames);
    let names: Vec<String> = frames.iter().take(FRAMES_MAX).map(name).collect();
    Some(if names.is_empty() { trap.to_string() } else { format!("{trap}, in {}", names.join(" < ")) })
}

/// The error with its causes in one line; where the guest was is of use to nobody where it is not the guest's fault.
pub(crate) fn without_backtrace(error: &wasmtime::Error) -> String {
    match error.downcast_ref::<WasmBacktrace>() {
        Some(_) => error.root_cause().to_string(),
        None => format!("{error:#}"),
    }
}

fn name(frame: &wasmtime::FrameInfo) -> String {
    let symbol = frame.symbols().first().and_then(|symbol| symbol.name());
    let name = symbol.or(frame.func_name());
    // Without the hash at the end, which says nothing to anybody; a name of another language stays as it is.
    name.map_or_else(
        || format!("function {}", frame.func_index()),
        |name| format!("{:#}", rustc_demangle::demangle(name)),
    )
}
