//! From the configuration of a file to the settings of its source.

use std::num::NonZeroUsize;

use crate::config::FileConfig;
use crate::sources::file::FileSettings;

/// What the source is told.
pub(crate) fn file(config: &FileConfig) -> FileSettings {
    FileSettings {
        path: config.path.clone(),
        in_flight_max: NonZeroUsize::new(config.in_flight_max).unwrap_or(NonZeroUsize::MIN),
        message_bytes_max: config.message_bytes_max,
        split_arrays: config.split_arrays,
    }
}
