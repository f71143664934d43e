//! Stage: resolved groups in, Bundles submitted, receipts completed.
