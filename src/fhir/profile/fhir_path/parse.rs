//! Reads FHIRPath: <http://hl7.org/fhirpath/N1/#grammar>.

use super::Failure;
use crate::fhir::profile::decimal::Decimal;

/// Longest expression, in bytes.
const BYTES_MAX: usize = 10_000;

/// Most operators, calls and parentheses of an expression: what it can nest.
const PARTS_MAX: usize = 200;

/// An expression.
#[derive(Clone, Debug)]
pub(in crate::fhir::profile) enum Expression {
    /// `start.step.step`
    Path(Start, Vec<Step>),
    /// `left operator right`
    Binary(Operator, Box<Expression>, Box<Expression>),
    /// `-of`
    Negative(Box<Expression>),
    /// `of is name`
    Is(Box<Expression>, String),
    /// `of as name`
    As(Box<Expression>, String),
}

/// Where a path starts.
#[derive(Clone, Debug)]
pub(in crate::fhir::profile) enum Start {
    /// What the expression is about at this point; `$this` too, for both are the same wherever functions are evaluated
    /// for one element after the other.
    Focus,
    /// `%name`
    Variable(String),
    /// `{}`
    Nothing,
    /// `'text'`
    Text(String),
    /// `1.5`
    Number(Decimal),
    /// `true`
    Bool(bool),
    /// `@2024-07-31T08:05`, without the sign
    Moment(String),
    /// `(expression)`
    Inner(Box<Expression>),
}

/// One step of a path.
#[derive(Clone, Debug)]
pub(in crate::fhir::profile) enum Step {
    /// `.name`
    Member(String),
    /// `.name(arguments)`
    Call(String, Vec<Expression>),
    /// `[index]`
    Index(Expression),
}

/// What stands between two expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fhir::profile) enum Operator {
    Union,
    Plus,
    Minus,
    Join,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
    In,
    Contains,
    And,
    Or,
    Xor,
    Implies,
}

/// The operators, how strongly they bind, and what each is written as; a longer one before the one it begins with.
const OPERATORS: &[(&str, u8, Operator)] = &[
    ("|", 7, Operator::Union),
    ("+", 9, Operator::Plus),
    ("-", 9, Operator::Minus),
    ("&", 9, Operator::Join),
    ("<=", 6, Operator::LessOrEqual),
    ("<", 6, Operator::Less),
    (">=", 6, Operator::GreaterOrEqual),
    (">", 6, Operator::Greater),
    ("=", 5, Operator::Equal),
    ("!=", 5, Operator::NotEqual),
    ("in", 4, Operator::In),
    ("contains", 4, Operator::Contains),
    ("and", 3, Operator::And),
    ("or", 2, Operator::Or),
    ("xor", 2, Operator::Xor),
    ("implies", 1, Operator::Implies),
];

/// `is` and `as` bind like this.
const TYPES_BIND: u8 = 8;

/// Reads an expression.
///
/// # Errors
/// When it is not one, or uses more of the language than is known here.
pub(in crate::fhir::profile) fn parse(text: &str) -> Result<Expression, Failure> {
    if text.len() > BYTES_MAX {
        return Err(Failure::new(format!("it is longer than {BYTES_MAX} bytes")));
    }
    let mut parser = Parser { rest: text, parts_left: PARTS_MAX };
    let expression = parser.expression(0)?;
    if parser.rest.trim_start().is_empty() { Ok(expression) } else { Err(parser.unexpected()) }
}

struct Parser<'a> {
    rest: &'a str,
    parts_left: usize,
}

impl<'a> Parser<'a> {
    /// An expression whose operators bind more strongly than `weakest`.
    fn expression(&mut self, weakest: u8) -> Result<Expression, Failure> {
        let mut left = if self.symbol("-") {
            self.part()?;
            Expression::Negative(Box::new(self.expression(9)?))
        } else {
            self.symbol("+");
            self.path()?
        };
        loop {
            if TYPES_BIND > weakest && self.word("is") {
                self.part()?;
                left = Expression::Is(Box::new(left), self.type_name()?);
            } else if TYPES_BIND > weakest && self.word("as") {
                self.part()?;
                left = Expression::As(Box::new(left), self.type_name()?);
            } else if let Some((strength, operator)) = self.operator(weakest) {
                self.part()?;
                left = Expression::Binary(operator, Box::new(left), Box::new(self.expression(strength)?));
            } else {
                return Ok(left);
            }
        }
    }

    fn operator(&mut self, weakest: u8) -> Option<(u8, Operator)> {
        let before = self.rest;
        let found = OPERATORS.iter().find(|(text, _, _)| {
            if text.starts_with(|first: char| first.is_ascii_alphabetic()) {
                self.word(text)
            } else {
                self.symbol(text)
            }
        });
        let stronger = found.filter(|(_, strength, _)| *strength > weakest);
        if stronger.is_none() {
            self.rest = before;
        }
        stronger.map(|(_, strength, operator)| (*strength, *operator))
    }

    fn path(&mut self) -> Result<Expression, Failure> {
        let (start, mut steps) = self.start()?;
        loop {
            if self.symbol(".") {
                steps.push(self.step()?);
            } else if self.symbol("[") {
                self.part()?;
                steps.push(Step::Index(self.expression(0)?));
                self.close("]")?;
            } else {
                return Ok(Expression::Path(start, steps));
            }
        }
    }

    fn start(&mut self) -> Result<(Start, Vec<Step>), Failure> {
        let first = self.next();
        let start = match first {
            Some('(') => {
                self.part()?;
                self.symbol("(");
                let inner = self.expression(0)?;
                self.close(")")?;
                Start::Inner(Box::new(inner))
            }
            Some('{') => {
                self.symbol("{");
                self.close("}")?;
                Start::Nothing
            }
            Some('\'') => Start::Text(self.quoted('\'')?),
            Some('0'..='9') => {
                let digits = self.number();
                Start::Number(Decimal::parse(digits).ok_or_else(|| self.unexpected())?)
            }
            Some('@') => {
                self.symbol("@");
                let belongs = |character: char| character.is_ascii_alphanumeric() || "-:+.".contains(character);
                Start::Moment(self.take_while(belongs).trim_start_matches('T').to_owned())
            }
            Some('%') => {
                self.symbol("%");
                let name = if self.next() == Some('`') { self.quoted('`')? } else { self.name()? };
                Start::Variable(name)
            }
            Some('$') if self.word("$this") => Start::Focus,
            _ if self.word("true") => Start::Bool(true),
            _ if self.word("false") => Start::Bool(false),
            _ => return Ok((Start::Focus, vec![self.step()?])),
        };
        Ok((start, Vec::new()))
    }

    fn step(&mut self) -> Result<Step, Failure> {
        if self.next() == Some('`') {
            return Ok(Step::Member(self.quoted('`')?));
        }
        let name = self.name()?;
        if !self.symbol("(") {
            return Ok(Step::Member(name));
        }
        self.part()?;
        let mut arguments = Vec::new();
        while self.next() != Some(')') {
            if !arguments.is_empty() {
                self.close(",")?;
            }
            arguments.push(self.expression(0)?);
        }
        self.close(")")?;
        Ok(Step::Call(name, arguments))
    }

    /// The name of a type, with or without its name space.
    fn type_name(&mut self) -> Result<String, Failure> {
        let mut name = self.name()?;
        while self.symbol(".") {
            name = format!("{name}.{}", self.name()?);
        }
        Ok(name)
    }

    fn name(&mut self) -> Result<String, Failure> {
        self.next();
        let name = self.take_while(|character| character.is_ascii_alphanumeric() || character == '_');
        if name.is_empty() { Err(self.unexpected()) } else { Ok(name.to_owned()) }
    }

    fn number(&mut self) -> &'a str {
        let is_digit = |character: char| character.is_ascii_digit();
        let text = self.rest;
        let whole = self.take_while(is_digit).len();
        let mut length = whole;
        if self.rest.strip_prefix('.').is_some_and(|fraction| fraction.starts_with(is_digit)) {
            self.rest = self.rest.strip_prefix('.').unwrap_or(self.rest);
            length += 1 + self.take_while(is_digit).len();
        }
        text.get(..length).unwrap_or(text)
    }

    fn quoted(&mut self, quote: char) -> Result<String, Failure> {
        let mut text = String::new();
        let mut characters = self.rest.chars();
        characters.next();
        loop {
            match characters.next() {
                None => return Err(Failure::new("a quote is not closed")),
                Some(character) if character == quote => break,
                Some('\\') => text.extend(escaped(&mut characters)),
                Some(character) => text.push(character),
            }
        }
        self.rest = characters.as_str();
        Ok(text)
    }

    fn part(&mut self) -> Result<(), Failure> {
        let left = self.parts_left.checked_sub(1);
        self.parts_left = left.ok_or_else(|| Failure::new(format!("it has more than {PARTS_MAX} parts")))?;
        Ok(())
    }

    /// Passes over white space and gives back what follows.
    fn next(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|character| !belongs(character)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn word(&mut self, word: &str) -> bool {
        self.next();
        match self.rest.strip_prefix(word) {
            Some(rest) if !rest.starts_with(|next: char| next.is_ascii_alphanumeric() || "_(".contains(next)) => {
                self.rest = rest;
                true
            }
            // `a in (b | c)`: a parenthesis may follow an operator, and no function has such a name but `contains`.
            Some(rest) if rest.starts_with('(') && matches!(word, "in" | "and" | "or" | "xor" | "implies") => {
                self.rest = rest;
                true
            }
            Some(_) | None => false,
        }
    }

    fn symbol(&mut self, symbol: &str) -> bool {
        self.next();
        let rest = self.rest.strip_prefix(symbol);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn close(&mut self, symbol: &str) -> Result<(), Failure> {
        if self.symbol(symbol) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn unexpected(&self) -> Failure {
        let rest: String = self.rest.chars().take(40).collect();
        Failure::new(format!("it is not understood from `{rest}` on"))
    }
}

/// What an escape stands for; a character that needs none stands for itself.
fn escaped(characters: &mut std::str::Chars<'_>) -> Option<char> {
    Some(match characters.next()? {
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let digits: String = characters.by_ref().take(4).collect();
            return u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
        }
        character => character,
    })
}
