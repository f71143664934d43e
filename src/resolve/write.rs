//! Writing the Patients and Devices that are to be created or linked (ID-12, ID-13).

use std::collections::HashMap;

use super::plan::{Identity, IdentityFailure};
use crate::client::bundle::{Answer, Request};
use crate::client::{GivenUp, Link};
use crate::model::subject::Subject;

/// Writes that make an identity known.
pub(super) struct Write {
    pub(super) identity: Identity,
    /// The Patient, if it is new.
    pub(super) patient: Option<Request>,
    pub(super) device: Request,
    /// Who it is once both are written.
    pub(super) subject: Subject,
}

/// What came of the writes of an identity.
pub(super) enum Written {
    /// All is written.
    Done(Subject),
    /// Someone else wrote first; searching again finds what.
    Raced,
    /// The server refuses.
    Refused(IdentityFailure),
}

/// Writes the Patients, each once, and then the Devices of those that are there.
///
/// # Errors
/// When the program ends first.
pub(super) async fn all(link: &Link, writes: Vec<Write>) -> Result<Vec<(Identity, Written)>, GivenUp> {
    let mut patients: Vec<Request> = Vec::new();
    for patient in writes.iter().filter_map(|write| write.patient.as_ref()) {
        if !patients.contains(patient) {
            patients.push(patient.clone());
        }
    }
    let answers = link.exchange(&patients).await?;
    let answers: HashMap<&str, &Answer> = patients.iter().map(Request::url).zip(&answers).collect();
    let mut written = Vec::with_capacity(writes.len());
    let mut ready = Vec::new();
    for write in writes {
        let answer = write.patient.as_ref().and_then(|patient| answers.get(patient.url()));
        match answer.map_or(Ending::Done, |answer| Ending::of(answer)) {
            Ending::Done => ready.push(write),
            Ending::Raced => written.push((write.identity, Written::Raced)),
            Ending::Refused(reason) => {
                let failure = IdentityFailure::new("PatientNotFoundException", reason);
                written.push((write.identity, Written::Refused(failure)));
            }
        }
    }
    let devices: Vec<Request> = ready.iter().map(|write| write.device.clone()).collect();
    let answers = link.exchange(&devices).await?;
    for (write, answer) in ready.into_iter().zip(&answers) {
        let end = match Ending::of(answer) {
            Ending::Done => Written::Done(write.subject),
            Ending::Raced => Written::Raced,
            Ending::Refused(reason) => Written::Refused(IdentityFailure::new("DeviceNotFoundException", reason)),
        };
        written.push((write.identity, end));
    }
    Ok(written)
}

/// What came of one write.
enum Ending {
    Done,
    Raced,
    Refused(String),
}

impl Ending {
    fn of(answer: &Answer) -> Self {
        match answer.status {
            200..=299 => Self::Done,
            404 | 409 | 410 | 412 => Self::Raced,
            status => {
                let diagnosis = answer.diagnosis.as_deref().unwrap_or("without saying why");
                Self::Refused(format!("the FHIR server refused to write it with status {status}: {diagnosis}"))
            }
        }
    }
}
