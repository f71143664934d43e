//! Search expressions as JSON paths, compiled once per parameter and resource type.
//!
//! Compiling resolves with the definitions what FHIRPath leaves to the type system: a choice element becomes one path
//! for each of its types (`Observation.value` is `valueQuantity`, `valueString`, ...), and every path knows the type of
//! the value at its end. Running a path is then a walk over members, arrays flattened.

use super::expression::{Expression, ExpressionError, Literal, parse};
use super::reference;
use crate::json::Node;
use crate::r4::definitions::elements::{Element, Shape, element_of};
use crate::r4::resource_type::ResourceType;

/// Most places to which an expression leads. A choice leads to one for each of its types.
const PATHS_MAX: usize = 200;

/// An expression ready to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Compiled {
    /// The values at the ends of these paths.
    Paths(Vec<Path>),
    /// One boolean: whether every one of these holds.
    AllHold(Vec<Predicate>),
}

/// A way into a resource. Without steps, the resource itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// The steps in order.
    pub(super) steps: Vec<Step>,
    /// The name of the data type at its end, or the path of the inner element.
    pub(super) data_type: &'static str,
    /// The code system of a `code` at its end, else empty.
    pub(super) system: &'static str,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Into a member; into every element of an array or into the one of this index.
    Member {
        /// The member's name in JSON.
        name: String,
        /// Which element.
        index: Option<usize>,
    },
    /// Only on if the member has this text.
    MemberIs {
        /// The member's name.
        name: String,
        /// Its text.
        text: String,
    },
    /// Only on if the reference points to a resource of this type.
    PointsTo(ResourceType),
}

/// A test of the whole resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Predicate {
    /// At least one of the paths ends in a value.
    Exists(Vec<Path>),
    /// The paths end in values of which none is this one.
    NoneIs(Vec<Path>, bool),
}

/// Why an expression cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub(super) enum PathError {
    /// It is not of the understood part of FHIRPath.
    #[error("the expression is not understood")]
    Expression(#[source] ExpressionError),
    /// It may lead to more places than are looked at.
    #[error("the expression leads to more than {PATHS_MAX} places; name the types, as in `value.as(string)`")]
    TooMany,
    /// It combines what is understood in a way that is not.
    #[error("the expression uses {0} where that has no meaning here")]
    Misplaced(&'static str),
}

/// Compiles the alternatives of an expression that can start at a resource type.
///
/// # Errors
/// When the expression uses what search parameters of R4 do not use.
pub(super) fn compile(resource_type: ResourceType, expression: &str) -> Result<Compiled, PathError> {
    compile_parsed(resource_type, &parse(expression).map_err(PathError::Expression)?)
}

/// As `compile`, each alternative by itself: empty paths for one that starts at another type, or where R4 has no element.
///
/// # Errors
/// As `compile`.
pub(super) fn compile_each(resource_type: ResourceType, expression: &str) -> Result<Vec<Compiled>, PathError> {
    let expression = parse(expression).map_err(PathError::Expression)?;
    let Expression::Union(alternatives) = &expression else {
        return Ok(vec![compile_parsed(resource_type, &expression)?]);
    };
    let compiler = Compiler { resource_type, context: resource_type.as_str() };
    let mut compiled = Vec::with_capacity(alternatives.len());
    let mut places = 0;
    for alternative in alternatives {
        let paths = compiler.paths(alternative)?;
        places += paths.len();
        if places > PATHS_MAX {
            return Err(PathError::TooMany);
        }
        compiled.push(Compiled::Paths(paths));
    }
    Ok(compiled)
}

fn compile_parsed(resource_type: ResourceType, expression: &Expression<'_>) -> Result<Compiled, PathError> {
    let compiler = Compiler { resource_type, context: resource_type.as_str() };
    let tests = match expression {
        Expression::And(parts) => parts.as_slice(),
        Expression::Exists(_) | Expression::NotEqual(..) => std::slice::from_ref(expression),
        Expression::Context
        | Expression::Member { .. }
        | Expression::Index { .. }
        | Expression::OfType { .. }
        | Expression::Is { .. }
        | Expression::Where { .. }
        | Expression::Resolve(_)
        | Expression::Equal(..)
        | Expression::Union(_) => return compiler.paths(expression).map(Compiled::Paths),
    };
    tests.iter().map(|test| compiler.predicate(test)).collect::<Result<_, _>>().map(Compiled::AllHold)
}

/// As `compile`, for an expression that is no combination of tests.
///
/// # Errors
/// As `compile`.
pub(super) fn compile_paths(resource_type: ResourceType, expression: &str) -> Result<Vec<Path>, PathError> {
    compile_from(resource_type, resource_type.as_str(), expression)
}

/// The paths of an expression that starts where another path ends, from there on.
///
/// # Errors
/// As `compile`.
pub(super) fn compile_within(
    resource_type: ResourceType,
    context: &Path,
    expression: &str,
) -> Result<Vec<Path>, PathError> {
    compile_from(resource_type, context.data_type, expression)
}

fn compile_from(resource_type: ResourceType, context: &'static str, expression: &str) -> Result<Vec<Path>, PathError> {
    Compiler { resource_type, context }.paths(&parse(expression).map_err(PathError::Expression)?)
}

struct Compiler {
    resource_type: ResourceType,
    /// Of what type relative paths start: the resource, a data type or an inner element.
    context: &'static str,
}

impl Compiler {
    fn paths(&self, expression: &Expression<'_>) -> Result<Vec<Path>, PathError> {
        match expression {
            Expression::Context => Ok(vec![root(self.context)]),
            Expression::Member { of, name } => self.member(of, name),
            Expression::OfType { of, name } => Ok(self.of_type(of, name)?),
            Expression::Index { of, index } => self.paths(of)?.into_iter().map(|path| at(path, *index)).collect(),
            Expression::Where { of, that } => {
                let filter = filter(that)?;
                let filtered = self.paths(of)?.into_iter().filter(|path| can_pass(path, &filter));
                Ok(filtered.map(|path| then(path, filter.clone())).collect())
            }
            Expression::Union(alternatives) => {
                let paths: Result<Vec<_>, _> = alternatives.iter().map(|alternative| self.paths(alternative)).collect();
                bounded(paths?.into_iter().flatten().collect())
            }
            Expression::Is { .. } => Err(PathError::Misplaced("`is`")),
            Expression::Exists(_) => Err(PathError::Misplaced("`exists`")),
            Expression::Resolve(_) => Err(PathError::Misplaced("`resolve`")),
            Expression::Equal(..) | Expression::NotEqual(..) | Expression::And(_) => {
                Err(PathError::Misplaced("a comparison"))
            }
        }
    }

    fn member(&self, of: &Expression<'_>, name: &str) -> Result<Vec<Path>, PathError> {
        if *of == Expression::Context && name.starts_with(|first: char| first.is_ascii_uppercase()) {
            return Ok(self.start(name).map(root).into_iter().collect());
        }
        bounded(self.paths(of)?.iter().flat_map(|path| children(path, name)).collect())
    }

    /// The type at which a path starts, if this resource is of that type.
    fn start(&self, name: &str) -> Option<&'static str> {
        std::iter::once(self.resource_type.as_str())
            .chain(self.resource_type.ancestors().iter().copied())
            .find(|known| *known == name)
    }

    fn of_type(&self, of: &Expression<'_>, name: &str) -> Result<Vec<Path>, PathError> {
        let mut paths = self.paths(of)?;
        // R4's `code-value-date` says `DateTime` where the type is `dateTime`; no two types differ in case only.
        paths.retain(|path| path.data_type.eq_ignore_ascii_case(name));
        Ok(paths)
    }

    fn predicate(&self, expression: &Expression<'_>) -> Result<Predicate, PathError> {
        if let Expression::Exists(of) = expression {
            return Ok(Predicate::Exists(self.paths(of)?));
        }
        if let Expression::NotEqual(of, Literal::Bool(value)) = expression {
            return Ok(Predicate::NoneIs(self.paths(of)?, *value));
        }
        Err(PathError::Misplaced("`and`"))
    }
}

fn root(data_type: &'static str) -> Path {
    Path { steps: Vec::new(), data_type, system: "" }
}

fn bounded(paths: Vec<Path>) -> Result<Vec<Path>, PathError> {
    if paths.len() > PATHS_MAX { Err(PathError::TooMany) } else { Ok(paths) }
}

fn is_primitive(data_type: &str) -> bool {
    data_type.starts_with(|first: char| first.is_ascii_lowercase())
}

fn children(path: &Path, name: &str) -> Vec<Path> {
    let Some(element) = element_of(path.data_type, name) else {
        return Vec::new();
    };
    let path = &if is_primitive(path.data_type) { beside_the_value(path.clone()) } else { path.clone() };
    element
        .types
        .iter()
        .map(|data_type| {
            let member = match element.shape {
                Shape::Plain => name.to_owned(),
                Shape::Choice => choice_member(name, data_type),
            };
            let steps = path.steps.iter().cloned().chain([Step::Member { name: member, index: None }]);
            Path { steps: steps.collect(), data_type: context(element, data_type), system: element.system() }
        })
        .collect()
}

/// Where the elements of an element are defined.
fn context(element: &Element, data_type: &'static str) -> &'static str {
    match data_type {
        "BackboneElement" | "Element" => element.path,
        _ => data_type,
    }
}

fn choice_member(name: &str, data_type: &str) -> String {
    let mut letters = data_type.chars();
    let capital = letters.next().map(|first| first.to_ascii_uppercase());
    name.chars().chain(capital).chain(letters).collect()
}

fn at(mut path: Path, element: usize) -> Result<Path, PathError> {
    match path.steps.last_mut() {
        Some(Step::Member { index, .. }) => {
            *index = Some(element);
            Ok(path)
        }
        _ => Err(PathError::Misplaced("an index")),
    }
}

/// What a primitive has besides its value stands in a member of its own: `_birthDate`.
fn beside_the_value(mut path: Path) -> Path {
    if let Some(Step::Member { name, .. }) = path.steps.last_mut() {
        name.insert(0, '_');
    }
    path
}

/// Whether there can be values that pass: what has the text must be there once and be a text.
fn can_pass(path: &Path, filter: &Step) -> bool {
    match filter {
        Step::MemberIs { name, .. } => element_of(path.data_type, name).is_some_and(|element| {
            !element.repeats && element.shape == Shape::Plain && element.types.iter().all(|it| is_primitive(it))
        }),
        Step::PointsTo(_) => path.data_type == "Reference",
        Step::Member { .. } => true,
    }
}

fn then(mut path: Path, step: Step) -> Path {
    path.steps.push(step);
    path
}

fn filter(that: &Expression<'_>) -> Result<Step, PathError> {
    if let Expression::Is { of, name } = that
        && let Expression::Resolve(of) = &**of
        && **of == Expression::Context
        && let Some(target) = ResourceType::parse(name)
    {
        return Ok(Step::PointsTo(target));
    }
    if let Expression::Equal(of, Literal::Text(text)) = that
        && let Expression::Member { of, name } = &**of
        && **of == Expression::Context
    {
        return Ok(Step::MemberIs { name: (*name).to_owned(), text: (*text).to_owned() });
    }
    Err(PathError::Misplaced("`where`"))
}

/// Hands every value at the end of the steps to `found`.
pub(super) fn walk<'n, 'a>(node: &'n Node<'a>, steps: &[Step], found: &mut impl FnMut(&'n Node<'a>)) {
    let Some((step, rest)) = steps.split_first() else {
        return found(node);
    };
    match step {
        Step::Member { name, index } => {
            if let Some(member) = node.member(name) {
                enter(member, *index, rest, found);
            }
        }
        Step::MemberIs { name, text } => {
            if node.member(name).and_then(Node::as_str) == Some(text) {
                walk(node, rest, found);
            }
        }
        Step::PointsTo(target) => {
            if reference::type_of(node) == Some(*target) {
                walk(node, rest, found);
            }
        }
    }
}

/// Goes on from the value of a member: from each element of an array, from the one of `index`, or from the value itself.
pub(super) fn enter<'n, 'a>(
    member: &'n Node<'a>,
    index: Option<usize>,
    rest: &[Step],
    found: &mut impl FnMut(&'n Node<'a>),
) {
    let elements = match member {
        Node::Array(elements) => elements.as_slice(),
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::String(_) | Node::Object(_) => {
            std::slice::from_ref(member)
        }
    };
    let chosen = match index {
        Some(index) => elements.get(index..).and_then(|from| from.get(..1)).unwrap_or(&[]),
        None => elements,
    };
    for element in chosen {
        if *element != Node::Null {
            walk(element, rest, found);
        }
    }
}

impl Predicate {
    /// Whether there are elements that it is about.
    pub(super) fn can_hold(&self) -> bool {
        let (Self::Exists(paths) | Self::NoneIs(paths, _)) = self;
        !paths.is_empty()
    }

    /// Whether it holds for a resource.
    pub(super) fn holds(&self, resource: &Node<'_>) -> bool {
        let values = |paths: &[Path]| {
            let mut values = Vec::new();
            for path in paths {
                walk(resource, &path.steps, &mut |value| values.push(value.clone()));
            }
            values
        };
        match self {
            Self::Exists(paths) => !values(paths).is_empty(),
            Self::NoneIs(paths, refused) => {
                let values = values(paths);
                !values.is_empty() && !values.contains(&Node::Bool(*refused))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Compiled, PATHS_MAX, Predicate, compile, compile_each, walk};
    use crate::json;
    use crate::r4::resource_type::ResourceType;

    #[track_caller]
    fn check(resource_type: &str, expression: &str, resource: &str, expected: &[&str]) {
        let resource = json::parse(resource.as_bytes()).unwrap();
        let compiled = compile(ResourceType::parse(resource_type).unwrap(), expression).unwrap();
        let mut found = Vec::new();
        match compiled {
            Compiled::Paths(paths) => {
                for path in &paths {
                    walk(&resource, &path.steps, &mut |node| found.push(format!("{}:{node}", path.data_type)));
                }
            }
            Compiled::AllHold(predicates) => {
                found.push(predicates.iter().all(|it: &Predicate| it.holds(&resource)).to_string());
            }
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn a_choice_is_found_under_the_name_with_its_type() {
        let resource = r#"{"effectivePeriod":{"start":"2024"},"valueString":"x"}"#;
        check("Observation", "Observation.effective", resource, &[r#"Period:{"start":"2024"}"#]);
        check("Observation", "(Observation.value as Quantity)", resource, &[]);
        check("Observation", "(Observation.value as string)", resource, &[r#"string:"x""#]);
    }

    #[test]
    fn a_member_that_only_looks_like_a_choice_is_not_one() {
        check("Observation", "Observation.value", r#"{"valueSet":"x"}"#, &[]);
    }

    #[test]
    fn arrays_are_walked_through_and_nulls_skipped() {
        let resource = r#"{"name":[{"given":["A",null,"B"]},{"family":"C"},{"given":["D"]}]}"#;
        check("Patient", "Patient.name.given", resource, &[r#"string:"A""#, r#"string:"B""#, r#"string:"D""#]);
    }

    #[test]
    fn alternatives_of_other_types_do_not_count() {
        let resource = r#"{"code":{"text":"a"},"identifier":[{"value":"b"}]}"#;
        check("Observation", "Patient.identifier | Observation.code.text", resource, &[r#"string:"a""#]);
        check("InsurancePlan", "name | alias", r#"{"alias":["b"],"name":"a"}"#, &[r#"string:"a""#, r#"string:"b""#]);
    }

    #[test]
    fn where_compares_a_member_or_the_type_of_a_target() {
        let resource = r#"{"telecom":[{"system":"phone","value":"1"},{"system":"email","value":"2"}]}"#;
        check("Patient", "Patient.telecom.where(system='phone').value", resource, &[r#"string:"1""#]);
        check(
            "Patient",
            "Patient.telecom.where(system='phone')",
            resource,
            &[r#"ContactPoint:{"system":"phone","value":"1"}"#],
        );
        let resource = r#"{"subject":{"reference":"Group/1"}}"#;
        check("Observation", "Observation.subject.where(resolve() is Patient)", resource, &[]);
        check(
            "Observation",
            "Observation.subject.where(resolve() is Group)",
            resource,
            &[r#"Reference:{"reference":"Group/1"}"#],
        );
    }

    #[test]
    fn the_value_of_an_extension_has_any_of_its_types() {
        let resource = r#"{"extension":[{"url":"http://a","valueString":"x"},{"url":"http://b","valueCode":"y"},
            {"url":"http://a","valueCodeableConcept":{"text":"z"}}]}"#;
        let string = [r#"string:"x""#];
        for expression in [
            "Patient.extension.where(url='http://a').value.as(string)",
            "Patient.extension.where(url = 'http://a').value.ofType(string)",
            "(Patient.extension('http://a').value as string)",
            "DomainResource.extension('http://a').value as string",
        ] {
            check("Patient", expression, resource, &string);
        }
        let both = [r#"string:"x""#, r#"CodeableConcept:{"text":"z"}"#];
        check("Patient", "Patient.extension('http://a').value", resource, &both);
        check("Patient", "Patient.extension('http://c').value", resource, &[]);
        let nested = r#"{"extension":[{"url":"http://a","extension":[{"url":"b","valueDate":"2024"}]}]}"#;
        check("Patient", "Patient.extension('http://a').extension('b').value as date", nested, &[r#"date:"2024""#]);
        let on_element = r#"{"name":[{"extension":[{"url":"http://a","valueCode":"x"}]}]}"#;
        check("Patient", "Patient.name.extension('http://a').value as code", on_element, &[r#"code:"x""#]);
    }

    #[test]
    fn an_extension_of_a_primitive_stands_beside_its_value() {
        let resource = r#"{"birthDate":"2024-01-02","_birthDate":{"extension":[{"url":"http://t","valueDateTime":"2024"}]},
            "name":[{"given":["A","B"],"_given":[null,{"extension":[{"url":"http://t","valueCode":"x"}]}]}]}"#;
        let expression = "Patient.birthDate.extension('http://t').value as dateTime";
        check("Patient", expression, resource, &[r#"dateTime:"2024""#]);
        check("Patient", "Patient.name.given.extension('http://t').value as code", resource, &[r#"code:"x""#]);
        let deceased = r#"{"_deceasedBoolean":{"extension":[{"url":"http://t","valueCode":"x"}]}}"#;
        check("Patient", "Patient.deceased.extension('http://t').value as code", deceased, &[r#"code:"x""#]);
    }

    #[test]
    fn a_test_alone_is_one_boolean() {
        let patient = r#"{"extension":[{"url":"http://a","valueCode":"x"}]}"#;
        check("Patient", "Patient.extension('http://a').exists()", patient, &["true"]);
        check("Patient", "Patient.extension('http://b').exists()", patient, &["false"]);
    }

    #[test]
    fn what_no_element_can_pass_leads_nowhere_and_what_leads_everywhere_is_refused() {
        let paths = |expression| compile(ResourceType::parse("Patient").unwrap(), expression);
        for expression in [
            "Patient.name.where(usee='official')",
            "Patient.name.where(given='a')",
            "Patient.name.where(resolve() is Patient)",
            "Patient.nonsense",
        ] {
            assert_eq!(paths(expression).unwrap(), Compiled::Paths(Vec::new()), "{expression}");
        }
        assert!(paths("Patient.extension.value.extension.value.extension.value").is_err());
    }

    #[test]
    fn alternatives_are_bounded_together_as_each_is() {
        let patient = ResourceType::parse("Patient").unwrap();
        let values = |count| vec!["Patient.extension.value"; count].join("|");
        for (count, is_taken) in [(4, true), (5, false)] {
            assert_eq!(compile_each(patient, &values(count)).is_ok(), is_taken, "{count}");
            assert_eq!(compile(patient, &values(count)).is_ok(), is_taken, "{count}");
        }
    }

    fn expressions() -> impl Strategy<Value = String> {
        let word =
            "Patient|extension|value|name|given|birthDate|telecom|link|contact|as|is|and|where|exists|resolve|ofType";
        let part = prop_oneof![
            word,
            "[.|()=!\\[\\]']",
            "\\.(extension|value|name|given|contact)",
            " (as|is|and) ",
            "\\(url='x'\\)",
            "'[a-z\\\\]{0,2}'",
            "\\PC{0,2}",
        ];
        prop::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn any_text_is_an_expression_or_refused(text in expressions()) {
            let patient = ResourceType::parse("Patient").unwrap();
            let whole = compile(patient, &text);
            if let Ok(Compiled::Paths(paths)) = &whole {
                prop_assert!(paths.len() <= PATHS_MAX);
            }
            let is_taken = whole.is_ok();
            prop_assert_eq!(compile_each(patient, &text).is_ok(), is_taken, "{}", text);
        }
    }

    #[test]
    fn an_index_takes_one_element() {
        let resource = r#"{"entry":[{"resource":{"id":"a"}},{"resource":{"id":"b"}}]}"#;
        check("Bundle", "Bundle.entry[0].resource", resource, &[r#"Resource:{"id":"a"}"#]);
        check("Bundle", "Bundle.entry[0].resource", r#"{"entry":[]}"#, &[]);
    }

    #[test]
    fn deceased_is_one_boolean_for_every_patient() {
        let expression = "Patient.deceased.exists() and Patient.deceased != false";
        for (resource, expected) in [
            ("{}", "false"),
            (r#"{"deceasedBoolean":false}"#, "false"),
            (r#"{"deceasedBoolean":true}"#, "true"),
            (r#"{"deceasedDateTime":"2024"}"#, "true"),
        ] {
            check("Patient", expression, resource, &[expected]);
        }
    }
}
