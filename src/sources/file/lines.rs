//! The lines of a file, unpacked while they are read. Memory does not grow with the file, nor with the length of a line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

use crate::bookmarks::Bookmark;

/// Bytes by which a file is known.
const HEAD_BYTES_MAX: u64 = 4096;
/// Bytes read at once from the file, and from what unpacks it.
const BUFFER_BYTES: usize = 64 << 10;
/// A batch ends with the line that makes it so long.
const BATCH_BYTES_MAX: u64 = 256 << 10;
/// Bytes a text may begin with to say that it is UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A file being read.
pub(super) struct Lines {
    reader: Box<dyn BufRead + Send>,
    place: Bookmark,
    line_bytes_max: usize,
}

/// A line that is not blank.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Without white space around it, cut off after the bound for lines.
    pub(super) text: Bytes,
    /// Bytes before it.
    pub(super) offset: u64,
    /// The place behind it; its number is that of the lines before that place.
    pub(super) end: Bookmark,
}

/// Some lines.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) lines: Vec<Line>,
    /// There are no more.
    pub(super) is_last: bool,
}

impl Lines {
    /// The lines behind the bookmark, or all when that is in another file. More than `line_bytes_max` of a line are not
    /// kept.
    pub(super) fn open(path: &Path, bookmark: Option<Bookmark>, line_bytes_max: usize) -> io::Result<Self> {
        let (head_bytes, head_digest) = head(path, HEAD_BYTES_MAX)?;
        let start = Bookmark { head_bytes, head_digest, offset: 0, line: 0 };
        if let Some(bookmark) = bookmark
            && head(path, bookmark.head_bytes)? == (bookmark.head_bytes, bookmark.head_digest)
            && let Some(reader) = reader(path, bookmark.offset)?
        {
            let place = Bookmark { offset: bookmark.offset, line: bookmark.line, ..start };
            return Ok(Self { reader, place, line_bytes_max });
        }
        let reader = reader(path, 0)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(Self { reader, place: start, line_bytes_max })
    }

    /// Lines before what is read next.
    pub(super) fn line(&self) -> u64 {
        self.place.line
    }

    /// The next lines, none only when there are none in a long stretch.
    pub(super) fn batch(&mut self) -> io::Result<Batch> {
        let (start, mut lines) = (self.place.offset, Vec::new());
        while self.place.offset.saturating_sub(start) < BATCH_BYTES_MAX {
            let offset = self.place.offset;
            let Some(text) = self.next_line()? else { return Ok(Batch { lines, is_last: true }) };
            let text = if offset == 0 { text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text) } else { &text };
            let text = text.trim_ascii();
            if !text.is_empty() {
                lines.push(Line { text: Bytes::copy_from_slice(text), offset, end: self.place.clone() });
            }
        }
        Ok(Batch { lines, is_last: false })
    }

    fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut text = Vec::new();
        let bytes_max = u64::try_from(self.line_bytes_max).unwrap_or(u64::MAX);
        let mut bytes = self.reader.by_ref().take(bytes_max).read_until(b'\n', &mut text)?;
        if bytes == 0 {
            return Ok(None);
        }
        if !text.ends_with(b"\n") {
            bytes = bytes.saturating_add(self.reader.skip_until(b'\n')?);
        }
        self.place.offset = self.place.offset.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.place.line = self.place.line.saturating_add(1);
        Ok(Some(text))
    }
}

/// How many bytes, up to so many, the file begins with, and their digest.
fn head(path: &Path, bytes_max: u64) -> io::Result<(u64, Vec<u8>)> {
    let mut head = Vec::new();
    File::open(path)?.take(bytes_max.min(HEAD_BYTES_MAX)).read_to_end(&mut head)?;
    Ok((u64::try_from(head.len()).unwrap_or(u64::MAX), Sha256::digest(&head).to_vec()))
}

/// What is behind so many bytes of text; `None` when there are not so many.
fn reader(path: &Path, offset: u64) -> io::Result<Option<Box<dyn BufRead + Send>>> {
    let mut file = File::open(path)?;
    let packed: Box<dyn Read + Send> = match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => Box::new(MultiGzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, file))),
        Some("zst") => Box::new(zstd::Decoder::new(file)?),
        _ => {
            let is_there = file.metadata()?.len() >= offset;
            file.seek(SeekFrom::Start(offset))?;
            return Ok(is_there.then(|| Box::new(BufReader::with_capacity(BUFFER_BYTES, file)) as Box<_>));
        }
    };
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, packed);
    let passed = io::copy(&mut reader.by_ref().take(offset), &mut io::sink())?;
    Ok((passed == offset).then(|| Box::new(reader) as Box<_>))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::path::Path;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::{Strategy as _, any, proptest};

    use super::{BATCH_BYTES_MAX, Line, Lines};
    use crate::bookmarks::Bookmark;

    const LINE_BYTES_MAX: usize = 20;

    fn rest(path: &Path, bookmark: Option<Bookmark>) -> Vec<Line> {
        let mut lines = Lines::open(path, bookmark, LINE_BYTES_MAX).unwrap();
        let mut all = Vec::new();
        loop {
            let batch = lines.batch().unwrap();
            all.extend(batch.lines);
            if batch.is_last {
                return all;
            }
        }
    }

    fn texts(lines: &[Line]) -> Vec<(u64, &str)> {
        lines.iter().map(|line| (line.end.line, str::from_utf8(&line.text).unwrap())).collect()
    }

    #[track_caller]
    fn check(text: &str, expected: &[(u64, &str)]) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.ndjson");
        fs::write(&path, text).unwrap();
        assert_eq!(texts(&rest(&path, None)), expected);
    }

    #[test]
    fn blank_lines_are_passed_over_and_counted() {
        check("\u{FEFF}{\"a\":1}\r\n\n  \n {\"b\":2}", &[(1, "{\"a\":1}"), (4, "{\"b\":2}")]);
        check("", &[]);
        check("\n\n", &[]);
    }

    #[test]
    fn what_is_too_long_is_cut_and_what_follows_is_whole() {
        check("123456789012345678901234567890\n2\n", &[(1, "12345678901234567890"), (2, "2")]);
        check("12345678901234567890\n2", &[(1, "12345678901234567890"), (2, "2")]);
    }

    #[test]
    fn a_long_stretch_without_lines_is_read_in_batches() {
        let stretch = "\n".repeat(usize::try_from(3 * BATCH_BYTES_MAX).unwrap());
        let last = 3 * BATCH_BYTES_MAX + 1;
        check(&format!("{stretch}last"), &[(last, "last")]);
    }

    #[test]
    fn a_bookmark_counts_in_its_file_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.ndjson");
        fs::write(&path, "one\ntwo\n").unwrap();
        let bookmark = rest(&path, None)[0].end.clone();
        fs::write(&path, "one\ntwo\nthree\n").unwrap();
        assert_eq!(texts(&rest(&path, Some(bookmark.clone()))), [(2, "two"), (3, "three")], "it has grown");
        fs::write(&path, "ONE\ntwo\n").unwrap();
        assert_eq!(texts(&rest(&path, Some(bookmark.clone()))), [(1, "ONE"), (2, "two")], "it is another");
        fs::write(&path, "one").unwrap();
        assert_eq!(texts(&rest(&path, Some(bookmark))), [(1, "one")], "it was cut off");
    }

    fn packed(text: &[u8], extension: &str) -> Vec<u8> {
        match extension {
            "gz" => {
                // Members one behind the other are one file.
                let (first, second) = text.split_at(text.len() / 2);
                let pack = |part: &[u8]| {
                    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                    encoder.write_all(part).unwrap();
                    encoder.finish().unwrap()
                };
                [pack(first), pack(second)].concat()
            }
            "zst" => zstd::encode_all(text, 1).unwrap(),
            _ => text.to_vec(),
        }
    }

    proptest! {
        #[test]
        fn reading_on_from_any_line_gives_what_reading_in_one_go_does(
            lines in proptest::collection::vec("[ a-z]{0,30}", 0..40),
            has_end in any::<bool>(),
            extension in (0_usize..3).prop_map(|index| ["ndjson", "gz", "zst"][index]),
        ) {
            let text = lines.join("\n") + if has_end { "\n" } else { "" };
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join(format!("a.{extension}"));
            fs::write(&path, packed(text.as_bytes(), extension)).unwrap();
            let all = rest(&path, None);
            let expected: Vec<&str> = lines.iter()
                .map(|line| line.get(..LINE_BYTES_MAX).unwrap_or(line).trim_ascii())
                .filter(|line| !line.is_empty())
                .collect();
            assert_eq!(texts(&all).iter().map(|(_, text)| *text).collect::<Vec<_>>(), expected);
            for (place, line) in all.iter().enumerate() {
                assert_eq!(rest(&path, Some(line.end.clone())), all[place + 1..]);
            }
        }
    }
}
