//! The database file: one lock, one writer with group commit, readers beside it, schemas with forward migration.
