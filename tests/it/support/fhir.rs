//! A FHIR client that knows nothing of the server but its address.

use reqwest::header::HeaderMap;
use reqwest::{Body, Client, Method, Response};
use serde_json::{Value, json};

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

    /// The same client over HTTP/2 without TLS.
    pub(crate) fn over_http_2(base: String) -> Self {
        let client = Client::builder().http2_prior_knowledge().build().unwrap();
        Self { client, ..Self::new(base) }
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

    /// The status of the answer to a request with a JSON body, unless the server is gone.
    pub(crate) async fn try_send(&self, method: Method, path: &str, body: &Value) -> Result<u16, reqwest::Error> {
        let request = self.client.request(method, format!("{}/{path}", self.base));
        let request = request.header("content-type", "application/fhir+json").body(body.to_string());
        request.send().await.map(|response| response.status().as_u16())
    }

    /// A request with a body as it stands; the headers may say another type than FHIR's JSON.
    pub(crate) async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}/{path}", self.base) };
        let mut request = self.client.request(method.parse().unwrap(), url).body(body);
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/fhir+json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap() }
    }

    /// GET, whatever comes of it.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.raw("GET", path, &[], "").await
    }

    /// PUT of a resource to the URL of its type and id.
    pub(crate) async fn put(&self, resource: &Value) -> Answer {
        let path = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        self.raw("PUT", &path, &[], resource.to_string()).await
    }

    /// POST of a Bundle of this type.
    pub(crate) async fn bundle(&self, kind: &str, entries: &[Value]) -> Answer {
        let bundle = json!({ "resourceType": "Bundle", "type": kind, "entry": entries });
        self.raw("POST", "", &[], bundle.to_string()).await
    }

    /// The ids of the entries of a search that are there in this mode (`match`, `include`), in order.
    pub(crate) async fn ids(&self, search: &str, mode: &str) -> Vec<String> {
        entry_ids(&self.get(search).await.check(200).json(), mode)
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

/// The ids of the entries of a searchset that are there in this mode, in order.
pub(crate) fn entry_ids(bundle: &Value, mode: &str) -> Vec<String> {
    let entries = bundle["entry"].as_array().map_or(&[][..], Vec::as_slice);
    let of_mode = entries.iter().filter(|entry| entry["search"]["mode"] == mode);
    of_mode.map(|entry| entry["resource"]["id"].as_str().unwrap().to_owned()).collect()
}

/// An answer, read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// The value of a header, empty without it.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// All values of a header, joined.
    pub(crate) fn header_values(&self, name: &str) -> String {
        let values: Vec<&str> = self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect();
        values.join(", ")
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{self:?}"))
    }

    #[track_caller]
    pub(crate) fn check(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// The answer is an OperationOutcome with this status, issue code and part of the explanation.
    #[track_caller]
    pub(crate) fn check_outcome(self, status: u16, code: &str, says: &str) -> Self {
        let answer = self.check(status);
        assert_eq!(answer.header("content-type"), "application/fhir+json; charset=utf-8");
        let outcome = answer.json();
        let issue = &outcome["issue"][0];
        assert_eq!(
            (&outcome["resourceType"], &issue["code"]),
            (&json!("OperationOutcome"), &json!(code)),
            "{answer:?}"
        );
        assert!(issue["diagnostics"].as_str().unwrap().contains(says), "{answer:?}");
        answer
    }

    /// The statuses of the entries of a response Bundle.
    pub(crate) fn entry_statuses(&self) -> Vec<String> {
        let bundle = self.json();
        let statuses = bundle["entry"].as_array().unwrap().iter().map(|entry| &entry["response"]["status"]);
        statuses.map(|status| status.as_str().unwrap()[..3].to_owned()).collect()
    }
}
