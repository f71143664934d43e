//! Indexing anew what is stored: what `$reindex` starts, in the background and piece by piece.
//!
//! A *run* is a note in the store: what it is about and how far it has come. Each piece reads some resources, replaces what
//! they are found by and moves the run on, all in one write, so that a process that ends anywhere goes on there when it
//! starts again. The last piece makes the search parameters of the run ready. Pieces are small and wait their turn among
//! all other writes.
//!
//! A run visits what was stored when it began. Whatever is written later is indexed by what is in force then anyway.

pub(crate) mod run;
pub(crate) mod status;
pub(crate) mod worker;
