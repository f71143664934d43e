use super::{check, gives};

const DOCUMENT: &str = r#"{"a":{"b":{"c":1},"odd name":2},"list":[0,1,2,3,4],"rows":[{"k":"x","v":[1,[2]]},{"k":"y","v":[3]},{"w":0}],
    "deep":[[1,2],[3,[4]],5],"no":false,"yes":true,"empty":"","zero":0,"nil":null,"none":[],"void":{}}"#;

#[test]
fn jm_1_members_and_indexes() {
    for (text, expected) in [
        ("a.b.c", "1"),
        ("a.\"odd name\"", "2"),
        ("\"a\".b", r#"{"c":1}"#),
        ("a.x.y", "nothing"),
        ("@.zero", "0"),
        ("list[0]", "0"),
        ("list[-1]", "4"),
        ("list[5]", "nothing"),
        ("list[-6]", "nothing"),
        ("a[0]", "nothing"),
        ("deep[1][1][0]", "4"),
    ] {
        check(DOCUMENT, text, expected);
    }
}

#[test]
fn jm_1_slices() {
    for (text, expected) in [
        ("list[1:3]", "each [1,2]"),
        ("list[:2]", "each [0,1]"),
        ("list[3:]", "each [3,4]"),
        ("list[::2]", "each [0,2,4]"),
        ("list[::-1]", "each [4,3,2,1,0]"),
        ("list[-2:]", "each [3,4]"),
        ("list[10:]", "each []"),
        ("list[3:1:-1]", "each [3,2]"),
        ("list[-100:100]", "each [0,1,2,3,4]"),
        ("list[::2147483647]", "each [0]"),
        ("rows[:2].k", r#"each ["x","y"]"#),
        ("a[:1]", "nothing"),
    ] {
        check(DOCUMENT, text, expected);
    }
}

#[test]
fn jm_1_projections() {
    for (text, expected) in [
        ("rows[*].k", r#"each ["x","y"]"#),
        ("rows[*].v[0]", "each [1,3]"),
        ("rows[*].v[*]", "each [[1,[2]],[3]]"),
        ("rows[].v[]", "each [1,[2],3]"),
        ("rows[*].v | []", "each [1,[2],3]"),
        ("rows[].v[][]", "each [1,2,3]"),
        ("deep[]", "each [1,2,3,[4],5]"),
        ("a.*", r#"each [{"c":1},2]"#),
        ("a.*.c", "each [1]"),
        ("list.*", "nothing"),
        ("a[*]", "nothing"),
        ("a[]", "nothing"),
        ("rows[*].[k, w]", r#"each [["x",null],["y",null],[null,0]]"#),
        ("rows[*].{key: k}", r#"each [{"key":"x"},{"key":"y"},{"key":null}]"#),
        ("*.b", r#"each [{"c":1}]"#),
    ] {
        check(DOCUMENT, text, expected);
    }
}

#[test]
fn jm_1_filters() {
    for (text, expected) in [
        ("rows[?k == 'x'].v", "each [[1,[2]]]"),
        ("rows[?k != 'x'].k", r#"each ["y"]"#),
        ("rows[?w]", r#"each [{"w":0}]"#),
        ("rows[?!k]", r#"each [{"w":0}]"#),
        ("rows[?k && v[1]].k", r#"each ["x"]"#),
        ("rows[?k == 'y' || w == `0`] | length(@)", "2"),
        ("rows[?!a.b] | length(@)", "3"),
        ("rows[?!v[?@ == `3`]].k", r#"each ["x"]"#),
        ("list[?@ > `2`]", "each [3,4]"),
        ("a[?b]", "nothing"),
        ("rows[?contains(keys(@), 'w')]", r#"each [{"w":0}]"#),
    ] {
        check(DOCUMENT, text, expected);
    }
}

#[test]
fn jm_1_logic_and_truth() {
    for (text, expected) in [
        ("no || yes", "true"),
        ("empty || 'x'", r#""x""#),
        ("none || void || zero", "0"),
        ("zero && 'x'", r#""x""#),
        ("no && 'x'", "false"),
        ("nil || no", "false"),
        ("!zero", "false"),
        ("!empty", "true"),
        ("!none", "true"),
        ("!void", "true"),
        ("!nil", "true"),
        ("!missing", "true"),
        ("!!yes", "true"),
        ("!a.b", "false"),
        ("!a.x", "true"),
        ("!a.x.y", "true"),
        ("!rows[*].k", "false"),
        ("!rows[?q]", "true"),
        ("!a.*", "false"),
        ("!none[]", "true"),
        ("!a | type(@)", r#""boolean""#),
        ("nil == missing", "true"),
        ("(no || yes) && zero", "0"),
        ("no || yes && zero", "0"),
        ("a.b == `{\"c\": 1}`", "true"),
    ] {
        check(DOCUMENT, text, expected);
    }
}

#[test]
fn jm_1_multi_select_pipes_and_literals() {
    for (text, expected) in [
        ("[zero, yes]", "[0,true]"),
        ("{z: zero, a: yes, z: no}", r#"{"z":false,"a":true}"#),
        ("missing.[a, b]", "nothing"),
        ("missing.{a: b}", "nothing"),
        ("nil.[a]", "nothing"),
        ("a | b | c", "1"),
        ("`\"text\"`", r#""text""#),
        ("`[1, 2.50, {\"z\": 1, \"a\": \"\\`\"}]`", r#"[1,2.50,{"z":1,"a":"`"}]"#),
        ("'it\\'s'", r#""it's""#),
        ("\"\\u0061\".b", r#"{"c":1}"#),
        ("a\n.\tb\r\n. c", "1"),
    ] {
        check(DOCUMENT, text, expected);
    }
    gives("'größe 😀'", r#""größe 😀""#);
}
