//! Slicing: which slice of a repeating element a value is in (<https://hl7.org/fhir/R4/profiling.html#slicing>).
//!
//! A discriminator names a place below the element; `marks` finds what tells the values of a slice from others there.

use super::check::Checker;
use super::definition::{Element, Profile, list, text};
use super::instance::Child;
use super::marks::Told;
use crate::fhir::structure::place::Place;
use crate::json::Node;

/// How the values of an element are told apart.
#[derive(Clone, Debug)]
pub(super) struct Slicing {
    pub(super) discriminators: Vec<Discriminator>,
    rules: Rules,
    is_ordered: bool,
}

/// Whether there may be values of no slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rules {
    Open,
    OpenAtEnd,
    Closed,
}

/// One of the ways in which values are told apart.
#[derive(Clone, Debug)]
pub(super) struct Discriminator {
    pub(super) kind: Kind,
    pub(super) path: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// By a value, be it fixed or a pattern or of a value set.
    Value,
    /// By whether there is anything.
    Exists,
    /// By its type.
    Type,
    /// By whether it conforms to a profile.
    Profile,
}

/// A step of the path of a discriminator, <https://hl7.org/fhir/R4/profiling.html#discriminator>.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Member(String),
    Extension(String),
    OfType(String),
    Resolve,
}

impl Slicing {
    /// Extensions are told apart by their `url`.
    pub(super) fn by_url() -> Self {
        Self::open(Kind::Value, vec![Step::Member("url".to_owned())])
    }

    /// Choices are told apart by their type.
    pub(super) fn by_type() -> Self {
        Self::open(Kind::Type, Vec::new())
    }

    fn open(kind: Kind, path: Vec<Step>) -> Self {
        Self { discriminators: vec![Discriminator { kind, path }], rules: Rules::Open, is_ordered: false }
    }

    /// Reads `ElementDefinition.slicing`.
    ///
    /// # Errors
    /// When it tells values apart in a way that is not understood; says so, for people.
    pub(super) fn read(node: &Node<'_>) -> Result<Self, String> {
        let discriminators: Result<Vec<_>, String> =
            list(node, "discriminator").iter().map(Discriminator::read).collect();
        let discriminators = discriminators?;
        if discriminators.is_empty() {
            return Err("has slices without a discriminator".to_owned());
        }
        let rules = match text(node, "rules") {
            Some("closed") => Rules::Closed,
            Some("openAtEnd") => Rules::OpenAtEnd,
            _ => Rules::Open,
        };
        Ok(Self { discriminators, rules, is_ordered: node.member("ordered") == Some(&Node::Bool(true)) })
    }
}

impl Discriminator {
    fn read(node: &Node<'_>) -> Result<Self, String> {
        let (kind, path) = (text(node, "type").unwrap_or_default(), text(node, "path").unwrap_or_default());
        let unknown = || format!("has slices told apart by `{kind}` of `{path}`, which is not understood");
        let kind = match kind {
            "value" | "pattern" => Kind::Value,
            "exists" => Kind::Exists,
            "type" => Kind::Type,
            "profile" => Kind::Profile,
            _ => return Err(unknown()),
        };
        let path = steps(path).ok_or_else(unknown)?;
        let resolves = path.iter().position(|step| *step == Step::Resolve);
        if resolves.is_some_and(|position| kind != Kind::Type || position + 1 < path.len()) {
            return Err(unknown());
        }
        Ok(Self { kind, path })
    }
}

/// The steps of a path; `None` when it has others than a discriminator may have.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix("$this").map_or(path, |rest| rest.strip_prefix('.').unwrap_or(rest));
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let end = rest.find(['.', '(']).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        let (step, behind) = match behind.strip_prefix('(') {
            None => (Step::Member(name.strip_suffix("[x]").unwrap_or(name).to_owned()), behind),
            Some(call) => {
                let (argument, behind) = call.split_once(')')?;
                let argument = argument.trim_matches(['\'', '"']).to_owned();
                match name {
                    "extension" => (Step::Extension(argument), behind),
                    "ofType" => (Step::OfType(argument), behind),
                    "resolve" if argument.is_empty() => (Step::Resolve, behind),
                    _ => return None,
                }
            }
        };
        if matches!(&step, Step::Member(name) if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        {
            return None;
        }
        steps.push(step);
        rest = match behind.strip_prefix('.') {
            Some(next) if !next.is_empty() => next,
            None if behind.is_empty() => behind,
            _ => return None,
        };
    }
    Some(steps)
}

impl<'n> Checker<'_, '_, 'n> {
    /// Puts the values of a sliced element into its slices and checks each there, and how many there are.
    pub(super) fn slices(&mut self, profile: &Profile, of: &Element, values: &[Child<'n>], place: &Place<'_>) {
        let Some(slicing) = of.slicing.as_ref().filter(|_| !of.slices.is_empty()) else { return };
        let marks: Vec<Vec<Told>> = of.slices.iter().map(|slice| self.marks(profile, slice, slicing)).collect();
        let mut counts = vec![0; of.slices.len()];
        let (mut latest, mut is_behind_others) = (0, false);
        for value in values {
            let place = Place::Element(place, &of.name);
            let place = value.index.map_or(place, |index| Place::Index(&place, index));
            let own =
                marks.iter().position(|told| !told.is_empty() && told.iter().all(|told| self.has(value.item, told)));
            let Some((position, slice)) = own.and_then(|own| Some((own, of.slices.get(own)?))) else {
                is_behind_others = true;
                if slicing.rules == Rules::Closed {
                    self.report("structure", "No slice takes this, and there may be no others.", profile, of, &place);
                }
                continue;
            };
            if slicing.rules == Rules::OpenAtEnd && is_behind_others {
                let what = format!("What slice `{}` takes stands before what no slice takes.", slice.name);
                self.report("structure", what, profile, slice, &place);
            }
            if slicing.is_ordered && position < latest {
                let what = format!("What slice `{}` takes stands too late; the slices have an order.", slice.name);
                self.report("structure", what, profile, slice, &place);
            }
            latest = latest.max(position);
            if let Some(count) = counts.get_mut(position) {
                *count += 1;
            }
            self.element(profile, slice, value.item, &place);
        }
        for (slice, count) in of.slices.iter().zip(counts) {
            self.count(profile, slice, count, &Place::Element(place, &of.name));
        }
    }
}

/// A canonical URL without its version.
pub(super) fn url_of(canonical: &str) -> &str {
    canonical.split_once('|').map_or(canonical, |(url, _)| url)
}

#[cfg(test)]
mod tests {
    use super::{Step, steps};

    #[test]
    fn the_path_of_a_discriminator_has_few_kinds_of_steps() {
        let member = |name: &str| Step::Member(name.to_owned());
        assert_eq!(steps("$this"), Some(vec![]));
        assert_eq!(steps("code.coding"), Some(vec![member("code"), member("coding")]));
        assert_eq!(steps("$this.value[x]"), Some(vec![member("value")]));
        assert_eq!(
            steps("extension('http://a.b/c').value.ofType(Quantity)"),
            Some(vec![
                Step::Extension("http://a.b/c".to_owned()),
                member("value"),
                Step::OfType("Quantity".to_owned())
            ])
        );
        assert_eq!(steps("target.resolve()"), Some(vec![member("target"), Step::Resolve]));
        for path in ["a.", ".a", "a..b", "where(x)", "a.first()", "extension('x", "a b", "ofType(A)b"] {
            assert_eq!(steps(path), None, "{path}");
        }
    }
}
