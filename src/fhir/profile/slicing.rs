//! Slicing: which slice of a repeating element a value is in (<https://hl7.org/fhir/R4/profiling.html#slicing>).
//!
//! A discriminator names a place below the element. What a slice asks there tells its values from others. Where that is
//! itself sliced, the slices count that must be there: so R4 tells the components of a blood pressure apart.

use super::check::Checker;
use super::definition::{Element, Profile, list, text};
use super::equal;
use super::instance::{Child, Item};
use crate::fhir::structure::place::Place;
use crate::json::Node;

/// How the values of an element are told apart.
#[derive(Clone, Debug)]
pub(super) struct Slicing {
    discriminators: Vec<Discriminator>,
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
struct Discriminator {
    kind: Kind,
    path: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
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
enum Step {
    Member(String),
    Extension(String),
    OfType(String),
    Resolve,
}

/// What values of a slice have, and where.
#[derive(Clone, Debug)]
struct Told {
    path: Vec<Step>,
    mark: Mark,
}

#[derive(Clone, Debug)]
enum Mark {
    Fixed(Node<'static>),
    Pattern(Node<'static>),
    ValueSet(String),
    Exists(bool),
    Types(Vec<String>),
    Targets(Vec<String>),
    Profiles(Vec<String>),
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

    /// What tells the values of a slice apart; empty when that cannot be told, which is said.
    fn marks(&mut self, profile: &Profile, slice: &Element, slicing: &Slicing) -> Vec<Told> {
        let mut all = Vec::new();
        for discriminator in &slicing.discriminators {
            let told = self.told(slice, &discriminator.path, discriminator.kind);
            if told.is_empty() {
                let what = format!("`{}` asks nothing where its slicing tells slices apart", slice.id);
                self.gap(profile, &what);
            }
            let from_the_value = |mut told: Told| {
                let mut path = discriminator.path.clone();
                path.append(&mut told.path);
                told.path = path;
                told
            };
            all.extend(told.into_iter().map(from_the_value));
        }
        all
    }

    /// What an element asks at a path; the paths of the answer go on from there.
    fn told(&mut self, element: &Element, path: &[Step], kind: Kind) -> Vec<Told> {
        let Some((step, rest)) = path.split_first() else { return self.told_here(element, kind) };
        let mut told = Vec::new();
        for pinned in [&element.fixed, &element.pattern].into_iter().flatten() {
            let marks = below(pinned, path).into_iter().map(|node| Mark::Pattern(node.to_static()));
            told.extend(marks.map(|mark| Told { path: Vec::new(), mark }));
        }
        match step {
            Step::Member(name) => {
                for child in element.children.iter().filter(|child| child.name == *name) {
                    told.extend(self.told(child, rest, kind));
                    for slice in child.slices.iter().filter(|slice| slice.min > 0) {
                        told.extend(self.told(slice, rest, kind));
                    }
                }
            }
            Step::Extension(url) => {
                let extensions = element.children.iter().filter(|child| child.name == "extension");
                for slice in extensions.flat_map(|extensions| &extensions.slices) {
                    let is_it =
                        slice.types.iter().flat_map(|rule| &rule.profiles).any(|profile| url_of(profile) == url);
                    if is_it {
                        told.extend(self.told(slice, rest, kind));
                    }
                }
            }
            Step::OfType(name) => {
                let of_type = |slice: &&Element| slice.types.iter().any(|rule| rule.code == *name);
                told.extend(self.told(element, rest, kind));
                for slice in element.slices.iter().filter(of_type) {
                    told.extend(self.told(slice, rest, kind));
                }
            }
            Step::Resolve => {
                let targets = element.types.iter().flat_map(|rule| &rule.targets).cloned().collect::<Vec<_>>();
                if !targets.is_empty() {
                    told.push(Told { path: Vec::new(), mark: Mark::Targets(targets) });
                }
            }
        }
        if told.is_empty() { self.told_by_profile(element, path, kind) } else { told }
    }

    /// What the only profile that an element may have asks at a path. That of an extension fixes its `url`.
    fn told_by_profile(&mut self, element: &Element, path: &[Step], kind: Kind) -> Vec<Told> {
        let mut profiles = element.types.iter().flat_map(|rule| &rule.profiles);
        let (Some(only), None) = (profiles.next(), profiles.next()) else { return Vec::new() };
        if let ([Step::Member(name)], Kind::Value, [rule]) = (path, kind, element.types.as_slice())
            && name == "url"
            && rule.code == "Extension"
        {
            let mark = Mark::Fixed(Node::from(url_of(only)));
            return vec![Told { path: Vec::new(), mark }];
        }
        let Some(found) = self.enter(only) else { return Vec::new() };
        let told = self.told(&found.root, path, kind);
        self.leave();
        told
    }

    fn told_here(&mut self, element: &Element, kind: Kind) -> Vec<Told> {
        let here = |mark| Told { path: Vec::new(), mark };
        let marks = match kind {
            Kind::Value => {
                let fixed = element.fixed.clone().map(Mark::Fixed);
                let pattern = element.pattern.clone().map(Mark::Pattern);
                let mark = fixed.or(pattern).or_else(|| element.value_set.clone().map(Mark::ValueSet));
                if mark.is_none() {
                    return self.told_below(element);
                }
                mark
            }
            Kind::Exists => match (element.min, element.max) {
                (_, Some(0)) => Some(Mark::Exists(false)),
                (1.., _) => Some(Mark::Exists(true)),
                _ => None,
            },
            Kind::Type => {
                let types: Vec<String> = element.types.iter().map(|rule| rule.code.clone()).collect();
                (!types.is_empty()).then_some(Mark::Types(types))
            }
            Kind::Profile => {
                let profiles: Vec<String> = element.types.iter().flat_map(|rule| rule.profiles.clone()).collect();
                (!profiles.is_empty()).then_some(Mark::Profiles(profiles))
            }
        };
        marks.map(here).into_iter().collect()
    }

    /// A value that is fixed part by part.
    fn told_below(&mut self, element: &Element) -> Vec<Told> {
        let mut all = Vec::new();
        for child in element.children.iter().filter(|child| child.fixed.is_some() || child.pattern.is_some()) {
            for mut told in self.told_here(child, Kind::Value) {
                told.path.insert(0, Step::Member(child.name.clone()));
                all.push(told);
            }
        }
        all
    }

    /// Whether a value has what tells the values of a slice apart.
    fn has(&mut self, value: Item<'n>, told: &Told) -> bool {
        let values = at(value, &told.path);
        match &told.mark {
            Mark::Exists(exists) => values.is_empty() != *exists,
            Mark::Fixed(fixed) => values.iter().filter_map(|value| value.node).any(|node| equal::same(fixed, node)),
            Mark::Pattern(pattern) => {
                values.iter().filter_map(|value| value.node).any(|node| equal::fits(pattern, node))
            }
            Mark::ValueSet(url) => values.iter().any(|value| self.is_coded_in(*value, url)),
            Mark::Types(types) => {
                !values.is_empty() && values.iter().all(|value| types.iter().any(|name| value.is_of(name)))
            }
            Mark::Targets(targets) => values.iter().any(|value| self.points_to(*value, targets) == Some(true)),
            Mark::Profiles(profiles) => {
                values.iter().any(|value| profiles.iter().any(|profile| self.conforms(*value, profile) == Some(true)))
            }
        }
    }
}

/// The values at a path.
fn at<'n>(value: Item<'n>, path: &[Step]) -> Vec<Item<'n>> {
    let mut values = vec![value];
    for step in path {
        values = match step {
            Step::Member(name) => named(&values, name),
            Step::Extension(url) => {
                let has_url = |item: &Item<'_>| item.node.and_then(|node| text(node, "url")) == Some(url);
                named(&values, "extension").into_iter().filter(has_url).collect()
            }
            Step::OfType(name) => values.into_iter().filter(|value| value.is_of(name)).collect(),
            Step::Resolve => values,
        };
    }
    values
}

fn named<'n>(values: &[Item<'n>], name: &str) -> Vec<Item<'n>> {
    values.iter().flat_map(|value| value.named(name)).map(|child| child.item).collect()
}

/// The parts of a fixed value or pattern at a path.
fn below<'n, 'a>(node: &'n Node<'a>, path: &[Step]) -> Vec<&'n Node<'a>> {
    let mut nodes = vec![node];
    for step in path {
        let Step::Member(name) = step else { return Vec::new() };
        let members = nodes.into_iter().filter_map(|node| node.member(name));
        nodes = members
            .flat_map(|node| if let Node::Array(list) = node { list.iter().collect() } else { vec![node] })
            .collect();
    }
    nodes
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
