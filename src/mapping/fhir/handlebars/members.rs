//! The members that an [Observation](http://hl7.org/fhir/R4/observation.html) of R4 may have, to tell a misspelt one.
//!
//! Of other types of resource the names are not known here: a misspelt member of one shows when a server refuses it.

use super::super::super::load::nearest;
use super::super::super::problem::Problems;
use super::super::super::source::Member;

const OBSERVATION: [&str; 46] = [
    "resourceType",
    "id",
    "meta",
    "implicitRules",
    "language",
    "text",
    "contained",
    "extension",
    "modifierExtension",
    "identifier",
    "basedOn",
    "partOf",
    "status",
    "category",
    "code",
    "subject",
    "focus",
    "encounter",
    "effectiveDateTime",
    "effectivePeriod",
    "effectiveTiming",
    "effectiveInstant",
    "issued",
    "performer",
    "valueQuantity",
    "valueCodeableConcept",
    "valueString",
    "valueBoolean",
    "valueInteger",
    "valueRange",
    "valueRatio",
    "valueSampledData",
    "valueTime",
    "valueDateTime",
    "valuePeriod",
    "dataAbsentReason",
    "interpretation",
    "note",
    "bodySite",
    "method",
    "specimen",
    "device",
    "referenceRange",
    "hasMember",
    "derivedFrom",
    "component",
];

/// Warns of members that an Observation does not have; `_status` and the like extend a primitive member.
pub(super) fn check_observation(members: &[Member], problems: &mut Problems<'_>) {
    for member in members {
        let name = member.name.strip_prefix('_').unwrap_or(&member.name);
        if !OBSERVATION.contains(&name) {
            let message = format!("an Observation of R4 has no member `{}`, servers may refuse it", member.name);
            let hint =
                nearest(name, &OBSERVATION).unwrap_or_else(|| "what R4 does not have is an `extension`".to_owned());
            problems.warning_with_hint(member.at, message, hint);
        }
    }
}
