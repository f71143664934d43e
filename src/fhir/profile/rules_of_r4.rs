//! The rules in FHIRPath that R4 itself has: every profile asks what its type asks.

use super::check::Checker;
use super::instance::{Item, is_domain_resource, path_of};
use super::issues::sentence;
use crate::fhir::structure::place::Place;
use crate::r4::definitions::invariants::{Invariant, invariants_of};
use crate::r4::outcome::{Issue, Severity};

impl<'n> Checker<'_, '_, 'n> {
    /// Checks a value and all below by the rules of their types and elements.
    pub(super) fn rules_of_r4(&mut self, item: Item<'n>, place: &Place<'_>) {
        if self.is_over() {
            return;
        }
        let outside = self.go_into(item, place);
        if is_domain_resource(item.data_type) {
            self.broken(invariants_of("DomainResource"), item, place);
        }
        self.broken(invariants_of(item.data_type), item, place);
        for child in item.children() {
            let place = Place::Element(place, child.element.name);
            let place = child.index.map_or(place, |index| Place::Index(&place, index));
            // The path of an inner element is its type, whose rules come with its value.
            if child.item.data_type != child.element.path {
                self.broken(invariants_of(&path_of(item.data_type, child.element)), child.item, &place);
            }
            self.rules_of_r4(child.item, &place);
        }
        (self.resource, self.root) = outside;
    }

    fn broken(&mut self, rules: &[Invariant], item: Item<'n>, place: &Place<'_>) {
        for rule in rules {
            match self.rule(rule.expression, item) {
                Ok(true) => {}
                Ok(false) => {
                    let severity = if rule.is_error { Severity::Error } else { Severity::Warning };
                    let what = format!("{} [rule {} of R4]", sentence(rule.human), rule.key);
                    self.push(Issue::new(severity, "invariant", what).at(place));
                }
                Err(why) => {
                    let what = format!("The rule {} of R4 is not checked: {why}.", rule.key);
                    self.say_once(Severity::Information, what);
                }
            }
        }
    }
}
