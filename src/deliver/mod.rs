//! Stage: resolved groups in, Bundles submitted, receipts completed.

pub(crate) mod content;
mod conversion;
mod decimal;
pub(crate) mod identifier;
mod json_text;
pub(crate) mod merge;
pub(crate) mod observation;
mod raw;
mod sampled_data;
#[cfg(test)]
mod shipped_templates;
