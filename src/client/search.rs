//! Searches by identifier, to the last page, checked against what was asked.
//!
//! A server that does not know a parameter may ignore it and answer with everybody, and one may match the beginning of a
//! long value. So a resource counts only when it carries the identifier that was searched.

use serde_json::{Map, Value};

use super::bundle::{Answer, Request, search_token};
use super::{GivenUp, Link};

/// Pages of one search. More hits are refused in any case (ID-5, OB-2).
const PAGES_MAX: usize = 100;

/// An identifier as it is searched; without a system it matches any.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Token {
    /// Type of the resources searched.
    pub(crate) resource_type: &'static str,
    /// `Identifier.system`
    pub(crate) system: Option<String>,
    /// `Identifier.value`
    pub(crate) value: String,
}

/// A resource that carries the identifier searched.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hit {
    /// Its logical id.
    pub(crate) id: String,
    /// Its version, when the server tells.
    pub(crate) version: Option<String>,
    /// All of it.
    pub(crate) resource: Map<String, Value>,
}

/// The hits of a search on all its pages, or the answer of a server that does not search.
pub(crate) type Searched = Result<Vec<Hit>, Answer>;

impl Token {
    /// The search, relative to the base.
    pub(crate) fn url(&self) -> String {
        format!("{}?identifier={}", self.resource_type, search_token(self.system.as_deref(), &self.value))
    }

    fn is_carried_by(&self, resource: &Map<String, Value>) -> bool {
        let identifiers = match resource.get("identifier") {
            Some(Value::Array(identifiers)) => identifiers.as_slice(),
            // Some types have one, which is no list.
            Some(identifier) => std::slice::from_ref(identifier),
            None => &[],
        };
        identifiers.iter().any(|identifier| {
            let text = |member| identifier.get(member).and_then(Value::as_str);
            let system_fits = self.system.is_none() || text("system") == self.system.as_deref();
            system_fits && text("value") == Some(self.value.as_str())
        })
    }
}

impl Link {
    /// What the server finds by each of these identifiers.
    ///
    /// # Errors
    /// When the program ends first.
    pub(crate) async fn search(&self, tokens: &[Token]) -> Result<Vec<Searched>, GivenUp> {
        Ok(self.read_and_search(&[], tokens).await?.1)
    }

    /// The answers to requests, and what the server finds by each of these identifiers: all in one Bundle, but for
    /// further pages.
    ///
    /// # Errors
    /// When the program ends first.
    pub(crate) async fn read_and_search(
        &self,
        reads: &[Request],
        tokens: &[Token],
    ) -> Result<(Vec<Answer>, Vec<Searched>), GivenUp> {
        let mut searched: Vec<Searched> = tokens.iter().map(|_| Ok(Vec::new())).collect();
        let mut open: Vec<(usize, Request)> = tokens.iter().map(|token| get(token.url())).enumerate().collect();
        let requests: Vec<Request> = reads.iter().chain(open.iter().map(|(_, page)| page)).cloned().collect();
        let mut answers = self.exchange(&requests).await?;
        let mut pages = answers.split_off(reads.len().min(answers.len()));
        for _page in 0..PAGES_MAX {
            let mut next = Vec::new();
            for ((place, _), page) in open.into_iter().zip(pages) {
                if let (Some(token), Some(searched)) = (tokens.get(place), searched.get_mut(place)) {
                    next.extend(self.keep_page(token, searched, page).map(|url| (place, get(url))));
                }
            }
            if next.is_empty() {
                break;
            }
            let requests: Vec<Request> = next.iter().map(|(_, page)| page.clone()).collect();
            pages = self.exchange(&requests).await?;
            open = next;
        }
        Ok((answers, searched))
    }

    /// Adds a page to what was found; gives the address of the next one, relative to the base.
    fn keep_page(&self, token: &Token, searched: &mut Searched, page: Answer) -> Option<String> {
        let read = page.resource.as_ref().filter(|_| page.status == 200).and_then(|found| read(found, token));
        let Some(read) = read else {
            *searched = Err(page);
            return None;
        };
        if let Ok(hits) = searched {
            hits.extend(read.hits);
        }
        read.next.and_then(|url| self.client().relative(&url))
    }
}

fn get(url: String) -> Request {
    Request::Get { url }
}

/// A page of a search.
#[derive(Debug, Default)]
struct SearchPage {
    /// The resources that carry the identifier.
    hits: Vec<Hit>,
    /// Where the next page is (ID-18).
    next: Option<String>,
}

/// Reads a searchset. What is not one has no hits; `None` says so, so that nothing is created for want of an answer.
fn read(searchset: &[u8], token: &Token) -> Option<SearchPage> {
    let Ok(Value::Object(mut bundle)) = serde_json::from_slice(searchset) else { return None };
    if bundle.get("resourceType").and_then(Value::as_str) != Some("Bundle") {
        return None;
    }
    let entries = match bundle.remove("entry") {
        Some(Value::Array(entries)) => entries,
        None => Vec::new(),
        Some(_) => return None,
    };
    let hits = entries.into_iter().filter_map(|entry| hit(entry, token)).collect();
    Some(SearchPage { hits, next: next(&bundle) })
}

fn hit(mut entry: Value, token: &Token) -> Option<Hit> {
    let Value::Object(resource) = entry.get_mut("resource")?.take() else { return None };
    let is_type = resource.get("resourceType").and_then(Value::as_str) == Some(token.resource_type);
    if !is_type || !token.is_carried_by(&resource) {
        return None;
    }
    let id = resource.get("id")?.as_str()?.to_owned();
    let meta = resource.get("meta");
    let version = meta.and_then(|meta| meta.get("versionId")).and_then(Value::as_str).map(str::to_owned);
    Some(Hit { id, version, resource })
}

fn next(bundle: &Map<String, Value>) -> Option<String> {
    let links = bundle.get("link")?.as_array()?;
    let link = links.iter().find(|link| link.get("relation").and_then(Value::as_str) == Some("next"))?;
    link.get("url")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Token, read};

    #[test]
    fn ob_1_id_5_resources_without_the_identifier_searched_are_no_hits() {
        let token = Token { resource_type: "Device", system: Some("urn:s".to_owned()), value: "d".to_owned() };
        let device = |system, value| json!({"resource": {"resourceType": "Device", "id": "x", "identifier": [{"system": system, "value": value}]}});
        let bundle = json!({"resourceType": "Bundle", "link": [{"relation": "next", "url": "n"}],
            "entry": [device("urn:s", "d"), device("urn:t", "d"), device("urn:s", "dd")]});
        let page = read(bundle.to_string().as_bytes(), &token).unwrap();
        assert_eq!((page.hits.len(), page.next.as_deref()), (1, Some("n")));
        assert!(read(br#"{"resourceType":"OperationOutcome"}"#, &token).is_none());
    }
}
