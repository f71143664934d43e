//! Text to steps, by the grammar of section 3.1.
//!
//! Two habits of the dialect shape this parser: a name ends only at a delimiter, so almost any character is part of one
//! (JP-3), and a scan (`..`) stays in force until a step uses it up, also when that step cannot scan (JP-16).

use super::{Comparison, Filter, Path, Side, Slice, Step};
use crate::json::Node;

/// Longest path accepted, in bytes; with it the depth of every recursion over its filters is bounded.
const PATH_BYTES_MAX: usize = 4096;
/// Most steps of one path.
const STEPS_MAX: usize = 128;
/// Deepest nesting of filters within filters.
const FILTERS_DEEP_MAX: usize = 16;
/// Largest compiled size of a regular expression, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// Why a text is not a path. `at` counts characters from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (character {at} of the path)")]
pub(crate) struct PathError {
    pub(crate) at: usize,
    pub(crate) reason: String,
    /// How to mend it, where that is not plain from the reason.
    pub(crate) hint: Option<&'static str>,
}

pub(super) fn path(text: &str) -> Result<Path, PathError> {
    let mut parser = Parser { text, at: 0, filters_deep: 0 };
    if text.len() > PATH_BYTES_MAX {
        return Err(parser.error(format!("a path has at most {PATH_BYTES_MAX} bytes")));
    }
    let name_start = parser.root();
    let path = parser.steps(name_start, Ends::AtText)?;
    parser.skip_spaces();
    match parser.peek() {
        None => Ok(path),
        Some(_) => Err(parser.unexpected()),
    }
}

/// Where the steps of a path end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// At the end of the text.
    AtText,
    /// Within a filter: also at an operator, and never at the end of the text.
    InFilter,
}

struct Parser<'t> {
    text: &'t str,
    /// Byte offset, always at a character boundary.
    at: usize,
    filters_deep: usize,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn advance(&mut self, character: char) {
        self.at += character.len_utf8();
    }

    /// Takes `token` if it is next.
    fn takes(&mut self, token: &str) -> bool {
        let next = self.rest().starts_with(token);
        if next {
            self.at += token.len();
        }
        next
    }

    fn skip_spaces(&mut self) {
        while self.takes(" ") {}
    }

    fn error(&self, reason: impl Into<String>) -> PathError {
        let before = self.text.get(..self.at).unwrap_or_default();
        PathError { at: before.chars().count() + 1, reason: reason.into(), hint: None }
    }

    fn error_with_hint(&self, reason: impl Into<String>, hint: &'static str) -> PathError {
        PathError { hint: Some(hint), ..self.error(reason) }
    }

    fn unexpected(&self) -> PathError {
        match self.peek() {
            Some(character) => self.error(format!("unexpected `{character}`")),
            None => self.error("the path ends too early"),
        }
    }

    /// Passes `$` where it means the root, and says where the first name would start (JP-1, JP-8).
    fn root(&mut self) -> usize {
        let trimmed = self.text.trim_start_matches(' ');
        let is_root = trimmed.starts_with("$.") || trimmed.starts_with("$[") || trimmed.trim_end_matches(' ') == "$";
        let spaces = self.text.len() - trimmed.len();
        self.at = spaces;
        if is_root {
            self.at += 1;
            return self.at;
        }
        0
    }

    /// Steps up to the end of the path; the first name starts at `name_start`.
    fn steps(&mut self, mut name_start: usize, ends: Ends) -> Result<Path, PathError> {
        let mut path = Path { steps: Vec::new(), ends: Vec::new(), has_idle_scan: false };
        let mut scan = false;
        let mut after = After::Start;
        loop {
            if path.steps.len() > STEPS_MAX {
                return Err(self.error(format!("a path has at most {STEPS_MAX} steps")));
            }
            match self.peek() {
                Some(open @ ('[' | '(')) => {
                    self.name_before(name_start, &mut scan, &mut path);
                    self.at += 1;
                    let close = if open == '[' { ']' } else { ')' };
                    let step = self.bracket(close, scan)?;
                    path.has_idle_scan |= std::mem::take(&mut scan) && !step.scans();
                    path.steps.push(step);
                    path.ends.push(self.at);
                    (name_start, after) = (self.at, After::Bracket);
                }
                Some('.') => {
                    self.name_before(name_start, &mut scan, &mut path);
                    self.at += 1;
                    scan |= self.takes(".");
                    (name_start, after) = (self.at, After::Dot);
                }
                None | Some(']' | ')' | ' ') => break,
                Some('=' | '<' | '>' | '!' | '&' | '|') if ends == Ends::InFilter => break,
                Some(_) if after == After::Bracket => return Err(self.unexpected()),
                Some(character) => self.advance(character),
            }
        }
        if self.at == name_start && after == After::Dot && (ends == Ends::InFilter || self.peek().is_none()) {
            return Err(self.error("a path cannot end in a dot"));
        }
        self.name_before(name_start, &mut scan, &mut path);
        match (ends, self.peek()) {
            (Ends::InFilter, None) => Err(self.error("the filter is not closed")),
            _ => Ok(path),
        }
    }

    /// Adds the step for the name between `start` and here, if there is one.
    fn name_before(&self, start: usize, scan: &mut bool, path: &mut Path) {
        let name = self.text.get(start..self.at).unwrap_or_default();
        if name.is_empty() {
            return;
        }
        path.ends.push(self.at);
        path.steps.push(match (name, std::mem::take(scan)) {
            ("*", true) => Step::DescendAll,
            ("*", false) => Step::AllMembers,
            (name, true) => Step::DescendMembers(vec![name.to_owned()]),
            (name, false) => Step::Member(name.to_owned()),
        });
    }

    /// What stands between brackets, with the closing one.
    fn bracket(&mut self, close: char, scan: bool) -> Result<Step, PathError> {
        self.skip_spaces();
        match self.peek() {
            Some(quote @ ('\'' | '"')) => self.quoted_names(quote, close, scan),
            Some('?') => self.filter_in_bracket(close, scan),
            Some('*') => {
                self.at += 1;
                self.closing(close)?;
                Ok(Step::AllElements)
            }
            Some(_) => self.positions(close),
            None => Err(self.error("the bracket is not closed")),
        }
    }

    fn closing(&mut self, close: char) -> Result<(), PathError> {
        self.skip_spaces();
        match self.peek() {
            Some(character) if character == close => {
                self.advance(character);
                Ok(())
            }
            Some(_) => Err(self.unexpected()),
            None => Err(self.error("the bracket is not closed")),
        }
    }

    fn quoted_names(&mut self, quote: char, close: char, scan: bool) -> Result<Step, PathError> {
        let mut names = vec![self.quoted(quote)?];
        loop {
            self.skip_spaces();
            if !self.takes(",") {
                break;
            }
            self.skip_spaces();
            match self.peek() {
                Some(quote @ ('\'' | '"')) => names.push(self.quoted(quote)?),
                _ => return Err(self.unexpected()),
            }
        }
        self.closing(close)?;
        Ok(match (scan, names.len(), names) {
            (true, _, names) => Step::DescendMembers(names),
            (false, 1, mut names) => Step::Member(names.pop().unwrap_or_default()),
            (false, _, names) => Step::Members(names),
        })
    }

    /// A quoted text without its escapes (JP-5).
    fn quoted(&mut self, quote: char) -> Result<String, PathError> {
        self.advance(quote);
        let mut text = String::new();
        while let Some(character) = self.peek() {
            self.advance(character);
            match character {
                '\\' => text.push(self.escaped()?),
                end if end == quote => return Ok(text),
                plain => text.push(plain),
            }
        }
        Err(self.error("the quoted text is not closed"))
    }

    fn escaped(&mut self) -> Result<char, PathError> {
        let character = match self.peek() {
            Some('b') => '\u{8}',
            Some('t') => '\t',
            Some('n') => '\n',
            Some('f') => '\u{c}',
            Some('r') => '\r',
            Some(itself @ ('\\' | '"' | '\'' | '/')) => itself,
            _ => return Err(self.error("this escape is not known; known are \\b \\t \\n \\f \\r \\\\ \\\" \\' \\/")),
        };
        self.at += 1;
        Ok(character)
    }

    /// `3`, `0,2`, `1:5:2`
    fn positions(&mut self, close: char) -> Result<Step, PathError> {
        let first = self.integer()?;
        self.skip_spaces();
        match self.peek() {
            Some(':') => self.slice(first, close),
            Some(',') => {
                let mut indexes = vec![first.ok_or_else(|| self.error("an index is missing"))?];
                while self.takes(",") {
                    self.skip_spaces();
                    indexes.push(self.integer()?.ok_or_else(|| self.error("an index is missing"))?);
                    self.skip_spaces();
                }
                self.closing(close)?;
                Ok(Step::Indexes(indexes))
            }
            _ => {
                let index = first.ok_or_else(|| self.error("an index or a name in single quotes is missing"))?;
                self.closing(close)?;
                Ok(Step::Index(index))
            }
        }
    }

    fn slice(&mut self, start: Option<i64>, close: char) -> Result<Step, PathError> {
        let mut end_and_step = [None, None];
        for position in &mut end_and_step {
            if self.takes(":") {
                self.skip_spaces();
                *position = self.integer()?;
                self.skip_spaces();
            }
        }
        let [end, step] = end_and_step;
        self.closing(close)?;
        match step.unwrap_or(1) {
            0 => Err(self.error("the step of a slice cannot be 0")),
            step => Ok(Step::Slice(Slice { start, end, step })),
        }
    }

    /// An integer of 32 bits, as indexes are in the reference.
    fn integer(&mut self) -> Result<Option<i64>, PathError> {
        let rest = self.rest();
        let digits = rest.len()
            - rest.trim_start_matches(|character: char| character == '-' || character.is_ascii_digit()).len();
        let text = rest.get(..digits).unwrap_or_default();
        if text.is_empty() {
            return Ok(None);
        }
        let integer: i32 = text.parse().map_err(|_not_an_integer| self.error(format!("`{text}` is not an index")))?;
        self.at += digits;
        Ok(Some(i64::from(integer)))
    }

    fn filter_in_bracket(&mut self, close: char, scan: bool) -> Result<Step, PathError> {
        if !self.takes("?(") {
            let reason = "a filter begins with `?(`, without space between";
            return Err(self.error_with_hint(reason, "write [?(...)], or choose the language Rfc9535 for [?...]"));
        }
        self.filters_deep += 1;
        if self.filters_deep > FILTERS_DEEP_MAX {
            return Err(self.error(format!("filters nest at most {FILTERS_DEEP_MAX} deep")));
        }
        let filter = self.filter()?;
        self.filters_deep -= 1;
        self.closing(close)?;
        Ok(if scan { Step::DescendFilter(filter) } else { Step::Filter(filter) })
    }

    /// Terms up to the closing round bracket, and that bracket.
    fn filter(&mut self) -> Result<Filter, PathError> {
        let mut terms = Vec::new();
        let mut joins = Vec::new();
        loop {
            terms.push(self.term()?);
            if self.takes(")") {
                return Ok(nest(terms, &joins));
            } else if self.takes("&&") {
                joins.push(Join::And);
            } else if self.takes("||") {
                joins.push(Join::Or);
            } else {
                return Err(self.unexpected());
            }
        }
    }

    fn term(&mut self) -> Result<Filter, PathError> {
        let left = self.side()?;
        if matches!(self.peek(), Some(')' | '|' | '&')) {
            return Ok(Filter::Exists(left));
        }
        if self.takes("=~") {
            let pattern_at = self.at;
            let pattern = self.side()?;
            return self.matches(left, pattern, pattern_at);
        }
        let comparison = self.comparison()?;
        Ok(Filter::Compare(left, comparison, self.side()?))
    }

    fn comparison(&mut self) -> Result<Comparison, PathError> {
        // Longer operators first.
        let operators = [
            ("===", Comparison::StrictEqual),
            ("!==", Comparison::StrictNotEqual),
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<>", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        for (token, comparison) in operators {
            if self.takes(token) {
                return Ok(comparison);
            }
        }
        if self.peek() == Some(']') {
            return Err(self.error("the filter is not closed, `)` is missing"));
        }
        let reason = "an operator is missing, one of == != <> === !== < <= > >= =~";
        Err(if self.peek() == Some('=') {
            self.error_with_hint(reason, "equality is `==`")
        } else {
            self.error(reason)
        })
    }

    /// A path or a literal, and the spaces round it.
    fn side(&mut self) -> Result<Side, PathError> {
        self.skip_spaces();
        let side = match self.peek() {
            Some('@') => {
                self.at += 1;
                Side::Candidate(self.steps(self.at, Ends::InFilter)?)
            }
            Some('$') => {
                self.at += 1;
                Side::Root(self.steps(self.at, Ends::InFilter)?)
            }
            Some('\'') => Side::Literal(Node::String(self.quoted('\'')?.into())),
            Some('/') => Side::Literal(Node::String(self.regex_text()?.into())),
            Some('-' | '0'..='9') => Side::Literal(Node::Number(self.number()?.into())),
            _ if self.takes("true") => Side::Literal(Node::Bool(true)),
            _ if self.takes("false") => Side::Literal(Node::Bool(false)),
            _ if self.takes("null") => Side::Literal(Node::Null),
            Some('"') => return Err(self.error_with_hint("texts in filters stand in single quotes", "replace \" by '")),
            Some('(' | '!') => {
                let reason = "filters know no grouping and no `!`";
                return Err(self.error_with_hint(reason, "the language Rfc9535 knows both"));
            }
            _ => return Err(self.error("a path from @ or $, or a literal is missing")),
        };
        self.skip_spaces();
        match self.peek() {
            Some(_) => Ok(side),
            None => Err(self.error("the filter is not closed")),
        }
    }

    /// A number ends only at a space or a closing bracket (JP-33).
    fn number(&mut self) -> Result<String, PathError> {
        let start = self.at;
        let text: String = self.rest().chars().take_while(|character| !matches!(character, ' ' | ')')).collect();
        self.at += text.len();
        let plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
        let is_integer = text.bytes().skip(1).all(|byte| byte.is_ascii_digit()) && text != "-";
        if plain && (is_integer || text.parse::<f64>().is_ok_and(f64::is_finite)) {
            return Ok(text);
        }
        self.at = start;
        let reason = format!("`{text}` is not a number; a number ends at a space or `)`");
        Err(match text.contains(['&', '|']) {
            true => self.error_with_hint(reason, "put a space before `&&` or `||`"),
            false => self.error(reason),
        })
    }

    /// `/re/flags` as it stands.
    fn regex_text(&mut self) -> Result<String, PathError> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                Some('/') => break,
                Some('\\') => {
                    self.at += 1;
                    if let Some(escaped) = self.peek() {
                        self.advance(escaped);
                    }
                }
                Some(character) => self.advance(character),
                None => return Err(self.error("the regular expression is not closed")),
            }
        }
        self.at += 1;
        while let Some(flag) = self.peek().filter(|character| character.is_alphabetic()) {
            self.advance(flag);
        }
        Ok(self.text.get(start..self.at).unwrap_or_default().to_owned())
    }

    fn matches(&self, left: Side, pattern: Side, pattern_at: usize) -> Result<Filter, PathError> {
        let error = |reason: String| Parser { at: pattern_at, ..*self }.error(reason);
        let Side::Literal(Node::String(text)) = pattern else {
            return Err(error("the right side of =~ is a literal `/re/flags`".to_owned()));
        };
        let (regex, flags) = text
            .strip_prefix('/')
            .and_then(|inside| inside.rsplit_once('/'))
            .ok_or_else(|| error("a regular expression stands between slashes: `/re/flags`".to_owned()))?;
        regex::RegexBuilder::new(regex)
            .case_insensitive(flags.contains('i'))
            .multi_line(flags.contains('m'))
            .dot_matches_new_line(flags.contains('s'))
            .size_limit(REGEX_BYTES_MAX)
            .build()
            .map(|regex| Filter::Matches(left, regex))
            .map_err(|cause| error(format!("the regular expression does not compile: {cause}")))
    }
}

/// What the text before a place was.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Start,
    Dot,
    Bracket,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Join {
    And,
    Or,
}

/// There is no precedence: each time the operator changes, all that follows is one nested group (JP-25).
fn nest(terms: Vec<Filter>, joins: &[Join]) -> Filter {
    let mut terms = terms.into_iter().rev();
    let Some(last) = terms.next() else {
        return Filter::All(Vec::new());
    };
    let mut group = vec![last];
    let mut kind = None;
    for (term, join) in terms.zip(joins.iter().rev()) {
        if kind.is_some_and(|kind| kind != *join) {
            group = vec![close(kind, group)];
        }
        group.push(term);
        kind = Some(*join);
    }
    close(kind, group)
}

/// A group collected from right to left.
fn close(kind: Option<Join>, mut group: Vec<Filter>) -> Filter {
    group.reverse();
    match kind {
        Some(Join::Or) => Filter::Any(group),
        Some(Join::And) | None => Filter::All(group),
    }
}
