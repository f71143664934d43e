//! Capabilities: what this server can do, from the tables it works with
//! (<https://hl7.org/fhir/R4/http.html#capabilities>).

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::error::ApiError;
use super::operations;
use super::patch;
use super::policies::VersioningPolicy;
use super::respond;
use super::state::{ApiSettings, ApiState};
use crate::fhir::search;
use crate::fhir::search::registry::Registry;
use crate::r4::definitions::compartments::compartment;
use crate::r4::definitions::search_parameters::{ParameterKind, SearchParameter, search_parameters};
use crate::r4::resource_type::ResourceType;

/// The interactions on a resource, by their codes.
const INTERACTIONS: [&str; 9] =
    ["read", "vread", "update", "patch", "delete", "history-instance", "history-type", "create", "search-type"];
/// The interactions on the whole server.
const SYSTEM_INTERACTIONS: [&str; 4] = ["transaction", "batch", "search-system", "history-system"];
/// Parameters of every search that are not of the definitions of a type.
const OF_EVERY_SEARCH: [&str; 2] = ["_filter", "_list"];

/// The same for all requests, and large.
static RESOURCES: LazyLock<Vec<(ResourceType, Value)>> =
    LazyLock::new(|| ResourceType::all().map(|resource_type| (resource_type, resource(resource_type))).collect());

/// What may be asked for with `_revinclude`, by the type that is searched.
static REVERSE_INCLUDES: LazyLock<HashMap<ResourceType, Vec<String>>> = LazyLock::new(|| {
    let mut includes: HashMap<ResourceType, Vec<String>> = HashMap::new();
    for source in ResourceType::all() {
        for parameter in search_parameters(source) {
            if parameter.kind == ParameterKind::Reference
                && search::plan::supported(Registry::r4(), source, &parameter.code).is_ok()
            {
                for target in &parameter.targets {
                    includes.entry(*target).or_default().push(format!("{}:{}", source.as_str(), parameter.code));
                }
            }
        }
    }
    includes
});

/// `GET [base]/metadata`
pub(crate) async fn capabilities(State(state): State<ApiState>, headers: HeaderMap) -> Result<Response, ApiError> {
    let registry = state.registry().await?;
    let resources = RESOURCES.iter().map(|(known, resource)| {
        let mut resource = with_policies(*known, resource, &state.settings);
        add_own_parameters(*known, &mut resource, &registry);
        resource
    });
    let resources: Vec<Value> = resources.collect();
    let statement = json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": format!("{:.3}", state.started_at),
        "kind": "instance",
        "software": { "name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION") },
        "implementation": { "description": env!("CARGO_PKG_DESCRIPTION"), "url": state.base_url(&headers)? },
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "application/fhir+xml", "json", "xml"],
        "patchFormat": ["application/json-patch+json", "application/fhir+json", "application/fhir+xml"],
        "rest": [{
            "mode": "server",
            "resource": resources,
            "interaction": SYSTEM_INTERACTIONS.map(|code| json!({ "code": code })),
            "searchParam": OF_EVERY_SEARCH.map(|name| json!({ "name": name, "type": "special" })),
            "compartment": compartments(),
            "operation": operations::of_system(),
        }],
    });
    let body = serde_json::to_vec(&statement).map_err(ApiError::internal)?;
    Ok(respond::json(StatusCode::OK, body.into()))
}

/// The definitions of all compartments.
fn compartments() -> Vec<String> {
    let types = ResourceType::all().filter(|resource_type| compartment(*resource_type).is_some());
    types.map(|of| format!("http://hl7.org/fhir/CompartmentDefinition/{}", of.as_str().to_lowercase())).collect()
}

/// What is said of a type, with what the operator decided about it.
fn with_policies(resource_type: ResourceType, resource: &Value, settings: &ApiSettings) -> Value {
    let mut resource = resource.clone();
    let policy = settings.versioning.of(resource_type);
    let keeps_versions = policy != VersioningPolicy::NoVersion;
    let is_offered = |code: &str| match code {
        "vread" | "history-instance" | "history-type" => keeps_versions,
        "patch" => patch::is_patchable(resource_type),
        _ => true,
    };
    let interactions = INTERACTIONS.into_iter().filter(|code| is_offered(code)).map(|code| json!({ "code": code }));
    if let Some(members) = resource.as_object_mut() {
        members.insert("interaction".to_owned(), interactions.collect());
        members.insert("versioning".to_owned(), policy.code().into());
        members.insert("readHistory".to_owned(), keeps_versions.into());
        members.insert("conditionalDelete".to_owned(), settings.conditional_deletes.code().into());
    }
    resource
}

/// Adds the search parameters of this server's own by which one can search.
fn add_own_parameters(resource_type: ResourceType, resource: &mut Value, registry: &Registry) {
    let usable = |source: ResourceType| {
        registry.added(source).filter(move |it| search::plan::supported(registry, source, &it.code).is_ok())
    };
    let include = |source: ResourceType, parameter: &SearchParameter| {
        Value::from(format!("{}:{}", source.as_str(), parameter.code))
    };
    let references = |source| usable(source).filter(|parameter| parameter.kind == ParameterKind::Reference);
    let pointing_here = registry.types_with_own().flat_map(|source| {
        let pointing = references(source).filter(|parameter| parameter.targets.contains(&resource_type));
        pointing.map(move |parameter| include(source, parameter))
    });
    let lists: [(&str, Vec<Value>); 3] = [
        ("searchParam", usable(resource_type).map(stated).collect()),
        ("searchInclude", references(resource_type).map(|parameter| include(resource_type, parameter)).collect()),
        ("searchRevInclude", pointing_here.collect()),
    ];
    for (name, own) in lists {
        if let Some(list) = resource.get_mut(name).and_then(Value::as_array_mut) {
            list.extend(own);
        }
    }
}

fn stated(parameter: &SearchParameter) -> Value {
    let (name, definition) = (parameter.code.as_ref(), parameter.url.as_ref());
    json!({ "name": name, "definition": definition, "type": parameter.kind.as_str() })
}

fn resource(resource_type: ResourceType) -> Value {
    let supported = search_parameters(resource_type)
        .iter()
        .filter(|parameter| search::plan::supported(Registry::r4(), resource_type, &parameter.code).is_ok());
    let includes: Vec<String> = supported
        .clone()
        .filter(|parameter| parameter.kind == ParameterKind::Reference)
        .map(|parameter| format!("{}:{}", resource_type.as_str(), parameter.code))
        .collect();
    let parameters: Vec<Value> = supported.map(stated).collect();
    json!({
        "type": resource_type.as_str(),
        "updateCreate": true,
        "conditionalCreate": true,
        "conditionalRead": "full-support",
        "conditionalUpdate": true,
        "searchInclude": includes,
        "searchRevInclude": REVERSE_INCLUDES.get(&resource_type).map_or(&[][..], Vec::as_slice),
        "searchParam": parameters,
        "operation": operations::of_type(resource_type),
    })
}
