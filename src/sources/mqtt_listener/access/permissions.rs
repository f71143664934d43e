//! What each device may publish to: the `topics` of the configuration, and an ACL file that is read anew when it changes.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::acl::{Acl, Verdict};
use super::file::{FileError, WatchedFile};
use super::pattern::{Pattern, Placeholders, Publisher};

const PLACEHOLDERS: Placeholders = Placeholders { username: "{username}", client_id: "{clientId}" };

/// Topics of a device that has shown who it is, when nothing is said.
const OWN_TOPICS: &str = "devices/{username}/#";

/// What each device may publish to.
#[derive(Debug)]
pub(super) enum Permissions {
    /// Any topic.
    Everything,
    /// What the file allows, or does not mention and the patterns allow.
    Some { topics: Vec<Pattern>, acl: Option<AclFile> },
}

#[derive(Debug)]
pub(super) struct AclFile {
    file: Mutex<WatchedFile>,
    acl: RwLock<Arc<Acl>>,
}

impl Permissions {
    /// Those of the given patterns and file. Without either, devices that show who they are publish for themselves, and
    /// others whatever they like.
    ///
    /// # Errors
    /// When the file cannot be read, and every line of it that is wrong.
    pub(super) fn open(
        topics: Option<&[Pattern]>,
        acl_file: Option<&Path>,
        have_names: bool,
    ) -> Result<Self, FileError> {
        let acl = acl_file.map(AclFile::open).transpose()?;
        match (topics, acl) {
            (None, None) if !have_names => Ok(Self::Everything),
            (None, None) => {
                Ok(Self::Some { topics: Pattern::of_configuration(OWN_TOPICS).into_iter().collect(), acl: None })
            }
            (topics, acl) => Ok(Self::Some { topics: topics.unwrap_or_default().to_vec(), acl }),
        }
    }

    /// Whether `publisher` may publish to this topic.
    pub(super) fn allow(&self, topic: &str, publisher: Publisher<'_>) -> bool {
        let Self::Some { topics, acl } = self else { return true };
        let verdict = acl.as_ref().map_or(Verdict::Unsaid, |file| file.acl().verdict(topic, publisher));
        match verdict {
            Verdict::Allowed => true,
            Verdict::Denied => false,
            Verdict::Unsaid => topics.iter().any(|pattern| pattern.allows(topic, publisher)),
        }
    }

    /// Reads the file anew if it has changed; with mistakes in it all stays as it was.
    ///
    /// # Errors
    /// As `open`, once for each change.
    pub(super) fn look(&self) -> Option<Result<(), FileError>> {
        match self {
            Self::Everything | Self::Some { acl: None, .. } => None,
            Self::Some { acl: Some(file), .. } => file.look(),
        }
    }
}

impl Pattern {
    /// Reads a pattern as the configuration has it.
    ///
    /// # Errors
    /// Why it is none.
    pub(super) fn of_configuration(text: &str) -> Result<Self, String> {
        Self::parse(text, Some(PLACEHOLDERS))
    }
}

impl AclFile {
    fn open(path: &Path) -> Result<Self, FileError> {
        let (file, acl) = WatchedFile::open(path, Acl::parse)?;
        Ok(Self { file: Mutex::new(file), acl: RwLock::new(Arc::new(acl)) })
    }

    fn acl(&self) -> Arc<Acl> {
        Arc::clone(&self.acl.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn look(&self) -> Option<Result<(), FileError>> {
        let changed = self.file.lock().unwrap_or_else(PoisonError::into_inner).changed(Acl::parse)?;
        Some(changed.map(|acl| *self.acl.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(acl)))
    }
}
