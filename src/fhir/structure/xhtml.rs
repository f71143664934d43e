//! Narrative: the XHTML in which a resource says itself to people
//! (<https://hl7.org/fhir/R4/narrative.html#xhtml>, rules txt-1 and txt-2).
//!
//! What one client stores, others show in their pages. So nothing passes but well-nested elements and attributes of the
//! list, and addresses that run no script.

/// Elements of formatted text.
const ELEMENTS: &str = "a abbr acronym b big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2 h3 h4 h5 \
    h6 hr i img li ol p pre q samp small span strong sub sup table tbody td tfoot th thead tr tt ul var";

/// Their attributes, besides those of XML itself.
const ATTRIBUTES: &str = "abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign char \
    charoff charset cite class colspan compact coords dir frame headers height href hreflang hspace id \
    lang longdesc name nowrap rel rev rowspan rules scope shape span src start style summary tabindex \
    title type valign value vspace width";

/// Schemes of addresses that lead somewhere without running anything.
const SCHEMES: [&str; 5] = ["http", "https", "mailto", "tel", "urn"];

/// Deepest nesting.
const DEPTH_MAX: usize = 128;

const NAMESPACE: &str = "http://www.w3.org/1999/xhtml";

/// What is wrong with a narrative, and how to mend it.
type Fault = &'static str;

/// Whether a text is one `div` of formatted text that says something.
///
/// # Errors
/// When it is not.
pub(super) fn check(text: &str) -> Result<(), Fault> {
    let mut rest = text.trim();
    let mut open: Vec<&str> = Vec::new();
    let mut says_something = false;
    loop {
        let (words, markup) = rest.split_once('<').unwrap_or((rest, ""));
        if open.is_empty() && (!words.is_empty() || rest.is_empty()) {
            return Err("one XHTML `<div>`: nothing stands before or behind it");
        }
        check_words(words)?;
        says_something |= !words.trim().is_empty();
        if let Some(comment) = markup.strip_prefix("!--") {
            rest = comment.split_once("-->").ok_or("XHTML whose comments end")?.1;
            continue;
        }
        let tag;
        (tag, rest) = split_tag(markup).ok_or("XHTML whose elements are closed")?;
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop() != Some(name.trim_end()) {
                return Err("XHTML whose elements are closed in the reverse of the order in which they are opened");
            }
        } else {
            let (tag, is_closed) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
            let name = element(tag, open.is_empty())?;
            says_something |= name == "img";
            if !is_closed {
                open.push(name);
            }
            if open.len() > DEPTH_MAX {
                return Err("XHTML of at most 128 elements within each other");
            }
        }
        if open.is_empty() {
            break;
        }
    }
    match (rest, says_something) {
        ("", true) => Ok(()),
        ("", false) => Err("XHTML with some text or an image"),
        _ => Err("one XHTML `<div>`: nothing stands before or behind it"),
    }
}

/// The inside of a tag, and what follows it. A `>` within quotes does not end it.
fn split_tag(markup: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    let end = markup.find(|letter| {
        match (quote, letter) {
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            _ => {}
        }
        quote.is_none() && letter == '>'
    })?;
    Some((markup.get(..end)?, markup.get(end + 1..)?))
}

/// The name of the element that a tag opens.
fn element(tag: &str, is_root: bool) -> Result<&str, Fault> {
    let (name, mut rest) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
    if !lists(ELEMENTS, name) {
        return Err("XHTML of text, lists, tables, links and images alone: no scripts, forms, frames or styles");
    }
    let mut namespace = "";
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            break;
        }
        let (name, value);
        (name, value, rest) = attribute(rest).ok_or("XHTML whose attributes have values in quotes")?;
        match name {
            "xmlns" => namespace = value,
            "xml:lang" | "xml:id" | "xml:space" => {}
            "src" if value.starts_with("data:image/") => {}
            "href" | "src" if !is_harmless(value) => {
                return Err("XHTML whose links and images lead to `http`, `https`, `mailto`, `tel` or within it");
            }
            _ if !lists(ATTRIBUTES, name) => {
                return Err("XHTML with attributes of formatted text alone: none that run scripts");
            }
            _ => {}
        }
        check_words(value)?;
    }
    match (is_root, name, namespace) {
        (true, "div", NAMESPACE) | (false, _, "" | NAMESPACE) => Ok(name),
        _ => Err("XHTML that begins with `<div xmlns=\"http://www.w3.org/1999/xhtml\">`"),
    }
}

fn lists(names: &str, name: &str) -> bool {
    names.split(' ').any(|known| known == name)
}

/// Name and value of the first attribute, and what follows.
fn attribute(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.split_once('=')?;
    let rest = rest.trim_start();
    let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let (value, rest) = rest.get(1..)?.split_once(quote)?;
    Some((name.trim_end(), value, rest))
}

/// Whether following an address runs nothing. Spelled with references or control characters it could hide its scheme.
fn is_harmless(address: &str) -> bool {
    let before_path = address.split(['/', '?', '#']).next().unwrap_or_default();
    match before_path.split_once(':') {
        None => !before_path.contains(['&', '\t', '\n', '\r']),
        Some((scheme, _)) => SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme)),
    }
}

/// Text between tags or in an attribute: its `&` begin references.
fn check_words(words: &str) -> Result<(), Fault> {
    let is_reference = |rest: &str| {
        let name = rest.split_once(';').map(|(name, _)| name.strip_prefix('#').unwrap_or(name));
        name.is_some_and(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    };
    if !words.contains('<') && words.split('&').skip(1).all(is_reference) {
        Ok(())
    } else {
        Err("XHTML that writes `&` as `&amp;` and `<` as `&lt;`")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{DEPTH_MAX, check};

    fn div(inner: &str) -> String {
        format!(r#"<div xmlns="http://www.w3.org/1999/xhtml">{inner}</div>"#)
    }

    #[test]
    fn formatted_text_passes() {
        for inner in [
            "x",
            "<p>a &amp; b&nbsp;&#160;&#xA0;</p>",
            "<table class='grid'><tr><td colspan=\"2\">1 > 0</td></tr></table>",
            "<!-- <script> --><p style=\"color:red\" xml:lang=\"de\">x<br/><br />y</p >",
            r##"<a href="https://a/b?c=d&amp;e">x</a><a href="#b">y</a><a href="Patient/1">z</a><a name="n">a > b</a>"##,
            r#"<img src="data:image/png;base64,AA==" alt="x"/>"#,
            r#"<p xmlns="http://www.w3.org/1999/xhtml">x</p>"#,
        ] {
            assert_eq!(check(&div(inner)), Ok(()), "{inner}");
            assert_eq!(check(&format!(" {}\n", div(inner))), Ok(()), "{inner}");
        }
    }

    #[test]
    fn what_runs_or_is_not_well_formed_is_refused() {
        for inner in [
            "",
            " \n",
            "<p>",
            "<p>x</b></p>",
            "</p>x",
            "<script>x</script>",
            "<SCRIPT>x</SCRIPT>",
            "<p onclick=\"x\">x</p>",
            "<p class=x>x</p>",
            "<p class>x</p>",
            "<p class=\"<\">x</p>",
            "<p class=\"x>x</p>",
            "<form>x</form>",
            "<svg><a>x</a></svg>",
            "<p xmlns=\"http://www.w3.org/2000/svg\">x</p>",
            "<!-- x",
            "<![CDATA[x]]>",
            "<?php x ?>",
            "a & b",
            "a &; b",
            r#"<a href="javascript:x">x</a>"#,
            r#"<a href=" JavaScript:x">x</a>"#,
            r#"<a href="java&#115;cript:x">x</a>"#,
            r#"<a href="&#106;avascript&#58;x">x</a>"#,
            r#"<a href="javascript&colon;x">x</a>"#,
            "<a href=\"java\tscript&#58;x\">x</a>",
            r#"<a href="data:text/html,x">x</a>"#,
            r#"<img src="vbscript:x"/>"#,
        ] {
            assert!(check(&div(inner)).is_err(), "{inner}");
        }
        for text in ["", "x", "<div>x</div>", "<p xmlns=\"http://www.w3.org/1999/xhtml\">x</p>"] {
            assert!(check(text).is_err(), "{text}");
        }
        for text in [div("x") + "x", div("x") + &div("x"), format!("x{}", div("x"))] {
            assert!(check(&text).is_err(), "{text}");
        }
        assert!(check(&div(&format!("{}x{}", "<b>".repeat(DEPTH_MAX), "</b>".repeat(DEPTH_MAX)))).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_panic(text in "[<>/=\"'&;! a-c\u{e9}-]{0,40}") {
            prop_assert!(check(&text).is_err());
            let _verdict = check(&div(&text));
        }
    }
}
