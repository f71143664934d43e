//! The pages of a search as links. A link carries the whole search, and the place where a page begins as a sealed cursor.

use url::form_urlencoded;

use super::error::SearchError;
use super::parse::Search;
use super::seal;
use crate::fhir::store::Cursor;

/// The address of the page that begins at a cursor; of the first one without.
pub(crate) fn link(base: &str, search: &Search, cursor: Option<&Cursor>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(&search.understood);
    if let Some(cursor) = cursor {
        query.append_pair("_cursor", &seal::seal(asked(search, &search.scope.path()), cursor));
    }
    let path = search.scope.path();
    let slash = if path.is_empty() { "" } else { "/" };
    match query.finish() {
        query if query.is_empty() => format!("{base}{slash}{path}"),
        query => format!("{base}{slash}{path}?{query}"),
    }
}

/// The cursor that a link of this search carried.
///
/// # Errors
/// When the cursor was changed or is of another search.
pub(crate) fn open(search: &Search) -> Result<Option<Cursor>, SearchError> {
    let Some(sealed) = &search.cursor else {
        return Ok(None);
    };
    let path = search.scope.path();
    seal::open(asked(search, &path), sealed).map(Some).ok_or(SearchError::BadCursor)
}

fn asked<'a>(search: &'a Search, path: &'a str) -> impl Iterator<Item = &'a str> {
    let decisive = search.understood.iter().filter(|(name, _)| decides_order_or_matches(name));
    let parameters = decisive.flat_map(|(name, value)| [name.as_str(), value.as_str()]);
    std::iter::once(path).chain(parameters)
}

/// The rest may change from page to page.
fn decides_order_or_matches(name: &str) -> bool {
    !matches!(name, "_count" | "_total" | "_summary" | "_elements" | "_format" | "_pretty")
        && !name.starts_with("_include")
        && !name.starts_with("_revinclude")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::super::parse::{Handling, PageSize, Search, parse};
    use super::super::registry::Registry;
    use super::super::scope::Scope;
    use super::{link, open};
    use crate::fhir::store::Cursor;
    use crate::r4::resource_type::ResourceType;

    fn search(query: &str) -> Search {
        let url = Url::parse(&format!("http://x/fhir/Observation?{query}")).unwrap();
        let pairs = url.query_pairs().into_owned().collect();
        let page_size = PageSize { default: 50, max: 1_000, link_bytes_max: 2_000 };
        parse(Registry::r4(), Scope::Type(ResourceType::OBSERVATION), pairs, page_size, Handling::Strict).unwrap()
    }

    fn follow(link: &str) -> Search {
        search(link.split_once('?').unwrap().1)
    }

    #[test]
    fn a_link_carries_the_whole_search() {
        let search = search("code=http%3A%2F%2Floinc.org%7C8867-4&_sort=-date&_count=5");
        assert_eq!(
            link("http://x/fhir", &search, None),
            "http://x/fhir/Observation?code=http%3A%2F%2Floinc.org%7C8867-4&_sort=-date&_count=5"
        );
    }

    #[test]
    fn a_search_for_everything_has_a_link_too() {
        assert_eq!(link("http://x/fhir", &search(""), None), "http://x/fhir/Observation");
    }

    #[test]
    fn a_cursor_fits_its_own_search_whatever_the_size_of_the_page() {
        let cursor = Cursor("c".to_owned());
        let next = link("http://x/fhir", &search("status=final&_count=5"), Some(&cursor));
        assert_eq!(open(&follow(&next)), Ok(Some(cursor.clone())));
        assert_eq!(open(&follow(&next.replace("_count=5", "_count=6"))), Ok(Some(cursor)));
        assert!(open(&follow(&next.replace("final", "amended"))).is_err());
    }

    proptest! {
        #[test]
        fn a_changed_cursor_is_refused(text in "\\PC{0,12}", at in 0_usize..64, with in "[0-9a-z]") {
            let search = search("status=final");
            let cursor = Cursor(text);
            let next = link("http://x/fhir", &search, Some(&cursor));
            let followed = follow(&next);
            prop_assert_eq!(open(&followed), Ok(Some(cursor)));
            let sealed = followed.cursor.clone().unwrap();
            let at = at % sealed.len();
            let mut changed = sealed.clone();
            changed.replace_range(at..=at, &with);
            let tampered = Search { cursor: Some(changed.clone()), ..followed };
            prop_assert_eq!(open(&tampered).is_ok(), changed == sealed);
        }
    }

    #[test]
    fn nonsense_is_no_cursor() {
        for cursor in ["", "x", "0123456789abcdef", "0123456789abcdef0", "é123456789abcdef00"] {
            assert!(open(&search(&format!("_cursor={cursor}"))).is_err(), "{cursor}");
        }
    }
}
