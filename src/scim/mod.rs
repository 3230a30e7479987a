//! The protocol and nothing else.
