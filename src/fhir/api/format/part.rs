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
use url::form_urlencoded;

use super::Form;
use crate::fhir::api::body;
use crate::fhir::api::error::{ApiError, Category, FHIR_JSON};
use crate::fhir::api::state::MOUNT;
use crate::fhir::search::error::nearest;
use crate::fhir::subset::{Named, Role, Subset, of_bundle};
use crate::r4::definitions::elements::{Shape, elements_of};
use crate::r4::id::is_id;
use crate::r4::resource_type::ResourceType;

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// One resource.
    Resource(Option<ResourceType>),
    /// A Bundle of resources that were searched, of one type or of several.
    Search(Option<ResourceType>),
    /// A Bundle, or whatever else an operation gives.
    Other(Option<ResourceType>),
}

/// Cuts what a read gives to the part that was asked for.
pub(crate) async fn cut(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if !is_read && !path.ends_with("/_search") {
        return next.run(request).await;
    }
    let place = Place::of(path.strip_prefix(MOUNT).unwrap_or(path));
    let query = request.uri().query().unwrap_or_default();
    let asked = match subset(form_urlencoded::parse(query.as_bytes()), place) {
        Ok(asked) => asked,
        Err(refusal) => return refusal.into_response(),
    };
    let response = next.run(request).await;
    let in_form = match response.extensions().get::<Form>() {
        Some(Form(parameters)) => subset(parameters.iter().map(|(name, value)| (name, value)), place),
        None => Ok(None),
    };
    match in_form {
        Ok(in_form) => part(response, in_form.or(asked), place).await,
        Err(refusal) => refusal.into_response(),
    }
}

async fn part(response: Response, subset: Option<Subset>, place: Place) -> Response {
    let is_resource = response.status().is_success() && response.headers().get(CONTENT_TYPE) == Some(&FHIR_JSON);
    let Some(subset) = subset.filter(|_| is_resource) else { return response };
    let (mut parts, body) = response.into_parts();
    let text = match body::read(body, usize::MAX).await {
        Ok(text) => text,
        Err(error) => return error.into_response(),
    };
    parts.headers.remove(CONTENT_LENGTH);
    let cut = move || {
        let cut = match place {
            Place::Resource(_) => subset.of(&text, Role::Match),
            Place::Search(_) | Place::Other(_) => of_bundle(&subset, &text),
        };
        cut.map_or(text, Bytes::from)
    };
    match tokio::task::spawn_blocking(cut).await {
        Ok(text) => Response::from_parts(parts, Body::from(text)),
        Err(error) => ApiError::internal(error).into_response(),
    }
}

impl Place {
    /// The place of a path below the base.
    fn of(path: &str) -> Self {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        match segments.as_slice() {
            ["metadata"] => Self::Resource(ResourceType::parse("CapabilityStatement")),
            [] | ["_search"] => Self::Search(None),
            [name] if name.starts_with(['$', '_', '%']) => Self::Other(None),
            [name] | [name, "_search"] => Self::Search(ResourceType::parse(name)),
            [name, id] | [name, id, "_history", _] if is_id(id) => Self::Resource(ResourceType::parse(name)),
            [_, id, name] | [_, id, name, "_search"] if is_id(id) && !name.starts_with(['$', '_', '%']) => {
                Self::Search(ResourceType::parse(name))
            }
            [name, ..] => Self::Other(ResourceType::parse(name).filter(|_| path.ends_with("/_history"))),
        }
    }

    fn resource_type(self) -> Option<ResourceType> {
        match self {
            Self::Resource(resource_type) | Self::Search(resource_type) | Self::Other(resource_type) => resource_type,
        }
    }
}

/// What part parameters ask for; `None` for the whole.
fn subset<N: AsRef<str>, V: AsRef<str>>(
    parameters: impl Iterator<Item = (N, V)>,
    place: Place,
) -> Result<Option<Subset>, ApiError> {
    let (mut summary, mut elements) = (None, Vec::new());
    for (name, value) in parameters {
        match name.as_ref() {
            "_summary" => summary = summary_named(value.as_ref(), place)?,
            "_elements" => {
                for name in value.as_ref().split(',') {
                    elements.push(element_named(name, place)?);
                }
            }
            _ => {}
        }
    }
    if summary.is_some() && !elements.is_empty() {
        let detail = "`_summary` and `_elements` ask for different parts. Ask for one of them.";
        return Err(ApiError::new(Category::Value, detail));
    }
    Ok(if elements.is_empty() { summary } else { Some(Subset::Elements(elements)) })
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

/// An element of the type in question, or of the type in front of its name.
fn element_named(text: &str, place: Place) -> Result<Named, ApiError> {
    let (resource_type, name) = match text.split_once('.') {
        Some((first, rest)) if ResourceType::parse(first).is_some() => (ResourceType::parse(first), rest),
        _ => (None, text),
    };
    let name = name.strip_suffix("[x]").unwrap_or(name);
    let types: Vec<ResourceType> = match resource_type.or(place.resource_type()) {
        Some(only) => vec![only],
        None => ResourceType::all().collect(),
    };
    let known = || types.iter().flat_map(|it| elements_of(it.as_str()));
    // The type is always there. Client libraries that think in JSON ask for it all the same.
    if name == "resourceType" || known().any(|element| element.name == name) {
        return Ok(Named { resource_type, element: name.to_owned() });
    }
    let choice = known().find(|element| element.shape == Shape::Choice && element.type_under(name).is_some());
    let near =
        choice.map(|element| element.name.to_owned()).or_else(|| nearest(name, known().map(|element| element.name)));
    let hint = near.map_or_else(|| ".".to_owned(), |near| format!("; did you mean `{near}`?"));
    let detail = format!(
        "`_elements` names `{name}`, which is no element at the root of the resource{hint} Separate names with commas; \
         `Patient.name` is of that type alone."
    );
    Err(ApiError::new(Category::Value, detail))
}

#[cfg(test)]
mod tests {
    use super::{Place, subset};
    use crate::fhir::subset::{Named, Subset};
    use crate::r4::resource_type::ResourceType;

    #[track_caller]
    fn check(path: &str, query: &str, expected: Result<Option<Subset>, &str>) {
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        match (subset(pairs, Place::of(path)), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{path} {query}"),
            (Err(error), Err(says)) => assert!(error.to_string().contains(says), "{path} {query}: {error}"),
            (found, expected) => panic!("{path} {query}: {found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn a_path_leads_to_one_resource_or_to_several() {
        let patient = ResourceType::parse("Patient");
        for (path, expected) in [
            ("/Patient/p", Place::Resource(patient)),
            ("/Patient/p/_history/1", Place::Resource(patient)),
            ("/Patient", Place::Search(patient)),
            ("/Patient/_search", Place::Search(patient)),
            ("/Device/d/Patient", Place::Search(patient)),
            ("/", Place::Search(None)),
            ("/Device/d/*", Place::Search(None)),
            ("/Patient/_history", Place::Other(patient)),
            ("/Patient/p/_history", Place::Other(patient)),
            ("/Patient/p/$everything", Place::Other(None)),
            ("/_history", Place::Other(None)),
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
        check("/", "_elements=birthDate", Ok(Some(Subset::Elements(vec![named("", "birthDate")]))));
        let type_too = Subset::Elements(vec![named("", "name"), named("", "resourceType")]);
        check("/Patient", "_elements=name,resourceType", Ok(Some(type_too)));
    }

    #[test]
    fn what_is_no_part_is_refused() {
        check("/Patient", "_summary=most", Err("`_summary` is"));
        check("/Patient/p", "_summary=count", Err("counts the matches"));
        check("/Patient", "_summary=true&_elements=name", Err("Ask for one"));
        check("/Patient", "_elements=nam", Err("did you mean `name`?"));
        check("/Patient", "_elements=name.family", Err("no element at the root"));
        check("/Observation", "_elements=valueQuantity", Err("did you mean `value`?"));
        check("/Patient", "_elements=", Err("no element"));
        check("/", "_elements=shoeSize", Err("no element"));
    }
}
