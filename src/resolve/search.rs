//! What the searches for a number of identities found, and for which of them that is.

use std::collections::{HashMap, HashSet};

use super::plan::{Found, Identity, IdentityFailure, Rules, tokens};
use crate::client::bundle::Answer;
use crate::client::search::{Hit, Token};
use crate::client::{GivenUp, Link};

/// What was found by each identifier, or why nothing could be.
#[derive(Debug)]
pub(super) struct Searches(HashMap<Token, Result<Vec<Hit>, IdentityFailure>>);

impl Searches {
    /// Searches everything the identities name, all in one Bundle but for further pages.
    ///
    /// # Errors
    /// When the program ends first.
    pub(super) async fn run(link: &Link, identities: &[Identity], rules: Rules<'_>) -> Result<Self, GivenUp> {
        let asked: HashSet<Token> = identities.iter().flat_map(|identity| tokens(identity, rules)).collect();
        let asked: Vec<Token> = asked.into_iter().collect();
        let searched = link.search(&asked).await?;
        let judged = asked.into_iter().zip(searched).map(|(token, searched)| {
            let hits = searched.map_err(|answer| refused(&token, &answer));
            (token, hits)
        });
        Ok(Self(judged.collect()))
    }

    /// What was found for one of the identities.
    pub(super) fn found(&self, identity: &Identity, rules: Rules<'_>) -> Found<'_> {
        let mut found = Found { devices: Ok(&[]), patients: Ok(&[]), encounters: Ok(&[]) };
        for token in tokens(identity, rules) {
            let hits = self.0.get(&token).map_or(Ok(&[][..]), |hits| hits.as_deref());
            match token.resource_type {
                "Device" => found.devices = hits,
                "Patient" => found.patients = hits,
                _ => found.encounters = hits,
            }
        }
        found
    }
}

/// Why a search has no hits that count.
fn refused(token: &Token, answer: &Answer) -> IdentityFailure {
    let code = match token.resource_type {
        "Device" => "DeviceNotFoundException",
        "Patient" => "PatientNotFoundException",
        _ => "EncounterNotFoundException",
    };
    let diagnosis = answer.diagnosis.as_deref().unwrap_or("it did not answer with a searchset");
    let (status, name) = (answer.status, token.resource_type);
    IdentityFailure::new(code, format!("the search for the {name} has no usable answer (status {status}): {diagnosis}"))
}
