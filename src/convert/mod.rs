//! Measurements of a group as a FHIR resource: built when there is none, merged into the one that exists.
//!
//! Pure: what is stored and when it is made are arguments. The deliver stage calls it for every group on its way to the
//! server; the mapping workbench calls the same functions to show what a mapping makes of a sample.

pub(crate) mod content;
mod decimal;
#[cfg(test)]
mod fixture;
pub(crate) mod identifier;
mod json_text;
pub(crate) mod merge;
pub(crate) mod observation;
mod raw;
pub(crate) mod reading;
mod sampled_data;
#[cfg(test)]
mod shipped_templates;
