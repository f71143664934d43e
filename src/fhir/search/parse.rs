//! A query string as a search: <https://hl7.org/fhir/R4/search.html>.
//!
//! What stands beside the criteria (order, size of a page, includes, totals) is read here; criteria go to `plan`.
//! Result parameters that are not built (`_contained=true`, `_score`, ...) are refused like unknown ones.

use std::sync::Arc;

use super::element::Named;
use super::error::SearchError;
use super::include::{self, Include};
use super::plan::{Budget, CRITERIA_MAX, all, criterion};
use super::registry::Registry;
use super::scope::Scope;
use super::special::Special;
use crate::fhir::store::{Condition, Selection, SortBy, SortKey, SortKind, Test};
use crate::r4::definitions::search_parameters::{ParameterKind, SearchParameter};
use crate::r4::resource_type::ResourceType;

/// A search that is understood.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    /// The parameters by which it was read.
    pub(crate) registry: Arc<Registry>,
    /// See `Criteria::relies_on`.
    pub(crate) relies_on: Option<u64>,
    /// Where is searched.
    pub(crate) scope: Scope,
    /// Which resources of which types.
    pub(crate) selections: Vec<Selection>,
    /// In which order.
    pub(crate) order: Vec<SortKey>,
    /// Matches on a page; 0: only their number is asked for.
    pub(crate) count: usize,
    /// The bound of a page, if more were asked for.
    pub(crate) count_cut_to: Option<usize>,
    /// Longest link to another page that can be followed, in bytes behind the base.
    pub(crate) link_bytes_max: usize,
    /// Whether the number of all matches is asked for.
    pub(crate) total: Total,
    /// What comes along.
    pub(crate) includes: Vec<Include>,
    /// What was left out because the client allowed it, and why.
    pub(crate) ignored: Vec<SearchError>,
    /// Names and values that were understood, as asked and in order, without `_cursor`: what links repeat.
    pub(crate) understood: Vec<(String, String)>,
    /// The page asked for, still sealed.
    pub(crate) cursor: Option<String>,
}

impl Search {
    /// Whether every match has one of a few ids or identifiers, so that there are hardly more matches than these, and whether
    /// it is told from indexes alone which resources are matches.
    pub(crate) fn names_few(&self) -> bool {
        self.includes.is_empty() && self.selections.iter().all(|selection| names_few(&selection.condition))
    }
}

fn names_few(condition: &Condition) -> bool {
    if let Condition::All(parts) = condition {
        return parts.iter().any(names_few) && parts.iter().all(is_plain);
    }
    if let Condition::Any(parts) = condition {
        return parts.iter().all(names_few);
    }
    let Condition::Has(parameter, Test::Token { system: Some(_), code: Some(_) }) = condition else {
        return matches!(condition, Condition::Id(_));
    };
    **parameter == *"identifier"
}

/// Whether a condition is about the values of a resource itself, not about its text, other resources or terminology.
fn is_plain(condition: &Condition) -> bool {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => parts.iter().all(is_plain),
        Condition::Not(part) => is_plain(part),
        Condition::Id(_) | Condition::LastUpdated { .. } | Condition::Present(_) | Condition::Has(..) => true,
        Condition::Words(_)
        | Condition::Near { .. }
        | Condition::Coded(..)
        | Condition::Within(..)
        | Condition::Linked { .. }
        | Condition::LinkedFrom { .. } => false,
    }
}

/// Whether to count all matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Total {
    /// Only if it costs nothing.
    IfCheap,
    /// About.
    Estimate,
    /// Not at all.
    None,
    /// To the last one.
    Accurate,
}

/// What to do about parameters that are not known, <https://hl7.org/fhir/R4/search.html#errors>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handling {
    /// Refuse.
    Strict,
    /// Leave them out and say so.
    Lenient,
}

/// Bounds of a page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageSize {
    /// Matches when nothing is asked.
    pub(crate) default: usize,
    /// Most matches, whatever is asked.
    pub(crate) max: usize,
    /// Longest link to another page that can be followed, in bytes behind the base.
    pub(crate) link_bytes_max: usize,
}

/// Most keys of an order.
const SORT_KEYS_MAX: usize = 8;
/// Most includes of a search.
const INCLUDES_MAX: usize = 32;

/// Reads names and values, already percent-decoded. Where several types are searched, each has to know every parameter.
///
/// # Errors
/// When anything is not understood, unless it is an unknown parameter and `handling` allows to leave it out.
pub(crate) fn parse(
    registry: &Arc<Registry>,
    scope: Scope,
    pairs: Vec<(String, String)>,
    page_size: PageSize,
    handling: Handling,
) -> Result<Search, SearchError> {
    if pairs.len() > CRITERIA_MAX {
        return Err(SearchError::TooMany { parts: "parameters", most: CRITERIA_MAX });
    }
    let types = scope.types(&pairs)?;
    let mut draft = Draft::new(registry, scope, &types, page_size);
    for (name, value) in pairs {
        match draft.take(&name, &value) {
            Ok(Taken::Cursor) => draft.search.cursor = Some(value),
            Ok(Taken::Elements(elements)) => draft.elements(name, elements, handling)?,
            Ok(Taken::Understood) => draft.search.understood.push((name, value)),
            Err(error) if handling == Handling::Lenient && error.is_about_an_unknown_parameter() => {
                draft.search.ignored.push(error);
            }
            Err(error) => return Err(error),
        }
    }
    draft.search()
}

struct Draft {
    search: Search,
    /// Of each type that is searched.
    criteria: Vec<(ResourceType, Vec<Condition>)>,
    budget: Budget,
    page_size: PageSize,
    seen: Vec<&'static str>,
}

enum Taken {
    Understood,
    Cursor,
    /// Names as asked, or why they are none.
    Elements(Vec<Result<String, SearchError>>),
}

/// Result parameters that may stand once.
const ONCE: [&str; 6] = ["_sort", "_count", "_total", "_summary", "_cursor", "_type"];

/// Result and other parameters of R4 that are not built, so that they are refused by a reason and not as unknown.
const NOT_BUILT: [&str; 2] = ["_score", "_at"];

impl Draft {
    fn new(registry: &Arc<Registry>, scope: Scope, types: &[ResourceType], page_size: PageSize) -> Self {
        let of_scope = |only: &ResourceType| (*only, scope.condition(*only).into_iter().collect());
        Self {
            criteria: types.iter().map(of_scope).collect(),
            budget: Budget::default(),
            search: Search {
                registry: Arc::clone(registry),
                relies_on: None,
                scope,
                selections: Vec::new(),
                order: Vec::new(),
                count: page_size.default.min(page_size.max),
                count_cut_to: None,
                link_bytes_max: page_size.link_bytes_max,
                total: Total::IfCheap,
                includes: Vec::new(),
                ignored: Vec::new(),
                understood: Vec::new(),
                cursor: None,
            },
            page_size,
            seen: Vec::new(),
        }
    }

    fn search(self) -> Result<Search, SearchError> {
        let is_text = |(name, value): &(String, String)| name == "_summary" && value == "text";
        if !self.search.includes.is_empty() && self.search.understood.iter().any(is_text) {
            let reason = "what is included has no place beside narratives";
            return Err(SearchError::Unsupported { name: "_summary=text".to_owned(), reason });
        }
        let selection = |(resource_type, criteria)| Ok(Selection { resource_type, condition: all(criteria)? });
        let selections = self.criteria.into_iter().map(selection).collect::<Result<_, SearchError>>()?;
        let relies_on = self.budget.relies_on(&self.search.registry);
        Ok(Search { selections, relies_on, ..self.search })
    }

    fn take(&mut self, name: &str, value: &str) -> Result<Taken, SearchError> {
        self.only_once(name, value)?;
        match name {
            "_sort" => self.search.order = self.order(value)?,
            "_count" => self.count(value)?,
            "_total" => self.total(value)?,
            "_summary" => self.summary(value)?,
            "_cursor" => return Ok(Taken::Cursor),
            "_type" if self.search.scope.only_type().is_none() => {}
            "_type" => {
                let reason = "the path names the only type that is searched";
                return Err(SearchError::Unsupported { name: name.to_owned(), reason });
            }
            "_elements" => {
                let known =
                    |name: &str| Named::parse(name, self.search.scope.only_type()).map(|_named| name.to_owned());
                return Ok(Taken::Elements(value.split(',').map(known).collect()));
            }
            // What comes back is settled where formats are, before a search is read.
            "_format" | "_pretty" => {}
            // The default: resources inside others are not searched.
            "_contained" if value == "false" => {}
            "_containedType" if value == "container" => {}
            "_contained" | "_containedType" => {
                let reason = "resources inside others are not searched; what is taken is `_contained=false`";
                return Err(SearchError::Unsupported { name: name.to_owned(), reason });
            }
            name if NOT_BUILT.contains(&name) => {
                return Err(SearchError::Unsupported { name: name.to_owned(), reason: "it is not built" });
            }
            name => self.include_or_criterion(name, value)?,
        }
        Ok(Taken::Understood)
    }

    /// Elements that are not known are left out one by one, where that is allowed. Parts are cut where formats are.
    fn elements(
        &mut self,
        name: String,
        elements: Vec<Result<String, SearchError>>,
        handling: Handling,
    ) -> Result<(), SearchError> {
        let mut known = Vec::new();
        for element in elements {
            match element {
                Ok(element) => known.push(element),
                Err(error) if handling == Handling::Lenient => self.search.ignored.push(error),
                Err(error) => return Err(error),
            }
        }
        if !known.is_empty() {
            self.search.understood.push((name, known.join(",")));
        }
        Ok(())
    }

    fn only_once(&mut self, name: &str, value: &str) -> Result<(), SearchError> {
        let Some(once) = ONCE.iter().find(|once| **once == name) else {
            return Ok(());
        };
        if self.seen.contains(once) {
            return Err(bad(name, value, "the parameter only once"));
        }
        self.seen.push(once);
        Ok(())
    }

    fn include_or_criterion(&mut self, name: &str, value: &str) -> Result<(), SearchError> {
        match include::parse(&self.search.registry, &self.budget, self.search.scope.only_type(), name, value) {
            Some(include) => self.search.includes.push(include?),
            None => self.criterion(name, value)?,
        }
        if self.search.includes.len() > INCLUDES_MAX {
            return Err(SearchError::TooMany { parts: "includes", most: INCLUDES_MAX });
        }
        Ok(())
    }

    /// Either all types have it or none, so that leaving out what one does not know never shows more of another.
    fn criterion(&mut self, name: &str, value: &str) -> Result<(), SearchError> {
        let types = self.criteria.iter().map(|(resource_type, _)| *resource_type);
        let registry = &self.search.registry;
        let planned = types
            .map(|only| criterion(registry, only, name, value, &self.budget))
            .collect::<Result<Vec<_>, SearchError>>()?;
        for ((_, criteria), condition) in self.criteria.iter_mut().zip(planned) {
            criteria.push(condition);
        }
        Ok(())
    }

    /// The same in all types.
    fn order(&self, value: &str) -> Result<Vec<SortKey>, SearchError> {
        let mut orders = self
            .criteria
            .iter()
            .map(|(resource_type, _)| order(&self.search.registry, &self.budget, *resource_type, value));
        let first = orders.next().unwrap_or_else(|| Ok(Vec::new()))?;
        for other in orders {
            if other? != first {
                return Err(bad("_sort", value, "parameters of one kind in all types"));
            }
        }
        Ok(first)
    }

    fn count(&mut self, value: &str) -> Result<(), SearchError> {
        let count: usize = value.parse().map_err(|_error| bad("_count", value, "a number from 0"))?;
        if !self.seen.contains(&"_summary") || self.search.count > 0 {
            self.search.count = count.min(self.page_size.max);
            self.search.count_cut_to = (count > self.page_size.max).then_some(self.page_size.max);
        }
        Ok(())
    }

    fn total(&mut self, value: &str) -> Result<(), SearchError> {
        self.search.total = match value {
            "none" => Total::None,
            "estimate" => Total::Estimate,
            "accurate" => Total::Accurate,
            _ => return Err(bad("_total", value, "`none`, `estimate` or `accurate`")),
        };
        Ok(())
    }

    fn summary(&mut self, value: &str) -> Result<(), SearchError> {
        match value {
            "false" => Ok(()),
            "count" => {
                self.search.count = 0;
                self.search.count_cut_to = None;
                Ok(())
            }
            // Cut where formats are.
            "true" | "text" | "data" => Ok(()),
            _ => Err(bad("_summary", value, "`true`, `text`, `data`, `count` or `false`")),
        }
    }
}

fn order(
    registry: &Registry,
    budget: &Budget,
    resource_type: ResourceType,
    value: &str,
) -> Result<Vec<SortKey>, SearchError> {
    let keys: Vec<&str> = value.split(',').collect();
    if keys.len() > SORT_KEYS_MAX {
        return Err(SearchError::TooMany { parts: "keys in `_sort`", most: SORT_KEYS_MAX });
    }
    keys.into_iter().map(|key| sort_key(registry, budget, resource_type, key)).collect()
}

fn sort_key(
    registry: &Registry,
    budget: &Budget,
    resource_type: ResourceType,
    key: &str,
) -> Result<SortKey, SearchError> {
    let (name, descending) = match key.strip_prefix('-') {
        Some(name) => (name, true),
        None => (key, false),
    };
    if name.is_empty() {
        return Err(bad("_sort", key, "search parameters, with `-` for descending"));
    }
    let by = match name {
        "_id" => SortBy::Id,
        "_lastUpdated" => SortBy::LastUpdated,
        name => {
            let parameter = budget.supported(registry, resource_type, name)?;
            SortBy::Value(
                parameter.code.clone(),
                sort_kind(parameter).ok_or_else(|| {
                    bad("_sort", key, "a parameter whose values have an order, neither composite nor special")
                })?,
            )
        }
    };
    Ok(SortKey { by, descending })
}

fn sort_kind(parameter: &SearchParameter) -> Option<SortKind> {
    if Special::of(parameter).is_some() {
        return None;
    }
    Some(match parameter.kind {
        ParameterKind::Number => SortKind::Number,
        ParameterKind::Date => SortKind::Date,
        ParameterKind::String => SortKind::String,
        ParameterKind::Token => SortKind::Token,
        ParameterKind::Reference => SortKind::Reference,
        ParameterKind::Quantity => SortKind::Quantity,
        ParameterKind::Uri => SortKind::Uri,
        ParameterKind::Composite | ParameterKind::Special => return None,
    })
}

fn bad(name: &str, value: &str, expected: &'static str) -> SearchError {
    SearchError::BadValue { name: name.to_owned(), value: value.to_owned(), expected }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;
    use url::form_urlencoded;

    use super::super::plan::TESTS_MAX;
    use super::{Handling, PageSize, Search, Total, parse};
    use crate::fhir::search::registry::Registry;
    use crate::fhir::search::scope::Scope;
    use crate::fhir::store::{Condition, SortBy, SortKey, SortKind};
    use crate::r4::resource_type::ResourceType;

    fn read(query: &str, handling: Handling) -> Result<Search, String> {
        read_in(Scope::Type(ResourceType::OBSERVATION), query, handling)
    }

    fn read_in(scope: Scope, query: &str, handling: Handling) -> Result<Search, String> {
        let pairs = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let page_size = PageSize { default: 50, max: 1_000, link_bytes_max: 2_000 };
        parse(Registry::r4(), scope, pairs, page_size, handling).map_err(|error| error.to_string())
    }

    fn search(query: &str) -> Search {
        read(query, Handling::Strict).unwrap()
    }

    #[track_caller]
    fn check_refused(query: &str, expected: &str) {
        let message = read(query, Handling::Strict).unwrap_err();
        assert!(message.contains(expected), "{query}: {message}");
    }

    #[test]
    fn searches_by_identifier_and_id_find_few_unless_more_than_indexes_is_to_be_read() {
        for brief in ["identifier=s|1", "identifier=s|1,s|2&code=a&date=ge2024", "_id=1", "identifier:not=s|1&_id=1"] {
            assert!(search(brief).names_few(), "{brief}");
        }
        for long in [
            "",
            "code=a",
            "identifier=1",
            "identifier:not=s|1",
            "identifier=s|1,2",
            "identifier=s|1&_content=x",
            "identifier=s|1&code:in=http://vs",
            "_id=1&subject.name=x",
            "_id=1&_include=Observation:subject",
        ] {
            assert!(!search(long).names_few(), "{long}");
        }
    }

    #[test]
    fn pages_have_a_default_and_a_bound() {
        assert_eq!(search("").count, 50);
        assert_eq!(search("_count=5").count, 5);
        assert_eq!(search("_count=5000").count, 1_000);
        assert_eq!(search("_count=0").count, 0);
        check_refused("_count=-1", "a number from 0");
        check_refused("_count=1&_count=2", "only once");
    }

    #[test]
    fn a_summary_of_counts_has_no_matches_whatever_the_count() {
        assert_eq!(search("_summary=count&_count=5").count, 0);
        assert_eq!(search("_count=5&_summary=count").count, 0);
        assert_eq!(search("_summary=false&_count=5").count, 5);
        check_refused("_summary=x", "`count` or `false`");
        check_refused("_summary=text&_include=*", "beside narratives");
    }

    #[test]
    fn an_order_has_several_keys_each_with_its_direction() {
        assert_eq!(
            search("_sort=-date,_id,-_lastUpdated,code").order,
            [
                SortKey { by: SortBy::Value("date".into(), SortKind::Date), descending: true },
                SortKey { by: SortBy::Id, descending: false },
                SortKey { by: SortBy::LastUpdated, descending: true },
                SortKey { by: SortBy::Value("code".into(), SortKind::Token), descending: false },
            ]
        );
        check_refused("_sort=dat", "did you mean `date`?");
        check_refused("_sort=", "search parameters");
        check_refused("_sort=date,", "search parameters");
        check_refused("_sort=code-value-quantity", "whose values have an order");
        check_refused("_sort=_text", "whose values have an order");
        check_refused("_sort=-_content", "whose values have an order");
    }

    #[test]
    fn a_total_is_counted_when_asked() {
        assert_eq!(search("").total, Total::IfCheap);
        assert_eq!(search("_total=accurate").total, Total::Accurate);
        assert_eq!(search("_total=none").total, Total::None);
        check_refused("_total=some", "`none`, `estimate` or `accurate`");
    }

    #[test]
    fn what_is_not_built_is_refused_with_its_name() {
        check_refused("_contained=true", "`_contained`");
        check_refused("_containedType=contained", "`_contained=false`");
        assert!(read("_contained=false&_containedType=container", Handling::Strict).is_ok());
        check_refused("_include:iter=Observation:subject", "did you mean `iterate`?");
        check_refused("_nonsense=1", "`_nonsense` is not a search parameter of Observation");
    }

    #[test]
    fn lenient_leaves_unknown_parameters_out_and_says_so() {
        let search = read("cod=1&status=final&_score=code&cod.x=1", Handling::Lenient).unwrap();
        assert_eq!(search.ignored.len(), 3);
        assert_eq!(search.understood, [("status".to_owned(), "final".to_owned())]);
        assert!(matches!(&search.selections[0].condition, Condition::All(criteria) if criteria.len() == 1));
    }

    #[test]
    fn several_types_share_what_all_of_them_know() {
        let wide = |query: &str, handling| read_in(Scope::System, query, handling);
        let search = wide("_type=Patient,Observation&identifier=1&_sort=-_lastUpdated", Handling::Strict).unwrap();
        let types: Vec<&str> = search.selections.iter().map(|it| it.resource_type.as_str()).collect();
        assert_eq!(types, ["Observation", "Patient"]);
        assert_eq!(wide("_tag=x", Handling::Strict).unwrap().selections.len(), 146);
        for (query, expected) in [
            ("_type=Patient,Observation&code=1", "not a search parameter of Patient"),
            ("_type=Patient,Observation&_sort=code", "not a search parameter of Patient"),
            ("_type=Patient,RiskAssessment&_sort=name", "not a search parameter of RiskAssessment"),
            ("_type=Basic,PlanDefinition&_sort=subject", "not a search parameter of PlanDefinition"),
            ("_type=Medication,Composition&_sort=status,title", "not a search parameter of Medication"),
            ("_type=Nobody", "resource types"),
            ("_type=Patient&_type=Observation", "only once"),
            ("name=x", "not a search parameter of AdverseEvent"),
        ] {
            let message = wide(query, Handling::Strict).unwrap_err();
            assert!(message.contains(expected), "{query}: {message}");
        }
        let lenient = wide("_type=Patient,Observation&code=1", Handling::Lenient).unwrap();
        assert_eq!(lenient.ignored.len(), 1);
        assert!(lenient.selections.iter().all(|it| it.condition == Condition::All(Vec::new())));
        check_refused("_type=Patient", "the path names");
    }

    #[test]
    fn lenient_still_refuses_modifiers_and_values_it_does_not_understand() {
        for query in ["code:nonsense=1", "date=x", "subject:Nobody=1", "_count=x", "_sort="] {
            assert!(read(query, Handling::Lenient).is_err(), "{query}");
        }
    }

    #[test]
    fn links_repeat_what_was_understood_but_the_cursor() {
        let search = search("code=a%7Cb&_cursor=x&_count=5");
        assert_eq!(search.cursor.as_deref(), Some("x"));
        let understood: Vec<_> = search.understood.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(understood, ["code=a|b", "_count=5"]);
    }

    fn names() -> impl Strategy<Value = String> {
        let known = select(
            &[
                "_id",
                "_lastUpdated",
                "_text",
                "_content",
                "_filter",
                "_sort",
                "_count",
                "_total",
                "_summary",
                "_include",
                "_revinclude:iterate",
                "_cursor",
                "_has",
                "code",
                "date",
                "subject",
                "patient",
                "value-quantity",
                "combo-code",
                "near",
                "phonetic",
                "composition",
                "url",
                "probability",
                "code-value-quantity",
            ][..],
        );
        let parts = prop_oneof![
            known.prop_map(str::to_owned),
            "[.:]",
            "[A-Z][a-z]{3,8}",
            "\\PC{0,3}",
            "Patient|missing|not|exact"
        ];
        prop::collection::vec(parts, 0..6).prop_map(|parts| parts.concat())
    }

    fn values() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            "[0-9eE.+-]{0,12}",
            "[a-z]{2}[0-9-]{4,10}",
            "\\PC{0,6}",
            r"[|,$\\ ()]",
            "Patient/1",
            "Observation:subject",
            "http://x",
            "code eq \"x\"",
            " and | or |not",
            "true|false",
            "9{400}",
        ];
        prop::collection::vec(part, 0..5).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn whatever_is_asked_is_a_search_or_refused(
            asked in prop::collection::vec((names(), values()), 0..4),
            resource_type in select(&["Observation", "Patient", "Location", "Bundle", "Basic", "RiskAssessment"][..]),
            handling in select(&[Handling::Strict, Handling::Lenient][..]),
        ) {
            let page_size = PageSize { default: 50, max: 1_000, link_bytes_max: 2_000 };
            let resource_type = ResourceType::parse(resource_type).unwrap();
            if let Ok(search) = parse(Registry::r4(), Scope::Type(resource_type), asked.clone(), page_size, handling) {
                prop_assert!(search.selections.iter().all(|selection| selection.condition.size() <= TESTS_MAX));
                prop_assert!(handling == Handling::Lenient || search.ignored.is_empty());
                let told = search.understood.len() + search.ignored.len() + usize::from(search.cursor.is_some());
                prop_assert_eq!(told, asked.len(), "nothing is left out in silence");
            }
        }
    }
}
