//! The search parameters of R4, by resource type.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use super::table;
use crate::r4::resource_type::ResourceType;

/// A search parameter as one resource type has it.
#[derive(Clone, Debug)]
pub(crate) struct SearchParameter {
    /// Its canonical URL.
    pub(crate) url: Arc<str>,
    /// Its name in a query.
    pub(crate) code: Arc<str>,
    /// Its type.
    pub(crate) kind: ParameterKind,
    /// How the expression is meant to be used.
    pub(crate) usage: Usage,
    /// FHIRPath; may hold alternatives that start at other resource types. Empty for parameters without one.
    pub(crate) expression: Cow<'static, str>,
    /// The types a reference may point to, sorted.
    pub(crate) targets: Vec<ResourceType>,
    /// The parts of a composite, in order.
    pub(crate) components: Vec<Component>,
}

/// One part of a composite parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Component {
    /// The parameter of the same resource type whose type the part has.
    pub(crate) code: Cow<'static, str>,
    /// FHIRPath from where the composite's own expression ends.
    pub(crate) expression: Cow<'static, str>,
}

/// The types of search parameters, <https://hl7.org/fhir/R4/search.html#ptypes>.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ParameterKind {
    /// A number.
    Number,
    /// A date, time or period.
    Date,
    /// A text.
    String,
    /// A code or identifier.
    Token,
    /// A reference to a resource.
    Reference,
    /// Several parameters at once on the same element.
    Composite,
    /// An amount with a unit.
    Quantity,
    /// A URI.
    Uri,
    /// Its own rules.
    Special,
}

/// What R4 calls the usage of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    /// The values are compared as they are.
    Normal,
    /// The values are compared by sound.
    Phonetic,
    /// The values are compared by distance.
    Nearby,
}

/// What the URLs of R4's own parameters begin with.
const URLS: &str = "http://hl7.org/fhir/SearchParameter/";

static PARAMETERS: LazyLock<HashMap<&'static str, Vec<SearchParameter>>> = LazyLock::new(by_type);

/// The parameters of a resource type, those of `Resource` and `DomainResource` included, sorted by code.
pub(crate) fn search_parameters(resource_type: ResourceType) -> &'static [SearchParameter] {
    PARAMETERS.get(resource_type.as_str()).map_or(&[], Vec::as_slice)
}

/// The parameter of this name on a resource type.
pub(crate) fn search_parameter(resource_type: ResourceType, code: &str) -> Option<&'static SearchParameter> {
    let parameters = search_parameters(resource_type);
    let index = parameters.binary_search_by(|parameter| parameter.code.as_ref().cmp(code)).ok()?;
    parameters.get(index)
}

static URLS_OF_R4: LazyLock<HashSet<Arc<str>>> =
    LazyLock::new(|| PARAMETERS.values().flatten().map(|parameter| Arc::clone(&parameter.url)).collect());

/// Whether this is the canonical URL of one of R4's parameters.
pub(crate) fn is_url_of_r4(url: &str) -> bool {
    URLS_OF_R4.contains(url)
}

fn by_type() -> HashMap<&'static str, Vec<SearchParameter>> {
    let mut rows: HashMap<&'static str, Vec<Row>> = HashMap::new();
    for row in table::rows::<8>(include_str!("search-parameters.tsv")) {
        let [_, _, bases, ..] = row;
        for base in table::list(bases, ',') {
            rows.entry(base).or_default().push(row);
        }
    }
    ResourceType::all()
        .map(|resource_type| {
            let bases = std::iter::once(resource_type.as_str()).chain(resource_type.ancestors().iter().copied());
            let mut parameters: Vec<SearchParameter> =
                bases.filter_map(|base| rows.get(base)).flatten().filter_map(|row| parse_row(*row)).collect();
            parameters.sort_by(|left, right| left.code.cmp(&right.code));
            (resource_type.as_str(), parameters)
        })
        .collect()
}

/// `code type bases usage targets expression components id`
type Row = [&'static str; 8];

fn parse_row([code, kind, _, usage, targets, expression, components, id]: Row) -> Option<SearchParameter> {
    Some(SearchParameter {
        url: format!("{URLS}{id}").into(),
        code: code.into(),
        kind: ParameterKind::parse(kind)?,
        usage: Usage::parse(usage)?,
        expression: expression.into(),
        targets: table::list(targets, ',').filter_map(ResourceType::parse).collect(),
        components: table::list(components, ';')
            .filter_map(|component| component.split_once('='))
            .map(|(code, expression)| Component { code: code.into(), expression: expression.into() })
            .collect(),
    })
}

impl ParameterKind {
    /// The type of this name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "number" => Self::Number,
            "date" => Self::Date,
            "string" => Self::String,
            "token" => Self::Token,
            "reference" => Self::Reference,
            "composite" => Self::Composite,
            "quantity" => Self::Quantity,
            "uri" => Self::Uri,
            "special" => Self::Special,
            _ => return None,
        })
    }

    /// The name in definitions and in a CapabilityStatement.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Date => "date",
            Self::String => "string",
            Self::Token => "token",
            Self::Reference => "reference",
            Self::Composite => "composite",
            Self::Quantity => "quantity",
            Self::Uri => "uri",
            Self::Special => "special",
        }
    }
}

impl Usage {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "normal" => Self::Normal,
            "phonetic" => Self::Phonetic,
            "nearby" => Self::Nearby,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Component, ParameterKind, parse_row, search_parameter, search_parameters, table};
    use crate::r4::resource_type::ResourceType;

    fn resource_type(name: &str) -> ResourceType {
        ResourceType::parse(name).unwrap()
    }

    #[test]
    fn all_1375_parameters_of_r4_load() {
        let rows: Vec<_> = table::rows::<8>(include_str!("search-parameters.tsv")).map(parse_row).collect();
        assert_eq!(rows.len(), 1375);
        assert!(rows.iter().all(Option::is_some));
    }

    #[test]
    fn a_type_has_its_own_parameters_and_those_of_its_ancestors() {
        let codes: HashSet<&str> =
            search_parameters(ResourceType::OBSERVATION).iter().map(|parameter| parameter.code.as_ref()).collect();
        for code in ["code", "date", "_id", "_lastUpdated", "_tag", "_text", "code-value-quantity"] {
            assert!(codes.contains(code), "{code}");
        }
        assert!(search_parameter(ResourceType::BUNDLE, "_text").is_none());
    }

    #[test]
    fn no_type_has_a_code_twice() {
        for resource_type in ResourceType::all() {
            let parameters = search_parameters(resource_type);
            let codes: HashSet<_> = parameters.iter().map(|parameter| &parameter.code).collect();
            assert_eq!(codes.len(), parameters.len(), "{resource_type:?}");
        }
    }

    #[test]
    fn targets_and_components_are_typed() {
        let subject = search_parameter(ResourceType::OBSERVATION, "subject").unwrap();
        assert_eq!(subject.kind, ParameterKind::Reference);
        assert!(subject.targets.contains(&resource_type("Patient")));
        let composite = search_parameter(ResourceType::OBSERVATION, "component-code-value-quantity").unwrap();
        assert_eq!(
            composite.components,
            [
                Component { code: "component-code".into(), expression: "code".into() },
                Component { code: "component-value-quantity".into(), expression: "value.as(Quantity)".into() },
            ]
        );
    }
}
