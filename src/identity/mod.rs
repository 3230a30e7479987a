//! Who may speak: identity servers, their tokens, and how often a stranger may guess.
//!
//! The door asks one question here for each request, and gets a [`Session`] or a reason.

pub mod failures;
pub mod live;
pub mod token;
