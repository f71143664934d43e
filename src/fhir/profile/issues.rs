//! What is said of a resource and its profiles, in bounds and with the place, the profile and the id of its element.

use super::check::Checker;
use super::definition::{Element, Profile};
use super::slicing::url_of;
use super::{ISSUES_MAX, NOTES_MAX};
use crate::fhir::structure::place::Place;
use crate::r4::outcome::{Issue, Severity};

/// The code of issues that say that something was not checked.
pub(super) const NOT_CHECKED: &str = "not-supported";

impl Checker<'_, '_, '_> {
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
    pub(super) fn doubt(&mut self, what: &str, profile: &Profile, of: &Element, place: &Place<'_>) {
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
            self.push(Issue::new(severity, NOT_CHECKED, text).at(self.top));
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
                self.issues.push(Issue::new(Severity::Warning, NOT_CHECKED, what).at(self.top));
            }
            (false, _) => {}
        }
    }

    /// Something to say of a value and what a profile asks of it.
    pub(super) fn say(
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

/// Whether an issue keeps a resource from conforming.
pub(super) fn is_error(issue: &Issue) -> bool {
    issue.severity == Severity::Error
}

/// A rule as people say it, with its full stop.
pub(super) fn sentence(human: &str) -> String {
    const SHOWN_MAX: usize = 300;
    let text: String = human.trim().trim_end_matches('.').chars().take(SHOWN_MAX).collect();
    if text.is_empty() { "A rule is broken.".to_owned() } else { format!("{text}.") }
}
