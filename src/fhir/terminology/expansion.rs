//! The codes of a value set, <https://hl7.org/fhir/R4/valueset.html#compositions>.
//!
//! An `include` takes codes from a system (those it lists, those that pass its filters, or all), from other value sets,
//! or those that are in both; what an `exclude` takes the same way is left out. Two questions are answered: which codes
//! there are (`expand`), and whether one code is among them (`member`), which needs no list.
//!
//! Where the codes of a system are not stored, the `expansion` that a value set brings along is taken, if it is whole.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use octofhir_ucum::validate;

use super::code_system::{CodeSystem, Concept, Designation};
use super::error::TerminologyError;
use super::filter::select;
use super::value_set::{Definition, ValueSet, named};
use super::{UCUM, find, is_true, list, text};
use crate::fhir::store::Code;
use crate::fhir::store::interface::Reader;
use crate::json::{self, Node};

/// Most codes of a value set that are listed.
pub(crate) const EXPANSION_MAX: usize = 10_000;
/// Most value sets that one is made of.
const VALUE_SETS_MAX: usize = 100;

/// A code of a value set.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Member {
    /// The URI of its system.
    pub(crate) system: String,
    /// The version of the system, if the value set or the system names one.
    pub(crate) version: Option<String>,
    /// The code.
    pub(crate) code: String,
    /// Its preferred name.
    pub(crate) display: Option<String>,
    /// Further names.
    pub(crate) designations: Vec<Designation>,
    /// Whether it is out of use.
    pub(crate) is_inactive: bool,
    /// Whether it only groups others and is not to be recorded.
    pub(crate) is_abstract: bool,
}

/// The codes of a value set, each once, in the order in which it is defined.
///
/// # Errors
/// When they cannot be told to the last one, or are more than `EXPANSION_MAX`.
pub(crate) fn expand(reader: &dyn Reader, value_set: &ValueSet) -> Result<Vec<Member>, TerminologyError> {
    Evaluation::new(reader).expand(value_set)
}

/// The code as the value set has it; `None` when it has not.
///
/// # Errors
/// When that cannot be told.
pub(crate) fn member(
    reader: &dyn Reader,
    value_set: &ValueSet,
    code: &Code,
) -> Result<Option<Member>, TerminologyError> {
    Evaluation::new(reader).member(value_set, code)
}

/// What is known while one question is answered.
struct Evaluation<'r> {
    reader: &'r dyn Reader,
    /// The value sets inside which the one at hand is.
    open: Vec<String>,
    value_sets_left: usize,
    systems: HashMap<(String, Option<String>), Rc<CodeSystem>>,
}

impl<'r> Evaluation<'r> {
    fn new(reader: &'r dyn Reader) -> Self {
        Self { reader, open: Vec::new(), value_sets_left: VALUE_SETS_MAX, systems: HashMap::new() }
    }

    fn enter(&mut self, name: &str) -> Result<(), TerminologyError> {
        if self.open.iter().any(|open| open == name) {
            return Err(TerminologyError::Circular(name.to_owned()));
        }
        let too_many = || {
            let of = self.open.first().map_or(name, String::as_str).to_owned();
            TerminologyError::TooMany { of, most: VALUE_SETS_MAX }
        };
        self.value_sets_left = self.value_sets_left.checked_sub(1).ok_or_else(too_many)?;
        self.open.push(name.to_owned());
        Ok(())
    }

    fn system(&mut self, url: &str, version: Option<&str>) -> Result<Rc<CodeSystem>, TerminologyError> {
        let key = (url.to_owned(), version.map(str::to_owned));
        if let Some(system) = self.systems.get(&key) {
            return Ok(Rc::clone(system));
        }
        let system = Rc::new(find::code_system(self.reader, url, version)?);
        self.systems.insert(key, Rc::clone(&system));
        Ok(system)
    }

    fn expand(&mut self, value_set: &ValueSet) -> Result<Vec<Member>, TerminologyError> {
        self.enter(&value_set.name)?;
        let members = match &value_set.definition {
            Definition::OfR4(value_set) => of_r4(value_set)?,
            Definition::Resource(body) => {
                let resource = parse(&value_set.name, body)?;
                match self.compose(&value_set.name, &resource) {
                    Err(TerminologyError::UnknownSystem(system)) => {
                        brought_along(&resource).ok_or(TerminologyError::UnknownSystem(system))?
                    }
                    composed => composed?,
                }
            }
        };
        self.open.pop();
        Ok(members)
    }

    fn compose(&mut self, name: &str, resource: &Node<'_>) -> Result<Vec<Member>, TerminologyError> {
        let Some(compose) = compose(name, resource)? else {
            return brought_along(resource).ok_or_else(|| no_content(name));
        };
        let mut members = Vec::new();
        let mut known = HashSet::new();
        for include in list(compose, "include") {
            for member in self.part(name, include)? {
                if known.insert(member.as_code()) {
                    members.push(member);
                }
            }
            if members.len() > EXPANSION_MAX {
                return Err(TerminologyError::TooCostly { of: name.to_owned(), most: EXPANSION_MAX });
            }
        }
        let mut excluded = HashSet::new();
        for exclude in list(compose, "exclude") {
            excluded.extend(self.part(name, exclude)?.iter().map(Member::as_code));
        }
        members.retain(|member| !excluded.contains(&member.as_code()) && !is_left_out(compose, member));
        Ok(members)
    }

    /// What an `include` or `exclude` takes.
    fn part(&mut self, name: &str, part: &Node<'_>) -> Result<Vec<Member>, TerminologyError> {
        let mut taken = match text(part, "system") {
            Some(system) => Some(self.of_system(name, &system, part)?),
            None => None,
        };
        for inner in value_sets_of(part) {
            let inner = named(self.reader, &inner)?;
            let members = self.expand(&inner)?;
            taken = Some(match taken {
                None => members,
                Some(mut taken) => {
                    let others: HashSet<Code> = members.iter().map(Member::as_code).collect();
                    taken.retain(|member| others.contains(&member.as_code()));
                    taken
                }
            });
        }
        taken.ok_or_else(|| TerminologyError::definition(name, "has a part without `system` and `valueSet`"))
    }

    fn of_system(&mut self, name: &str, url: &str, part: &Node<'_>) -> Result<Vec<Member>, TerminologyError> {
        let version = text(part, "version");
        let listed = list(part, "concept");
        if !listed.is_empty() && !list(part, "filter").is_empty() {
            return Err(TerminologyError::definition(name, "has a part with both `concept` and `filter`"));
        }
        let system = self.system(url, version.as_deref());
        if !listed.is_empty() {
            let system = known(system)?;
            let member = |node| Member::listed(url, version.as_deref(), node, system.as_deref());
            return Ok(listed.iter().filter_map(member).collect());
        }
        if url == UCUM && system.is_err() {
            return Err(TerminologyError::definition(name, "takes all units of UCUM, which are without number"));
        }
        let system = system?;
        let chosen = select(name, &system, list(part, "filter"))?;
        Ok(chosen.into_iter().map(|concept| Member::of(&system, concept)).collect())
    }

    fn member(&mut self, value_set: &ValueSet, code: &Code) -> Result<Option<Member>, TerminologyError> {
        self.enter(&value_set.name)?;
        let member = match &value_set.definition {
            Definition::OfR4(value_set) => of_r4(value_set)?.into_iter().find(|member| member.as_code() == *code),
            Definition::Resource(body) => {
                let resource = parse(&value_set.name, body)?;
                match self.composed_member(&value_set.name, &resource, code) {
                    Err(TerminologyError::UnknownSystem(system)) => {
                        let brought = brought_along(&resource).ok_or(TerminologyError::UnknownSystem(system))?;
                        brought.into_iter().find(|member| member.as_code() == *code)
                    }
                    member => member?,
                }
            }
        };
        self.open.pop();
        Ok(member)
    }

    fn composed_member(
        &mut self,
        name: &str,
        resource: &Node<'_>,
        code: &Code,
    ) -> Result<Option<Member>, TerminologyError> {
        let Some(compose) = compose(name, resource)? else {
            let brought = brought_along(resource).ok_or_else(|| no_content(name))?;
            return Ok(brought.into_iter().find(|member| member.as_code() == *code));
        };
        let mut found = None;
        for include in list(compose, "include") {
            if found.is_none() {
                found = self.part_member(name, include, code)?;
            }
        }
        for exclude in list(compose, "exclude") {
            if found.is_some() && self.part_member(name, exclude, code)?.is_some() {
                found = None;
            }
        }
        Ok(found.filter(|member| !is_left_out(compose, member)))
    }

    /// The code as an `include` or `exclude` takes it.
    fn part_member(&mut self, name: &str, part: &Node<'_>, code: &Code) -> Result<Option<Member>, TerminologyError> {
        let mut taken = None;
        if let Some(system) = text(part, "system") {
            if system != code.system {
                return Ok(None);
            }
            let takes_all = list(part, "concept").is_empty() && list(part, "filter").is_empty();
            taken = if takes_all && system == UCUM && known(self.system(UCUM, None))?.is_none() {
                unit(&code.code)
            } else {
                let known = known(self.system(&system, text(part, "version").as_deref()))?;
                let is_asked = |member: &Member| match &known {
                    Some(known) => known.is_same(&member.code, &code.code),
                    None => member.code == code.code,
                };
                self.of_system(name, &system, part)?.into_iter().find(is_asked)
            };
            if taken.is_none() {
                return Ok(None);
            }
        }
        for inner in value_sets_of(part) {
            let inner = named(self.reader, &inner)?;
            match self.member(&inner, code)? {
                None => return Ok(None),
                member => taken = taken.or(member),
            }
        }
        Ok(taken)
    }
}

/// A unit of UCUM; `None` when it is none.
pub(crate) fn unit(code: &str) -> Option<Member> {
    let member = Member { system: UCUM.to_owned(), code: code.to_owned(), ..Member::default() };
    validate(code).is_ok().then_some(member)
}

impl Member {
    /// A concept of a system.
    pub(crate) fn of(system: &CodeSystem, concept: &Concept) -> Self {
        Self {
            system: system.url.clone(),
            version: system.version.clone(),
            code: concept.code.clone(),
            display: concept.display.clone(),
            designations: concept.designations.clone(),
            is_inactive: concept.is_inactive(),
            is_abstract: concept.is_abstract(),
        }
    }

    /// A code that a value set lists; what it does not say of it is taken from the system, if that is known.
    fn listed(url: &str, version: Option<&str>, node: &Node<'_>, system: Option<&CodeSystem>) -> Option<Self> {
        let code = text(node, "code")?;
        let known = system.and_then(|system| Some((system, system.concept(&code)?)));
        let mut member = known.map_or_else(
            || Self { code: code.clone(), ..Self::default() },
            |(system, concept)| Self::of(system, concept),
        );
        member.designations.extend(list(node, "designation").iter().filter_map(Designation::read));
        Some(Self {
            system: url.to_owned(),
            version: version.map(str::to_owned).or(member.version),
            display: text(node, "display").or(member.display),
            ..member
        })
    }

    fn as_code(&self) -> Code {
        Code { system: self.system.clone(), code: self.code.clone() }
    }
}

/// A system that need not be stored.
fn known(system: Result<Rc<CodeSystem>, TerminologyError>) -> Result<Option<Rc<CodeSystem>>, TerminologyError> {
    match system {
        Ok(system) => Ok(Some(system)),
        Err(TerminologyError::UnknownSystem(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn of_r4(value_set: &crate::r4::definitions::value_sets::ValueSet) -> Result<Vec<Member>, TerminologyError> {
    if !value_set.is_listed() {
        return Err(TerminologyError::definition(
            value_set.url,
            "is not part of this server: a standard elsewhere has it",
        ));
    }
    let members = value_set.parts().flat_map(|(system, codes)| {
        codes.iter().map(|code| Member { system: system.to_owned(), code: (*code).to_owned(), ..Member::default() })
    });
    Ok(members.collect())
}

fn parse<'b>(name: &str, body: &'b [u8]) -> Result<Node<'b>, TerminologyError> {
    json::parse(body).map_err(|_damaged| TerminologyError::definition(name, "cannot be read"))
}

fn compose<'n, 'a>(name: &str, resource: &'n Node<'a>) -> Result<Option<&'n Node<'a>>, TerminologyError> {
    let compose = resource.member("compose");
    if compose.is_some_and(|compose| compose.member("lockedDate").is_some()) {
        let what = "has a `lockedDate`; earlier states of code systems are not kept, so name their versions instead";
        return Err(TerminologyError::definition(name, what));
    }
    Ok(compose)
}

fn no_content(name: &str) -> TerminologyError {
    TerminologyError::definition(name, "has neither `compose` nor a whole `expansion`")
}

fn is_left_out(compose: &Node<'_>, member: &Member) -> bool {
    member.is_inactive && compose.member("inactive") == Some(&Node::Bool(false))
}

fn value_sets_of(part: &Node<'_>) -> Vec<String> {
    list(part, "valueSet").iter().filter_map(Node::as_str).map(str::to_owned).collect()
}

/// Marks of an expansion that has not all codes.
const NOT_WHOLE: [&str; 2] = [
    "http://hl7.org/fhir/StructureDefinition/valueset-toocostly",
    "http://hl7.org/fhir/StructureDefinition/valueset-unclosed",
];

/// The codes of the expansion that a value set brings along, if these are all.
fn brought_along(resource: &Node<'_>) -> Option<Vec<Member>> {
    let expansion = resource.member("expansion")?;
    let is_marked = list(expansion, "extension")
        .iter()
        .filter_map(|extension| text(extension, "url"))
        .any(|url| NOT_WHOLE.contains(&url.as_str()));
    let is_page = expansion.member("offset").is_some_and(|offset| offset.as_number() != Some("0"));
    let mut members = Vec::new();
    let mut entries = 0;
    let mut waiting: Vec<&Node<'_>> = list(expansion, "contains").iter().rev().collect();
    while let Some(node) = waiting.pop() {
        entries += 1;
        waiting.extend(list(node, "contains").iter().rev());
        let (Some(system), Some(code)) = (text(node, "system"), text(node, "code")) else { continue };
        members.push(Member {
            system,
            code,
            version: text(node, "version"),
            display: text(node, "display"),
            designations: list(node, "designation").iter().filter_map(Designation::read).collect(),
            is_inactive: is_true(node, "inactive"),
            is_abstract: is_true(node, "abstract"),
        });
    }
    let total = expansion.member("total").and_then(Node::as_number);
    let is_total = total.is_none_or(|total| total == entries.to_string() || total == members.len().to_string());
    (!is_marked && !is_page && is_total && members.len() <= EXPANSION_MAX).then_some(members)
}
