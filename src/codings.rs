//! Content codings as senders name them (RFC 9110, section 8.4.1): gzip, deflate and zstd, undone within a bound.
//!
//! What is packed may be a bomb: a few bytes that unpack to gigabytes. So nothing is unpacked beyond the bound of the
//! caller, whatever the packed bytes say of their size, and no window of memory is larger than decoders must offer.

use std::io::Read;

use flate2::bufread::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};

/// Codings that may be applied one over another.
const CODINGS_MAX: usize = 3;
/// Largest window of zstd, as a power of two: 8 MiB, which is what content may ask for (RFC 9659).
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Bytes unpacked in one step.
const CHUNK_BYTES: usize = 16 << 10;

/// A way to pack bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// RFC 1952
    Gzip,
    /// RFC 1950, or RFC 1951 without the frame of RFC 1950, which some senders take it for.
    Deflate,
    /// RFC 8878
    Zstd,
}

/// The codings of a body, in the order in which they were applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Codings(Vec<Coding>);

/// Not codings that can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("only gzip, deflate and zstd can be undone, {CODINGS_MAX} at most one over another")]
pub(crate) struct UnknownCoding;

/// Why a body is not unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnpackError {
    /// The bytes are not what the coding makes, or break off.
    #[error("it is not whole, or not {}", .0.as_str())]
    Broken(Coding),
    /// More comes out than may.
    #[error("it has more than {0} bytes unpacked")]
    TooLarge(usize),
}

impl Coding {
    fn named(name: &str) -> Option<Self> {
        let names = [("gzip", Self::Gzip), ("x-gzip", Self::Gzip), ("deflate", Self::Deflate), ("zstd", Self::Zstd)];
        names.iter().find_map(|(known, coding)| known.eq_ignore_ascii_case(name).then_some(*coding))
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
        }
    }

    fn undo(self, packed: &[u8], bytes_max: usize) -> Result<Vec<u8>, UnpackError> {
        let unpacked = match self {
            Self::Gzip => read(MultiGzDecoder::new(packed), bytes_max),
            Self::Deflate => inflate(packed, bytes_max),
            Self::Zstd => zstd(packed, bytes_max),
        };
        match unpacked {
            None => Err(UnpackError::Broken(self)),
            Some(unpacked) if unpacked.len() > bytes_max => Err(UnpackError::TooLarge(bytes_max)),
            Some(unpacked) => Ok(unpacked),
        }
    }
}

impl Codings {
    /// Reads the value of a `Content-Encoding`: names in any case with commas between; `identity` is none.
    ///
    /// # Errors
    /// When one is not known, or there are too many.
    pub(crate) fn parse(list: &str) -> Result<Self, UnknownCoding> {
        let names = list.split(',').map(str::trim);
        let names = names.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity"));
        let codings: Vec<Coding> =
            names.map(|name| Coding::named(name).ok_or(UnknownCoding)).collect::<Result<_, _>>()?;
        if codings.len() > CODINGS_MAX { Err(UnknownCoding) } else { Ok(Self(codings)) }
    }

    /// Whether there is nothing to undo.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes before they were packed, `bytes_max` at most, also between two codings. No bytes are none unpacked.
    ///
    /// # Errors
    /// See [`UnpackError`].
    pub(crate) fn undo(&self, packed: &[u8], bytes_max: usize) -> Result<Vec<u8>, UnpackError> {
        let mut bytes = packed.to_vec();
        if bytes.is_empty() {
            return Ok(bytes);
        }
        for coding in self.0.iter().rev() {
            bytes = coding.undo(&bytes, bytes_max)?;
        }
        Ok(bytes)
    }
}

/// All that comes out, or one byte more than the bound; `None` when it breaks.
fn read(decoder: impl Read, bytes_max: usize) -> Option<Vec<u8>> {
    let mut unpacked = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(limit).read_to_end(&mut unpacked).ok()?;
    Some(unpacked)
}

fn zstd(packed: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
    let mut decoder = zstd::Decoder::with_buffer(packed).ok()?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).ok()?;
    read(decoder, bytes_max)
}

/// Not with a reader of the library, which takes bytes that break off for whole.
fn inflate(packed: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
    let mut state = Decompress::new(has_zlib_frame(packed));
    let mut unpacked = Vec::new();
    while unpacked.len() <= bytes_max {
        unpacked.reserve(CHUNK_BYTES);
        let (read, written) = (usize::try_from(state.total_in()).ok()?, unpacked.len());
        let rest = packed.get(read..)?;
        let status = state.decompress_vec(rest, &mut unpacked, FlushDecompress::None).ok()?;
        let consumed = usize::try_from(state.total_in()).ok()?;
        match status {
            Status::StreamEnd => return (consumed == packed.len()).then_some(unpacked),
            Status::Ok | Status::BufError if consumed == read && unpacked.len() == written => return None,
            Status::Ok | Status::BufError => {}
        }
    }
    Some(unpacked)
}

/// Whether bytes begin as RFC 1950 has it: the method, and a check of the first two bytes.
fn has_zlib_frame(packed: &[u8]) -> bool {
    let [first, second, ..] = packed else { return false };
    first & 0x0f == 8 && u16::from_be_bytes([*first, *second]) % 31 == 0
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::{any, proptest};

    use super::{Codings, UnknownCoding, UnpackError};

    fn packed(coding: &str, bytes: &[u8]) -> Vec<u8> {
        match coding {
            "gzip" => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            "deflate" => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            "raw" => {
                let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            _ => zstd::encode_all(bytes, 3).unwrap(),
        }
    }

    #[track_caller]
    fn check(list: &str, packed: &[u8], expected: Result<&[u8], UnpackError>) {
        let unpacked = Codings::parse(list).unwrap().undo(packed, 1_000);
        assert_eq!(unpacked.as_deref(), expected.as_ref().copied(), "{list}");
    }

    const BODY: &[u8] = br#"{"hr":61}"#;

    #[test]
    fn each_coding_is_undone_whatever_its_case() {
        for coding in ["gzip", "deflate", "zstd"] {
            check(&coding.to_uppercase(), &packed(coding, BODY), Ok(BODY));
            check(coding, &packed(coding, b""), Ok(b""));
            check(coding, b"", Ok(b""));
        }
        check("deflate", &packed("raw", BODY), Ok(BODY));
        check("x-gzip", &packed("gzip", BODY), Ok(BODY));
        check("identity, ", BODY, Ok(BODY));
    }

    #[test]
    fn codings_are_undone_from_the_last_to_the_first() {
        check("gzip, zstd", &packed("zstd", &packed("gzip", BODY)), Ok(BODY));
        check("deflate,identity,gzip", &packed("gzip", &packed("deflate", BODY)), Ok(BODY));
    }

    #[test]
    fn members_and_frames_one_after_another_are_one_body() {
        for coding in ["gzip", "zstd"] {
            check(coding, &[packed(coding, b"[1,"), packed(coding, b"2]")].concat(), Ok(b"[1,2]"));
        }
    }

    #[test]
    fn what_is_not_known_or_too_much_is_refused() {
        for list in ["br", "gzip, br", "compress", "gzip;q=1", "gzip,gzip,gzip,gzip"] {
            assert_eq!(Codings::parse(list), Err(UnknownCoding), "{list}");
        }
    }

    #[test]
    fn what_breaks_off_or_goes_on_is_broken() {
        for coding in ["gzip", "deflate", "zstd"] {
            let whole = packed(coding, BODY);
            for packed in [&whole[..whole.len() - 1], &whole[..3], b"{\"hr\":61}", &[whole.as_slice(), b"x"].concat()] {
                let unpacked = Codings::parse(coding).unwrap().undo(packed, 1_000);
                assert!(matches!(unpacked, Err(UnpackError::Broken(_))), "{coding}: {unpacked:?}");
            }
        }
    }

    #[test]
    fn p_7_a_bomb_is_unpacked_no_further_than_the_bound() {
        let bomb = vec![b'0'; 64 << 20];
        for coding in ["gzip", "deflate", "raw", "zstd"] {
            let list = if coding == "raw" { "deflate" } else { coding };
            check(list, &packed(coding, &bomb), Err(UnpackError::TooLarge(1_000)));
            check(list, &packed(coding, &bomb[..1_000]), Ok(&bomb[..1_000]));
            check(list, &packed(coding, &bomb[..1_001]), Err(UnpackError::TooLarge(1_000)));
        }
        let twice = packed("gzip", &packed("gzip", &bomb));
        check("gzip, gzip", &twice, Err(UnpackError::TooLarge(1_000)));
    }

    proptest! {
        #[test]
        fn p_7_any_bytes_are_unpacked_within_the_bound_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), bytes_max in 0_usize..300) {
            for list in ["gzip", "deflate", "zstd", "zstd,gzip"] {
                if let Ok(unpacked) = Codings::parse(list).unwrap().undo(&bytes, bytes_max) {
                    assert!(unpacked.len() <= bytes_max || bytes.is_empty(), "{list}");
                }
            }
        }

        #[test]
        fn what_was_packed_comes_out_as_it_was(bytes in proptest::collection::vec(any::<u8>(), 0..1_000)) {
            for coding in ["gzip", "deflate", "zstd"] {
                assert_eq!(Codings::parse(coding).unwrap().undo(&packed(coding, &bytes), 1_000).unwrap(), bytes);
            }
        }
    }
}
