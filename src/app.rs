//! Builds every stage, joins them with bounded channels, drains them.
