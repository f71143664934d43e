//! The documentation is true: its examples give what it says they give, its links lead somewhere, and no command or
//! shipped mapping is left out.
//!
//! A document is read from top to bottom, like by somebody who does what it says in an empty directory. The second word
//! behind a fence, which readers do not see, says what a block is:
//!
//! - ```` ```jsonc device.json ````: a file that is saved; with a directory in its name it is a file of the repository.
//! - ```` ```console run ````: commands, and what they print. `…` ends a line of which only the beginning is shown, and a
//!   line `…` stands for any lines.
//! - ```` ```console curl ````: requests to a running process, and what they are answered; `http_push` makes them.
//! - ```` ```json result ````: the Observations that `device.json` and `fhir.json` make of the message saved last.
//! - ```` ```json document ````: an event. Tables below it whose first column is headed `JsonPath`, `JmesPath` or
//!   `Rfc9535` say what an expression selects of it: values, `nothing`, `an error`, or `refused` when the mapping loads.

mod markdown;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use self::markdown::{Block, Part, Row, anchors, code_spans, links, parts};
use crate::support::config::SERVICE;
use crate::support::process::{Vitalwire, run, vitalwire};

const DOCUMENTS: [&str; 11] = [
    "README.md",
    "templates/README.md",
    "templates/reference.md",
    "templates/migrating.md",
    "docs/metrics.md",
    "docs/dead-letters.md",
    "docs/operations.md",
    "docs/fhir-servers.md",
    "docs/fhir.md",
    "docs/http-push.md",
    "docs/mqtt.md",
];

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Somebody who follows a document.
struct Reader {
    directory: tempfile::TempDir,
    /// Name of the message or events saved last.
    events: String,
    document: String,
    untrue: Vec<String>,
}

impl Reader {
    fn follow(document: &str) -> Vec<String> {
        let mut reader = Self {
            directory: tempfile::tempdir().unwrap(),
            events: String::new(),
            document: String::new(),
            untrue: Vec::new(),
        };
        for part in parts(&text(&repository(document))) {
            let (line, result) = match &part {
                Part::Block(block) => (block.line, reader.block(block)),
                Part::Row(row) => (row.line, reader.row(row)),
            };
            if let Err(problem) = result {
                reader.untrue.push(format!("{document}:{line}: {problem}"));
            }
        }
        reader.untrue
    }

    fn block(&mut self, block: &Block) -> Result<(), String> {
        match (block.language.as_str(), block.name.as_str()) {
            ("console", "run") => self.console(&block.text),
            ("console", "curl") => Ok(()),
            ("json", "result") => self.result(&block.text),
            ("json", "document") => {
                self.document.clone_from(&block.text);
                Ok(())
            }
            (_, path) if path.contains('/') => {
                let is_same = text(&repository(path)).trim() == block.text.trim();
                is_same.then_some(()).ok_or_else(|| format!("{path} says something else"))
            }
            (_, name) if name.contains('.') => {
                self.save(name, &block.text);
                if name.starts_with("message") || name.starts_with("events") {
                    name.clone_into(&mut self.events);
                }
                Ok(())
            }
            (_, "") => Ok(()),
            (_, name) => Err(format!("`{name}` is no kind of block")),
        }
    }

    fn save(&self, name: &str, text: &str) {
        fs::write(self.directory.path().join(name), text).unwrap();
    }

    /// What a command prints, as a terminal shows it.
    fn run(&self, arguments: &[&str]) -> String {
        let mut command = vitalwire(arguments);
        command.current_dir(self.directory.path());
        let (_, output, errors) = run(command);
        output + &errors
    }

    /// What comes of events, as the document for programs.
    fn trial(&self, arguments: &[&str], events: &str) -> Result<Value, String> {
        let printed = self.run(&[&["mapping", "test", "--format", "json", "--events", events], arguments].concat());
        serde_json::from_str(&printed).map_err(|error| format!("{error}: {printed}"))
    }

    fn console(&self, text: &str) -> Result<(), String> {
        for command in text.split("$ ").skip(1) {
            let (command, shown) = command.split_once('\n').unwrap_or((command, ""));
            let arguments: Vec<&str> = command.split_whitespace().collect();
            let Some(("vitalwire", arguments)) = arguments.split_first().map(|(program, rest)| (*program, rest)) else {
                return Err(format!("`{command}` is no command of the product"));
            };
            let printed = self.run(arguments);
            if !is_shown(&shown.lines().collect::<Vec<_>>(), &printed.lines().collect::<Vec<_>>()) {
                return Err(format!("`{command}` prints\n{printed}"));
            }
        }
        Ok(())
    }

    fn result(&self, expected: &str) -> Result<(), String> {
        let mut arguments = vec!["--device-mapping", "device.json", "--fhir-mapping", "fhir.json"];
        arguments.extend(self.events.starts_with("message").then_some("--wrap-body"));
        let printed = self.trial(&arguments, &self.events)?;
        let results = printed["DeviceResults"].as_array().unwrap();
        let made: Vec<&Value> = results.iter().flat_map(|result| result["Observations"].as_array().unwrap()).collect();
        let expected: Value = serde_json::from_str(expected).map_err(|error| error.to_string())?;
        let expected: Vec<&Value> = expected.as_array().map_or_else(|| vec![&expected], |all| all.iter().collect());
        (made == expected)
            .then_some(())
            .ok_or_else(|| format!("the files make {made:#?} of each other, and {printed:#}"))
    }

    fn row(&self, row: &Row) -> Result<(), String> {
        let [expression, selected, ..] = row.cells.as_slice() else { return Err("a row needs two columns".to_owned()) };
        let [expression] = code_spans(expression)[..] else {
            return Err("an expression is one span of code".to_owned());
        };
        self.save("row.json", &selecting(expression, &row.language).to_string());
        self.save("events.json", &self.document);
        let printed = self.trial(&["--device-mapping", "row.json"], "events.json")?;
        let result = &printed["DeviceResults"][0];
        let measurements = result["Measurements"].as_array().map_or(&[][..], Vec::as_slice);
        let tokens: Vec<&str> =
            measurements.iter().map(|measurement| measurement["Properties"][0]["Value"].as_str().unwrap()).collect();
        let is_error = |value: &Value| value["Level"] == "ERROR";
        let is_true = match selected.split('.').next().unwrap_or_default() {
            "refused" => printed["TemplateResult"]["Exceptions"].as_array().unwrap().iter().any(is_error),
            _ if result.is_null() => false,
            "nothing" => tokens.is_empty() && !result["Exceptions"].as_array().unwrap().iter().any(is_error),
            "an error" => tokens.is_empty() && result["Exceptions"].as_array().unwrap().iter().any(is_error),
            _ => is_same(&code_spans(selected), &tokens),
        };
        is_true.then_some(()).ok_or_else(|| format!("`{expression}` selects {tokens:?}: {printed:#}"))
    }
}

/// A device mapping whose measurements are what an expression selects, as JSON.
fn selecting(expression: &str, language: &str) -> Value {
    let jmespath = |value: &str| json!({ "value": value, "language": "JmesPath" });
    json!({ "templateType": "CollectionContent", "template": [ { "templateType": "CalculatedContent", "template": {
        "typeName": "row",
        "typeMatchExpression": { "value": expression, "language": language },
        "deviceIdExpression": jmespath("'d'"),
        "timestampExpression": jmespath("'2024-03-02'"),
        "values": [ { "required": true, "valueName": "token", "valueExpression": jmespath("to_string(matchedToken)") } ]
    } } ] })
}

/// Texts are shown in quotes, and are their own JSON text.
fn is_same(shown: &[&str], tokens: &[&str]) -> bool {
    shown.len() == tokens.len()
        && shown.iter().zip(tokens).all(|(shown, token)| match serde_json::from_str(shown) {
            Ok(Value::String(text)) => text == *token,
            Ok(shown) => serde_json::from_str::<Value>(token).is_ok_and(|token| token == shown),
            Err(_) => false,
        })
}

fn is_shown(shown: &[&str], printed: &[&str]) -> bool {
    match (shown, printed) {
        ([], printed) => printed.is_empty(),
        (["…", rest @ ..], printed) => (0..=printed.len()).any(|skipped| is_shown(rest, &printed[skipped..])),
        ([line, shown @ ..], [first, printed @ ..]) => {
            let is_same = match line.strip_suffix('…') {
                Some(beginning) => first.starts_with(beginning),
                None => line == first,
            };
            is_same && is_shown(shown, printed)
        }
        (_, []) => false,
    }
}

#[test]
fn every_example_gives_what_the_documentation_says() {
    let untrue: Vec<String> = DOCUMENTS.iter().flat_map(|document| Reader::follow(document)).collect();
    assert!(untrue.is_empty(), "{}", untrue.join("\n"));
}

#[test]
fn every_link_leads_somewhere() {
    let mut dead = Vec::new();
    for document in DOCUMENTS.map(repository) {
        let markdown = text(&document);
        for link in links(&markdown) {
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { document.clone() } else { document.parent().unwrap().join(path) };
            if !target.exists() || !anchor.is_empty() && !anchors(&text(&target)).iter().any(|known| known == anchor) {
                dead.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

/// Whether there is such a test of the binary (`file::name`), or such a file of tests.
fn is_test(named: &str) -> bool {
    match named.split_once("::") {
        Some((file, name)) => {
            let tests = fs::read_to_string(repository(&format!("tests/it/{file}.rs"))).unwrap_or_default();
            tests.contains(&format!("fn {name}("))
        }
        None => repository(named).exists(),
    }
}

#[test]
fn what_the_fhir_service_does_has_a_test() {
    let mut without = Vec::new();
    for row in text(&repository("docs/fhir.md")).lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [_, supported, tests] = cells.as_slice() else { panic!("{row}") };
        let tests = code_spans(tests);
        if (supported.starts_with("yes") && tests.is_empty()) || !tests.iter().all(|test| is_test(test)) {
            without.push(row.to_owned());
        }
    }
    assert!(without.is_empty(), "{}", without.join("\n"));
}

#[test]
fn every_operation_of_the_fhir_service_is_documented() {
    let directory = tempfile::tempdir().unwrap();
    let server = Vitalwire::serve(directory.path(), SERVICE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let statement = runtime.block_on(async { server.fhir().get("metadata").await.check(200).json() });
    let resources = statement["rest"][0]["resource"].as_array().unwrap();
    let operations = resources.iter().flat_map(|resource| resource["operation"].as_array().unwrap());
    let documented = text(&repository("docs/fhir.md"));
    for name in operations.map(|operation| operation["name"].as_str().unwrap()) {
        assert!(documented.contains(&format!("`${name}`")), "docs/fhir.md does not name ${name}");
    }
}

#[test]
fn every_shipped_mapping_and_every_command_is_named() {
    let index = text(&repository("templates/README.md"));
    let folders = fs::read_dir(repository("templates")).unwrap().map(|entry| entry.unwrap().path());
    for folder in folders.filter(|path| path.is_dir()) {
        let name = folder.file_name().unwrap().display().to_string();
        assert!(index.contains(&format!("({name})")), "{name} is not in the index");
    }
    let readme = text(&repository("README.md"));
    for command in [&[][..], &["mapping"]] {
        let (_, help, _) = run(vitalwire(&[command, &["--help"]].concat()));
        let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        for name in listed.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next()) {
            let spelled = [&["vitalwire"], command, &[name]].concat().join(" ");
            assert!(name == "help" || readme.contains(&spelled), "README.md does not name `{spelled}`");
        }
    }
}
