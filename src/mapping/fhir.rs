//! FHIR mappings: what a measurement becomes (section 7.1 of the mapping specification).
//!
//! Templates only; building Observations from them is the deliver stage's work.

use super::load::{Collection, Element, Fields};
use super::problem::Problems;
use super::sample_period::SamplePeriod;
use super::source::{Kind, Located, Member, Source};
use crate::model::group::Period;

/// A template of a FHIR mapping.
#[derive(Clone, Debug)]
pub(crate) struct CodeValueFhir {
    /// The measurement type it is for, found without regard to case.
    pub(crate) type_name: String,
    /// The line where its body starts.
    pub(crate) line: usize,
    /// How long a span one Observation covers.
    pub(crate) period: Period,
    /// Categories; none removes those an Observation has (OB-8).
    pub(crate) category: Vec<Category>,
    /// Codes of the Observation, before the product's own.
    pub(crate) codes: Vec<Code>,
    /// The top-level value.
    pub(crate) value: Option<ValueTemplate>,
    /// Components in order.
    pub(crate) components: Vec<Component>,
}

impl CodeValueFhir {
    /// The value names it asks for, top level first.
    pub(crate) fn value_names(&self) -> impl Iterator<Item = &str> {
        let components = self.components.iter().map(|component| &component.value);
        self.value.iter().chain(components).map(|value| value.name.as_str())
    }
}

/// A code of a code system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Code {
    /// `Coding.code`
    pub(crate) code: Option<String>,
    /// `Coding.system`
    pub(crate) system: Option<String>,
    /// `Coding.display`
    pub(crate) display: Option<String>,
}

/// A category of the Observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Category {
    /// `CodeableConcept.text`
    pub(crate) text: Option<String>,
    /// `CodeableConcept.coding`
    pub(crate) codes: Vec<Code>,
}

/// A component of the Observation.
#[derive(Clone, Debug)]
pub(crate) struct Component {
    /// Codes of the component, before the product's own.
    pub(crate) codes: Vec<Code>,
    /// Its value.
    pub(crate) value: ValueTemplate,
}

/// A value of an Observation or component.
#[derive(Clone, Debug)]
pub(crate) struct ValueTemplate {
    /// Name of the measurement's value, compared exactly.
    pub(crate) name: String,
    /// What kind of value it becomes.
    pub(crate) kind: ValueKind,
}

/// What a value becomes.
#[derive(Clone, Debug)]
pub(crate) enum ValueKind {
    /// `valueSampledData`
    SampledData {
        /// Distance of two samples.
        period: SamplePeriod,
        /// `SampledData.origin.unit`
        unit: Option<String>,
    },
    /// `valueQuantity`
    Quantity {
        /// `Quantity.unit`
        unit: Option<String>,
        /// `Quantity.system`
        system: Option<String>,
        /// `Quantity.code`
        code: Option<String>,
    },
    /// `valueString`
    String,
    /// `valueCodeableConcept`, the same for every measured value (FM-27)
    CodeableConcept {
        /// `CodeableConcept.text`
        text: Option<String>,
        /// `CodeableConcept.coding`
        codes: Vec<Code>,
    },
}

const COLLECTION: Collection = Collection { root_types: &["CollectionFhir", "CollectionFhirTemplate"] };

/// Most slots an hour's or a day's SampledData may have; 10 ms for a day.
pub(crate) const SLOTS_MAX: u64 = 8_640_000;

/// Loads a FHIR mapping; templates with problems and repeated type names are left out.
pub(super) fn load(source: Source<'_>, problems: &mut Problems<'_>) -> Vec<CodeValueFhir> {
    let mut templates: Vec<CodeValueFhir> = Vec::new();
    for element in COLLECTION.read(source, problems) {
        let errors_before = problems.errors();
        let Some(template) = template(&element, problems).filter(|_| problems.errors() == errors_before) else {
            continue;
        };
        let name = template.type_name.to_lowercase();
        if templates.iter().any(|earlier| earlier.type_name.to_lowercase() == name) {
            let message = format!("Duplicate template defined for type name: {}", template.type_name);
            problems.error(element.body.at, message);
        } else {
            templates.push(template);
        }
    }
    templates
}

fn template(element: &Element, problems: &mut Problems<'_>) -> Option<CodeValueFhir> {
    let name = element.template_type.to_ascii_lowercase();
    match name.strip_suffix("template").unwrap_or(&name) {
        "codevaluefhir" => code_value(&element.body, problems),
        "handlebarsfhir" => {
            let message = "template type HandlebarsFhir is not available in this version";
            problems.error_with_hint(element.at, message, "available: CodeValueFhir");
            None
        }
        _ => {
            let message = format!("expected template type CodeValueFhir, actual {}", element.template_type);
            problems.error(element.at, message);
            None
        }
    }
}

fn code_value(body: &Fields, problems: &mut Problems<'_>) -> Option<CodeValueFhir> {
    body.refuse_unknown(&["typeName", "codes", "periodInterval", "category", "value", "components"], problems);
    let type_name = body.required_text("typeName", problems);
    let codes = required_codes(body, problems);
    let period = period(body, problems);
    let category = body.list("category", problems).iter().filter_map(|entry| category(entry, problems)).collect();
    let value = body.given("value").and_then(|member| value(member, problems));
    let components = body.list("components", problems).iter().filter_map(|entry| component(entry, problems)).collect();
    let template = CodeValueFhir {
        type_name: type_name?,
        line: body.at.line,
        period: period?,
        category,
        codes: codes?,
        value,
        components,
    };
    check_values(&template, body, problems);
    Some(template)
}

fn check_values(template: &CodeValueFhir, body: &Fields, problems: &mut Problems<'_>) {
    if template.value.is_none() && template.components.is_empty() {
        problems.warning(body.at, "the template has neither `value` nor `components`, its Observations have no value");
    }
    let components = template.components.iter().map(|component| &component.value);
    for value in template.value.iter().chain(components) {
        match &value.kind {
            ValueKind::SampledData { period, .. } => check_slots(template.period, period, body, problems),
            ValueKind::Quantity { .. } | ValueKind::String if template.period != Period::Single => {
                let message = format!("value `{}` keeps only the latest reading of each period", value.name);
                problems.warning(body.at, message);
            }
            ValueKind::Quantity { .. } | ValueKind::String | ValueKind::CodeableConcept { .. } => {}
        }
    }
}

fn check_slots(period: Period, sample_period: &SamplePeriod, body: &Fields, problems: &mut Problems<'_>) {
    let span_ns = match period {
        Period::Single | Period::Correlation => return,
        Period::Hour => 3_600_000_000_000,
        Period::Day => 86_400_000_000_000,
    };
    if sample_period.slot_of(span_ns) > i128::from(SLOTS_MAX) {
        let message = format!("`defaultPeriod` {sample_period} gives more than {SLOTS_MAX} samples in a period");
        problems.error(body.at, message);
    }
}

fn period(body: &Fields, problems: &mut Problems<'_>) -> Option<Period> {
    let Some(member) = body.find("periodInterval") else {
        return Some(Period::Single);
    };
    let text = match &member.value.kind {
        Kind::Number(text) | Kind::String(text) => text.trim().to_ascii_lowercase(),
        Kind::Null | Kind::Bool(_) | Kind::Array(_) | Kind::Object(_) => String::new(),
    };
    match text.as_str() {
        "0" | "single" => Some(Period::Single),
        "60" | "hourly" => Some(Period::Hour),
        "1440" | "daily" => Some(Period::Day),
        "-1" | "correlationid" => Some(Period::Correlation),
        _ => {
            let hint = "one of 0 (Single), 60 (Hourly), 1440 (Daily), -1 (CorrelationId)";
            problems.error_with_hint(member.at, "`periodInterval` is not known", hint);
            None
        }
    }
}

fn category(entry: &Located, problems: &mut Problems<'_>) -> Option<Category> {
    let fields = object(entry, "category", problems)?;
    fields.refuse_unknown(&["text", "codes"], problems);
    Some(Category { text: fields.text("text", problems), codes: codes(&fields, problems) })
}

fn component(entry: &Located, problems: &mut Problems<'_>) -> Option<Component> {
    let fields = object(entry, "components", problems)?;
    fields.refuse_unknown(&["codes", "value"], problems);
    let codes = required_codes(&fields, problems);
    let member = fields.required("value", problems)?;
    Some(Component { value: value(member, problems)?, codes: codes? })
}

fn required_codes(fields: &Fields, problems: &mut Problems<'_>) -> Option<Vec<Code>> {
    fields.required("codes", problems)?;
    Some(codes(fields, problems))
}

fn codes(fields: &Fields, problems: &mut Problems<'_>) -> Vec<Code> {
    fields.list("codes", problems).iter().filter_map(|entry| code(entry, problems)).collect()
}

fn code(entry: &Located, problems: &mut Problems<'_>) -> Option<Code> {
    let fields = object(entry, "codes", problems)?;
    fields.refuse_unknown(&["code", "system", "display"], problems);
    Some(Code {
        code: fields.text("code", problems),
        system: fields.text("system", problems),
        display: fields.text("display", problems),
    })
}

fn object(entry: &Located, list: &str, problems: &mut Problems<'_>) -> Option<Fields> {
    let fields = Fields::of(entry);
    if fields.is_none() {
        problems.error(entry.at, format!("an entry of `{list}` is not an object"));
    }
    fields
}

fn value(member: &Member, problems: &mut Problems<'_>) -> Option<ValueTemplate> {
    let Some(fields) = Fields::of(&member.value) else {
        problems.error(member.at, format!("`{}` is not an object", member.name));
        return None;
    };
    let name = fields.required_text("valueName", problems);
    let kind = value_kind(&fields, problems);
    Some(ValueTemplate { name: name?, kind: kind? })
}

/// The member that names the kind is found in two spellings only (FM-9).
fn value_kind(fields: &Fields, problems: &mut Problems<'_>) -> Option<ValueKind> {
    let member = fields.find_exactly("valueType").or_else(|| fields.find_exactly("ValueType"));
    let name = member.and_then(|member| member.value.scalar()).unwrap_or_default();
    match name.to_ascii_lowercase().as_str() {
        "sampleddata" => sampled_data(fields, problems),
        "quantity" => Some(ValueKind::Quantity {
            unit: fields.text("unit", problems),
            system: fields.text("system", problems),
            code: fields.text("code", problems),
        }),
        "string" => Some(ValueKind::String),
        "codeableconcept" => codeable_concept(fields, problems),
        _ => {
            let hint = "one of SampledData, Quantity, String, CodeableConcept";
            let at = member.map_or(fields.at, |member| member.at);
            problems.error_with_hint(at, format!("`valueType` is missing or not known: `{name}`"), hint);
            None
        }
    }
}

fn sampled_data(fields: &Fields, problems: &mut Problems<'_>) -> Option<ValueKind> {
    let unit = fields.text("unit", problems);
    let member = fields.required("defaultPeriod", problems)?;
    let period = member.value.scalar().and_then(|text| SamplePeriod::parse(&text));
    if period.is_none() {
        problems.error(member.at, "`defaultPeriod` must be a number of milliseconds, 0.0001 at least");
    }
    Some(ValueKind::SampledData { period: period?, unit })
}

fn codeable_concept(fields: &Fields, problems: &mut Problems<'_>) -> Option<ValueKind> {
    let text = fields.text("text", problems);
    if text.is_none() && fields.given("codes").is_none() {
        problems.error(fields.at, "a CodeableConcept needs `codes` or `text`");
    }
    Some(ValueKind::CodeableConcept { text, codes: codes(fields, problems) })
}
