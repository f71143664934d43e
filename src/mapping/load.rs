//! What all mapping files have in common: a collection of typed templates, and members that must or may be there.
//!
//! Loading never stops at the first problem. A template with a problem is left out and the others are loaded
//! (rule DM-9); whether what remains may run is the caller's decision.

use super::problem::Problems;
use super::source::{self, Kind, Located, Member, Position, Source};

/// A kind of mapping file.
pub(super) struct Collection {
    /// Names of the root type, the first is the one to suggest.
    pub(super) root_types: &'static [&'static str],
}

/// An element of a collection whose outer shape is sound.
pub(super) struct Element {
    /// Its type as written.
    pub(super) template_type: String,
    /// Where to point when the type is unknown (DM-47).
    pub(super) at: Position,
    pub(super) body: Fields,
}

impl Collection {
    /// The elements with a sound outer shape; problems of the others and of the root are recorded.
    pub(super) fn read(&self, source: Source<'_>, problems: &mut Problems<'_>) -> Vec<Element> {
        let text = source.text.strip_prefix('\u{feff}').unwrap_or(source.text);
        let root = match source::read(text) {
            Ok(root) => root,
            Err((at, reason)) => {
                problems.error(at, format!("not a JSON document: {reason}"));
                return Vec::new();
            }
        };
        let Some(members) = root.members() else {
            problems.error(root.at, "the root is not an object");
            return Vec::new();
        };
        if !self.is_root_type(members, root.at, problems) {
            return Vec::new();
        }
        match source::member(members, "template").map(|member| (member, member.value.elements())) {
            Some((_, Some(elements))) => {
                elements.iter().filter_map(|element| self::element(element, problems)).collect()
            }
            Some((member, None)) => {
                problems.error(member.at, "an array was expected for `template`");
                Vec::new()
            }
            None => {
                problems.error(root.at, "an array was expected for `template`, which was not found");
                Vec::new()
            }
        }
    }

    fn is_root_type(&self, members: &[Member], root_at: Position, problems: &mut Problems<'_>) -> bool {
        let expected = self.root_types.first().copied().unwrap_or_default();
        let Some(member) = source::member(members, "templateType") else {
            problems.error(root_at, format!("expected templateType {expected}, but it was not found"));
            return false;
        };
        let actual = member.value.scalar().unwrap_or_default();
        let known = self.root_types.iter().any(|known| known.eq_ignore_ascii_case(&actual));
        if !known {
            problems.error(member.at, format!("expected templateType {expected}, actual {actual}"));
        }
        known
    }
}

fn element(located: &Located, problems: &mut Problems<'_>) -> Option<Element> {
    let Some(members) = located.members() else {
        problems.error(located.at, "an element of the collection is not an object");
        return None;
    };
    let template_type = source::member(members, "templateType").and_then(|member| member.value.scalar());
    let template_type = template_type.unwrap_or_default();
    let Some(template) = source::member(members, "template") else {
        problems.error(located.at, format!("template {template_type} has no member `template`"));
        return None;
    };
    let Some(body) = Fields::of(&template.value) else {
        problems.error(template.at, format!("the member `template` of {template_type} is not an object"));
        return None;
    };
    Some(Element { template_type, at: template.at, body })
}

/// The members of an object that is read by name.
#[derive(Clone)]
pub(super) struct Fields {
    /// Where the object starts.
    pub(super) at: Position,
    members: Vec<Member>,
}

impl Fields {
    /// `None` for what is no object.
    pub(super) fn of(located: &Located) -> Option<Self> {
        let members = located.members()?.to_vec();
        Some(Self { at: located.at, members })
    }

    /// Records an error for each member that is not among `known` (DM-6).
    pub(super) fn refuse_unknown(&self, known: &[&str], problems: &mut Problems<'_>) {
        for member in &self.members {
            if !known.iter().any(|known| known.eq_ignore_ascii_case(&member.name)) {
                let hint =
                    nearest(&member.name, known).unwrap_or_else(|| format!("members known here: {}", known.join(", ")));
                problems.error_with_hint(member.at, format!("member `{}` is not known", member.name), hint);
            }
        }
    }

    /// The member, also when it is null.
    pub(super) fn find(&self, name: &str) -> Option<&Member> {
        source::member(&self.members, name)
    }

    /// The member spelled exactly so.
    pub(super) fn find_exactly(&self, name: &str) -> Option<&Member> {
        self.members.iter().rev().find(|member| member.name == name)
    }

    /// The member unless it is null.
    pub(super) fn given(&self, name: &str) -> Option<&Member> {
        self.find(name).filter(|member| !member.value.is_null())
    }

    /// A member that must be there and not be null (DM-14).
    pub(super) fn required(&self, name: &str, problems: &mut Problems<'_>) -> Option<&Member> {
        match self.find(name) {
            None => {
                problems.error(self.at, format!("Required property '{}' not found in JSON.", pascal(name)));
                None
            }
            Some(member) if member.value.is_null() => {
                let message = format!("Required property '{}' expects a value but got null.", pascal(name));
                problems.error(member.at, message);
                None
            }
            Some(member) => Some(member),
        }
    }

    /// A scalar that must be there, as text that is not blank.
    pub(super) fn required_text(&self, name: &str, problems: &mut Problems<'_>) -> Option<String> {
        let member = self.required(name, problems)?;
        match member.value.scalar() {
            Some(text) if !text.trim().is_empty() => Some(text),
            Some(_) => {
                problems.error(member.at, format!("`{}` must not be blank", member.name));
                None
            }
            None => {
                problems.error(member.at, format!("`{}` must be a text", member.name));
                None
            }
        }
    }

    /// A scalar that may be there, as text.
    pub(super) fn text(&self, name: &str, problems: &mut Problems<'_>) -> Option<String> {
        let member = self.given(name)?;
        let text = member.value.scalar();
        if text.is_none() {
            problems.error(member.at, format!("`{}` must be a text", member.name));
        }
        text
    }

    /// The elements of an array that may be there; empty when it is missing or null.
    pub(super) fn list(&self, name: &str, problems: &mut Problems<'_>) -> &[Located] {
        let Some(member) = self.given(name) else {
            return &[];
        };
        member.value.elements().unwrap_or_else(|| {
            problems.error(member.at, format!("`{}` must be an array", member.name));
            &[]
        })
    }
}

/// A truth value as DM-18 reads one.
pub(super) fn truth(located: &Located) -> Option<bool> {
    match &located.kind {
        Kind::Bool(value) => Some(*value),
        Kind::Number(text) => text.parse::<f64>().ok().map(|number| number.abs() > 0.0),
        Kind::String(text) if text.trim().eq_ignore_ascii_case("true") => Some(true),
        Kind::String(text) if text.trim().eq_ignore_ascii_case("false") => Some(false),
        Kind::Null | Kind::String(_) | Kind::Array(_) | Kind::Object(_) => None,
    }
}

/// The known name that a misspelt one most likely means, as a question.
pub(super) fn nearest(name: &str, known: &[&str]) -> Option<String> {
    let likeness = |known: &str| strsim::jaro_winkler(&name.to_lowercase(), &known.to_lowercase());
    let nearest = known.iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other)))?;
    (likeness(nearest) > LIKENESS_MIN).then(|| format!("did you mean `{nearest}`?"))
}

/// Likeness, between 0 and 1, from which a name is taken for a misspelling of another.
const LIKENESS_MIN: f64 = 0.85;

fn pascal(name: &str) -> String {
    let mut characters = name.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}
