//! The door: listening, refusing, limiting, routing, and turning results into HTTP answers.
//!
//! [`endpoints`] reads as the way of one request. What is ambiguous is refused once, here, before
//! anything else looks at it; errors of every kind leave as SCIM error documents.

pub mod address;
pub mod answer;
pub mod body;
pub mod listener;
pub mod metrics;
pub mod refusals;
pub mod route;
pub mod tls;
pub mod watch;
