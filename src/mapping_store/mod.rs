//! The mapping files of a connector, and which version of them is in force.
//!
//! A file that changes takes effect with the next batch of messages, never in the middle of one (rule DM-51). Every
//! measurement carries the number of the version it was made with, so what is under way is finished with the mappings
//! it began with. Files with an error are refused: nothing is processed and nothing is lost until they load again
//! (rules ER-2, ER-3).

mod files;
mod versions;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use self::files::{Files, Stamps};
use crate::mapping::{Payloads, Problem};
use crate::telemetry::meters::count_refused_mapping;

pub(crate) use self::files::{MappingFile, included};
pub(crate) use self::versions::{Version, Versions};

/// The mapping files of a connector.
#[derive(Debug)]
pub(crate) struct MappingStore {
    /// Name of the connector, for the log.
    connector: Arc<str>,
    files: Files,
    payloads: Payloads,
    versions: Arc<Versions>,
    state: Mutex<State>,
    trouble: watch::Sender<Option<String>>,
    /// Fingerprint of the version that is or was in force last.
    fingerprint: watch::Sender<Arc<str>>,
}

#[derive(Debug)]
struct State {
    /// What the files looked like when they were read last.
    stamps: Stamps,
    /// `None` while they are refused.
    in_force: Option<Version>,
}

/// Why mapping files cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MappingError {
    /// They say something wrong; each problem a line.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Problems(Vec<Problem>),
    /// One of them cannot be read.
    #[error("cannot read the mapping {path}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
}

/// The files are refused at present; the log and the connector's state say why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

impl MappingStore {
    /// Loads the mappings of a connector, and the warnings about them.
    ///
    /// # Errors
    /// When a file cannot be read, or is not a mapping without errors.
    pub(crate) fn open(
        connector: &str,
        (device, fhir): (PathBuf, PathBuf),
        payloads: Payloads,
    ) -> Result<(Self, Vec<Problem>), MappingError> {
        let files = Files::new(device, fhir);
        let stamps = files.stamps();
        let (mappings, warnings) = files.load()?;
        let (versions, version) = Versions::beginning_with(mappings.reading(payloads));
        let state = Mutex::new(State { stamps, in_force: Some(version.clone()) });
        let (trouble, _unwatched) = watch::channel(None);
        let (fingerprint, _unwatched) = watch::channel(Arc::clone(version.mappings.fingerprint()));
        let (connector, versions) = (connector.into(), Arc::new(versions));
        Ok((Self { connector, files, payloads, versions, state, trouble, fingerprint }, warnings))
    }

    /// The version in force, read anew if a file has changed.
    ///
    /// # Errors
    /// When the files are refused; it is worth asking again, they may be mended.
    pub(crate) fn in_force(&self) -> Result<Version, Refused> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken before reading: a change while the files are read shows in the next look.
        let stamps = self.files.stamps();
        if stamps != state.stamps || self.files.included_changed() {
            state.stamps = stamps;
            state.in_force = self.reload();
        }
        state.in_force.clone().ok_or(Refused)
    }

    fn reload(&self) -> Option<Version> {
        match self.files.load() {
            Ok((mappings, warnings)) => {
                let version = self.versions.add(mappings.reading(self.payloads));
                let fingerprint = Arc::clone(version.mappings.fingerprint());
                tracing::info!(connector = %self.connector, version = %fingerprint, "mapping changed");
                self.fingerprint.send_replace(fingerprint);
                tell_warnings(&self.connector, &warnings);
                self.trouble.send_replace(None);
                Some(version)
            }
            Err(error) => {
                self.count_refused(&error);
                let reason = crate::telemetry::chain(&error);
                tracing::error!(connector = %self.connector, problems = reason, "mapping refused, messages wait until it is mended");
                self.trouble.send_replace(Some(reason));
                None
            }
        }
    }

    fn count_refused(&self, error: &MappingError) {
        let problems = match error {
            MappingError::Problems(problems) => problems.as_slice(),
            MappingError::Unreadable { .. } => &[],
        };
        let mistakes = problems.iter().filter(|problem| problem.is_error());
        count_refused_mapping(&self.connector, mistakes.map(|mistake| (mistake.code, self.files.side(&mistake.file))));
    }

    /// Name of the connector they are for.
    pub(crate) fn connector(&self) -> &str {
        &self.connector
    }

    /// All versions, for those who finish what an earlier one began.
    pub(crate) fn versions(&self) -> Arc<Versions> {
        Arc::clone(&self.versions)
    }

    /// Fingerprint of the mappings in force; while the files are refused, of those that were last.
    pub(crate) fn fingerprint(&self) -> watch::Receiver<Arc<str>> {
        self.fingerprint.subscribe()
    }

    /// Why the files are refused at present, `None` when they are not.
    pub(crate) fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }
}

/// Logs what may surprise about a mapping.
pub(crate) fn tell_warnings(connector: &str, warnings: &[Problem]) {
    for warning in warnings {
        tracing::warn!(connector, problem = %warning, "mapping may surprise");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{MappingError, MappingStore, Payloads, Refused};

    const FHIR: &str = r#"{"templateType": "CollectionFhir", "template": [{"templateType": "CodeValueFhir",
        "template": {"typeName": "pulse", "codes": []}}]}"#;

    fn device(type_name: &str) -> String {
        format!(
            r#"{{"templateType": "CollectionContent", "template": [{{"templateType": "JsonPathContent", "template": {{
                "typeName": "{type_name}", "typeMatchExpression": "$", "deviceIdExpression": "$.id",
                "timestampExpression": "$.at", "values": []}}}}]}}"#
        )
    }

    fn store(folder: &Path) -> MappingStore {
        fs::write(folder.join("device.json"), device("pulse")).unwrap();
        fs::write(folder.join("fhir.json"), FHIR).unwrap();
        let files = (folder.join("device.json"), folder.join("fhir.json"));
        MappingStore::open("wards", files, Payloads::Strict).unwrap().0
    }

    #[test]
    fn dm_51_a_mapping_is_read_again_when_its_file_has_changed_and_only_then() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        assert_eq!(store.in_force().unwrap().number, 1);
        assert_eq!(store.in_force().unwrap().number, 1);
        fs::write(folder.path().join("fhir.json"), FHIR.replace("pulse", "temp")).unwrap();
        let second = store.in_force().unwrap();
        assert_eq!(second.number, 2);
        assert!(second.mappings.fhir_template("temp").is_some());
        assert!(
            store.versions().get(1).fhir_template("pulse").is_some(),
            "what is under way is finished with version 1"
        );
        assert_eq!(store.in_force().unwrap().number, 2);
    }

    #[test]
    fn a_mapping_that_says_the_same_again_has_the_same_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let fingerprint = || store.in_force().map(|_version| store.fingerprint().borrow().as_ref().to_owned()).unwrap();
        let (first, fhir) = (fingerprint(), folder.path().join("fhir.json"));
        fs::write(&fhir, FHIR.replace("pulse", "temp")).unwrap();
        let second = fingerprint();
        fs::write(&fhir, FHIR).unwrap();
        assert_eq!((first != second, fingerprint()), (true, first));
        let template = r#"{"templateType": "CollectionFhir", "template": [{"templateType": "HandlebarsFhir",
            "template": {"typeName": "pulse", "file": "pulse.hbs"}}]}"#;
        fs::write(&fhir, template).unwrap();
        let mut of_files = ["Media", "Basic"].map(|name| {
            fs::write(folder.path().join("pulse.hbs"), format!(r#"{{ "resourceType": "{name}" }}"#)).unwrap();
            fingerprint()
        });
        of_files.sort();
        assert_ne!(of_files[0], of_files[1], "a file that the mapping names is part of what it says");
    }

    #[test]
    fn dm_51_a_file_that_a_mapping_names_is_part_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let fhir = r#"{"templateType": "CollectionFhir", "template": [{"templateType": "HandlebarsFhir",
            "template": {"typeName": "pulse", "file": "pulse.hbs"}}]}"#;
        let template = folder.path().join("pulse.hbs");
        fs::write(&template, r#"{ "resourceType": "Media" }"#).unwrap();
        fs::write(folder.path().join("fhir.json"), fhir).unwrap();
        let resource_type = || store.in_force().unwrap().mappings.fhir_template("pulse").unwrap().resource_type();
        assert_eq!(resource_type(), "Media");
        assert_eq!(store.in_force().unwrap().number, 2);
        fs::write(&template, r#"{ "resourceType": "Basic" "#).unwrap();
        assert_eq!(store.in_force().unwrap_err(), Refused);
        fs::write(&template, r#"{ "resourceType": "Basic" }"#).unwrap();
        assert_eq!((resource_type(), store.in_force().unwrap().number), ("Basic", 3));
    }

    #[test]
    fn er_2_er_3_a_mapping_with_errors_is_refused_until_it_loads() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let (device_file, trouble) = (folder.path().join("device.json"), store.trouble());
        fs::write(&device_file, device(" ")).unwrap();
        assert_eq!(store.in_force().unwrap_err(), Refused);
        assert!(trouble.borrow().as_ref().is_some_and(|reason| reason.contains("must not be blank")));
        fs::remove_file(&device_file).unwrap();
        assert_eq!(store.in_force().unwrap_err(), Refused);
        assert!(trouble.borrow().as_ref().is_some_and(|reason| reason.contains("cannot read")));
        fs::write(&device_file, device("pulse")).unwrap();
        assert_eq!(store.in_force().unwrap().number, 2);
        assert_eq!(*trouble.borrow(), None);
    }

    #[test]
    fn a_mapping_that_never_loaded_does_not_open() {
        let folder = tempfile::tempdir().unwrap();
        let files = (folder.path().join("none.json"), "shipped:heart-rate/fhir.json".into());
        let error = MappingStore::open("wards", files, Payloads::Strict).unwrap_err();
        assert!(matches!(error, MappingError::Unreadable { .. }), "{error}");
    }
}
