//! What tells the values of a slice from others: what the slice asks where its slicing says to look.
//!
//! Where that is itself sliced, the slices count that must be there: so R4 tells the components of a blood pressure apart.

use super::check::Checker;
use super::definition::{Element, Profile, text};
use super::equal;
use super::instance::Item;
use super::slicing::{Kind, Slicing, Step, url_of};
use crate::json::Node;

/// What finding the place of a mark counts for, in steps.
const LOOK_STEPS: usize = 5;

/// What values of a slice have, and where.
#[derive(Clone, Debug)]
pub(super) struct Told {
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

impl Mark {
    /// How many steps it takes to look for it in these values.
    fn cost(&self, values: &[Item<'_>]) -> usize {
        let compared = match self {
            Self::Fixed(node) | Self::Pattern(node) => {
                values.iter().filter_map(|value| value.node).map(|value| equal::cost(node, value)).sum()
            }
            Self::ValueSet(_) | Self::Exists(_) | Self::Types(_) | Self::Targets(_) | Self::Profiles(_) => values.len(),
        };
        compared + LOOK_STEPS
    }
}

impl<'n> Checker<'_, '_, 'n> {
    /// What tells the values of a slice apart; empty when that cannot be told, which is said.
    pub(super) fn marks(&mut self, profile: &Profile, slice: &Element, slicing: &Slicing) -> Vec<Told> {
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
        if self.steps.take(1).is_err() {
            return told;
        }
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
    pub(super) fn has(&mut self, value: Item<'n>, told: &Told) -> bool {
        let values = at(value, &told.path);
        if self.steps.take(told.mark.cost(&values)).is_err() {
            return false;
        }
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
