//! What a profile asks of a value itself: what it is, how long and large, and of which value set.

use std::cmp::Ordering;

use super::check::Checker;
use super::decimal::Decimal;
use super::definition::{Element, Profile};
use super::equal;
use super::instance::Item;
use super::library::{Coded, Membership};
use crate::fhir::structure::place::Place;
use crate::json::Node;

/// What asking a value set counts for, in steps.
const MEMBERSHIP_STEPS: usize = 1_000;

impl<'n> Checker<'_, '_, 'n> {
    /// Checks the value itself.
    pub(super) fn pinned(&mut self, profile: &Profile, of: &Element, item: Item<'n>, place: &Place<'_>) {
        let Some(node) = item.node else { return };
        let compared = of.fixed.iter().chain(&of.pattern).map(|pinned| equal::cost(pinned, node)).sum();
        if self.steps.take(compared).is_err() {
            return;
        }
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

    /// Checks that a code is of the value set it is bound to.
    pub(super) fn binding(&mut self, profile: &Profile, of: &Element, item: Item<'n>, place: &Place<'_>) {
        let Some(value_set) = &of.value_set else { return };
        let Some(codes) = codes(item) else { return };
        if self.steps.take(MEMBERSHIP_STEPS).is_err() {
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
        let is_affordable = self.steps.take(MEMBERSHIP_STEPS).is_ok();
        let codes = codes(item).filter(|_| is_affordable);
        codes.is_some_and(|codes| (self.library.sources.membership)(value_set, &codes) == Membership::Inside)
    }
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
fn order(value: &Node<'_>, bound: &Node<'_>) -> Option<Ordering> {
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
