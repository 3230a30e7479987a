//! Dynamic SQL and nothing else.
