//! References within a transaction: to other entries by their `fullUrl`, and conditional ones such as
//! `Patient?identifier=system|value`.
//!
//! They are looked for in the member `reference` of any element, and replaced in the text as sent, so that nothing else
//! of it changes. Not replaced are links in narrative and elements of type `uri`.

use std::collections::{HashMap, HashSet};

use crate::fhir::api::error::{ApiError, Category};
use crate::json::{self, Node};

/// The references of a resource that cannot be stored as they are.
pub(super) fn unresolved(text: &[u8], full_urls: &HashSet<String>) -> Result<Vec<String>, ApiError> {
    let mut found = Vec::new();
    if !text.is_empty() {
        let node = json::parse(text).map_err(|_read_before| ApiError::new(Category::Structure, "Not JSON."))?;
        collect(&node, &mut found);
    }
    found.retain(|reference| {
        is_conditional(reference) || reference.starts_with("urn:") || full_urls.contains(reference)
    });
    Ok(found)
}

/// Whether a reference is a search: a relative URL with a query.
pub(super) fn is_conditional(reference: &str) -> bool {
    reference
        .split_once('?')
        .is_some_and(|(path, _)| !path.is_empty() && path.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

fn collect(node: &Node<'_>, found: &mut Vec<String>) {
    for (name, value) in node.members() {
        match value.as_str() {
            Some(reference) if name == "reference" => found.push(reference.to_owned()),
            _ => collect(value, found),
        }
    }
    node.elements().iter().for_each(|element| collect(element, found));
}

/// The text with each reference in the map replaced by what it stands for.
///
/// # Errors
/// When a reference is spelled with escapes where the text has to be changed.
pub(super) fn replace(text: &[u8], replacements: &HashMap<String, String>) -> Result<Vec<u8>, ApiError> {
    let mut replaced = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, value, after)) = next_reference(rest) {
        replaced.extend_from_slice(before);
        let replacement = std::str::from_utf8(value)
            .ok()
            .and_then(|value| serde_json::from_str::<String>(value).ok())
            .and_then(|reference| replacements.get(&reference));
        match replacement {
            Some(target) => replaced.extend_from_slice(Node::String(target.as_str().into()).to_string().as_bytes()),
            None => replaced.extend_from_slice(value),
        }
        rest = after;
    }
    replaced.extend_from_slice(rest);
    let mut left = Vec::new();
    if let Ok(node) = json::parse(&replaced) {
        collect(&node, &mut left);
    }
    if left.iter().any(|reference| replacements.contains_key(reference)) {
        let detail = "A `reference` that stands for another entry has a name spelled with escapes. Write it plainly.";
        return Err(ApiError::new(Category::Structure, detail));
    }
    Ok(replaced)
}

/// What stands before the value of the next member `reference`, the string that is its value, and what follows.
fn next_reference(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    const NAME: &[u8] = br#""reference""#;
    let mut from = 0;
    loop {
        let name = find(text.get(from..)?, NAME)? + from;
        from = name + NAME.len();
        // A quote behind a backslash is inside a string.
        if name.checked_sub(1).and_then(|before| text.get(before)) == Some(&b'\\') {
            continue;
        }
        let Some(value) = value_behind(text, from) else { continue };
        let end = value + string_length(text.get(value..)?)?;
        return Some((text.get(..value)?, text.get(value..end)?, text.get(end..)?));
    }
}

/// Where the string behind a colon begins.
fn value_behind(text: &[u8], from: usize) -> Option<usize> {
    let colon = skip_space(text, from);
    let value = skip_space(text, colon + 1);
    (text.get(colon) == Some(&b':') && text.get(value) == Some(&b'"')).then_some(value)
}

fn skip_space(text: &[u8], from: usize) -> usize {
    let space = text.iter().skip(from).take_while(|byte| byte.is_ascii_whitespace()).count();
    from + space
}

/// The length of the string that begins here, quotes included.
fn string_length(text: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    for (index, byte) in text.iter().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return Some(index + 1),
            _ => {}
        }
    }
    None
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::replace;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let replacements = HashMap::from([("urn:uuid:1".to_owned(), "Patient/a".to_owned())]);
        assert_eq!(String::from_utf8(replace(text.as_bytes(), &replacements).unwrap()).unwrap(), expected);
    }

    #[test]
    fn references_are_replaced_and_nothing_else_changes() {
        check(
            r#"{ "subject" : { "reference" : "urn:uuid:1" }, "value": 65.00, "x": "urn:uuid:1" }"#,
            r#"{ "subject" : { "reference" : "Patient/a" }, "value": 65.00, "x": "urn:uuid:1" }"#,
        );
        check(r#"{"reference":"urn\u003auuid:1"}"#, r#"{"reference":"Patient/a"}"#);
        check(r#"{"reference":{"reference":"urn:uuid:1"}}"#, r#"{"reference":{"reference":"Patient/a"}}"#);
        check(
            r#"{"text":"say \"reference\":\"urn:uuid:1\"","a":"reference","reference":"urn:uuid:2"}"#,
            r#"{"text":"say \"reference\":\"urn:uuid:1\"","a":"reference","reference":"urn:uuid:2"}"#,
        );
    }

    #[test]
    fn a_name_with_escapes_is_refused_rather_than_left() {
        let replacements = HashMap::from([("urn:uuid:1".to_owned(), "Patient/a".to_owned())]);
        assert!(replace(br#"{"r\u0065ference":"urn:uuid:1"}"#, &replacements).is_err());
    }
}
