//! Building and merging as a whole: stored resources as others leave them, and properties against a naive oracle.

mod odd_resources;
mod oracle;
mod properties;

use super::content::Content;
use super::fixture::{Group, handlebars, template};
use super::merge::Merged;
use super::reading::ConversionFailure;
use super::{merge, observation, rendered};
use crate::mapping::fhir::code_value::CodeValueFhir;
use crate::mapping::fhir::handlebars::HandlebarsFhir;

/// A template of either kind.
#[derive(Debug)]
enum Kind {
    CodeValue(CodeValueFhir),
    Handlebars(HandlebarsFhir),
}

impl Kind {
    fn code_value(members: &str) -> Self {
        Self::CodeValue(template(members))
    }

    fn handlebars(resource: &str) -> Self {
        Self::Handlebars(handlebars(resource))
    }

    fn build(&self, group: &Group) -> String {
        let content: Content<'_> = group.content();
        let built = match self {
            Self::CodeValue(template) => observation::build(template, &content),
            Self::Handlebars(template) => rendered::build(template, &content),
        };
        String::from_utf8(built.unwrap().json).unwrap()
    }

    /// What is to be written; `None` when nothing changes.
    fn merge(&self, stored: &str, group: &Group) -> Result<Option<String>, ConversionFailure> {
        let content = group.content();
        let merge = match self {
            Self::CodeValue(template) => merge::merge(stored.as_bytes(), template, &content),
            Self::Handlebars(template) => merge::rendered::merge(stored.as_bytes(), template, &content),
        };
        Ok(match merge?.outcome {
            Merged::Unchanged => None,
            Merged::Changed(json) => Some(String::from_utf8(json).unwrap()),
        })
    }

    /// What is stored after these batches, one after the other.
    fn store(&self, batches: &[Group]) -> String {
        let (first, others) = batches.split_first().unwrap();
        others.iter().fold(self.build(first), |stored, batch| self.merge(&stored, batch).unwrap().unwrap_or(stored))
    }
}
