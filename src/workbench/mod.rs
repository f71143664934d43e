//! Mappings tried out on samples, with nothing running: what those who write a mapping need to see.
//!
//! Everything here goes through the functions of the pipeline itself, so that what it shows is what would be stored.

mod engine;

pub use engine::Engine;
