//! Templates compiled at load: where in a payload the measurements are, and what a measurement becomes.
//!
//! Two files make a mapping, bound by the names of measurement types. Both are compiled completely when they load, so
//! that a mistake in them is a problem with file and line and not a failure of every message. Loading and extracting
//! have no IO and no clock; the numbered rules (DM, JP, FM, EV) are those of the mapping specification.

mod clinical;
pub(crate) mod decimal;
mod device;
mod effort;
pub(crate) mod explain;
mod expression;
pub(crate) mod extract;
pub(crate) mod fhir;
mod fingerprint;
mod index;
mod jmespath;
pub(crate) mod jsonpath;
mod load;
pub(crate) mod problem;
mod rfc9535;
mod sample_period;
pub(crate) mod shipped;
mod source;
mod text;
pub(crate) mod timestamp;
mod token_path;

use std::collections::HashMap;
use std::sync::Arc;

pub(crate) use extract::Failure;
pub(crate) use problem::Problem;
pub(crate) use sample_period::{SLOTS_MAX, SamplePeriod};
pub(crate) use source::{Include, Position, Source};

use device::DeviceTemplate;
use fhir::FhirTemplate;
use fingerprint::FingerprintTaker;
use index::Index;
use problem::Problems;

use crate::model::group::Period;

/// A device mapping and a FHIR mapping, compiled and bound together. Shared between stages behind an `Arc`.
#[derive(Clone, Debug)]
pub(crate) struct Mappings {
    device: Vec<Bound>,
    /// Which device templates a message can match.
    index: Index,
    payloads: Payloads,
    fhir: Vec<FhirTemplate>,
    /// Index into `fhir` by every spelling the two files use, and by lower case (FM-3).
    by_type_name: HashMap<Arc<str>, usize>,
    fingerprint: Arc<str>,
}

/// How strictly payloads are read (EV-5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Payloads {
    /// As RFC 8259 has it.
    #[default]
    Strict,
    /// As the reference does: comments, single quotes, trailing commas and the like are tolerated.
    Lax,
}

/// A device template and what the FHIR mapping says of its type.
#[derive(Clone, Debug)]
struct Bound {
    template: DeviceTemplate,
    /// `None` when the FHIR mapping has no template for the type.
    period: Option<Period>,
}

/// For mappings that are not files themselves.
const NO_FILES: Include<'static> = &|_name| Err("this mapping has no directory".to_owned());

/// What was read from a pair of mapping files, right or wrong: the templates without errors, and all that was found.
#[derive(Debug)]
pub(crate) struct Inspection {
    /// The templates that loaded (DM-9).
    pub(crate) mappings: Mappings,
    /// What is wrong with the device mapping.
    pub(crate) device: Vec<Problem>,
    /// What is wrong with the FHIR mapping.
    pub(crate) fhir: Vec<Problem>,
    /// Where the two do not fit together (VA-4, VA-5); only warnings.
    pub(crate) between: Vec<Problem>,
}

impl Mappings {
    /// As `load_with`, for mappings that name no other files.
    ///
    /// # Errors
    /// As `load_with`, and when a mapping names another file.
    pub(crate) fn load(device: Source<'_>, fhir: Source<'_>) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        Self::load_with(device, fhir, NO_FILES)
    }

    /// Loads a pair of mapping files to run, and those they name; the warnings come with the mapping.
    ///
    /// # Errors
    /// All problems of both files, warnings included, when any is an error: a mapping with an error does not run (DM-9).
    pub(crate) fn load_with(
        device: Source<'_>,
        fhir: Source<'_>,
        include: Include<'_>,
    ) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let Inspection { mappings, device, fhir, between } = Self::inspect_with(Some(device), Some(fhir), include);
        let problems: Vec<Problem> = device.into_iter().chain(between).chain(fhir).collect();
        if problems.iter().any(Problem::is_error) { Err(problems) } else { Ok((mappings, problems)) }
    }

    /// As `inspect_with`, for mappings that name no other files.
    #[cfg(test)]
    pub(crate) fn inspect(device: Option<Source<'_>>, fhir: Option<Source<'_>>) -> Inspection {
        Self::inspect_with(device, fhir, NO_FILES)
    }

    /// Reads either mapping file or both, and the files they name, and keeps what is right of them (DM-9).
    pub(crate) fn inspect_with(
        device: Option<Source<'_>>,
        fhir: Option<Source<'_>>,
        include: Include<'_>,
    ) -> Inspection {
        let mut device_problems = Problems::of(device.map_or("", |source| source.name));
        let mut fhir_problems = Problems::of(fhir.map_or("", |source| source.name));
        let mut between = Problems::of(device.map_or("", |source| source.name));
        let is_pair = device.is_some() && fhir.is_some();
        let fingerprint = FingerprintTaker::of([device, fhir]);
        let include: Include<'_> = &|name| include(name).inspect(|text| fingerprint.add(text));
        let device = device.map_or_else(Vec::new, |source| device::load(source, &mut device_problems));
        let fhir = fhir.map_or_else(Vec::new, |source| fhir::load(source, include, &mut fhir_problems));
        clinical::lint(&fhir, &mut fhir_problems);
        let mappings = Self { fingerprint: fingerprint.take(), ..Self::bind(device, fhir) };
        if is_pair && device_problems.errors() + fhir_problems.errors() == 0 {
            mappings.cross_check(&mut between);
        }
        let (device, fhir) = (device_problems.into_found(), fhir_problems.into_found());
        Inspection { mappings, device, fhir, between: between.into_found() }
    }

    fn bind(device: Vec<DeviceTemplate>, fhir: Vec<FhirTemplate>) -> Self {
        let lower = fhir.iter().enumerate().map(|(index, template)| (template.type_name.to_lowercase().into(), index));
        let mut by_type_name: HashMap<Arc<str>, usize> = lower.collect();
        let spellings = device.iter().map(|template| Arc::clone(&template.type_name));
        let spellings = spellings.chain(fhir.iter().map(|template| template.type_name.as_str().into()));
        for spelling in spellings.collect::<Vec<Arc<str>>>() {
            if let Some(index) = by_type_name.get(spelling.to_lowercase().as_str()).copied() {
                by_type_name.insert(spelling, index);
            }
        }
        let index = Index::of(device.iter().map(|template| template.type_match.features()));
        let (payloads, fingerprint) = (Payloads::Strict, Arc::default());
        let mut mappings = Self { device: Vec::new(), index, payloads, fhir, by_type_name, fingerprint };
        let bound = device.into_iter().map(|template| Bound {
            period: mappings.fhir_template(&template.type_name).map(|fhir| fhir.period),
            template,
        });
        mappings.device = bound.collect();
        mappings
    }

    /// Twelve hexadecimal digits that stand for what the two files say, and those they name.
    pub(crate) fn fingerprint(&self) -> &Arc<str> {
        &self.fingerprint
    }

    /// How many device templates and how many FHIR templates there are.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.device.len(), self.fhir.len())
    }

    /// The same mappings, reading payloads so.
    pub(crate) fn reading(self, payloads: Payloads) -> Self {
        Self { payloads, ..self }
    }

    /// The template for a measurement type, found without regard to case (FM-3).
    pub(crate) fn fhir_template(&self, measurement_type: &str) -> Option<&FhirTemplate> {
        let index = self
            .by_type_name
            .get(measurement_type)
            .or_else(|| self.by_type_name.get(measurement_type.to_lowercase().as_str()))?;
        self.fhir.get(*index)
    }

    /// Name of a measurement type and the line of a template that concerns it: the FHIR template, or, where the FHIR mapping
    /// lacks one, the device template that asks for it.
    pub(crate) fn template_line(&self, measurement_type: &str) -> Option<(String, usize)> {
        let fhir = self.fhir_template(measurement_type).map(|template| (template.type_name.clone(), template.at.line));
        fhir.or_else(|| {
            let device = self.device.iter().map(|bound| &bound.template);
            let asking = device.into_iter().find(|template| *template.type_name == *measurement_type)?;
            Some((asking.type_name.to_string(), asking.at.line))
        })
    }

    /// Warns of measurement types and values that no FHIR template uses (VA-4, VA-5).
    fn cross_check(&self, problems: &mut Problems<'_>) {
        for Bound { template: device, .. } in &self.device {
            let at = device.at;
            let type_name = &device.type_name;
            let Some(fhir) = self.fhir_template(type_name) else {
                let available: Vec<&str> = self.fhir.iter().map(|template| template.type_name.as_str()).collect();
                problems.warning(
                    at,
                    format!(
                        "No matching Fhir Template exists for Device Mapping [{type_name}]. Available: {}",
                        available.join(", ")
                    ),
                );
                continue;
            };
            for name in device.value_names().filter(|name| !fhir.uses(name)) {
                let available: Vec<&str> = fhir.value_names().collect();
                problems.warning(
                    at,
                    format!(
                        "The value [{name}] in Device Mapping [{type_name}] is not represented within the Fhir Template \
                         of type [{}]. Available: {}",
                        fhir.type_name,
                        available.join(", ")
                    ),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
