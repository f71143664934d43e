//! What the server asks of a database: resources, condition trees and cursors. No SQL, no parameter names, no HTTP.
//!
//! A write is a function that runs alone inside the store's one transaction at a time, sees everything committed
//! before it, and either takes effect as a whole or not at all. That is what makes conditional interactions and
//! transaction Bundles exact under concurrency. Several waiting writes share one commit.

pub(crate) mod interface;
pub(crate) mod sqlite;
pub(crate) mod watch;

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use self::interface::Head;
use crate::r4::resource_type::ResourceType;

/// Which resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ResourceKey {
    /// Its type.
    pub(crate) resource_type: ResourceType,
    /// Its logical id, 1 to 64 characters of `[A-Za-z0-9\-.]`.
    pub(crate) id: String,
}

/// One version of a resource, as it goes over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    /// Which resource.
    pub(crate) key: ResourceKey,
    /// Number of the version, from 1.
    pub(crate) number: u64,
    /// When it was written.
    pub(crate) last_updated: Timestamp,
    /// How it came about.
    pub(crate) method: Method,
    /// The body with `id` and `meta` in it; `None` for a deletion.
    pub(crate) body: Option<Bytes>,
}

impl Version {
    /// What is known of it without its body.
    pub(crate) fn head(&self) -> Head {
        Head { number: self.number, last_updated: self.last_updated, method: self.method }
    }
}

/// The interaction that wrote a version, as history reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// Created under an id of the server's choice.
    Post,
    /// Written under an id of the client's choice.
    Put,
    /// Changed in part.
    Patch,
    /// Deleted.
    Delete,
}

/// A resource ready to be written: its body in pieces between which `id` and `meta` go, and what it is found by.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// Which resource.
    pub(crate) key: ResourceKey,
    /// How it came about.
    pub(crate) method: Method,
    /// The body as sent, without `id` and `meta`.
    pub(crate) body: DraftBody,
    /// What it is found by. Each (parameter, value) pair once.
    pub(crate) index: Vec<IndexEntry>,
    /// What `index` was made with.
    pub(crate) basis: Basis,
}

/// What an index was made with; with anything else it may say something else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Basis {
    /// The generation of the definitions, see `Reader::generation`.
    pub(crate) generation: u64,
    /// The address of this server at which references are local, without a slash at its end.
    pub(crate) base_url: Arc<str>,
}

/// A text that the store keeps for the service and does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// What resources are found by besides what is always so.
    Definitions,
    /// What is being indexed anew, and how far that has come.
    Reindexing,
}

/// A body as sent, cut where the server's members go. Written out it is
/// `head "id":"<id>","meta":{ "versionId":"<n>","lastUpdated":"<t>" meta_rest } tail`.
#[derive(Clone, Debug)]
pub(crate) struct DraftBody {
    /// From `{` to behind the comma that follows `resourceType`.
    pub(crate) head: Bytes,
    /// The members of the sent `meta` that are not the server's, each with a leading comma.
    pub(crate) meta_rest: Bytes,
    /// All other members with a leading comma (if there are any), and `}`.
    pub(crate) tail: Bytes,
}

impl DraftBody {
    /// The body with this id; `own` are the server's members of `meta`, at least one, without a comma around them.
    pub(crate) fn text(&self, id: &str, own: &str) -> Vec<u8> {
        let own = format!(r#""id":"{id}","meta":{{{own}"#);
        [&*self.head, own.as_bytes(), &*self.meta_rest, b"}", &*self.tail].concat()
    }
}

/// The code of a search parameter, for example `code`. The store takes it as an opaque name, scoped by resource type.
pub(crate) type Parameter = Arc<str>;

/// One value by which a resource is found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct IndexEntry {
    /// Under which parameter.
    pub(crate) parameter: Parameter,
    /// The value.
    pub(crate) value: IndexValue,
}

/// A value in the form the index keeps, one kind for each type of search parameter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum IndexValue {
    /// A code in a system. An absent part is the empty string.
    Token {
        /// The URI of the system.
        system: String,
        /// The code.
        code: String,
    },
    /// A reference: `Type/id` for a local one (without version), otherwise the absolute URL or URN.
    Reference {
        /// The target.
        target: String,
    },
    /// The interval that a date, dateTime, instant or Period covers: both ends inclusive, microseconds since 1970.
    /// An open end is `i64::MIN` or `i64::MAX`.
    Date {
        /// First microsecond.
        start: i64,
        /// Last microsecond.
        end: i64,
    },
    /// A number.
    Number {
        /// Its value. An index key, never shown.
        value: f64,
    },
    /// An amount in a unit.
    Quantity {
        /// The URI of the unit's system, or empty.
        system: String,
        /// The unit's code, or empty.
        code: String,
        /// The unit as displayed, or empty.
        unit: String,
        /// The amount. An index key, never shown.
        value: f64,
    },
    /// All amounts between two, both inclusive; an open end is infinite. Under a number parameter the unit is empty or
    /// does not count.
    Range {
        /// The URI of the unit's system, or empty.
        system: String,
        /// The unit's code, or empty.
        code: String,
        /// The unit as displayed, or empty.
        unit: String,
        /// The least amount. An index key, never shown.
        low: f64,
        /// The greatest amount. An index key, never shown.
        high: f64,
    },
    /// A text, for search without regard to case and accents, and exact.
    String {
        /// Case-folded, accents removed.
        folded: String,
        /// As in the resource; empty for a text that is only a part of another.
        exact: String,
    },
    /// A URI, compared exactly.
    Uri {
        /// As in the resource.
        uri: String,
    },
    /// What one element holds for each part of a composite parameter. Kept beside the resource to tell that values
    /// belong together; nothing is looked up by it.
    Composite {
        /// The values of each part, none without any and none a composite.
        parts: Vec<Vec<IndexValue>>,
    },
    /// A text that stands beside codes, searched without an index of its own: such texts repeat endlessly, and a row
    /// for each would cost more than all the codes.
    Display {
        /// Case-folded, accents removed.
        folded: String,
    },
    /// A place among the resources that say something of one concept about one subject.
    Series {
        /// The subject, in the form of a reference; empty for everyone.
        subject: String,
        /// The concept.
        concept: String,
        /// When it was so, in microseconds since 1970; `i64::MIN` if that is not known.
        end: i64,
    },
}

/// Which resources: a tree of tests on index values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition {
    /// Every one holds. Empty: always.
    All(Vec<Condition>),
    /// At least one holds. Empty: never.
    Any(Vec<Condition>),
    /// Does not hold.
    Not(Box<Condition>),
    /// The logical id is one of these.
    Id(Vec<String>),
    /// The last change lies between these instants, both inclusive, microseconds since 1970.
    LastUpdated {
        /// First microsecond.
        start: i64,
        /// Last microsecond.
        end: i64,
    },
    /// Each of these words (folded) is the beginning of a word somewhere in the resource. Reads the body, so it is
    /// checked after everything else.
    Words(Vec<String>),
    /// The position that the resource has under two parameters of numbers lies within a distance on the globe.
    Near {
        /// Where its latitude is, in degrees.
        latitude_of: Parameter,
        /// Where its longitude is, in degrees.
        longitude_of: Parameter,
        /// Latitude of the centre, in degrees.
        latitude: f64,
        /// Longitude of the centre, in degrees.
        longitude: f64,
        /// The distance.
        meters: f64,
    },
    /// The resource has at least one value under the parameter.
    Present(Parameter),
    /// One of the values under the parameter passes the test.
    Has(Parameter, Test),
    /// One of the tokens under the parameter belongs to a set of codes that stored resources define. What they are is
    /// asked when the condition is evaluated, in the same committed state.
    Coded(Parameter, CodeSet),
    /// One of the references under the parameter points into a hierarchy of resources. Which these are is asked when the
    /// condition is evaluated, in the same committed state.
    Within(Parameter, Hierarchy),
    /// One of the references under the parameter points to a current resource of one of these types for which the
    /// condition holds (a chain).
    Linked {
        /// The reference parameter.
        parameter: Parameter,
        /// Types of the target.
        targets: Vec<ResourceType>,
        /// What must hold there.
        condition: Box<Condition>,
    },
    /// A current resource of this type for which the condition holds points here under the parameter (`_has`).
    LinkedFrom {
        /// Type of the resource that points here.
        source: ResourceType,
        /// Its reference parameter.
        parameter: Parameter,
        /// What must hold there.
        condition: Box<Condition>,
    },
}

/// Codes that are named by what they have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CodeSet {
    /// Those of a value set, by `ValueSet/id` or by its URL, which may end in `|version`.
    ValueSet(String),
    /// A code and all that it subsumes.
    Below(Code),
    /// A code and all that subsume it.
    Above(Code),
}

/// Resources of one type of which each names the whole that it is part of: one of them, and all that are parts of it or
/// that it is part of, however far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// The one, in the form of a reference.
    pub(crate) start: String,
    /// The type of all.
    pub(crate) resource_type: ResourceType,
    /// The reference parameter of a part to its whole.
    pub(crate) whole: Parameter,
    /// Which way from the start.
    pub(crate) direction: Direction,
}

/// Which way in a hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To the parts.
    Below,
    /// To the wholes.
    Above,
}

/// A code of a code system.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Code {
    /// The URI of the system.
    pub(crate) system: String,
    /// The code.
    pub(crate) code: String,
}

impl Condition {
    /// How many tests and junctions it is made of: what it costs to keep, and to check against one resource.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::All(parts) | Self::Any(parts) => 1 + parts.iter().map(Self::size).sum::<usize>(),
            Self::Not(condition) | Self::LinkedFrom { condition, .. } => 1 + condition.size(),
            Self::Linked { targets, condition, .. } => 1 + targets.len() * condition.size(),
            Self::Id(ids) => ids.len(),
            Self::Words(words) => words.len(),
            Self::Has(_, Test::Composite { parts }) => 1 + parts.iter().map(Vec::len).sum::<usize>(),
            Self::LastUpdated { .. }
            | Self::Present(_)
            | Self::Has(..)
            | Self::Coded(..)
            | Self::Within(..)
            | Self::Near { .. } => 1,
        }
    }

    /// Whether bodies have to be read for it.
    pub(crate) fn reads_bodies(&self) -> bool {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().any(Self::reads_bodies),
            Self::Not(condition) | Self::Linked { condition, .. } | Self::LinkedFrom { condition, .. } => {
                condition.reads_bodies()
            }
            Self::Words(_) => true,
            Self::Id(_)
            | Self::LastUpdated { .. }
            | Self::Present(_)
            | Self::Has(..)
            | Self::Coded(..)
            | Self::Within(..)
            | Self::Near { .. } => false,
        }
    }
}

/// A test of one index value. A test only ever passes on values of its own kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Test {
    /// `None`: any; `Some("")`: absent.
    Token {
        /// The system.
        system: Option<String>,
        /// The code.
        code: Option<String>,
    },
    /// A token whose code is this media type, with or without parameters, or one of this kind (`image`).
    MediaType {
        /// The media type without parameters.
        base: String,
    },
    /// The target is this text.
    Reference {
        /// The target, in the form of `IndexValue::Reference`.
        target: String,
    },
    /// The stored interval lies in the given relation to `[start, end]`.
    Date {
        /// The relation.
        relation: Relation,
        /// First microsecond of the searched interval.
        start: i64,
        /// Last microsecond of the searched interval.
        end: i64,
    },
    /// The stored number or range lies in the given relation to the searched interval `[low, high)`, or to the searched
    /// number where the relation is one of order.
    Number {
        /// The relation.
        relation: Relation,
        /// Low end of the precision of the searched number.
        low: f64,
        /// High end of the precision of the searched number.
        high: f64,
        /// The searched number itself, for the relations of order.
        value: f64,
    },
    /// As `Number`, and the unit fits: `None` means any. Where system and code are given and UCUM, stored amounts of any
    /// unit that can be converted to the searched one are compared with it by what they amount to.
    Quantity {
        /// The relation.
        relation: Relation,
        /// Low end of the precision of the searched amount.
        low: f64,
        /// High end of the precision of the searched amount.
        high: f64,
        /// The searched amount itself, for the relations of order.
        value: f64,
        /// The unit's system.
        system: Option<String>,
        /// The unit's code; without a system it may match the displayed unit as well.
        code: Option<String>,
    },
    /// A text.
    String {
        /// How it is compared.
        mode: TextMode,
        /// The searched text: folded unless the mode is `Exact`.
        text: String,
    },
    /// A URI.
    Uri {
        /// The searched URI.
        uri: String,
        /// How it is compared.
        mode: UriMode,
    },
    /// Every part passes on the same composite value. There is no index to find it by: what narrows the search stands
    /// beside it in the condition.
    Composite {
        /// The tests of each part, one of which has to pass.
        parts: Vec<Vec<Test>>,
    },
    /// A text beside codes starts with this one.
    Display {
        /// The searched text, folded.
        folded: String,
    },
}

/// How a stored value lies to the searched one; the prefixes of
/// <https://hl7.org/fhir/R4/search.html#prefix>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// Stored within searched (`eq`).
    Within,
    /// Not `Within` (`ne`).
    NotWithin,
    /// The range above the searched value meets the stored one (`gt`).
    Above,
    /// The range below the searched value meets the stored one (`lt`).
    Below,
    /// `Above` or `Within` (`ge`).
    AtLeast,
    /// `Below` or `Within` (`le`).
    AtMost,
    /// Stored starts after searched ends (`sa`).
    StartsAfter,
    /// Stored ends before searched starts (`eb`).
    EndsBefore,
    /// Stored and searched overlap (`ap`, after the searched range has been widened).
    Overlaps,
}

/// How texts are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextMode {
    /// The folded stored text starts with the searched one.
    StartsWith,
    /// The folded stored text contains the searched one.
    Contains,
    /// The folded stored text ends with the searched one.
    EndsWith,
    /// The folded stored text is the searched one.
    Whole,
    /// The stored text is the searched one, to the letter.
    Exact,
}

/// How URIs are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UriMode {
    /// To the letter.
    Exact,
    /// The stored one starts with the searched one (`:below`).
    Below,
    /// The searched one starts with the stored one (`:above`).
    Above,
}

/// A search: which resources, in which order, from where, how many.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    /// Which resources of which types; each type once.
    pub(crate) selections: Vec<Selection>,
    /// In which order; ties, and an empty list, are type by type in the order in which the resources were first written.
    pub(crate) order: Vec<SortKey>,
    /// Where the page before this one ended.
    pub(crate) after: Option<Cursor>,
    /// How many at most.
    pub(crate) limit: usize,
    /// Where all matches are known to be, in just this order.
    pub(crate) series: Option<Series>,
}

impl Query {
    /// The first of these resources to be written.
    pub(crate) fn first(selections: Vec<Selection>, limit: usize) -> Self {
        Self { selections, order: Vec::new(), after: None, limit, series: None }
    }
}

/// Some series. What is in each is ordered from the newest back, and what has no time comes last.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// The parameter under which they are indexed.
    pub(crate) parameter: Parameter,
    /// Which ones: subject and concept, as in `IndexValue::Series`.
    pub(crate) of: Vec<(String, String)>,
}

/// Resources of a type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Selection {
    /// Of which type.
    pub(crate) resource_type: ResourceType,
    /// Which of them.
    pub(crate) condition: Condition,
}

/// One key of the order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SortKey {
    /// What is compared.
    pub(crate) by: SortBy,
    /// Greatest first. Dates are then compared by their end, the latest value of the resource first.
    pub(crate) descending: bool,
}

/// What an order compares. Resources without a value come last in either direction.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SortBy {
    /// The time of the last change.
    LastUpdated,
    /// The logical id.
    Id,
    /// The values under a parameter, whose index values are all of one kind.
    Value(Parameter, SortKind),
}

/// The kind of the index values compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SortKind {
    /// Tokens, by code.
    Token,
    /// References, by target.
    Reference,
    /// Dates.
    Date,
    /// Numbers.
    Number,
    /// Quantities: those of comparable units together, by what they amount to.
    Quantity,
    /// Texts, folded.
    String,
    /// URIs.
    Uri,
}

/// What is asked of the series of one subject: the newest matches of each of several kinds.
#[derive(Clone, Debug)]
pub(crate) struct Newest {
    /// Which resources.
    pub(crate) selection: Selection,
    /// The parameter of the series.
    pub(crate) parameter: Parameter,
    /// About whom.
    pub(crate) subject: String,
    /// Concepts that count as one kind.
    pub(crate) kinds: Vec<Vec<String>>,
    /// How many of each kind. More come along if they are as new as the last of these and it is known how new that is.
    pub(crate) count: usize,
    /// Most matches of a kind whatever their time.
    pub(crate) most: usize,
}

/// A match and when it was so.
#[derive(Clone, Debug)]
pub(crate) struct Dated {
    /// As in `IndexValue::Series`.
    pub(crate) end: i64,
    /// The match.
    pub(crate) version: Version,
}

/// Where a page ended: the sort values of its last resource and its place in the order of writing. Opaque to all but
/// the store, and valid while other resources come and go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor(pub(crate) String);

/// A history: of what, which part of it, from where, how many. Newest first; what was written at one time is in the order
/// of resources, backwards.
#[derive(Clone, Debug)]
pub(crate) struct HistoryQuery {
    /// Whose.
    pub(crate) of: Lineage,
    /// Written no earlier than this, in microseconds since 1970.
    pub(crate) since: i64,
    /// Written no later than this, in microseconds since 1970.
    pub(crate) until: i64,
    /// Only versions that were the current one at some time between these, both inclusive, microseconds since 1970.
    pub(crate) current_in: Option<(i64, i64)>,
    /// Where the page before this one ended.
    pub(crate) after: Option<Cursor>,
    /// How many at most.
    pub(crate) limit: usize,
}

/// Whose versions a history has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lineage {
    /// One resource's.
    Resource(ResourceKey),
    /// All of a type.
    Type(ResourceType),
    /// All there are.
    System,
}

/// A page of a search, or of a history.
#[derive(Debug)]
pub(crate) struct Page {
    /// The matches or versions, in order.
    pub(crate) versions: Vec<Version>,
    /// Where the next page goes on; `None` after the last one.
    pub(crate) next: Option<Cursor>,
}
