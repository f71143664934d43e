//! Cursors of the store on their way through links: sealed together with what was asked, so that a cursor fits no other
//! question and no change goes unnoticed. The seal is no secret: a cursor shows nothing that its answer does not.

use sha2::{Digest, Sha256};

use crate::fhir::store::Cursor;

/// Bytes of the seal.
const SEAL_BYTES: usize = 8;

/// The cursor for a link, in hexadecimal; `asked` are the texts that say what was asked.
pub(crate) fn seal<'a>(asked: impl Iterator<Item = &'a str>, cursor: &Cursor) -> String {
    let mut digest = Sha256::new();
    for text in asked {
        digest.update(text.len().to_be_bytes());
        digest.update(text);
    }
    digest.update(&cursor.0);
    let digest = digest.finalize();
    hex(digest.iter().take(SEAL_BYTES).copied().chain(cursor.0.bytes()))
}

/// The cursor that a link carried; `None` when it was changed or is of another question.
pub(crate) fn open<'a>(asked: impl Iterator<Item = &'a str>, sealed: &str) -> Option<Cursor> {
    let bytes = sealed.get(2 * SEAL_BYTES..).and_then(unhex)?;
    let cursor = Cursor(String::from_utf8(bytes).ok()?);
    (seal(asked, &cursor) == sealed).then_some(cursor)
}

fn hex(bytes: impl Iterator<Item = u8>) -> String {
    bytes.flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|half| char::from_digit(half.into(), 16)).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some((digit(*high)? << 4) | digit(*low)?),
            _ => None,
        })
        .collect()
}
