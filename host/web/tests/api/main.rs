//! The API as its callers see it: the router over a real engine on a temporary data folder, with real processes.

mod access;
mod document;
mod hostile;
mod house;
mod over_tcp;
mod story;
