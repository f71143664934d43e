//! Of which type a value is, to which profiles of its type it conforms, and where a reference points to.

use std::rc::Rc;

use super::check::Checker;
use super::definition::{Element, Profile};
use super::instance::Item;
use super::issues::{NOT_CHECKED, is_error};
use super::library::{R4_STRUCTURES, Unusable};
use crate::fhir::structure::place::Place;
use crate::json::Node;
use crate::r4::outcome::{Issue, Severity};
use crate::r4::resource_type::ResourceType;

/// Most profiles inside which one value is, each named by the type of an element of the one before.
const PROFILES_DEEP_MAX: usize = 16;

impl<'n> Checker<'_, '_, 'n> {
    /// Checks its type and where a reference points to. What is of another type is not looked at any closer.
    pub(super) fn is_of_type(&mut self, profile: &Profile, of: &Element, item: Item<'n>, place: &Place<'_>) -> bool {
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
}
