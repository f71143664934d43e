//! The import table: what each module may know of this crate. The crate docs say why.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module and what it may import from this crate besides itself. The longest matching path counts. `*` is everything.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("json", &[]),
    ("codings", &[]),
    ("clock", &[]),
    ("secret", &[]),
    ("telemetry", &["model"]),
    ("model", &[]),
    ("database", &[]),
    ("mapping", &["model", "json", "r4"]),
    ("mapping_store", &["mapping", "telemetry"]),
    ("convert", &["model", "mapping", "json"]),
    ("sources", &["model", "clock", "secret", "telemetry", "bookmarks", "subscriptions"]),
    ("sources::http", &["model", "clock", "secret", "json", "codings", "answers"]),
    ("answers", &["database", "clock"]),
    ("normalize", &["model", "mapping", "mapping_store", "json", "codings", "clock", "telemetry"]),
    ("group", &["model"]),
    ("client", &["model", "json", "secret", "telemetry"]),
    ("resolve", &["model", "client", "json", "clock"]),
    ("deliver", &["model", "mapping", "mapping_store", "convert", "client", "clock", "telemetry"]),
    ("dead_letters", &["model", "database", "clock", "telemetry"]),
    ("settlements", &["model", "database", "telemetry"]),
    ("bookmarks", &["database"]),
    ("subscriptions", &["database"]),
    ("r4", &[]),
    ("fhir::words", &["json"]),
    ("fhir::units", &[]),
    ("fhir::store", &["r4", "database", "clock", "json", "fhir::words", "fhir::units"]),
    ("fhir::search", &["r4", "json", "fhir::store", "fhir::words", "fhir::units"]),
    ("fhir::patch", &["r4", "json"]),
    ("fhir::structure", &["r4", "json"]),
    ("fhir::profile", &["r4", "json", "fhir::structure"]),
    ("fhir::terminology", &["r4", "json", "fhir::store"]),
    ("fhir::subset", &["r4", "json", "fhir::search"]),
    ("fhir::xml", &["r4", "json"]),
    (
        "fhir::api",
        &[
            "r4",
            "json",
            "clock",
            "telemetry",
            "fhir::store",
            "fhir::search",
            "fhir::patch",
            "fhir::structure",
            "fhir::profile",
            "fhir::terminology",
            "fhir::subset",
            "fhir::xml",
        ],
    ),
    ("fhir", &[]),
    ("admin", &["model", "clock", "settlements", "dead_letters", "normalize", "sources", "telemetry"]),
    ("config", &["secret", "telemetry", "r4"]),
    ("remote", &[]),
    ("send", &["sources::replay", "sources::backoff", "sources::tls", "secret"]),
    ("demo", &["clock"]),
    ("bench", &[]),
    ("workbench", &["model", "mapping", "convert", "json"]),
    ("app", &["*"]),
    ("cli", &["*"]),
];

/// The rules of the mapping specification that the product keeps: prefix, first and last number.
const RULES: &[(&str, u32, u32)] = &[
    ("ev", 1, 12),
    ("dm", 1, 51),
    ("jp", 1, 36),
    ("jm", 1, 22),
    ("nm", 1, 6),
    ("gr", 1, 15),
    ("fm", 1, 27),
    ("ob", 1, 20),
    ("id", 1, 18),
    ("va", 1, 12),
    ("er", 1, 13),
    ("tm", 1, 6),
    ("bt", 6, 6),
    ("bt", 10, 11),
    ("bt", 8, 8),
    ("bt", 10, 11),
];

/// Rules that do not apply, and why.
const NOT_APPLICABLE: &[(&str, &str)] = &[
    ("nm_4", "the stages are parts of one process; no broker with messages of its own is between them"),
    ("er_11", "nothing is sent to a second stage through a broker; stages hand on through channels, which do not fail"),
];

/// The error codes of section 11 of the mapping specification, and one more.
const ERROR_CODES: &[&str] = &[
    "InvalidTemplateException",
    "TemplateExpressionException",
    "ValidationException",
    "InvalidDataFormatException",
    "IncompatibleDataException",
    "ExpressionFunctionException",
    "NormalizationDataMappingException",
    "TemplateNotFoundException",
    "CorrelationIdNotDefinedException",
    "InvalidQuantityFhirValueException",
    "InvalidSampledDataValueException",
    "NotSupportedException",
    "DeviceNotFoundException",
    "PatientNotFoundException",
    "EncounterNotFoundException",
    "PatientIdentityNotDefinedException",
    "EncounterIdentityNotDefinedException",
    "DeviceIdentityNotDefinedException",
    "MultipleDeviceFoundException",
    "MultiplePatientFoundException",
    "MultipleEncounterFoundException",
    "MultipleObservationFoundException",
    "PatientDeviceMismatchException",
    "FhirDataMappingException",
    "MeasurementProcessingException",
    "MeasurementGroupProcessingException",
    "CompressionNotSupportedException",
    "EventHubProducerClientException",
    "StorageCheckpointClientException",
    "UnclaimedPartitionException",
    "ProcessorCountException",
    // Of the metrics alone (TM-5).
    "UnhandledException",
    // Of this product: a value does not fit its FHIR type.
    "InvalidFhirValueException",
];

#[test]
fn every_rule_of_the_mapping_has_a_test() {
    let tested: BTreeSet<String> = [rust_files(Path::new("src")), rust_files(Path::new("tests"))]
        .concat()
        .iter()
        .flat_map(|file| test_names_in(&fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()))
        .flat_map(|name| rules_in(&name))
        .collect();
    let rules = RULES.iter().flat_map(|(prefix, first, last)| (*first..=*last).map(move |n| format!("{prefix}_{n}")));
    let missing: Vec<String> = rules
        .filter(|rule| !tested.contains(rule) && !NOT_APPLICABLE.iter().any(|(excused, _)| excused == rule))
        .collect();
    assert!(missing.is_empty(), "no test is named after {}", missing.join(", "));
}

#[test]
fn er_1_every_error_code_is_one_that_operators_know() {
    let mut unknown: BTreeMap<String, PathBuf> = BTreeMap::new();
    for file in rust_files(Path::new("src")) {
        for code in production_part(&file).split('"').filter(|text| is_error_code(text)) {
            if !ERROR_CODES.contains(&code) {
                unknown.insert(code.to_owned(), file.clone());
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:?}");
}

fn is_error_code(text: &str) -> bool {
    text.strip_suffix("Exception").is_some_and(|name| !name.is_empty() && name.chars().all(char::is_alphanumeric))
}

/// The names of the functions that carry a test attribute, or stand in `proptest!`.
fn test_names_in(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let pairs = lines.iter().zip(lines.iter().skip(1));
    let tests =
        pairs.filter(|(attribute, _)| attribute.starts_with("#[test]") || attribute.starts_with("#[tokio::test"));
    tests
        .filter_map(|(_, line)| line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn "))
        .filter_map(|rest| rest.split_once('(').map(|(name, _)| name.to_owned()))
        .collect()
}

/// The rules a test name begins with: `dm_39_dm_40_iot_templates` is about two.
fn rules_in(name: &str) -> Vec<String> {
    let parts: Vec<&str> = name.split('_').collect();
    let pairs = parts.chunks_exact(2);
    let is_rule = |pair: &&[&str]| pair[0].len() == 2 && pair[1].chars().all(|c| c.is_ascii_digit());
    pairs.take_while(is_rule).map(|pair| pair.join("_")).collect()
}

#[test]
fn modules_import_only_what_they_may() {
    let mut broken = Vec::new();
    for file in rust_files(Path::new("src")) {
        let module = module_of(&file);
        if module.is_empty() {
            continue;
        }
        let Some((row, allowed)) = row_of(&module) else {
            broken.push(format!("{}: `{module}` has no row in the import table", file.display()));
            continue;
        };
        for imported in crate_paths_in(&production_part(&file)) {
            let own = within(&imported, row) || within(row, &imported);
            if !own && !allowed.iter().any(|allowed| *allowed == "*" || within(&imported, allowed)) {
                broken.push(format!("{}: `{module}` may not import `{imported}`", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn only_telemetry_names_metrics() {
    let named: Vec<_> = rust_files(Path::new("src"))
        .into_iter()
        .filter(|file| !file.starts_with("src/telemetry"))
        .filter(|file| ["counter!(", "gauge!(", "histogram!("].iter().any(|call| production_part(file).contains(call)))
        .collect();
    assert!(named.is_empty(), "{named:?}");
}

#[test]
fn tm_5_every_error_code_is_counted() {
    let table = production_part(Path::new("src/telemetry/meters/errors.rs"));
    let mut uncounted = BTreeSet::new();
    for file in rust_files(Path::new("src")) {
        let text = production_part(&file);
        let codes = text.split('"').filter(|text| is_error_code(text) || text.starts_with("FHIRServiceError"));
        // Some metrics are named by error type and code.
        let missing = codes.filter(|code| !table.contains(&format!("{code}\"")));
        uncounted.extend(missing.map(str::to_owned));
    }
    assert!(uncounted.is_empty(), "{uncounted:?}");
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent: Vec<_> = rust_files(Path::new("src"))
        .into_iter()
        .filter(|file| !is_test(file) && !fs::read_to_string(file).unwrap().starts_with("//! "))
        .collect();
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
fn every_row_of_the_table_names_a_module() {
    let modules: BTreeSet<String> = rust_files(Path::new("src")).iter().map(|file| module_of(file)).collect();
    let stale: Vec<_> = MAY_IMPORT.iter().map(|(row, _)| *row).filter(|row| !modules.contains(*row)).collect();
    assert!(stale.is_empty(), "{stale:?}");
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for entry in fs::read_dir(root.join(directory)).unwrap() {
        let path = entry.unwrap().path();
        let relative = path.strip_prefix(root).unwrap().to_owned();
        if path.is_dir() {
            files.extend(rust_files(&relative));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(relative);
        }
    }
    files
}

/// `src/fhir/api/read.rs` is `fhir::api::read`; `main.rs` and `lib.rs` are nothing.
fn module_of(file: &Path) -> String {
    let inner = file.strip_prefix("src").unwrap().with_extension("");
    let mut parts: Vec<_> = inner.iter().map(|part| part.to_str().unwrap()).collect();
    if matches!(parts.last(), Some(&"mod" | &"lib" | &"main")) {
        parts.pop();
    }
    parts.join("::")
}

fn row_of(module: &str) -> Option<(&'static str, &'static [&'static str])> {
    let rows = MAY_IMPORT.iter().filter(|(row, _)| within(module, row));
    rows.max_by_key(|(row, _)| row.len()).copied()
}

fn within(path: &str, outer: &str) -> bool {
    path == outer || path.strip_prefix(outer).is_some_and(|rest| rest.starts_with("::"))
}

fn is_test(file: &Path) -> bool {
    file.ends_with("tests.rs") || file.iter().any(|part| part == "tests")
}

/// The file without its tests, which may use whatever shows the behaviour.
fn production_part(file: &Path) -> String {
    if is_test(file) {
        return String::new();
    }
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end].lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Every `crate::a::b`, lower-case parts only, and those of `use crate::{a, b}`.
fn crate_paths_in(text: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        assert!(!rest.starts_with('{'), "one module a line in `use crate::...`");
        let path: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':').collect();
        let modules: Vec<&str> =
            path.split("::").take_while(|part| part.starts_with(|c: char| c.is_ascii_lowercase())).collect();
        paths.insert(modules.join("::"));
    }
    paths
}
