//! Narratives: XHTML that is passed on as it is written.

use quick_xml::escape::{resolve_predefined_entity, unescape};
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

use super::is_character;
use crate::json;

/// The namespace of narratives.
pub(super) const XHTML: &str = "http://www.w3.org/1999/xhtml";

/// Most attributes of an element in a narrative.
const ATTRIBUTES_MAX: usize = 64;

/// Whether a text is one `div` of XHTML that can stand in any XML document as it is.
pub(super) fn is_division(text: &str) -> bool {
    text.chars().all(is_character) && contains_only_a_division(text).unwrap_or(false)
}

/// `None` where the text is not well-formed.
fn contains_only_a_division(text: &str) -> Option<bool> {
    let mut reader = NsReader::from_str(text);
    reader.config_mut().enable_all_checks(true);
    reader.config_mut().expand_empty_elements = true;
    let (mut depth, mut divisions) = (0_usize, 0_usize);
    loop {
        let (namespace, event) = reader.read_resolved_event().ok()?;
        match event {
            Event::Start(start) => {
                let is_ours =
                    matches!(namespace, ResolveResult::Bound(bound) if bound.into_inner() == XHTML.as_bytes());
                if !is_ours || !has_sound_attributes(&start) {
                    return None;
                }
                if depth == 0 {
                    divisions += usize::from(start.name().into_inner() == b"div");
                }
                depth += 1;
                if depth > json::DEPTH_MAX {
                    return None;
                }
            }
            Event::End(_) => depth = depth.checked_sub(1)?,
            Event::GeneralRef(reference) => {
                let name = reference.decode().ok()?;
                let is_known = reference.is_char_ref() || resolve_predefined_entity(&name).is_some();
                if depth == 0 || !is_known || !is_sound(&format!("&{name};")) {
                    return None;
                }
            }
            Event::Text(text) if depth == 0 && !text.iter().all(u8::is_ascii_whitespace) => return None,
            Event::CData(_) if depth == 0 => return None,
            Event::Text(_) | Event::CData(_) | Event::Comment(_) => {}
            Event::Decl(_) | Event::PI(_) | Event::DocType(_) | Event::Empty(_) => return None,
            Event::Eof => return Some(depth == 0 && divisions == 1),
        }
    }
}

fn has_sound_attributes(start: &BytesStart<'_>) -> bool {
    start.attributes().enumerate().all(|(index, attribute)| {
        let value = attribute.ok().and_then(|attribute| String::from_utf8(attribute.value.into_owned()).ok());
        index < ATTRIBUTES_MAX && value.is_some_and(|value| !value.contains('<') && is_sound(&value))
    })
}

/// Whether text has no reference to what XML does not have.
fn is_sound(text: &str) -> bool {
    unescape(text).is_ok_and(|text| text.chars().all(is_character))
}

#[cfg(test)]
mod tests {
    use super::is_division;

    #[test]
    fn a_narrative_is_one_well_formed_division() {
        for sound in [
            r#"<div xmlns="http://www.w3.org/1999/xhtml"/>"#,
            r#" <div xmlns="http://www.w3.org/1999/xhtml"><!-- a --><p class='b'>1 &lt; 2 &#160;<br/></p></div>"#,
        ] {
            assert!(is_division(sound), "{sound}");
        }
        for broken in [
            "",
            "text",
            "<div>no namespace</div>",
            r#"<p xmlns="http://www.w3.org/1999/xhtml">no div</p>"#,
            r#"<div xmlns="http://www.w3.org/1999/xhtml"><p></div>"#,
            r#"<div xmlns="http://www.w3.org/1999/xhtml">"#,
            r#"<div xmlns="http://www.w3.org/1999/xhtml"/><div xmlns="http://www.w3.org/1999/xhtml"/>"#,
            r#"<div xmlns="http://www.w3.org/1999/xhtml"/></text><status value="generated"/><text>"#,
            r#"<div xmlns="http://www.w3.org/1999/xhtml">&nbsp;</div>"#,
            r#"<div xmlns="http://www.w3.org/1999/xhtml">&#1;</div>"#,
            r#"<div xmlns="http://www.w3.org/1999/xhtml" class="&nbsp;"/>"#,
            r#"<div xmlns="http://www.w3.org/1999/xhtml" class="a<b"/>"#,
            r#"<div xmlns="http://www.w3.org/1999/xhtml" class="a" class="b"/>"#,
            r#"<!DOCTYPE div><div xmlns="http://www.w3.org/1999/xhtml"/>"#,
            r#"<div xmlns="http://www.w3.org/1999/xhtml"><a xmlns="urn:other"/></div>"#,
            "<div xmlns=\"http://www.w3.org/1999/xhtml\">\u{1}</div>",
        ] {
            assert!(!is_division(broken), "{broken}");
        }
    }
}
