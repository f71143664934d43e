use crate::mapping::effort::Effort;
use proptest::prelude::*;

use super::super::number;
use super::{Item, Query, Yield, query};
use crate::json::{Node, parse};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// Documents without null, members in the order of their names: there both languages agree.
fn document() -> impl Strategy<Value = Node<'static>> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Node::Bool),
        (-5_i64..5).prop_map(|number| Node::Number(number.to_string().into())),
        prop::sample::select(vec!["", "a", "b", "ab"]).prop_map(|text| Node::String(text.into())),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Node::Array),
            prop::collection::btree_map(prop::sample::select(NAMES.to_vec()), inner, 0..4).prop_map(|members| {
                Node::Object(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
            }),
        ]
    })
}

/// Expressions of the subset in which the standard and ours agree: no arithmetic, no order of texts, no number literals.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => prop::sample::select(NAMES.to_vec()).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["@", "'a'", "''", "`true`", "`[\"a\"]`"]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let name = prop::sample::select(NAMES.to_vec());
        let one = prop::sample::select(vec![
            "X[0]",
            "X[-1]",
            "X[1:]",
            "X[::-1]",
            "X[*]",
            "X[]",
            "X.*",
            "(X)",
            "[!(X)] | [0]",
            "X | @",
            "type(X)",
            "keys(X)",
            "values(X)",
            "to_array(X)",
            "not_null(X)",
            "length(X)",
            "reverse(X)",
            "sort(X)",
            "max(X)",
            "min(X)",
            "to_string(X)",
            "[X]",
            "{a: X}",
            "X[*].a",
            "X[].b",
            "X | [0]",
            "join('-', X)",
        ]);
        let two = prop::sample::select(vec![
            "(X) || (Y)",
            "(X) && (Y)",
            "(X) == (Y)",
            "(X) != (Y)",
            "X | Y",
            "[X, Y]",
            "{a: X, b: Y}",
            "(X)[?Y]",
            "contains(X, Y)",
            "map(&(X), Y)",
            "sort_by(X, &(Y))",
            "max_by(X, &(Y))",
            "not_null(X, Y)",
            "starts_with(X, Y)",
            "(X)[?Y].a",
            "(X) | Y",
        ]);
        prop_oneof![
            (inner.clone(), name).prop_map(|(left, name)| format!("({left}).{name}")),
            (one, inner.clone()).prop_map(|(form, x)| form.replace('X', &x)),
            (two, inner.clone(), inner).prop_map(|(form, x, y)| {
                form.split('Y').map(|part| part.replace('X', &x)).collect::<Vec<_>>().join(&y)
            }),
        ]
    })
}

/// The document as the crate sees it, built by hand: its reader takes numbers for objects in this build.
fn variable(node: &Node<'_>) -> jmespath::Variable {
    use jmespath::{Rcvar, Variable};
    match node {
        Node::Null => Variable::Null,
        Node::Bool(truth) => Variable::Bool(*truth),
        Node::Number(digits) => Variable::Number(digits.parse().unwrap()),
        Node::String(text) => Variable::String(text.to_string()),
        Node::Array(elements) => {
            Variable::Array(elements.iter().map(|element| Rcvar::new(variable(element))).collect())
        }
        Node::Object(members) => Variable::Object(
            members.iter().map(|(name, value)| (name.to_string(), Rcvar::new(variable(value)))).collect(),
        ),
    }
}

/// What the crate finds; `None` when it fails.
fn by_the_crate(text: &str, document: &Node<'_>) -> Option<Node<'static>> {
    let ast = jmespath::parse(text).unwrap();
    let mut context = jmespath::Context::new(text, &jmespath::DEFAULT_RUNTIME);
    let found = jmespath::interpret(&jmespath::Rcvar::new(variable(document)), &ast, &mut context).ok()?;
    Some(node(&found))
}

fn node(variable: &jmespath::Variable) -> Node<'static> {
    use jmespath::Variable;
    match variable {
        Variable::Null => Node::Null,
        Variable::Bool(truth) => Node::Bool(*truth),
        Variable::Number(number) => Node::Number(number.to_string().into()),
        Variable::String(text) => Node::String(text.clone().into()),
        Variable::Array(elements) => Node::Array(elements.iter().map(|element| node(element)).collect()),
        Variable::Object(members) => {
            Node::Object(members.iter().map(|(name, value)| (name.clone().into(), node(value))).collect())
        }
        Variable::Expref(_) => panic!("an expression is no result"),
    }
}

fn tokens(query: &Query, document: &Node<'_>) -> Result<Vec<Node<'static>>, String> {
    let fixed = |node: &Node<'_>| {
        serde_json::from_str::<Box<serde_json::value::RawValue>>(&node.to_string()).map(|raw| own(raw.get()))
    };
    match query.evaluate(Item::Node(document), &Effort::full()) {
        Ok(Yield::Nothing) => Ok(Vec::new()),
        Ok(Yield::Value(value)) => Ok(vec![fixed(&value).unwrap()]),
        Ok(Yield::Projection(values)) => Ok(values.iter().map(|value| fixed(value).unwrap()).collect()),
        Err(failure) => Err(failure.to_string()),
    }
}

fn own(text: &str) -> Node<'static> {
    parse(text.to_owned().leak().as_bytes()).unwrap()
}

/// The document without any member of a name.
fn without(node: &Node<'static>, name: &str) -> Node<'static> {
    match node {
        Node::Array(elements) => Node::Array(elements.iter().map(|element| without(element, name)).collect()),
        Node::Object(members) => {
            let kept = members.iter().filter(|(member, _)| member != name);
            Node::Object(kept.map(|(member, value)| (member.clone(), without(value, name))).collect())
        }
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::String(_) => node.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn evaluation_agrees_with_the_crate(document in document(), text in expression()) {
        let ours = query(&text);
        let found = match ours.evaluate(Item::Node(&document), &Effort::full()) {
            Ok(Yield::Nothing) => Some(Node::Null),
            Ok(Yield::Value(value)) => Some(own(&value.to_string())),
            Ok(Yield::Projection(_)) => Some(Node::Array(tokens(&ours, &document).unwrap())),
            Err(_) => None,
        };
        prop_assert_eq!(found, by_the_crate(&text, &document));
    }

    #[test]
    fn a_type_match_selects_nothing_without_a_name_it_needs(document in document(), text in expression()) {
        let query = query(&text);
        for name in query.needs() {
            let poorer = without(&document, &name);
            prop_assert_eq!(tokens(&query, &poorer), Ok(Vec::new()), "{} without {}", text, name);
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,40}") {
        drop(Query::parse(&text));
    }

    #[test]
    fn no_text_of_the_grammars_own_characters_does_either(
        document in document(),
        text in r#"([@.\[\]()?*'",:=<>!&|`ab01{} -]|a|b|c|add|sum|length|sort_by|`1`|\[\*\]|\[\?|&&){0,20}"#,
    ) {
        if let Ok(query) = Query::parse(&text) {
            drop(query.evaluate(Item::Node(&document), &Effort::full()));
            drop(query.needs());
        }
    }

    #[test]
    fn the_order_of_numbers_is_that_of_doubles(left in -1e6_f64..1e6, right in -1e6_f64..1e6, integer in -10_i64..10) {
        let (l, r) = (format!("{left:?}"), format!("{right:?}"));
        prop_assert_eq!(number::order(&l, &r), left.total_cmp(&right));
        prop_assert_eq!(number::order(&format!("{left:e}"), &l), std::cmp::Ordering::Equal);
        prop_assert_eq!(number::order(&integer.to_string(), &format!("{integer}.0e0")), std::cmp::Ordering::Equal);
    }
}

#[test]
fn needs_are_the_names_a_match_cannot_do_without() {
    for (text, expected) in [
        ("Body.rows[?pulse]", vec!["Body", "pulse", "rows"]),
        ("to_array(@)[?Body.pulse]", vec!["Body", "pulse"]),
        ("to_array(@)[?Body.pulse && Body.at]", vec!["Body", "at", "pulse"]),
        ("to_array(@)[?Body.pulse || Body.hr]", vec!["Body"]),
        ("to_array(@)[?Body.kind == 'hr'].Body", vec!["Body", "kind"]),
        ("to_array(@)[?Body.kind == `null`]", vec![]),
        ("to_array(@)[?Body.kind != 'hr']", vec![]),
        ("to_array(@)[?!Body.kind]", vec![]),
        ("to_array(@)[?Body.pulse > `50`]", vec!["Body", "pulse"]),
        ("to_array(@)[?starts_with(Body.kind, 'hr')]", vec![]),
        ("to_array(@)[?starts_with(Body.kind, 'hr') && Body.pulse]", vec![]),
        ("to_array(@)[?Body.pulse && starts_with(Body.kind, 'hr')]", vec!["Body", "pulse"]),
        ("Body.rows[?pulse] | [0]", vec!["Body", "pulse", "rows"]),
        ("Body.rows[*].values[].x", vec!["Body", "rows", "values", "x"]),
        ("Body.{a: b}.a", vec!["Body"]),
        ("{a: b}.a", vec![]),
        ("`{\"a\": 1}`.a", vec![]),
        ("Body.pulse > `50`", vec!["Body", "pulse"]),
        ("Body.pulse == `50`", vec![]),
        ("Body.a || Body.b", vec!["Body"]),
        ("Body.a && Body.b", vec!["Body", "a"]),
        ("sort_by(Body.rows, &t)[?pulse]", vec![]),
        ("Body.* | [?pulse]", vec!["Body", "pulse"]),
        ("merge(Body, `{\"a\": 1}`) | a", vec![]),
    ] {
        assert_eq!(query(text).needs(), expected, "{text}");
    }
}
