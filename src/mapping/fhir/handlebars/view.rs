//! What a template sees of a group of measurements.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::check::Uses;

/// A group of measurements, as far as a template sees it.
#[derive(Debug)]
pub(crate) struct View<'v> {
    /// `type`
    pub(crate) measurement_type: &'v str,
    /// `values` and `series`: name and readings, sorted by time, at least one.
    pub(crate) series: Vec<(&'v str, &'v [(Timestamp, &'v str)])>,
    /// `start`
    pub(crate) start: Timestamp,
    /// `end`
    pub(crate) end: Timestamp,
    /// `issued`
    pub(crate) issued: Timestamp,
    /// `device`
    pub(crate) device: Party<'v>,
    /// `patient`
    pub(crate) patient: Party<'v>,
    /// `encounter`
    pub(crate) encounter: Option<Party<'v>>,
    /// `correlationId`
    pub(crate) correlation_id: Option<&'v str>,
    /// `identifier.system`
    pub(crate) identifier_system: &'v str,
    /// `identifier.value`
    pub(crate) identifier_value: &'v str,
}

/// A Device, Patient or Encounter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Party<'v> {
    /// Logical id on the FHIR server.
    pub(crate) id: &'v str,
    /// The identifier the message gave.
    pub(crate) identifier: Option<&'v str>,
}

impl View<'_> {
    /// The document that paths of the template lead into. Series that it does not mention are left out, and those that
    /// have no readings are empty lists.
    pub(super) fn to_json(&self, uses: &Uses) -> Value {
        let mut data = Map::new();
        data.insert("type".to_owned(), self.measurement_type.into());
        let mut values = Map::new();
        let without_readings = |name: &String| (name.clone(), Value::Array(Vec::new()));
        let mut series: Map<String, Value> = uses.values.keys().map(without_readings).collect();
        for (name, readings) in self.series.iter().filter(|(name, _)| uses.has(name)) {
            if let Some((_, latest)) = readings.last() {
                values.insert((*name).to_owned(), (*latest).into());
            }
            let readings = readings.iter().map(|(time, value)| {
                let members = [("time", Value::from(time.to_string())), ("value", Value::from(*value))];
                Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
            });
            series.insert((*name).to_owned(), readings.collect());
        }
        data.insert("values".to_owned(), values.into());
        data.insert("series".to_owned(), series.into());
        for (name, time) in [("start", self.start), ("end", self.end), ("issued", self.issued)] {
            data.insert(name.to_owned(), time.to_string().into());
        }
        data.insert("device".to_owned(), self.device.to_json("Device"));
        data.insert("patient".to_owned(), self.patient.to_json("Patient"));
        if let Some(encounter) = self.encounter {
            data.insert("encounter".to_owned(), encounter.to_json("Encounter"));
        }
        if let Some(id) = self.correlation_id {
            data.insert("correlationId".to_owned(), id.into());
        }
        let identifier = [("system", self.identifier_system), ("value", self.identifier_value)];
        data.insert("identifier".to_owned(), object(identifier));
        Value::Object(data)
    }
}

impl Party<'_> {
    fn to_json(self, resource_type: &str) -> Value {
        let reference = format!("{resource_type}/{}", self.id);
        let identifier = self.identifier.map(|identifier| ("identifier", identifier));
        object([("id", self.id), ("reference", &reference)].into_iter().chain(identifier))
    }
}

fn object<'m>(members: impl IntoIterator<Item = (&'m str, &'m str)>) -> Value {
    Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect())
}
