//! The helpers of HandlebarsFhir templates: what they are called, what they take, and what they write.
//!
//! A helper that *writes JSON* gives a number, a truth value, an object or an array; one that writes text gives the
//! inside of a string. Where a helper that writes JSON stands within a longer text, its text form is used. A helper whose
//! first parameter is missing has no answer: in JSON the member is left out, in a text that is an error.
//!
//! | helper | writes | |
//! |---|---|---|
//! | `decimal value` | JSON | number, digits kept |
//! | `integer value` | JSON | whole number of 32 bits |
//! | `boolean value` | JSON | of `true`, `false`, `1`, `0` |
//! | `dateTime value`, `instant value` | text | any time the product reads, in the form of FHIR; a date stays a date in `dateTime` and is refused by `instant` |
//! | `quantity value unit= code= system= comparator=` | JSON | `system` is UCUM where there is a `code` |
//! | `coding code= system= display=` | JSON | |
//! | `codeableConcept (coding ...)... code= system= display= text=` | JSON | codings as parameters, or one by options |
//! | `reference 'Type' id display=`, `reference 'Type/id' display=` | JSON | |
//! | `sampledData series.name period= origin= factor= unit= code= system= dimensions= lowerLimit= upperLimit=` | JSON | one slot each `period` milliseconds from `start`; a reading of several tokens fills as many slots |
//! | `add`, `subtract`, `multiply` (two or more), `divide a b digits=`, `round value digits` | JSON | decimals without floats |
//! | `eq`, `ne`, `lt`, `lte`, `gt`, `gte` | JSON | by value where both are decimals, else as text; a missing one is equal to nothing |
//! | `and`, `or`, `not` | JSON | of what is there and not empty |
//! | `len list` | JSON | |
//! | `default a b ...` | text | the first that is there and not blank |
//! | `map value 'from' 'to' ... default=` | text | a table; a value that is not in it is an error without `default` |
//! | `join a b ... separator=` | text | those that are there; a list counts as its elements |
//!
//! `if`, `unless`, `each`, `with` and `lookup` are those of Handlebars. `log` is not: values do not belong into logs.

mod arithmetic;
mod computing;
mod deciding;
mod streaming;
mod writing;

use std::sync::LazyLock;

use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, JsonRender, JsonTruthy, Output, RenderContext, RenderError,
    RenderErrorReason, Renderable, ScopedJson,
};
use serde_json::Value;

use super::marked;

/// What a helper says: nothing, when what it is about is missing.
type Answer = Result<Option<Value>, Refusal>;

/// Why a helper cannot write a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Refusal {
    /// Error code of section 11 of the mapping specification.
    pub(crate) code: &'static str,
    /// What is wrong. May quote a reading.
    pub(crate) reason: String,
    /// The value to blame, and the time of its reading as text; without a time the latest.
    pub(crate) reading: Option<(String, Option<String>)>,
}

impl Refusal {
    /// A refusal that is nobody's reading's fault.
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { code: FAILED, reason: reason.into(), reading: None }
    }
}

/// The code of failures that have none of their own.
pub(super) const FAILED: &str = "FhirDataMappingException";

/// What a helper writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writes {
    /// A number or a truth value, which may also be part of a text.
    Scalar,
    /// An object.
    Object,
    /// Text, which stands within a string.
    Text,
}

/// A helper.
pub(super) struct Spec {
    pub(super) name: &'static str,
    pub(super) writes: Writes,
    /// Fewest and most parameters.
    pub(super) params: (usize, usize),
    /// Names of options.
    pub(super) options: &'static [&'static str],
    call: fn(&Call<'_, '_>) -> Answer,
}

const MANY: usize = usize::MAX;
const UNIT: &[&str] = &["unit", "code", "system", "comparator"];
const CODING: &[&str] = &["code", "system", "display"];
const CONCEPT: &[&str] = &["code", "system", "display", "text"];
const STREAM: &[&str] =
    &["period", "origin", "factor", "unit", "code", "system", "dimensions", "lowerLimit", "upperLimit"];

const fn scalar_of(
    name: &'static str,
    params: (usize, usize),
    options: &'static [&'static str],
    call: fn(&Call<'_, '_>) -> Answer,
) -> Spec {
    Spec { name, writes: Writes::Scalar, params, options, call }
}

const fn object_of(
    name: &'static str,
    params: (usize, usize),
    options: &'static [&'static str],
    call: fn(&Call<'_, '_>) -> Answer,
) -> Spec {
    Spec { name, writes: Writes::Object, params, options, call }
}

const fn text_of(
    name: &'static str,
    params: (usize, usize),
    options: &'static [&'static str],
    call: fn(&Call<'_, '_>) -> Answer,
) -> Spec {
    Spec { name, writes: Writes::Text, params, options, call }
}

const SPECS: &[Spec] = &[
    scalar_of("decimal", (1, 1), &[], writing::decimal),
    scalar_of("integer", (1, 1), &[], writing::integer),
    scalar_of("boolean", (1, 1), &[], writing::boolean),
    text_of("dateTime", (1, 1), &[], writing::date_time),
    text_of("instant", (1, 1), &[], writing::instant),
    object_of("quantity", (1, 1), UNIT, writing::quantity),
    object_of("coding", (0, 0), CODING, writing::coding),
    object_of("codeableConcept", (0, MANY), CONCEPT, writing::codeable_concept),
    object_of("reference", (1, 2), &["display"], writing::reference),
    object_of("sampledData", (1, 1), STREAM, streaming::sampled_data),
    scalar_of("add", (2, MANY), &[], computing::add),
    scalar_of("subtract", (2, 2), &[], computing::subtract),
    scalar_of("multiply", (2, MANY), &[], computing::multiply),
    scalar_of("divide", (2, 2), &["digits"], computing::divide),
    scalar_of("round", (2, 2), &[], computing::round),
    scalar_of("eq", (2, 2), &[], deciding::eq),
    scalar_of("ne", (2, 2), &[], deciding::ne),
    scalar_of("lt", (2, 2), &[], deciding::lt),
    scalar_of("lte", (2, 2), &[], deciding::lte),
    scalar_of("gt", (2, 2), &[], deciding::gt),
    scalar_of("gte", (2, 2), &[], deciding::gte),
    scalar_of("and", (1, MANY), &[], deciding::and),
    scalar_of("or", (1, MANY), &[], deciding::or),
    scalar_of("not", (1, 1), &[], deciding::not),
    scalar_of("len", (1, 1), &[], deciding::len),
    text_of("default", (1, MANY), &[], deciding::default),
    text_of("map", (3, MANY), &["default"], deciding::map),
    text_of("join", (1, MANY), &["separator"], deciding::join),
];

/// Helpers of Handlebars itself that stay: name, fewest and most parameters, options.
pub(super) const BUILTIN: &[(&str, (usize, usize), &[&str])] = &[
    ("if", (1, 1), &["includeZero"]),
    ("unless", (1, 1), &["includeZero"]),
    ("each", (1, 1), &[]),
    ("with", (1, 1), &[]),
    ("lookup", (2, 2), &[]),
];

/// The helper of this name; `None` for one of Handlebars itself and for one that is not there.
pub(super) fn spec(name: &str) -> Option<&'static Spec> {
    SPECS.iter().find(|spec| spec.name == name)
}

/// Names of all helpers.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    SPECS.iter().map(|spec| spec.name).chain(BUILTIN.iter().map(|(name, ..)| *name))
}

/// The name under which a helper is called where JSON is wanted; no template can spell it.
pub(super) fn json_name(name: &str) -> String {
    format!("{name} as JSON")
}

/// For the strings of a resource, which become JSON strings only after rendering: nothing is escaped.
pub(super) static PLAIN: LazyLock<Handlebars<'static>> = LazyLock::new(|| registry(str::to_owned));

/// For a text that renders to JSON: data is marked, see `marked`.
pub(super) static MARKED: LazyLock<Handlebars<'static>> = LazyLock::new(|| registry(marked::mark));

fn registry(escape: fn(&str) -> String) -> Handlebars<'static> {
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    registry.register_escape_fn(escape);
    for builtin in ["log", "raw"] {
        registry.unregister_helper(builtin);
    }
    for spec in SPECS {
        registry.register_helper(spec.name, Box::new(InText(spec)));
        registry.register_helper(&json_name(spec.name), Box::new(InJson(spec)));
    }
    registry
}

/// A helper within a text, as a block, or as a parameter of another.
struct InText(&'static Spec);

impl HelperDef for InText {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        _render: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let answer = (self.0.call)(&Call { helper, data: context.data() }).map_err(nested)?;
        Ok(answer.map_or(ScopedJson::Missing, ScopedJson::Derived))
    }

    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let answer = self.call_inner(helper, registry, context, render)?;
        if helper.is_block() {
            let truth = answer.as_json().is_truthy(false);
            let branch = if truth { helper.template() } else { helper.inverse() };
            return branch.map_or(Ok(()), |branch| branch.render(registry, context, render, out));
        }
        if answer.is_missing() {
            let call = Call { helper, data: context.data() };
            return Err(nested(Refusal::new(format!("{} has no value", call.name(0)))));
        }
        Ok(out.write(&registry.get_escape_fn()(&answer.as_json().render()))?)
    }
}

/// A helper where JSON is wanted.
struct InJson(&'static Spec);

impl HelperDef for InJson {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        _render: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let answer = (self.0.call)(&Call { helper, data: context.data() }).map_err(nested)?;
        let json = answer.unwrap_or_default().to_string();
        if marked::is_marked(&json) {
            return Err(nested(Refusal::new("a value holds characters of a private use plane")));
        }
        Ok(out.write(&json)?)
    }
}

fn nested(refusal: Refusal) -> RenderError {
    RenderErrorReason::NestedError(Box::new(refusal)).into()
}

/// A call of a helper.
struct Call<'h, 'rc> {
    helper: &'h Helper<'rc>,
    /// All that the template sees.
    data: &'h Value,
}

impl<'h> Call<'h, '_> {
    /// A parameter that is there.
    fn param(&self, index: usize) -> Option<&'h Value> {
        self.helper.param(index).map(handlebars::PathAndJson::value).filter(|value| !value.is_null())
    }

    /// The parameters that are there.
    fn params(&self) -> impl Iterator<Item = &'h Value> {
        self.helper.params().iter().map(handlebars::PathAndJson::value).filter(|value| !value.is_null())
    }

    fn count(&self) -> usize {
        self.helper.params().len()
    }

    /// The text of a parameter that is a scalar.
    fn text(&self, index: usize) -> Result<Option<String>, Refusal> {
        self.param(index).map(|value| scalar(value, || self.name(index))).transpose()
    }

    /// The text of an option that is a scalar and not blank.
    fn option(&self, name: &str) -> Result<Option<String>, Refusal> {
        let value = self.helper.hash_get(name).map(handlebars::PathAndJson::value).filter(|value| !value.is_null());
        let text = value.map(|value| scalar(value, || format!("`{name}`"))).transpose()?;
        Ok(text.filter(|text| !text.trim().is_empty()))
    }

    /// How to call a parameter in a message.
    fn name(&self, index: usize) -> String {
        let path = self.helper.param(index).and_then(handlebars::PathAndJson::relative_path);
        path.map_or_else(|| format!("what `{}` is about", self.helper.name()), |path| format!("`{path}`"))
    }

    /// The name of the value that a parameter is.
    fn reading(&self, index: usize) -> Option<(String, Option<String>)> {
        let path = self.helper.param(index)?.relative_path()?;
        let name = path.strip_prefix("values.").or_else(|| path.strip_prefix("@root.values."))?;
        let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        Some((name.to_owned(), None))
    }

    /// A refusal of a parameter, which is not `wanted`.
    fn refuse(&self, code: &'static str, index: usize, wanted: &str, text: &str) -> Refusal {
        let reason = format!("{} is not {wanted}: `{text}`", self.name(index));
        Refusal { code, reason, reading: self.reading(index) }
    }
}

fn scalar(value: &Value, name: impl Fn() -> String) -> Result<String, Refusal> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(Refusal::new(format!("{} is no single value", name()))),
    }
}
