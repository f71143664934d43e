//! Device mappings: where in a payload the measurements are (section 2 of the mapping specification).
//!
//! The four template types are one evaluator with different settings: what expressions run on, and whether device id and
//! time are fixed by the type. Evaluation is in `extract`.

use std::sync::Arc;

use super::expression::{Expression, Language};
use super::load::{Collection, Element, Fields, nearest, truth};
use super::problem::{Mark, Problems};
use super::source::{Kind, Located, Member, Position, Source};

/// A template of a device mapping.
#[derive(Clone, Debug)]
pub(crate) struct DeviceTemplate {
    /// The type of the measurements it yields.
    pub(crate) type_name: Arc<str>,
    /// Where its body starts.
    pub(crate) at: Position,
    pub(super) template_type: TemplateType,
    pub(super) scope: Scope,
    pub(super) type_match: Expression,
    pub(super) device_id: Expression,
    /// The first that yields a time counts; only IotJsonPathContent has a second (DM-39).
    pub(super) timestamps: Vec<Expression>,
    pub(super) patient_id: Option<Expression>,
    pub(super) encounter_id: Option<Expression>,
    pub(super) correlation_id: Option<Expression>,
    pub(super) values: Vec<ValueTemplate>,
}

impl DeviceTemplate {
    /// The names of its values, in file order.
    pub(super) fn value_names(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|value| value.name.as_ref())
    }
}

/// A value of a measurement.
#[derive(Clone, Debug)]
pub(super) struct ValueTemplate {
    pub(super) name: Arc<str>,
    pub(super) need: Need,
    pub(super) expression: Expression,
}

/// What it means when an expression selects nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Required,
    Optional,
}

/// What the expressions of a template run on, the type match excepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// The envelope with the token as `matchedToken` (DM-24).
    ExtendedEnvelope,
    /// The token itself (DM-38).
    Token,
}

const COLLECTION: Collection = Collection { root_types: &["CollectionContent", "CollectionContentTemplate"] };

/// Loads a device mapping; templates with problems are left out.
pub(super) fn load(source: Source<'_>, problems: &mut Problems<'_>) -> Vec<DeviceTemplate> {
    let elements = COLLECTION.read(source, problems);
    elements.iter().filter_map(|element| template(element, problems)).collect()
}

/// The types of device templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TemplateType {
    Calculated,
    JsonPath,
    IotJsonPath,
    IotCentralJsonPath,
}

impl TemplateType {
    /// Without regard to case, with or without the suffix `Template` (DM-7).
    fn parse(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        match name.strip_suffix("template").unwrap_or(&name) {
            "calculatedcontent" => Some(Self::Calculated),
            "jsonpathcontent" => Some(Self::JsonPath),
            "iotjsonpathcontent" => Some(Self::IotJsonPath),
            "iotcentraljsonpathcontent" => Some(Self::IotCentralJsonPath),
            _ => None,
        }
    }

    /// As it is written in mappings.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Calculated => "CalculatedContent",
            Self::JsonPath => "JsonPathContent",
            Self::IotJsonPath => "IotJsonPathContent",
            Self::IotCentralJsonPath => "IotCentralJsonPathContent",
        }
    }

    /// Paths of device id and times that the type fixes (DM-39, DM-41).
    fn fixed(self) -> Option<(&'static str, &'static [&'static str])> {
        match self {
            Self::Calculated | Self::JsonPath => None,
            Self::IotJsonPath => Some((
                "$.SystemProperties.iothub-connection-device-id",
                &["$.Properties.iothub-creation-time-utc", "$.SystemProperties.iothub-enqueuedtime"],
            )),
            Self::IotCentralJsonPath => Some(("$.deviceId", &["$.enqueuedTime"])),
        }
    }
}

/// Members that every type knows.
const MEMBERS: &[&str] = &[
    "typeName",
    "typeMatchExpression",
    "deviceIdExpression",
    "timestampExpression",
    "patientIdExpression",
    "encounterIdExpression",
    "correlationIdExpression",
    "values",
];
const LANGUAGE_MEMBER: &str = "defaultExpressionLanguage";

fn template(element: &Element, problems: &mut Problems<'_>) -> Option<DeviceTemplate> {
    let Some(template_type) = TemplateType::parse(&element.template_type) else {
        let known = ["CalculatedContent", "JsonPathContent", "IotJsonPathContent", "IotCentralJsonPathContent"];
        let hint = nearest(&element.template_type, &known);
        let hint = hint.unwrap_or_else(|| format!("known types: {}", known.join(", ")));
        let message = format!("No match found for template type {}", element.template_type);
        problems.error_with_hint(element.at, message, hint);
        return None;
    };
    let errors_before = problems.errors();
    let template = Reader::new(template_type, &element.body, problems).template();
    template.filter(|_| problems.errors() == errors_before)
}

/// Reads the body of one template.
struct Reader<'r, 's> {
    template_type: TemplateType,
    body: &'r Fields,
    /// Language of expressions that name none; `None` when the default itself is in error.
    default_language: Option<Language>,
    problems: &'r mut Problems<'s>,
}

impl<'r, 's> Reader<'r, 's> {
    fn new(template_type: TemplateType, body: &'r Fields, problems: &'r mut Problems<'s>) -> Self {
        let default_language = match body.given(LANGUAGE_MEMBER) {
            Some(member) if template_type == TemplateType::Calculated => language(member, problems),
            Some(_) | None => Some(Language::JsonPath),
        };
        Self { template_type, body, default_language, problems }
    }

    fn template(mut self) -> Option<DeviceTemplate> {
        self.refuse_unknown_members();
        let type_name = self.body.required_text("typeName", self.problems);
        let type_match = self.type_match();
        let device_id = self.device_id();
        let timestamps = self.timestamps();
        let patient_id = self.optional("patientIdExpression");
        let encounter_id = self.optional("encounterIdExpression");
        let correlation_id = self.optional("correlationIdExpression");
        let values = self.values();
        Some(DeviceTemplate {
            type_name: type_name?.into(),
            at: self.body.at,
            template_type: self.template_type,
            scope: match self.template_type {
                TemplateType::Calculated => Scope::ExtendedEnvelope,
                TemplateType::JsonPath | TemplateType::IotJsonPath | TemplateType::IotCentralJsonPath => Scope::Token,
            },
            type_match: type_match?,
            device_id: device_id?,
            timestamps: timestamps?,
            patient_id,
            encounter_id,
            correlation_id,
            values,
        })
    }

    fn refuse_unknown_members(&mut self) {
        let mut known = MEMBERS.to_vec();
        if self.template_type == TemplateType::Calculated {
            known.push(LANGUAGE_MEMBER);
        }
        self.body.refuse_unknown(&known, self.problems);
    }

    fn type_match(&mut self) -> Option<Expression> {
        let expression = self.required("typeMatchExpression")?;
        if expression.is_boolean() {
            let message = "this type match gives true or false, and matches for both";
            let hint = "filter instead: `to_array(@)[?Body.pulse]`, or `Body.rows[?pulse > `50`]`";
            self.problems.warning_with_hint(expression.at(), message, hint);
        }
        Some(expression)
    }

    fn device_id(&mut self) -> Option<Expression> {
        match self.template_type.fixed() {
            None => self.single("deviceIdExpression"),
            Some((path, _)) => self.fixed("deviceIdExpression", path),
        }
    }

    fn timestamps(&mut self) -> Option<Vec<Expression>> {
        match self.template_type.fixed() {
            None => Some(vec![self.single("timestampExpression")?]),
            Some((_, paths)) => paths.iter().map(|path| self.fixed("timestampExpression", path)).collect(),
        }
    }

    /// An expression the template type fixes; one that is given is ignored (DM-39).
    fn fixed(&mut self, name: &str, path: &str) -> Option<Expression> {
        if let Some(member) = self.body.given(name) {
            let message =
                format!("`{}` is ignored, {:?} templates read it from {path}", member.name, self.template_type);
            self.problems.warning(member.at, message);
        }
        Expression::compile(path, Language::JsonPath, self.body.at).ok()
    }

    /// A required expression other than the type match.
    fn single(&mut self, name: &str) -> Option<Expression> {
        let expression = self.required(name)?;
        self.warn_of_descent(name, &expression);
        Some(expression)
    }

    fn required(&mut self, name: &str) -> Option<Expression> {
        let member = self.body.required(name, self.problems)?;
        if matches!(&member.value.kind, Kind::String(text) if text.is_empty()) {
            let not_found =
                format!("Required property '{}{}' not found in JSON.", name.get(..1)?.to_uppercase(), name.get(1..)?);
            self.problems.error(self.body.at, not_found);
            return None;
        }
        self.expression(member, member.at)
    }

    fn optional(&mut self, name: &str) -> Option<Expression> {
        let member = self.body.given(name)?;
        let blank = matches!(&member.value.kind, Kind::String(text) if text.trim().is_empty());
        if blank && self.template_type != TemplateType::Calculated {
            return None;
        }
        let expression = self.expression(member, member.at)?;
        self.warn_of_descent(name, &expression);
        Some(expression)
    }

    /// The token stands in the extended envelope twice, so a descent finds it twice (DM-26).
    fn warn_of_descent(&mut self, name: &str, expression: &Expression) {
        if self.template_type == TemplateType::Calculated && expression.descends() {
            let message = format!("`..` in `{name}` finds a value twice, in Body and in matchedToken, and then fails");
            let hint = "name the way to the value, for example $.matchedToken.pulse";
            self.problems.warning_with_hint(expression.at(), message, hint);
        }
    }

    /// The expression a member holds; problems point to `at`, or to `value` in an expression object.
    fn expression(&mut self, member: &Member, at: Position) -> Option<Expression> {
        match &member.value.kind {
            Kind::String(text) => {
                let language = self.default_language?;
                self.compile(text, language, at)
            }
            Kind::Object(_) if self.template_type == TemplateType::Calculated => {
                let fields = Fields::of(&member.value)?;
                let text = fields.required_text("value", self.problems)?;
                let at = fields.find("value").map_or(at, |value| value.at);
                let language = match fields.given("language") {
                    Some(given) => language(given, self.problems)?,
                    None => self.default_language?,
                };
                self.compile(&text, language, at)
            }
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Array(_) | Kind::Object(_) => {
                let message = match self.template_type {
                    TemplateType::Calculated => "an expression is a text or an object with `value` and `language`",
                    TemplateType::JsonPath | TemplateType::IotJsonPath | TemplateType::IotCentralJsonPath => {
                        "an expression of this template type is a text"
                    }
                };
                self.problems.error(member.at, format!("`{}`: {message}", member.name));
                None
            }
        }
    }

    fn compile(&mut self, text: &str, language: Language, at: Position) -> Option<Expression> {
        if text.trim().is_empty() {
            self.problems.expression(at, "an expression must not be blank", None, None);
            return None;
        }
        match Expression::compile(text, language, at) {
            Ok(expression) => {
                if expression.has_idle_scan() {
                    let message = format!("JsonPath `{text}`: `..` before an index, slice or [*] has no effect");
                    self.problems.warning(at, message);
                }
                Some(expression)
            }
            Err(error) => {
                let mark = error.at.map(|at| Mark { text: text.to_owned(), at });
                self.problems.expression(at, format!("{language:?} `{text}`: {}", error.reason), mark, error.hint);
                None
            }
        }
    }

    fn values(&mut self) -> Vec<ValueTemplate> {
        if self.body.given("values").is_none() {
            self.problems.warning(self.body.at, "the template has no `values`, its measurements will be empty");
        }
        let body = self.body;
        let entries = body.list("values", self.problems);
        entries.iter().filter_map(|entry| self.value(entry)).collect()
    }

    fn value(&mut self, entry: &Located) -> Option<ValueTemplate> {
        let Some(fields) = Fields::of(entry) else {
            self.problems.error(entry.at, "an entry of `values` is not an object");
            return None;
        };
        fields.refuse_unknown(&["required", "valueName", "valueExpression"], self.problems);
        let name = fields.required_text("valueName", self.problems);
        let need = self.need(&fields);
        let member = fields.required("valueExpression", self.problems)?;
        let at = match self.template_type {
            TemplateType::Calculated => member.at,
            TemplateType::JsonPath | TemplateType::IotJsonPath | TemplateType::IotCentralJsonPath => entry.at,
        };
        let expression = self.expression(member, at)?;
        self.warn_of_descent("valueExpression", &expression);
        Some(ValueTemplate { name: name?.into(), need: need?, expression })
    }

    fn need(&mut self, fields: &Fields) -> Option<Need> {
        let Some(member) = fields.find("required") else {
            return Some(Need::Optional);
        };
        match truth(&member.value) {
            Some(true) => Some(Need::Required),
            Some(false) => Some(Need::Optional),
            None => {
                self.problems.error(member.at, "`required` must be true or false");
                None
            }
        }
    }
}

/// The language a member names (DM-20).
fn language(member: &Member, problems: &mut Problems<'_>) -> Option<Language> {
    let name = member.value.scalar().unwrap_or_default();
    let language = Language::parse(&name);
    if language.is_none() {
        let message = format!("expression language `{name}` is not known");
        let known = Language::NAMES;
        let hint = nearest(&name, &known).unwrap_or_else(|| format!("known: {}", known.join(", ")));
        problems.error_with_hint(member.at, message, hint);
    }
    language
}
