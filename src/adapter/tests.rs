//! Broken adapters and what is said of them; whole adapters against hand-made catalogues.
