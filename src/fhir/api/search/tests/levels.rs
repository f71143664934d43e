//! Test: searches of several types, of compartments and by lists find what a naive reading of the resources finds, and
//! nothing besides. Who belongs to whom is written down here from the specification, not taken from its tables.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

use super::{Bench, link};

/// An element that refers to other resources.
struct Link {
    /// Of which type.
    source: &'static str,
    /// Members from the resource on; `[]` is behind those that are lists.
    path: &'static str,
    /// To what it may point.
    targets: &'static [&'static str],
    /// In whose compartments it puts the resource.
    inside: &'static [&'static str],
}

const fn link_of(
    source: &'static str,
    path: &'static str,
    targets: &'static [&'static str],
    inside: &'static [&'static str],
) -> Link {
    Link { source, path, targets, inside }
}

const LINKS: &[Link] = &[
    link_of("Observation", "subject", &["Patient", "Device"], &["Patient", "Device"]),
    link_of(
        "Observation",
        "performer[]",
        &["Patient", "Practitioner", "RelatedPerson"],
        &["Patient", "Practitioner", "RelatedPerson"],
    ),
    link_of("Observation", "device", &["Device"], &["Device"]),
    link_of("Observation", "encounter", &["Encounter"], &["Encounter"]),
    link_of("Observation", "focus[]", &["Patient", "Device", "Encounter"], &[]),
    link_of("Condition", "subject", &["Patient"], &["Patient"]),
    link_of("Condition", "encounter", &["Encounter"], &["Encounter"]),
    link_of("Condition", "recorder", &["Patient", "Practitioner"], &[]),
    link_of(
        "Condition",
        "asserter",
        &["Patient", "Practitioner", "RelatedPerson"],
        &["Patient", "Practitioner", "RelatedPerson"],
    ),
    link_of("AllergyIntolerance", "patient", &["Patient"], &["Patient"]),
    link_of("AllergyIntolerance", "encounter", &["Encounter"], &[]),
    link_of("AllergyIntolerance", "recorder", &["Patient", "Practitioner"], &["Patient", "Practitioner"]),
    link_of("Encounter", "subject", &["Patient"], &["Patient"]),
    link_of(
        "Encounter",
        "participant[].individual",
        &["Practitioner", "RelatedPerson"],
        &["Practitioner", "RelatedPerson"],
    ),
    link_of("List", "subject", &["Patient", "Device"], &["Patient", "Device"]),
    link_of("List", "source", &["Patient", "Practitioner"], &["Patient", "Practitioner"]),
    link_of("List", "entry[].item", &["Patient", "Device", "Encounter", "Practitioner"], &[]),
    link_of("Group", "member[].entity", &["Patient", "Device", "Practitioner"], &["Patient", "Device", "Practitioner"]),
    link_of("Patient", "link[].other", &["Patient", "RelatedPerson"], &["Patient", "RelatedPerson"]),
    link_of("Patient", "generalPractitioner[]", &["Practitioner"], &["Practitioner"]),
    link_of("RelatedPerson", "patient", &["Patient"], &["Patient"]),
    link_of("Task", "for", &["Patient"], &[]),
    link_of("Device", "patient", &["Patient"], &[]),
];

/// A resource as the test knows it: its type and id, and where its links point.
#[derive(Clone, Debug)]
struct Member {
    name: &'static str,
    id: usize,
    tag: bool,
    links: Vec<(usize, Vec<String>)>,
}

const TYPES: [&str; 11] = [
    "AllergyIntolerance",
    "Condition",
    "Device",
    "Encounter",
    "Group",
    "List",
    "Observation",
    "Patient",
    "Practitioner",
    "RelatedPerson",
    "Task",
];

const COMPARTMENTS: [&str; 5] = ["Patient", "Encounter", "Device", "Practitioner", "RelatedPerson"];

/// Ids of each type: two, so that `Patient/0` and `Device/0` are different things with one id.
const IDS: usize = 2;

impl Member {
    fn key(&self) -> String {
        format!("{}/{}", self.name, self.id)
    }

    fn json(&self) -> String {
        let mut resource = json!({ "resourceType": self.name, "id": self.id.to_string() });
        if self.tag {
            resource["meta"] = json!({ "tag": [{ "system": "t", "code": "x" }] });
        }
        for (link, targets) in &self.links {
            add(&mut resource, LINKS[*link].path, targets);
        }
        resource.to_string()
    }

    fn is_in_compartment_of(&self, focus: &str) -> bool {
        let (focus_type, _) = focus.split_once('/').unwrap();
        self.key() == focus
            || self.links.iter().any(|(link, targets)| {
                LINKS[*link].inside.contains(&focus_type) && targets.iter().any(|target| target == focus)
            })
    }

    fn targets_of_type<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a String> {
        self.searchable_targets().filter(move |target| target.starts_with(name))
    }

    /// All references but Condition.recorder, which no search parameter of R4 is about.
    fn searchable_targets(&self) -> impl Iterator<Item = &String> {
        let links = self.links.iter().filter(|(link, _)| LINKS[*link].path != "recorder" || self.name != "Condition");
        links.flat_map(|(_, targets)| targets)
    }

    fn lists(&self, key: &str) -> bool {
        let mut entries = self.links.iter().filter(|(link, _)| LINKS[*link].path == "entry[].item");
        entries.any(|(_, targets)| targets.iter().any(|target| target == key))
    }
}

fn add(resource: &mut Value, path: &str, targets: &[String]) {
    let reference = |target: &String| json!({ "reference": target });
    match path.split_once("[]") {
        None => {
            if let Some(target) = targets.first() {
                resource[path] = reference(target);
            }
        }
        Some((member, inner)) if !targets.is_empty() => {
            let inner = inner.trim_start_matches('.');
            let within = |target: &String| match inner {
                "" => reference(target),
                inner => Value::Object(Map::from_iter([(inner.to_owned(), reference(target))])),
            };
            resource[member] = targets.iter().map(within).collect();
        }
        Some(_) => {}
    }
}

fn members() -> impl Strategy<Value = Vec<Member>> {
    let member = |name: &'static str, id: usize| {
        let links: Vec<_> = LINKS
            .iter()
            .enumerate()
            .filter(|(_, link)| link.source == name)
            .map(|(index, link)| {
                let targets = (select(link.targets), 0..IDS).prop_map(|(name, id)| format!("{name}/{id}"));
                let most = if link.path.contains("[]") { 3 } else { 2 };
                prop::collection::vec(targets, 0..most).prop_map(move |targets| (index, targets))
            })
            .collect();
        (any::<bool>(), links).prop_map(move |(tag, links)| Member { name, id, tag, links })
    };
    let all: Vec<_> = TYPES.iter().flat_map(|name| (0..IDS).map(move |id| member(name, id))).collect();
    all.prop_flat_map(|all| {
        let least = all.len() / 2;
        subsequence(all.clone(), least..=all.len())
    })
}

impl Bench {
    /// Type and id of the matches on all pages.
    async fn everywhere(&self, search: &str) -> Vec<String> {
        let (matches, included) = self.everything(search).await;
        assert!(included.is_empty(), "{search}");
        matches
    }

    /// Type and id of the matches and of what comes along on all pages.
    async fn everything(&self, search: &str) -> (Vec<String>, Vec<String>) {
        let (mut matches, mut included, mut next) = (Vec::new(), Vec::new(), Some(search.to_owned()));
        while let Some(page) = next {
            let bundle = self.bundle(&page).await;
            for entry in bundle["entry"].as_array().map_or(&[][..], Vec::as_slice) {
                let resource = &entry["resource"];
                let key = format!("{}/{}", resource["resourceType"], resource["id"]).replace('"', "");
                let of_mode = if entry["search"]["mode"] == "match" { &mut matches } else { &mut included };
                of_mode.push(key);
            }
            next = link(&bundle, "next").map(|url| url.trim_start_matches("http://here/fhir").to_owned());
            assert!(matches.len() < 1_000, "{search}: pages without end");
        }
        (matches, included)
    }

    /// Everything about a resource is its compartment, and with it what that refers to and nobody else has.
    async fn check_everything(&self, members: &[Member], focus: &Member, count: usize) {
        let (matches, included) = self.everything(&format!("{}/$everything?_count={count}", focus.key())).await;
        let inside: Vec<&Member> = members.iter().filter(|member| member.is_in_compartment_of(&focus.key())).collect();
        let expected: BTreeSet<String> = inside.iter().map(|member| member.key()).collect();
        assert_eq!(matches.iter().cloned().collect::<BTreeSet<_>>(), expected, "{}", focus.key());
        assert_eq!(matches.len(), expected.len(), "each match once");
        // A patient linked to another is not that one; an encounter and a device are their patient's.
        let own: Vec<&String> = focus.targets_of_type("Patient").filter(|_| focus.name != "Patient").collect();
        let may_come = |member: &&Member| match member.name {
            "Practitioner" => true,
            "Device" => member.targets_of_type("Patient").all(|it| *it == focus.key() || own.contains(&it)),
            "Patient" => focus.name == "Encounter" && own.contains(&&member.key()),
            _ => false,
        };
        let mut reached = inside.clone();
        for _ in members {
            let referred: BTreeSet<&String> = reached.iter().flat_map(|member| member.searchable_targets()).collect();
            let along = members.iter().filter(may_come).filter(|member| referred.contains(&member.key()));
            reached = inside.iter().copied().chain(along).collect();
        }
        let along: BTreeSet<String> =
            reached.into_iter().map(Member::key).filter(|key| !expected.contains(key)).collect();
        let included: BTreeSet<String> = included.into_iter().filter(|key| !expected.contains(key)).collect();
        assert_eq!(included, along, "{}", focus.key());
    }

    async fn check_everywhere(&self, search: &str, expected: impl Iterator<Item = String>) {
        let found = self.everywhere(search).await;
        let distinct: BTreeSet<&String> = found.iter().collect();
        assert_eq!(distinct.len(), found.len(), "{search}: twice in {found:?}");
        let expected: BTreeSet<String> = expected.collect();
        assert_eq!(distinct, expected.iter().collect(), "{search}");
        let separator = if search.contains('?') { '&' } else { '?' };
        let counted = self.bundle(&format!("{search}{separator}_summary=count")).await;
        assert_eq!(counted["total"], expected.len(), "{search}");
    }
}

async fn check(members: Vec<Member>, types: Vec<&'static str>, count: usize) {
    let bench = Bench::new().await;
    for member in &members {
        bench.put(&member.json()).await;
    }
    let fits = |test: &dyn Fn(&Member) -> bool| {
        members.iter().filter(|member| test(member)).map(Member::key).collect::<Vec<_>>().into_iter()
    };
    for (name, id) in COMPARTMENTS.iter().flat_map(|name| (0..IDS).map(move |id| (name, id))) {
        let focus = format!("{name}/{id}");
        let inside = fits(&|member| member.is_in_compartment_of(&focus));
        bench.check_everywhere(&format!("{focus}/*?_count={count}"), inside).await;
        let tagged = fits(&|member| member.name == "Observation" && member.tag && member.is_in_compartment_of(&focus));

        bench.check_everywhere(&format!("{focus}/Observation?_tag=t%7Cx&_count={count}"), tagged).await;
    }
    for focus in members.iter().filter(|member| ["Patient", "Encounter", "Device"].contains(&member.name)) {
        bench.check_everything(&members, focus, count).await;
    }
    let named = types.join(",");
    for sort in ["", "&_sort=_lastUpdated", "&_sort=-_lastUpdated", "&_sort=_id", "&_sort=-_id,_lastUpdated"] {
        let of_types = fits(&|member| types.contains(&member.name) && member.tag);
        bench.check_everywhere(&format!("?_type={named}&_tag=t%7Cx&_count={count}{sort}"), of_types).await;
    }
    bench.check_everywhere(&format!("?_count={count}&_id=1"), fits(&|member| member.id == 1)).await;
    for list in 0..IDS {
        let Some(list) = members.iter().find(|member| (member.name, member.id) == ("List", list)) else { continue };
        let listed = fits(&|member| types.contains(&member.name) && list.lists(&member.key()));
        bench.check_everywhere(&format!("?_type={named}&_list={}&_count={count}", list.id), listed).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn a_compartment_has_its_own_and_nobody_elses(
        members in members(),
        types in subsequence(TYPES.to_vec(), 1..TYPES.len()),
        count in 1_usize..8,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(members, types, count));
    }
}

#[tokio::test]
async fn several_types_are_in_one_order_over_all_pages() {
    let bench = Bench::new().await;
    for (name, id) in [("Patient", "c"), ("Device", "a"), ("Observation", "d"), ("Patient", "b"), ("Device", "e")] {
        bench.put(&json!({ "resourceType": name, "id": id }).to_string()).await;
        let now = bench.clock.now() + jiff::SignedDuration::from_secs(1);
        bench.clock.advance_to(now);
    }
    let all = "?_type=Patient,Device,Observation&_count=2";
    for (sort, expected) in [
        ("_id", ["Device/a", "Patient/b", "Patient/c", "Observation/d", "Device/e"]),
        ("-_lastUpdated", ["Device/e", "Patient/b", "Observation/d", "Device/a", "Patient/c"]),
        ("_lastUpdated", ["Patient/c", "Device/a", "Observation/d", "Patient/b", "Device/e"]),
    ] {
        assert_eq!(bench.everywhere(&format!("{all}&_sort={sort}")).await, expected, "{sort}");
    }
    let first = bench.bundle(all).await;
    assert_eq!(link(&first, "self"), Some("http://here/fhir?_type=Patient%2CDevice%2CObservation&_count=2"));
    let next = link(&first, "next").unwrap().trim_start_matches("http://here/fhir");
    bench.check_refused(&next.replace("Device%2C", ""), "does not belong").await;
}

#[tokio::test]
async fn where_there_is_no_compartment_nothing_is_searched() {
    let bench = Bench::new().await;
    for path in ["Group/1/Observation", "Patient/1/Medication", "Patient/1/Nobody", "Organization/1/*"] {
        let (status, outcome) = bench.get(path).await;
        assert_eq!(status, http::StatusCode::NOT_FOUND, "{path}: {outcome}");
    }
    bench.check_refused("Patient/a_b/Observation", "logical id").await;
    bench.check_refused("Patient/1/Observation?name=x", "not a search parameter of Observation").await;
    bench.check_refused("Patient/1/Observation?_type=Observation", "the path names").await;
    bench.check_refused("Patient/1/*?_type=Medication", "resource types").await;
    bench.check_refused("Patient?_list=$current-allergies", "are not kept").await;
    bench.check_refused("Patient?_list=a_b", "logical id of a List").await;
}
