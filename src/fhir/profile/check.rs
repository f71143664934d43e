//! Goes through a resource side by side with the tree of a profile.

use std::collections::HashSet;

use super::ISSUES_MAX;
use super::definition::{Constraint, Element, Profile};
use super::fhir_path::{Steps, Surroundings, holds};
use super::instance::Item;
use super::issues::{is_error, sentence};
use super::library::Library;
use crate::fhir::structure::place::Place;
use crate::json::Node;
use crate::r4::outcome::{Issue, Severity};

/// Most steps of one check: values looked at, and what their rules take. A second, and a
/// hundred megabytes while a rule is evaluated that yields so many values.
const STEPS_MAX: usize = 2_000_000;

/// What is known while a resource is gone through.
pub(super) struct Checker<'c, 's, 'n> {
    pub(super) library: &'c mut Library<'s>,
    pub(super) issues: Vec<Issue>,
    pub(super) steps: Steps,
    /// The innermost resource around the value at hand.
    pub(super) resource: Item<'n>,
    /// The resource that contains it, or itself.
    pub(super) root: Item<'n>,
    /// The type of the outermost resource.
    pub(super) top: &'static str,
    /// The profiles that are being checked, each with the value.
    pub(super) open: Vec<(String, Option<*const Node<'n>>)>,
    /// What has been said of profiles and need not be said again.
    pub(super) said: HashSet<String>,
}

impl<'c, 's, 'n> Checker<'c, 's, 'n> {
    /// Of a resource.
    pub(super) fn new(library: &'c mut Library<'s>, resource: Item<'n>) -> Self {
        Self {
            library,
            issues: Vec::new(),
            steps: Steps::new(STEPS_MAX),
            resource,
            root: resource,
            top: resource.data_type,
            open: Vec::new(),
            said: HashSet::new(),
        }
    }

    /// Checks a value against a profile of its type.
    pub(super) fn profile(&mut self, profile: &Profile, item: Item<'n>, place: &Place<'_>) {
        let pair = (profile.url.clone(), item.node.map(std::ptr::from_ref));
        if self.open.contains(&pair) {
            return;
        }
        if self.steps.take(profile.gaps.len()).is_err() {
            return;
        }
        for gap in &profile.gaps {
            self.gap(profile, gap);
        }
        if !item.is_of(profile.of_type) {
            let what = format!("The profile is about {}, and this is {}.", profile.of_type, item.data_type);
            return self.report("structure", what, profile, &profile.root, place);
        }
        self.open.push(pair);
        self.element(profile, &profile.root, item, place);
        self.open.pop();
    }

    /// Checks a value against what a profile asks of it and of what is below.
    pub(super) fn element(&mut self, profile: &Profile, of: &Element, item: Item<'n>, place: &Place<'_>) {
        if self.is_over() {
            return;
        }
        let outside = self.go_into(item, place);
        if self.is_of_type(profile, of, item, place) {
            self.whole(profile, of, item, place);
        }
        (self.resource, self.root) = outside;
    }

    /// Takes note of the resources around what is below a value. Gives back those around the value.
    pub(super) fn go_into(&mut self, item: Item<'n>, place: &Place<'_>) -> (Item<'n>, Item<'n>) {
        let outside = (self.resource, self.root);
        if item.is_resource() {
            self.resource = item;
            // What stands in a Bundle is a resource of its own.
            if place.name() != "contained" {
                self.root = item;
            }
        }
        outside
    }

    fn whole(&mut self, profile: &Profile, of: &Element, item: Item<'n>, place: &Place<'_>) {
        self.pinned(profile, of, item, place);
        self.binding(profile, of, item, place);
        for constraint in &of.constraints {
            self.constraint(profile, of, constraint, item, place);
        }
        self.children(profile, of, item, place);
        if let Some(same) =
            of.same_as.as_deref().and_then(|path| profile.element(path)).filter(|_| of.children.is_empty())
        {
            self.children(profile, same, item, place);
        }
    }

    fn children(&mut self, profile: &Profile, of: &Element, item: Item<'n>, place: &Place<'_>) {
        for child in &of.children {
            let values = item.named(&child.name);
            self.count(profile, child, values.len(), &Place::Element(place, &child.name));
            for value in &values {
                let place = Place::Element(place, &child.name);
                let place = value.index.map_or(place, |index| Place::Index(&place, index));
                self.element(profile, child, value.item, &place);
            }
            self.slices(profile, child, &values, place);
        }
    }

    /// Checks how often something is there.
    pub(super) fn count(&mut self, profile: &Profile, of: &Element, count: usize, place: &Place<'_>) {
        if count < of.min {
            let what = match (of.min, count) {
                (1, _) => format!("`{}` is needed here. Add it.", of.name),
                (min, count) => format!("`{}` is needed {min} times, and there {count} times.", of.name),
            };
            self.report("required", what, profile, of, place);
        }
        if let Some(max) = of.max.filter(|max| count > *max) {
            let what = match max {
                0 => format!("`{}` may not be here. Leave it out.", of.name),
                max => format!("`{}` may be here {max} times at most, and is {count} times.", of.name),
            };
            self.report("structure", what, profile, of, place);
        }
    }

    fn constraint(&mut self, profile: &Profile, of: &Element, rule: &Constraint, item: Item<'n>, place: &Place<'_>) {
        let Some(expression) = &rule.expression else {
            return self.gap(profile, &format!("`{}` has the rule {} without FHIRPath", of.id, rule.key));
        };
        match self.rule(expression, item) {
            Ok(true) => {}
            Ok(false) => {
                let severity = if rule.is_error { Severity::Error } else { Severity::Warning };
                let what = format!("{} (rule {})", sentence(&rule.human), rule.key);
                self.say(severity, "invariant", what, profile, of, place);
            }
            Err(why) => self.gap(profile, &format!("the rule {} of `{}` cannot be evaluated: {why}", rule.key, of.id)),
        }
    }

    /// Whether a rule holds.
    ///
    /// # Errors
    /// When that cannot be told, and why.
    pub(super) fn rule(&mut self, expression: &str, item: Item<'n>) -> Result<bool, String> {
        let expression = self.library.expression(expression).map_err(|failure| failure.0)?;
        let around = Surroundings { context: item, resource: self.resource, root: self.root, steps: &self.steps };
        holds(&expression, around).map_err(|failure| failure.0)
    }

    /// Whether to go no further; also counts a step.
    pub(super) fn is_over(&self) -> bool {
        self.steps.take(1).is_err() || self.issues.iter().filter(|issue| is_error(issue)).count() >= ISSUES_MAX
    }
}
