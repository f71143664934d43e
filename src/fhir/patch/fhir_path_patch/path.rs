//! The FHIRPath of a patch: the part of the language that names places in a resource
//! (<https://hl7.org/fhir/R4/fhirpath.html#simple>).
//!
//! Followed are members, `[n]`, `first()`, `last()`, `where(member = value and ...)`, `ofType(Type)`, which may be written
//! `as(Type)`, and `extension('url')`. Everything else is refused: a path that is half understood would change the wrong
//! place.

use std::iter::Peekable;
use std::str::Chars;

use crate::fhir::patch::{Fault, PatchError};

/// Most steps of a path, those inside conditions included; the definitions of R4 do not nest nearly as deep.
const STEPS_MAX: usize = 128;

/// A path, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) steps: Vec<Step>,
    /// As it was written.
    pub(super) text: String,
}

/// One step from elements to elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The elements of this name; as the first step also the type of the resource.
    Member(String),
    /// The element at this place.
    Index(usize),
    First,
    Last,
    /// Those for which all of these hold.
    Where(Vec<Comparison>),
    /// Those of this type.
    OfType(String),
    /// The extensions with this URL.
    Extension(String),
}

/// `member.member = value`; no member stands for `$this`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Comparison {
    pub(super) members: Vec<String>,
    pub(super) value: Literal,
}

/// A value in a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Literal {
    Text(String),
    Number(String),
    Bool(bool),
}

impl Path {
    /// Reads a path.
    pub(super) fn parse(text: &str) -> Result<Self, PatchError> {
        let mut cursor = Cursor { rest: text.chars().peekable(), steps: 0 };
        let steps = cursor.path().filter(|_steps| cursor.skip_space().is_none());
        let steps = steps.ok_or_else(|| {
            PatchError::new(
                Fault::NotSupported,
                format!(
                    "The path `{text}` is not one this server follows. It takes members, `[n]`, `first()`, `last()`, \
                     `where(member = 'text' and ...)`, `ofType(Type)` and `extension('url')`."
                ),
            )
        })?;
        Ok(Self { steps, text: text.to_owned() })
    }
}

struct Cursor<'a> {
    rest: Peekable<Chars<'a>>,
    steps: usize,
}

impl Cursor<'_> {
    /// Passes over white space and gives back what follows it.
    fn skip_space(&mut self) -> Option<char> {
        while self.rest.next_if(|character| character.is_ascii_whitespace()).is_some() {}
        self.rest.peek().copied()
    }

    /// Takes this character, if it is the next one.
    fn takes(&mut self, wanted: char) -> bool {
        self.skip_space() == Some(wanted) && self.rest.next().is_some()
    }

    fn expect(&mut self, wanted: char) -> Option<()> {
        self.takes(wanted).then_some(())
    }

    fn count(&mut self) -> Option<()> {
        self.steps += 1;
        (self.steps <= STEPS_MAX).then_some(())
    }

    fn path(&mut self) -> Option<Vec<Step>> {
        let mut steps = Vec::new();
        loop {
            let step = self.step()?;
            // A path begins with a name.
            if steps.is_empty() && !matches!(step, Step::Member(_)) {
                return None;
            }
            steps.push(step);
            while self.takes('[') {
                self.count()?;
                steps.push(Step::Index(self.digits()?.parse().ok()?));
                self.expect(']')?;
            }
            if !self.takes('.') {
                return Some(steps);
            }
        }
    }

    fn step(&mut self) -> Option<Step> {
        self.count()?;
        let is_quoted = self.skip_space() == Some('`');
        let name = self.name()?;
        if is_quoted || !self.takes('(') {
            return Some(Step::Member(name));
        }
        let step = match name.as_str() {
            "first" => Step::First,
            "last" => Step::Last,
            "where" => Step::Where(self.comparisons()?),
            "ofType" | "as" => {
                let name = self.name()?;
                // With or without the name space.
                Step::OfType(if name == "FHIR" && self.takes('.') { self.name()? } else { name })
            }
            "extension" => Step::Extension(self.text()?),
            _ => return None,
        };
        self.expect(')')?;
        Some(step)
    }

    fn comparisons(&mut self) -> Option<Vec<Comparison>> {
        let mut comparisons = vec![self.comparison()?];
        while self.skip_space()? != ')' {
            (self.name()? == "and").then_some(())?;
            comparisons.push(self.comparison()?);
        }
        Some(comparisons)
    }

    fn comparison(&mut self) -> Option<Comparison> {
        self.count()?;
        let members = if self.takes('$') {
            (self.name()? == "this").then_some(Vec::new())?
        } else {
            let mut members = vec![self.name()?];
            while self.takes('.') {
                self.count()?;
                members.push(self.name()?);
            }
            members
        };
        self.expect('=')?;
        Some(Comparison { members, value: self.literal()? })
    }

    fn literal(&mut self) -> Option<Literal> {
        match self.skip_space()? {
            '\'' => self.text().map(Literal::Text),
            '-' | '0'..='9' => self.number().map(Literal::Number),
            _ => match self.name()?.as_str() {
                "true" => Some(Literal::Bool(true)),
                "false" => Some(Literal::Bool(false)),
                _ => None,
            },
        }
    }

    fn name(&mut self) -> Option<String> {
        if self.takes('`') {
            let mut name = String::new();
            while let Some(character) = self.rest.next_if(|character| character.is_ascii_alphanumeric()) {
                name.push(character);
            }
            self.expect('`')?;
            return Some(name);
        }
        self.skip_space()?;
        let mut name = String::from(self.rest.next_if(char::is_ascii_alphabetic)?);
        while let Some(character) = self.rest.next_if(char::is_ascii_alphanumeric) {
            name.push(character);
        }
        Some(name)
    }

    fn digits(&mut self) -> Option<String> {
        self.skip_space()?;
        let mut digits = String::new();
        while let Some(digit) = self.rest.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        (!digits.is_empty()).then_some(digits)
    }

    fn number(&mut self) -> Option<String> {
        let sign = if self.takes('-') { "-" } else { "" };
        let whole = self.digits()?;
        if self.rest.next_if_eq(&'.').is_none() {
            return Some(format!("{sign}{whole}"));
        }
        Some(format!("{sign}{whole}.{}", self.digits()?))
    }

    fn text(&mut self) -> Option<String> {
        self.expect('\'')?;
        let mut text = String::new();
        loop {
            match self.rest.next()? {
                '\'' => return Some(text),
                '\\' => text.push(self.escaped()?),
                character => text.push(character),
            }
        }
    }

    fn escaped(&mut self) -> Option<char> {
        match self.rest.next()? {
            character @ ('\'' | '"' | '`' | '\\' | '/') => Some(character),
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'u' => {
                let digits: String = self.rest.by_ref().take(4).collect();
                u32::from_str_radix(&digits, 16).ok().filter(|_code| digits.len() == 4).and_then(char::from_u32)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Comparison, Literal, Path, Step};

    fn member(name: &str) -> Step {
        Step::Member(name.to_owned())
    }

    fn equals(members: &[&str], value: Literal) -> Comparison {
        Comparison { members: members.iter().map(|member| (*member).to_owned()).collect(), value }
    }

    #[track_caller]
    fn check(text: &str, expected: &[Step]) {
        assert_eq!(Path::parse(text).unwrap().steps, expected, "{text}");
    }

    #[test]
    fn members_indexes_and_functions_are_followed() {
        let text = |text: &str| Literal::Text(text.to_owned());
        check("Patient", &[member("Patient")]);
        check(
            "Patient.name[0].given.last()",
            &[member("Patient"), member("name"), Step::Index(0), member("given"), Step::Last],
        );
        check(
            "Patient.name.where( use = 'off\\'icial' and family='\\u0041' ).first()",
            &[
                member("Patient"),
                member("name"),
                Step::Where(vec![equals(&["use"], text("off'icial")), equals(&["family"], text("A"))]),
                Step::First,
            ],
        );
        check(
            "Observation.value.ofType(FHIR.Quantity).value",
            &[member("Observation"), member("value"), Step::OfType("Quantity".to_owned()), member("value")],
        );
        check(
            "x.where(a.b = -1.50).where(c = true).where($this = 'y')",
            &[
                member("x"),
                Step::Where(vec![equals(&["a", "b"], Literal::Number("-1.50".to_owned()))]),
                Step::Where(vec![equals(&["c"], Literal::Bool(true))]),
                Step::Where(vec![equals(&[], text("y"))]),
            ],
        );
        check("ValueSet.expansion.`contains`", &[member("ValueSet"), member("expansion"), member("contains")]);
        check("Patient.extension('http://x')", &[member("Patient"), Step::Extension("http://x".to_owned())]);
    }

    #[test]
    fn what_is_not_followed_is_refused() {
        for text in [
            "",
            ".",
            "Patient.",
            "Patient..name",
            "Patient name",
            "Patient.name[",
            "Patient.name[-1]",
            "Patient.name[a]",
            "Patient.name.where(use)",
            "Patient.name.where(use = 'a' or use = 'b')",
            "Patient.name.where(use != 'a')",
            "Patient.name.exists()",
            "Patient.name | Patient.contact",
            "(Observation.value as Quantity)",
            "first()",
            "Patient.name.where(use = 'a)",
            "Patient.name.where(use = use)",
            "Patient.name.where()",
            "%resource.name",
            "Patient.descendants()",
            "Patient.birthDate.where($this = @2020)",
            "Patient.name.where(use = '\\x')",
        ] {
            assert!(Path::parse(text).is_err(), "{text}");
        }
        assert!(Path::parse(&format!("a{}", ".a".repeat(127))).is_ok());
        assert!(Path::parse(&format!("a{}", ".a".repeat(128))).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-z.()\\[\\]'`$=\\\\0-9u -]{0,40}") {
            drop(Path::parse(&text));
        }
    }
}
