//! The engine through its handle: a real store in a temporary folder, real processes and components, a clock moved by
//! hand.

mod fires;
mod host;
mod recovery;
mod runs;
mod upkeep;
