//! Goes through a resource side by side with the tree of a profile.

use std::collections::HashSet;
use std::rc::Rc;

use super::decimal::Decimal;
use super::definition::{Constraint, Element, Profile};
use super::fhir_path::{Steps, Surroundings, holds};
use super::instance::Item;
use super::library::{Coded, Library, Membership, R4_STRUCTURES, Unusable};
use super::slicing::url_of;
use super::{ISSUES_MAX, NOTES_MAX, equal};
use crate::fhir::structure::place::Place;
use crate::json::Node;
use crate::r4::outcome::{Issue, Severity};
use crate::r4::resource_type::ResourceType;

/// Most steps of one check: values looked at, and what their rules take. A second or two.
const STEPS_MAX: usize = 5_000_000;

/// Most profiles inside which one value is, each named by the type of an element of the one before.
const PROFILES_DEEP_MAX: usize = 16;

/// The code of issues that say that something was not checked.
const NOT_CHECKED: &str = "not-supported";

/// What is known while a resource is gone through.
pub(super) struct Checker<'c, 's, 'n> {
    pub(super) library: &'c mut Library<'s>,
    pub(super) issues: Vec<Issue>,
    pub(super) steps: Steps,
    /// The innermost resource around the value at hand.
    pub(super) resource: Item<'n>,
    /// The resource that contains it.
    pub(super) root: Item<'n>,
    /// The profiles that are being checked, each with the value.
    open: Vec<(String, Option<*const Node<'n>>)>,
    /// What has been said of profiles and need not be said again.
    said: HashSet<String>,
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
        let outside = self.resource;
        if item.is_resource() {
            self.resource = item;
        }
        if self.is_of_type(profile, of, item, place) {
            self.whole(profile, of, item, place);
        }
        self.resource = outside;
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

    /// Checks the value itself.
    fn pinned(&mut self, profile: &Profile, of: &Element, item: Item<'n>, place: &Place<'_>) {
        let Some(node) = item.node else { return };
        if let Some(fixed) = of.fixed.as_ref().filter(|fixed| !equal::same(fixed, node)) {
            self.report("value", format!("This is `{}` and nothing else.", shown(fixed)), profile, of, place);
        }
        if let Some(pattern) = of.pattern.as_ref().filter(|pattern| !equal::fits(pattern, node)) {
            self.report("value", format!("This has `{}` in it.", shown(pattern)), profile, of, place);
        }
        if let (Some(max), Some(text)) = (of.max_length, node.as_str())
            && text.chars().count() > max
        {
            self.report("value", format!("This is longer than {max} characters."), profile, of, place);
        }
        for (bound, is_least) in [(&of.least, true), (&of.greatest, false)] {
            let Some(bound) = bound else { continue };
            match order(node, bound) {
                Some(order) if is_least && order.is_lt() => {
                    self.report("value", format!("This is at least `{}`.", shown(bound)), profile, of, place);
                }
                Some(order) if !is_least && order.is_gt() => {
                    self.report("value", format!("This is at most `{}`.", shown(bound)), profile, of, place);
                }
                Some(_) => {}
                None => self.doubt("its bound cannot be compared with this", profile, of, place),
            }
        }
    }

    /// Checks its type and where a reference points to. What is of another type is not looked at any closer.
    fn is_of_type(&mut self, profile: &Profile, of: &Element, item: Item<'n>, place: &Place<'_>) -> bool {
        let is_inner = item.data_type.contains('.');
        let fits = |code: &str| is_inner || code.contains("System.") || item.is_of(code);
        let rules: Vec<_> = of.types.iter().filter(|rule| fits(&rule.code)).collect();
        if rules.is_empty() && !of.types.is_empty() {
            let types: Vec<&str> = of.types.iter().map(|rule| rule.code.as_str()).collect();
            let what = format!("This is {}; it may be `{}`.", item.data_type, types.join("`, `"));
            self.report("structure", what, profile, of, place);
            return false;
        }
        let targets: Vec<String> = rules.iter().flat_map(|rule| rule.targets.clone()).collect();
        if item.data_type == "Reference" && !targets.is_empty() {
            match self.points_to(item, &targets) {
                Some(false) => {
                    let what = format!("This points to another type than it may: `{}`.", targets.join("`, `"));
                    self.report("value", what, profile, of, &Place::Element(place, "reference"));
                }
                None if self.target_of(item).is_some() => {
                    self.doubt("it may point to profiles that are not known", profile, of, place);
                }
                Some(true) | None => {}
            }
        }
        if rules.iter().all(|rule| !rule.profiles.is_empty()) {
            let profiles: Vec<&String> = rules.iter().flat_map(|rule| &rule.profiles).collect();
            self.profiles(profile, of, &profiles, item, place);
        }
        true
    }

    /// Checks that a value conforms to one of the profiles of its type.
    fn profiles(&mut self, profile: &Profile, of: &Element, any: &[&String], item: Item<'n>, place: &Place<'_>) {
        match any {
            [] => {}
            [only] => {
                if let Some(found) = self.enter(only) {
                    self.profile(&found, item, place);
                    self.leave();
                }
            }
            _ => {
                let verdicts: Vec<Option<bool>> = any.iter().map(|one| self.conforms(item, one)).collect();
                if verdicts.iter().all(|verdict| *verdict == Some(false)) {
                    let what = "This conforms to none of the profiles that its type may have.";
                    self.report("structure", what, profile, of, place);
                }
            }
        }
    }

    /// Whether a value conforms to a profile, without saying why not; `None` when the profile cannot be used.
    pub(super) fn conforms(&mut self, item: Item<'n>, canonical: &str) -> Option<bool> {
        let found = self.enter(canonical)?;
        let outer = std::mem::take(&mut self.issues);
        self.profile(&found, item, &Place::Root(item.data_type));
        let inner = std::mem::replace(&mut self.issues, outer);
        self.leave();
        let (errors, notes): (Vec<Issue>, Vec<Issue>) = inner.into_iter().partition(is_error);
        // What is not understood of the profile is not said twice, so it may not be lost here.
        notes.into_iter().filter(|note| note.code == NOT_CHECKED).for_each(|note| self.push(note));
        Some(errors.is_empty())
    }

    /// A profile that a profile names; `None`, which is said, when it cannot be used or such go too deep. `leave` ends it.
    pub(super) fn enter(&mut self, canonical: &str) -> Option<Rc<Profile>> {
        let found = if self.open.len() < 2 * PROFILES_DEEP_MAX {
            self.library.profile(canonical)
        } else {
            Err(Unusable::Broken(format!("more than {PROFILES_DEEP_MAX} profiles are inside one another")))
        };
        match found {
            Ok(found) => {
                // No value is at no place: this only counts.
                self.open.push((String::new(), None));
                Some(found)
            }
            Err(why) => {
                let what = format!("Nothing was checked against the profile `{canonical}`: {why}.");
                self.say_once(Severity::Warning, what);
                None
            }
        }
    }

    /// Ends what `enter` began.
    pub(super) fn leave(&mut self) {
        self.open.pop();
    }

    fn binding(&mut self, profile: &Profile, of: &Element, item: Item<'n>, place: &Place<'_>) {
        let Some(value_set) = &of.value_set else { return };
        let Some(codes) = codes(item) else { return };
        if self.steps.take(1_000).is_err() {
            return;
        }
        match (self.library.sources.membership)(value_set, &codes) {
            Membership::Inside => {}
            Membership::Outside => {
                let what = format!("A code of the value set `{value_set}` is needed here.");
                self.report("code-invalid", what, profile, of, place);
            }
            Membership::Unknown(why) => {
                self.doubt(&format!("whether its code is in `{value_set}` cannot be told: {why}"), profile, of, place);
            }
        }
    }

    /// Whether the code of a value is in a value set, for sure.
    pub(super) fn is_coded_in(&mut self, item: Item<'n>, value_set: &str) -> bool {
        let is_affordable = self.steps.take(1_000).is_ok();
        let codes = codes(item).filter(|_| is_affordable);
        codes.is_some_and(|codes| (self.library.sources.membership)(value_set, &codes) == Membership::Inside)
    }

    /// Whether a reference points to one of these types or profiles; `None` when that cannot be told.
    pub(super) fn points_to(&mut self, item: Item<'n>, targets: &[String]) -> Option<bool> {
        let target = self.target_of(item)?;
        let mut is_doubtful = false;
        for canonical in targets {
            let name = canonical.strip_prefix(R4_STRUCTURES).unwrap_or_default();
            match self.library.profile(canonical).map(|profile| profile.of_type) {
                _ if name == "Resource" || name == target.as_str() => return Some(true),
                Ok(of_type) if of_type == target.as_str() => return Some(true),
                Ok(_) => {}
                Err(Unusable::Unknown | Unusable::Broken(_)) => is_doubtful = true,
            }
        }
        (!is_doubtful).then_some(false)
    }

    /// The type a reference points to, as far as the reference or what is contained tells.
    fn target_of(&self, item: Item<'n>) -> Option<ResourceType> {
        let node = item.node?;
        let text = node.member("reference").and_then(Node::as_str);
        if let Some(id) = text.and_then(|text| text.strip_prefix('#')) {
            let contained = self.root.named("contained").into_iter().map(|child| child.item);
            let mut found = contained.filter(|item| item.node.and_then(|node| node.member("id")?.as_str()) == Some(id));
            return found.next().and_then(|item| ResourceType::parse(item.data_type));
        }
        let declared = node.member("type").and_then(Node::as_str);
        let path = text.map(|text| text.split_once("/_history/").map_or(text, |(path, _)| path));
        let of_path = path.and_then(|path| path.rsplit_once('/')).map(|(path, _id)| path);
        let of_path = of_path.map(|path| path.rsplit_once('/').map_or(path, |(_, name)| name));
        of_path.and_then(ResourceType::parse).or_else(|| declared.and_then(ResourceType::parse))
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

    /// Something that is wrong.
    pub(super) fn report(
        &mut self,
        code: &'static str,
        what: impl Into<String>,
        profile: &Profile,
        of: &Element,
        place: &Place<'_>,
    ) {
        self.say(Severity::Error, code, what.into(), profile, of, place);
    }

    /// Something that cannot be told of a value.
    fn doubt(&mut self, what: &str, profile: &Profile, of: &Element, place: &Place<'_>) {
        self.say(Severity::Warning, NOT_CHECKED, format!("This was not checked: {what}."), profile, of, place);
    }

    /// Something of a profile that is not checked, said once.
    pub(super) fn gap(&mut self, profile: &Profile, what: &str) {
        let text = format!("Not all of the profile `{}` is checked: {what}.", profile.url);
        self.say_once(Severity::Warning, text);
    }

    /// Something to say of the whole resource, once.
    pub(super) fn say_once(&mut self, severity: Severity, text: String) {
        if self.said.insert(text.clone()) {
            self.push(Issue::new(severity, NOT_CHECKED, text).at(self.root.data_type));
        }
    }

    /// Adds an issue, as long as there are not too many of its kind. Notes never take the room of errors.
    pub(super) fn push(&mut self, issue: Issue) {
        let is_error_too = is_error(&issue);
        let alike = self.issues.iter().filter(|known| is_error(known) == is_error_too).count();
        match (is_error_too, alike) {
            (true, ISSUES_MAX..) => {}
            (true, _) | (false, ..NOTES_MAX) => self.issues.push(issue),
            (false, NOTES_MAX) => {
                let what = "There is more to note, and more that was not checked, than is listed.";
                self.issues.push(Issue::new(Severity::Warning, NOT_CHECKED, what).at(self.root.data_type));
            }
            (false, _) => {}
        }
    }

    fn say(
        &mut self,
        severity: Severity,
        code: &'static str,
        what: String,
        profile: &Profile,
        of: &Element,
        place: &Place<'_>,
    ) {
        let text = format!("{what} [`{}` of {}]", of.id, url_of(&profile.url));
        self.push(Issue::new(severity, code, text).at(place));
    }
}

fn is_error(issue: &Issue) -> bool {
    issue.severity == Severity::Error
}

/// The codes of a value; `None` for one of a type that has none.
fn codes<'n>(item: Item<'n>) -> Option<Vec<Coded<'n>>> {
    let node = item.node?;
    let coded = |node: &'n Node<'n>| {
        let text = |name| node.member(name).and_then(Node::as_str);
        text("code").map(|code| Coded { system: Some(text("system").unwrap_or_default()), code })
    };
    match item.data_type {
        "CodeableConcept" => {
            let codings = node.member("coding").map_or(&[][..], Node::elements);
            Some(codings.iter().filter_map(coded).collect())
        }
        "Coding" => Some(coded(node).into_iter().collect()),
        "Quantity" => coded(node).map(|code| vec![code]),
        "code" | "uri" | "url" | "canonical" => node.as_str().map(|code| vec![Coded { system: None, code }]),
        _ => None,
    }
}

/// How a value lies to a bound: numbers, dates of one length, amounts of one unit.
fn order(value: &Node<'_>, bound: &Node<'_>) -> Option<std::cmp::Ordering> {
    match (value, bound) {
        (Node::Number(value), Node::Number(bound)) => Decimal::parse(value)?.compare(Decimal::parse(bound)?),
        (Node::String(value), Node::String(bound)) if value.len() == bound.len() => Some(value.cmp(bound)),
        (Node::Object(_), Node::Object(_)) => {
            let is_of_one_unit = ["system", "code"].iter().all(|name| value.member(name) == bound.member(name));
            order(value.member("value").filter(|_| is_of_one_unit)?, bound.member("value")?)
        }
        _ => None,
    }
}

/// A value of a profile, cut to what can be read.
fn shown(node: &Node<'_>) -> String {
    const SHOWN_MAX: usize = 200;
    node.as_str().map_or_else(|| node.to_string(), str::to_owned).chars().take(SHOWN_MAX).collect()
}

/// A rule as people say it, with its full stop.
pub(super) fn sentence(human: &str) -> String {
    const SHOWN_MAX: usize = 300;
    let text: String = human.trim().trim_end_matches('.').chars().take(SHOWN_MAX).collect();
    if text.is_empty() { "A rule is broken.".to_owned() } else { format!("{text}.") }
}
