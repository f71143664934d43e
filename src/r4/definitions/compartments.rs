//! The compartments of R4: which resources belong to a patient, an encounter, a device, a practitioner or a related
//! person (<https://hl7.org/fhir/R4/compartmentdefinition.html>).

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use super::table;
use crate::r4::resource_type::ResourceType;

/// The compartments of one type: by which parameters resources of another type are in them.
pub(crate) type Compartment = BTreeMap<ResourceType, Vec<&'static str>>;

static COMPARTMENTS: LazyLock<HashMap<ResourceType, Compartment>> = LazyLock::new(|| {
    let mut compartments: HashMap<ResourceType, Compartment> = HashMap::new();
    for [of, member, parameters] in table::rows(include_str!("compartments.tsv")) {
        let (Some(of), Some(member)) = (ResourceType::parse(of), ResourceType::parse(member)) else { continue };
        compartments.entry(of).or_default().insert(member, table::list(parameters, ',').collect());
    }
    // By definition a resource is in its own compartment, by whatever else it may be.
    for (of, compartment) in &mut compartments {
        compartment.entry(*of).or_default();
    }
    compartments
});

/// The compartments of resources of this type; `None` where R4 has none.
pub(crate) fn compartment(of: ResourceType) -> Option<&'static Compartment> {
    COMPARTMENTS.get(&of)
}

#[cfg(test)]
mod tests {
    use super::{Compartment, compartment};
    use crate::r4::definitions::search_parameters::{ParameterKind, search_parameter};
    use crate::r4::resource_type::ResourceType;

    const OF: [&str; 5] = ["Device", "Encounter", "Patient", "Practitioner", "RelatedPerson"];

    fn of(name: &str) -> Option<&'static Compartment> {
        compartment(ResourceType::parse(name).unwrap())
    }

    #[test]
    fn five_types_have_compartments() {
        let sizes = OF.map(|name| of(name).unwrap().len());
        assert_eq!(sizes, [33, 25, 66, 59, 32]);
        assert!(["Observation", "Group", "Organization"].iter().all(|name| of(name).is_none()));
    }

    #[test]
    fn every_parameter_is_a_reference_that_may_point_to_the_compartment() {
        for name in OF {
            for (member, parameters) in of(name).unwrap() {
                for code in parameters {
                    let parameter = search_parameter(*member, code).unwrap();
                    assert_eq!(parameter.kind, ParameterKind::Reference, "{member:?}.{code}");
                    let target = ResourceType::parse(name).unwrap();
                    assert!(parameter.targets.contains(&target), "{member:?}.{code} does not point to {name}");
                }
            }
        }
    }

    #[test]
    fn members_are_those_of_the_specification() {
        let parameters = |compartment: &str, member: &str| {
            of(compartment).unwrap().get(&ResourceType::parse(member).unwrap()).cloned()
        };
        assert_eq!(parameters("Patient", "Observation"), Some(vec!["performer", "subject"]));
        assert_eq!(parameters("Patient", "Patient"), Some(vec!["link"]));
        assert_eq!(parameters("Device", "Observation"), Some(vec!["device", "subject"]));
        assert_eq!(parameters("Encounter", "Encounter"), Some(vec![]));
        assert_eq!(parameters("Patient", "Task"), None);
        assert_eq!(parameters("Patient", "Medication"), None);
    }
}
