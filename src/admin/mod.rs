//! REST for operators: connectors with their ledger, health, metrics.
