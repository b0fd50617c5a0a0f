//! A plugin of every role that does what a test tells it to. All of it is the component; natively there is nothing.

#[cfg(target_family = "wasm")]
mod acts;
#[cfg(target_family = "wasm")]
mod component;
