//! What is built and what is let through, as tables.
