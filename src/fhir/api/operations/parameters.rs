//! Parameters of operations, from a query or a `Parameters` resource, and the `Parameters` that answer
//! (<https://hl7.org/fhir/R4/operations.html#request>).
//!
//! An operation names what it takes as a list of `Input`s. Whatever comes besides, in another kind or too often is
//! refused here, so that an operation only meets what it asked for. A body that is no `Parameters` is the value of the
//! one input that takes a resource; the others then stand in the URL.

use std::borrow::Cow;

use crate::fhir::api::error::{ApiError, Category};
use crate::fhir::api::limits::decode;
use crate::fhir::api::resource::parse;
use crate::json::Node;

/// Most parameters of one call.
const PARAMETERS_MAX: usize = 1_000;

/// A parameter that an operation takes.
pub(crate) struct Input {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it may be.
    pub(crate) kind: Kind,
    /// How often it may come.
    pub(crate) times: Times,
}

/// What a parameter may be.
pub(crate) enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer,
    /// Any other primitive type; its format is for the operation to read.
    Text,
    /// A data type with elements, for example `Coding`; only in a body.
    Type(&'static str),
    /// A resource; only in a body.
    Resource,
}

/// How often a parameter may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    /// At most once.
    Optional,
    /// Once.
    Required,
    /// Any number of times.
    Many,
}

/// What becomes of parameters that are no inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    /// The call is refused.
    Refused,
    /// They are those of a search and for the operation to understand; see `Parameters::others`.
    Search,
}

/// The parameters of a call.
#[derive(Debug, Default)]
pub(crate) struct Parameters<'a>(Vec<Given<'a>>);

#[derive(Debug)]
struct Given<'a> {
    name: Cow<'a, str>,
    value: Value<'a>,
    /// In the body; empty for one of the query.
    location: String,
}

#[derive(Debug)]
enum Value<'a> {
    /// A primitive value, as text.
    Text(Cow<'a, str>),
    /// A value with elements, and the name of its type.
    Type(String, Node<'a>),
    Resource(Cow<'a, [u8]>),
    /// Parameters of its own, which no operation here takes.
    Parts,
}

impl Given<'_> {
    fn in_url(name: String, value: String) -> Self {
        Self { name: name.into(), value: Value::Text(value.into()), location: String::new() }
    }
}

impl<'a> Parameters<'a> {
    /// The parameters of a query, percent-encoded, and of a body, which is JSON or empty.
    ///
    /// # Errors
    /// When they are not those of the inputs.
    pub(super) fn read(query: &str, body: &'a [u8], inputs: &[Input], others: Others) -> Result<Self, ApiError> {
        let mut reading = Reading { others, left: PARAMETERS_MAX };
        let mut given = Vec::new();
        for (name, value) in decode(query.as_bytes())? {
            match name.as_str() {
                "_format" | "_pretty" => {}
                // Read beforehand; here for what links repeat.
                "_summary" | "_elements" => given.push(Given::in_url(name, value)),
                _ => given.push(reading.of_query(name, value, inputs)?),
            }
        }
        if !body.trim_ascii().is_empty() {
            given.extend(reading.of_body(body, inputs)?);
        }
        check_times(&given, inputs)?;
        Ok(Self(given))
    }

    /// The text of an input of kind `Text`; of several, the first.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.texts(name).next()
    }

    /// The texts of an input of kind `Text`, in order.
    pub(crate) fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.named(name).filter_map(|given| match &given.value {
            Value::Text(text) => Some(text.as_ref()),
            Value::Type(..) | Value::Resource(_) | Value::Parts => None,
        })
    }

    /// The value of an input of kind `Boolean`.
    pub(crate) fn boolean(&self, name: &str) -> Option<bool> {
        self.text(name).map(|text| text == "true")
    }

    /// The value of an input of kind `Integer`.
    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }

    /// The values of an input of kind `Type`, in order.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &Node<'a>> {
        self.named(name).filter_map(|given| match &given.value {
            Value::Type(_, node) => Some(node),
            Value::Text(_) | Value::Resource(_) | Value::Parts => None,
        })
    }

    /// The JSON of an input of kind `Resource`, in order; as sent where the body is the resource.
    pub(crate) fn resources(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.named(name).filter_map(|given| match &given.value {
            Value::Resource(text) => Some(text.as_ref()),
            Value::Text(_) | Value::Type(..) | Value::Parts => None,
        })
    }

    /// The parameters of a search (`Others::Search`): all that are not inputs, in order.
    pub(crate) fn others(&self, inputs: &[Input]) -> Vec<(String, String)> {
        let others = self.0.iter().filter(|given| input(inputs, &given.name).is_none());
        others
            .filter_map(|given| match &given.value {
                Value::Text(text) => Some((given.name.clone().into_owned(), text.clone().into_owned())),
                Value::Type(..) | Value::Resource(_) | Value::Parts => None,
            })
            .collect()
    }

    /// A refusal of what an input says, at its place in the body.
    pub(crate) fn refuse(&self, name: &str, detail: impl Into<String>) -> ApiError {
        let error = ApiError::new(Category::Value, detail);
        match self.named(name).next() {
            Some(given) if !given.location.is_empty() => error.at(&given.location),
            _ => error,
        }
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &Given<'a>> {
        self.0.iter().filter(move |given| given.name == name)
    }
}

struct Reading {
    others: Others,
    /// How many more parameters there may be.
    left: usize,
}

impl Reading {
    fn of_query(&mut self, name: String, value: String, inputs: &[Input]) -> Result<Given<'static>, ApiError> {
        self.count()?;
        let given = Given::in_url(name, value);
        self.check_kind(&given, inputs)?;
        Ok(given)
    }

    fn of_body<'a>(&mut self, body: &'a [u8], inputs: &[Input]) -> Result<Vec<Given<'a>>, ApiError> {
        let node = parse(body)?;
        if node.member("resourceType").and_then(Node::as_str) != Some("Parameters") {
            let input = inputs.iter().find(|input| matches!(input.kind, Kind::Resource)).ok_or_else(|| {
                ApiError::new(Category::Value, "The body of this operation is a `Parameters` resource.")
                    .at("resourceType")
            })?;
            let value = Value::Resource(Cow::Borrowed(body));
            return Ok(vec![Given { name: input.name.into(), value, location: String::new() }]);
        }
        let known = |member: &str| matches!(member, "resourceType" | "id" | "meta" | "language" | "parameter");
        if let Some((member, _)) = node.members().iter().find(|(member, _)| !known(member)) {
            let detail = format!("`{member}` says nothing to an operation. Send `parameter`.");
            return Err(ApiError::new(Category::Structure, detail).at(format!("Parameters.{member}")));
        }
        let elements = match node.member("parameter") {
            None => &[][..],
            Some(Node::Array(elements)) => elements,
            Some(_) => {
                let detail = "Parameters stand in an array.";
                return Err(ApiError::new(Category::Structure, detail).at("Parameters.parameter"));
            }
        };
        let location = |index| format!("Parameters.parameter[{index}]");
        elements.iter().enumerate().map(|(index, element)| self.of_element(element, location(index), inputs)).collect()
    }

    fn of_element<'a>(
        &mut self,
        element: &Node<'a>,
        location: String,
        inputs: &[Input],
    ) -> Result<Given<'a>, ApiError> {
        self.count()?;
        let bad = |detail: &str| ApiError::new(Category::Structure, detail).at(&location);
        let Some(name) = element.member("name").and_then(Node::as_str) else {
            return Err(bad("A parameter is an object with a `name`."));
        };
        if !element.members().iter().all(|(member, _)| is_value(member) || is_beside_value(member)) {
            return Err(bad("A parameter has `name` and one of `value[x]`, `resource` and `part`, and nothing else."));
        }
        let mut values = element.members().iter().filter(|(member, _)| is_value(member));
        let (Some((member, node)), None) = (values.next(), values.next()) else {
            return Err(bad("A parameter has exactly one of `value[x]`, `resource` and `part`."));
        };
        let value = match (member.as_ref(), node) {
            ("resource", resource) => Value::Resource(Cow::Owned(resource.to_string().into_bytes())),
            ("part", _) => Value::Parts,
            (member, Node::Object(_)) => Value::Type(member.trim_start_matches("value").to_owned(), node.clone()),
            (_, Node::String(text) | Node::Number(text)) => Value::Text(text.clone()),
            (_, Node::Bool(value)) => Value::Text(Cow::Borrowed(if *value { "true" } else { "false" })),
            (_, Node::Null | Node::Array(_)) => {
                return Err(bad("The value of a parameter is neither null nor a list."));
            }
        };
        let given = Given { name: Cow::Owned(name.to_owned()), value, location };
        self.check_kind(&given, inputs)?;
        Ok(given)
    }

    fn count(&mut self) -> Result<(), ApiError> {
        let detail = format!("An operation takes at most {PARAMETERS_MAX} parameters.");
        self.left = self.left.checked_sub(1).ok_or_else(|| ApiError::new(Category::Value, detail))?;
        Ok(())
    }

    /// Refuses what is no input, or no value of one.
    fn check_kind(&self, given: &Given<'_>, inputs: &[Input]) -> Result<(), ApiError> {
        let name = &given.name;
        let refused = |category, detail: String| {
            let error = ApiError::new(category, detail);
            Err(if given.location.is_empty() { error } else { error.at(&given.location) })
        };
        let Some(input) = input(inputs, name) else {
            let is_form = matches!(name.as_ref(), "_format" | "_pretty" | "_summary" | "_elements");
            return match (self.others, &given.value) {
                (Others::Search, _) if is_form => refused(
                    Category::NotSupported,
                    format!("`{name}` is about the form of the answer: send it in the URL."),
                ),
                (Others::Search, Value::Text(_)) => Ok(()),
                (Others::Search, _) => {
                    refused(Category::Value, format!("`{name}` is a search parameter: send its value as a string."))
                }
                (Others::Refused, _) => refused(Category::NotSupported, unknown(name, inputs)),
            };
        };
        let expected = match (&input.kind, &given.value) {
            (Kind::Boolean, Value::Text(text)) if matches!(text.as_ref(), "true" | "false") => return Ok(()),
            (Kind::Boolean, _) => "`true` or `false`".to_owned(),
            (Kind::Integer, Value::Text(text)) if text.parse::<i64>().is_ok() => return Ok(()),
            (Kind::Integer, _) => "a whole number".to_owned(),
            (Kind::Text, Value::Text(text)) if !text.is_empty() => return Ok(()),
            (Kind::Text, _) => "a primitive value that is not empty".to_owned(),
            (Kind::Type(expected), Value::Type(name, _)) if name == expected => return Ok(()),
            (Kind::Type(expected), _) => format!("a {expected}, sent in a `Parameters` body"),
            (Kind::Resource, Value::Resource(_)) => return Ok(()),
            (Kind::Resource, _) => "a resource, sent in the body".to_owned(),
        };
        refused(Category::Value, format!("The value of `{name}` is {expected}."))
    }
}

fn is_value(member: &str) -> bool {
    member.starts_with("value") || matches!(member, "resource" | "part")
}

fn is_beside_value(member: &str) -> bool {
    matches!(member, "id" | "name" | "extension") || member.starts_with('_')
}

fn input<'i>(inputs: &'i [Input], name: &str) -> Option<&'i Input> {
    inputs.iter().find(|input| input.name == name)
}

fn unknown(name: &str, inputs: &[Input]) -> String {
    let known: Vec<String> = inputs.iter().map(|input| format!("`{}`", input.name)).collect();
    let taken = if known.is_empty() { "no parameters".to_owned() } else { known.join(", ") };
    format!("`{name}` is not a parameter of this operation, which takes {taken}.")
}

fn check_times(given: &[Given<'_>], inputs: &[Input]) -> Result<(), ApiError> {
    for input in inputs {
        let mut of_input = given.iter().filter(|given| given.name == input.name);
        let detail = match (input.times, of_input.next(), of_input.next()) {
            (Times::Optional | Times::Required, Some(_), Some(_)) => format!("`{}` may stand only once.", input.name),
            (Times::Required, None, _) => format!("The parameter `{}` is missing.", input.name),
            (Times::Optional | Times::Required | Times::Many, ..) => continue,
        };
        let category = if input.times == Times::Required { Category::Required } else { Category::Value };
        return Err(ApiError::new(category, detail).at("Parameters"));
    }
    Ok(())
}

/// A `Parameters` resource as JSON; its parameters are made by `output`.
pub(crate) fn resource(outputs: Vec<Node<'_>>) -> String {
    let mut members = vec![("resourceType".into(), Node::from("Parameters"))];
    // An empty array is not FHIR.
    if !outputs.is_empty() {
        members.push(("parameter".into(), Node::from(outputs)));
    }
    Node::Object(members).to_string()
}

/// A parameter of an answer. `member` is `value[x]` with its type (`valueMeta`), `resource` or `part`.
pub(crate) fn output<'a>(name: &'a str, member: &'a str, value: impl Into<Node<'a>>) -> Node<'a> {
    Node::Object(vec![("name".into(), Node::from(name)), (member.into(), value.into())])
}

#[cfg(test)]
mod tests {
    use super::{Input, Kind, Others, Parameters, Times};

    const CODE: &[Input] = &[Input { name: "code", kind: Kind::Text, times: Times::Required }];
    const INPUTS: &[Input] = &[
        Input { name: "max", kind: Kind::Integer, times: Times::Optional },
        Input { name: "deep", kind: Kind::Boolean, times: Times::Optional },
        Input { name: "coding", kind: Kind::Type("Coding"), times: Times::Many },
        Input { name: "resource", kind: Kind::Resource, times: Times::Optional },
    ];

    #[track_caller]
    fn check_refused(query: &str, parameter: &str, expected: &str) {
        let body = format!(r#"{{"resourceType":"Parameters","parameter":[{parameter}]}}"#);
        let body = if parameter.is_empty() { "" } else { &body };
        let error = Parameters::read(query, body.as_bytes(), INPUTS, Others::Refused).unwrap_err();
        let outcome = String::from_utf8(error.outcome()).unwrap();
        assert!(outcome.contains(expected), "{outcome}");
    }

    #[test]
    fn values_come_by_query_and_by_body() {
        let body = br#"{"resourceType":"Parameters","parameter":[
            {"name":"deep","valueBoolean":true},
            {"name":"coding","valueCoding":{"code":"a"}}, {"name":"coding","valueCoding":{"code":"b"}},
            {"name":"resource","resource":{"resourceType":"Patient","multipleBirthInteger":1}}]}"#;
        let parameters = Parameters::read("max=3&_format=json", body, INPUTS, Others::Refused).unwrap();
        assert_eq!((parameters.integer("max"), parameters.boolean("deep")), (Some(3), Some(true)));
        let codes: Vec<_> = parameters.values("coding").map(|coding| coding.member("code").unwrap().as_str()).collect();
        assert_eq!(codes, [Some("a"), Some("b")]);
        let resource = parameters.resources("resource").next().unwrap();
        assert_eq!(resource, br#"{"resourceType":"Patient","multipleBirthInteger":1}"#);
        assert_eq!(parameters.text("absent"), None);
    }

    #[test]
    fn a_body_that_is_no_parameters_is_the_resource_as_sent() {
        let body = br#" {"resourceType":"Patient", "active" : true}"#;
        let parameters = Parameters::read("deep=false", body, INPUTS, Others::Refused).unwrap();
        assert_eq!(parameters.resources("resource").next(), Some(&body[..]));
        assert_eq!(parameters.boolean("deep"), Some(false));
        assert!(Parameters::read("", body, CODE, Others::Refused).is_err(), "no input takes a resource");
    }

    #[test]
    fn what_is_no_input_is_refused_or_belongs_to_a_search() {
        check_refused("min=1", "", "`min` is not a parameter of this operation, which takes `max`, `deep`");
        check_refused("", r#"{"name":"min","valueInteger":1}"#, "Parameters.parameter[0]");
        let body = br#"{"resourceType":"Parameters","parameter":[{"name":"code:text","valueString":"x"}]}"#;
        let parameters = Parameters::read("max=3&code=a,b", body, INPUTS, Others::Search).unwrap();
        let pairs = [("code", "a,b"), ("code:text", "x")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(parameters.others(INPUTS), pairs);
    }

    #[test]
    fn a_value_of_another_kind_is_refused() {
        check_refused("max=few", "", "a whole number");
        check_refused("deep=yes", "", "`true` or `false`");
        check_refused("coding=a%7Cb", "", "a Coding, sent in a `Parameters` body");
        check_refused("", r#"{"name":"coding","valueQuantity":{"value":1}}"#, "a Coding");
        check_refused("", r#"{"name":"coding","part":[{"name":"code","valueCode":"x"}]}"#, "a Coding");
        check_refused("", r#"{"name":"resource","valueString":"x"}"#, "a resource");
    }

    #[test]
    fn numbers_of_occurrence_are_kept() {
        check_refused("max=1&max=2", "", "`max` may stand only once");
        check_refused("max=1", r#"{"name":"max","valueInteger":1}"#, "only once");
        assert!(Parameters::read("", b"", CODE, Others::Refused).is_err(), "`code` is missing");
        assert!(Parameters::read(&"max=1&".repeat(2_000), b"", INPUTS, Others::Search).is_err());
    }

    #[test]
    fn a_malformed_parameters_is_refused() {
        let misspelled = br#"{"resourceType":"Parameters","paramter":[]}"#;
        assert!(Parameters::read("", misspelled, INPUTS, Others::Refused).is_err());
        check_refused("", r#"{"valueInteger":1}"#, "`name`");
        check_refused("", r#"{"name":"max"}"#, "exactly one");
        check_refused("", r#"{"name":"max","valueInteger":1,"valueString":"1"}"#, "exactly one");
        check_refused("", r#"{"name":"max","valueInteger":1,"other":1}"#, "nothing else");
        check_refused("", r#"{"name":"max","valueInteger":[1]}"#, "neither null nor a list");
        check_refused("", "7", "an object with a `name`");
        check_refused("", r#"{"name":"max",}"#, "not JSON");
    }
}
