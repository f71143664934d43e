use super::{Item, Query, Yield, check, fails, gives, query, refused, shown};
use crate::json::{Node, parse};
use crate::mapping::effort::Effort;
use crate::mapping::expression;
use crate::mapping::text::{self, Text};
use crate::mapping::timestamp;

const ROWS: &str = r#"{"Body":{"rows":[{"pulse":61},{"pulse":null},{"spo2":97}]},"Properties":{}}"#;

#[test]
fn jm_1_the_language_is_standard_jmespath() {
    check(ROWS, "Body.rows[-1].spo2", "97");
    check(ROWS, "Body.rows[0:2] | [0].pulse", "61");
    refused("let $a = b in $a", Some(12), "an operator or a comma is missing here");
    refused("a + b", Some(3), "unexpected `+`");
}

#[test]
fn jm_2_a_projection_gives_a_token_for_each_element() {
    check(ROWS, "Body.rows[?pulse]", r#"each [{"pulse":61}]"#);
    check(ROWS, "Body.rows[*].spo2", "each [97]");
    check(ROWS, "Body.rows[]", r#"each [{"pulse":61},{"pulse":null},{"spo2":97}]"#);
    check(ROWS, "Body.*", r#"each [[{"pulse":61},{"pulse":null},{"spo2":97}]]"#);
    check(ROWS, "Body.rows[1:].spo2", "each [97]");
}

#[test]
fn jm_2_any_other_value_is_one_token() {
    check(ROWS, "Body.rows[0]", r#"{"pulse":61}"#);
    check(r#"{"rows":[1,2]}"#, "rows", "[1,2]");
    check(r#"{"rows":[2,1]}"#, "sort(rows)", "[1,2]");
    check(r#"{"rows":[2,1]}"#, "[rows[*]]", "[[2,1]]");
    check(ROWS, "Body.other", "nothing");
    check(ROWS, "Body.rows[1].pulse", "nothing");
    check(ROWS, "`null`", "nothing");
}

#[test]
fn jm_2_the_last_step_decides_whether_it_is_a_projection() {
    let document = r#"{"a":[1,2],"b":{"c":3},"none":[]}"#;
    check(document, "a[*] | [0]", "1");
    check(document, "a[*] | @", "[1,2]");
    check(document, "a | [*]", "each [1,2]");
    check(document, "a[*] || b", "each [1,2]");
    check(document, "none[*] || b", r#"{"c":3}"#);
    check(document, "b || a[*]", r#"{"c":3}"#);
    check(document, "missing || a[*]", "each [1,2]");
    check(document, "b && a[*]", "each [1,2]");
    check(document, "none[*] && b", "each []");
    check(document, "missing && a[*]", "nothing");
    check(document, "not_null(a[*])", "[1,2]");
    check(document, "b.*", "each [3]");
    check(document, "(a[*])", "each [1,2]");
    check(document, "a[*].x", "each []");
}

#[test]
fn jm_3_the_envelope_is_tested_when_wrapped() {
    let document = r#"{"Body":{"pulse":61}}"#;
    check(document, "to_array(@)[?Body.pulse]", &format!("each [{document}]"));
    check(document, "to_array(@)[?Body.spo2]", "each []");
    check(document, "@[?Body.pulse]", "nothing");
    check(document, "[?Body.pulse]", "nothing");
}

#[test]
fn jm_4_numbers_are_equal_by_value() {
    let document = r#"{"i":1,"f":1.0,"e":1e0,"t":0.10,"big":9007199254740993,"huge":9007199254740992}"#;
    for equal in ["i == f", "f == e", "`0.1` == t", "i == `1`", "i == `1.00`", "`100` == `1e2`", "`-0` == `0.0`"] {
        check(document, equal, "true");
    }
    for different in ["i != f", "big == huge", "i == '1'", "i == `true`", "`1` == `-1`"] {
        check(document, different, "false");
    }
    check(document, "contains([i], f)", "true");
    check(document, "[i] == [f]", "true");
    check(document, r#"{a: i, b: t} == `{"b": 0.1, "a": 1.0}`"#, "true");
}

#[test]
fn jm_4_order_is_for_two_numbers_or_two_texts() {
    for holds in ["`2` > `1.5`", "`2` >= `2.0`", "'a' < 'b'", "'a' <= 'a'", "`-2` < `-1`", "`1e-3` < `0.01`"] {
        gives(holds, "true");
    }
    gives("`9007199254740993` > `9007199254740992.0`", "true");
    gives("`2` < `1`", "false");
    for no_answer in ["'2' > `1`", "`null` < `1`", "missing >= `0`", "`true` > `false`", "`[2]` > `[1]`"] {
        gives(no_answer, "nothing");
    }
}

#[test]
fn ev_7_integers_and_floats_stay_apart() {
    check(r#"{"a":1.0,"b":1}"#, "[a, b]", "[1.0,1]");
    check(r#"{"a":123456789012345678901234567890}"#, "a", "123456789012345678901234567890");
    gives("[`1.0`, `1`, `1.50`, `1e2`]", "[1.0,1,1.50,1e+2]");
    gives("add(`1`, `2`)", "3");
    gives("add(`1`, `2.0`)", "3.0");
}

#[test]
fn jm_5_a_boolean_matches_and_is_told() {
    check(r#"{"Body":{"pulse":40}}"#, "Body.pulse > `50`", "false");
    for text in ["Body.pulse > `50`", "!Body.pulse", "contains(Body.t, 'a')", "@ | starts_with(Body.t, 'a')"] {
        assert!(query(text).is_boolean(), "{text}");
    }
    for text in ["a && b == c", "a == b || c", "ends_with(a, b)", "`true`", "!a.b"] {
        assert!(query(text).is_boolean(), "{text}");
    }
    for text in ["Body.rows[?pulse > `50`]", "Body.pulse", "length(Body.rows)", "a || b", "[a == b]"] {
        assert!(!query(text).is_boolean(), "{text}");
    }
}

#[test]
fn jm_6_a_single_value_of_a_projection_is_an_array_of_its_own() {
    check(ROWS, "Body.rows[*].spo2", "each [97]");
    check(ROWS, "Body.rows[*].spo2 | [0]", "97");
    check(ROWS, "Body.rows[*].other", "each []");
}

#[test]
fn dm_28_one_value_none_and_several_can_be_told_apart() {
    check(ROWS, "Body.rows[0].pulse", "61");
    check(ROWS, "Body.pulse", "nothing");
    check(r#"{"a":[1,2]}"#, "a[*]", "each [1,2]");
}

#[test]
fn jm_7_to_number_takes_integers_and_floats() {
    for (text, expected) in [
        ("61", "61"),
        (" 61 ", "61"),
        ("-7", "-7"),
        ("+7", "7"),
        ("007", "7"),
        ("-0", "0"),
        ("120.10", "120.10"),
        ("1e3", "1e3"),
        ("1.5E-3", "1.5E-3"),
        (".5", "0.5"),
        ("-5.", "-5.0"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
    ] {
        gives(&format!("to_number('{text}')"), expected);
    }
    for text in ["", " ", "x", "1,5", "1 2", "0x1", "NaN", "Infinity", "1e999", "--1", "+-1", "e5", "-", "1e", "."] {
        gives(&format!("to_number('{text}')"), "nothing");
    }
    gives("to_number(`2.50`)", "2.50");
    gives("to_number(`true`)", "nothing");
    gives("to_number(`null`)", "nothing");
}

#[test]
fn jm_7_to_string_renders_json() {
    for (literal, expected) in [
        ("true", "true"),
        ("1", "1"),
        ("1.0", "1.0"),
        ("120.10", "120.1"),
        ("1e2", "100.0"),
        ("1e20", "1E+20"),
        ("0.00001", "1E-05"),
        ("null", "null"),
        ("[1.0, \"a\"]", "[1.0,\\\"a\\\"]"),
        ("{\"b\": {}, \"a\": null}", "{\\\"b\\\":{},\\\"a\\\":null}"),
    ] {
        gives(&format!("to_string(`{literal}`)"), &format!("\"{expected}\""));
    }
    gives("to_string('as it is')", r#""as it is""#);
    gives("to_string(missing)", r#""null""#);
    check(r#"{"a":1}"#, "to_string([a, b])", r#""[1,null]""#);
}

#[test]
fn jm_8_projections_drop_what_is_missing_and_keep_null() {
    check(ROWS, "Body.rows[*].pulse", "each [61,null]");
    check("[1,null]", "[*]", "each [1,null]");
    check(r#"{"a":1}"#, "[a, b, c][*]", "each [1]");
    check(r#"{"a":1}"#, "[a, b]", "[1,null]");
    check(r#"{"a":1}"#, "{x: a, y: b}.*", "each [1]");
    check(r#"[{"a":1},{}]"#, "map(&a, @)", "[1,null]");
    check(r#"[{"a":1},{}]"#, "map(&a, @)[]", "each [1]");
    check(r#"["1","x"]"#, "[*].to_number(@)", "each [1]");
}

#[test]
fn jm_9_add_is_the_sum() {
    gives("add(`2`, `3`)", "5");
    gives("add(`2.5`, `3`)", "5.5");
}

#[test]
fn jm_10_subtract_is_left_minus_right() {
    gives("subtract(`2`, `3`)", "-1");
    gives("subtract(`2.5`, `0.5`)", "2.0");
}

#[test]
fn jm_11_multiply_is_the_product() {
    gives("multiply(`4`, `3`)", "12");
    gives("multiply(`1.5`, `3`)", "4.5");
}

#[test]
fn jm_12_two_integers_divide_with_truncation_toward_zero() {
    gives("divide(`7`, `2`)", "3");
    gives("divide(`-7`, `2`)", "-3");
    gives("divide(`7`, `2.0`)", "3.5");
    gives("divide(`7.0`, `2`)", "3.5");
}

#[test]
fn jm_13_pow_of_integers_is_an_integer() {
    gives("pow(`2`, `10`)", "1024");
    gives("pow(`2`, `-1`)", "0");
    gives("pow(`-2`, `-1`)", "0");
    gives("pow(`-1`, `-3`)", "-1");
    gives("pow(`1`, `-9223372036854775808`)", "1");
    gives("pow(`0`, `0`)", "1");
    gives("pow(`0`, `5`)", "0");
    gives("pow(`3`, `39`)", "4052555153018976267");
    gives("pow(`2.0`, `3`)", "8.0");
    gives("pow(`4`, `0.5`)", "2.0");
}

#[test]
fn jm_14_integers_give_64_bit_integers_and_a_float_gives_a_float() {
    gives("add(`9223372036854775806`, `1`)", "9223372036854775807");
    gives("multiply(`2`, `2.0`)", "4.0");
    gives("subtract(`1.0`, `1.0`)", "0.0");
    fails("null", "add(`9223372036854775808`, `1`)", "add");
}

#[test]
fn jm_15_what_has_no_result_is_an_error() {
    for (text, function) in [
        ("divide(`1`, `0`)", "divide"),
        ("divide(`1`, `0.0`)", "divide"),
        ("divide(`0.0`, `-0.0`)", "divide"),
        ("divide(`-9223372036854775808`, `-1`)", "divide"),
        ("add(`9223372036854775807`, `1`)", "add"),
        ("subtract(`-9223372036854775808`, `1`)", "subtract"),
        ("multiply(`9223372036854775807`, `2`)", "multiply"),
        ("multiply(`1e308`, `10`)", "multiply"),
        ("add(`1e999`, `1`)", "add"),
        ("pow(`2`, `63`)", "pow"),
        ("pow(`2`, `9223372036854775807`)", "pow"),
        ("pow(`0`, `-1`)", "pow"),
        ("pow(`0.0`, `-1`)", "pow"),
        ("pow(`-1.0`, `0.5`)", "pow"),
        ("sum(`[9223372036854775807, 1]`)", "sum"),
    ] {
        fails("null", text, function);
    }
}

#[test]
fn jm_16_insert_string_counts_unicode_scalar_values() {
    gives("insertString('ab', 'X', `0`)", r#""Xab""#);
    gives("insertString('ab', 'X', `1`)", r#""aXb""#);
    gives("insertString('ab', 'X', `2`)", r#""abX""#);
    gives("insertString('ä😀b', 'X', `2`)", r#""ä😀Xb""#);
    gives("insertString('', 'X', `0`)", r#""X""#);
    for place in ["3", "-1", "1.0", "9223372036854775807"] {
        fails("null", &format!("insertString('ab', 'X', `{place}`)"), "insertString");
    }
}

#[test]
fn jm_17_unix_times_are_integers() {
    gives("fromUnixTimestamp(`0`)", r#""1970-01-01T00:00:00Z""#);
    gives("fromUnixTimestamp(`1700000000`)", r#""2023-11-14T22:13:20Z""#);
    gives("fromUnixTimestamp(`-1`)", r#""1969-12-31T23:59:59Z""#);
    gives("fromUnixTimestampMs(`1700000000250`)", r#""2023-11-14T22:13:20.250Z""#);
    gives("fromUnixTimestampMs(`-1`)", r#""1969-12-31T23:59:59.999Z""#);
    gives("fromUnixTimestamp(`253402300799`)", r#""9999-12-31T23:59:59Z""#);
    gives("fromUnixTimestamp(`-62135596800`)", r#""0001-01-01T00:00:00Z""#);
    for argument in ["`1700000000.0`", "`253402300800`", "`-62135596801`", "'1700000000'", "`null`", "`1e9`"] {
        fails("null", &format!("fromUnixTimestamp({argument})"), "fromUnixTimestamp");
    }
    fails("null", "fromUnixTimestampMs(`9223372036854775807`)", "fromUnixTimestampMs");
    gives("fromUnixTimestamp(floor(`1700000000.9`))", r#""2023-11-14T22:13:20Z""#);
}

#[test]
fn jm_18_dates_are_texts_that_are_timestamps() {
    let dated = query("fromUnixTimestampMs(`1700000000250`)");
    let Ok(Yield::Value(date)) = dated.evaluate(Item::Node(&Node::Null), &Effort::full()) else { panic!() };
    let at = date.as_str().and_then(timestamp::parse).unwrap();
    assert_eq!(at.as_millisecond(), 1_700_000_000_250);
    assert_eq!(text::of(&expression::Value::Item(Item::Node(&date))), Text::Scalar("2023-11-14T22:13:20.250Z".into()));
}

#[test]
fn jm_19_nothing_is_converted_for_an_argument() {
    for text in ["add('1', `1`)", "add(`1`, `null`)", "add(`true`, `1`)", "add(missing, `1`)", "add(`[1]`, `1`)"] {
        fails("null", text, "add");
    }
    fails("null", "multiply(to_number(x), `2`)", "multiply");
    fails("null", "insertString(`1`, 'a', `0`)", "insertString");
    fails("null", "insertString('a', 'b', '0')", "insertString");
    check(r#"{"at":"2024-03-02T07:15:00Z"}"#, "insertString(at, 'on ', `0`)", r#""on 2024-03-02T07:15:00Z""#);
    let failure = query("add('a secret', `1`)").evaluate(Item::Node(&Node::Null), &Effort::full()).unwrap_err();
    assert_eq!(failure.to_string(), "add: a number is needed, not string");
}

#[test]
fn jm_20_names_are_case_sensitive_and_arity_is_fixed() {
    refused("Body.x | Add(`1`, `2`)", Some(10), "there is no function `Add` (did you mean `add`?)");
    refused(
        "from_unix_timestamp(x)",
        Some(1),
        "there is no function `from_unix_timestamp` (did you mean `fromUnixTimestamp`?)",
    );
    refused("tostring(x)", Some(1), "there is no function `tostring` (did you mean `to_string`?)");
    refused("größe.zzz(x)", Some(3), "unexpected `ö`");
    refused("'ö' | zzz(x)", Some(7), "there is no function `zzz`");
    refused("add(`1`)", Some(1), "`add` takes 2 arguments, not 1");
    refused("[?add (`1`, `2`, `3`)]", Some(3), "`add` takes 2 arguments, not 3");
    refused("insertString(a, b)", Some(1), "`insertString` takes 3 arguments, not 2");
    refused("not_null()", Some(1), "`not_null` takes at least 1 argument, not 0");
    refused("length()", Some(1), "`length` takes 1 argument, not 0");
}

#[test]
fn jm_21_a_failure_names_the_function_and_what_did_not_fit() {
    let document = parse(br#"{"Body":{"v":"61"}}"#).unwrap();
    let failed = query("Body | multiply(v, `2`)");
    let failure = failed.evaluate(Item::Node(&document), &Effort::full()).unwrap_err();
    assert_eq!((failure.function, failure.reason.as_str()), ("multiply", "a number is needed, not string"));
}

#[test]
fn jm_22_the_document_is_the_extended_envelope() {
    let envelope = parse(br#"{"Body":{"rows":[{"v":1},{"v":2}]},"matchedToken":"old"}"#).unwrap();
    let token = &envelope.member("Body").unwrap().member("rows").unwrap().elements()[1];
    let extended = Item::Extended { envelope: &envelope, token };
    let on = |text: &str| shown(&Query::parse(text).unwrap().evaluate(extended, &Effort::full()).unwrap());
    assert_eq!(on("matchedToken.v"), "2");
    assert_eq!(on("Body.rows[0].v"), "1");
    assert_eq!(on("@.matchedToken"), r#"{"v":2}"#);
    assert_eq!(on("keys(@)"), r#"["Body","matchedToken"]"#);
    assert_eq!(on("@"), r#"{"Body":{"rows":[{"v":1},{"v":2}]},"matchedToken":{"v":2}}"#);
    assert_eq!(on("to_array(@)[?matchedToken.v == `2`] | length(@)"), "1");
    assert_eq!(on("type(@)"), r#""object""#);
}

#[test]
fn dm_21_mistakes_are_found_at_load_with_their_place() {
    refused("Body.rows[", Some(11), "the expression ends too early");
    refused("Body..x", Some(6), "expected identifier, '*', '{', '[', '&', or '[?', found `.`");
    refused("$.Body", Some(1), "unexpected `$` (the envelope is `@` or nothing here; `$` is JSONPath)");
    refused("[?a = 'x']", Some(5), "`=` is no operator (equality is `==`)");
    refused("a == 'x", Some(6), "the text in single quotes is not closed");
    refused(
        "a == `x`",
        Some(6),
        "the literal is not JSON (a text stands in single quotes, as in 'hr', or in backticks and double quotes)",
    );
    refused("a > 5", Some(5), "unexpected `5` (a number stands in backticks, as in `5`)");
    refused(
        "Properties.x-opt",
        Some(13),
        "`-` stands only before an index (a name with a hyphen stands in double quotes, as in \"x-opt-offset\"; a number in backticks)",
    );
    refused("add(a b)", Some(7), "an operator or a comma is missing here");
    refused("", None, "the expression is empty");
    refused("a[::0]", Some(6), "the step of a slice cannot be 0");
    refused("sort_by(a, b)", Some(1), "argument 2 of `sort_by` is an expression, written with `&`");
    refused("length(&a)", Some(8), "`&` belongs before an argument of map, max_by, min_by or sort_by");
    refused("&a", Some(1), "`&` belongs before an argument of map, max_by, min_by or sort_by");
}

#[test]
fn dm_23_members_are_selected_in_document_order() {
    check(r#"{"Body":{"z":1,"a":2,"m":3}}"#, "Body.*", "each [1,2,3]");
}
