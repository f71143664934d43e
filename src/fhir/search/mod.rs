//! Search: what is asked, planned into what the store understands; a parameter type a file.
//!
//! Each parameter type's file has both directions, so that they cannot drift apart: the values that elements of a
//! resource are indexed under, and the test that a search value means. `index` runs the first over a resource; `parse`
//! and `plan` turn a query string into a condition made of the second.
//!
//! One rule above all: what is not understood is refused, never dropped, for a search without one of its conditions
//! shows readings nobody asked for.

pub(crate) mod element;
pub(crate) mod error;
pub(crate) mod include;
pub(crate) mod index;
pub(crate) mod local;
pub(crate) mod page;
pub(crate) mod parse;
pub(crate) mod plan;
pub(crate) mod registry;
pub(crate) mod scope;
pub(crate) mod seal;

mod composite;
pub(crate) mod date;
pub(crate) mod escape;
mod expression;
mod filter;
mod number;
mod path;
mod prefix;
mod quantity;
pub(crate) mod reference;
pub(crate) mod series;
mod special;
mod string;
mod token;
mod uri;

#[cfg(test)]
mod agreement;
