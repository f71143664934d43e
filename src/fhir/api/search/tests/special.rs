//! Test: filters, words, sounds and distances find what a naive reading of the specification finds.

use proptest::prelude::*;
use proptest::sample::select;

use super::Bench;

#[derive(Clone, Debug)]
struct Person {
    family: &'static str,
    gender: Option<&'static str>,
    born: Option<&'static str>,
    narrative: Vec<&'static str>,
}

/// Names, and a group for those that sound alike.
const FAMILIES: [(&str, char); 6] =
    [("Meyer", 'm'), ("Maier", 'm'), ("Müller", 'l'), ("Miller", 'l'), ("Lee", 'e'), ("O'Lee", 'o')];
const BORN: [&str; 4] = ["1969-12-31", "1970-01-01", "1970-12-31", "1971-01-01"];
const WORDS: [&str; 4] = ["Heart", "HEARTBEAT", "ångström", "42"];

#[derive(Clone, Debug)]
enum Ask {
    Family(&'static str, &'static str),
    Sounds(&'static str),
    Gender(&'static str),
    Born(&'static str, &'static str),
    Present(&'static str, bool),
    Text(Vec<&'static str>),
    Content(Vec<&'static str>),
    Not(Box<Ask>),
    /// Taken from left to right; `true` is `and`.
    Joined(Box<Ask>, Vec<(bool, Ask)>),
}

impl Person {
    fn json(&self, id: usize) -> String {
        let mut json = format!(r#"{{"resourceType":"Patient","id":"{id}","name":[{{"family":"{}"}}]"#, self.family);
        if !self.narrative.is_empty() {
            let div = self.narrative.join("</b>, <i title='heart > 42'/>");
            json += &format!(r#","text":{{"status":"generated","div":"<div><b>{div}</div>"}}"#);
        }
        for (name, value) in [("gender", self.gender), ("birthDate", self.born)] {
            json += &value.map(|value| format!(r#","{name}":"{value}""#)).unwrap_or_default();
        }
        json + "}"
    }

    fn narrates(&self, word: &str) -> bool {
        self.narrative.iter().any(|known| plain(known).starts_with(&plain(word)))
    }
}

fn plain(text: &str) -> String {
    text.to_lowercase().replace('å', "a").replace(['ö', 'ø'], "o").replace('ü', "u")
}

impl Ask {
    fn holds(&self, person: &Person) -> bool {
        match self {
            Self::Family(operator, text) => {
                // Punctuation tells no name, but may be all that is searched for.
                let (family, text) = (plain(person.family).replace('\'', ""), plain(text));
                match *operator {
                    "eq" => family == text,
                    "co" => family.contains(&text),
                    "sw" => family.starts_with(&text),
                    "ew" => family.ends_with(&text),
                    other => unreachable!("{other}"),
                }
            }
            Self::Sounds(name) => {
                let group = |name| FAMILIES.iter().find(|(family, _)| *family == name).unwrap().1;
                // Two words sound like two names.
                group(person.family) == group(name) || (person.family, *name) == ("O'Lee", "Lee")
            }
            Self::Gender(gender) => person.gender == Some(gender),
            Self::Born(operator, year) => person.born.is_some_and(|born| {
                let (born, _) = born.split_once('-').unwrap();
                match *operator {
                    "eq" | "po" => born == *year,
                    "ne" => born != *year,
                    "gt" | "sa" => born > *year,
                    "lt" | "eb" => born < *year,
                    "ge" => born >= *year,
                    "le" => born <= *year,
                    other => unreachable!("{other}"),
                }
            }),
            Self::Present(parameter, present) => {
                let is_there = match *parameter {
                    "gender" => person.gender.is_some(),
                    "birthdate" => person.born.is_some(),
                    "_text" => !person.narrative.is_empty(),
                    other => unreachable!("{other}"),
                };
                is_there == *present
            }
            Self::Text(words) => words.iter().all(|word| person.narrates(word)),
            Self::Content(words) => words.iter().all(|word| {
                let elsewhere =
                    [Some("Patient"), Some(person.family), person.gender, person.born].into_iter().flatten();
                let mut elsewhere = elsewhere.flat_map(|text| text.split(['-', '\'']).map(plain));
                person.narrates(word) || elsewhere.any(|text| text.starts_with(&plain(word)))
            }),
            Self::Not(ask) => !ask.holds(person),
            Self::Joined(first, rest) => rest.iter().fold(first.holds(person), |so_far, (is_and, ask)| {
                if *is_and { so_far && ask.holds(person) } else { so_far || ask.holds(person) }
            }),
        }
    }

    fn filter(&self) -> String {
        let operand = |ask: &Self| {
            if matches!(ask, Self::Joined(..)) { format!("({})", ask.filter()) } else { ask.filter() }
        };
        match self {
            Self::Family(operator, text) => format!("family {operator} \"{text}\""),
            Self::Sounds(name) => format!("phonetic eq {name}"),
            Self::Gender(gender) => format!("gender eq {gender}"),
            Self::Born(operator, year) => format!("birthdate {operator} {year}"),
            Self::Present(parameter, present) => format!("{parameter} pr {present}"),
            Self::Text(words) => format!("_text eq \"{}\"", words.join(" ")),
            Self::Content(words) => format!("_content eq \"{}\"", words.join(" ")),
            Self::Not(ask) => format!("not ({})", ask.filter()),
            Self::Joined(first, rest) => rest.iter().fold(operand(first), |so_far, (is_and, ask)| {
                format!("{so_far} {} {}", if *is_and { "and" } else { "or" }, operand(ask))
            }),
        }
    }
}

fn people() -> impl Strategy<Value = Person> {
    let family = select(&FAMILIES[..]).prop_map(|(family, _)| family);
    let gender = prop::option::of(select(&["male", "female"][..]));
    let narrative = prop::collection::vec(select(&WORDS[..]), 0..3);
    (family, gender, prop::option::of(select(&BORN[..])), narrative)
        .prop_map(|(family, gender, born, narrative)| Person { family, gender, born, narrative })
}

fn asks() -> impl Strategy<Value = Ask> {
    let words = || prop::collection::vec(select(&["heart", "hEArtB", "Angst", "4", "title", "beat"][..]), 1..3);
    let anywhere = prop::collection::vec(select(&["heart", "mu", "1970", "fem", "patient", "gender", "lee"][..]), 1..3);
    let ordered = select(&["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "po"][..]);
    let leaf = prop_oneof![
        (select(&["eq", "co", "sw", "ew"][..]), select(&["LEE", "m", "ER", "mül", "muller", "'"][..]))
            .prop_map(|(operator, text)| Ask::Family(operator, text)),
        select(&FAMILIES[..5]).prop_map(|(family, _)| Ask::Sounds(family)),
        select(&["male", "female"][..]).prop_map(Ask::Gender),
        (ordered, select(&["1969", "1970", "1971"][..])).prop_map(|(operator, year)| Ask::Born(operator, year)),
        (select(&["gender", "birthdate", "_text"][..]), any::<bool>()).prop_map(|(name, is)| Ask::Present(name, is)),
        words().prop_map(Ask::Text),
        anywhere.prop_map(Ask::Content),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let rest = prop::collection::vec((any::<bool>(), inner.clone()), 1..3);
        prop_oneof![
            inner.clone().prop_map(|ask| Ask::Not(Box::new(ask))),
            (inner, rest).prop_map(|(first, rest)| Ask::Joined(Box::new(first), rest)),
        ]
    })
}

async fn check_filters(people: Vec<Person>, asks: Vec<Ask>) {
    let bench = Bench::new().await;
    for (number, person) in people.iter().enumerate() {
        bench.put(&person.json(number)).await;
    }
    for ask in asks {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("_filter", &ask.filter()).finish();
        let expected: Vec<String> =
            (0..people.len()).filter(|number| ask.holds(&people[*number])).map(|number| number.to_string()).collect();
        let bundle = bench.bundle(&format!("Patient?{query}")).await;
        assert_eq!(Bench::ids(&bundle, "match"), expected, "{} of {people:?}", ask.filter());
    }
}

/// The angle between two places, by their directions from the centre of the earth.
fn kilometers(one: (f64, f64), other: (f64, f64)) -> f64 {
    let direction = |(latitude, longitude): (f64, f64)| {
        let (latitude, longitude) = (latitude.to_radians(), longitude.to_radians());
        [latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()]
    };
    let dot: f64 = direction(one).iter().zip(direction(other)).map(|(left, right)| left * right).sum();
    dot.clamp(-1.0, 1.0).acos() * 6_371.008_8
}

async fn check_places(places: Vec<(f64, f64)>, asks: Vec<((f64, f64), f64)>) {
    let bench = Bench::new().await;
    for (number, (latitude, longitude)) in places.iter().enumerate() {
        let position = format!(r#"{{"latitude":{latitude},"longitude":{longitude}}}"#);
        bench.put(&format!(r#"{{"resourceType":"Location","id":"{number}","position":{position}}}"#)).await;
    }
    for ((latitude, longitude), far) in asks {
        let bundle = bench.bundle(&format!("Location?near={latitude}%7C{longitude}%7C{far}%7Ckm")).await;
        let found = Bench::ids(&bundle, "match");
        for (number, place) in places.iter().enumerate() {
            let distance = kilometers((latitude, longitude), *place);
            let is_clear = (distance - far).abs() > 0.5;
            assert!(
                !is_clear || found.contains(&number.to_string()) == (distance < far),
                "{place:?} is {distance} km from {latitude}|{longitude}, asked for {far}: {found:?}"
            );
        }
    }
}

fn places() -> impl Strategy<Value = (f64, f64)> {
    let latitudes = select(&[-90.0, -89.5, -45.2, -0.1, 0.0, 0.1, 48.1, 48.2, 89.9, 90.0][..]);
    let longitudes = select(&[-180.0, -179.9, -90.0, -0.1, 0.0, 0.1, 11.5, 11.6, 179.9, 180.0][..]);
    (latitudes, longitudes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_filter_finds_what_a_naive_reading_of_it_finds(
        people in prop::collection::vec(people(), 1..16), asks in prop::collection::vec(asks(), 32),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check_filters(people, asks));
    }

    #[test]
    fn what_is_near_is_near_on_a_globe(
        positions in prop::collection::vec(places(), 1..16),
        asks in prop::collection::vec((places(), select(&[1.0, 12.0, 25.0, 700.0, 9_000.0, 30_000.0][..])), 16),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check_places(positions, asks));
    }
}

#[tokio::test]
async fn an_estimate_is_exact_where_that_is_cheap_and_near_where_it_is_not() {
    let bench = Bench::new().await;
    for number in 0..60 {
        let gender = if number % 3 == 0 { "male" } else { "female" };
        bench.put(&format!(r#"{{"resourceType":"Patient","id":"{number}","gender":"{gender}"}}"#)).await;
    }
    for (search, total) in [
        ("Patient?_total=estimate&_count=5", 60),
        ("Patient?_total=estimate&_count=5&gender=male", 20),
        ("Patient?_total=estimate&_count=5&gender:not=male", 40),
        ("Patient?_total=estimate&_count=5&gender=male,female", 60),
        ("Patient?_total=estimate&gender:not=unknown&_count=100", 60),
        ("Patient?_total=estimate&_count=5&_content=nothing", 0),
    ] {
        assert_eq!(bench.bundle(search).await["total"], total, "{search}");
    }
}
