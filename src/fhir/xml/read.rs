//! From XML to the tree of a resource.

use std::borrow::Cow;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

use super::member::{Kind, Member, member};
use super::xhtml::{XHTML, is_division};
use super::{FHIR, is_character};
use crate::json::{self, Node};
use crate::r4::resource_type::ResourceType;

/// Attributes that tell programs where to find a schema; they say nothing about the resource.
const SCHEMA_INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";

const LOOSE_TEXT: &str = "Text outside a narrative. Values are attributes: `<status value=\"final\"/>`.";

/// Most attributes of an element; those of FHIR have two, and declarations of namespaces beside them.
const ATTRIBUTES_MAX: usize = 32;

/// Why a text is not the XML of a resource.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {detail}")]
pub(crate) struct Unreadable {
    /// From 1.
    line: usize,
    /// From 1, in characters.
    column: usize,
    /// What does not fit.
    detail: String,
}

/// The tree that the JSON of a resource in XML has.
///
/// # Errors
/// With the place of the first character that does not fit.
pub(crate) fn read(text: &[u8]) -> Result<Node<'static>, Unreadable> {
    let mut source = Source::open(text)?;
    let root = match source.next()? {
        Token::Open(root) => source.resource(&root, 1)?,
        Token::Close | Token::End => return Err(source.error("There is no element. Send the resource as XML.")),
    };
    match source.next()? {
        Token::End => Ok(root),
        Token::Open(_) | Token::Close => Err(source.error("The resource has ended; nothing may follow.")),
    }
}

/// The name of the outermost element, if that is one of FHIR.
pub(crate) fn root_name(text: &[u8]) -> Option<String> {
    let mut source = Source::open(text).ok()?;
    match source.next().ok()? {
        Token::Open(root) if root.is_fhirs => Some(root.name),
        Token::Open(_) | Token::Close | Token::End => None,
    }
}

/// A document, and how far it is read.
struct Source<'a> {
    text: &'a str,
    reader: NsReader<&'a [u8]>,
    /// Where the last token begins.
    at: usize,
}

enum Token<'a> {
    Open(Open<'a>),
    Close,
    End,
}

/// The start of an element.
struct Open<'a> {
    name: String,
    /// Whether it is in the namespace of FHIR.
    is_fhirs: bool,
    tag: BytesStart<'a>,
}

/// Attributes by name.
type Attributes = Vec<(String, String)>;

/// Members of an object of JSON.
type Members = Vec<(Cow<'static, str>, Node<'static>)>;

impl<'a> Source<'a> {
    fn open(text: &'a [u8]) -> Result<Self, Unreadable> {
        let (sound, broken) = match std::str::from_utf8(text) {
            Ok(text) => (text, None),
            Err(error) => {
                let sound = text.get(..error.valid_up_to()).and_then(|sound| std::str::from_utf8(sound).ok());
                (sound.unwrap_or_default(), Some(error.valid_up_to()))
            }
        };
        let mut reader = NsReader::from_str(sound);
        reader.config_mut().enable_all_checks(true);
        reader.config_mut().expand_empty_elements = true;
        let mut source = Self { text: sound, reader, at: 0 };
        if let Some(at) = broken.or_else(|| sound.find(|character| !is_character(character))) {
            source.at = at;
            return Err(source.error("A character that XML in UTF-8 does not have."));
        }
        Ok(source)
    }

    fn error(&self, detail: impl Into<String>) -> Unreadable {
        self.error_at(self.at, detail)
    }

    fn error_at(&self, at: usize, detail: impl Into<String>) -> Unreadable {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        let lines = before.bytes().filter(|byte| *byte == b'\n').count();
        Unreadable { line: lines + 1, column: line.chars().count() + 1, detail: detail.into() }
    }

    fn position(&self) -> usize {
        usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX)
    }

    /// The next token that says something about the resource.
    fn next(&mut self) -> Result<Token<'a>, Unreadable> {
        loop {
            self.at = self.position();
            let (is_fhirs, event) = match self.reader.read_resolved_event() {
                Ok((namespace, event)) => (is_bound(&namespace, FHIR), event),
                Err(error) => {
                    let at = usize::try_from(self.reader.error_position()).unwrap_or(self.at);
                    return Err(self.error_at(at, format!("This is not well-formed XML: {error}.")));
                }
            };
            match event {
                Event::Start(tag) | Event::Empty(tag) => {
                    let name = String::from_utf8_lossy(tag.local_name().into_inner()).into_owned();
                    return Ok(Token::Open(Open { name, is_fhirs, tag }));
                }
                Event::End(_) => return Ok(Token::Close),
                Event::Eof => return Ok(Token::End),
                Event::Decl(declaration) => match declaration.encoding() {
                    Some(Ok(encoding)) if !encoding.eq_ignore_ascii_case(b"utf-8") => {
                        return Err(self.error("The declared encoding is not UTF-8."));
                    }
                    _ => {}
                },
                Event::Text(text) => {
                    if let Some(blank) = text.iter().position(|byte| !byte.is_ascii_whitespace()) {
                        return Err(self.error_at(self.at + blank, LOOSE_TEXT));
                    }
                }
                Event::Comment(_) | Event::PI(_) => {}
                Event::DocType(_) => {
                    return Err(self.error("Resources have no document type declaration. Leave it out."));
                }
                Event::CData(_) | Event::GeneralRef(_) => return Err(self.error(LOOSE_TEXT)),
            }
        }
    }

    fn resource(&mut self, open: &Open<'a>, depth: usize) -> Result<Node<'static>, Unreadable> {
        if !open.is_fhirs {
            return Err(self.error(format!("`{}` is not in the namespace `{FHIR}`.", open.name)));
        }
        let name = ResourceType::parse(&open.name)
            .ok_or_else(|| self.error(format!("`{}` is no resource type of FHIR R4.", open.name)))?
            .as_str();
        let mut members = vec![(Cow::Borrowed("resourceType"), Node::String(Cow::Borrowed(name)))];
        let attributes = self.attributes(open)?;
        members.extend(self.content(name, attributes, depth)?);
        Ok(Node::Object(members))
    }

    /// The members of an element up to its end tag.
    fn content(&mut self, context: &str, attributes: Attributes, depth: usize) -> Result<Members, Unreadable> {
        if depth > json::DEPTH_MAX {
            return Err(self.error(format!("The resource nests deeper than {}. None needs that.", json::DEPTH_MAX)));
        }
        let mut members = Members::new();
        for (name, value) in attributes {
            if member(context, &name).is_none_or(|member| member.kind != Kind::Attribute) {
                return Err(self.error(format!("`{context}` has no attribute `{name}` in FHIR R4.")));
            }
            members.push((Cow::Owned(name), Node::String(Cow::Owned(value))));
        }
        let mut run: Option<Run> = None;
        loop {
            let open = match self.next()? {
                Token::Open(open) => open,
                Token::Close => break,
                Token::End => return Err(self.error(format!("The document ends within `{context}`."))),
            };
            let member = self.member(context, &open)?;
            self.check_place(&open.name, member, run.as_ref())?;
            let (value, extra) = self.element(&open, member, depth)?;
            let mut current = match run.take() {
                Some(run) if run.name == open.name => run,
                other => {
                    members.extend(other.into_iter().flat_map(Run::into_members));
                    Run { name: open.name, member, values: Vec::new(), extras: Vec::new() }
                }
            };
            current.values.push(value);
            current.extras.push(extra);
            run = Some(current);
        }
        members.extend(run.into_iter().flat_map(Run::into_members));
        Ok(members)
    }

    fn member(&self, context: &str, open: &Open<'_>) -> Result<Member, Unreadable> {
        let member = member(context, &open.name)
            .ok_or_else(|| self.error(format!("`{context}` has no element `{}` in FHIR R4.", open.name)))?;
        if member.kind == Kind::Attribute {
            return Err(self.error(format!("`{}` is an attribute of `{context}`, not an element.", open.name)));
        }
        if !open.is_fhirs && member.kind != Kind::Xhtml {
            return Err(self.error(format!("`{}` is not in the namespace `{FHIR}`.", open.name)));
        }
        Ok(member)
    }

    /// Elements stand in the order of the definition, and only those that repeat stand several times.
    fn check_place(&self, name: &str, member: Member, before: Option<&Run>) -> Result<(), Unreadable> {
        let Some(before) = before else { return Ok(()) };
        if member.place < before.member.place {
            return Err(
                self.error(format!("`{name}` belongs before `{}`: the order of elements is fixed.", before.name))
            );
        }
        if member.place > before.member.place || (member.repeats && before.name == name) {
            return Ok(());
        }
        Err(self.error(format!("`{name}` after `{}`: there may be only one.", before.name)))
    }

    /// The value of an element, and the id and extensions of a value that is no object; null for what is not there.
    fn element(
        &mut self,
        open: &Open<'a>,
        member: Member,
        depth: usize,
    ) -> Result<(Node<'static>, Node<'static>), Unreadable> {
        let depth = depth + if member.repeats { 2 } else { 1 };
        let at = self.at;
        let (value, extra) = match member.kind {
            Kind::Primitive(data_type) => self.primitive(open, data_type, depth)?,
            Kind::Complex(context) => {
                let attributes = self.attributes(open)?;
                (object(self.content(context, attributes, depth)?), Node::Null)
            }
            Kind::Resource => (self.held_resource(open, depth)?, Node::Null),
            Kind::Xhtml => (self.division(open)?, Node::Null),
            // Refused before.
            Kind::Attribute => (Node::Null, Node::Null),
        };
        if value == Node::Null && extra == Node::Null {
            return Err(self.error_at(at, format!("`{}` is empty. Leave it out.", open.name)));
        }
        Ok((value, extra))
    }

    fn primitive(
        &mut self,
        open: &Open<'a>,
        data_type: &str,
        depth: usize,
    ) -> Result<(Node<'static>, Node<'static>), Unreadable> {
        let mut attributes = self.attributes(open)?;
        let place = attributes.iter().position(|(name, _)| name == "value");
        let value = match place.map(|place| attributes.remove(place)) {
            None => Node::Null,
            Some((_, text)) => value(data_type, text)
                .ok_or_else(|| self.error(format!("The value of `{}` is no {data_type}.", open.name)))?,
        };
        Ok((value, object(self.content("Element", attributes, depth)?)))
    }

    fn held_resource(&mut self, open: &Open<'a>, depth: usize) -> Result<Node<'static>, Unreadable> {
        let from = self.at;
        let wrong =
            |source: &Self| source.error_at(from, format!("`{}` holds one resource and nothing else.", open.name));
        if !self.attributes(open)?.is_empty() {
            return Err(wrong(self));
        }
        let Token::Open(inner) = self.next()? else {
            return Err(wrong(self));
        };
        let resource = self.resource(&inner, depth)?;
        match self.next()? {
            Token::Close => Ok(resource),
            Token::Open(_) | Token::End => Err(wrong(self)),
        }
    }

    /// A narrative as it is written; if it does not name its namespace itself, then with that.
    fn division(&mut self, open: &Open<'a>) -> Result<Node<'static>, Unreadable> {
        let from = self.at;
        self.reader
            .read_to_end(open.tag.name())
            .map_err(|error| self.error_at(from, format!("This is not well-formed XML: {error}.")))?;
        let mut text = self.text.get(from..self.position()).unwrap_or_default().to_owned();
        let names_namespace = |name: &[u8]| name == b"xmlns";
        if !open.tag.attributes().flatten().take(ATTRIBUTES_MAX).any(|it| names_namespace(it.key.into_inner())) {
            text = text.replacen("<div", &format!(r#"<div xmlns="{XHTML}""#), 1);
        }
        if open.is_fhirs || !is_division(&text) {
            return Err(
                self.error_at(from, format!("A narrative is one `div` in the namespace `{XHTML}`, well-formed."))
            );
        }
        Ok(Node::String(Cow::Owned(text)))
    }

    fn attributes(&self, open: &Open<'_>) -> Result<Attributes, Unreadable> {
        let mut attributes = Attributes::new();
        for (index, attribute) in open.tag.attributes().enumerate() {
            let attribute = attribute.map_err(|error| self.error(format!("This is not well-formed XML: {error}.")))?;
            if index >= ATTRIBUTES_MAX {
                return Err(self.error(format!("`{}` has more than {ATTRIBUTES_MAX} attributes.", open.name)));
            }
            let (namespace, _) = self.reader.resolver().resolve_attribute(attribute.key);
            if attribute.key.as_namespace_binding().is_some() || is_bound(&namespace, SCHEMA_INSTANCE) {
                continue;
            }
            let name = String::from_utf8_lossy(attribute.key.into_inner()).into_owned();
            let value = attribute.normalized_value(XmlVersion::Explicit1_0).ok();
            let value = value.filter(|value| value.chars().all(is_character) && !attribute.value.contains(&b'<'));
            match value {
                Some(value) if !value.is_empty() => attributes.push((name, value.into_owned())),
                Some(_) => return Err(self.error(format!("The attribute `{name}` is empty. Leave it out."))),
                None => return Err(self.error(format!("The attribute `{name}` is not well-formed."))),
            }
        }
        Ok(attributes)
    }
}

fn is_bound(namespace: &ResolveResult<'_>, expected: &str) -> bool {
    matches!(namespace, ResolveResult::Bound(bound) if bound.into_inner() == expected.as_bytes())
}

/// Members as an object; null without any.
fn object(members: Members) -> Node<'static> {
    if members.is_empty() { Node::Null } else { Node::Object(members) }
}

/// The value of an attribute as JSON has it.
fn value(data_type: &str, text: String) -> Option<Node<'static>> {
    Some(match data_type {
        "boolean" => Node::Bool(text.parse().ok()?),
        "decimal" | "integer" | "positiveInt" | "unsignedInt" => {
            let is_number = matches!(json::parse(text.as_bytes()), Ok(Node::Number(_)));
            let is_bare = !text.bytes().any(|byte| byte.is_ascii_whitespace());
            (is_number && is_bare).then_some(Node::Number(Cow::Owned(text)))?
        }
        _ => Node::String(Cow::Owned(text)),
    })
}

/// Elements of one name, one behind the other.
struct Run {
    name: String,
    member: Member,
    values: Vec<Node<'static>>,
    extras: Vec<Node<'static>>,
}

impl Run {
    fn into_members(self) -> impl Iterator<Item = (Cow<'static, str>, Node<'static>)> {
        let repeats = self.member.repeats;
        let joined = move |mut nodes: Vec<Node<'static>>| match nodes.iter().any(|node| *node != Node::Null) {
            true if repeats => Some(Node::Array(nodes)),
            true => nodes.pop(),
            false => None,
        };
        let extra_name = format!("_{}", self.name);
        let value = joined(self.values).map(|value| (Cow::Owned(self.name), value));
        let extra = joined(self.extras).map(|extra| (Cow::Owned(extra_name), extra));
        value.into_iter().chain(extra)
    }
}
