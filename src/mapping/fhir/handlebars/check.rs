//! What can be known of a Handlebars text before any data is there: syntax, names of helpers, options and variables,
//! and where data may stand.
//!
//! Checking also prepares the text: `{{{x}}}` becomes `{{x}}`, since nothing here is written raw, and helpers that stand
//! where JSON is wanted are told so.

use std::collections::BTreeMap;

use handlebars::template::{HelperTemplate, Parameter, Subexpression, TemplateElement};
use handlebars::{Path, PathSeg, Template};

use super::super::super::load::nearest;
use super::helpers::{self, Spec, Writes};
use super::marked;

/// Deepest nesting of parentheses and blocks together; the parser of templates recurses.
const NESTING_MAX: usize = 32;

/// Something wrong in a text; line and column count from 1.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// What the texts of a template ask for.
#[derive(Clone, Debug, Default)]
pub(super) struct Uses {
    /// Names of values, each with a reading the template can deal with.
    pub(super) values: BTreeMap<String, String>,
    /// Whether it may look at any value, as a list of all of them does.
    pub(super) all_values: bool,
    /// Whether it mentions when the resource is made.
    pub(super) issued: bool,
}

/// Where a text stands, which says what its data becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// It is a string.
    Text,
    /// It is a JSON value.
    Json,
    /// It is a document, and the place in question is within a string of it or not.
    Document { in_string: bool },
}

/// Parses a text.
///
/// # Errors
/// When it is no Handlebars.
pub(super) fn parse(text: &str) -> Result<Template, Found> {
    let openings = ["(", "{{#", "{{~#", "[", "{\""].map(|opening| text.matches(opening).count());
    if openings.iter().sum::<usize>() > NESTING_MAX && nesting(text) > NESTING_MAX {
        let message = format!("nested deeper than {NESTING_MAX}");
        return Err(Found { line: 1, column: 1, message, hint: None });
    }
    Template::compile(text).map_err(|error| {
        let (line, column) = error.pos().unwrap_or((1, 1));
        Found { line, column, message: error.reason().to_string(), hint: None }
    })
}

/// How deep brackets and blocks nest, at most; too high rather than too low.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut rest = text;
    while let Some(next) = rest.find(['(', ')', '[', ']', '#', '/']) {
        let (_, found) = rest.split_at_checked(next).unwrap_or((rest, ""));
        match found.as_bytes().first() {
            Some(b'(' | b'[' | b'#') => depth += 1,
            _ => depth = depth.saturating_sub(1),
        }
        deepest = deepest.max(depth);
        rest = found.get(1..).unwrap_or_default();
    }
    deepest
}

/// Whether a text is exactly one call of a helper that writes JSON, alone or in the branches of a decision.
pub(super) fn is_json(template: &Template) -> bool {
    let mut elements = template.elements.iter().filter(|element| !is_blank(element));
    match (elements.next(), elements.next()) {
        (Some(TemplateElement::Expression(call) | TemplateElement::HtmlExpression(call)), None) => writes_json(call),
        (Some(TemplateElement::HelperBlock(block)), None) if block.name.as_name().is_some_and(is_decision) => {
            let branches = || block.template.iter().chain(&block.inverse);
            let is_empty = |branch: &Template| branch.elements.iter().all(is_blank);
            branches().any(is_json) && branches().all(|branch| is_json(branch) || is_empty(branch))
        }
        _ => false,
    }
}

fn is_blank(element: &TemplateElement) -> bool {
    matches!(element, TemplateElement::Comment(_))
        || matches!(element, TemplateElement::RawString(text) if text.trim().is_empty())
}

fn is_decision(name: &str) -> bool {
    matches!(name, "if" | "unless") || helpers::spec(name).is_some()
}

/// Whether a call writes JSON: `default` does when all it chooses from is JSON.
fn writes_json(call: &HelperTemplate) -> bool {
    let Parameter::Name(name) = &call.name else { return false };
    let is_json = |param: &Parameter| matches!(param, Parameter::Subexpression(inner) if expression(inner).is_some_and(writes_json));
    match helpers::spec(name).map(|spec| spec.writes) {
        Some(Writes::Scalar | Writes::Object) => true,
        Some(Writes::Text) => name == "default" && call.params.iter().all(is_json),
        None => false,
    }
}

fn expression(inner: &Subexpression) -> Option<&HelperTemplate> {
    if let TemplateElement::Expression(call) = inner.as_element() { Some(call) } else { None }
}

/// Variables with a fixed name.
const VARIABLES: [&str; 16] = [
    "type",
    "start",
    "end",
    "issued",
    "correlationId",
    "device.id",
    "device.reference",
    "device.identifier",
    "patient.id",
    "patient.reference",
    "patient.identifier",
    "encounter.id",
    "encounter.reference",
    "encounter.identifier",
    "identifier.system",
    "identifier.value",
];

/// A walk through the texts of a template.
#[derive(Debug, Default)]
pub(super) struct Walk {
    pub(super) uses: Uses,
    pub(super) found: Vec<Found>,
}

/// Where the walk is.
#[derive(Clone, Copy)]
struct Place {
    line: usize,
    column: usize,
    /// Within `each` or `with`, where names are those of the element.
    inner: bool,
}

/// The reading a template can deal with at this place.
#[derive(Clone, Copy)]
enum Sample<'s> {
    Number,
    Time,
    /// One of a table.
    Known(&'s str),
    /// Whatever it is, it becomes text.
    Text,
    /// As many numbers as a sample of a stream has.
    Frame(usize),
}

impl Walk {
    /// Checks and prepares a text; gives where the end of it stands.
    pub(super) fn text(&mut self, template: &mut Template, stand: Stand) -> Stand {
        self.elements(template, stand, false)
    }

    fn elements(&mut self, template: &mut Template, mut stand: Stand, inner: bool) -> Stand {
        for (index, element) in template.elements.iter_mut().enumerate() {
            let (line, column) = template.mapping.get(index).map_or((1, 1), |mapping| (mapping.0, mapping.1));
            let place = Place { line, column, inner };
            if let TemplateElement::HtmlExpression(call) = element {
                *element = TemplateElement::Expression(call.clone());
            }
            if let TemplateElement::RawString(text) = element {
                stand = after(stand, text);
            } else if let TemplateElement::Expression(call) = element {
                self.output(call, stand, place);
            } else if let TemplateElement::HelperBlock(block) = element {
                stand = self.block(block, stand, place);
            } else if !matches!(element, TemplateElement::Comment(_)) {
                self.find(place, "partials and decorators are not available", None);
            }
        }
        stand
    }

    /// An expression whose value is written.
    fn output(&mut self, call: &mut HelperTemplate, stand: Stand, place: Place) {
        let wants_json = matches!(stand, Stand::Json | Stand::Document { in_string: false });
        let is_json = writes_json(call);
        let name = call.name.as_name().unwrap_or_default().to_owned();
        if let Parameter::Path(path) = &call.name
            && !is_call(call)
        {
            self.variable(path, Sample::Number, place);
            if wants_json {
                let hint = format!("`\"{{{{{name}}}}}\"` for a text, `{{{{decimal {name}}}}}` for a number");
                self.find(place, format!("`{name}` stands outside of quotes"), Some(hint));
            }
            return;
        }
        self.call(call, place, Sample::Number);
        let object = helpers::spec(&name).is_some_and(|spec| spec.writes == Writes::Object);
        match (wants_json, is_json) {
            (true, true) => call.name = Parameter::Name(helpers::json_name(&name)),
            (true, false) if helpers::names().any(|known| known == name) => {
                self.find(place, format!("`{name}` writes text and stands outside of quotes"), None);
            }
            (false, true) if object => {
                let message = format!("`{name}` writes an object, which is no part of a text");
                self.find(place, message, None);
            }
            (true | false, _) => {}
        }
    }

    fn block(&mut self, block: &mut HelperTemplate, stand: Stand, place: Place) -> Stand {
        let name = block.name.as_name().unwrap_or_default().to_owned();
        self.call(block, place, Sample::Number);
        if name == "lookup" {
            self.find(place, "`lookup` is no block", None);
        }
        let is_scope = matches!(name.as_str(), "each" | "with");
        let inner = place.inner || is_scope;
        let then = block.template.as_mut().map_or(stand, |branch| self.elements(branch, stand, inner));
        let otherwise = block.inverse.as_mut().map_or(stand, |branch| self.elements(branch, stand, place.inner));
        if then != otherwise {
            self.find(place, format!("a branch of `{name}` leaves a quote open that the other does not"), None);
        }
        then
    }

    /// A call of a helper, its parameters and options.
    fn call(&mut self, call: &HelperTemplate, place: Place, sample: Sample<'_>) {
        let Some(name) = call.name.as_name() else {
            self.find(place, "the name of a helper cannot be computed", None);
            return;
        };
        let spec = helpers::spec(name);
        let builtin = helpers::BUILTIN.iter().find(|(known, ..)| *known == name);
        let Some((params, options)) = spec
            .map(|spec| (spec.params, spec.options))
            .or_else(|| builtin.map(|(_, params, options)| (*params, *options)))
        else {
            let hint = nearest(name, &helpers::names().collect::<Vec<_>>());
            self.find(place, format!("there is no helper `{name}`"), hint);
            return;
        };
        if builtin.is_some_and(|(known, ..)| *known != "lookup") && !call.block {
            self.find(place, format!("`{name}` is a block: `{{{{#{name} ...}}}}...{{{{/{name}}}}}`"), None);
        }
        self.arity(call.params.len(), params, name, place);
        for option in call.hash.keys().filter(|option| !options.contains(&option.as_str())) {
            let hint = nearest(option, options);
            self.find(place, format!("`{name}` has no option `{option}`"), hint);
        }
        if let ("lookup", [Parameter::Path(path), Parameter::Literal(key)]) = (name, call.params.as_slice())
            && let (Path::Relative((_, raw)), Some(key)) = (path, key.as_str())
            && matches!(raw.as_str(), "values" | "series")
        {
            self.uses.value(key, Sample::Number);
        }
        for (index, param) in call.params.iter().enumerate() {
            self.param(param, place, sample_of(spec, index, call).unwrap_or(sample));
        }
        let mut options: Vec<_> = call.hash.iter().collect();
        options.sort_by_key(|(name, _)| *name);
        for (name, param) in options {
            self.param(param, place, sample_of_option(name));
        }
    }

    fn arity(&mut self, given: usize, (fewest, most): (usize, usize), name: &str, place: Place) {
        if given < fewest || given > most {
            let wanted = match most {
                usize::MAX => format!("{fewest} or more"),
                most if most == fewest => most.to_string(),
                most => format!("{fewest} to {most}"),
            };
            self.find(place, format!("`{name}` takes {wanted} parameters, not {given}"), None);
        }
    }

    fn param(&mut self, param: &Parameter, place: Place, sample: Sample<'_>) {
        if let Parameter::Path(path) = param {
            self.variable(path, sample, place);
        } else if let Parameter::Subexpression(inner) = param {
            match expression(inner) {
                Some(call) => self.call(call, place, sample),
                None => self.find(place, "what stands in parentheses is no call", None),
            }
        }
    }

    fn variable(&mut self, path: &Path, sample: Sample<'_>, place: Place) {
        match path {
            Path::Local((_, name, _)) => {
                const LOCALS: [&str; 4] = ["index", "key", "first", "last"];
                if !LOCALS.contains(&name.as_str()) {
                    self.find(place, format!("there is no variable `@{name}`"), nearest(name, &LOCALS));
                }
            }
            Path::Relative((segments, raw)) => {
                let names: Vec<&str> = segments.iter().filter_map(named).collect();
                if raw.starts_with("@root") || !(place.inner || raw.starts_with("..")) {
                    self.root_variable(&names, raw, sample, place);
                }
            }
        }
    }

    fn root_variable(&mut self, names: &[&str], raw: &str, sample: Sample<'_>, place: Place) {
        const PARTY: &[&str] = &["id", "reference", "identifier"];
        let members: &[&str] = match names {
            ["type" | "start" | "end" | "correlationId"] => return,
            ["issued"] => return self.uses.issued = true,
            ["values" | "series"] => return self.uses.all_values = true,
            ["values", name] | ["series", name, ..] => return self.uses.value(name, sample),
            ["device" | "patient" | "encounter", ..] => PARTY,
            ["identifier", ..] => &["system", "value"],
            _ => &[],
        };
        if let [_, member] = names
            && members.contains(member)
        {
            return;
        }
        // What a value is called says nothing of whether `values` is misspelt.
        let hint = match names {
            [first, name] if members.is_empty() => {
                nearest(first, &["values", "series"]).map(|hint| format!("{hint} (`{name}` may be any name)"))
            }
            _ => nearest(raw, &VARIABLES),
        };
        self.find(place, format!("there is no variable `{raw}`"), hint);
    }

    fn find(&mut self, place: Place, message: impl Into<String>, hint: Option<String>) {
        self.found.push(Found { line: place.line, column: place.column, message: message.into(), hint });
    }
}

impl Uses {
    /// Whether a value of this name may be looked at.
    pub(super) fn has(&self, name: &str) -> bool {
        self.all_values || self.values.contains_key(name)
    }

    fn value(&mut self, name: &str, sample: Sample<'_>) {
        let (text, is_special) = match sample {
            Sample::Number => ("1".to_owned(), false),
            Sample::Time => ("2024-03-02T07:00:00Z".to_owned(), true),
            Sample::Known(text) => (text.to_owned(), true),
            Sample::Text => (marked::TRIAL.to_owned(), false),
            Sample::Frame(dimensions) => (vec!["1"; dimensions].join(" "), true),
        };
        let known = self.values.entry(name.to_owned()).or_insert_with(|| text.clone());
        // A number will do where any text would.
        if is_special || known == marked::TRIAL {
            *known = text;
        }
    }
}

/// Where a document stands after a piece of it.
fn after(stand: Stand, text: &str) -> Stand {
    let Stand::Document { mut in_string } = stand else { return stand };
    let mut escaped = false;
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ => {}
        }
    }
    Stand::Document { in_string }
}

fn named(segment: &PathSeg) -> Option<&str> {
    if let PathSeg::Named(name) = segment { Some(name) } else { None }
}

/// `{{x}}` is a variable unless there is a helper of that name.
fn is_call(call: &HelperTemplate) -> bool {
    let is_helper = call.name.as_name().is_some_and(|name| helpers::names().any(|known| known == name));
    is_helper || !call.params.is_empty() || !call.hash.is_empty()
}

/// What an option must be like for its helper to accept it.
fn sample_of_option(name: &str) -> Sample<'static> {
    match name {
        "unit" | "code" | "system" | "display" | "text" | "default" | "separator" => Sample::Text,
        "comparator" => Sample::Known("<"),
        _ => Sample::Number,
    }
}

/// What a parameter must be like for the helper to accept it.
fn sample_of<'p>(spec: Option<&Spec>, index: usize, call: &'p HelperTemplate) -> Option<Sample<'p>> {
    match (spec?.name, index, call.params.get(1)) {
        ("dateTime" | "instant", ..) => Some(Sample::Time),
        ("map", 0, Some(Parameter::Literal(literal))) => literal.as_str().map(Sample::Known),
        ("sampledData", ..) => {
            let Parameter::Literal(literal) = call.hash.get("dimensions")? else { return None };
            literal.to_string().trim_matches('"').parse().ok().map(Sample::Frame)
        }
        _ => None,
    }
}
