//! Search: what is asked, planned into what the store understands; a parameter type a file.
