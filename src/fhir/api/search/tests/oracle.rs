//! Test: searches find what a naive reading of the specification finds. Readings and questions are random; the oracle
//! works on the readings themselves, with its own calendar and its own decimals, and knows neither index nor conditions.

use jiff::civil::Date;
use jiff::{Span, Timestamp, ToSpan};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::{Bench, link};

#[derive(Clone, Debug)]
struct Reading {
    codings: Vec<(&'static str, &'static str)>,
    date: Option<&'static str>,
    amount: Option<Amount>,
    components: Vec<(Coding, Option<Amount>)>,
    patient: Option<usize>,
    /// What stands beside the codes: the text of the concept, and the display of its first coding.
    texts: (Option<&'static str>, Option<&'static str>),
    /// An identifier with the code of its type, and its value.
    identifier: Option<(&'static str, &'static str)>,
}

/// System and code.
type Coding = (&'static str, &'static str);

#[derive(Clone, Copy, Debug)]
struct Amount {
    hundredths: i64,
    /// How many decimals are written.
    decimals: usize,
    unit: Coding,
}

const SYSTEMS: [&str; 3] = ["", "urn:a", "urn:a|b"];
const CODES: [&str; 3] = ["x", "y,z", "w$"];
const DATES: [&str; 9] = [
    "2023",
    "2024",
    "2024-01",
    "2024-02",
    "2024-01-31",
    "2024-02-01",
    "2024-01-31T23:30:00Z",
    "2024-02-01T00:30:00+01:00",
    "2024-01-31T23:30:00.250Z",
];
const UCUM: &str = "http://unitsofmeasure.org";
/// Ten milligrams are a centigram, so that small numbers meet across units.
const UNITS: [Coding; 5] = [("", ""), (UCUM, "mg"), (UCUM, "cg"), (UCUM, "Cel"), ("http://other", "mg")];
const FAMILIES: [&str; 3] = ["Müller", "Mull", "Özil"];
const TEXTS: [&str; 4] = ["Pouls", "Pouls élevé", "heart Rate", "rate"];
const TYPES: [&str; 2] = ["MR", "M|R"];
const VALUES: [&str; 2] = ["1", "R|1"];
/// In `urn:a`, `x` is a kind of `y,z`, which is a kind of `top`.
const KINDS: [&str; 4] = ["x", "y,z", "top", "w$"];
/// The value sets by what they are made of: two of the codes of the system without any by its name, what is below
/// `y,z`, and all of `urn:a` but that.
const VALUE_SETS: [&str; 3] = ["http://vs/two", "ValueSet/below", "http://vs/rest|2"];
const TERMINOLOGY: [&str; 5] = [
    r#"{"resourceType":"CodeSystem","id":"a","url":"urn:a","status":"active","content":"complete","concept":[
        {"code":"w$"},{"code":"top","concept":[{"code":"y,z"}]},
        {"code":"x","property":[{"code":"parent","valueCode":"y,z"}]}]}"#,
    r#"{"resourceType":"ValueSet","id":"two","url":"http://vs/two","status":"active","compose":{"include":[
        {"system":"urn:a|b","concept":[{"code":"x"}]},{"system":"urn:a","concept":[{"code":"w$"}]}]}}"#,
    r#"{"resourceType":"ValueSet","id":"below","url":"http://vs/below","status":"active","compose":{"include":[
        {"system":"urn:a","filter":[{"property":"concept","op":"is-a","value":"y,z"}]}]}}"#,
    r#"{"resourceType":"ValueSet","id":"rest1","url":"http://vs/rest","version":"1","status":"active","compose":{"include":[
        {"system":"urn:a"}]}}"#,
    r#"{"resourceType":"ValueSet","id":"rest2","url":"http://vs/rest","version":"2","status":"active","compose":{"include":[
        {"system":"urn:a"}],"exclude":[{"valueSet":["http://vs/below"]}]}}"#,
];

/// Parameters of the server's own: by which of R4's they go, what they are, and where they find a copy of the same.
const OWN: [(&str, &str, &str); 9] = [
    ("code", "token", "extension('code').value as CodeableConcept"),
    ("date", "date", "extension('date').value as dateTime"),
    ("value-quantity", "quantity", "extension('value').value as Quantity"),
    ("subject", "reference", "extension('subject').value as Reference"),
    ("identifier", "token", "extension('identifier').value as Identifier"),
    ("component-code", "token", "extension('component').extension('code').value as CodeableConcept"),
    ("component-value-quantity", "quantity", "extension('component').extension('value').value as Quantity"),
    ("code-value-quantity", "composite", ""),
    ("component-code-value-quantity", "composite", "extension('component')"),
];

/// The definition of such a parameter. A composite pairs `code` and `value` where its expression ends.
fn definition((code, kind, place): (&str, &str, &str)) -> String {
    let dot = if place.is_empty() { "" } else { "." };
    let mut definition = json!({
        "resourceType": "SearchParameter", "id": format!("own-{code}"), "status": "active", "code": format!("own-{code}"),
        "url": format!("http://own/{code}"), "base": ["Observation"], "type": kind,
        "expression": format!("Observation.extension('urn:own'){dot}{place}"),
    });
    if kind == "composite" {
        let of = code.trim_end_matches("code-value-quantity");
        definition["component"] = json!([
            { "definition": format!("http://own/{of}code"), "expression": "extension('code').value as CodeableConcept" },
            { "definition": format!("http://own/{of}value-quantity"), "expression": "extension('value').value as Quantity" },
        ]);
    }
    definition.to_string()
}

/// The reading with a copy of all that R4's parameters find in an extension.
fn with_own(reading: &str) -> String {
    let own: Value = serde_json::from_str(reading).unwrap();
    let parts = |of: &Value, parts: &[(&str, &str, &str)]| -> Vec<Value> {
        let part = |(url, member, value): &(&str, &str, &str)| Some(json!({ "url": url, *value: of.get(*member)? }));
        parts.iter().filter_map(part).collect()
    };
    let coded = [("code", "code", "valueCodeableConcept"), ("value", "valueQuantity", "valueQuantity")];
    let mut extensions = parts(&own, &coded);
    extensions.extend(parts(
        &own,
        &[("date", "effectiveDateTime", "valueDateTime"), ("subject", "subject", "valueReference")],
    ));
    if let Some(identifier) = own.get("identifier") {
        extensions.push(json!({ "url": "identifier", "valueIdentifier": identifier[0] }));
    }
    for component in own.get("component").and_then(Value::as_array).into_iter().flatten() {
        extensions.push(json!({ "url": "component", "extension": parts(component, &coded) }));
    }
    if extensions.is_empty() {
        return reading.to_owned();
    }
    let extension = json!([{ "url": "urn:own", "extension": extensions }]);
    format!(r#"{},"extension":{extension}}}"#, reading.strip_suffix('}').unwrap())
}

/// The same question by the parameter of the server's own, if there is one.
fn by_own((name, value): (String, String)) -> (String, String) {
    let name = if name == "patient" { "subject".to_owned() } else { name };
    let code = name.split([':', '.']).next().unwrap_or_default();
    let is_own = OWN.iter().any(|(own, ..)| *own == code);
    (if is_own { format!("own-{name}") } else { name }, value)
}

/// Whether one code of `urn:a` is a kind of another.
fn is_a(code: &str, kind: &str) -> bool {
    code == kind || matches!((code, kind), ("x", "y,z" | "top") | ("y,z", "top"))
}

fn is_in(value_set: &str, system: &str, code: &str) -> bool {
    match value_set {
        "http://vs/two" => [("urn:a|b", "x"), ("urn:a", "w$")].contains(&(system, code)),
        "ValueSet/below" => system == "urn:a" && is_a(code, "y,z"),
        _ => system == "urn:a" && KINDS.contains(&code) && !is_a(code, "y,z"),
    }
}

#[derive(Clone, Debug)]
enum Question {
    Code {
        system: Option<&'static str>,
        code: Option<&'static str>,
    },
    NotCode(&'static str),
    Date {
        prefix: &'static str,
        text: &'static str,
    },
    Value {
        prefix: &'static str,
        amount: Amount,
    },
    Pair {
        parameter: &'static str,
        coding: Coding,
        prefix: &'static str,
        amount: Amount,
    },
    Missing {
        parameter: &'static str,
        missing: bool,
    },
    Patient(usize),
    /// Of one by type and id, of the other by id alone.
    Patients(usize, usize),
    Family {
        modifier: &'static str,
        text: &'static str,
    },
    Text(&'static str),
    OfType {
        kind: &'static str,
        value: &'static str,
    },
    In {
        value_set: &'static str,
        is_in: bool,
    },
    Kind {
        direction: &'static str,
        code: &'static str,
    },
}

impl Reading {
    fn json(&self, id: usize) -> String {
        let coding = |(system, code): &(&str, &str)| match *system {
            "" => format!(r#"{{"code":"{code}"}}"#),
            system => format!(r#"{{"system":"{system}","code":"{code}"}}"#),
        };
        let mut codings: Vec<String> = self.codings.iter().map(coding).collect();
        if let (Some(first), Some(display)) = (codings.first_mut(), self.texts.1) {
            *first = first.replace('}', &format!(r#","display":"{display}"}}"#));
        }
        let mut json = format!(r#"{{"resourceType":"Observation","id":"{id}","status":"final""#);
        if !codings.is_empty() {
            let text = self.texts.0.map(|text| format!(r#","text":"{text}""#)).unwrap_or_default();
            json += &format!(r#","code":{{"coding":[{}]{text}}}"#, codings.join(","));
        }
        if let Some((kind, value)) = self.identifier {
            let kind = format!(r#"{{"coding":[{{"system":"urn:t","code":"{kind}"}}]}}"#);
            json += &format!(r#","identifier":[{{"system":"urn:s","value":"{value}","type":{kind}}}]"#);
        }
        if let Some(date) = self.date {
            json += &format!(r#","effectiveDateTime":"{date}""#);
        }
        json += &self.amount.map_or(String::new(), Amount::json);
        if !self.components.is_empty() {
            let component = |(code, amount): &(Coding, Option<Amount>)| {
                let amount = amount.map_or(String::new(), Amount::json);
                format!(r#"{{"code":{{"coding":[{}]}}{amount}}}"#, coding(code))
            };
            let components: Vec<String> = self.components.iter().map(component).collect();
            json += &format!(r#","component":[{}]"#, components.join(","));
        }
        if let Some(patient) = self.patient {
            json += &format!(r#","subject":{{"reference":"Patient/{patient}"}}"#);
        }
        json + "}"
    }

    /// Codes and amounts that stand together where a composite looks.
    fn pairs(&self, parameter: &str) -> Vec<(&[Coding], Amount)> {
        let own = self.amount.map(|amount| (self.codings.as_slice(), amount));
        let components =
            self.components.iter().filter_map(|(coding, amount)| Some((std::slice::from_ref(coding), (*amount)?)));
        match parameter {
            "code-value-quantity" => own.into_iter().collect(),
            "component-code-value-quantity" => components.collect(),
            _ => own.into_iter().chain(components).collect(),
        }
    }
}

impl Amount {
    fn json(self) -> String {
        let number = decimal(self.hundredths, self.decimals);
        match self.unit {
            ("", "") => format!(r#","valueQuantity":{{"value":{number}}}"#),
            (system, code) => {
                format!(r#","valueQuantity":{{"value":{number},"system":"{system}","code":"{code}"}}"#)
            }
        }
    }

    fn parameter(self, prefix: &str) -> String {
        let number = format!("{prefix}{}", decimal(self.hundredths, self.decimals));
        match self.unit {
            ("", "") => number,
            (system, code) => format!("{number}|{system}|{code}"),
        }
    }

    /// Whether this searched amount finds the stored one.
    fn finds(self, prefix: &str, stored: Self) -> bool {
        let milligrams = |unit| match unit {
            (UCUM, "mg") => Some(1),
            (UCUM, "cg") => Some(10),
            _ => None,
        };
        let scales = match (self.unit, stored.unit) {
            (("", ""), _) => Some((1, 1)),
            (("", code), (_, stored)) => (code == stored).then_some((1, 1)),
            (one, other) if one == other => Some((1, 1)),
            (one, other) => milligrams(one).zip(milligrams(other)),
        };
        scales.is_some_and(|scales| value_fits(prefix, (self, scales.0), (stored, scales.1)))
    }
}

fn is_coded(codings: &[Coding], system: Option<&str>, code: Option<&str>) -> bool {
    codings.iter().any(|(stored_system, stored_code)| {
        system.is_none_or(|system| system == *stored_system) && code.is_none_or(|code| code == *stored_code)
    })
}

/// A decimal of exactly so many digits behind the point; the hundredths have no more.
fn decimal(hundredths: i64, decimals: usize) -> String {
    let scale = 10_i64.pow(u32::try_from(2 - decimals).unwrap());
    let digits = format!("{:0>width$}", (hundredths / scale).abs(), width = decimals + 1);
    let (whole, fraction) = digits.split_at(digits.len() - decimals);
    let sign = if hundredths < 0 { "-" } else { "" };
    if decimals == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// First instant and the first one behind.
fn span_of(text: &str) -> (Timestamp, Timestamp) {
    let day = |text: &str| text.parse::<Date>().unwrap();
    let midnight = |date: Date| date.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
    let days = |first: Date, length: Span| (midnight(first), midnight(first.checked_add(length).unwrap()));
    match text.len() {
        4 => days(day(&format!("{text}-01-01")), 1.year()),
        7 => days(day(&format!("{text}-01")), 1.month()),
        10 => days(day(text), 1.day()),
        _ => {
            let start: Timestamp = text.parse().unwrap();
            (start, start + if text.contains('.') { 1.millisecond() } else { 1.second() })
        }
    }
}

fn date_fits(prefix: &str, stored: &str, searched: &str) -> bool {
    let ((from, to), (start, end)) = (span_of(stored), span_of(searched));
    let within = start <= from && to <= end;
    match prefix {
        "" | "eq" => within,
        "ne" => !within,
        "gt" => to > end,
        "lt" => from < start,
        "ge" => to > end || within,
        "le" => from < start || within,
        "sa" => from >= end,
        "eb" => to <= start,
        other => unreachable!("{other}"),
    }
}

/// In thousandths, where the half of a hundredth is whole; each with what one of its unit counts.
fn value_fits(prefix: &str, (searched, scale): (Amount, i64), (stored, stored_scale): (Amount, i64)) -> bool {
    let half = 5 * 10_i64.pow(u32::try_from(2 - searched.decimals).unwrap()) * scale;
    let (stored, value) = (stored.hundredths * 10 * stored_scale, searched.hundredths * 10 * scale);
    let within = value - half <= stored && stored < value + half;
    match prefix {
        "" | "eq" => within,
        "ne" => !within,
        "gt" => stored > value,
        "lt" => stored < value,
        "ge" => stored >= value,
        "le" => stored <= value,
        "sa" => stored > value,
        "eb" => stored < value,
        other => unreachable!("{other}"),
    }
}

fn plain(text: &str) -> String {
    text.to_lowercase().replace('ü', "u").replace('ö', "o").replace('é', "e")
}

impl Question {
    fn holds(&self, reading: &Reading) -> bool {
        match self {
            Self::Code { system, code } => is_coded(&reading.codings, *system, *code),
            Self::NotCode(code) => reading.codings.iter().all(|(_, stored)| stored != code),
            Self::Date { prefix, text } => reading.date.is_some_and(|stored| date_fits(prefix, stored, text)),
            Self::Value { prefix, amount } => reading.amount.is_some_and(|stored| amount.finds(prefix, stored)),
            Self::Pair { parameter, coding, prefix, amount } => {
                reading.pairs(parameter).into_iter().any(|(codings, stored)| {
                    is_coded(codings, Some(coding.0), Some(coding.1)) && amount.finds(prefix, stored)
                })
            }
            Self::Missing { parameter, missing } => {
                let present = match *parameter {
                    "code" => !reading.codings.is_empty(),
                    "date" => reading.date.is_some(),
                    "value-quantity" => reading.amount.is_some(),
                    other => unreachable!("{other}"),
                };
                present != *missing
            }
            Self::Patient(patient) => reading.patient == Some(*patient),
            Self::Patients(one, other) => [Some(*one), Some(*other)].contains(&reading.patient),
            Self::Text(text) => {
                let beside = [reading.texts.0, reading.texts.1];
                !reading.codings.is_empty()
                    && beside.into_iter().flatten().any(|stored| plain(stored).starts_with(&plain(text)))
            }
            Self::OfType { kind, value } => reading.identifier == Some((kind, value)),
            Self::In { value_set, is_in: wanted } => {
                reading.codings.iter().any(|(system, code)| is_in(value_set, system, code)) == *wanted
            }
            Self::Kind { direction, code } => reading.codings.iter().any(|(system, stored)| {
                let fits = if *direction == "below" { is_a(stored, code) } else { is_a(code, stored) };
                *system == "urn:a" && fits
            }),
            Self::Family { modifier, text } => reading.patient.is_some_and(|patient| {
                let family = FAMILIES[patient];
                match *modifier {
                    "" => plain(family).starts_with(&plain(text)),
                    ":contains" => plain(family).contains(&plain(text)),
                    _ => family == *text,
                }
            }),
        }
    }

    fn parameter(&self) -> (String, String) {
        let escape = |text: &str| text.replace(',', r"\,").replace('|', r"\|").replace('$', r"\$");
        match self {
            Self::Code { system, code } => {
                let code = escape(code.unwrap_or_default());
                ("code".into(), system.map_or(code.clone(), |system| format!("{}|{code}", escape(system))))
            }
            Self::NotCode(code) => ("code:not".into(), escape(code)),
            Self::Date { prefix, text } => ("date".into(), format!("{prefix}{text}")),
            Self::Value { prefix, amount } => ("value-quantity".into(), amount.parameter(prefix)),
            Self::Pair { parameter, coding: (system, code), prefix, amount } => {
                let coding = format!("{}|{}", escape(system), escape(code));
                ((*parameter).into(), format!("{coding}${}", amount.parameter(prefix)))
            }
            Self::Missing { parameter, missing } => (format!("{parameter}:missing"), missing.to_string()),
            Self::Patient(patient) => ("patient".into(), format!("Patient/{patient}")),
            Self::Patients(one, other) => ("patient".into(), format!("Patient/{one},{other}")),
            Self::Text(text) => ("code:text".into(), (*text).to_owned()),
            Self::OfType { kind, value } => {
                ("identifier:of-type".into(), format!("urn:t|{}|{}", escape(kind), escape(value)))
            }
            Self::In { value_set, is_in } => {
                (if *is_in { "code:in" } else { "code:not-in" }.into(), (*value_set).to_owned())
            }
            Self::Kind { direction, code } => (format!("code:{direction}"), format!("urn:a|{}", escape(code))),
            Self::Family { modifier, text } => (format!("subject:Patient.family{modifier}"), (*text).to_owned()),
        }
    }
}

fn numbers() -> impl Strategy<Value = (i64, usize)> {
    (-12_i64..12, 0_usize..3).prop_map(|(number, decimals)| {
        (
            number * 5 / 10_i64.pow(u32::try_from(2 - decimals).unwrap())
                * 10_i64.pow(u32::try_from(2 - decimals).unwrap()),
            decimals,
        )
    })
}

fn readings() -> impl Strategy<Value = Reading> {
    let codings = prop::collection::vec((select(&SYSTEMS[..]), select(&CODES[..])), 0..3);
    let date = prop::option::weighted(0.8, select(&DATES[..]));
    let amount = || prop::option::weighted(0.8, amounts(&UNITS));
    let components = prop::collection::vec(((select(&SYSTEMS[..]), select(&CODES[..])), amount()), 0..3);
    let patient = prop::option::weighted(0.8, 0..FAMILIES.len());
    let text = || prop::option::of(select(&TEXTS[..]));
    let beside = ((text(), text()), prop::option::of((select(&TYPES[..]), select(&VALUES[..]))));
    (codings, date, amount(), components, patient, beside).prop_map(
        |(codings, date, amount, components, patient, (texts, identifier))| Reading {
            codings,
            date,
            amount,
            components,
            patient,
            texts,
            identifier,
        },
    )
}

fn amounts(units: &'static [Coding]) -> impl Strategy<Value = Amount> {
    let amount = |((hundredths, decimals), unit)| Amount { hundredths, decimals, unit };
    (numbers(), select(units)).prop_map(amount)
}

fn questions() -> impl Strategy<Value = Question> {
    let prefixes = || select(&["", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb"][..]);
    let code = (prop::option::of(select(&SYSTEMS[..])), prop::option::of(select(&CODES[..])))
        .prop_filter("says something", |(system, code)| code.is_some() || system.is_some_and(|it| !it.is_empty()));
    let amounts = || amounts(&[("", ""), (UCUM, "mg"), (UCUM, "cg"), ("http://other", "mg"), ("", "mg")]);
    let composites = ["code-value-quantity", "component-code-value-quantity", "combo-code-value-quantity"];
    let coding = (select(&SYSTEMS[..]), select(&CODES[..]));
    prop_oneof![
        code.prop_map(|(system, code)| Question::Code { system, code }),
        select(&CODES[..]).prop_map(Question::NotCode),
        (prefixes(), select(&DATES[..])).prop_map(|(prefix, text)| Question::Date { prefix, text }),
        (prefixes(), amounts()).prop_map(|(prefix, amount)| Question::Value { prefix, amount }),
        (select(composites.to_vec()), coding, prefixes(), amounts())
            .prop_map(|(parameter, coding, prefix, amount)| { Question::Pair { parameter, coding, prefix, amount } }),
        (select(&["code", "date", "value-quantity"][..]), any::<bool>())
            .prop_map(|(parameter, missing)| Question::Missing { parameter, missing }),
        (0..FAMILIES.len()).prop_map(Question::Patient),
        (0..FAMILIES.len(), 0..FAMILIES.len()).prop_map(|(one, other)| Question::Patients(one, other)),
        (select(&["", ":contains", ":exact"][..]), select(&["mull", "MÜL", "l", "Müller", "zi"][..]))
            .prop_map(|(modifier, text)| Question::Family { modifier, text }),
        select(&["pouls", "POULS E", "rate", "heart", "eart"][..]).prop_map(Question::Text),
        (select(&TYPES[..]), select(&VALUES[..])).prop_map(|(kind, value)| Question::OfType { kind, value }),
        (select(&VALUE_SETS[..]), any::<bool>()).prop_map(|(value_set, is_in)| Question::In { value_set, is_in }),
        (select(&["below", "above"][..]), select(&KINDS[..]))
            .prop_map(|(direction, code)| Question::Kind { direction, code }),
    ]
}

async fn bench_with(readings: &[Reading]) -> Bench {
    let bench = Bench::with(&TERMINOLOGY).await;
    for own in OWN {
        bench.put(&definition(own)).await;
    }
    for (number, family) in FAMILIES.iter().enumerate() {
        bench.put(&format!(r#"{{"resourceType":"Patient","id":"{number}","name":[{{"family":"{family}"}}]}}"#)).await;
    }
    for (number, reading) in readings.iter().enumerate() {
        bench.put(&with_own(&reading.json(number))).await;
    }
    bench
}

fn query(questions: &[Question]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(questions.iter().map(Question::parameter))
        .finish()
}

/// The numbers of the readings that are matches, in the order in which they were written.
fn matches(readings: &[Reading], questions: &[Question]) -> Vec<usize> {
    let is_match = |number: &usize| questions.iter().all(|question| question.holds(&readings[*number]));
    (0..readings.len()).filter(is_match).collect()
}

async fn check(readings: Vec<Reading>, searches: Vec<Vec<Question>>) {
    let bench = bench_with(&readings).await;
    for questions in searches {
        let query = query(&questions);
        let expected: Vec<String> =
            matches(&readings, &questions).into_iter().map(|number| number.to_string()).collect();
        let bundle = bench.bundle(&format!("Observation?{query}")).await;
        assert_eq!(Bench::ids(&bundle, "match"), expected, "{questions:?} of {readings:?}");
        let own = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(questions.iter().map(|question| by_own(question.parameter())))
            .finish();
        let bundle = bench.bundle(&format!("Observation?{own}")).await;
        assert_eq!(Bench::ids(&bundle, "match"), expected, "{own} of {readings:?}");
    }
}

/// Page after page, the newest first: by the end of their time, those without one last, ties as they were written.
async fn check_newest(readings: Vec<Reading>, searches: Vec<(Vec<Question>, usize)>) {
    let bench = bench_with(&readings).await;
    for (questions, count) in searches {
        let mut expected = matches(&readings, &questions);
        let end = |number: &usize| readings[*number].date.map(|date| span_of(date).1);
        expected.sort_by_key(|number| std::cmp::Reverse(end(number)));
        let mut found = Vec::new();
        let mut next = Some(format!("Observation?{}&_sort=-date&_count={count}", query(&questions)));
        while let Some(page) = next {
            let bundle = bench.bundle(&page).await;
            found.extend(Bench::ids(&bundle, "match"));
            next = link(&bundle, "next").map(|url| url.trim_start_matches("http://here/fhir/").to_owned());
        }
        let expected: Vec<String> = expected.into_iter().map(|number| number.to_string()).collect();
        assert_eq!(found, expected, "{questions:?} by {count} of {readings:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_search_finds_what_a_naive_reading_of_the_specification_finds(
        readings in prop::collection::vec(readings(), 1..24),
        searches in prop::collection::vec(prop::collection::vec(questions(), 1..4), 32),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(readings, searches));
    }

    /// Enough about few patients that series are read in several blocks and given up.
    #[test]
    fn the_newest_come_first_page_after_page(
        readings in prop::collection::vec(readings(), 1..48),
        searches in prop::collection::vec((prop::collection::vec(questions(), 0..3), 1_usize..5, prop::option::weighted(0.8, 0..FAMILIES.len())), 16),
    ) {
        let searches = searches.into_iter().map(|(mut questions, count, patient)| {
            questions.extend(patient.map(Question::Patient));
            (questions, count)
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check_newest(readings, searches.collect()));
    }
}
