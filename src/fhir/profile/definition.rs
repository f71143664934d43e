//! A StructureDefinition as a tree of what it asks (<https://hl7.org/fhir/R4/profiling.html>).
//!
//! An element stands in the tree only where a profile says something of it or of what is below; what R4 itself says of
//! it is not repeated, for that is checked by `structure`. So a differential is laid onto the tree of its base as it is,
//! and a snapshot onto an empty one.

use super::slicing::Slicing;
use crate::json::Node;
use crate::r4::definitions::elements::{Shape, element_of, elements_of};
use crate::r4::definitions::invariants::invariants_of;
use crate::r4::resource_type::ResourceType;

/// Most elements of one StructureDefinition.
const ELEMENTS_MAX: usize = 10_000;

/// Deepest path of an element.
const SEGMENTS_MAX: usize = 32;

/// Most slices of one element.
const SLICES_MAX: usize = 1_000;

/// Most rules of one element.
const CONSTRAINTS_MAX: usize = 200;

/// Rule vs-1 as R4 published it, and as HL7's own validator has it. The former fails for every Period, which the same
/// profiles allow, and is in the snapshots of all that are based on them.
const VS_1: [&str; 2] =
    ["($this as dateTime).toString().length() >= 8", "$this is dateTime implies $this.toString().length() >= 10"];

/// Rules of R4 that are kept by `structure`, and for every element repeated in snapshots.
const KEPT: [&str; 8] = ["ele-1", "ext-1", "dom-2", "dom-4", "dom-5", "ref-1", "txt-1", "txt-2"];

/// A profile, read.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    /// Its canonical URL.
    pub(super) url: String,
    /// The type it is about.
    pub(super) of_type: &'static str,
    /// What it asks.
    pub(super) root: Element,
    /// What of it is not understood and so not checked: where, and what.
    pub(super) gaps: Vec<String>,
}

/// What a profile asks of an element, or of one slice of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Element {
    /// Its id in the profile: `Observation.component:SystolicBP.code`.
    pub(super) id: String,
    /// Its name, for a choice without the type; of a slice that of the slice.
    pub(super) name: String,
    /// The types R4 gives it: contexts of the table of elements.
    base: Vec<&'static str>,
    pub(super) is_choice: bool,
    pub(super) min: usize,
    /// `None` for any number.
    pub(super) max: Option<usize>,
    /// One of these; any if there are none.
    pub(super) types: Vec<TypeRule>,
    pub(super) fixed: Option<Node<'static>>,
    pub(super) pattern: Option<Node<'static>>,
    /// In characters.
    pub(super) max_length: Option<usize>,
    pub(super) least: Option<Node<'static>>,
    pub(super) greatest: Option<Node<'static>>,
    /// The value set its code must be from.
    pub(super) value_set: Option<String>,
    pub(super) constraints: Vec<Constraint>,
    pub(super) slicing: Option<Slicing>,
    pub(super) slices: Vec<Element>,
    pub(super) children: Vec<Element>,
    /// The path of the element of the same profile whose children it has.
    pub(super) same_as: Option<String>,
}

/// A type that an element may have.
#[derive(Clone, Debug)]
pub(super) struct TypeRule {
    /// Its name.
    pub(super) code: String,
    /// It must be one of these profiles of the type; any if there are none.
    pub(super) profiles: Vec<String>,
    /// A reference must point to one of these types or profiles; to any if there are none.
    pub(super) targets: Vec<String>,
}

/// A rule in FHIRPath.
#[derive(Clone, Debug)]
pub(super) struct Constraint {
    pub(super) key: String,
    pub(super) is_error: bool,
    pub(super) human: String,
    pub(super) expression: Option<String>,
}

impl Profile {
    /// A profile that asks nothing beyond its type.
    pub(super) fn plain(url: &str, of_type: &'static str) -> Self {
        let root =
            Element { id: of_type.to_owned(), name: of_type.to_owned(), base: vec![of_type], ..Element::default() };
        Self { url: url.to_owned(), of_type, root, gaps: Vec::new() }
    }

    /// Lays elements of a StructureDefinition onto what is known of its base.
    pub(super) fn apply(&mut self, elements: &[Node<'_>]) {
        for element in elements.iter().take(ELEMENTS_MAX) {
            let id = text(element, "id").unwrap_or_default();
            if let Err(gap) = self.lay(id, element) {
                self.gaps.push(format!("`{id}` {gap}"));
            }
        }
        if elements.len() > ELEMENTS_MAX {
            self.gaps.push(format!("there are more than {ELEMENTS_MAX} elements"));
        }
        let known = self.root.clone();
        self.root.settle(&known, &mut self.gaps);
    }

    fn lay(&mut self, id: &str, definition: &Node<'_>) -> Result<(), String> {
        let mut segments = id.split('.');
        if segments.next() != Some(self.of_type) {
            return Err(format!("is no element of {}; an element has an `id`", self.of_type));
        }
        if segments.clone().count() > SEGMENTS_MAX {
            return Err(format!("is more than {SEGMENTS_MAX} elements deep"));
        }
        let mut element = &mut self.root;
        for segment in segments {
            let (name, slice) = segment.split_once(':').map_or((segment, None), |(name, slice)| (name, Some(slice)));
            element = element.child(name)?;
            if let Some(slice) = slice {
                element = element.slice(slice)?;
            }
        }
        element.say(definition, &mut self.gaps);
        Ok(())
    }

    /// The element of a path without slices.
    pub(super) fn element(&self, path: &str) -> Option<&Element> {
        path.split('.').skip(1).try_fold(&self.root, |element, segment| {
            let name = segment.strip_suffix("[x]").unwrap_or(segment);
            element.children.iter().find(|child| child.name == name)
        })
    }
}

impl Element {
    /// How many elements there are, itself and slices included.
    pub(super) fn count(&self) -> usize {
        self.children.iter().chain(&self.slices).map(Self::count).sum::<usize>() + 1
    }

    /// The contexts in which its elements are defined, as far as its types are told.
    fn contexts(&self) -> Vec<&'static str> {
        if self.types.is_empty() || self.base.iter().any(|context| context.contains('.')) {
            return self.base.clone();
        }
        let resources = self.types.iter().filter_map(|rule| ResourceType::parse(&rule.code)).map(ResourceType::as_str);
        let own = self.base.iter().copied().filter(|context| self.types.iter().any(|rule| rule.code == *context));
        own.chain(resources).collect()
    }

    /// The element of this name below, as its definition writes it: `value[x]`, or `valueQuantity` for the one type.
    fn child(&mut self, written: &str) -> Result<&mut Self, String> {
        let name = written.strip_suffix("[x]").unwrap_or(written);
        let contexts = self.contexts();
        let plain = contexts.iter().find_map(|context| Some((element_of(context, name)?, None)));
        let of_type = || {
            let elements = contexts.iter().flat_map(|context| elements_of(context));
            let mut choices = elements.filter(|element| element.shape == Shape::Choice);
            choices.find_map(|element| Some((element, Some(element.type_under(name)?))))
        };
        let (element, only) =
            plain.or_else(of_type).ok_or_else(|| format!("names `{written}`, which R4 does not have"))?;
        let position = self.children.iter().position(|child| child.name == element.name).unwrap_or_else(|| {
            let context = |name: &&'static str| if is_inner(name) { element.path } else { *name };
            self.children.push(Self {
                id: format!("{}.{written}", self.id),
                name: element.name.to_owned(),
                base: element.types.iter().map(context).collect(),
                is_choice: element.shape == Shape::Choice,
                ..Self::default()
            });
            self.children.len() - 1
        });
        let child = self.children.get_mut(position).ok_or("is lost")?;
        if let Some(only) = only {
            child.types = vec![TypeRule::plain(only)];
        }
        Ok(child)
    }

    fn slice(&mut self, name: &str) -> Result<&mut Self, String> {
        if name.contains('/') || name == "@default" {
            return Err("slices what is a slice already".to_owned());
        }
        let known = self.slices.iter().position(|slice| slice.name == name);
        if known.is_none() && self.slices.len() >= SLICES_MAX {
            return Err(format!("is more than the {SLICES_MAX} slices that one element may have"));
        }
        let position = known.unwrap_or_else(|| {
            self.slices.push(Self {
                id: format!("{}:{name}", self.id),
                name: name.to_owned(),
                base: self.base.clone(),
                // `value[x]:valueQuantity` tells its type by its name.
                types: self.type_in(name).map(TypeRule::plain).into_iter().collect(),
                ..Self::default()
            });
            self.slices.len() - 1
        });
        self.slices.get_mut(position).ok_or_else(|| "is lost".to_owned())
    }

    fn type_in(&self, slice: &str) -> Option<&'static str> {
        let rest = slice.strip_prefix(self.name.as_str()).filter(|_| self.is_choice)?;
        self.base.iter().copied().find(|data_type| data_type.eq_ignore_ascii_case(rest))
    }

    /// Takes over what a definition says of this element.
    fn say(&mut self, definition: &Node<'_>, gaps: &mut Vec<String>) {
        self.id = text(definition, "id").unwrap_or(&self.id).to_owned();
        let mut gap = |what: &str| gaps.push(format!("`{}` {what}", self.id));
        for (name, value) in definition.members() {
            match name.as_ref() {
                "min" => self.min = number(value).unwrap_or(self.min),
                "max" => self.max = value.as_str().and_then(|max| max.parse().ok()).or(self.max),
                "type" => self.types = value.elements().iter().filter_map(TypeRule::read).collect(),
                "maxLength" => self.max_length = number(value),
                "contentReference" => {
                    self.same_as =
                        value.as_str().and_then(|path| path.rsplit_once('#')).map(|(_, path)| path.to_owned());
                }
                "binding" if text(value, "strength") == Some("required") => {
                    self.value_set = text(value, "valueSet").map(str::to_owned);
                    if self.value_set.is_none() {
                        gap("is bound to no value set that is named");
                    }
                }
                "slicing" => match Slicing::read(value) {
                    Ok(slicing) => self.slicing = Some(slicing),
                    Err(what) => gap(&what),
                },
                _ if is_choice_of(name, "fixed") => self.fixed = Some(value.to_static()),
                _ if is_choice_of(name, "pattern") => self.pattern = Some(value.to_static()),
                _ if is_choice_of(name, "minValue") => self.least = Some(value.to_static()),
                _ if is_choice_of(name, "maxValue") => self.greatest = Some(value.to_static()),
                _ if name.starts_with("_fixed") || name.starts_with("_pattern") => {
                    gap("fixes extensions of a primitive");
                }
                _ => {}
            }
        }
        let constraints = list(definition, "constraint");
        if constraints.len() > CONSTRAINTS_MAX {
            gap(&format!("has more than {CONSTRAINTS_MAX} rules"));
        }
        for constraint in constraints.iter().take(CONSTRAINTS_MAX).filter_map(Constraint::read) {
            if !self.is_of_r4(&constraint.key) {
                self.constraints.retain(|known| known.key != constraint.key);
                self.constraints.push(constraint);
            }
        }
    }

    /// Whether a rule is one of R4, which snapshots repeat.
    fn is_of_r4(&self, key: &str) -> bool {
        let path = without_slices(&self.id);
        let paths = self.base.iter().copied().chain([path.as_str(), "DomainResource"]);
        KEPT.contains(&key) || paths.flat_map(invariants_of).any(|invariant| invariant.key == key)
    }

    /// Settles how slices are told apart where only the element they are a part of says it, or R4.
    fn settle(&mut self, known: &Self, gaps: &mut Vec<String>) {
        if self.slicing.is_none() && !self.slices.is_empty() {
            self.slicing = known.slicing_of(&without_slices(&self.id)).or_else(|| match self.name.as_str() {
                "extension" | "modifierExtension" => Some(Slicing::by_url()),
                _ => self.is_choice.then(Slicing::by_type),
            });
            if self.slicing.is_none() {
                gaps.push(format!("`{}` does not say how its slices are told apart", self.id));
            }
        }
        self.children.iter_mut().chain(&mut self.slices).for_each(|below| below.settle(known, gaps));
    }

    fn slicing_of(&self, path: &str) -> Option<Slicing> {
        let names = path.split('.').skip(1).map(|segment| segment.strip_suffix("[x]").unwrap_or(segment));
        let mut element = self;
        for name in names {
            element = element.children.iter().find(|child| child.name == name)?;
        }
        element.slicing.clone()
    }
}

impl TypeRule {
    fn plain(code: &str) -> Self {
        Self { code: code.to_owned(), profiles: Vec::new(), targets: Vec::new() }
    }

    fn read(node: &Node<'_>) -> Option<Self> {
        let texts = |name| list(node, name).iter().filter_map(Node::as_str).map(str::to_owned).collect();
        Some(Self { code: text(node, "code")?.to_owned(), profiles: texts("profile"), targets: texts("targetProfile") })
    }
}

impl Constraint {
    fn read(node: &Node<'_>) -> Option<Self> {
        let [published, corrected] = VS_1;
        let expression = text(node, "expression").map(|text| if text == published { corrected } else { text });
        Some(Self {
            key: text(node, "key")?.to_owned(),
            is_error: text(node, "severity") != Some("warning"),
            human: text(node, "human").unwrap_or_default().to_owned(),
            expression: expression.map(str::to_owned),
        })
    }
}

fn is_inner(data_type: &str) -> bool {
    matches!(data_type, "BackboneElement" | "Element")
}

/// Whether a member is this choice: `fixedUri` is `fixed`.
fn is_choice_of(member: &str, name: &str) -> bool {
    member.strip_prefix(name).is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_uppercase()))
}

fn without_slices(id: &str) -> String {
    let segments = id.split('.').map(|segment| segment.split_once(':').map_or(segment, |(name, _)| name));
    segments.collect::<Vec<_>>().join(".")
}

fn number(node: &Node<'_>) -> Option<usize> {
    node.as_number().and_then(|digits| digits.parse().ok())
}

/// The text of a member.
pub(super) fn text<'n>(node: &'n Node<'_>, name: &str) -> Option<&'n str> {
    node.member(name).and_then(Node::as_str)
}

/// The elements of a member that is an array.
pub(super) fn list<'n, 'a>(node: &'n Node<'a>, name: &str) -> &'n [Node<'a>] {
    node.member(name).map_or(&[], Node::elements)
}
