//! The sound of a name: American Soundex, which the registries that ask for it know. Twenty lines of our own are easier to
//! trust than a crate of a dozen algorithms of which one is used.

use super::super::string::Form;
use crate::fhir::store::IndexValue;
use crate::fhir::words::words;
use crate::json::Node;

/// The codes of the words of one element.
pub(in crate::fhir::search) fn extract(form: Form, node: &Node<'_>, emit: &mut impl FnMut(IndexValue)) {
    form.texts(node, &mut |text| {
        for word in words(text) {
            let code = soundex(&word);
            emit(IndexValue::String { folded: code.clone(), exact: code });
        }
    });
}

/// The Soundex code of a folded word: a letter and three digits. A word without Latin letters is its own code.
pub(in crate::fhir::search) fn soundex(word: &str) -> String {
    let mut letters = word.chars().filter(char::is_ascii_alphabetic).map(|letter| letter.to_ascii_lowercase());
    let Some(first) = letters.next() else {
        return word.to_owned();
    };
    let mut code = String::from(first.to_ascii_uppercase());
    let mut last = digit(first);
    for letter in letters {
        let digit = digit(letter);
        if let Some(digit) = digit
            && Some(digit) != last
        {
            code.push(digit);
        }
        // Letters of one sound count once, also with an `h` or `w` between them, but not with a vowel between them.
        if !matches!(letter, 'h' | 'w') {
            last = digit;
        }
    }
    code.push_str("000");
    code.truncate(4);
    code
}

fn digit(letter: char) -> Option<char> {
    Some(match letter {
        'b' | 'f' | 'p' | 'v' => '1',
        'c' | 'g' | 'j' | 'k' | 'q' | 's' | 'x' | 'z' => '2',
        'd' | 't' => '3',
        'l' => '4',
        'm' | 'n' => '5',
        'r' => '6',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::soundex;

    #[test]
    fn names_that_sound_alike_have_one_code() {
        for (name, code) in [
            ("robert", "R163"),
            ("rupert", "R163"),
            ("rubin", "R150"),
            ("ashcraft", "A261"),
            ("ashcroft", "A261"),
            ("tymczak", "T522"),
            ("pfister", "P236"),
            ("honeyman", "H555"),
            ("lee", "L000"),
            ("muller", "M460"),
            ("李", "李"),
        ] {
            assert_eq!(soundex(name), code, "{name}");
        }
    }
}
