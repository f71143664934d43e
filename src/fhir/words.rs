//! The words of texts, as they are searched for: without regard to case and accents, cut wherever no letter or digit is.
//!
//! A language that does not put spaces between its words has long ones here.

use std::borrow::Cow;

use icu_normalizer::DecomposingNormalizerBorrowed;

use crate::json::Node;

/// Lower case, accents removed.
pub(crate) fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let decomposed: Cow<'_, str> = DecomposingNormalizerBorrowed::new_nfkd().normalize(text);
    decomposed.chars().flat_map(char::to_lowercase).filter(|character| !is_accent(*character)).collect()
}

/// A text as it is compared as a whole: folded, without punctuation, words apart by one space. A text of nothing but
/// punctuation keeps it.
pub(crate) fn fold_phrase(text: &str) -> String {
    let plain = fold(text);
    let mut phrase = String::with_capacity(plain.len());
    for character in plain.chars() {
        if character.is_whitespace() || is_dash(character) {
            if !phrase.is_empty() && !phrase.ends_with(' ') {
                phrase.push(' ');
            }
        } else if !is_punctuation(character) {
            phrase.push(character);
        }
    }
    phrase.truncate(phrase.trim_end().len());
    if phrase.is_empty() { plain.trim().to_owned() } else { phrase }
}

/// Marks between words.
fn is_dash(character: char) -> bool {
    matches!(character, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

/// Marks that no word is told by. Symbols such as `+` and `%` are not among them: a value may be nothing else.
fn is_punctuation(character: char) -> bool {
    matches!(
        character,
        '!' | '"' | '#' | '&' | '\'' | '(' | ')' | '*' | ',' | '.' | '/' | ':' | ';' | '?' | '@' | '[' | ']' | '_' | '{' | '}'
            | '\\' | '¡' | '§' | '«' | '¶' | '·' | '»' | '¿' | '\u{2016}'..='\u{2027}' | '\u{2030}'..='\u{205E}'
    )
}

/// Marks that combine with the letter before them.
fn is_accent(character: char) -> bool {
    matches!(u32::from(character), 0x0300..=0x036F | 0x1AB0..=0x1AFF | 0x1DC0..=0x1DFF | 0x20D0..=0x20FF | 0xFE20..=0xFE2F)
}

/// The words of a text, folded, in order.
pub(crate) fn words(text: &str) -> Vec<String> {
    let folded = fold(text);
    folded
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The text of a narrative: XHTML without tags and comments, its character references read. A tag ends a word.
pub(crate) fn text_of(xhtml: &str) -> String {
    let mut text = String::with_capacity(xhtml.len());
    let mut rest = xhtml;
    while let Some((before, markup)) = rest.split_once('<') {
        push_text(&mut text, before);
        text.push(' ');
        rest = behind_markup(markup);
    }
    push_text(&mut text, rest);
    text
}

/// What follows a tag or comment; nothing when it does not end.
fn behind_markup(markup: &str) -> &str {
    if let Some(comment) = markup.strip_prefix("!--") {
        return comment.split_once("-->").map_or("", |(_, rest)| rest);
    }
    let mut quote = None;
    for (at, character) in markup.char_indices() {
        match (quote, character) {
            (None, '>') => return markup.get(at + 1..).unwrap_or_default(),
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            _ => {}
        }
    }
    ""
}

/// Longest name of a character reference; a `&` without a `;` this near stands for itself.
const REFERENCE_MAX: usize = 10;

fn push_text(text: &mut String, mut rest: &str) {
    while let Some((before, behind)) = rest.split_once('&') {
        text.push_str(before);
        let end = behind.bytes().take(REFERENCE_MAX).position(|byte| byte == b';');
        let name = end.and_then(|end| behind.get(..end)).unwrap_or_default();
        match character_of(name) {
            Some(character) => {
                text.push(character);
                rest = behind.get(name.len() + 1..).unwrap_or_default();
            }
            None => {
                text.push(' ');
                rest = behind;
            }
        }
    }
    text.push_str(rest);
}

fn character_of(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some(' '),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)
        }
    }
}

/// Whether each of these (folded) is the beginning of a word in some text of the resource; its narrative counts without
/// tags, the names of its members do not count.
pub(crate) fn occur_in(resource: &Node<'_>, wanted: &[String]) -> bool {
    let mut missing: Vec<&str> = wanted.iter().map(String::as_str).collect();
    strike_out(resource, &mut missing);
    missing.is_empty()
}

fn strike_out(node: &Node<'_>, missing: &mut Vec<&str>) {
    let mut strike = |text: &str| {
        let words = words(text);
        missing.retain(|wanted| !words.iter().any(|word| word.starts_with(wanted)));
    };
    match node {
        Node::Null | Node::Bool(_) => {}
        Node::Number(text) | Node::String(text) => strike(text),
        Node::Array(elements) => elements.iter().for_each(|element| strike_out(element, missing)),
        Node::Object(members) => {
            for (name, value) in members {
                match value.as_str().filter(|_text| name == "div") {
                    Some(xhtml) => strike_out(&Node::String(text_of(xhtml).into()), missing),
                    None => strike_out(value, missing),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{fold, fold_phrase, occur_in, text_of, words};
    use crate::json;

    #[test]
    fn punctuation_and_more_than_one_space_do_not_matter_in_a_phrase() {
        for (text, phrase) in [
            ("O'Brien, J.", "obrien j"),
            ("  12\t Main  St. ", "12 main st"),
            ("Smith-Jones", "smith jones"),
            ("Smith – Jönes", "smith jones"),
            ("+++", "+++"),
            (" -- ", "--"),
            ("5 %", "5 %"),
        ] {
            assert_eq!(fold_phrase(text), phrase);
            assert_eq!(fold_phrase(phrase), phrase);
        }
    }

    #[test]
    fn case_and_accents_do_not_matter() {
        for (text, folded) in [("ÉMILE", "emile"), ("Müller", "muller"), ("Ångström", "angstrom"), ("ÖÐ", "oð")]
        {
            assert_eq!(fold(text), folded);
        }
    }

    #[track_caller]
    fn check(xhtml: &str, expected: &[&str]) {
        assert_eq!(words(&text_of(xhtml)), expected, "{xhtml}");
    }

    #[test]
    fn a_narrative_is_its_text() {
        check("<div>Heart <b>rate</b>: 61/min</div>", &["heart", "rate", "61", "min"]);
        check("<p>one</p><p>two</p>", &["one", "two"]);
        check("<a title='a > b' href=\"x\">link</a>", &["link"]);
        check("<!-- <p>not this</p> -->this", &["this"]);
        check(
            "M&uuml; &#77;&#xFC;ller &amp; Fr&#233;d&nbsp;x &unknown; a&b",
            &["m", "uuml", "muller", "fred", "x", "unknown", "a", "b"],
        );
        check("open <b never closed", &["open"]);
        check("&#x110000;&#;&;", &["x110000"]);
        check("", &[]);
    }

    #[test]
    fn words_occur_anywhere_but_in_names_and_tags() {
        let resource = r#"{"resourceType":"Patient","text":{"div":"<div class='secret'>Seen <i>today</i></div>"},
            "name":[{"family":"Müller","given":["Zoë"]}],"multipleBirthInteger":3}"#;
        let resource = json::parse(resource.as_bytes()).unwrap();
        for (wanted, expected) in [
            ("mull zo", true),
            ("TODAY patient", true),
            ("3", true),
            ("secret", false),
            ("family", false),
            ("uller", false),
        ] {
            assert_eq!(occur_in(&resource, &words(wanted)), expected, "{wanted}");
        }
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(text in "\\PC{0,8}") {
            prop_assert_eq!(fold(&fold(&text)), fold(&text));
        }

        #[test]
        fn any_markup_comes_to_an_end(xhtml in "[<>!&;#x0-9a\"' -]{0,40}") {
            prop_assert!(!text_of(&xhtml).contains("<!"));
        }
    }
}
