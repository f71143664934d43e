//! Logs, metric names, error chains on one line.
