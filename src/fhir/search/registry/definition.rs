//! A SearchParameter resource, reduced to what decides what is found: <https://hl7.org/fhir/R4/searchparameter.html>.
//!
//! `comparator`, `modifier`, `chain`, `multipleOr` and `multipleAnd` say what a client may rely on. Searches by parameters
//! of a type can do all that the type can, so that these take nothing away.

use serde::{Deserialize, Serialize};

use crate::fhir::search::path::compile;
use crate::json::Node;
use crate::r4::definitions::search_parameters::{ParameterKind, Usage, is_url_of_r4, search_parameter};
use crate::r4::resource_type::ResourceType;

/// Most base types named.
const BASES_MAX: usize = 150;
/// Most parts of a composite.
const COMPONENTS_MAX: usize = 10;
/// Longest code, in bytes.
const CODE_BYTES_MAX: usize = 64;

/// What counts of a SearchParameter that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Definition {
    /// The id of the resource.
    pub(crate) id: String,
    /// Its canonical URL.
    pub(crate) url: String,
    /// The name in a query.
    pub(crate) code: String,
    /// The name of the type.
    kind: String,
    /// The names of the types it is for, as they are written: `DomainResource` may be one.
    bases: Vec<String>,
    /// The FHIRPath; empty for a composite of whole resources.
    pub(super) expression: String,
    /// Whether texts are compared by their sound.
    is_phonetic: bool,
    /// The names of the types a reference may point to; empty for all.
    targets: Vec<String>,
    /// The parts of a composite.
    pub(super) components: Vec<Part>,
    /// The generation of the definitions in which it came to be what it is now.
    pub(crate) since: u64,
    /// Whether every stored resource is found by it.
    pub(crate) is_ready: bool,
}

/// A part of a composite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// The URL of the parameter whose type it has.
    pub(super) definition: String,
    /// The FHIRPath from where the composite's own ends.
    pub(super) expression: String,
}

/// Why a SearchParameter cannot come into force as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Whether another one is in its way; otherwise it is wrong in itself.
    pub(crate) is_clash: bool,
    /// The element to be mended, for example `SearchParameter.expression`.
    pub(crate) element: String,
    /// What is wrong and how to mend it.
    pub(crate) detail: String,
}

impl Refusal {
    /// What is wrong in itself with an element, which is named without the type.
    pub(super) fn new(element: &str, detail: impl Into<String>) -> Self {
        Self { is_clash: false, element: format!("SearchParameter.{element}"), detail: detail.into() }
    }

    /// What fits together with nothing else.
    pub(super) fn clash(element: &str, detail: impl Into<String>) -> Self {
        Self { is_clash: true, ..Self::new(element, detail) }
    }
}

impl Definition {
    /// Reads the resource with this id. `None` when it has no effect: one that is not active, or says what R4 says.
    ///
    /// # Errors
    /// With the first element that cannot be used.
    pub(super) fn read(id: &str, resource: &Node<'_>) -> Result<Option<Self>, Refusal> {
        if text(resource, "status") != "active" {
            return Ok(None);
        }
        let definition = Self {
            id: id.to_owned(),
            url: required(resource, "url")?.to_owned(),
            code: required(resource, "code")?.to_owned(),
            kind: required(resource, "type")?.to_owned(),
            bases: texts(resource, "base"),
            expression: text(resource, "expression").to_owned(),
            is_phonetic: text(resource, "xpathUsage") == "phonetic",
            targets: texts(resource, "target"),
            components: components(resource),
            since: 0,
            is_ready: false,
        };
        if definition.restates_r4() {
            return Ok(None);
        }
        definition.check(text(resource, "xpathUsage"))?;
        Ok((!definition.is_of_r4()?).then_some(definition))
    }

    fn check(&self, usage: &str) -> Result<(), Refusal> {
        if !self.url.contains(':') || self.url.contains('|') {
            return Err(Refusal::new("url", "The `url` is absolute and has no version. Versions stand in `version`."));
        }
        self.check_code()?;
        self.check_kind(usage)?;
        if self.bases.is_empty() || self.bases.len() > BASES_MAX {
            return Err(Refusal::new("base", "Name the types of resources that the parameter is for in `base`."));
        }
        for (index, base) in self.bases.iter().enumerate() {
            if types_named(base).is_empty() {
                let detail = format!("`{base}` is not a resource type of R4.");
                return Err(Refusal::new(&format!("base[{index}]"), detail));
            }
        }
        for (index, target) in self.targets.iter().enumerate() {
            let element = format!("target[{index}]");
            if self.kind() != Some(ParameterKind::Reference) {
                return Err(Refusal::new(&element, "Only a parameter of type `reference` has a `target`."));
            }
            if types_named(target).is_empty() {
                return Err(Refusal::new(&element, format!("`{target}` is not a resource type of R4.")));
            }
        }
        self.check_components()
    }

    /// A code stands where colons, dots and underscores have a meaning.
    fn check_code(&self) -> Result<(), Refusal> {
        let is_name = self.code.starts_with(|first: char| first.is_ascii_alphabetic())
            && self.code.len() <= CODE_BYTES_MAX
            && self.code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if is_name {
            return Ok(());
        }
        let detail = format!(
            "A `code` that can stand in a query begins with a letter and goes on with letters, digits, `-` and `_`, up to \
             {CODE_BYTES_MAX} characters."
        );
        Err(Refusal::new("code", detail))
    }

    fn check_kind(&self, usage: &str) -> Result<(), Refusal> {
        let kind = match self.kind() {
            Some(ParameterKind::Special) => {
                let detail = "A parameter of type `special` has rules that no definition can tell. Use another type.";
                return Err(Refusal::new("type", detail));
            }
            None => return Err(Refusal::new("type", format!("`{}` is not a type of search parameters.", self.kind))),
            Some(kind) => kind,
        };
        match usage {
            "" | "normal" => Ok(()),
            "phonetic" if kind == ParameterKind::String => Ok(()),
            _ => {
                let detail =
                    "Values are compared as they are (`normal`), or by their sound (`phonetic`) if they are texts.";
                Err(Refusal::new("xpathUsage", detail))
            }
        }?;
        if self.expression.is_empty() {
            return Err(Refusal::new("expression", "Say in `expression` where the values are; `xpath` is not read."));
        }
        Ok(())
    }

    fn check_components(&self) -> Result<(), Refusal> {
        let is_composite = self.kind() == Some(ParameterKind::Composite);
        match self.components.len() {
            0 if !is_composite => Ok(()),
            2..=COMPONENTS_MAX if is_composite => Ok(()),
            _ if is_composite => {
                Err(Refusal::new("component", format!("A composite has 2 to {COMPONENTS_MAX} components.")))
            }
            _ => Err(Refusal::new("component", "Only a parameter of type `composite` has components.")),
        }
    }

    /// Whether it says of each of its types what R4 says under the same code, as implementation guides do under URLs of
    /// their own.
    fn restates_r4(&self) -> bool {
        let is_restated = |resource_type| {
            search_parameter(resource_type, &self.code).is_some_and(|known| {
                Some(known.kind) == self.kind()
                    && known.kind != ParameterKind::Composite
                    && known.usage == self.usage()
                    && means_the_same(resource_type, &known.expression, &self.expression)
            })
        };
        let types = types_in(&self.bases);
        !types.is_empty() && types.into_iter().all(is_restated)
    }

    /// Whether it is one of R4's own: these are there already.
    fn is_of_r4(&self) -> Result<bool, Refusal> {
        if !is_url_of_r4(&self.url) {
            return Ok(false);
        }
        let agrees = self.types().all(|resource_type| {
            search_parameter(resource_type, &self.code)
                .is_some_and(|known| known.url.as_ref() == self.url && Some(known.kind) == self.kind())
        });
        if agrees {
            return Ok(true);
        }
        let detail = "The `url` is that of a parameter which R4 defines otherwise. Give this one a `url` of its own.";
        Err(Refusal::clash("url", detail))
    }

    /// Its type.
    pub(super) fn kind(&self) -> Option<ParameterKind> {
        ParameterKind::parse(&self.kind)
    }

    /// How its values are compared.
    pub(super) fn usage(&self) -> Usage {
        if self.is_phonetic { Usage::Phonetic } else { Usage::Normal }
    }

    /// The types of resources it is for, each once.
    pub(crate) fn types(&self) -> impl Iterator<Item = ResourceType> {
        types_in(&self.bases).into_iter()
    }

    /// The types of resources a reference may point to, sorted.
    pub(super) fn targets(&self) -> Vec<ResourceType> {
        if self.kind() == Some(ParameterKind::Reference) && self.targets.is_empty() {
            return ResourceType::all().collect();
        }
        types_in(&self.targets)
    }

    /// Whether it finds each resource by the same values as another one does.
    pub(super) fn finds_the_same(&self, other: &Self) -> bool {
        let what = |it: &Self| (it.code.clone(), it.kind.clone(), it.is_phonetic, it.expression.clone());
        what(self) == what(other) && self.components == other.components && self.types().eq(other.types())
    }
}

fn types_in(names: &[String]) -> Vec<ResourceType> {
    let mut types: Vec<ResourceType> = names.iter().flat_map(|name| types_named(name)).collect();
    types.sort_unstable();
    types.dedup();
    types
}

/// The type of this name, or those that specialise it.
fn types_named(name: &str) -> Vec<ResourceType> {
    match ResourceType::parse(name) {
        Some(resource_type) => vec![resource_type],
        None => ResourceType::all().filter(|it| it.ancestors().contains(&name)).collect(),
    }
}

fn text<'n>(node: &'n Node<'_>, name: &str) -> &'n str {
    node.member(name).and_then(Node::as_str).unwrap_or_default()
}

fn required<'n>(resource: &'n Node<'_>, name: &str) -> Result<&'n str, Refusal> {
    match text(resource, name) {
        "" => Err(Refusal::new(name, format!("An active SearchParameter has a `{name}`."))),
        text => Ok(text),
    }
}

fn texts(resource: &Node<'_>, name: &str) -> Vec<String> {
    let elements = resource.member(name).map_or(&[][..], Node::elements);
    elements.iter().map(|element| element.as_str().unwrap_or_default().to_owned()).collect()
}

fn components(resource: &Node<'_>) -> Vec<Part> {
    let components = resource.member("component").map_or(&[][..], Node::elements);
    let part = |component: &Node<'_>| Part {
        definition: text(component, "definition").split('|').next().unwrap_or_default().to_owned(),
        expression: text(component, "expression").to_owned(),
    };
    components.iter().map(part).collect()
}

/// Whether two expressions lead to the same values of a type.
fn means_the_same(resource_type: ResourceType, one: &str, other: &str) -> bool {
    matches!((compile(resource_type, one), compile(resource_type, other)), (Ok(one), Ok(other)) if one == other)
}
