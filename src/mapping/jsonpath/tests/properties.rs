//! The evaluator against a second, naive one that is written from the specification: it lists every value of the
//! document first and selects by looking through the list. And against the standard, where section 3.6 says how.

use crate::mapping::effort::Effort;
use std::cmp::Ordering;
use std::ops::ControlFlow;

use proptest::prelude::*;

use super::super::super::rfc9535;
use super::{Item, Path};
use crate::json::Node;

/// A step as the grammar has it. The text of a path is made from its steps; the oracle never parses.
#[derive(Clone, Debug)]
enum Step {
    Names(Vec<&'static str>),
    AllMembers,
    AllElements,
    Indexes(Vec<i64>),
    Slice(Option<i64>, Option<i64>, Option<i64>),
    Filter(Filter),
    ScanNames(Vec<&'static str>),
    ScanAll,
    ScanFilter(Filter),
    /// `..` before what cannot scan (JP-16).
    IdleScan(Box<Step>),
}

/// Terms with what joins each to the next: `&&` where true.
#[derive(Clone, Debug)]
struct Filter {
    terms: Vec<Term>,
    ands: Vec<bool>,
}

#[derive(Clone, Debug)]
enum Term {
    Exists(Side),
    Compare(Side, &'static str, Side),
    /// `=~ /text/`
    Matches(Side, &'static str),
}

#[derive(Clone, Debug)]
enum Side {
    Candidate(Vec<Step>),
    Root(Vec<Step>),
    Literal(Node<'static>),
}

const NAMES: [&str; 4] = ["a", "b", "c", "x y"];
const TEXTS: [&str; 8] = ["", "a", "b", "7", "7.5", "true", "abc", "a b"];
const OPERATORS: [&str; 9] = ["==", "!=", "<>", "===", "!==", "<", "<=", ">", ">="];

fn scalar() -> impl Strategy<Value = Node<'static>> {
    prop_oneof![
        Just(Node::Null),
        any::<bool>().prop_map(Node::Bool),
        prop::sample::select(vec!["0", "1", "-1", "7", "7.0", "7.5", "-0.5", "1e1"])
            .prop_map(|text| Node::Number(text.into())),
        prop::sample::select(TEXTS.to_vec()).prop_map(|text| Node::String(text.into())),
    ]
}

fn document() -> impl Strategy<Value = Node<'static>> {
    scalar().prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Node::Array),
            prop::collection::btree_map(prop::sample::select(NAMES.to_vec()), inner, 0..4)
                .prop_map(|members| members.into_iter().rev().map(|(name, value)| (name.into(), value)).collect())
                .prop_map(Node::Object),
        ]
    })
}

fn names() -> impl Strategy<Value = Vec<&'static str>> {
    prop_oneof![
        3 => prop::collection::vec(prop::sample::select(NAMES.to_vec()), 1),
        1 => prop::collection::vec(prop::sample::select(NAMES.to_vec()), 2..4),
    ]
}

fn position() -> impl Strategy<Value = Option<i64>> {
    prop::option::of(-5_i64..5)
}

/// Steps that neither scan nor filter.
fn plain_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => names().prop_map(Step::Names),
        1 => Just(Step::AllMembers),
        1 => Just(Step::AllElements),
        2 => prop::collection::vec(-3_i64..4, 1..3).prop_map(Step::Indexes),
        1 => (position(), position(), prop::option::of(prop_oneof![-3_i64..0, 1_i64..4]))
            .prop_map(|(start, end, step)| Step::Slice(start, end, step)),
    ]
}

fn step(filter: impl Strategy<Value = Filter> + Clone) -> impl Strategy<Value = Step> {
    let idle = plain_step().prop_filter("names would scan", |step| !matches!(step, Step::Names(_) | Step::AllMembers));
    prop_oneof![
        6 => plain_step(),
        2 => filter.clone().prop_map(Step::Filter),
        1 => names().prop_map(Step::ScanNames),
        1 => Just(Step::ScanAll),
        2 => filter.prop_map(Step::ScanFilter),
        1 => idle.prop_map(|step| Step::IdleScan(Box::new(step))),
    ]
}

fn filter(steps: impl Strategy<Value = Vec<Step>> + Clone) -> impl Strategy<Value = Filter> {
    let side = prop_oneof![
        4 => steps.clone().prop_map(Side::Candidate),
        1 => steps.prop_map(Side::Root),
        2 => scalar().prop_map(Side::Literal),
    ];
    let term = prop_oneof![
        2 => side.clone().prop_map(Term::Exists),
        4 => (side.clone(), prop::sample::select(OPERATORS.to_vec()), side.clone())
            .prop_map(|(left, operator, right)| Term::Compare(left, operator, right)),
        1 => (side, prop::sample::select(vec!["a", "7", "b"])).prop_map(|(left, text)| Term::Matches(left, text)),
    ];
    prop::collection::vec((term, any::<bool>()), 1..5).prop_map(|terms| {
        let (terms, mut ands): (Vec<Term>, Vec<bool>) = terms.into_iter().unzip();
        ands.pop();
        Filter { terms, ands }
    })
}

/// Paths with filters in filters.
fn path() -> impl Strategy<Value = Vec<Step>> {
    let innermost = prop::collection::vec(plain_step(), 0..3).boxed();
    let inner = prop::collection::vec(step(filter(innermost).boxed()), 0..3);
    prop::collection::vec(step(filter(inner.boxed()).boxed()), 0..4)
}

// The text of a path.

fn text_of(steps: &[Step]) -> String {
    steps.iter().map(step_text).collect()
}

fn step_text(step: &Step) -> String {
    match step {
        Step::Names(names) => match names.as_slice() {
            [name] if !name.contains(' ') => format!(".{name}"),
            names => quoted_names(names),
        },
        Step::AllMembers => ".*".to_owned(),
        Step::AllElements => "[*]".to_owned(),
        Step::Indexes(indexes) => format!("[{}]", indexes.iter().map(i64::to_string).collect::<Vec<_>>().join(",")),
        Step::Slice(start, end, step) => {
            let part = |position: &Option<i64>| position.map(|position| position.to_string()).unwrap_or_default();
            let step = step.map(|step| format!(":{step}")).unwrap_or_default();
            format!("[{}:{}{step}]", part(start), part(end))
        }
        Step::Filter(filter) => format!("[?({})]", filter_text(filter)),
        Step::ScanNames(names) => format!("..{}", quoted_names(names)),
        Step::ScanAll => "..*".to_owned(),
        Step::ScanFilter(filter) => format!("..[?({})]", filter_text(filter)),
        Step::IdleScan(step) => format!("..{}", step_text(step)),
    }
}

fn quoted_names(names: &[&str]) -> String {
    format!("[{}]", names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(","))
}

fn filter_text(filter: &Filter) -> String {
    let joins = filter.ands.iter().map(|and| if *and { "&& " } else { "|| " }).chain([""]);
    filter.terms.iter().zip(joins).map(|(term, join)| format!("{} {join}", term_text(term))).collect()
}

fn term_text(term: &Term) -> String {
    match term {
        Term::Exists(side) => side_text(side),
        Term::Compare(left, operator, right) => format!("{} {operator} {}", side_text(left), side_text(right)),
        Term::Matches(left, text) => format!("{} =~ /{text}/", side_text(left)),
    }
}

fn side_text(side: &Side) -> String {
    match side {
        Side::Candidate(steps) => format!("@{}", text_of(steps)),
        Side::Root(steps) => format!("${}", text_of(steps)),
        Side::Literal(Node::String(text)) => format!("'{text}'"),
        Side::Literal(literal) => literal.to_string(),
    }
}

// The naive evaluation.

/// Every value of a document in document order, with its place: the numbers of the children on the way to it.
struct Listed<'d> {
    values: Vec<Value<'d>>,
}

struct Value<'d> {
    place: Vec<usize>,
    /// Its name, when it is a member.
    name: Option<&'d str>,
    node: &'d Node<'static>,
}

impl<'d> Listed<'d> {
    fn of(document: &'d Node<'static>) -> Self {
        let mut listed = Self { values: vec![Value { place: Vec::new(), name: None, node: document }] };
        let mut next = 0;
        while let Some(Value { place, node, .. }) = listed.values.get(next) {
            let (place, node) = (place.clone(), *node);
            let members = node.members().iter().map(|(name, value)| (Some(name.as_ref()), value));
            let children = members.chain(node.elements().iter().map(|value| (None, value)));
            for (number, (name, node)) in children.enumerate() {
                listed.values.push(Value { place: [place.as_slice(), &[number]].concat(), name, node });
            }
            next += 1;
        }
        listed.values.sort_by(|one, other| one.place.cmp(&other.place));
        listed
    }

    fn below(&self, at: usize) -> Vec<usize> {
        let place = &self.values[at].place;
        (0..self.values.len()).filter(|&other| other != at && self.values[other].place.starts_with(place)).collect()
    }

    fn children(&self, at: usize) -> Vec<usize> {
        let depth = self.values[at].place.len() + 1;
        self.below(at).into_iter().filter(|&below| self.values[below].place.len() == depth).collect()
    }

    fn elements(&self, at: usize) -> Vec<usize> {
        if matches!(self.values[at].node, Node::Array(_)) { self.children(at) } else { Vec::new() }
    }

    fn select(&self, steps: &[Step], from: usize) -> Vec<usize> {
        steps.iter().fold(vec![from], |selected, step| selected.iter().flat_map(|at| self.step(step, *at)).collect())
    }

    fn step(&self, step: &Step, at: usize) -> Vec<usize> {
        let itself_and_below = || [vec![at], self.below(at)].concat();
        match step {
            Step::Names(names) => {
                let named =
                    |name| self.children(at).into_iter().filter(move |&child| self.values[child].name == Some(name));
                names.iter().flat_map(|name| named(*name)).collect()
            }
            Step::AllMembers => {
                self.children(at).into_iter().filter(|&child| self.values[child].name.is_some()).collect()
            }
            Step::AllElements => self.elements(at),
            Step::Indexes(indexes) => {
                let elements = self.elements(at);
                indexes.iter().filter_map(|index| elements.get(from_start(*index, elements.len())?)).copied().collect()
            }
            Step::Slice(start, end, step) => slice(&self.elements(at), *start, *end, step.unwrap_or(1)),
            Step::Filter(filter) => self.elements(at).into_iter().filter(|&one| self.holds(filter, one)).collect(),
            Step::ScanNames(names) => {
                let is_named = |&below: &usize| self.values[below].name.is_some_and(|name| names.contains(&name));
                self.below(at).into_iter().filter(is_named).collect()
            }
            Step::ScanAll => itself_and_below(),
            Step::ScanFilter(filter) => itself_and_below().into_iter().filter(|&one| self.holds(filter, one)).collect(),
            Step::IdleScan(step) => self.step(step, at),
        }
    }

    /// From the right, each term with all that follows it (JP-25).
    fn holds(&self, filter: &Filter, at: usize) -> bool {
        let truths: Vec<bool> = filter.terms.iter().map(|term| self.is_true(term, at)).collect();
        let (last, others) = truths.split_last().unwrap();
        others
            .iter()
            .zip(&filter.ands)
            .rev()
            .fold(*last, |rest, (truth, and)| if *and { *truth && rest } else { *truth || rest })
    }

    fn is_true(&self, term: &Term, at: usize) -> bool {
        match term {
            Term::Exists(side) => !self.side(side, at).is_empty(),
            Term::Compare(left, operator, right) => {
                let rights = self.side(right, at);
                self.side(left, at).iter().any(|left| rights.iter().any(|right| compares(left, operator, right)))
            }
            Term::Matches(left, text) => {
                self.side(left, at).iter().any(|left| left.as_str().is_some_and(|left| left.contains(text)))
            }
        }
    }

    fn side<'s>(&'s self, side: &'s Side, at: usize) -> Vec<&'s Node<'static>> {
        match side {
            Side::Candidate(steps) => self.select(steps, at).into_iter().map(|at| self.values[at].node).collect(),
            Side::Root(steps) => self.select(steps, 0).into_iter().map(|at| self.values[at].node).collect(),
            Side::Literal(literal) => vec![literal],
        }
    }
}

fn from_start(index: i64, length: usize) -> Option<usize> {
    let length = i64::try_from(length).unwrap();
    usize::try_from(if index < 0 { index + length } else { index }).ok()
}

/// As Python's documentation describes it: `start, start + step, ...` up to `end`, after both are brought into range.
fn slice(elements: &[usize], start: Option<i64>, end: Option<i64>, step: i64) -> Vec<usize> {
    let length = i64::try_from(elements.len()).unwrap();
    let (lowest, highest) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let place = |position: i64| (if position < 0 { position + length } else { position }).max(lowest).min(highest);
    let (mut at, end) = if step > 0 {
        (start.map_or(0, place), end.map_or(length, place))
    } else {
        (start.map_or(length - 1, place), end.map_or(-1, place))
    };
    let mut taken = Vec::new();
    while (step > 0 && at < end) || (step < 0 && at > end) {
        taken.push(elements[usize::try_from(at).unwrap()]);
        at += step;
    }
    taken
}

fn compares(left: &Node<'_>, operator: &str, right: &Node<'_>) -> bool {
    let is_unequal = matches!(operator, "!=" | "<>" | "!==");
    if [left, right].iter().any(|node| matches!(node, Node::Array(_) | Node::Object(_))) {
        return is_unequal;
    }
    let order = order(left, right);
    match operator {
        "<" => order == Some(Ordering::Less),
        "<=" => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        ">" => order == Some(Ordering::Greater),
        ">=" => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        _ => is_unequal != is_equal(left, right),
    }
}

fn is_equal(left: &Node<'_>, right: &Node<'_>) -> bool {
    match (number(left), number(right)) {
        (Some(left), Some(right)) => left.total_cmp(&right).is_eq(),
        (None, None) => left == right,
        _ => false,
    }
}

fn number(node: &Node<'_>) -> Option<f64> {
    node.as_number().map(|digits| digits.parse().unwrap())
}

/// JP-30: null below all else; the type of the left value decides, a string there takes the type of the right.
fn order(left: &Node<'_>, right: &Node<'_>) -> Option<Ordering> {
    let as_number = |node: &Node<'_>| match node {
        Node::Number(digits) | Node::String(digits) => digits.trim().parse::<f64>().ok(),
        Node::Bool(truth) => Some(f64::from(u8::from(*truth))),
        Node::Null | Node::Array(_) | Node::Object(_) => None,
    };
    let as_truth = |node: &Node<'_>| match node {
        Node::Bool(truth) => Some(*truth),
        Node::Number(digits) => Some(digits.parse::<f64>().unwrap() != 0.0),
        Node::String(text) => text.trim().to_lowercase().parse().ok(),
        Node::Null | Node::Array(_) | Node::Object(_) => None,
    };
    match (left, right) {
        (Node::Null, Node::Null) => Some(Ordering::Equal),
        (Node::Null, _) => Some(Ordering::Less),
        (_, Node::Null) => Some(Ordering::Greater),
        (Node::String(left), Node::String(right)) => Some(left.cmp(right)),
        (Node::Number(_), _) | (Node::String(_), Node::Number(_)) => as_number(left)?.partial_cmp(&as_number(right)?),
        _ => Some(as_truth(left)?.cmp(&as_truth(right)?)),
    }
}

/// What the evaluator selects, as numbers of the list.
fn selected(text: &str, document: &Node<'static>, listed: &Listed<'_>) -> Vec<usize> {
    let path = Path::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let mut selected = Vec::new();
    let walked = path.select(Item::Node(document), &Effort::full(), &mut |item| {
        selected.push(number_of(item.node().unwrap(), listed));
        ControlFlow::Continue(())
    });
    assert!(walked.unwrap().is_continue());
    selected
}

fn number_of(node: &Node<'_>, listed: &Listed<'_>) -> usize {
    listed
        .values
        .iter()
        .position(|value| {
            std::ptr::eq(std::ptr::from_ref(value.node).cast::<()>(), std::ptr::from_ref(node).cast::<()>())
        })
        .unwrap()
}

// The standard, by section 3.6.

/// Steps that section 3.6 translates: filters of tests and of equality with a scalar.
fn translatable() -> impl Strategy<Value = Step> {
    let way = prop::collection::vec(prop::sample::select(NAMES.to_vec()), 1..3);
    let way = way.prop_map(|names| names.into_iter().map(|name| Step::Names(vec![name])).collect::<Vec<_>>());
    let literal = scalar().prop_map(Side::Literal);
    let operator = prop::sample::select(vec!["==", "===", "!=", "<>", "!=="]);
    let term = prop_oneof![
        way.clone().prop_map(|way| Term::Exists(Side::Candidate(way))),
        (way, operator, literal).prop_map(|(way, operator, literal)| Term::Compare(
            Side::Candidate(way),
            operator,
            literal
        )),
    ];
    let filter = prop::collection::vec((term, any::<bool>()), 1..5).prop_map(|terms| {
        let (terms, mut ands): (Vec<Term>, Vec<bool>) = terms.into_iter().unzip();
        ands.pop();
        Filter { terms, ands }
    });
    step(filter.boxed())
}

fn translated(step: &Step) -> String {
    match step {
        Step::Names(names) => format!("${}", quoted_names(names)),
        Step::AllMembers | Step::AllElements => "$[*]".to_owned(),
        Step::Indexes(_) | Step::Slice(..) => format!("${}", step_text(step)),
        Step::Filter(filter) => format!("$[?{}]", nested(&filter.terms, &filter.ands)),
        Step::ScanNames(names) => format!("$..{}", quoted_names(names)),
        Step::ScanAll => "$..*".to_owned(),
        Step::ScanFilter(filter) => format!("$..[?{}]", nested(&filter.terms, &filter.ands)),
        Step::IdleScan(step) => translated(step),
    }
}

fn nested(terms: &[Term], ands: &[bool]) -> String {
    let (first, rest) = terms.split_first().unwrap();
    match ands.split_first() {
        None => translated_term(first),
        Some((and, ands)) => {
            format!("{} {} ({})", translated_term(first), if *and { "&&" } else { "||" }, nested(rest, ands))
        }
    }
}

fn translated_term(term: &Term) -> String {
    let way = |side: &Side| match side {
        Side::Candidate(steps) => {
            let names = steps.iter().map(|step| translated(step).trim_start_matches('$').to_owned());
            format!("@{}", names.collect::<String>())
        }
        Side::Root(_) | Side::Literal(_) => panic!("not translated"),
    };
    match term {
        Term::Exists(side) => way(side),
        Term::Compare(left, "==" | "===", right) => format!("{} == {}", way(left), side_text(right)),
        Term::Compare(left, _, right) => format!("({0} && {0} != {1})", way(left), side_text(right)),
        Term::Matches(..) => panic!("not translated"),
    }
}

/// One step by the standard, with what section 3.6 asks for besides.
fn standard(step: &Step, at: usize, listed: &Listed<'_>) -> Vec<usize> {
    let node = listed.values[at].node;
    let find = |text: &str, node: &Node<'static>| {
        let query = rfc9535::Query::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let found = query.select(Item::Node(node), &Effort::full()).unwrap();
        found.iter().map(|node| number_of(node, listed)).collect::<Vec<usize>>()
    };
    let step = if let Step::IdleScan(step) = step { step } else { step };
    let mut found = find(&translated(step), node);
    let is_kept = match step {
        Step::AllMembers => matches!(node, Node::Object(_)),
        Step::AllElements | Step::Filter(_) => matches!(node, Node::Array(_)),
        Step::Names(_)
        | Step::Indexes(_)
        | Step::Slice(..)
        | Step::ScanNames(_)
        | Step::ScanAll
        | Step::ScanFilter(_)
        | Step::IdleScan(_) => true,
    };
    if !is_kept {
        return Vec::new();
    }
    let scans = matches!(step, Step::ScanNames(_) | Step::ScanAll | Step::ScanFilter(_));
    if scans {
        found.sort_unstable();
        // A name listed twice is found once here.
        found.dedup();
    }
    if matches!(step, Step::ScanAll) || matches!(step, Step::ScanFilter(filter) if listed.holds(filter, at)) {
        found.insert(0, at);
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn jp_25_jp_26_jp_30_the_evaluator_agrees_with_the_naive_one(document in document(), steps in path()) {
        let listed = Listed::of(&document);
        let text = format!("${}", text_of(&steps));
        prop_assert_eq!(selected(&text, &document, &listed), listed.select(&steps, 0), "{} on {}", text, document);
    }

    #[test]
    fn section_3_6_the_evaluator_agrees_with_the_standard_where_they_are_alike(
        document in document(),
        steps in prop::collection::vec(translatable(), 0..4),
    ) {
        let listed = Listed::of(&document);
        let text = format!("${}", text_of(&steps));
        let by_the_standard = steps.iter().fold(vec![0], |found, step| {
            found.iter().flat_map(|at| standard(step, *at, &listed)).collect()
        });
        prop_assert_eq!(selected(&text, &document, &listed), by_the_standard, "{} on {}", text, document);
    }
}
