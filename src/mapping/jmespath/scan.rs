//! A look at the characters of an expression before it is parsed: bounds, and commas that the parser does not miss.

use super::QueryError;

/// Longest expression accepted, in bytes.
const EXPRESSION_BYTES_MAX: usize = 8192;
/// Most signs that open something or join two things. Parsing, compiling and evaluating recurse at most once for each.
pub(super) const OPERATORS_MAX: usize = 256;

/// What the characters so far have ended in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    /// A sign that something must follow, or the start.
    Operator,
    /// A value that is complete.
    Operand,
    /// A name or number, which the next character may continue.
    Word,
}

/// Checks what must hold before the parser may run.
pub(super) fn check(text: &str) -> Result<(), QueryError> {
    if text.trim().is_empty() {
        return Err(error("the expression is empty".to_owned(), None));
    }
    if text.len() > EXPRESSION_BYTES_MAX {
        return Err(error(format!("an expression has at most {EXPRESSION_BYTES_MAX} bytes"), None));
    }
    let mut operators = 0;
    let mut after = After::Operator;
    let mut characters = text.chars().enumerate().peekable();
    while let Some((at, character)) = characters.next() {
        let next = characters.peek().map(|(_, next)| *next);
        let starts_operand = match character {
            '\'' | '"' | '`' | '@' => true,
            'a'..='z' | 'A'..='Z' | '_' => after != After::Word,
            '&' => next != Some('&') && after != After::Operator,
            _ => false,
        };
        if starts_operand && after != After::Operator {
            return Err(error("an operator or a comma is missing here".to_owned(), Some(at + 1)));
        }
        after = match character {
            '\'' | '"' | '`' => {
                skip_quoted(character, &mut characters);
                After::Operand
            }
            ' ' | '\t' | '\r' | '\n' => {
                if after == After::Operator {
                    After::Operator
                } else {
                    After::Operand
                }
            }
            '@' | ']' | ')' | '}' | '*' => After::Operand,
            'a'..='z' | 'A'..='Z' | '_' | '0'..='9' => After::Word,
            // The second of two equals the first for the parser: one operator.
            '&' if next == Some('&') => {
                characters.next();
                After::Operator
            }
            _ => After::Operator,
        };
        operators += usize::from(!matches!(character, ']' | ')' | '}' | ',' | ':') && is_sign(character));
        if operators > OPERATORS_MAX {
            return Err(error(format!("an expression has at most {OPERATORS_MAX} operators"), Some(at + 1)));
        }
    }
    Ok(())
}

fn is_sign(character: char) -> bool {
    character.is_ascii_punctuation() && !matches!(character, '\'' | '"' | '`' | '_')
}

fn skip_quoted(quote: char, characters: &mut impl Iterator<Item = (usize, char)>) {
    while let Some((_, character)) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            end if end == quote => return,
            _ => {}
        }
    }
}

fn error(message: String, column: Option<usize>) -> QueryError {
    QueryError { message, column, hint: None }
}
