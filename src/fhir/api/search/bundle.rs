//! The searchset Bundle, written straight to bytes: stored bodies go in as they are.

use super::gather::{Found, INCLUDED_MAX, Inclusion, ROUNDS_MAX};
use crate::fhir::api::error::{ApiError, Category};
use crate::fhir::search::page::link;
use crate::fhir::search::parse::Search;
use crate::fhir::store::{ResourceKey, Version};
use crate::json::Node;
use crate::r4::outcome::{Issue, Severity, outcome};

/// The Bundle, as JSON.
///
/// # Errors
/// When there is a next page, but the link to it is longer than a URL may be: a search by POST may be longer than one by
/// GET, which is how links are followed.
pub(crate) fn write(base: &str, search: &Search, found: &Found) -> Result<Vec<u8>, ApiError> {
    let links = links(base, search, found);
    match links.iter().find(|(relation, url)| *relation == "next" && url.len() > base.len() + search.link_bytes_max) {
        None => Ok(write_linked(base, &links, search, found)),
        Some((_, url)) => {
            let detail = format!(
                "There are more than the {} matches of this page, and the link to the next one would have {} bytes, more \
                 than this server takes in a URL. Ask for more at a time with `_count`, or for fewer values.",
                search.count,
                url.len()
            );
            Err(ApiError::new(Category::TooCostly, detail))
        }
    }
}

/// The Bundle with links of other relations or to other places than those of a search in a type.
pub(crate) fn write_linked(base: &str, links: &[(&str, String)], search: &Search, found: &Found) -> Vec<u8> {
    let bodies = found.matches.iter().chain(&found.included).filter_map(|version| version.body.as_ref());
    let mut bundle = Vec::with_capacity(512 + bodies.map(|body| body.len() + 256).sum::<usize>());
    bundle.extend_from_slice(br#"{"resourceType":"Bundle","type":"searchset""#);
    if let Some(total) = found.total {
        bundle.extend_from_slice(format!(r#","total":{total}"#).as_bytes());
    }
    write_links(&mut bundle, links);
    let mut entries = Entries { bundle, opened: false };
    for version in &found.matches {
        entries.resource(base, version, "match");
    }
    for version in &found.included {
        entries.resource(base, version, "include");
    }
    for note in notes(search, found) {
        entries.outcome(note);
    }
    entries.close()
}

fn links(base: &str, search: &Search, found: &Found) -> Vec<(&'static str, String)> {
    let first = link(base, search, None);
    let own = match &search.cursor {
        Some(cursor) => with_cursor(&first, cursor),
        None => first.clone(),
    };
    let mut links = vec![("self", own), ("first", first)];
    links.extend(found.next.as_ref().map(|cursor| ("next", link(base, search, Some(cursor)))));
    links
}

fn write_links(bundle: &mut Vec<u8>, links: &[(&str, String)]) {
    let links: Vec<String> =
        links.iter().map(|(relation, url)| format!(r#"{{"relation":"{relation}","url":{}}}"#, text(url))).collect();
    bundle.extend_from_slice(format!(r#","link":[{}]"#, links.join(",")).as_bytes());
}

/// An opened cursor is hexadecimal, so nothing in it needs an escape.
fn with_cursor(first: &str, cursor: &str) -> String {
    let separator = if first.contains('?') { '&' } else { '?' };
    format!("{first}{separator}_cursor={cursor}")
}

fn notes(search: &Search, found: &Found) -> Vec<Issue> {
    let warning = |code, text: String| Issue::new(Severity::Warning, code, text);
    let mut notes = Vec::new();
    if !search.ignored.is_empty() {
        let ignored: Vec<String> = search.ignored.iter().map(|error| format!("Left out: {error}.")).collect();
        notes.push(warning("not-supported", ignored.join(" ")));
    }
    if let Some(most) = search.count_cut_to {
        let text = format!("A page holds at most {most} matches; follow the link `next` for more.");
        notes.push(Issue::new(Severity::Information, "too-costly", text));
    }
    match found.inclusion {
        Inclusion::Complete => {}
        Inclusion::TooMany => {
            let text = format!("More than {INCLUDED_MAX} resources were to be included; some are left out.");
            notes.push(warning("too-costly", text));
        }
        Inclusion::TooDeep => {
            let text = format!("Includes are followed {ROUNDS_MAX} references far; what lies behind is left out.");
            notes.push(warning("too-costly", text));
        }
    }
    notes
}

struct Entries {
    bundle: Vec<u8>,
    opened: bool,
}

impl Entries {
    fn resource(&mut self, base: &str, version: &Version, mode: &str) {
        let Some(body) = &version.body else { return };
        let ResourceKey { resource_type, id } = &version.key;
        let url = text(&format!("{base}/{}/{id}", resource_type.as_str()));
        self.entry(format!(r#""fullUrl":{url},"#).as_bytes(), body, mode);
    }

    fn outcome(&mut self, note: Issue) {
        self.entry(b"", &outcome(&[note]), "outcome");
    }

    fn entry(&mut self, url: &[u8], body: &[u8], mode: &str) {
        let opening: &[u8] = if self.opened { b",{" } else { br#","entry":[{"# };
        self.opened = true;
        for part in [opening, url, br#""resource":"#, body] {
            self.bundle.extend_from_slice(part);
        }
        self.bundle.extend_from_slice(format!(r#","search":{{"mode":"{mode}"}}}}"#).as_bytes());
    }

    fn close(mut self) -> Vec<u8> {
        self.bundle.extend_from_slice(if self.opened { b"]}" } else { b"}" });
        self.bundle
    }
}

fn text(text: &str) -> String {
    Node::String(text.into()).to_string()
}
