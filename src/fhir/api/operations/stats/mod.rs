//! `$stats`: statistics of what Observations measure (<https://hl7.org/fhir/R4/observation-operation-stats.html>).
//!
//! Of a subject and a span of time, all values under the codes asked for: of Observations, of their components, and, where
//! the code is that of a panel, of its components and members, each under its own code. Values are computed with in UCUM
//! units alone. Units of one kind are converted to the first that comes; what cannot be converted is a result of its own.
//! Each sample of SampledData counts.

mod answer;
mod points;
mod statistic;

use std::collections::HashSet;

use self::points::{Coding, Reading, Span, codings, read, says_something, text};
use self::statistic::{Point, Statistic, kept_digits, named};
use super::parameters::{Input, Kind, Parameters, Times};
use super::{Call, Reply, Target, Work};
use crate::fhir::api::error::{ApiError, Category};
use crate::fhir::api::search;
use crate::fhir::search::date;
use crate::fhir::search::escape::escape;
use crate::fhir::search::local::localize_target;
use crate::fhir::search::parse::Handling;
use crate::fhir::search::reference::local;
use crate::fhir::search::scope::Scope;
use crate::fhir::store::interface::Reader;
use crate::fhir::store::{Condition, Query, Relation, ResourceKey, Selection, Test, Version};
use crate::json::{self, Node};

/// Most codes of one call.
const CODES_MAX: usize = 100;
/// Most Observations that are read.
const OBSERVATIONS_MAX: usize = 100_000;
/// Most measurements that are computed with.
const POINTS_MAX: usize = 1_000_000;
/// Observations read at a time.
const PAGE: usize = 500;
/// Most Observations that come along as sources.
const SOURCES_MAX: usize = 1_000;

/// What `$stats` takes.
pub(super) const INPUTS: &[Input] = &[
    Input { name: "subject", kind: Kind::Text, times: Times::Required },
    Input { name: "code", kind: Kind::Text, times: Times::Many },
    Input { name: "system", kind: Kind::Text, times: Times::Optional },
    Input { name: "coding", kind: Kind::Type("Coding"), times: Times::Many },
    Input { name: "duration", kind: Kind::Text, times: Times::Optional },
    Input { name: "period", kind: Kind::Type("Period"), times: Times::Optional },
    Input { name: "statistic", kind: Kind::Text, times: Times::Many },
    Input { name: "include", kind: Kind::Boolean, times: Times::Optional },
    Input { name: "limit", kind: Kind::Integer, times: Times::Optional },
];

/// What is asked.
struct Question {
    subject: String,
    codes: Vec<Coding>,
    span: Span,
    statistics: Vec<Statistic>,
    /// How many sources are to come along.
    sources: usize,
    /// Which Observations may say something.
    selections: Vec<Selection>,
    base_url: String,
}

/// `GET [base]/Observation/$stats?subject=&code=&system=&duration=&statistic=`
pub(super) fn stats(call: &Call<'_>) -> Result<Work, ApiError> {
    let question = Question::of(call)?;
    Ok(Work::read(move |reader| {
        let mut gathering = Gathering::new(reader, &question);
        gathering.gather()?;
        let Gathering { results, sources, .. } = gathering;
        Ok(Reply::ok(answer::write(&question, results, &sources)))
    }))
}

impl Question {
    fn of(call: &Call<'_>) -> Result<Self, ApiError> {
        let Target::Type(resource_type) = call.target else {
            return Err(ApiError::internal("`$stats` is called on a type alone"));
        };
        let codes = codes(&call.parameters)?;
        let span = span(call)?;
        let subject = call.parameters.text("subject").unwrap_or_default();
        let values: Vec<String> =
            codes.iter().map(|(system, code)| format!("{}|{}", escape(system), escape(code))).collect();
        let criteria = [
            ("subject", escape(subject)),
            ("combo-code", values.join(",")),
            ("status:not", "entered-in-error".to_owned()),
        ];
        let criteria = criteria.map(|(name, value)| (name.to_owned(), value)).into();
        let scope = Scope::Type(resource_type);
        let mut search = search::read(call.state, call.rules(), scope, criteria, Handling::Strict)?;
        if let Some((start, end)) = span {
            for selection in &mut search.selections {
                let time = Condition::Has("date".into(), Test::Date { relation: Relation::Overlaps, start, end });
                selection.condition = Condition::All(vec![selection.condition.clone(), time]);
            }
        }
        let sources = match call.parameters.boolean("include") {
            Some(true) => limit(&call.parameters)?,
            Some(false) | None => 0,
        };
        Ok(Self {
            subject: subject.to_owned(),
            codes,
            span,
            statistics: statistics(&call.parameters)?,
            sources,
            selections: search.selections,
            base_url: call.base_url.to_owned(),
        })
    }
}

fn codes(parameters: &Parameters<'_>) -> Result<Vec<Coding>, ApiError> {
    let system = parameters.text("system");
    let mut codes: Vec<Coding> = Vec::new();
    for code in parameters.texts("code") {
        let detail = "A `code` is of a `system`: name it beside the code, or send a `coding`.";
        let system = system.ok_or_else(|| ApiError::new(Category::Required, detail))?;
        codes.push((system.to_owned(), code.to_owned()));
    }
    for coding in parameters.values("coding") {
        let (system, code) = (text(coding, "system"), text(coding, "code"));
        if system.is_empty() || code.is_empty() {
            return Err(parameters.refuse("coding", "A `coding` has a system and a code."));
        }
        codes.push((system.to_owned(), code.to_owned()));
    }
    let mut known = HashSet::new();
    codes.retain(|coding| known.insert(coding.clone()));
    match codes.len() {
        0 => {
            Err(ApiError::new(Category::Required, "Name what the statistics are of: `code` and `system`, or `coding`."))
        }
        1..=CODES_MAX => Ok(codes),
        _ => Err(ApiError::new(Category::Value, format!("`$stats` is of at most {CODES_MAX} codes."))),
    }
}

fn statistics(parameters: &Parameters<'_>) -> Result<Vec<Statistic>, ApiError> {
    let mut statistics: Vec<Statistic> = Vec::new();
    for code in parameters.texts("statistic").flat_map(|codes| codes.split(',')) {
        let statistic = named(code).ok_or_else(|| {
            parameters.refuse("statistic", format!("`{code}` is no statistic. Those of R4 are `average`, `count`, ..."))
        })?;
        if !statistics.contains(&statistic) {
            statistics.push(statistic);
        }
    }
    if statistics.is_empty() {
        return Err(ApiError::new(Category::Required, "Name at least one `statistic`, for example `average`."));
    }
    Ok(statistics)
}

fn limit(parameters: &Parameters<'_>) -> Result<usize, ApiError> {
    let limit = parameters.integer("limit").map(|limit| usize::try_from(limit).ok().filter(|limit| *limit > 0));
    match limit {
        None => Ok(SOURCES_MAX),
        Some(Some(limit)) => Ok(limit.min(SOURCES_MAX)),
        Some(None) => Err(parameters.refuse("limit", "`limit` is a number from 1.")),
    }
}

/// The span of time: the last hours, or a period.
fn span(call: &Call<'_>) -> Result<Span, ApiError> {
    let parameters = &call.parameters;
    match (parameters.text("duration"), parameters.values("period").next()) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(parameters.refuse("period", "Send `duration` or `period`, not both.")),
        (Some(hours), None) => {
            let micros = micros(hours).ok_or_else(|| {
                parameters.refuse("duration", "`duration` is a number of hours above 0, for example `1.5`.")
            })?;
            let now = call.state.clock.now().as_microsecond();
            Ok(Some((now.saturating_sub(micros), now)))
        }
        (None, Some(period)) => date::period(period)
            .map(|period| Some((period.start, period.end)))
            .ok_or_else(|| parameters.refuse("period", "`period` has a `start` or an `end`, each a date.")),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "longer than the calendar is as long as that")]
fn micros(hours: &str) -> Option<i64> {
    let micros = hours.parse::<f64>().ok()? * 3_600e6;
    (micros.is_finite() && micros > 0.0).then(|| micros.round() as i64)
}

/// All there is under one code in units of one kind.
#[derive(Debug)]
struct Measured {
    coding: Coding,
    /// A UCUM code; empty until there is a measurement.
    unit: String,
    points: Vec<Point>,
    /// Values that could not be computed with.
    ignored: usize,
}

struct Gathering<'a> {
    reader: &'a dyn Reader,
    question: &'a Question,
    results: Vec<Measured>,
    sources: Vec<Version>,
    /// Members of panels that have been read.
    members: HashSet<ResourceKey>,
    points_left: usize,
}

impl<'a> Gathering<'a> {
    fn new(reader: &'a dyn Reader, question: &'a Question) -> Self {
        let result = |coding: &Coding| Measured::new(coding.clone());
        let results = question.codes.iter().map(result).collect();
        Self { reader, question, results, sources: Vec::new(), members: HashSet::new(), points_left: POINTS_MAX }
    }

    fn gather(&mut self) -> Result<(), ApiError> {
        let mut query = Query::first(self.question.selections.clone(), PAGE);
        for _ in 0..OBSERVATIONS_MAX / PAGE {
            let page = self.reader.find(&query)?;
            for version in page.versions {
                self.observation(version)?;
            }
            query.after = page.next;
            if query.after.is_none() {
                return Ok(());
            }
        }
        Err(too_many("Observations", OBSERVATIONS_MAX))
    }

    fn observation(&mut self, version: Version) -> Result<(), ApiError> {
        let body = version.body.clone().unwrap_or_default();
        let node = json::parse(&body).map_err(ApiError::internal)?;
        let asked = self.asked(&node);
        let components = node.member("component").map(Node::elements).unwrap_or_default();
        if let Some(coding) = &asked
            && (says_something(&node) || (components.is_empty() && node.member("hasMember").is_none()))
        {
            self.add(coding, read(&node, &node, self.question.span))?;
        }
        for component in components {
            // All of a panel, of anything else only what is asked for.
            let coding = self.asked(component).or_else(|| codings(component).next().filter(|_first| asked.is_some()));
            if let Some(coding) = coding {
                self.add(&coding, read(component, &node, self.question.span))?;
            }
        }
        if asked.is_some() {
            self.members(&node)?;
        }
        if self.sources.len() < self.question.sources {
            self.sources.push(version);
        }
        Ok(())
    }

    /// What the members of a panel say, unless they are asked for themselves and so are met anyway.
    fn members(&mut self, panel: &Node<'_>) -> Result<(), ApiError> {
        let members = panel.member("hasMember").map(Node::elements).unwrap_or_default();
        for member in members {
            let mut target = text(member, "reference").to_owned();
            localize_target(&mut target, &self.question.base_url);
            let Some((resource_type, id)) = local(&target) else { continue };
            let key = ResourceKey { resource_type, id: id.to_owned() };
            if !self.members.insert(key.clone()) {
                continue;
            }
            let body = self.reader.current(&key)?.and_then(|version| version.body).unwrap_or_default();
            let Ok(node) = json::parse(&body) else { continue };
            let is_of_subject = text_of_subject(&node) == text_of_subject(panel);
            if !is_of_subject || text(&node, "status") == "entered-in-error" || self.asked(&node).is_some() {
                continue;
            }
            if let Some(coding) = codings(&node).next() {
                self.add(&coding, read(&node, &node, self.question.span))?;
            }
        }
        Ok(())
    }

    /// The coding among those asked for under which an Observation or component is.
    fn asked(&self, node: &Node<'_>) -> Option<Coding> {
        codings(node).find(|coding| self.question.codes.contains(coding))
    }

    fn add(&mut self, coding: &Coding, reading: Reading) -> Result<(), ApiError> {
        let left = self.points_left.checked_sub(reading.points.len());
        self.points_left = left.ok_or_else(|| too_many("measurements", POINTS_MAX))?;
        let mut under_code = self.results.iter_mut().filter(|measured| measured.coding == *coding);
        if under_code.any(|measured| measured.take(&reading)) {
            return Ok(());
        }
        let mut measured = Measured::new(coding.clone());
        measured.take(&reading);
        self.results.push(measured);
        Ok(())
    }
}

impl Measured {
    fn new(coding: Coding) -> Self {
        Self { coding, unit: String::new(), points: Vec::new(), ignored: 0 }
    }

    /// Adds what was read if it is in a unit that can be converted.
    fn take(&mut self, reading: &Reading) -> bool {
        if reading.points.is_empty() {
            self.ignored += reading.ignored;
            return true;
        }
        if self.unit.is_empty() {
            self.unit.clone_from(&reading.unit);
        }
        let converted = if self.unit == reading.unit {
            Some(reading.points.clone())
        } else {
            let convert = |point: &Point| {
                let value = octofhir_ucum::convert(point.value, &reading.unit, &self.unit).ok()?;
                Some(Point { value, decimals: kept_digits(*point, value), ..*point })
            };
            reading.points.iter().map(convert).collect()
        };
        let Some(points) = converted else { return false };
        self.points.extend(points);
        self.ignored += reading.ignored;
        true
    }
}

fn text_of_subject<'n>(observation: &'n Node<'_>) -> &'n str {
    observation.member("subject").map(|subject| text(subject, "reference")).unwrap_or_default()
}

fn too_many(what: &str, most: usize) -> ApiError {
    let detail =
        format!("The statistics would be of more than {most} {what}. Ask for a shorter `duration` or `period`.");
    ApiError::new(Category::Value, detail)
}
