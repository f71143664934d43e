use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Fault, Patch, PatchError};

const PATIENT: &str = r#"{"resourceType":"Patient","id":"p","name":[{"use":"official","family":"A\u0042" , "given":["Ann","Bo"],"_given":[null,{"id":"g"}]},{"use":"usual"}],"birthDate":"2001-02-03","_birthDate":{"extension":[{"url":"u","valueDecimal":1.50}]},"multipleBirthInteger":2}"#;

fn patch(read: Result<Patch, PatchError>, resource: &str) -> Result<Option<String>, PatchError> {
    let patched = read?.apply(&Bytes::copy_from_slice(resource.as_bytes()))?;
    Ok(patched.map(|text| String::from_utf8(text.to_vec()).unwrap()))
}

fn json_patch(resource: &str, operations: &str) -> Result<Option<String>, PatchError> {
    patch(Patch::json(&Bytes::copy_from_slice(operations.as_bytes())), resource)
}

#[track_caller]
fn check(resource: &str, operations: &str, expected: &str) {
    assert_eq!(json_patch(resource, operations).unwrap().as_deref(), Some(expected), "{operations}");
}

#[track_caller]
fn check_fault(operations: &str, fault: Fault, says: &str) {
    let resource = r#"{"a":{"b":[1,2]},"c":65.0}"#;
    let error = json_patch(resource, operations).map(drop).unwrap_err();
    assert!(error.fault == fault && error.detail.contains(says), "{operations}: {error:?}");
}

#[test]
fn each_operation_changes_one_place_and_leaves_the_bytes_of_all_others() {
    let resource = r#"{"a":{"x" : 65.00},"b":[ {"y": "\u0031"} , 2, 3.10 ],"c":"\/"}"#;
    check(
        resource,
        r#"[{"op":"add","path":"/d","value":{ "n":1.0}}]"#,
        r#"{"a":{"x" : 65.00},"b":[ {"y": "\u0031"} , 2, 3.10 ],"c":"\/","d":{ "n":1.0}}"#,
    );
    check(
        resource,
        r#"[{"op":"add","path":"/b/1","value":9}]"#,
        r#"{"a":{"x" : 65.00},"b":[{"y": "\u0031"},9,2,3.10],"c":"\/"}"#,
    );
    check(
        resource,
        r#"[{"op":"add","path":"/b/-","value":9}]"#,
        r#"{"a":{"x" : 65.00},"b":[{"y": "\u0031"},2,3.10,9],"c":"\/"}"#,
    );
    check(resource, r#"[{"op":"remove","path":"/b/0"}]"#, r#"{"a":{"x" : 65.00},"b":[2,3.10],"c":"\/"}"#);
    check(
        resource,
        r#"[{"op":"replace","path":"/a/x","value":65.000}]"#,
        r#"{"a":{"x":65.000},"b":[ {"y": "\u0031"} , 2, 3.10 ],"c":"\/"}"#,
    );
    check(
        resource,
        r#"[{"op":"move","from":"/a","path":"/b/3"}]"#,
        r#"{"b":[{"y": "\u0031"},2,3.10,{"x" : 65.00}],"c":"\/"}"#,
    );
    check(
        resource,
        r#"[{"op":"copy","from":"/b/0","path":"/d"}]"#,
        r#"{"a":{"x" : 65.00},"b":[ {"y": "\u0031"} , 2, 3.10 ],"c":"\/","d":{"y": "\u0031"}}"#,
    );
    check(
        resource,
        r#"[{"op":"test","path":"/a","value":{"x":65}},{"op":"remove","path":"/c"}]"#,
        r#"{"a":{"x" : 65.00},"b":[ {"y": "\u0031"} , 2, 3.10 ]}"#,
    );
    check(resource, r#"[{"op":"replace","path":"","value":{"z":1}}]"#, r#"{"z":1}"#);
    let read_only = r#"[{"op":"test","path":"/a/x","value":65.0},{"op":"copy","from":"/b/0/y","path":"/d"}]"#;
    check(resource, read_only, r#"{"a":{"x" : 65.00},"b":[ {"y": "\u0031"} , 2, 3.10 ],"c":"\/","d":"\u0031"}"#);
    check(r#"{"a~/":1,"b":2}"#, r#"[{"op":"remove","path":"/a~0~1"}]"#, r#"{"b":2}"#);
}

#[test]
fn what_a_patch_empties_is_left_out_once_it_is_done() {
    check(r#"{"a":[{"b":1}],"c":1}"#, r#"[{"op":"remove","path":"/a/0/b"}]"#, r#"{"c":1}"#);
    let refill = r#"[{"op":"remove","path":"/a/0"},{"op":"add","path":"/a/-","value":2}]"#;
    check(r#"{"a":[1],"c":1}"#, refill, r#"{"a":[2],"c":1}"#);
}

#[test]
fn a_patch_that_comes_to_nothing_is_nothing() {
    let resource = r#"{"meta":{"versionId":"1","tag":[{"code":"t"}]},"a":{"b":[1.0]},"c":2}"#;
    for operations in [
        "[]",
        r#"[{"op":"test","path":"/c","value":2.0}]"#,
        r#"[{"op":"replace","path":"/a/b/0","value":1.0}]"#,
        r#"[{"op":"remove","path":"/c"},{"op":"add","path":"/c","value":2}]"#,
        r#"[{"op":"replace","path":"/meta/versionId","value":"7"}]"#,
    ] {
        assert_eq!(json_patch(resource, operations).unwrap(), None, "{operations}");
    }
    for operations in [r#"[{"op":"replace","path":"/a/b/0","value":1.00}]"#, r#"[{"op":"remove","path":"/meta/tag"}]"#]
    {
        assert!(json_patch(resource, operations).unwrap().is_some(), "{operations}");
    }
}

#[test]
fn an_operation_that_does_not_fit_undoes_the_patch_and_says_which_it_was() {
    for (operation, says) in [
        (r#"{"op":"test","path":"/c","value":65.1}"#, "another value"),
        (r#"{"op":"test","path":"/c","value":"65.0"}"#, "another value"),
        (r#"{"op":"remove","path":"/x"}"#, "nothing at `/x`"),
        (r#"{"op":"replace","path":"/a/b/2","value":1}"#, "nothing at"),
        (r#"{"op":"add","path":"/a/b/3","value":1}"#, "2 elements"),
        (r#"{"op":"add","path":"/a/b/01","value":1}"#, "2 elements"),
        (r#"{"op":"add","path":"/x/y","value":1}"#, "nothing that could hold it"),
        (r#"{"op":"add","path":"/c/y","value":1}"#, "neither an object nor an array"),
        (r#"{"op":"copy","from":"/x","path":"/y"}"#, "nothing at `/x`"),
        (r#"{"op":"remove","path":""}"#, "DELETE"),
        (r#"{"op":"remove","path":"/a/b/-"}"#, "nothing at"),
    ] {
        let operations = format!(r#"[{{"op":"add","path":"/d","value":1}},{operation}]"#);
        check_fault(&operations, Fault::Inapplicable, says);
        check_fault(&operations, Fault::Inapplicable, "Operation 1");
    }
}

#[test]
fn what_is_no_patch_is_refused() {
    for (operations, says) in [
        ("{}", "array"),
        ("[1]", "object"),
        ("[", "line 1"),
        (r#"[{"path":"/a"}]"#, "`op`"),
        (r#"[{"op":"put","path":"/a"}]"#, "`op`"),
        (r#"[{"op":"add","path":"/a"}]"#, "`value`"),
        (r#"[{"op":"remove"}]"#, "`path`"),
        (r#"[{"op":"remove","path":"a"}]"#, "JSON Pointer"),
        (r#"[{"op":"move","path":"/a"}]"#, "`from`"),
        (r#"[{"op":"add","op":"remove","path":"/a","value":1}]"#, "line 1"),
        (r#"[{"op":"move","from":"/a","path":"/a/b"}]"#, "holds that place"),
    ] {
        check_fault(operations, Fault::Malformed, says);
    }
    // A value may be null, and members that are not defined are passed over (RFC 6902, section 4).
    check(r#"{"a":1}"#, r#"[{"op":"add","path":"/b","value":null,"note":1}]"#, r#"{"a":1,"b":null}"#);
}

#[test]
fn operations_and_their_work_have_bounds() {
    let many = vec![r#"{"op":"test","path":"/c","value":65}"#; 1_001].join(",");
    check_fault(&format!("[{many}]"), Fault::TooLarge, "1000 operations");
    let doubling = vec![r#"{"op":"copy","from":"/a","path":"/a/b/-"}"#; 1_000].join(",");
    check_fault(&format!("[{doubling}]"), Fault::TooLarge, "more work");
    let resource = format!(r#"{{"a":"{}"}}"#, "x".repeat(1 << 20));
    let testing = vec![r#"{"op":"test","path":"","value":1}"#; 100].join(",");
    assert_eq!(json_patch(&resource, &format!("[{testing}]")).unwrap_err().fault, Fault::Inapplicable);
    let copying = vec![r#"{"op":"copy","from":"/a","path":"/b"}"#; 100].join(",");
    assert_eq!(json_patch(&resource, &format!("[{copying}]")).unwrap_err().fault, Fault::TooLarge);
}

#[test]
fn a_narrative_that_may_have_become_untrue_goes_or_stops_the_patch() {
    let with = |status: &str| format!(r#"{{"text":{{"status":"{status}","div":"x"}},"meta":{{}},"active":true}}"#);
    let change = r#"[{"op":"replace","path":"/active","value":false}]"#;
    for status in ["generated", "extensions"] {
        check(&with(status), change, r#"{"meta":{},"active":false}"#);
    }
    check(&with("empty"), change, r#"{"text":{"status":"empty","div":"x"},"meta":{},"active":false}"#);
    assert_eq!(json_patch(&with("additional"), change).unwrap_err().fault, Fault::Inapplicable);
    let told = r#"[{"op":"replace","path":"/active","value":false},{"op":"replace","path":"/text/div","value":"y"}]"#;
    check(&with("additional"), told, r#"{"text":{"status":"additional","div":"y"},"meta":{},"active":false}"#);
    let tagged = r#"[{"op":"add","path":"/meta/tag","value":[{"code":"t"}]}]"#;
    check(
        &with("generated"),
        tagged,
        r#"{"text":{"status":"generated","div":"x"},"meta":{"tag":[{"code":"t"}]},"active":true}"#,
    );
}

fn documents() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(json!(null)), any::<bool>().prop_map(Value::from), (0..3).prop_map(Value::from)];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[abc]", inner, 0..4).prop_map(|members| json!(members)),
        ]
    })
}

fn pointers() -> impl Strategy<Value = String> {
    prop::collection::vec(prop_oneof!["[abc]", "[012]", Just("-".to_owned())], 1..4)
        .prop_map(|tokens| tokens.iter().map(|token| format!("/{token}")).collect())
}

fn operations() -> impl Strategy<Value = Value> {
    prop_oneof![
        (pointers(), documents()).prop_map(|(path, value)| json!({ "op": "add", "path": path, "value": value })),
        pointers().prop_map(|path| json!({ "op": "remove", "path": path })),
        (pointers(), documents()).prop_map(|(path, value)| json!({ "op": "replace", "path": path, "value": value })),
        (pointers(), pointers()).prop_map(|(from, path)| json!({ "op": "move", "from": from, "path": path })),
        (pointers(), pointers()).prop_map(|(from, path)| json!({ "op": "copy", "from": from, "path": path })),
        (pointers(), documents()).prop_map(|(path, value)| json!({ "op": "test", "path": path, "value": value })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn a_random_patch_does_what_another_implementation_does(
        members in prop::collection::btree_map("[abc]", documents(), 0..4),
        operations in prop::collection::vec(operations(), 1..5),
    ) {
        let mut expected = json!(members);
        let oracle: json_patch::Patch = serde_json::from_value(json!(operations)).unwrap();
        // Without its undoing, which panics after some operations; what is left after a failure is not looked at.
        let is_applicable = json_patch::patch_unsafe(&mut expected, &oracle).is_ok();
        let mut tree = super::Tree::Raw(json!(members).to_string().into());
        let Patch::Json(patch) = Patch::json(&json!(operations).to_string().into()).unwrap() else { unreachable!() };
        let applied = patch.apply(&mut tree, &mut super::Work(super::WORK_BYTES_MAX));
        prop_assert_eq!(applied.is_ok(), is_applicable, "{:?}", applied);
        if is_applicable {
            prop_assert_eq!(serde_json::from_slice::<Value>(&tree.to_bytes()).unwrap(), expected);
        }
    }
}

/// Operations as `type path member=value ...`; a value is the JSON of a part without its name.
fn fhir_path_patch(resource: &str, operations: &[&str]) -> Result<Option<String>, PatchError> {
    let parameter = |operation: &&str| {
        let mut words = operation.split(" | ");
        let mut parts = vec![
            json!({ "name": "type", "valueCode": words.next() }),
            json!({ "name": "path", "valueString": words.next() }),
        ];
        for word in words {
            let (name, value) = word.split_once('=').unwrap();
            let mut part: Value = match name {
                "name" => json!({ "valueString": value }),
                "index" | "source" | "destination" => json!({ "valueInteger": value.parse::<u8>().unwrap() }),
                _ => serde_json::from_str(value).unwrap(),
            };
            part["name"] = name.into();
            parts.push(part);
        }
        json!({ "name": "operation", "part": parts })
    };
    let parameters: Vec<Value> = operations.iter().map(parameter).collect();
    let text = json!({ "resourceType": "Parameters", "parameter": parameters }).to_string();
    patch(Patch::fhir_path(&text.into()), resource)
}

/// The part of the patient that changes.
#[track_caller]
fn check_path(operations: &[&str], before: &str, after: &str) {
    assert!(PATIENT.contains(before), "{before}");
    let expected = PATIENT.replace(before, after);
    assert_eq!(fhir_path_patch(PATIENT, operations).unwrap().as_deref(), Some(expected.as_str()), "{operations:?}");
}

#[track_caller]
fn check_path_fault(operation: &str, fault: Fault, says: &str) {
    let error = fhir_path_patch(PATIENT, &["replace | Patient.birthDate | value={\"valueDate\":\"1999\"}", operation]);
    let error = error.map(drop).unwrap_err();
    assert!(error.fault == fault && error.detail.contains(says), "{operation}: {error:?}");
    assert_eq!(error.location.as_deref(), Some("Parameters.parameter[1]"));
}

/// What opening the first name does to its spaces.
const OPENED: &str = r#""family":"A\u0042","given""#;
const CLOSED: &str = r#""family":"A\u0042" , "given""#;

#[test]
fn an_element_is_added_once_or_to_the_end_of_its_list() {
    check_path(
        &[r#"add | Patient | name=active | value={"valueBoolean":true}"#],
        "Integer\":2}",
        "Integer\":2,\"active\":true}",
    );
    check_path(
        &[r#"add | Patient | name=name | value={"valueHumanName":{"family":"C"}}"#],
        r#"{"use":"usual"}]"#,
        r#"{"use":"usual"},{"family":"C"}]"#,
    );
    check_path(
        &[r#"add | Patient.name[1] | name=given | value={"valueString":"Cy"}"#],
        r#"{"use":"usual"}"#,
        r#"{"use":"usual","given":["Cy"]}"#,
    );
    check_path(
        &[r#"add | Patient | name=deceased | value={"valueDateTime":"2020"}"#],
        "Integer\":2}",
        "Integer\":2,\"deceasedDateTime\":\"2020\"}",
    );
    check_path(
        &[r#"add | Patient.birthDate | name=extension | value={"valueExtension":{"url":"v","valueCode":"c"}}"#],
        "1.50}]",
        r#"1.50},{"url":"v","valueCode":"c"}]"#,
    );
    let contact = r#"add | Patient | name=contact | value={"part":[{"name":"relationship","valueCodeableConcept":{"text":"r"}},{"name":"gender","valueCode":"male"}]}"#;
    check_path(
        &[contact],
        "Integer\":2}",
        r#"Integer":2,"contact":[{"relationship":[{"text":"r"}],"gender":"male"}]}"#,
    );
    check_path_fault(
        r#"add | Patient | name=birthDate | value={"valueDate":"2000"}"#,
        Fault::Inapplicable,
        "`replace`",
    );
    check_path_fault(
        r#"add | Patient | name=multipleBirth | value={"valueBoolean":true}"#,
        Fault::Inapplicable,
        "`replace`",
    );
    check_path_fault(r#"add | Patient | name=shoeSize | value={"valueInteger":43}"#, Fault::Malformed, "`shoeSize`");
    check_path_fault(
        r#"add | Patient | name=deceased | value={"valueInteger":43}"#,
        Fault::Malformed,
        "of type integer",
    );
    check_path_fault(
        r#"add | Patient | name=maritalStatus | value={"valueString":"M"}"#,
        Fault::Malformed,
        "of type string",
    );
}

#[test]
fn values_of_lists_stay_beside_their_extensions() {
    let given = r#""given":["Ann","Bo"],"_given":[null,{"id":"g"}]"#;
    let changed = |after: &str| format!("{OPENED}{}", after.strip_prefix("\"given\"").unwrap());
    let before = &format!("{CLOSED}{}", given.strip_prefix("\"given\"").unwrap());
    check_path(
        &[r#"insert | Patient.name[0].given | index=1 | value={"valueString":"Al"}"#],
        before,
        &changed(r#""given":["Ann","Al","Bo"],"_given":[null,null,{"id":"g"}]"#),
    );
    check_path(&["delete | Patient.name[0].given[0]"], before, &changed(r#""given":["Bo"],"_given":[{"id":"g"}]"#));
    check_path(&["delete | Patient.name[0].given.where($this = 'Bo')"], before, &changed(r#""given":["Ann"]"#));
    check_path(
        &["move | Patient.name[0].given | source=1 | destination=0"],
        before,
        &changed(r#""given":["Bo","Ann"],"_given":[{"id":"g"},null]"#),
    );
    check_path(
        &[r#"replace | Patient.name.given.last() | value={"valueString":"Cy"}"#],
        before,
        &changed(r#""given":["Ann","Cy"]"#),
    );
    check_path(
        &[
            r#"add | Patient.name.given.first() | name=extension | value={"valueExtension":{"url":"v","valueCode":"c"}}"#,
        ],
        before,
        &changed(r#""given":["Ann","Bo"],"_given":[{"extension":[{"url":"v","valueCode":"c"}]},{"id":"g"}]"#),
    );
    check_path_fault(
        r#"insert | Patient.name[0].given | index=3 | value={"valueString":"Al"}"#,
        Fault::Inapplicable,
        "2 elements",
    );
    check_path_fault(
        r#"insert | Patient.birthDate | index=0 | value={"valueDate":"2000"}"#,
        Fault::Malformed,
        "no list",
    );
    check_path_fault("move | Patient.name | source=0 | destination=2", Fault::Inapplicable, "2 elements");
    check_path_fault("move | Patient.name[0] | source=0 | destination=1", Fault::Malformed, "name of a list");
}

#[test]
fn a_replaced_choice_may_change_its_type_and_a_primitive_loses_what_stood_beside_it() {
    check_path(
        &[r#"replace | Patient.multipleBirth | value={"valueBoolean":true}"#],
        "\"multipleBirthInteger\":2",
        "\"multipleBirthBoolean\":true",
    );
    check_path(
        &[r#"replace | Patient.multipleBirth.ofType(integer) | value={"valueInteger":3}"#],
        "Integer\":2",
        "Integer\":3",
    );
    check_path(
        &[r#"replace | Patient.birthDate | value={"valueDate":"2001","_valueDate":{"id":"b"}}"#],
        r#""birthDate":"2001-02-03","_birthDate":{"extension":[{"url":"u","valueDecimal":1.50}]}"#,
        r#""birthDate":"2001","_birthDate":{"id":"b"}"#,
    );
    check_path(&[r#"replace | Patient.birthDate.extension('u').value | value={"valueDecimal":2}"#], "1.50", "2");
    check_path_fault(
        r#"replace | Patient.multipleBirth.ofType(boolean) | value={"valueBoolean":true}"#,
        Fault::Inapplicable,
        "nothing at",
    );
    check_path_fault(
        r#"replace | Patient.name | value={"valueHumanName":{"text":"x"}}"#,
        Fault::Inapplicable,
        "2 places",
    );
    check_path_fault(r#"replace | Patient | value={"valueString":"x"}"#, Fault::Malformed, "whole resource");
    check_path_fault(r#"replace | Device.status | value={"valueCode":"active"}"#, Fault::Inapplicable, "about Device");
}

#[test]
fn what_a_delete_does_not_find_is_gone_already() {
    check_path(&["delete | Patient.name.where(use = 'usual')"], r#",{"use":"usual"}]"#, "]");
    check_path(
        &["delete | Patient.birthDate"],
        r#""birthDate":"2001-02-03","_birthDate":{"extension":[{"url":"u","valueDecimal":1.50}]},"#,
        "",
    );
    check_path(
        &["delete | birthDate.extension[0]"],
        r#","_birthDate":{"extension":[{"url":"u","valueDecimal":1.50}]}"#,
        "",
    );
    for nothing in ["Patient.photo", "Patient.name.where(use = 'nickname')", "Patient.name[2]", "Patient.contact.name"]
    {
        assert_eq!(fhir_path_patch(PATIENT, &[&format!("delete | {nothing}")]).unwrap(), None, "{nothing}");
    }
    check_path_fault("delete | Patient.name", Fault::Inapplicable, "2 places");
    check_path_fault("delete | Patient.multipleBirthInteger", Fault::Malformed, "without its type");
}

#[test]
fn what_is_no_fhirpath_patch_is_refused() {
    for (text, fault, says) in [
        ("[]", Fault::Malformed, "Parameters"),
        (r#"{"resourceType":"Patient"}"#, Fault::Malformed, "Parameters"),
        (r#"{"resourceType":"Parameters","parameter":[{"name":"x"}]}"#, Fault::Malformed, "`operation`"),
        (r#"{"resourceType":"Parameters","parameter":[{"name":"operation"}]}"#, Fault::Malformed, "`part`"),
        (
            r#"{"resourceType":"Parameters","parameter":[{"name":"operation","part":[{"name":"type","valueCode":"delete"}]}]}"#,
            Fault::Malformed,
            "`path`",
        ),
        (
            r#"{"resourceType":"Parameters","parameter":[{"name":"operation","part":[{"name":"type","valueCode":"delete"},{"name":"path","valueString":"Patient.name.exists()"}]}]}"#,
            Fault::NotSupported,
            "`Patient.name.exists()`",
        ),
        (
            r#"{"resourceType":"Parameters","parameter":[{"name":"operation","part":[{"name":"kind","valueCode":"delete"}]}]}"#,
            Fault::Malformed,
            "`kind`",
        ),
    ] {
        let error = patch(Patch::fhir_path(&text.into()), PATIENT).unwrap_err();
        assert!(error.fault == fault && error.detail.contains(says), "{text}: {error:?}");
    }
}
