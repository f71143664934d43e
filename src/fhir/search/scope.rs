//! Where is searched: in one type, in several or all, or in a compartment
//! (<https://hl7.org/fhir/R4/http.html#vsearch>, <https://hl7.org/fhir/R4/compartmentdefinition.html>).

use super::error::SearchError;
use crate::fhir::store::{Condition, ResourceKey, Test};
use crate::r4::definitions::compartments::{Compartment, compartment};
use crate::r4::resource_type::ResourceType;

/// Where is searched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// In a type.
    Type(ResourceType),
    /// In all types, or in those that `_type` names.
    System,
    /// In the compartment of a resource.
    Compartment(Inside),
    /// In compartments and in what belongs there besides, as `$everything` shows it.
    Everything(Inside),
}

/// In the compartment of a resource, or of each resource of a type: in one type, or in all or those that `_type` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inside {
    of: Focus,
    member: Option<ResourceType>,
    compartment: &'static Compartment,
}

/// Whose compartment.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Focus {
    /// That of a resource, whether there is such a resource or not.
    One(ResourceKey),
    /// Those of all resources of a type that there are.
    Each(ResourceType),
}

impl Focus {
    fn resource_type(&self) -> ResourceType {
        match self {
            Self::One(key) => key.resource_type,
            Self::Each(resource_type) => *resource_type,
        }
    }

    fn path(&self) -> String {
        match self {
            Self::One(ResourceKey { resource_type, id }) => format!("{}/{id}", resource_type.as_str()),
            Self::Each(resource_type) => resource_type.as_str().to_owned(),
        }
    }

    /// What holds for a resource that points there.
    fn pointed_to_by(&self, parameter: &str) -> Condition {
        let parameter = parameter.into();
        match self {
            Self::One(_) => Condition::Has(parameter, Test::Reference { target: self.path() }),
            Self::Each(resource_type) => {
                Condition::Linked { parameter, targets: vec![*resource_type], condition: Box::new(any_at_all()) }
            }
        }
    }

    /// What holds for the resource itself.
    fn itself(&self) -> Condition {
        match self {
            Self::One(key) => Condition::Id(vec![key.id.clone()]),
            Self::Each(_) => any_at_all(),
        }
    }
}

fn any_at_all() -> Condition {
    Condition::All(Vec::new())
}

impl Inside {
    /// The compartment of a resource, whether there is such a resource or not; `None` where R4 has no compartment, or
    /// never has the member in it.
    pub(crate) fn new(of: ResourceKey, member: Option<ResourceType>) -> Option<Self> {
        let compartment = compartment(of.resource_type)?;
        let is_ever_inside = member.is_none_or(|member| compartment.contains_key(&member));
        is_ever_inside.then_some(Self { of: Focus::One(of), member, compartment })
    }

    /// The compartments of all resources of a type; `None` where R4 has no compartment.
    pub(crate) fn each(of: ResourceType) -> Option<Self> {
        Some(Self { of: Focus::Each(of), member: None, compartment: compartment(of)? })
    }

    /// What holds for resources of a type that are inside.
    fn condition(&self, resource_type: ResourceType) -> Condition {
        let parameters = self.compartment.get(&resource_type).map_or(&[][..], Vec::as_slice);
        let mut ways: Vec<Condition> = parameters.iter().map(|parameter| self.of.pointed_to_by(parameter)).collect();
        if resource_type == self.of.resource_type() {
            ways.push(self.of.itself());
        }
        Condition::Any(ways)
    }
}

/// The metrics of a device are in no compartment of R4, nor are Observations that name a metric instead of its device.
impl Inside {
    fn metric(&self) -> Option<ResourceType> {
        let has_metrics = self.of.resource_type().as_str() == "Device";
        ResourceType::parse("DeviceMetric").filter(|_metric| has_metrics)
    }

    fn everything(&self) -> impl Iterator<Item = ResourceType> {
        self.compartment.keys().copied().chain(self.metric())
    }

    fn condition_of_everything(&self, resource_type: ResourceType) -> Condition {
        let inside = self.condition(resource_type);
        let Some(metric) = self.metric() else {
            return inside;
        };
        let measured_there = self.of.pointed_to_by("source");
        match resource_type.as_str() {
            "DeviceMetric" => measured_there,
            "Observation" => {
                let condition = Box::new(measured_there);
                Condition::Any(vec![
                    inside,
                    Condition::Linked { parameter: "device".into(), targets: vec![metric], condition },
                ])
            }
            _ => inside,
        }
    }
}

impl Scope {
    /// The path below the base under which it is searched by GET.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::Type(resource_type) => resource_type.as_str().to_owned(),
            Self::System => String::new(),
            Self::Compartment(Inside { of, member, .. }) => {
                let member = member.map_or("*", ResourceType::as_str);
                format!("{}/{member}", of.path())
            }
            Self::Everything(Inside { of, .. }) => format!("{}/$everything", of.path()),
        }
    }

    /// The one type that is searched, if it is one.
    pub(super) fn only_type(&self) -> Option<ResourceType> {
        match self {
            Self::Type(only) => Some(*only),
            Self::Compartment(inside) => inside.member,
            Self::System | Self::Everything(_) => None,
        }
    }

    /// The types that are searched, if these names and values are asked, sorted.
    pub(super) fn types(&self, pairs: &[(String, String)]) -> Result<Vec<ResourceType>, SearchError> {
        if let Some(only) = self.only_type() {
            return Ok(vec![only]);
        }
        let known: Vec<ResourceType> = match self {
            Self::Compartment(inside) => inside.compartment.keys().copied().collect(),
            Self::Everything(inside) => inside.everything().collect(),
            Self::System | Self::Type(_) => ResourceType::all().collect(),
        };
        let Some((name, value)) = pairs.iter().find(|(name, _)| name == "_type") else {
            return Ok(known);
        };
        let expected = "resource types (of the compartment, if it is one), separated by commas";
        let bad = || SearchError::BadValue { name: name.clone(), value: value.clone(), expected };
        let mut types = Vec::new();
        for text in value.split(',') {
            types.push(ResourceType::parse(text).filter(|named| known.contains(named)).ok_or_else(bad)?);
        }
        types.sort_unstable();
        types.dedup();
        Ok(types)
    }

    /// What holds for resources of a type because of where is searched.
    pub(super) fn condition(&self, resource_type: ResourceType) -> Option<Condition> {
        match self {
            Self::Type(_) | Self::System => None,
            Self::Compartment(inside) => Some(inside.condition(resource_type)),
            Self::Everything(inside) => Some(inside.condition_of_everything(resource_type)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Inside, Scope};
    use crate::fhir::store::{Condition, ResourceKey, Test};
    use crate::r4::resource_type::ResourceType;

    fn named(name: &str) -> ResourceType {
        ResourceType::parse(name).unwrap()
    }

    fn inside(of: &str, member: Option<&str>) -> Option<Scope> {
        let of = ResourceKey { resource_type: named(of), id: "1".to_owned() };
        Inside::new(of, member.map(named)).map(Scope::Compartment)
    }

    fn types(scope: &Scope, named: &str) -> Result<Vec<&'static str>, String> {
        let types = scope.types(&[("_type".to_owned(), named.to_owned())]).map_err(|error| error.to_string())?;
        Ok(types.into_iter().map(ResourceType::as_str).collect())
    }

    #[test]
    fn the_path_says_where() {
        assert_eq!(Scope::System.path(), "");
        assert_eq!(Scope::Type(named("Patient")).path(), "Patient");
        assert_eq!(inside("Patient", Some("Observation")).unwrap().path(), "Patient/1/Observation");
        assert_eq!(inside("Patient", None).unwrap().path(), "Patient/1/*");
    }

    #[test]
    fn types_are_named_once_and_are_of_the_place() {
        assert_eq!(types(&Scope::System, "Patient,Device,Patient"), Ok(vec!["Device", "Patient"]));
        assert_eq!(Scope::System.types(&[]).unwrap().len(), 146);
        let patient = inside("Patient", None).unwrap();
        assert_eq!(types(&patient, "Observation"), Ok(vec!["Observation"]));
        assert!(types(&patient, "Observation,Medication").is_err());
        for nonsense in ["", "patient", "Patient,", "Patient, Device", "Resource"] {
            assert!(types(&Scope::System, nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn what_is_inside_points_there_by_one_of_the_parameters_or_is_it() {
        let points =
            |parameter: &str| Condition::Has(parameter.into(), Test::Reference { target: "Patient/1".to_owned() });
        let scope = inside("Patient", None).unwrap();
        assert_eq!(
            scope.condition(named("Observation")),
            Some(Condition::Any(vec![points("performer"), points("subject")]))
        );
        let itself = Condition::Id(vec!["1".to_owned()]);
        assert_eq!(scope.condition(named("Patient")), Some(Condition::Any(vec![points("link"), itself])));
        assert_eq!(scope.condition(named("Medication")), Some(Condition::Any(Vec::new())), "nothing is");
        assert!(inside("Patient", Some("Medication")).is_none() && inside("Group", None).is_none());
    }

    #[test]
    fn what_is_inside_of_each_points_to_any_there_is() {
        let points = |parameter: &str| Condition::Linked {
            parameter: parameter.into(),
            targets: vec![named("Patient")],
            condition: Box::new(Condition::All(Vec::new())),
        };
        let scope = Scope::Everything(Inside::each(named("Patient")).unwrap());
        let observation = scope.condition(named("Observation"));
        assert_eq!(observation, Some(Condition::Any(vec![points("performer"), points("subject")])));
        let patient = Condition::Any(vec![points("link"), Condition::All(Vec::new())]);
        assert_eq!(scope.condition(named("Patient")), Some(patient));
        assert_eq!(scope.path(), "Patient/$everything");
        assert!(Inside::each(named("Group")).is_none());
    }
}
