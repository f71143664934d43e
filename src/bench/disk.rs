//! What stands beside the rates of writing: the same Bundles appended to a file, each flushed to the disk before the next.

use std::fs::File;
use std::io::Write as _;
use std::time::Instant;

use super::data::{BUNDLE_ENTRIES, readings};
use super::{BenchError, BenchOptions};

/// Bundles appended.
const BUNDLES: u64 = 200;

/// Appends and flushes, and says how fast that is.
pub(super) fn measure(options: &BenchOptions) -> Result<String, BenchError> {
    let file = match &options.directory {
        Some(directory) => tempfile::tempfile_in(directory),
        None => tempfile::tempfile(),
    };
    let bundles: Vec<String> =
        (0..BUNDLES).map(|number| readings(number * BUNDLE_ENTRIES..(number + 1) * BUNDLE_ENTRIES)).collect();
    let started = Instant::now();
    append(file.map_err(BenchError::Disk)?, &bundles).map_err(BenchError::Disk)?;
    let seconds = started.elapsed().as_secs_f64();
    let count = u32::try_from(BUNDLES * BUNDLE_ENTRIES).unwrap_or(u32::MAX);
    let rate = f64::from(count) / seconds;
    Ok(format!("beside it: the same Bundles appended to a file and flushed one by one: {rate:.0} Observations/s"))
}

fn append(mut file: File, bundles: &[String]) -> std::io::Result<()> {
    for bundle in bundles {
        file.write_all(bundle.as_bytes())?;
        file.sync_data()?;
    }
    Ok(())
}
