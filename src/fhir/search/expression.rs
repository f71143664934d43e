//! The part of FHIRPath that search parameters are written in, as a tree: <http://hl7.org/fhirpath/N1/>.
//!
//! Enough for every expression of R4's own parameters and for extensions: paths, unions, `as` and `ofType`, `is`, `where`,
//! `exists`, `resolve`, `extension('url')`, an index, `and`, `=` and `!=`. Anything else is refused. What a path means in
//! JSON is decided in `path`.

/// Longest expression, in bytes; R4's own have at most 1,386.
pub(super) const EXPRESSION_BYTES_MAX: usize = 8_000;
/// Most steps of one path.
const STEPS_MAX: usize = 32;
/// Deepest parentheses.
const DEPTH_MAX: usize = 8;

/// An expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expression<'a> {
    /// Where a relative path starts.
    Context,
    /// `of.name`
    Member {
        /// Of what.
        of: Box<Expression<'a>>,
        /// The element's name, or the name of a type at the start of a path.
        name: &'a str,
    },
    /// `of[index]`
    Index {
        /// Of what.
        of: Box<Expression<'a>>,
        /// From 0.
        index: usize,
    },
    /// `of as name`, `of.as(name)`, `of.ofType(name)`
    OfType {
        /// Of what.
        of: Box<Expression<'a>>,
        /// The type's name.
        name: &'a str,
    },
    /// `of is name`
    Is {
        /// Of what.
        of: Box<Expression<'a>>,
        /// The type's name.
        name: &'a str,
    },
    /// `of.where(that)`
    Where {
        /// Of what.
        of: Box<Expression<'a>>,
        /// What must hold of each.
        that: Box<Expression<'a>>,
    },
    /// `of.exists()`
    Exists(Box<Expression<'a>>),
    /// `of.resolve()`
    Resolve(Box<Expression<'a>>),
    /// `left = right`
    Equal(Box<Expression<'a>>, Literal<'a>),
    /// `left != right`
    NotEqual(Box<Expression<'a>>, Literal<'a>),
    /// `a and b`
    And(Vec<Expression<'a>>),
    /// `a | b`
    Union(Vec<Expression<'a>>),
}

/// What an element is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Literal<'a> {
    /// `'text'`
    Text(&'a str),
    /// `true` or `false`
    Bool(bool),
}

/// Why a text is not such an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at `{rest}`: expected {expected}")]
pub(super) struct ExpressionError {
    rest: String,
    expected: &'static str,
}

/// Reads an expression.
///
/// # Errors
/// When the text uses more of FHIRPath than search parameters do.
pub(super) fn parse(text: &str) -> Result<Expression<'_>, ExpressionError> {
    let mut parser = Parser { rest: text, depth: 0 };
    if text.len() > EXPRESSION_BYTES_MAX {
        return Err(parser.expected("a shorter expression"));
    }
    let expression = parser.and()?;
    parser.skip_spaces();
    if parser.rest.is_empty() { Ok(expression) } else { Err(parser.expected("the end of the expression")) }
}

struct Parser<'a> {
    rest: &'a str,
    /// In how many parentheses.
    depth: usize,
}

type Parsed<'a> = Result<Expression<'a>, ExpressionError>;

impl<'a> Parser<'a> {
    fn and(&mut self) -> Parsed<'a> {
        let mut parts = vec![self.equality()?];
        while self.keyword("and") {
            parts.push(self.equality()?);
        }
        Ok(one_or(parts, Expression::And))
    }

    fn equality(&mut self) -> Parsed<'a> {
        let left = self.union()?;
        if self.symbol("!=") {
            return Ok(Expression::NotEqual(Box::new(left), self.literal()?));
        }
        if self.symbol("=") {
            return Ok(Expression::Equal(Box::new(left), self.literal()?));
        }
        Ok(left)
    }

    fn union(&mut self) -> Parsed<'a> {
        let mut alternatives = vec![self.typed()?];
        while self.symbol("|") {
            alternatives.push(self.typed()?);
        }
        Ok(one_or(alternatives, Expression::Union))
    }

    fn typed(&mut self) -> Parsed<'a> {
        let mut of = self.path()?;
        loop {
            if self.keyword("as") {
                of = Expression::OfType { of: Box::new(of), name: self.name()? };
            } else if self.keyword("is") {
                of = Expression::Is { of: Box::new(of), name: self.name()? };
            } else {
                return Ok(of);
            }
        }
    }

    fn path(&mut self) -> Parsed<'a> {
        let mut of = if self.symbol("(") {
            let inner = self.inside()?;
            self.close(")")?;
            inner
        } else {
            self.step(Expression::Context)?
        };
        let mut steps = 0;
        loop {
            steps += 1;
            if steps > STEPS_MAX {
                return Err(self.expected("a path of fewer steps"));
            }
            if self.symbol(".") {
                of = self.step(of)?;
            } else if self.symbol("[") {
                let index = self.index()?;
                self.close("]")?;
                of = Expression::Index { of: Box::new(of), index };
            } else {
                return Ok(of);
            }
        }
    }

    /// What stands in parentheses.
    fn inside(&mut self) -> Parsed<'a> {
        if self.depth == DEPTH_MAX {
            return Err(self.expected("fewer parentheses within each other"));
        }
        self.depth += 1;
        let inner = self.and();
        self.depth -= 1;
        inner
    }

    fn step(&mut self, of: Expression<'a>) -> Parsed<'a> {
        let name = self.name()?;
        let of = Box::new(of);
        if !self.symbol("(") {
            return Ok(Expression::Member { of, name });
        }
        let step = match name {
            "exists" => Expression::Exists(of),
            "resolve" => Expression::Resolve(of),
            "as" | "ofType" => Expression::OfType { of, name: self.name()? },
            "where" => Expression::Where { of, that: Box::new(self.inside()?) },
            "extension" => extension(*of, self.literal()?),
            _ => return Err(self.expected("exists, resolve, as, ofType, where or extension before the parenthesis")),
        };
        self.close(")")?;
        Ok(step)
    }

    fn literal(&mut self) -> Result<Literal<'a>, ExpressionError> {
        for (word, value) in [("true", true), ("false", false)] {
            if self.keyword(word) {
                return Ok(Literal::Bool(value));
            }
        }
        if !self.symbol("'") {
            return Err(self.expected("a text or a boolean"));
        }
        let Some((text, rest)) = self.rest.split_once('\'').filter(|(text, _)| !text.contains('\\')) else {
            return Err(self.expected("the end of a text without a backslash"));
        };
        self.rest = rest;
        Ok(Literal::Text(text))
    }

    fn name(&mut self) -> Result<&'a str, ExpressionError> {
        self.skip_spaces();
        let name = self.take_while(char::is_alphanumeric);
        if name.is_empty() { Err(self.expected("a name")) } else { Ok(name) }
    }

    fn index(&mut self) -> Result<usize, ExpressionError> {
        let digits = self.take_while(|character| character.is_ascii_digit());
        digits.parse().map_err(|_error| self.expected("an index"))
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|character| !belongs(character)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn keyword(&mut self, word: &str) -> bool {
        self.skip_spaces();
        match self.rest.strip_prefix(word) {
            Some(rest) if !rest.starts_with(|next: char| next.is_alphanumeric() || next == '(') => {
                self.rest = rest;
                true
            }
            Some(_) | None => false,
        }
    }

    fn symbol(&mut self, symbol: &str) -> bool {
        self.skip_spaces();
        let rest = self.rest.strip_prefix(symbol);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn close(&mut self, symbol: &'static str) -> Result<(), ExpressionError> {
        if self.symbol(symbol) { Ok(()) } else { Err(self.expected(symbol)) }
    }

    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn expected(&self, expected: &'static str) -> ExpressionError {
        ExpressionError { rest: self.rest.to_owned(), expected }
    }
}

/// `of.extension('url')` is `of.extension.where(url = 'url')`.
fn extension<'a>(of: Expression<'a>, url: Literal<'a>) -> Expression<'a> {
    let of = Box::new(Expression::Member { of: Box::new(of), name: "extension" });
    let own_url = Box::new(Expression::Member { of: Box::new(Expression::Context), name: "url" });
    Expression::Where { of, that: Box::new(Expression::Equal(own_url, url)) }
}

fn one_or<'a>(mut parts: Vec<Expression<'a>>, several: fn(Vec<Expression<'a>>) -> Expression<'a>) -> Expression<'a> {
    match (parts.pop(), parts.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            parts.extend(last);
            several(parts)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Expression, parse};

    #[track_caller]
    fn check_same(left: &str, right: &str) {
        assert_eq!(parse(left).unwrap(), parse(right).unwrap());
    }

    #[test]
    fn as_has_an_infix_and_a_function_form() {
        check_same("(Observation.value as Quantity)", "Observation.value.as(Quantity)");
        check_same("Observation.value as Quantity", "Observation.value.ofType(Quantity)");
    }

    #[test]
    fn an_extension_is_named_by_its_url() {
        check_same("A.extension('http://x').value", "A.extension.where(url='http://x').value");
        check_same("extension( 'http://x' )", "extension.where(url = 'http://x')");
    }

    #[test]
    fn an_expression_has_bounds() {
        let nested = |depth| format!("{}A.b{}", "(".repeat(depth), ")".repeat(depth));
        assert!(parse(&nested(8)).is_ok());
        assert!(parse(&nested(9)).is_err());
        assert!(parse(&nested(1_000)).is_err());
        assert!(parse(&format!("A{}", ".b".repeat(31))).is_ok());
        assert!(parse(&format!("A{}", ".b".repeat(1_000))).is_err());
        assert!(parse(&format!("A.b as {}", "c".repeat(8_000))).is_err());
    }

    #[test]
    fn spaces_do_not_matter() {
        check_same("A.b|A . c", " A.b | A.c ");
    }

    #[test]
    fn a_union_keeps_its_alternatives_in_order() {
        let Expression::Union(alternatives) = parse("A.b | (B.c as code).text | C").unwrap() else {
            panic!("no union");
        };
        assert_eq!(alternatives.len(), 3);
    }

    #[test]
    fn what_search_parameters_do_not_use_is_refused() {
        for text in [
            "",
            "A.",
            "A.b.first()",
            "A.where(b='c)",
            "A.b[x]",
            "A.b + 1",
            "A)",
            "%context.a",
            r"A.where(b='\'')",
            "A.extension()",
            "A.extension(b)",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
