//! A CodeSystem: its concepts and their hierarchy, <https://hl7.org/fhir/R4/codesystem.html>.
//!
//! The hierarchy is told by nesting, by `parent` and `child` properties, or by both; it may have several roots and a
//! concept several parents. A ring of parents is no hierarchy, yet does no harm: each concept is met once.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};

use super::error::TerminologyError;
use super::{list, text};
use crate::json::Node;

/// A code system with its concepts.
#[derive(Debug, Default)]
pub(crate) struct CodeSystem {
    /// Its canonical URL.
    pub(crate) url: String,
    /// Its business version.
    pub(crate) version: Option<String>,
    /// Its name for people.
    pub(crate) name: Option<String>,
    /// The concepts, each before those below it.
    pub(crate) concepts: Vec<Concept>,
    /// Whether all concepts are there.
    is_complete: bool,
    /// Whether what is above in the hierarchy subsumes what is below.
    is_hierarchy_of_kinds: bool,
    /// Whether codes that differ in nothing but case are one.
    ignores_case: bool,
    /// By the code as it is compared.
    by_code: HashMap<String, usize>,
}

/// A concept.
#[derive(Debug, Default)]
pub(crate) struct Concept {
    /// Its code.
    pub(crate) code: String,
    /// Its preferred name.
    pub(crate) display: Option<String>,
    /// What it means.
    pub(crate) definition: Option<String>,
    /// Further names.
    pub(crate) designations: Vec<Designation>,
    /// What else is said of it.
    pub(crate) properties: Vec<Property>,
    parents: Vec<usize>,
    children: Vec<usize>,
}

/// A further name of a concept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Designation {
    /// Its language.
    pub(crate) language: Option<String>,
    /// The name.
    pub(crate) value: String,
    /// What it is used for, a Coding.
    pub(crate) usage: Option<Node<'static>>,
}

/// Something said of a concept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Property {
    /// What it is about.
    pub(crate) code: String,
    /// The member of `Parameters.parameter.part` and of the concept that holds the value, for example `valueCode`.
    pub(crate) member: String,
    /// The value.
    pub(crate) value: Node<'static>,
    /// The value as filters compare it.
    pub(crate) plain: String,
}

/// How two codes of a system are related.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subsumption {
    /// They are one.
    Equivalent,
    /// The second is a kind of the first.
    Subsumes,
    /// The first is a kind of the second.
    SubsumedBy,
    /// Neither.
    NotSubsumed,
}

impl Subsumption {
    /// The code of <https://hl7.org/fhir/R4/valueset-concept-subsumption-outcome.html>.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Equivalent => "equivalent",
            Self::Subsumes => "subsumes",
            Self::SubsumedBy => "subsumed-by",
            Self::NotSubsumed => "not-subsumed",
        }
    }
}

impl CodeSystem {
    /// Reads a CodeSystem.
    ///
    /// # Errors
    /// When it is a supplement to another one.
    pub(crate) fn read(resource: &Node<'_>) -> Result<Self, TerminologyError> {
        let url = text(resource, "url").unwrap_or_default();
        let content = text(resource, "content").unwrap_or_default();
        if content == "supplement" {
            return Err(TerminologyError::definition(&url, "is a supplement, which has no codes of its own"));
        }
        let mut system = Self {
            version: text(resource, "version"),
            name: text(resource, "title").or_else(|| text(resource, "name")),
            is_complete: content == "complete",
            is_hierarchy_of_kinds: text(resource, "hierarchyMeaning").is_none_or(|meaning| meaning == "is-a"),
            ignores_case: resource.member("caseSensitive") == Some(&Node::Bool(false)),
            url,
            ..Self::default()
        };
        let nested = system.add(list(resource, "concept"));
        let told = system.told_by_properties(resource);
        system.link(nested.into_iter().chain(told).collect());
        Ok(system)
    }

    /// Adds nested concepts, without recursion: what is waiting carries its parent. Hands back which is nested in which.
    fn add(&mut self, roots: &[Node<'_>]) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        let mut waiting: Vec<(&Node<'_>, Option<usize>)> = roots.iter().rev().map(|root| (root, None)).collect();
        while let Some((node, parent)) = waiting.pop() {
            let Some(code) = text(node, "code") else { continue };
            let index = self.concepts.len();
            self.by_code.entry(self.compared(&code).into_owned()).or_insert(index);
            self.concepts.push(Concept {
                code,
                display: text(node, "display"),
                definition: text(node, "definition"),
                designations: list(node, "designation").iter().filter_map(Designation::read).collect(),
                properties: list(node, "property").iter().filter_map(Property::read).collect(),
                ..Concept::default()
            });
            pairs.extend(parent.map(|parent| (parent, index)));
            waiting.extend(list(node, "concept").iter().rev().map(|child| (child, Some(index))));
        }
        pairs
    }

    /// Which concept is below which by their properties.
    fn told_by_properties(&self, resource: &Node<'_>) -> Vec<(usize, usize)> {
        let parent = property_names(resource, "parent");
        let child = property_names(resource, "child");
        let mut pairs = Vec::new();
        for (index, concept) in self.concepts.iter().enumerate() {
            for property in &concept.properties {
                let Some(other) = self.index(&property.plain) else { continue };
                if parent.contains(&property.code) {
                    pairs.push((other, index));
                } else if child.contains(&property.code) {
                    pairs.push((index, other));
                }
            }
        }
        pairs
    }

    /// Parents and children, each once.
    fn link(&mut self, pairs: BTreeSet<(usize, usize)>) {
        for (parent, child) in pairs {
            if let Some(concept) = self.concepts.get_mut(parent) {
                concept.children.push(child);
            }
            if let Some(concept) = self.concepts.get_mut(child) {
                concept.parents.push(parent);
            }
        }
    }

    /// The concept of a code.
    pub(crate) fn concept(&self, code: &str) -> Option<&Concept> {
        self.concepts.get(self.index(code)?)
    }

    fn index(&self, code: &str) -> Option<usize> {
        self.by_code.get(self.compared(code).as_ref()).copied()
    }

    /// Whether two codes are one, which is for the system to say (`caseSensitive`).
    pub(crate) fn is_same(&self, one: &str, other: &str) -> bool {
        self.compared(one) == self.compared(other)
    }

    fn compared<'c>(&self, code: &'c str) -> Cow<'c, str> {
        if self.ignores_case { code.to_lowercase().into() } else { code.into() }
    }

    /// All concepts.
    ///
    /// # Errors
    /// When the resource has only some of them.
    pub(crate) fn all(&self) -> Result<&[Concept], TerminologyError> {
        if self.is_complete { Ok(&self.concepts) } else { Err(TerminologyError::UnknownSystem(self.url.clone())) }
    }

    /// The codes right above a concept.
    pub(crate) fn parents<'s>(&'s self, concept: &'s Concept) -> impl Iterator<Item = &'s str> {
        self.codes(&concept.parents)
    }

    /// The codes right below a concept.
    pub(crate) fn children<'s>(&'s self, concept: &'s Concept) -> impl Iterator<Item = &'s str> {
        self.codes(&concept.children)
    }

    fn codes<'s>(&'s self, indexes: &'s [usize]) -> impl Iterator<Item = &'s str> {
        indexes.iter().filter_map(|index| self.concepts.get(*index)).map(|concept| concept.code.as_str())
    }

    /// Whether a code that is not among the concepts is none of the system.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// A code and all that is below it.
    ///
    /// # Errors
    /// When there is no such code, or the hierarchy is none of kinds.
    pub(crate) fn with_descendants(&self, code: &str) -> Result<Vec<&Concept>, TerminologyError> {
        self.reach(code, |concept| &concept.children)
    }

    /// A code and all that is above it.
    ///
    /// # Errors
    /// When there is no such code, or the hierarchy is none of kinds.
    pub(crate) fn with_ancestors(&self, code: &str) -> Result<Vec<&Concept>, TerminologyError> {
        self.reach(code, |concept| &concept.parents)
    }

    fn reach(&self, code: &str, next: impl Fn(&Concept) -> &[usize]) -> Result<Vec<&Concept>, TerminologyError> {
        self.all()?;
        if !self.is_hierarchy_of_kinds {
            return Err(TerminologyError::definition(
                &self.url,
                "says that its hierarchy is not one of kinds (`is-a`)",
            ));
        }
        let unknown = || TerminologyError::UnknownCode { system: self.url.clone(), code: code.to_owned() };
        let start = self.index(code).ok_or_else(unknown)?;
        let mut met = HashSet::from([start]);
        let mut waiting = vec![start];
        let mut reached = Vec::new();
        while let Some(index) = waiting.pop() {
            let Some(concept) = self.concepts.get(index) else { continue };
            reached.push((index, concept));
            waiting.extend(next(concept).iter().copied().filter(|index| met.insert(*index)));
        }
        reached.sort_unstable_by_key(|(index, _)| *index);
        Ok(reached.into_iter().map(|(_, concept)| concept).collect())
    }

    /// How two codes are related.
    ///
    /// # Errors
    /// When there is no such code, or the hierarchy is none of kinds.
    pub(crate) fn subsumption(&self, one: &str, other: &str) -> Result<Subsumption, TerminologyError> {
        let has =
            |concepts: Vec<&Concept>, code: &str| concepts.iter().any(|concept| self.is_same(&concept.code, code));
        let is_below = has(self.with_descendants(one)?, other);
        let is_above = has(self.with_descendants(other)?, one);
        Ok(match (is_below, is_above) {
            (true, true) => Subsumption::Equivalent,
            (true, false) => Subsumption::Subsumes,
            (false, true) => Subsumption::SubsumedBy,
            (false, false) => Subsumption::NotSubsumed,
        })
    }
}

impl Concept {
    /// Whether it is out of use.
    pub(crate) fn is_inactive(&self) -> bool {
        self.properties.iter().any(|property| match property.code.as_str() {
            "inactive" => property.plain == "true",
            "status" => property.plain == "retired",
            _ => false,
        })
    }

    /// Whether it only groups others and is not to be recorded.
    pub(crate) fn is_abstract(&self) -> bool {
        self.properties.iter().any(|property| property.code == "notSelectable" && property.plain == "true")
    }
}

impl Designation {
    /// Reads a designation; `None` without a value.
    pub(super) fn read(node: &Node<'_>) -> Option<Self> {
        Some(Self {
            language: text(node, "language"),
            value: text(node, "value")?,
            usage: node.member("use").map(Node::to_static),
        })
    }
}

impl Property {
    fn read(node: &Node<'_>) -> Option<Self> {
        let (member, value) = node.members().iter().find(|(name, _)| name.starts_with("value"))?;
        let plain = match value {
            Node::String(text) | Node::Number(text) => text.as_ref().to_owned(),
            Node::Object(_) => text(value, "code").unwrap_or_default(),
            Node::Bool(_) | Node::Null | Node::Array(_) => value.to_string(),
        };
        Some(Self { code: text(node, "code")?, member: member.as_ref().to_owned(), value: value.to_static(), plain })
    }
}

/// The codes under which a code system has a property of FHIR itself.
fn property_names(resource: &Node<'_>, known: &str) -> HashSet<String> {
    let uri = format!("http://hl7.org/fhir/concept-properties#{known}");
    list(resource, "property")
        .iter()
        .filter(|property| text(property, "uri").as_ref() == Some(&uri))
        .filter_map(|property| text(property, "code"))
        .chain([known.to_owned()])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{CodeSystem, Subsumption};
    use crate::json;

    pub(super) const ANIMALS: &str = r#"{"url":"http://a","content":"complete","property":[
        {"code":"kindOf","uri":"http://hl7.org/fhir/concept-properties#parent","type":"code"}],
        "concept":[
            {"code":"animal","property":[{"code":"notSelectable","valueBoolean":true}],"concept":[
                {"code":"dog","display":"Dog","concept":[{"code":"puppy"}]},
                {"code":"cat"}]},
            {"code":"pet","property":[{"code":"child","valueCode":"cat"}]},
            {"code":"kitten","property":[{"code":"kindOf","valueCode":"cat"},{"code":"inactive","valueBoolean":true}]},
            {"code":"stone"}]}"#;

    fn system(text: &str) -> CodeSystem {
        CodeSystem::read(&json::parse(text.as_bytes()).unwrap()).unwrap()
    }

    #[track_caller]
    fn check(code: &str, below: &[&str], above: &[&str]) {
        let system = system(ANIMALS);
        let codes = |concepts: Vec<&super::Concept>| -> Vec<String> {
            concepts.iter().map(|concept| concept.code.clone()).collect()
        };
        assert_eq!(codes(system.with_descendants(code).unwrap()), below);
        assert_eq!(codes(system.with_ancestors(code).unwrap()), above);
    }

    #[test]
    fn the_hierarchy_is_told_by_nesting_and_by_properties() {
        check("animal", &["animal", "dog", "puppy", "cat", "kitten"], &["animal"]);
        check("pet", &["cat", "pet", "kitten"], &["pet"]);
        check("kitten", &["kitten"], &["animal", "cat", "pet", "kitten"]);
        check("stone", &["stone"], &["stone"]);
    }

    #[test]
    fn two_codes_are_related_in_one_of_four_ways() {
        let system = system(ANIMALS);
        for (one, other, expected) in [
            ("dog", "dog", Subsumption::Equivalent),
            ("animal", "puppy", Subsumption::Subsumes),
            ("kitten", "pet", Subsumption::SubsumedBy),
            ("dog", "cat", Subsumption::NotSubsumed),
        ] {
            assert_eq!(system.subsumption(one, other).unwrap(), expected, "{one} {other}");
        }
        assert!(system.subsumption("dog", "wolf").is_err());
    }

    #[test]
    fn concepts_say_whether_they_are_used() {
        let system = system(ANIMALS);
        assert!(system.concept("animal").unwrap().is_abstract());
        assert!(system.concept("kitten").unwrap().is_inactive());
        assert!(!system.concept("dog").unwrap().is_inactive());
        assert!(system.concept("Dog").is_none());
    }

    #[test]
    fn case_counts_unless_the_system_says_that_it_does_not() {
        let text = ANIMALS.replacen('{', r#"{"caseSensitive":false,"#, 1);
        let system = system(&text);
        assert_eq!(system.concept("DOG").unwrap().code, "dog");
        assert_eq!(system.subsumption("Animal", "PUPPY").unwrap(), Subsumption::Subsumes);
        assert_eq!(system.subsumption("dog", "Dog").unwrap(), Subsumption::Equivalent);
        assert_eq!(system.with_ancestors("KITTEN").unwrap().len(), 4);
        for sensitive in [ANIMALS.to_owned(), ANIMALS.replacen('{', r#"{"caseSensitive":true,"#, 1)] {
            assert!(self::system(&sensitive).concept("DOG").is_none());
        }
    }

    #[test]
    fn a_ring_ends() {
        let ring = system(
            r#"{"content":"complete","concept":[{"code":"a","property":[{"code":"parent","valueCode":"b"}]},
            {"code":"b","property":[{"code":"parent","valueCode":"a"}]}]}"#,
        );
        assert_eq!(ring.with_descendants("a").unwrap().len(), 2);
    }

    #[test]
    fn nothing_is_said_of_what_is_not_all_there_or_no_hierarchy_of_kinds() {
        let part = system(r#"{"url":"http://p","content":"fragment","concept":[{"code":"a"}]}"#);
        assert!(part.concept("a").is_some() && part.with_descendants("a").is_err() && part.all().is_err());
        let parts = system(r#"{"content":"complete","hierarchyMeaning":"part-of","concept":[{"code":"a"}]}"#);
        assert!(parts.with_descendants("a").is_err() && parts.all().is_ok());
        let supplement = json::parse(br#"{"content":"supplement"}"#).unwrap();
        assert!(CodeSystem::read(&supplement).is_err());
    }
}
