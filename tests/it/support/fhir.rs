//! A FHIR client that knows nothing of the server but its address.

use reqwest::{Client, Method, Response};
use serde_json::Value;

/// A client of one FHIR server.
pub(crate) struct Fhir {
    client: Client,
    base: String,
}

impl Fhir {
    pub(crate) fn new(base: String) -> Self {
        // The product's tests speak plain HTTP; reqwest wants a TLS provider all the same.
        drop(rustls::crypto::ring::default_provider().install_default());
        Self { client: Client::new(), base }
    }

    /// A request as given; `path` is below the base, or a whole URL.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Response {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}/{path}", self.base) };
        let mut request = self.client.request(method, url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/fhir+json").body(body.to_string());
        }
        request.send().await.unwrap()
    }

    /// GET, which must succeed, as JSON.
    pub(crate) async fn get_json(&self, path: &str) -> Value {
        let response = self.send(Method::GET, path, &[], None).await;
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "GET {path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Number of matches of a search.
    pub(crate) async fn count(&self, search: &str) -> u64 {
        let separator = if search.contains('?') { '&' } else { '?' };
        self.get_json(&format!("{search}{separator}_summary=count")).await["total"].as_u64().unwrap()
    }

    /// All matches of a search, page by page.
    pub(crate) async fn all(&self, search: &str) -> Vec<Value> {
        let mut resources = Vec::new();
        let mut next = Some(search.to_owned());
        while let Some(page) = next {
            let mut bundle = self.get_json(&page).await;
            if let Some(entries) = bundle["entry"].as_array_mut() {
                resources.extend(entries.iter_mut().map(|entry| entry["resource"].take()));
            }
            next = link(&bundle, "next");
        }
        resources
    }
}

/// The URL of a link of a Bundle.
pub(crate) fn link(bundle: &Value, relation: &str) -> Option<String> {
    let links = bundle["link"].as_array()?;
    let link = links.iter().find(|link| link["relation"] == relation)?;
    link["url"].as_str().map(str::to_owned)
}
