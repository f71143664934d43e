use super::super::compile::CALLS_DEEP_MAX;
use super::super::scan::OPERATORS_MAX;
use super::{Item, Query, fails, query};
use crate::json::{Node, parse};
use crate::mapping::effort::Effort;

/// The smallest stack the program's threads may have half used up.
const STACK_BYTES: usize = 1 << 20;

/// Parses and evaluates with little stack; whether it was an expression.
fn survives(text: String, document: String) -> bool {
    let run = move || {
        let document = parse(document.as_bytes()).unwrap();
        let query = Query::parse(&text);
        if let Ok(query) = &query {
            drop(query.evaluate(Item::Node(&document), &Effort::full()));
            drop(query.needs());
        }
        query.is_ok()
    };
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(run).unwrap().join().unwrap()
}

#[test]
fn the_deepest_expressions_need_little_stack() {
    let deep = format!("{}1{}", r#"{"a":["#.repeat(60), "]}".repeat(60));
    for (open, middle, close) in [
        ("(", "a", ")"),
        ("[", "a", "]"),
        ("[*]", "", ""),
        ("*.", "a", ""),
        ("!", "a", ""),
        ("a.", "a", ""),
        ("a||", "a", ""),
        ("[?", "a", "]"),
        ("{a:", "a", "}"),
        ("[@]|", "to_string(@)", ""),
        ("[?a]", "", ""),
        ("a==", "a", ""),
        ("[]", "", ""),
    ] {
        let unit = open.chars().filter(|sign| sign.is_ascii_punctuation() && !",:])}_".contains(*sign)).count();
        let times = (OPERATORS_MAX - 3) / unit;
        let text = |times: usize| format!("{}{middle}{}", open.repeat(times), close.repeat(times));
        assert!(survives(text(times), deep.clone()), "{open}");
        assert!(!survives(text(OPERATORS_MAX + 1), deep.clone()), "{open}");
        assert!(!survives(text(20_000), deep.clone()), "{open}");
    }
}

#[test]
fn the_deepest_calls_need_little_stack() {
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    for (open, middle, close) in [("to_array(", "@", ")"), ("map(&", "@", ",@)"), ("sort_by(", "@", ", &to_string(@))")]
    {
        let text = |times: usize| format!("{}{middle}{}", open.repeat(times), close.repeat(times));
        assert!(survives(text(CALLS_DEEP_MAX - 1), deep.clone()), "{open}");
        assert!(!survives(text(CALLS_DEEP_MAX + 1), deep.clone()), "{open}");
    }
}

#[test]
fn an_expression_that_doubles_its_input_is_stopped() {
    let document = r#"{"a":[1,2,3],"t":"text"}"#;
    fails(document, &format!("{}length(to_string(@))", "[@,@]|".repeat(30)), "expression");
    fails(document, &format!("t{}", "|join(@,[@,@,@])".repeat(30)), "expression");
    fails(document, &format!("t{}", "|insertString(@,@,`0`)".repeat(30)), "expression");
    fails(document, &format!("a{}", "|[@,@][]".repeat(30)), "expression");
    fails(document, &format!("{}@ == @", "[@,@]|".repeat(30)), "expression");
    fails(document, &format!("{}@", "[@,@]|".repeat(30)), "expression");
}

#[test]
fn deep_and_wide_documents_are_evaluated() {
    let wide = format!(r#"{{"rows":[{}]}}"#, vec![r#"{"v":1}"#; 50_000].join(","));
    let wide = parse(wide.as_bytes()).unwrap();
    let sum = query("sum(rows[?v == `1`].v)");
    assert_eq!(super::shown(&sum.evaluate(Item::Node(&wide), &Effort::full()).unwrap()), "50000");
    let members: Vec<String> = (0..20_000).map(|number| format!(r#""m{number}":{number}"#)).collect();
    let wide = format!("{{{}}}", members.join(","));
    let wide: Node<'_> = parse(wide.as_bytes()).unwrap();
    for text in ["length(merge(@, @))", "@ == @ && length(@)", "length(keys(@))", "length(sort(values(@)))"] {
        assert_eq!(super::shown(&query(text).evaluate(Item::Node(&wide), &Effort::full()).unwrap()), "20000", "{text}");
    }
}
