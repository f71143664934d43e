use proptest::prelude::*;

use super::{Layout, read, write};
use crate::fhir::xml::member::{Kind, member};
use crate::json::{self, Node};
use crate::r4::definitions::elements::{Element, Shape, elements_of};
use crate::r4::resource_type::ResourceType;

fn json_of(xml: &str) -> String {
    read(xml.as_bytes()).unwrap().to_string()
}

fn xml_of(json: &str) -> String {
    write(&json::parse(json.as_bytes()).unwrap(), Layout::Compact).unwrap()
}

/// The XML and the JSON say the same, to the byte both ways.
#[track_caller]
fn check(xml: &str, json: &str) {
    let document = format!(r#"<?xml version="1.0" encoding="UTF-8"?>{xml}"#);
    assert_eq!(json_of(&document), json);
    assert_eq!(xml_of(json), document);
}

#[track_caller]
fn check_refused(xml: &str, at: (usize, usize), says: &str) {
    let error = read(xml.as_bytes()).unwrap_err().to_string();
    assert!(error.starts_with(&format!("line {}, column {}: ", at.0, at.1)) && error.contains(says), "{xml}: {error}");
}

#[track_caller]
fn check_unwritable(json: &str, says: &str) {
    let error = write(&json::parse(json.as_bytes()).unwrap(), Layout::Compact).unwrap_err().to_string();
    assert!(error.contains(says), "{json}: {error}");
}

#[test]
fn values_ids_and_extensions_are_attributes_and_elements() {
    check(
        r#"<Patient xmlns="http://hl7.org/fhir"><id value="p"/><meta><versionId value="1"/></meta><extension id="e" url="urn:x"><valueDecimal value="65.00"/></extension><active value="true"/><birthDate value="1970-01" id="b"><extension url="urn:y"><valueInteger value="-3"/></extension></birthDate><multipleBirthInteger value="2"/></Patient>"#,
        r#"{"resourceType":"Patient","id":"p","meta":{"versionId":"1"},"extension":[{"id":"e","url":"urn:x","valueDecimal":65.00}],"active":true,"birthDate":"1970-01","_birthDate":{"id":"b","extension":[{"url":"urn:y","valueInteger":-3}]},"multipleBirthInteger":2}"#,
    );
}

#[test]
fn values_of_arrays_pair_with_their_extensions() {
    check(
        r#"<Patient xmlns="http://hl7.org/fhir"><name><given value="a"/><given id="2"/><given value="c" id="3"/></name></Patient>"#,
        r#"{"resourceType":"Patient","name":[{"given":["a",null,"c"],"_given":[null,{"id":"2"},{"id":"3"}]}]}"#,
    );
}

#[test]
fn a_narrative_stays_as_it_is() {
    let division =
        r#"<div xmlns="http://www.w3.org/1999/xhtml"><!-- a -->  <p class='b'>1 &lt; 2<br/>&#160;</p></div>"#;
    let json = Node::String(division.into()).to_string();
    check(
        &format!(
            r#"<Basic xmlns="http://hl7.org/fhir"><text><status value="generated"/>{division}</text><code><text value="c"/></code></Basic>"#
        ),
        &format!(r#"{{"resourceType":"Basic","text":{{"status":"generated","div":{json}}},"code":{{"text":"c"}}}}"#),
    );
}

#[test]
fn resources_are_held_in_bundles_parameters_and_others() {
    check(
        r#"<Bundle xmlns="http://hl7.org/fhir"><type value="batch"/><entry><resource><Patient><contained><Basic><id value="b"/></Basic></contained></Patient></resource><response><status value="404"/><outcome><OperationOutcome><issue><severity value="error"/></issue></OperationOutcome></outcome></response></entry></Bundle>"#,
        r#"{"resourceType":"Bundle","type":"batch","entry":[{"resource":{"resourceType":"Patient","contained":[{"resourceType":"Basic","id":"b"}]},"response":{"status":"404","outcome":{"resourceType":"OperationOutcome","issue":[{"severity":"error"}]}}}]}"#,
    );
    check(
        r#"<Parameters xmlns="http://hl7.org/fhir"><parameter><name value="r"/><resource><Basic><id value="b"/></Basic></resource></parameter></Parameters>"#,
        r#"{"resourceType":"Parameters","parameter":[{"name":"r","resource":{"resourceType":"Basic","id":"b"}}]}"#,
    );
}

#[test]
fn elements_are_written_in_the_order_of_the_definition() {
    assert_eq!(
        xml_of(
            r#"{"birthDate":"1970","_active":{"id":"a"},"name":[{"family":"F"}],"resourceType":"Patient","id":"p","active":false}"#
        ),
        r#"<?xml version="1.0" encoding="UTF-8"?><Patient xmlns="http://hl7.org/fhir"><id value="p"/><active value="false" id="a"/><name><family value="F"/></name><birthDate value="1970"/></Patient>"#
    );
}

#[test]
fn text_keeps_its_lines_and_signs() {
    let json = r#"{"resourceType":"Basic","code":{"text":"a\n\t\r b <&>\"' ü 李 😀"}}"#;
    assert_eq!(json_of(&xml_of(json)), json);
    assert_eq!(
        json_of("<Basic xmlns=\"http://hl7.org/fhir\"><code><text value='a\n&#x41;&apos;&quot;'/></code></Basic>"),
        r#"{"resourceType":"Basic","code":{"text":"a A'\""}}"#,
        "a line break that is not written as a number is a space in XML"
    );
}

#[test]
fn numbers_keep_their_digits() {
    for digits in ["65.0", "1.00", "-0.0", "1e-7", "1E+400", "123456789012345678901234.5"] {
        let xml = format!(
            r#"<Observation xmlns="http://hl7.org/fhir"><valueQuantity><value value="{digits}"/></valueQuantity></Observation>"#
        );
        assert_eq!(json_of(&xml), format!(r#"{{"resourceType":"Observation","valueQuantity":{{"value":{digits}}}}}"#));
    }
}

#[test]
fn namespaces_may_have_any_prefix() {
    let xml = r#"<?xml version="1.0"?><!-- from a friend -->
        <f:Patient xmlns:f="http://hl7.org/fhir" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://hl7.org/fhir patient.xsd">
          <f:text><f:status value="empty"/><div xmlns="http://www.w3.org/1999/xhtml">x</div></f:text>
          <f:active value="true"/>
        </f:Patient>"#;
    assert_eq!(
        json_of(xml),
        r#"{"resourceType":"Patient","text":{"status":"empty","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>"},"active":true}"#
    );
    let inherited = r#"<f:Patient xmlns:f="http://hl7.org/fhir" xmlns="http://www.w3.org/1999/xhtml"><f:text><f:status value="empty"/><div>x</div></f:text></f:Patient>"#;
    assert!(json_of(inherited).contains(r#"<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>"#));
}

#[test]
fn what_does_not_fit_is_refused_with_its_place() {
    let patient = |content: &str| format!("<Patient xmlns=\"http://hl7.org/fhir\">\n{content}</Patient>");
    for (content, at, says) in [
        ("<shoeSize value=\"43\"/>", (2, 1), "no element `shoeSize`"),
        (" ü<active value=\"true\"/>", (2, 2), "Text outside a narrative"),
        ("<active value=\"yes\"/>", (2, 1), "no boolean"),
        ("<multipleBirthInteger value=\"01\"/>", (2, 1), "no integer"),
        ("<multipleBirthInteger value=\" 1\"/>", (2, 1), "no integer"),
        ("<active/>", (2, 1), "`active` is empty"),
        ("<active value=\"\"/>", (2, 1), "The attribute `value` is empty"),
        ("<name/>", (2, 1), "`name` is empty"),
        ("<name value=\"x\"/>", (2, 1), "no attribute `value`"),
        ("<active value=\"true\"/><active value=\"true\"/>", (2, 23), "only one"),
        ("<deceasedBoolean value=\"true\"/><deceasedDateTime value=\"2020\"/>", (2, 32), "only one"),
        ("<birthDate value=\"2020\"/><active value=\"true\"/>", (2, 26), "belongs before `birthDate`"),
        ("<name><given value=\"a\"/><family value=\"b\"/></name>", (2, 25), "belongs before `given`"),
        ("<extension><url value=\"x\"/></extension>", (2, 12), "an attribute"),
        ("<contained/>", (2, 1), "holds one resource"),
        ("<contained><Basic><id value=\"1\"/></Basic><Basic/></contained>", (2, 1), "holds one resource"),
        ("<contained><Reading/></contained>", (2, 12), "no resource type"),
        ("<active xmlns=\"urn:other\" value=\"true\"/>", (2, 1), "not in the namespace"),
        ("<active other=\"1\" value=\"true\"/>", (2, 1), "no attribute `other`"),
        ("<active value=\"true\" value=\"true\"/>", (2, 1), "not well-formed"),
        ("<active value=\"&nbsp;\"/>", (2, 1), "not well-formed"),
        ("<active value=\"&#0;\"/>", (2, 1), "not well-formed"),
        ("<active value=\"true\"/>&amp;", (2, 23), "Text outside"),
        ("<active value=\"true\"/><![CDATA[]]>", (2, 23), "Text outside"),
        ("<text><status value=\"empty\"/><div>x</div></text>", (2, 30), "A narrative"),
        (
            "<text><status value=\"empty\"/><div xmlns=\"http://www.w3.org/1999/xhtml\">&nbsp;</div></text>",
            (2, 30),
            "A narrative",
        ),
        ("<name>", (2, 7), "not well-formed"),
        ("\u{1}", (2, 1), "character"),
    ] {
        check_refused(&patient(content), at, says);
    }
    check_refused("", (1, 1), "no element");
    check_refused("<Patient/>", (1, 1), "not in the namespace");
    check_refused("<Patient xmlns=\"http://hl7.org/fhir\"", (1, 1), "not well-formed");
    check_refused("<Patient xmlns=\"http://hl7.org/fhir\"><id value=\"1\"/>", (1, 53), "ends within");
    check_refused("<Patient xmlns=\"http://hl7.org/fhir\"/><Patient/>", (1, 39), "nothing may follow");
    check_refused("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a/>", (1, 1), "not UTF-8");
    assert!(read(b"<Patient xmlns=\"http://hl7.org/fhir\">\xff").is_err());
}

#[test]
fn entities_of_a_document_are_not_expanded() {
    let bomb = r#"<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><Patient xmlns="http://hl7.org/fhir"><language value="&b;"/></Patient>"#;
    check_refused(bomb, (1, 1), "document type");
    let file = r#"<!DOCTYPE l SYSTEM "file:///etc/passwd"><Patient xmlns="http://hl7.org/fhir"/>"#;
    check_refused(file, (1, 1), "document type");
}

#[test]
fn hostile_documents_are_refused_and_do_not_hang() {
    let deep = |depth: usize| {
        let (open, close) = ("<extension url=\"u\">".repeat(depth), "</extension>".repeat(depth));
        format!("<Patient xmlns=\"http://hl7.org/fhir\">{open}<extension url=\"u\"/>{close}</Patient>")
    };
    assert!(read(deep(60).as_bytes()).is_ok());
    for depth in [64, 100_000] {
        assert!(read(deep(depth).as_bytes()).unwrap_err().to_string().contains("deeper than 128"));
    }
    let attributes: String = (0..200_000).map(|number| format!(" a{number}=\"x\"")).collect();
    assert!(read(format!("<Patient xmlns=\"http://hl7.org/fhir\"{attributes}/>").as_bytes()).is_err());
    for inner in [format!("<p {attributes}/>"), "<p>".repeat(100_000)] {
        let division = format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{inner}");
        let text = format!("<text><status value=\"empty\"/>{division}</div></text>");
        assert!(read(format!("<Patient xmlns=\"http://hl7.org/fhir\">{text}</Patient>").as_bytes()).is_err());
        check_unwritable(
            &format!(r#"{{"resourceType":"Basic","text":{{"div":{}}}}}"#, Node::String(division.into())),
            "div",
        );
    }
}

#[test]
fn what_r4_does_not_define_has_no_xml() {
    check_unwritable(r#"{"resourceType":"Patient","shoeSize":43}"#, "`Patient.shoeSize` is not defined");
    check_unwritable(r#"{"resourceType":"Patient","_name":[{"id":"1"}]}"#, "`Patient._name` is not defined");
    check_unwritable(r#"{"resourceType":"Patient","name":"x"}"#, "`Patient.name` has a value of another kind");
    check_unwritable(r#"{"resourceType":"Patient","active":{"a":1}}"#, "`Patient.active` has a value of another kind");
    check_unwritable(r#"{"resourceType":"Patient","birthDate":"\u0001"}"#, "`Patient.birthDate` has a character");
    check_unwritable(
        r#"{"resourceType":"Patient","contained":[{"id":"1"}]}"#,
        "`Patient.contained.resourceType` names no type",
    );
    check_unwritable(r#"{"resourceType":"Basic","text":{"div":"<b>x</b>"}}"#, "`Basic.text.div` is not a `div`");
}

#[test]
fn pretty_xml_says_the_same() {
    let json = r#"{"resourceType":"Patient","text":{"status":"empty","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>a</p>\n</div>"},"contained":[{"resourceType":"Basic","id":"b"}],"name":[{"given":["a","b"]}]}"#;
    let pretty = write(&json::parse(json.as_bytes()).unwrap(), Layout::Pretty).unwrap();
    assert!(
        pretty.contains("\n  <name>\n    <given value=\"a\"/>\n    <given value=\"b\"/>\n  </name>\n</Patient>"),
        "{pretty}"
    );
    assert_eq!(json_of(&pretty), json);
}

/// Choices of a random resource, one after the other.
struct Dice<'a>(std::slice::Iter<'a, u8>);

impl Dice<'_> {
    /// A number below `sides`; 0 when there are no more choices.
    fn roll(&mut self, sides: usize) -> usize {
        self.0.next().map_or(0, |byte| usize::from(*byte) % sides.max(1))
    }
}

const DEPTH: usize = 6;

fn resource(dice: &mut Dice<'_>, resource_type: ResourceType, depth: usize) -> Node<'static> {
    let mut members = vec![("resourceType".into(), Node::String(resource_type.as_str().into()))];
    fill(dice, resource_type.as_str(), depth, &mut members);
    Node::Object(members)
}

fn fill(
    dice: &mut Dice<'_>,
    context: &str,
    depth: usize,
    members: &mut Vec<(std::borrow::Cow<'static, str>, Node<'static>)>,
) {
    // In XML attributes come first.
    let is_attribute = |element: &&Element| {
        element.shape == Shape::Plain && member(context, element.name).unwrap().kind == Kind::Attribute
    };
    let (attributes, others): (Vec<&Element>, Vec<&Element>) = elements_of(context).iter().partition(is_attribute);
    for element in attributes.into_iter().chain(others) {
        let odds = if depth < 2 { 4 } else { 12 };
        if dice.roll(odds) != 1 {
            continue;
        }
        let name = name(dice, element);
        let kind = member(context, &name).unwrap().kind;
        let count = if element.repeats { 1 + dice.roll(3) } else { 1 };
        let pairs: Vec<(Node<'static>, Node<'static>)> = (0..count).map(|_| pair(dice, kind, depth)).collect();
        let (values, extras): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        for (name, mut nodes) in [(name.clone(), values), (format!("_{name}"), extras)] {
            if nodes.iter().all(|node| *node == Node::Null) {
                continue;
            }
            let value = if element.repeats { Node::Array(nodes) } else { nodes.pop().unwrap() };
            members.push((name.into(), value));
        }
    }
}

fn name(dice: &mut Dice<'_>, element: &Element) -> String {
    if element.shape == Shape::Plain {
        return element.name.to_owned();
    }
    let data_type = element.types[dice.roll(element.types.len())];
    let (first, rest) = data_type.split_at(1);
    format!("{}{}{rest}", element.name, first.to_ascii_uppercase())
}

/// A value and what may stand beside it.
fn pair(dice: &mut Dice<'_>, kind: Kind, depth: usize) -> (Node<'static>, Node<'static>) {
    match kind {
        Kind::Attribute => (Node::from("an id"), Node::Null),
        Kind::Primitive(data_type) => {
            let value = primitive(dice, data_type);
            match dice.roll(6) {
                1 => (value, object(dice, "Element", depth)),
                2 => (Node::Null, object(dice, "Element", depth)),
                _ => (value, Node::Null),
            }
        }
        Kind::Complex(context) => (object(dice, context, depth), Node::Null),
        Kind::Resource => {
            let types: Vec<_> = ResourceType::all().collect();
            let resource_type = types[dice.roll(types.len())];
            (resource(dice, resource_type, depth + 1), Node::Null)
        }
        Kind::Xhtml => (Node::from(r#"<div xmlns="http://www.w3.org/1999/xhtml">a <b>b</b> &amp;</div>"#), Node::Null),
    }
}

fn object(dice: &mut Dice<'_>, context: &str, depth: usize) -> Node<'static> {
    let mut members = Vec::new();
    if depth < DEPTH {
        fill(dice, context, depth + 1, &mut members);
    }
    if members.is_empty() {
        members.push(("id".into(), Node::from("x")));
    }
    Node::Object(members)
}

fn primitive(dice: &mut Dice<'_>, data_type: &str) -> Node<'static> {
    let number = |digits: &str| Node::Number(digits.to_owned().into());
    match data_type {
        "boolean" => Node::Bool(dice.roll(2) == 1),
        "decimal" => number(["0", "65.00", "-1.10e-5", "1234567890.12345678901234567890"][dice.roll(4)]),
        "integer" | "unsignedInt" | "positiveInt" => number(["1", "0", "2147483647"][dice.roll(3)]),
        _ => Node::from(["a", "2026-01-02T03:04:05.60+01:00", " <&>\"'\n\t", "ü李😀", "Zm9v", "&amp;"][dice.roll(6)]),
    }
}

proptest! {
    #[test]
    fn random_resources_of_every_type_come_back_as_they_were(choices in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut dice = Dice(choices.iter());
        let types: Vec<_> = ResourceType::all().collect();
        let resource_type = types[dice.roll(types.len())];
        let resource = resource(&mut dice, resource_type, 0);
        let xml = write(&resource, Layout::Compact).unwrap();
        prop_assert_eq!(&read(xml.as_bytes()).unwrap(), &resource, "{}", xml);
        let pretty = write(&resource, Layout::Pretty).unwrap();
        prop_assert_eq!(&read(pretty.as_bytes()).unwrap(), &resource);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[<>/&;\"'=! a-z\\-\\[\\]?]{0,80}") {
        drop(read(text.as_bytes()));
        drop(read(format!("<Patient xmlns=\"http://hl7.org/fhir\"><text>{text}</text></Patient>").as_bytes()));
    }
}
