//! FHIR mappings: what a measurement becomes (section 7.1 of the mapping specification).
//!
//! Templates only; turning readings into resources with them is `crate::convert`'s work.

pub(crate) mod code_value;
pub(crate) mod handlebars;

use code_value::{CodeValueFhir, ValueTemplate};
use handlebars::HandlebarsFhir;

use super::load::{Collection, Element, Fields};
use super::problem::Problems;
use super::source::{Include, Kind, Position, Source};
use crate::model::group::{BucketLength, Period};
use crate::r4::definitions::search_parameters::search_parameter;

/// A template of a FHIR mapping.
#[derive(Clone, Debug)]
pub(crate) struct FhirTemplate {
    /// The measurement type it is for, found without regard to case.
    pub(crate) type_name: String,
    /// Where its body starts in the mapping file.
    pub(crate) at: Position,
    /// How long a span one resource covers.
    pub(crate) period: Period,
    /// What the resource looks like.
    pub(crate) kind: TemplateKind,
}

/// How a template says what its resource looks like.
#[derive(Clone, Debug)]
pub(crate) enum TemplateKind {
    /// An Observation by codes and kinds of values.
    CodeValue(CodeValueFhir),
    /// A whole resource by Handlebars.
    Handlebars(HandlebarsFhir),
}

impl FhirTemplate {
    /// The value names it asks for, in the order of the file; a name may be there twice.
    pub(crate) fn value_names(&self) -> impl Iterator<Item = &str> {
        let (code_value, handlebars) = match &self.kind {
            TemplateKind::CodeValue(template) => (Some(template), None),
            TemplateKind::Handlebars(template) => (None, Some(template)),
        };
        let code_value = code_value.into_iter().flat_map(|template| template.values().flat_map(ValueTemplate::names));
        code_value.chain(handlebars.into_iter().flat_map(HandlebarsFhir::value_names))
    }
}

impl FhirTemplate {
    /// Whether the resource may hold a value of this name.
    pub(crate) fn uses(&self, name: &str) -> bool {
        match &self.kind {
            TemplateKind::CodeValue(_) => self.value_names().any(|used| used == name),
            TemplateKind::Handlebars(template) => template.uses(name),
        }
    }

    /// Name of the type of its resource.
    pub(crate) fn resource_type(&self) -> &'static str {
        match &self.kind {
            TemplateKind::CodeValue(_) => "Observation",
            TemplateKind::Handlebars(template) => template.resource_type.as_str(),
        }
    }

    /// Whether FHIR servers can search its resource by identifier.
    pub(crate) fn is_searched_by_identifier(&self) -> bool {
        match &self.kind {
            TemplateKind::CodeValue(_) => true,
            TemplateKind::Handlebars(template) => search_parameter(template.resource_type, "identifier").is_some(),
        }
    }
}

const COLLECTION: Collection = Collection { root_types: &["CollectionFhir", "CollectionFhirTemplate"] };

/// Loads a FHIR mapping; templates with problems and repeated type names are left out.
pub(super) fn load(source: Source<'_>, include: Include<'_>, problems: &mut Problems<'_>) -> Vec<FhirTemplate> {
    let mut templates: Vec<FhirTemplate> = Vec::new();
    for element in COLLECTION.read(source, problems) {
        let errors_before = problems.errors();
        let Some(template) = template(&element, include, problems).filter(|_| problems.errors() == errors_before)
        else {
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

fn template(element: &Element, include: Include<'_>, problems: &mut Problems<'_>) -> Option<FhirTemplate> {
    let name = element.template_type.to_ascii_lowercase();
    let body = &element.body;
    match name.strip_suffix("template").unwrap_or(&name) {
        "codevaluefhir" => {
            let common = Common::read(body, problems);
            let kind = code_value::read(body, common.as_ref(), problems).map(TemplateKind::CodeValue);
            Some(common?.template(body.at, kind?))
        }
        "handlebarsfhir" => {
            let common = Common::read(body, problems);
            let kind = handlebars::read(body, include, problems).map(TemplateKind::Handlebars);
            Some(common?.template(body.at, kind?))
        }
        _ => {
            let message = format!("expected template type CodeValueFhir, actual {}", element.template_type);
            problems.error(element.at, message);
            None
        }
    }
}

/// The members that every kind of template has.
struct Common {
    type_name: String,
    period: Period,
}

impl Common {
    fn read(body: &Fields, problems: &mut Problems<'_>) -> Option<Self> {
        let type_name = body.required_text("typeName", problems);
        let period = period(body, problems);
        Some(Self { type_name: type_name?, period: period? })
    }

    fn template(self, at: Position, kind: TemplateKind) -> FhirTemplate {
        FhirTemplate { type_name: self.type_name, at, period: self.period, kind }
    }
}

/// What `periodInterval` takes besides whole numbers of minutes.
const PERIODS: &str =
    "one of 0 (Single), 60 (Hourly), 1440 (Daily), -1 (CorrelationId), or minutes that divide a day evenly, such as 15";

/// A day is divided evenly by more numbers of minutes than the reference knows (FM-5); a number that divides none
/// would make buckets that begin at another time every day.
fn period(body: &Fields, problems: &mut Problems<'_>) -> Option<Period> {
    let Some(member) = body.find("periodInterval") else {
        return Some(Period::Single);
    };
    let text = match &member.value.kind {
        Kind::Number(text) | Kind::String(text) => text.trim().to_ascii_lowercase(),
        Kind::Null | Kind::Bool(_) | Kind::Array(_) | Kind::Object(_) => String::new(),
    };
    match text.as_str() {
        "0" | "single" => return Some(Period::Single),
        "hourly" => return Some(Period::HOUR),
        "daily" => return Some(Period::DAY),
        "-1" | "correlationid" => return Some(Period::Correlation),
        _ => {}
    }
    let Ok(minutes) = text.parse() else {
        problems.error_with_hint(member.at, "`periodInterval` is not known", PERIODS);
        return None;
    };
    let length = BucketLength::of_minutes(minutes);
    if length.is_none() {
        let nearest: Vec<String> =
            BucketLength::neighbours(minutes).map(|length| length.minutes().to_string()).collect();
        let message = format!("`periodInterval` {minutes} does not divide the 1440 minutes of a day evenly");
        problems.error_with_hint(member.at, message, format!("the nearest to it is {}", nearest.join(" or ")));
    }
    length.map(Period::Bucket)
}
