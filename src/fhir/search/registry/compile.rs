//! From definitions to a registry. What cannot be used is left out, and it is said why.
//!
//! A definition is used only if all of it has an effect: each alternative of its expression must lead to values of its type
//! on one of its bases at least, and each base must have such an alternative. One with a misspelled element would otherwise
//! be a parameter by which nothing is ever found.

use std::collections::HashMap;

use super::definition::{Definition, Refusal};
use super::definitions::Definitions;
use super::{Own, Registry};
use crate::fhir::search::composite::parts_without_values;
use crate::fhir::search::index::{Plan, values_at};
use crate::fhir::search::path::{Compiled, PathError, compile_each};
use crate::r4::definitions::search_parameters::{Component, ParameterKind, SearchParameter, search_parameter};
use crate::r4::resource_type::ResourceType;

/// The registry of the definitions that can be used, and why others cannot, by id.
pub(super) fn compile(generation: u64, definitions: &Definitions) -> (Registry, Vec<(String, Refusal)>) {
    let mut registry = Registry { generation, added: HashMap::new() };
    let mut refused = Vec::new();
    for definition in definitions.in_order() {
        match on_each_type(definition, &registry) {
            Ok(own) => {
                for (resource_type, own) in own {
                    registry.added.entry(resource_type).or_default().parameters.push(own);
                }
            }
            Err(refusal) => refused.push((definition.id.clone(), refusal)),
        }
    }
    let types: Vec<ResourceType> = registry.added.keys().copied().collect();
    for resource_type in types {
        let known = |code: &str| registry.parameter(resource_type, code);
        let plan = Plan::of(resource_type, registry.added(resource_type), &known);
        if let Some(added) = registry.added.get_mut(&resource_type) {
            added.plan = plan;
        }
    }
    (registry, refused)
}

/// The parameter as each of its types has it.
fn on_each_type(definition: &Definition, registry: &Registry) -> Result<Vec<(ResourceType, Own)>, Refusal> {
    for resource_type in definition.types() {
        check_is_free(definition, resource_type, registry)?;
    }
    let kind = definition.kind().ok_or_else(|| Refusal::new("type", "The type is not known."))?;
    let mut parameters = Vec::new();
    for resource_type in definition.types() {
        let parts = parts(definition, resource_type, registry)?;
        let is_ready = definition.is_ready && parts.iter().all(|part| !registry.is_incomplete(resource_type, part));
        let components = parts
            .into_iter()
            .zip(&definition.components)
            .map(|(code, part)| Component { code: code.into(), expression: part.expression.clone().into() });
        let parameter = SearchParameter {
            url: definition.url.as_str().into(),
            code: definition.code.as_str().into(),
            kind,
            usage: definition.usage(),
            expression: definition.expression.clone().into(),
            targets: definition.targets(),
            components: components.collect(),
        };
        parameters.push((resource_type, Own { parameter, is_ready }));
    }
    if kind == ParameterKind::Composite {
        parameters.iter().try_for_each(|(resource_type, own)| check_parts(*resource_type, &own.parameter, registry))?;
    } else {
        check_alternatives(&parameters)?;
    }
    Ok(parameters)
}

fn check_is_free(definition: &Definition, resource_type: ResourceType, registry: &Registry) -> Result<(), Refusal> {
    let of_type = resource_type.as_str();
    if let Some(known) = registry.parameter(resource_type, &definition.code) {
        let whose = if search_parameter(resource_type, &definition.code).is_some() { "R4" } else { "This server" };
        let detail = format!(
            "{whose} has a parameter `{}` of {of_type} already, with the `url` {}. Choose another `code`.",
            definition.code, known.url
        );
        return Err(Refusal::clash("code", detail));
    }
    match registry.with_url(resource_type, &definition.url) {
        Some(_) => {
            let detail = format!("{of_type} has another parameter with this `url` already. Choose another one.");
            Err(Refusal::clash("url", detail))
        }
        None => Ok(()),
    }
}

/// The codes of what a composite is made of.
fn parts(definition: &Definition, resource_type: ResourceType, registry: &Registry) -> Result<Vec<String>, Refusal> {
    let code = |(index, part): (usize, &super::definition::Part)| {
        let element = format!("component[{index}].definition");
        let Some(parameter) = registry.with_url(resource_type, &part.definition) else {
            let of_type = resource_type.as_str();
            let detail = format!(
                "No parameter of {of_type} in force here has the `url` {}. Store that SearchParameter first.",
                part.definition
            );
            return Err(Refusal::new(&element, detail));
        };
        match parameter.kind {
            ParameterKind::Composite | ParameterKind::Special => {
                Err(Refusal::new(&element, "A component is a parameter that is neither composite nor special."))
            }
            ParameterKind::Number
            | ParameterKind::Date
            | ParameterKind::String
            | ParameterKind::Token
            | ParameterKind::Reference
            | ParameterKind::Quantity
            | ParameterKind::Uri => Ok(parameter.code.as_ref().to_owned()),
        }
    };
    definition.components.iter().enumerate().map(code).collect()
}

/// Each part of a composite has values where the composite looks.
fn check_parts(resource_type: ResourceType, composite: &SearchParameter, registry: &Registry) -> Result<(), Refusal> {
    let known = |code: &str| registry.parameter(resource_type, code);
    match parts_without_values(resource_type, composite, &known).map_err(|error| not_understood(&error))? {
        None => Ok(()),
        Some(None) => Err(leads_nowhere(&composite.expression, resource_type)),
        Some(Some(index)) => {
            let detail = "The `expression` leads to no value of the component's type from where that of the composite \
                          ends; it is relative to there.";
            Err(Refusal::new(&format!("component[{index}].expression"), detail))
        }
    }
}

/// Each alternative of the expression leads to values on a type, and each type has one that does.
fn check_alternatives(parameters: &[(ResourceType, Own)]) -> Result<(), Refusal> {
    let mut is_used: Vec<bool> = Vec::new();
    for (resource_type, Own { parameter, .. }) in parameters {
        let alternatives =
            compile_each(*resource_type, &parameter.expression).map_err(|error| not_understood(&error))?;
        let has_values: Vec<bool> =
            alternatives.iter().map(|alternative| leads_to_values(parameter, alternative)).collect();
        if !has_values.contains(&true) {
            return Err(leads_nowhere(&parameter.expression, *resource_type));
        }
        is_used.resize(has_values.len(), false);
        is_used.iter_mut().zip(has_values).for_each(|(is_used, has_values)| *is_used |= has_values);
    }
    match is_used.iter().position(|is_used| !is_used) {
        None => Ok(()),
        Some(index) => {
            let detail = format!(
                "Alternative {} of the `expression` leads to no value of the parameter's type on any type in `base`. Mend \
                 it, or leave it out.",
                index + 1
            );
            Err(Refusal::new("expression", detail))
        }
    }
}

fn leads_to_values(parameter: &SearchParameter, alternative: &Compiled) -> bool {
    match alternative {
        Compiled::Paths(paths) => paths.iter().any(|path| values_at(parameter, path).is_some()),
        Compiled::AllHold(tests) => parameter.kind == ParameterKind::Token && tests.iter().all(|test| test.can_hold()),
    }
}

fn leads_nowhere(expression: &str, resource_type: ResourceType) -> Refusal {
    let detail = format!(
        "`{expression}` leads to no value of the parameter's type on {}. Check the names of elements and types, or `base`.",
        resource_type.as_str()
    );
    Refusal::new("expression", detail)
}

fn not_understood(error: &PathError) -> Refusal {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    let detail = format!(
        "Of FHIRPath this server reads paths, `|`, `as`, `ofType`, `where(element = 'text')`, `where(resolve() is Type)`, \
         `extension('url')`, an index, `exists()`, `!=` and `and`; {error}{cause}."
    );
    Refusal::new("expression", detail)
}
