//! How every message ended, counted durably before its source hears of it (promise P3).
