//! From a Parameters resource to operations.
//!
//! An operation is a parameter `operation` with the parts `type`, `path`, and what its type needs of `name`, `value`,
//! `index`, `source` and `destination`. A part that is not known is refused.

use bytes::Bytes;

use super::path::Path;
use super::value::Value;
use super::{Change, Operation};
use crate::fhir::patch::{Fault, OPERATIONS_MAX, PatchError};
use crate::json::DEPTH_MAX;
use crate::json::tree::{Tree, members};

/// The operations of a patch, in order.
pub(super) fn operations(text: &Bytes) -> Result<Vec<Operation>, PatchError> {
    let mut parameters = Vec::new();
    let mut is_parameters = false;
    for (name, value) in members(text).unwrap_or_default() {
        match name.as_ref() {
            "resourceType" => is_parameters = value.get() == "\"Parameters\"",
            "parameter" => parameters = list(&text.slice_ref(value.get().as_bytes()))?,
            _ => {}
        }
    }
    if !is_parameters {
        return Err(PatchError::malformed(
            "A FHIRPath Patch is a Parameters resource. Send a JSON Patch as `application/json-patch+json`.",
        ));
    }
    if parameters.len() > OPERATIONS_MAX {
        let detail = format!("The patch has more than {OPERATIONS_MAX} operations. Send it in parts.");
        return Err(PatchError::new(Fault::TooLarge, detail));
    }
    let read = |(index, parameter): (usize, &Bytes)| {
        operation(parameter)
            .map_err(|error| PatchError { location: Some(format!("Parameters.parameter[{index}]")), ..error })
    };
    parameters.iter().enumerate().map(read).collect()
}

fn list(text: &Bytes) -> Result<Vec<Bytes>, PatchError> {
    let mut list = Tree::Raw(text.clone());
    list.open();
    match list {
        Tree::Array(elements) => Ok(elements.iter().map(Tree::to_bytes).collect()),
        Tree::Raw(_) | Tree::Object(_) => Err(PatchError::malformed("`parameter` and `part` are arrays.")),
    }
}

/// A parameter or a part of one.
struct Parameter {
    name: String,
    value: Option<Value>,
}

impl Parameter {
    fn read(text: &Bytes, depth: usize) -> Result<Self, PatchError> {
        if depth == 0 {
            return Err(PatchError::malformed("The parts nest too deep."));
        }
        let Some(members) = members(text) else {
            return Err(PatchError::malformed("A parameter is an object."));
        };
        let part = |json: &str| text.slice_ref(json.as_bytes());
        let (mut name, mut value) = (None, None);
        let mut typed: Option<(String, Option<Bytes>, Option<Bytes>)> = None;
        for (member, raw) in &members {
            let json = part(raw.get());
            if let Some(type_name) = member.strip_prefix("value").filter(|name| !name.is_empty()) {
                typed.get_or_insert_with(|| (type_name.to_owned(), None, None)).1 = Some(json);
            } else if let Some(type_name) = member.strip_prefix("_value").filter(|name| !name.is_empty()) {
                typed.get_or_insert_with(|| (type_name.to_owned(), None, None)).2 = Some(json);
            } else {
                match member.as_ref() {
                    "name" => name = serde_json::from_slice::<String>(&json).ok(),
                    "resource" => value = Some(Value::Resource(json)),
                    "part" => value = Some(Value::Parts(parts(&json, depth - 1)?)),
                    "id" | "extension" => {}
                    _ => return Err(PatchError::malformed(format!("A parameter has no member `{member}`."))),
                }
            }
        }
        if let Some((type_name, json, beside)) = typed {
            let type_name = type_named(&type_name);
            value = Some(Value::Typed { type_name, json, beside });
        }
        let name = name.ok_or_else(|| PatchError::malformed("A parameter has no `name`."))?;
        Ok(Self { name, value })
    }
}

/// The type that the name of a member ends with: `valueDateTime` is of type `dateTime`, `valueHumanName` of `HumanName`.
fn type_named(suffix: &str) -> String {
    let mut letters = suffix.chars();
    let lower: String = letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect();
    let is_type = !crate::r4::definitions::elements::elements_of(&lower).is_empty();
    if is_type { lower } else { suffix.to_owned() }
}

fn parts(text: &Bytes, depth: usize) -> Result<Vec<(String, Value)>, PatchError> {
    let mut parts = Vec::new();
    for text in list(text)? {
        let Parameter { name, value } = Parameter::read(&text, depth)?;
        let value = value.ok_or_else(|| PatchError::malformed(format!("The part `{name}` has no value.")))?;
        parts.push((name, value));
    }
    Ok(parts)
}

/// The parts of an operation.
#[derive(Default)]
struct Parts {
    path: Option<String>,
    kind: Option<String>,
    name: Option<String>,
    value: Option<Value>,
    index: Option<usize>,
    source: Option<usize>,
    destination: Option<usize>,
}

fn operation(text: &Bytes) -> Result<Operation, PatchError> {
    let parameter = Parameter::read(text, DEPTH_MAX)?;
    if parameter.name != "operation" {
        return Err(PatchError::malformed("A parameter of a FHIRPath Patch has the name `operation`."));
    }
    let Some(Value::Parts(sent)) = parameter.value else {
        return Err(missing("part"));
    };
    let mut parts = Parts::default();
    for (name, value) in sent {
        let is_new = match name.as_str() {
            "type" => parts.kind.replace(text_of(&name, &value)?).is_none(),
            "path" => parts.path.replace(text_of(&name, &value)?).is_none(),
            "name" => parts.name.replace(text_of(&name, &value)?).is_none(),
            "value" => parts.value.replace(value).is_none(),
            "index" => parts.index.replace(number_of(&name, &value)?).is_none(),
            "source" => parts.source.replace(number_of(&name, &value)?).is_none(),
            "destination" => parts.destination.replace(number_of(&name, &value)?).is_none(),
            _ => return Err(PatchError::malformed(format!("An operation has no part `{name}`."))),
        };
        if !is_new {
            return Err(PatchError::malformed(format!("The part `{name}` is there twice.")));
        }
    }
    let path = Path::parse(&parts.path.take().ok_or_else(|| missing("path"))?)?;
    Ok(Operation { path, change: change(parts)? })
}

fn change(parts: Parts) -> Result<Change, PatchError> {
    let Parts { kind, name, value, index, source, destination, path: _ } = parts;
    let value = || value.ok_or_else(|| missing("value"));
    Ok(match kind.ok_or_else(|| missing("type"))?.as_str() {
        "add" => Change::Add { name: name.ok_or_else(|| missing("name"))?, value: value()? },
        "insert" => Change::Insert { index: index.ok_or_else(|| missing("index"))?, value: value()? },
        "delete" => Change::Delete,
        "replace" => Change::Replace { value: value()? },
        "move" => Change::Move {
            source: source.ok_or_else(|| missing("source"))?,
            destination: destination.ok_or_else(|| missing("destination"))?,
        },
        _ => {
            let detail = "The `type` of an operation is one of `add`, `insert`, `delete`, `replace` and `move`.";
            return Err(PatchError::malformed(detail));
        }
    })
}

fn missing(part: &str) -> PatchError {
    PatchError::malformed(format!("The operation has no `{part}`."))
}

fn text_of(name: &str, value: &Value) -> Result<String, PatchError> {
    simple(value)
        .and_then(|json| serde_json::from_slice(json).ok())
        .ok_or_else(|| PatchError::malformed(format!("The part `{name}` is a text (`valueString` or `valueCode`).")))
}

fn number_of(name: &str, value: &Value) -> Result<usize, PatchError> {
    simple(value)
        .and_then(|json| serde_json::from_slice(json).ok())
        .ok_or_else(|| PatchError::malformed(format!("The part `{name}` is a number from 0 (`valueInteger`).")))
}

fn simple(value: &Value) -> Option<&Bytes> {
    match value {
        Value::Typed { json, .. } => json.as_ref(),
        Value::Resource(_) | Value::Parts(_) => None,
    }
}
