//! Whether a resource conforms to profiles (<https://hl7.org/fhir/R4/profiling.html>).
//!
//! What R4 itself asks of a type is checked by `structure`, and before this: here a resource is one of R4. `definition`
//! reads a StructureDefinition into a tree of what it asks beyond that, `check` goes through resource and tree side by
//! side, `slicing` and `marks` tell values of one element apart, `fhir_path` evaluates rules, those of R4 as well (`rules_of_r4`).
//!
//! What of a profile is not understood is said, never passed over: a verdict is worth what it says that it leaves out.
//! Not looked at are `mustSupport`, and bindings that are not required. Definitions are whatever somebody stored, so all
//! they can nest, name and compute is bounded. Finding them, and asking value sets for codes, is left to whoever calls.

mod check;
mod decimal;
mod definition;
mod equal;
mod fhir_path;
mod instance;
mod issues;
mod library;
mod marks;
mod rules_of_r4;
mod slicing;
mod types;
mod values;

use std::rc::Rc;

use self::check::Checker;
pub(crate) use self::definition::Profile;
use self::instance::Item;
pub(crate) use self::library::{Coded, Library, Membership, Sources};
use crate::fhir::structure::place::Place;
use crate::json::Node;
use crate::r4::outcome::{Issue, Severity};

/// Most errors listed of one resource.
const ISSUES_MAX: usize = 50;

/// Most warnings and pieces of information listed of one resource.
const NOTES_MAX: usize = 30;

/// What keeps a resource from conforming to profiles, and what of them was not checked.
pub(crate) fn check(resource: &Node<'_>, profiles: &[Rc<Profile>], library: &mut Library<'_>) -> Vec<Issue> {
    let Some(item) = Item::resource(resource) else { return Vec::new() };
    let place = Place::Root(item.data_type);
    let mut checker = Checker::new(library, item);
    checker.rules_of_r4(item, &place);
    for profile in profiles {
        checker.profile(profile, item, &place);
    }
    let mut issues = checker.issues;
    if checker.steps.are_spent() {
        let what = "Checking this against its profiles takes too long, so not all was checked. Split the resource.";
        issues.push(Issue::new(Severity::Error, "too-costly", what).at(place));
    }
    issues
}

#[cfg(test)]
mod tests;
