use super::{check, fails};

const DOCUMENT: &str = r#"{"n":[3,1,2.5],"t":["b","a","é"],"rows":[{"k":"b","v":2},{"k":"a","v":10},{"k":"c","v":2}],
    "o":{"z":1,"a":[2]},"text":"héllo","neg":-3,"mixed":[1,"a"],"none":[],"nil":null}"#;

#[test]
fn jm_1_functions_of_numbers() {
    for (text, expected) in [
        ("abs(neg)", "3"),
        ("abs(`-1.50`)", "1.50"),
        ("abs(`-123456789012345678901234567890`)", "123456789012345678901234567890"),
        ("ceil(`1.1`)", "2"),
        ("ceil(`-0.5`)", "0"),
        ("ceil(`7`)", "7"),
        ("floor(`1.9`)", "1"),
        ("floor(`-1.1`)", "-2"),
        ("sum(n)", "6.5"),
        ("sum(`[1, 2]`)", "3"),
        ("sum(none)", "0"),
        ("avg(n)", "2.1666666666666665"),
        ("avg(`[10, 20]`)", "15.0"),
        ("avg(none)", "nothing"),
        ("max(n)", "3"),
        ("min(n)", "1"),
        ("max(`[1, 1.0]`)", "1"),
        ("max(none)", "nothing"),
        ("min(none)", "nothing"),
        ("to_number('5')", "5"),
    ] {
        check(DOCUMENT, text, expected);
    }
}

#[test]
fn jm_1_functions_of_texts() {
    for (text, expected) in [
        ("starts_with(text, 'hé')", "true"),
        ("starts_with(text, 'x')", "false"),
        ("ends_with(text, 'lo')", "true"),
        ("contains(text, 'él')", "true"),
        ("contains(text, `1`)", "false"),
        ("length(text)", "5"),
        ("reverse(text)", r#""olléh""#),
        ("join('-', t)", r#""b-a-é""#),
        ("join('-', none)", r#""""#),
        ("max(t)", r#""é""#),
        ("min(t)", r#""a""#),
        ("to_string(o)", r#""{\"z\":1,\"a\":[2]}""#),
    ] {
        check(DOCUMENT, text, expected);
    }
}

#[test]
fn jm_1_functions_of_arrays() {
    for (text, expected) in [
        ("contains(t, 'a')", "true"),
        ("contains(n, `1.0`)", "true"),
        ("contains(rows, `{\"v\": 2, \"k\": \"b\"}`)", "true"),
        ("contains(none, `null`)", "false"),
        ("length(rows)", "3"),
        ("reverse(n)", "[2.5,1,3]"),
        ("sort(n)", "[1,2.5,3]"),
        ("sort(t)", r#"["a","b","é"]"#),
        ("sort_by(rows, &k)[*].v", "each [10,2,2]"),
        ("sort_by(rows, &v)[*].k", r#"each ["b","c","a"]"#),
        ("max_by(rows, &v).k", r#""a""#),
        ("min_by(rows, &v).k", r#""b""#),
        ("min_by(none, &v)", "nothing"),
        ("map(&k, rows)", r#"["b","a","c"]"#),
        ("map(&x, rows)", "[null,null,null]"),
        ("to_array(n)", "[3,1,2.5]"),
        ("to_array('a')", r#"["a"]"#),
        ("to_array(nil)", "[null]"),
    ] {
        check(DOCUMENT, text, expected);
    }
}

#[test]
fn jm_1_functions_of_objects_and_any_values() {
    for (text, expected) in [
        ("keys(o)", r#"["z","a"]"#),
        ("values(o)", "[1,[2]]"),
        ("length(o)", "2"),
        ("merge(o, `{\"a\": 3, \"b\": 4}`)", r#"{"z":1,"a":3,"b":4}"#),
        ("merge(o)", r#"{"z":1,"a":[2]}"#),
        ("not_null(nil, missing, neg)", "-3"),
        ("not_null(nil)", "nothing"),
        (
            "[type(n), type(o), type(text), type(neg), type(nil), type(missing), type(`true`)]",
            r#"["array","object","string","number","null","null","boolean"]"#,
        ),
        ("[type([neg]), type({a: neg}), type(to_string(neg))]", r#"["array","object","string"]"#),
    ] {
        check(DOCUMENT, text, expected);
    }
}

#[test]
fn jm_19_every_function_refuses_other_types() {
    for text in [
        "abs(text)",
        "avg(t)",
        "avg(text)",
        "ceil(nil)",
        "contains(o, 'a')",
        "contains(nil, 'a')",
        "ends_with(text, n)",
        "floor(t)",
        "join('-', n)",
        "join(n, t)",
        "keys(n)",
        "length(neg)",
        "length(nil)",
        "map(&k, o)",
        "max(mixed)",
        "max(o)",
        "max_by(rows, &x)",
        "merge(o, n)",
        "min(mixed)",
        "min_by(rows, &@)",
        "reverse(o)",
        "sort(mixed)",
        "sort(rows)",
        "sort_by(mixed, &@)",
        "sort_by(o, &z)",
        "starts_with(nil, 'a')",
        "sum(t)",
        "values(text)",
    ] {
        fails(DOCUMENT, text, text.split('(').next().unwrap());
    }
}
