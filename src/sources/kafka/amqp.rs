//! Values of headers as Azure Event Hubs hands them to Kafka clients: an AMQP 1.0 primitive, with the octet before it that
//! says which (<https://docs.oasis-open.org/amqp/core/v1.0/os/amqp-core-types-v1.0-os.html#section-primitive-type-definitions>).
//!
//! Event Hubs does so with the properties and annotations of events that came over AMQP, as those of IoT Hub do. Headers of
//! events that came over Kafka are the bytes their producers wrote.

use jiff::Timestamp;
use serde_json::{Number, Value};
use uuid::Uuid;

/// The value encoded in `bytes`; `None` when they are not one AMQP primitive from the first octet to the last.
///
/// Texts and symbols become text, integers and finite floating-point numbers numbers, UUIDs text. Times become RFC 3339
/// text. Binary data, decimals, lists, maps and described types have no place in properties and are `None`.
pub(super) fn decode(bytes: &[u8]) -> Option<Value> {
    let (constructor, rest) = bytes.split_first()?;
    Some(match constructor {
        0x40 if rest.is_empty() => Value::Null,
        0x41 if rest.is_empty() => Value::Bool(true),
        0x42 if rest.is_empty() => Value::Bool(false),
        0x43 | 0x44 if rest.is_empty() => Value::from(0),
        0x56 => Value::Bool(bit(u8::from_be_bytes(exactly(rest)?))?),
        0x50 | 0x52 | 0x53 => Value::from(u8::from_be_bytes(exactly(rest)?)),
        0x51 | 0x54 | 0x55 => Value::from(i8::from_be_bytes(exactly(rest)?)),
        0x60 => Value::from(u16::from_be_bytes(exactly(rest)?)),
        0x61 => Value::from(i16::from_be_bytes(exactly(rest)?)),
        0x70 => Value::from(u32::from_be_bytes(exactly(rest)?)),
        0x71 => Value::from(i32::from_be_bytes(exactly(rest)?)),
        0x72 => shortest(f32::from_be_bytes(exactly(rest)?))?,
        0x73 => Value::from(char::from_u32(u32::from_be_bytes(exactly(rest)?))?.to_string()),
        0x80 => Value::from(u64::from_be_bytes(exactly(rest)?)),
        0x81 => Value::from(i64::from_be_bytes(exactly(rest)?)),
        0x82 => Value::Number(Number::from_f64(f64::from_be_bytes(exactly(rest)?))?),
        0x83 => Value::from(Timestamp::from_millisecond(i64::from_be_bytes(exactly(rest)?)).ok()?.to_string()),
        0x98 => Value::from(Uuid::from_bytes(exactly(rest)?).to_string()),
        0xa1 | 0xa3 => text(rest, 1)?,
        0xb1 | 0xb3 => text(rest, 4)?,
        _ => return None,
    })
}

fn exactly<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

fn bit(octet: u8) -> Option<bool> {
    match octet {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// A text behind its length, which takes `width` octets.
fn text(bytes: &[u8], width: usize) -> Option<Value> {
    let (length, text) = bytes.split_at_checked(width)?;
    let length = length.iter().fold(0_usize, |length, octet| length << 8 | usize::from(*octet));
    (text.len() == length).then_some(text).and_then(|text| std::str::from_utf8(text).ok()).map(Value::from)
}

/// The number as its shortest decimal, not as that of the next wider type: 36.6 and not 36.599998.
fn shortest(number: f32) -> Option<Value> {
    number.is_finite().then(|| number.to_string().parse().ok().map(Value::Number)).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};
    use serde_json::{Value, json};

    use super::decode;

    #[track_caller]
    fn check(bytes: &[u8], expected: Value) {
        assert_eq!(decode(bytes), Some(expected), "{bytes:x?}");
    }

    #[test]
    fn ev_9_amqp_primitives_keep_their_types() {
        check(b"\x40", Value::Null);
        check(b"\x41", json!(true));
        check(b"\x42", json!(false));
        check(b"\x56\x01", json!(true));
        check(b"\x43", json!(0));
        check(b"\x44", json!(0));
        check(b"\x50\xff", json!(255));
        check(b"\x51\xff", json!(-1));
        check(b"\x52\x07", json!(7));
        check(b"\x53\x07", json!(7));
        check(b"\x54\xfe", json!(-2));
        check(b"\x55\x02", json!(2));
        check(b"\x60\x01\x00", json!(256));
        check(b"\x61\xff\xff", json!(-1));
        check(b"\x70\x00\x01\x00\x00", json!(65_536));
        check(b"\x71\xff\xff\xff\xff", json!(-1));
        check(b"\x73\x00\x00\x00\x41", json!("A"));
        check(b"\x83\x00\x00\x01\x8d\xfe\x04\x21\x3a", json!("2024-03-02T07:15:00.026Z"));
        check(
            b"\x98\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff",
            json!("00112233-4455-6677-8899-aabbccddeeff"),
        );
        check(b"\xa1\x06ward-4", json!("ward-4"));
        check(b"\xa3\x02id", json!("id"));
        check(b"\xb1\x00\x00\x00\x03\xc3\xbcb", json!("\u{fc}b"));
        check(b"\xa1\x00", json!(""));
    }

    #[test]
    fn p6_numbers_keep_their_digits() {
        let mut float = vec![0x72];
        float.extend(36.6_f32.to_be_bytes());
        assert_eq!(decode(&float).unwrap().to_string(), "36.6");
        let mut double = vec![0x82];
        double.extend(36.65_f64.to_be_bytes());
        assert_eq!(decode(&double).unwrap().to_string(), "36.65");
    }

    #[test]
    fn what_is_not_one_primitive_from_end_to_end_is_none() {
        for bytes in [
            &b""[..],
            b"hello",
            b"\x41\x41",
            b"\x56\x02",
            b"\xa1\x05ward-4",
            b"\xa1\x07ward-4",
            b"\xa1",
            b"\xb1\x00\x00",
            b"\xa1\x01\xff",
            b"\x71\x00",
            b"\xa0\x01a",
            b"\x00\x41",
            b"\x72\x7f\xc0\x00\x00",
            b"\x73\x00\xd8\x00\x00\x00",
        ] {
            assert_eq!(decode(bytes), None, "{bytes:x?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in any::<Vec<u8>>()) {
            decode(&bytes);
        }

        #[test]
        fn every_text_comes_back(text in any::<String>()) {
            let mut bytes = vec![0xb1];
            bytes.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
            bytes.extend(text.as_bytes());
            assert_eq!(decode(&bytes), Some(Value::from(text)));
        }
    }
}
