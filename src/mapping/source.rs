//! A mapping file as a tree that knows where everything stands.
//!
//! Mapping files are annotated by people, so comments and trailing commas are tolerated here (rule DM-2) and nowhere
//! else; payloads are read by `crate::json`. Member names are found without regard to case (DM-5). Everything is copied
//! out of the parser's tree: mappings are small and are loaded once.

use std::cell::Cell;

use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

/// A mapping file to load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'s> {
    /// The name problems carry; a path or a version's label.
    pub(crate) name: &'s str,
    /// Its text.
    pub(crate) text: &'s str,
}

/// Gives the text of a file that a mapping file names, by the name it has there, or says why there is none.
pub(crate) type Include<'i> = &'i dyn Fn(&str) -> Result<String, String>;

/// A place in a file, both counted from 1; the column counts characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// Line.
    pub(crate) line: usize,
    /// Character in the line.
    pub(crate) column: usize,
}

/// Where every file starts.
const START: Position = Position { line: 1, column: 1 };

impl Position {
    /// How messages about it begin (DM-47).
    pub(crate) fn prefix(self) -> String {
        format!("Line Number: {}, Position: {}. ", self.line, self.column)
    }
}

/// A JSON value and where it starts.
#[derive(Clone, Debug)]
pub(super) struct Located {
    pub(super) at: Position,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Number(String),
    String(String),
    Array(Vec<Located>),
    Object(Vec<Member>),
}

/// A member of an object; `at` is where its name starts.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) at: Position,
    pub(super) value: Located,
}

impl Located {
    /// The members of an object, `None` for another kind.
    pub(super) fn members(&self) -> Option<&[Member]> {
        match &self.kind {
            Kind::Object(members) => Some(members),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) | Kind::Array(_) => None,
        }
    }

    /// The elements of an array, `None` for another kind.
    pub(super) fn elements(&self) -> Option<&[Located]> {
        match &self.kind {
            Kind::Array(elements) => Some(elements),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) | Kind::Object(_) => None,
        }
    }

    /// A scalar as text, `None` for null, objects and arrays.
    pub(super) fn scalar(&self) -> Option<String> {
        match &self.kind {
            Kind::Bool(value) => Some(if *value { "True" } else { "False" }.to_owned()),
            Kind::Number(text) | Kind::String(text) => Some(text.clone()),
            Kind::Null | Kind::Array(_) | Kind::Object(_) => None,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }
}

/// The member called `name` without regard to case; of several the last, as in payloads.
pub(super) fn member<'m>(members: &'m [Member], name: &str) -> Option<&'m Member> {
    members.iter().rev().find(|member| member.name.eq_ignore_ascii_case(name))
}

/// Reads a mapping file.
///
/// # Errors
/// When the text is not one JSON value; with the place and the reason.
pub(super) fn read(text: &str) -> Result<Located, (Position, String)> {
    let lines = Lines::of(text);
    let parsed = parse_to_ast(
        text,
        &CollectOptions::default(),
        &ParseOptions {
            allow_comments: true,
            allow_trailing_commas: true,
            allow_loose_object_property_names: false,
            allow_missing_commas: false,
            allow_single_quoted_strings: false,
            allow_hexadecimal_numbers: false,
            allow_unary_plus_numbers: false,
            allow_bare_decimal_point_numbers: false,
            allow_non_finite_numbers: false,
            allow_extended_string_escapes: false,
        },
    )
    .map_err(|error| (lines.position(error.range().start), error.kind().to_string()))?;
    match parsed.value {
        Some(value) => Ok(located(value, &lines)),
        None => Err((START, "the file is empty".to_owned())),
    }
}

fn located(value: ast::Value<'_>, lines: &Lines<'_>) -> Located {
    let at = lines.position(value.start());
    let kind = match value {
        ast::Value::NullKeyword(_) => Kind::Null,
        ast::Value::BooleanLit(literal) => Kind::Bool(literal.value),
        ast::Value::NumberLit(literal) => Kind::Number(literal.value.to_owned()),
        ast::Value::StringLit(literal) => Kind::String(literal.value.into_owned()),
        ast::Value::Array(array) => {
            Kind::Array(array.elements.into_iter().map(|element| located(element, lines)).collect())
        }
        ast::Value::Object(object) => {
            Kind::Object(object.properties.into_iter().map(|property| member_of(property, lines)).collect())
        }
    };
    Located { at, kind }
}

fn member_of(property: ast::ObjectProp<'_>, lines: &Lines<'_>) -> Member {
    Member {
        at: lines.position(property.name.start()),
        name: property.name.into_string(),
        value: located(property.value, lines),
    }
}

/// Offsets to places. The tree asks in the order of the text, so each search goes on where the last one ended: a file
/// may be one long line.
struct Lines<'t> {
    text: &'t str,
    last: Cell<(usize, Position)>,
}

impl<'t> Lines<'t> {
    fn of(text: &'t str) -> Self {
        Self { text, last: Cell::new((0, START)) }
    }

    fn position(&self, offset: usize) -> Position {
        let (from, at) = Some(self.last.get()).filter(|(last, _)| *last <= offset).unwrap_or((0, START));
        let passed = self.text.get(from..offset).unwrap_or_default();
        let position = match passed.rsplit_once('\n') {
            None => Position { column: at.column + passed.chars().count(), ..at },
            Some((before, line)) => {
                Position { line: at.line + 1 + before.matches('\n').count(), column: 1 + line.chars().count() }
            }
        };
        self.last.set((offset, position));
        position
    }
}
