//! As much of Markdown as the documentation is checked by: fenced blocks, tables of expressions, links and headings.

/// What a document has in it, in order.
#[derive(Debug)]
pub(super) enum Part {
    /// A fenced block.
    Block(Block),
    /// A row of a table of expressions.
    Row(Row),
}

/// A fenced block.
#[derive(Debug)]
pub(super) struct Block {
    /// Line of the fence, from 1.
    pub(super) line: usize,
    /// First word behind the fence.
    pub(super) language: String,
    /// Second word behind the fence, which readers do not see.
    pub(super) name: String,
    pub(super) text: String,
}

/// A row of a table whose first column is headed by the name of a language.
#[derive(Debug)]
pub(super) struct Row {
    /// Line, from 1.
    pub(super) line: usize,
    pub(super) language: String,
    /// Cells as written, `\|` being a bar.
    pub(super) cells: Vec<String>,
}

/// Languages of expressions, as they head the first column of a table.
const LANGUAGES: [&str; 3] = ["JsonPath", "JmesPath", "Rfc9535"];

/// The blocks and rows of a document.
pub(super) fn parts(markdown: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut table: Option<String> = None;
    let mut lines = (1..).zip(markdown.lines());
    while let Some((line, text)) = lines.next() {
        if let Some(info) = text.trim_start().strip_prefix("```") {
            let mut words = info.split_whitespace().map(str::to_owned);
            let (language, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let inside = lines.by_ref().map(|(_, text)| text).take_while(|text| !text.trim_start().starts_with("```"));
            let text = inside.map(|line| format!("{line}\n")).collect();
            parts.push(Part::Block(Block { line, language, name, text }));
        }
        let cells = cells(text);
        match (&table, cells.first()) {
            (_, None) => table = None,
            (None, Some(head)) => table = LANGUAGES.contains(&head.as_str()).then(|| head.clone()),
            (Some(_), Some(rule)) if rule.starts_with("---") => {}
            (Some(language), Some(_)) => parts.push(Part::Row(Row { line, language: language.clone(), cells })),
        }
    }
    parts
}

fn cells(line: &str) -> Vec<String> {
    let Some(inside) = line.strip_prefix('|').and_then(|line| line.trim_end().strip_suffix('|')) else {
        return Vec::new();
    };
    let inside = inside.replace("\\|", "\u{0}");
    inside.split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect()
}

/// The code spans of a cell.
pub(super) fn code_spans(cell: &str) -> Vec<&str> {
    let mut spans = Vec::new();
    let mut rest = cell;
    while let Some(start) = rest.find('`') {
        let opened = &rest[start..];
        let fence = &opened[..opened.len() - opened.trim_start_matches('`').len()];
        let inside = &opened[fence.len()..];
        let Some(end) = inside.find(fence) else { break };
        spans.push(inside[..end].trim());
        rest = &inside[end + fence.len()..];
    }
    spans
}

/// Where the links of a document lead, addresses on the web excepted.
pub(super) fn links(markdown: &str) -> Vec<String> {
    let prose = outside_of_blocks(markdown);
    let targets = prose.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()));
    targets.filter(|target| !target.contains("://")).collect()
}

/// The names by which links find headings.
pub(super) fn anchors(markdown: &str) -> Vec<String> {
    let prose = outside_of_blocks(markdown);
    let headings = prose.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let anchor = |heading: &str| -> String {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

fn outside_of_blocks(markdown: &str) -> String {
    let mut inside = false;
    let mut prose = String::new();
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    prose
}
