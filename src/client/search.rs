//! Searches by identifier, to the last page, checked against what was asked.
//!
//! A server that does not know a parameter may ignore it and answer with everybody, and one may match the beginning of a
//! long value. So a resource counts only when it carries the identifier that was searched.

use serde_json::{Map, Value};

use super::bundle::{Answer, Request, search_token};
use super::{GivenUp, Link};

/// Pages of one search. One that has more finds nearly everybody: the server does not know the parameter.
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

/// The hits of a search on all its pages, each once, or the answer that makes an end of it: without all pages nobody knows
/// whether an identifier is unique.
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
                return Ok((answers, searched));
            }
            let requests: Vec<Request> = next.iter().map(|(_, page)| page.clone()).collect();
            pages = self.exchange(&requests).await?;
            open = next;
        }
        for (place, _) in open {
            if let Some(searched) = searched.get_mut(place) {
                *searched = Err(endless());
            }
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
        let next = read.next.map(|url| self.client().relative(&url));
        match (searched, next) {
            (searched, Some(None)) => {
                *searched = Err(elsewhere());
                None
            }
            (Ok(hits), next) => {
                for hit in read.hits {
                    // While others write, a resource may move from one page to the next.
                    if hits.iter().all(|known| known.id != hit.id) {
                        hits.push(hit);
                    }
                }
                next.flatten()
            }
            (Err(_), _) => None,
        }
    }
}

fn endless() -> Answer {
    unfinished(format!("it has more than {PAGES_MAX} pages"))
}

fn elsewhere() -> Answer {
    unfinished("its next page is not below the base of the FHIR server".to_owned())
}

fn unfinished(why: String) -> Answer {
    Answer { status: 200, diagnosis: Some(why), ..Answer::default() }
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
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::{Value, json};

    use super::{PAGES_MAX, Token, read};
    use crate::client::simulated_wire::SimulatedWire;

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

    fn page(ids: &[&str], next: Option<&str>) -> Value {
        let device =
            |id: &&str| json!({"resource": {"resourceType": "Device", "id": id, "identifier": [{"value": "d"}]}});
        let entries: Vec<Value> = ids.iter().map(device).collect();
        let links: Vec<Value> = next.iter().map(|url| json!({"relation": "next", "url": url})).collect();
        json!({"resourceType": "Bundle", "link": links, "entry": entries})
    }

    /// The ids found on pages, the first of which is the answer to the search; or why there are none.
    async fn found(pages: impl Fn(&str) -> Value + Send + Sync + 'static) -> Result<Vec<String>, String> {
        let link = SimulatedWire::reading(pages).link();
        let token = Token { resource_type: "Device", system: None, value: "d".to_owned() };
        let searched = link.search(&[token]).await.unwrap().remove(0);
        let ids = searched.map(|hits| hits.into_iter().map(|hit| hit.id).collect());
        ids.map_err(|answer| answer.diagnosis.unwrap_or_default())
    }

    #[tokio::test]
    async fn id_18_all_pages_are_followed_and_a_resource_on_two_of_them_counts_once() {
        let pages = |url: &str| match url {
            "Device?identifier=d" => page(&["a"], Some("http://simulated/fhir?page=2")),
            "?page=2" => page(&[], Some("http://simulated/fhir?page=3")),
            "?page=3" => page(&["a", "b"], None),
            _ => panic!("{url}"),
        };
        assert_eq!(found(pages).await.unwrap(), ["a", "b"]);
    }

    #[tokio::test]
    async fn id_18_without_all_pages_there_is_no_answer() {
        let elsewhere = |_: &str| page(&["a"], Some("http://elsewhere/fhir?page=2"));
        assert!(found(elsewhere).await.unwrap_err().contains("not below the base"));
        let endless = |_: &str| page(&["a"], Some("http://simulated/fhir?page=2"));
        assert!(found(endless).await.unwrap_err().contains("more than 100 pages"));
        let refused = |url: &str| match url {
            "Device?identifier=d" => page(&["a"], Some("http://simulated/fhir?page=2")),
            _ => json!({"resourceType": "OperationOutcome"}),
        };
        assert!(found(refused).await.is_err());
        let count = AtomicUsize::new(0);
        let last = move |_: &str| {
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            page(&["a"], (number < PAGES_MAX).then_some("http://simulated/fhir?page=2"))
        };
        assert_eq!(found(last).await.unwrap(), ["a"]);
    }
}
