//! CodeValueFhir: Observations described by their codes and the kind of value each reading becomes (rules FM-2 to FM-13).

use super::super::load::Fields;
use super::super::problem::Problems;
use super::super::sample_period::{SLOTS_MAX, SamplePeriod};
use super::super::source::{Located, Member, Position};
use super::Common;
use crate::model::group::Period;

/// An Observation by codes and kinds of values.
#[derive(Clone, Debug)]
pub(crate) struct CodeValueFhir {
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
    /// Its values, top level first.
    pub(crate) fn values(&self) -> impl Iterator<Item = &ValueTemplate> {
        self.value.iter().chain(self.components.iter().map(|component| &component.value))
    }
}

/// A code of a code system.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    /// Where it stands in the mapping file.
    pub(crate) at: Position,
    /// `Coding.code`
    pub(crate) code: Option<String>,
    /// `Coding.system`
    pub(crate) system: Option<String>,
    /// `Coding.display`
    pub(crate) display: Option<String>,
}

/// A category of the Observation.
#[derive(Clone, Debug)]
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
    /// Where it stands in the mapping file.
    pub(crate) at: Position,
    /// Name of the measurement's value, compared exactly.
    pub(crate) name: String,
    /// What kind of value it becomes.
    pub(crate) kind: ValueKind,
}

/// What a value becomes. Those from `DateTime` on are extensions of this product.
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
    Quantity(Unit),
    /// `valueString`
    String,
    /// `valueCodeableConcept`, the same for every measured value (FM-27)
    CodeableConcept {
        /// `CodeableConcept.text`
        text: Option<String>,
        /// `CodeableConcept.coding`
        codes: Vec<Code>,
    },
    /// `valueDateTime`: a date stays one, everything else that DM-43 reads becomes a UTC instant
    DateTime,
    /// `valueBoolean`: `true`, `false`, `1` or `0`, no regard to case
    Boolean,
    /// `valueInteger`: 32 bits
    Integer,
    /// `valueRange`: `valueName` is the low end. Both ends are of one time, the latest that has both.
    Range {
        /// Name of the measurement's value that is the high end, compared exactly.
        high: String,
        /// Unit of both ends.
        unit: Unit,
    },
    /// `valueRatio`: `valueName` is the numerator. Both parts are of one time, the latest that has both.
    Ratio {
        /// Name of the measurement's value that is the denominator, compared exactly.
        denominator: String,
        /// Unit of the numerator.
        unit: Unit,
        /// Unit of the denominator.
        denominator_unit: Unit,
    },
}

/// The unit of a Quantity; every member may be missing.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    /// `Quantity.unit`
    pub(crate) unit: Option<String>,
    /// `Quantity.system`
    pub(crate) system: Option<String>,
    /// `Quantity.code`
    pub(crate) code: Option<String>,
}

impl ValueTemplate {
    /// The value names it asks for: two for what has two parts.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let other = match &self.kind {
            ValueKind::Range { high: other, .. } | ValueKind::Ratio { denominator: other, .. } => Some(other),
            ValueKind::SampledData { .. }
            | ValueKind::Quantity(_)
            | ValueKind::String
            | ValueKind::CodeableConcept { .. }
            | ValueKind::DateTime
            | ValueKind::Boolean
            | ValueKind::Integer => None,
        };
        std::iter::once(&self.name).chain(other).map(String::as_str)
    }
}

/// Reads the body of a template, its common members excepted.
pub(super) fn read(body: &Fields, common: Option<&Common>, problems: &mut Problems<'_>) -> Option<CodeValueFhir> {
    body.refuse_unknown(&["typeName", "codes", "periodInterval", "category", "value", "components"], problems);
    let codes = required_codes(body, problems);
    let category = body.list("category", problems).iter().filter_map(|entry| category(entry, problems)).collect();
    let value = body.given("value").and_then(|member| value(member, problems));
    let components = body.list("components", problems).iter().filter_map(|entry| component(entry, problems)).collect();
    let template = CodeValueFhir { category, codes: codes?, value, components };
    let common = common?;
    check_values(&template, common.period, body, problems);
    check_shared_codes(&template, &common.type_name, problems);
    Some(template)
}

fn check_values(template: &CodeValueFhir, period: Period, body: &Fields, problems: &mut Problems<'_>) {
    // A value that is there but wrong has its own problem.
    if body.given("value").is_none() && template.components.is_empty() {
        problems.warning(body.at, "the template has neither `value` nor `components`, its Observations have no value");
    }
    for value in template.values() {
        match &value.kind {
            ValueKind::SampledData { period: distance, .. } => check_slots(period, distance, value.at, problems),
            // Presence is all that counts of it (FM-27).
            ValueKind::CodeableConcept { .. } => {}
            ValueKind::Quantity(_)
            | ValueKind::String
            | ValueKind::DateTime
            | ValueKind::Boolean
            | ValueKind::Integer
            | ValueKind::Range { .. }
            | ValueKind::Ratio { .. } => {
                if period != Period::Single {
                    let message = format!("value `{}` keeps only the latest reading of each period", value.name);
                    problems.warning(value.at, message);
                }
            }
        }
    }
}

/// An Observation with a value has no component with a code of its own (invariant obs-7 of
/// [Observation](http://hl7.org/fhir/R4/observation.html)); servers that validate refuse it.
fn check_shared_codes(template: &CodeValueFhir, type_name: &str, problems: &mut Problems<'_>) {
    if template.value.is_none() {
        return;
    }
    let is_same =
        |one: &Code, other: &Code| one.code.is_some() && (&one.code, &one.system) == (&other.code, &other.system);
    for component in &template.components {
        let at = component.value.at;
        if component.value.name == type_name {
            let message =
                format!("the value `{type_name}` of a component makes its code that of the whole Observation");
            problems.warning_with_hint(at, message, "give the value another name than the type");
        }
        if component.codes.iter().any(|code| template.codes.iter().any(|whole| is_same(code, whole))) {
            let message = format!("the component of `{}` has a code of the whole Observation", component.value.name);
            problems.warning_with_hint(at, message, "a component beside a `value` needs a code of its own");
        }
    }
}

fn check_slots(period: Period, sample_period: &SamplePeriod, at: Position, problems: &mut Problems<'_>) {
    let Period::Bucket(length) = period else { return };
    if sample_period.slot_of(length.nanoseconds()) > i128::from(SLOTS_MAX) {
        let message = format!("`defaultPeriod` {sample_period} gives more than {SLOTS_MAX} samples in a period");
        problems.error(at, message);
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
        at: entry.at,
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
    Some(ValueTemplate { at: member.value.at, name: name?, kind: kind? })
}

/// The member that names the kind is found in two spellings only (FM-9).
fn value_kind(fields: &Fields, problems: &mut Problems<'_>) -> Option<ValueKind> {
    let member = fields.find_exactly("valueType").or_else(|| fields.find_exactly("ValueType"));
    let name = member.and_then(|member| member.value.scalar()).unwrap_or_default();
    match name.to_ascii_lowercase().as_str() {
        "sampleddata" => sampled_data(fields, problems),
        "quantity" => Some(ValueKind::Quantity(unit(fields, ["unit", "system", "code"], problems))),
        "string" => Some(ValueKind::String),
        "codeableconcept" => codeable_concept(fields, problems),
        "datetime" => Some(ValueKind::DateTime),
        "boolean" => Some(ValueKind::Boolean),
        "integer" => Some(ValueKind::Integer),
        "range" => Some(ValueKind::Range {
            high: fields.required_text("highValueName", problems)?,
            unit: unit(fields, ["unit", "system", "code"], problems),
        }),
        "ratio" => Some(ValueKind::Ratio {
            denominator: fields.required_text("denominatorValueName", problems)?,
            unit: unit(fields, ["unit", "system", "code"], problems),
            denominator_unit: unit(fields, ["denominatorUnit", "denominatorSystem", "denominatorCode"], problems),
        }),
        _ => {
            let hint =
                "one of SampledData, Quantity, String, CodeableConcept, DateTime, Boolean, Integer, Range, Ratio";
            let at = member.map_or(fields.at, |member| member.at);
            problems.error_with_hint(at, format!("`valueType` is missing or not known: `{name}`"), hint);
            None
        }
    }
}

fn unit(fields: &Fields, [unit, system, code]: [&str; 3], problems: &mut Problems<'_>) -> Unit {
    Unit { unit: fields.text(unit, problems), system: fields.text(system, problems), code: fields.text(code, problems) }
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
    let codes = codes(fields, problems);
    if text.is_none() && codes.is_empty() {
        problems.error(fields.at, "a CodeableConcept needs `codes` or `text`");
    }
    Some(ValueKind::CodeableConcept { text, codes })
}
