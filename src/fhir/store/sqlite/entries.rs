//! What a resource is found by, packed into a few bytes beside it.
//!
//! The index tables find resources by value; this list answers the opposite question: which values a resource has. With
//! it an update touches only the index rows that changed, a filter checks a candidate without another tree, and a sort
//! reads its keys. Repeated texts appear by their number in `strings`.

/// One value of a resource, with its texts by number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    /// Number of the parameter.
    pub(super) parameter: i64,
    /// The value.
    pub(super) value: Value<'a>,
}

/// As `IndexValue`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Token {
        system: i64,
        code: &'a str,
    },
    Reference {
        target: i64,
    },
    Date {
        start: i64,
        end: i64,
    },
    Number {
        value: f64,
    },
    Quantity {
        unit: i64,
        value: f64,
    },
    Range {
        unit: i64,
        low: f64,
        high: f64,
    },
    String {
        folded: &'a str,
        exact: &'a str,
    },
    Uri {
        uri: &'a str,
    },
    /// By its number, for the same texts stand in all Observations of a device. There is no row in any index.
    Display {
        text: i64,
    },
    Composite {
        parts: Parts<'a>,
    },
    Series {
        subject: i64,
        concept: i64,
        end: i64,
    },
}

/// The parts of a composite value, packed: each the number of its values and the values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'a>(&'a [u8]);

impl Entry<'_> {
    /// The packed form. Two entries are the same if theirs is: a float is here a key, compared to the bit.
    pub(super) fn pack(&self) -> Vec<u8> {
        let mut packed = Vec::with_capacity(32);
        self.pack_into(&mut packed);
        packed
    }

    /// Appends the packed form.
    pub(super) fn pack_into(&self, packed: &mut Vec<u8>) {
        integer(packed, self.parameter);
        self.value.pack_into(packed);
    }
}

impl Value<'_> {
    /// Appends the packed form.
    pub(super) fn pack_into(&self, packed: &mut Vec<u8>) {
        match *self {
            Self::Token { system, code } => {
                packed.push(1);
                integer(packed, system);
                text(packed, code.as_bytes());
            }
            Self::Reference { target } => {
                packed.push(2);
                integer(packed, target);
            }
            Self::Date { start, end } => {
                packed.push(3);
                integer(packed, start);
                integer(packed, end);
            }
            Self::Number { value } => {
                packed.push(4);
                packed.extend_from_slice(&value.to_le_bytes());
            }
            Self::Quantity { unit, value } => {
                packed.push(5);
                integer(packed, unit);
                packed.extend_from_slice(&value.to_le_bytes());
            }
            Self::Range { unit, low, high } => {
                packed.push(10);
                integer(packed, unit);
                packed.extend_from_slice(&low.to_le_bytes());
                packed.extend_from_slice(&high.to_le_bytes());
            }
            Self::String { folded, exact } => {
                packed.push(6);
                text(packed, folded.as_bytes());
                text(packed, exact.as_bytes());
            }
            Self::Uri { uri } => {
                packed.push(7);
                text(packed, uri.as_bytes());
            }
            Self::Composite { parts } => {
                packed.push(8);
                text(packed, parts.0);
            }
            Self::Display { text } => {
                packed.push(9);
                integer(packed, text);
            }
            Self::Series { subject, concept, end } => {
                packed.push(11);
                integer(packed, subject);
                integer(packed, concept);
                integer(packed, end);
            }
        }
    }
}

impl<'a> Parts<'a> {
    /// The parts that `pack_parts` has packed.
    pub(super) fn new(packed: &'a [u8]) -> Self {
        Self(packed)
    }

    /// The values of each part in turn; ends early at bytes that do not fit, as `unpack` does.
    pub(super) fn each(self) -> impl Iterator<Item = Vec<Value<'a>>> {
        let mut rest = self.0;
        std::iter::from_fn(move || take_part(&mut rest))
    }
}

/// The packed form of the parts of a composite.
pub(super) fn pack_parts(parts: &[Vec<Value<'_>>]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(64);
    for values in parts {
        count(&mut packed, values.len());
        values.iter().for_each(|value| value.pack_into(&mut packed));
    }
    packed
}

fn take_part<'a>(rest: &mut &'a [u8]) -> Option<Vec<Value<'a>>> {
    let values = take_integer(rest)?;
    (0..values).map(|_| take_value(rest)).collect()
}

/// Reads a packed list. Stops at the first byte that does not fit, which only damage can bring about.
pub(super) fn unpack(packed: &[u8]) -> Vec<Entry<'_>> {
    let mut rest = packed;
    let mut entries = Vec::with_capacity(packed.len() / 12);
    while !rest.is_empty() {
        let Some(entry) = take_entry(&mut rest) else { break };
        entries.push(entry);
    }
    entries
}

fn take_entry<'a>(rest: &mut &'a [u8]) -> Option<Entry<'a>> {
    Some(Entry { parameter: take_integer(rest)?, value: take_value(rest)? })
}

fn take_value<'a>(rest: &mut &'a [u8]) -> Option<Value<'a>> {
    let (kind, after) = rest.split_first()?;
    *rest = after;
    Some(match kind {
        1 => Value::Token { system: take_integer(rest)?, code: take_text(rest)? },
        2 => Value::Reference { target: take_integer(rest)? },
        3 => Value::Date { start: take_integer(rest)?, end: take_integer(rest)? },
        4 => Value::Number { value: take_float(rest)? },
        5 => Value::Quantity { unit: take_integer(rest)?, value: take_float(rest)? },
        6 => Value::String { folded: take_text(rest)?, exact: take_text(rest)? },
        7 => Value::Uri { uri: take_text(rest)? },
        8 => Value::Composite { parts: Parts(take_bytes(rest)?) },
        9 => Value::Display { text: take_integer(rest)? },
        10 => Value::Range { unit: take_integer(rest)?, low: take_float(rest)?, high: take_float(rest)? },
        11 => Value::Series { subject: take_integer(rest)?, concept: take_integer(rest)?, end: take_integer(rest)? },
        _ => return None,
    })
}

/// Seven bits a byte, least first, after moving the sign to the lowest bit.
fn integer(packed: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    loop {
        let [low, ..] = rest.to_le_bytes();
        rest >>= 7;
        if rest == 0 {
            packed.push(low & 0x7f);
            return;
        }
        packed.push(low | 0x80);
    }
}

fn take_integer(rest: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    None
}

fn count(packed: &mut Vec<u8>, value: usize) {
    integer(packed, i64::try_from(value).unwrap_or(i64::MAX));
}

fn text(packed: &mut Vec<u8>, value: &[u8]) {
    count(packed, value.len());
    packed.extend_from_slice(value);
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    std::str::from_utf8(take_bytes(rest)?).ok()
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_integer(rest)?).ok()?;
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(bytes)
}

fn take_float(rest: &mut &[u8]) -> Option<f64> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(f64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Entry, Parts, Value, pack_parts, unpack};

    proptest! {
        #[test]
        fn what_is_packed_comes_out_again(
            parameter in any::<i64>(), a in any::<i64>(), b in any::<i64>(), value in any::<f64>(), text in ".{0,200}", other in ".{0,9}",
        ) {
            let parts = [vec![Value::Date { start: b, end: a }, Value::Uri { uri: &text }], vec![Value::Number { value }]];
            let parts = pack_parts(&parts);
            let entries = [
                Value::Token { system: a, code: &text },
                Value::Reference { target: b },
                Value::Date { start: a, end: b },
                Value::Number { value },
                Value::Quantity { unit: a, value },
                Value::Range { unit: b, low: value, high: f64::INFINITY },
                Value::String { folded: &text, exact: &other },
                Value::Uri { uri: &other },
                Value::Composite { parts: Parts::new(&parts) },
                Value::Display { text: a },
                Value::Series { subject: a, concept: b, end: a },
            ]
            .map(|value| Entry { parameter, value });
            let mut packed = Vec::new();
            for entry in &entries {
                entry.pack_into(&mut packed);
            }
            let bytes = |entries: &[Entry<'_>]| entries.iter().map(Entry::pack).collect::<Vec<_>>();
            prop_assert_eq!(bytes(&unpack(&packed)), bytes(&entries));
            let again: Vec<_> = Parts::new(&parts).each().collect();
            prop_assert_eq!(again.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
            prop_assert_eq!(pack_parts(&again), parts);
        }
    }
}
