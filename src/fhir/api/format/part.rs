//! `_summary` and `_elements`: parts of the resources in an answer, whatever the interaction that reads them.
//!
//! `_summary=count` is no part of a resource: it is a search that counts, and no other interaction takes it.

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use percent_encoding::percent_decode_str;

use super::Form;
use crate::fhir::api::body;
use crate::fhir::api::error::{ApiError, Category, FHIR_JSON};
use crate::fhir::api::limits::decode;
use crate::fhir::api::search::handling;
use crate::fhir::api::state::MOUNT;
use crate::fhir::search::element::Named;
use crate::fhir::search::parse::Handling;
use crate::fhir::subset::{Role, Subset, of_bundle};
use crate::r4::id::is_id;
use crate::r4::resource_type::ResourceType;

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// One resource.
    Resource(Option<ResourceType>),
    /// A Bundle of resources that were searched, of one type or of several.
    Search(Option<ResourceType>),
    /// Another Bundle of resources, of one type or of several.
    Bundle(Option<ResourceType>),
}

/// The part of an answer that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    subset: Subset,
    place: Place,
}

/// Cuts what a read gives to the part that was asked for. Operations cut their answers themselves.
pub(crate) async fn cut(request: Request, next: Next) -> Response {
    // A character of an id may be percent-encoded like any other.
    let path = percent_decode_str(request.uri().path()).decode_utf8_lossy().into_owned();
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let place = Place::of(path.strip_prefix(MOUNT).unwrap_or(&path));
    let Some(place) = place.filter(|_| is_read || path.ends_with("/_search")) else {
        return next.run(request).await;
    };
    let handling = match place {
        Place::Search(_) => handling(request.headers()),
        Place::Resource(_) | Place::Bundle(_) => Ok(Handling::Strict),
    };
    let query = decode(request.uri().query().unwrap_or_default().as_bytes());
    let asked = |handling| Ok((Part::asked(query?.into_iter(), place, handling)?, handling));
    let (asked, handling) = match handling.and_then(asked) {
        Ok(asked) => asked,
        Err(refusal) => return refusal.into_response(),
    };
    let response = next.run(request).await;
    let in_form = match response.extensions().get::<Form>() {
        Some(Form(parameters)) => Part::asked(parameters.iter().map(|(name, value)| (name, value)), place, handling),
        None => Ok(None),
    };
    match in_form {
        Ok(in_form) => cut_to(response, in_form.or(asked)).await,
        Err(refusal) => refusal.into_response(),
    }
}

async fn cut_to(response: Response, part: Option<Part>) -> Response {
    let is_resource = response.status().is_success() && response.headers().get(CONTENT_TYPE) == Some(&FHIR_JSON);
    let Some(part) = part.filter(|_| is_resource) else { return response };
    let (mut parts, body) = response.into_parts();
    let text = match body::of_answer(body).await {
        Ok(text) => text,
        Err(error) => return error.into_response(),
    };
    parts.headers.remove(CONTENT_LENGTH);
    match tokio::task::spawn_blocking(move || part.of(text)).await {
        Ok(text) => Response::from_parts(parts, Body::from(text)),
        Err(error) => ApiError::internal(error).into_response(),
    }
}

impl Place {
    /// The place of a path below the base, nothing in it percent-encoded; `None` for that of an operation.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        if segments.last().is_some_and(|name| name.starts_with('$')) {
            return None;
        }
        Some(match segments.as_slice() {
            ["metadata"] => Self::Resource(ResourceType::parse("CapabilityStatement")),
            [] | ["_search"] => Self::Search(None),
            ["_history"] => Self::Bundle(None),
            [name] | [name, "_search"] => Self::Search(ResourceType::parse(name)),
            [name, id] | [name, id, "_history", _] if is_id(id) => Self::Resource(ResourceType::parse(name)),
            [_, id, name] | [_, id, name, "_search"] if is_id(id) && *name != "_history" => {
                Self::Search(ResourceType::parse(name))
            }
            [name, ..] => Self::Bundle(ResourceType::parse(name)),
        })
    }

    fn resource_type(self) -> Option<ResourceType> {
        match self {
            Self::Resource(resource_type) | Self::Search(resource_type) | Self::Bundle(resource_type) => resource_type,
        }
    }
}

impl Part {
    /// What part parameters ask for; `None` for the whole. Elements that are not known are left out where `handling`
    /// allows it, which the one who asks for that has to be told.
    ///
    /// # Errors
    /// When they ask for what is no part.
    pub(crate) fn asked<N: AsRef<str>, V: AsRef<str>>(
        parameters: impl Iterator<Item = (N, V)>,
        place: Place,
        handling: Handling,
    ) -> Result<Option<Self>, ApiError> {
        let (mut summary, mut elements) = (None, Vec::new());
        for (name, value) in parameters {
            match name.as_ref() {
                "_summary" => summary = summary_named(value.as_ref(), place)?,
                "_elements" => {
                    for name in value.as_ref().split(',') {
                        match Named::parse(name, place.resource_type()) {
                            Ok(named) => elements.push(named),
                            Err(_) if handling == Handling::Lenient => {}
                            Err(error) => return Err(error.into()),
                        }
                    }
                }
                _ => {}
            }
        }
        if summary.is_some() && !elements.is_empty() {
            let detail = "`_summary` and `_elements` ask for different parts. Ask for one of them.";
            return Err(ApiError::new(Category::Value, detail));
        }
        let subset = if elements.is_empty() { summary } else { Some(Subset::Elements(elements)) };
        Ok(subset.map(|subset| Self { subset, place }))
    }

    /// The part of an answer, which is a resource as JSON.
    pub(crate) fn of(&self, text: Bytes) -> Bytes {
        let cut = match self.place {
            Place::Resource(_) => self.subset.of(&text, Role::Match),
            Place::Search(_) | Place::Bundle(_) => of_bundle(&self.subset, &text),
        };
        cut.map_or(text, Bytes::from)
    }
}

fn summary_named(value: &str, place: Place) -> Result<Option<Subset>, ApiError> {
    Ok(match value {
        "true" => Some(Subset::Summary),
        "text" => Some(Subset::Text),
        "data" => Some(Subset::Data),
        "false" => None,
        "count" if matches!(place, Place::Search(_)) => None,
        "count" => {
            let detail = "`_summary=count` counts the matches of a search. Nothing else takes it.";
            return Err(ApiError::new(Category::NotSupported, detail));
        }
        _ => {
            let detail = "`_summary` is `true`, `text`, `data`, `false`, or `count` for a search.";
            return Err(ApiError::new(Category::Value, detail));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{Part, Place};
    use crate::fhir::search::element::Named;
    use crate::fhir::search::parse::Handling;
    use crate::fhir::subset::Subset;
    use crate::r4::resource_type::ResourceType;

    fn asked(path: &str, query: &str, handling: Handling) -> Result<Option<Subset>, String> {
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        let part = Part::asked(pairs, Place::of(path).unwrap(), handling).map_err(|error| error.to_string())?;
        Ok(part.map(|part| part.subset))
    }

    #[track_caller]
    fn check(path: &str, query: &str, expected: Result<Option<Subset>, &str>) {
        match (asked(path, query, Handling::Strict), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{path} {query}"),
            (Err(error), Err(says)) => assert!(error.contains(says), "{path} {query}: {error}"),
            (found, expected) => panic!("{path} {query}: {found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn a_path_leads_to_one_resource_or_to_several() {
        let patient = ResourceType::parse("Patient");
        for (path, expected) in [
            ("/Patient/p", Some(Place::Resource(patient))),
            ("/Patient/p/_history/1", Some(Place::Resource(patient))),
            ("/Patient", Some(Place::Search(patient))),
            ("/Patient/_search", Some(Place::Search(patient))),
            ("/Device/d/Patient", Some(Place::Search(patient))),
            ("/Device/d/Patient/_search", Some(Place::Search(patient))),
            ("/", Some(Place::Search(None))),
            ("/Device/d/*", Some(Place::Search(None))),
            ("/Patient/_history", Some(Place::Bundle(patient))),
            ("/Patient/p/_history", Some(Place::Bundle(patient))),
            ("/_history", Some(Place::Bundle(None))),
            ("/Patient/p/$everything", None),
            ("/Patient/$everything", None),
            ("/$everything", None),
        ] {
            assert_eq!(Place::of(path), expected, "{path}");
        }
    }

    #[test]
    fn parts_are_asked_for_by_name() {
        check("/Patient", "name=x", Ok(None));
        check("/Patient", "_summary=false", Ok(None));
        check("/Patient", "_summary=count", Ok(None));
        check("/Patient/p", "%5Fsummary=true", Ok(Some(Subset::Summary)));
        let named = |resource_type: &str, element: &str| Named {
            resource_type: ResourceType::parse(resource_type),
            element: element.to_owned(),
        };
        check(
            "/Observation",
            "_elements=value[x],Patient.name&_elements=status",
            Ok(Some(Subset::Elements(vec![named("", "value"), named("Patient", "name"), named("", "status")]))),
        );
        let lenient = asked("/Observation", "_elements=shoeSize,status", Handling::Lenient);
        assert_eq!(lenient, Ok(Some(Subset::Elements(vec![named("", "status")]))));
    }

    #[test]
    fn what_is_no_part_is_refused() {
        check("/Patient", "_summary=most", Err("`_summary` is"));
        check("/Patient/p", "_summary=count", Err("counts the matches"));
        check("/Patient", "_summary=true&_elements=name", Err("Ask for one"));
        check("/Patient", "_elements=nam", Err("did you mean `name`?"));
        check("/", "_elements=shoeSize", Err("no element"));
    }
}
