//! The walk that selects.

use std::ops::ControlFlow;

use super::super::effort::Effort;
use super::compare::{equal, is_ordered, strictly_equal};
use super::{Comparison, Filter, Item, Path, Side, Slice, Step};
use crate::json::Node;

/// Why a path does not give what is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unselected {
    /// More than one value where at most one is allowed (DM-28).
    Several,
    /// The document is too large for what the path does with it.
    TooMuchWork,
}

type Found<'f, 'n, 'a> = &'f mut dyn FnMut(Item<'n, 'a>) -> ControlFlow<()>;

impl Path {
    /// Hands every value the path selects in `document` to `found`, in order, duplicates included (JP-35), until it
    /// breaks off.
    ///
    /// # Errors
    /// When it takes too much work; what was handed over before that stands.
    pub(crate) fn select<'n, 'a>(
        &self,
        document: Item<'n, 'a>,
        effort: &Effort,
        found: &mut dyn FnMut(Item<'n, 'a>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Unselected> {
        select(&self.steps, document, effort, found)
    }

    /// The only value the path selects in `document`, if any.
    ///
    /// # Errors
    /// When it selects several, or takes too much work.
    pub(crate) fn single<'n, 'a>(
        &self,
        document: Item<'n, 'a>,
        effort: &Effort,
    ) -> Result<Option<Item<'n, 'a>>, Unselected> {
        let mut only = None;
        let walked = self.select(document, effort, &mut |item| match only.replace(item) {
            None => ControlFlow::Continue(()),
            Some(_) => ControlFlow::Break(()),
        })?;
        if walked.is_break() { Err(Unselected::Several) } else { Ok(only) }
    }
}

/// As `Path::select`, for some of the steps of a path.
pub(super) fn select<'n, 'a>(
    steps: &[Step],
    document: Item<'n, 'a>,
    effort: &Effort,
    found: Found<'_, 'n, 'a>,
) -> Result<ControlFlow<()>, Unselected> {
    let walked = walk(steps, &Run { root: document, effort }, document, found);
    if effort.is_exhausted() { Err(Unselected::TooMuchWork) } else { Ok(walked) }
}

/// What one evaluation knows.
struct Run<'e, 'n, 'a> {
    /// What `$` means in filters.
    root: Item<'n, 'a>,
    effort: &'e Effort,
}

impl Run<'_, '_, '_> {
    /// Counts a look at a value, and breaks off when it was the last.
    fn look(&self) -> ControlFlow<()> {
        match self.effort.spend(1) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_exhausted) => ControlFlow::Break(()),
        }
    }
}

/// Applies the first of `steps` to `current` and the others to what it selects.
fn walk<'n, 'a>(
    steps: &[Step],
    run: &Run<'_, 'n, 'a>,
    current: Item<'n, 'a>,
    found: Found<'_, 'n, 'a>,
) -> ControlFlow<()> {
    run.look()?;
    let Some((step, rest)) = steps.split_first() else {
        return found(current);
    };
    let mut next = |item: Item<'n, 'a>| walk(rest, run, item, found);
    match step {
        Step::Member(name) => current.member(name).map_or(ControlFlow::Continue(()), next),
        Step::Members(names) => names.iter().filter_map(|name| current.member(name)).try_for_each(next),
        Step::AllMembers => current.members().map(|(_, value)| value).try_for_each(next),
        Step::AllElements => elements(current).iter().map(Item::Node).try_for_each(next),
        Step::Index(index) => element(current, *index).map_or(ControlFlow::Continue(()), next),
        Step::Indexes(indexes) => indexes.iter().filter_map(|index| element(current, *index)).try_for_each(next),
        Step::Slice(slice) => sliced(elements(current), *slice).map(Item::Node).try_for_each(next),
        Step::Filter(filter) => elements(current)
            .iter()
            .map(Item::Node)
            .filter(|candidate| holds(filter, run, *candidate))
            .try_for_each(next),
        Step::DescendMembers(names) => descend(run, current, &mut |name, item| {
            let named = name.is_some_and(|name| names.iter().any(|wanted| wanted == name));
            if named { next(item) } else { ControlFlow::Continue(()) }
        }),
        Step::DescendAll => {
            next(current)?;
            descend(run, current, &mut |_, item| next(item))
        }
        Step::DescendFilter(filter) => {
            let mut test = |item| {
                if holds(filter, run, item) { next(item) } else { ControlFlow::Continue(()) }
            };
            test(current)?;
            descend(run, current, &mut |_, item| test(item))
        }
    }
}

/// Visits everything below `item` in document order, parents first, with the name it has as a member.
fn descend<'n, 'a>(
    run: &Run<'_, 'n, 'a>,
    item: Item<'n, 'a>,
    visit: &mut dyn FnMut(Option<&'n str>, Item<'n, 'a>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    item.children().try_for_each(|(name, child)| {
        run.look()?;
        visit(name, child)?;
        descend(run, child, visit)
    })
}

fn elements<'n, 'a>(item: Item<'n, 'a>) -> &'n [Node<'a>] {
    item.elements().unwrap_or_default()
}

/// A negative index counts from the end (JP-17).
fn element<'n, 'a>(item: Item<'n, 'a>, index: i64) -> Option<Item<'n, 'a>> {
    let elements = elements(item);
    let from_start = if index < 0 {
        elements.len().checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?
    } else {
        usize::try_from(index).ok()?
    };
    elements.get(from_start).map(Item::Node)
}

/// Slices as in Python (JP-18).
fn sliced<'n, 'a>(elements: &'n [Node<'a>], slice: Slice) -> impl Iterator<Item = &'n Node<'a>> {
    let length = i64::try_from(elements.len()).unwrap_or(i64::MAX);
    let forward = slice.step > 0;
    let (lowest, highest) = if forward { (0, length) } else { (-1, length - 1) };
    let place = |position: i64| {
        let counted = if position < 0 { position.saturating_add(length) } else { position };
        counted.clamp(lowest, highest)
    };
    let start = slice.start.map_or(if forward { 0 } else { length - 1 }, place);
    let end = slice.end.map_or(if forward { length } else { -1 }, place);
    let positions = std::iter::successors(Some(start), move |position| position.checked_add(slice.step))
        .take_while(move |position| if forward { *position < end } else { *position > end });
    positions.filter_map(|position| elements.get(usize::try_from(position).ok()?))
}

fn holds<'n, 'a>(filter: &Filter, run: &Run<'_, 'n, 'a>, candidate: Item<'n, 'a>) -> bool {
    match filter {
        Filter::All(filters) => filters.iter().all(|filter| holds(filter, run, candidate)),
        Filter::Any(filters) => filters.iter().any(|filter| holds(filter, run, candidate)),
        Filter::Exists(side) => any_value(side, run, candidate, &mut |_| true),
        Filter::Compare(left, comparison, right) => any_value(left, run, candidate, &mut |left| {
            any_value(right, run, candidate, &mut |right| compares(left, *comparison, right))
        }),
        Filter::Matches(left, regex) => any_value(left, run, candidate, &mut |left| {
            left.node().and_then(Node::as_str).is_some_and(|text| regex.is_match(text))
        }),
    }
}

/// Whether some value of a side passes the test (JP-26).
fn any_value<'n, 'a>(
    side: &Side,
    run: &Run<'_, 'n, 'a>,
    candidate: Item<'n, 'a>,
    passes: &mut dyn FnMut(Item<'_, '_>) -> bool,
) -> bool {
    let mut found = |item: Item<'_, '_>| {
        if passes(item) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    match side {
        Side::Candidate(path) => walk(&path.steps, run, candidate, &mut found).is_break(),
        Side::Root(path) => walk(&path.steps, run, run.root, &mut found).is_break(),
        Side::Literal(literal) => found(Item::Node(literal)).is_break(),
    }
}

fn compares(left: Item<'_, '_>, comparison: Comparison, right: Item<'_, '_>) -> bool {
    let (Some(left), Some(right)) = (scalar(left), scalar(right)) else {
        // An object or array differs from everything and compares with nothing (JP-28).
        return matches!(comparison, Comparison::NotEqual | Comparison::StrictNotEqual);
    };
    match comparison {
        Comparison::Equal => equal(left, right),
        Comparison::NotEqual => !equal(left, right),
        Comparison::StrictEqual => strictly_equal(left, right),
        Comparison::StrictNotEqual => !strictly_equal(left, right),
        Comparison::Less => is_ordered(left, right, std::cmp::Ordering::is_lt),
        Comparison::LessOrEqual => is_ordered(left, right, std::cmp::Ordering::is_le),
        Comparison::Greater => is_ordered(left, right, std::cmp::Ordering::is_gt),
        Comparison::GreaterOrEqual => is_ordered(left, right, std::cmp::Ordering::is_ge),
    }
}

fn scalar<'n, 'a>(item: Item<'n, 'a>) -> Option<&'n Node<'a>> {
    item.node().filter(|node| match node {
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::String(_) => true,
        Node::Array(_) | Node::Object(_) => false,
    })
}
