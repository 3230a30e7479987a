//! The door: listening, refusing, limiting, routing, and turning results into HTTP answers.
//!
//! [`endpoints`] reads as the way of one request, [`service`] as the life of the process. What is
//! ambiguous is refused once, here, before anything else looks at it; errors of every kind leave as
//! SCIM error documents.

mod accept;
pub mod address;
pub mod admin;
pub mod answer;
pub mod assemble;
mod bare;
pub mod body;
mod bulk;
mod chunks;
pub mod discovery;
pub mod endpoints;
mod flow;
mod journal;
mod linger;
pub mod listener;
pub mod log;
mod look;
pub mod metrics;
pub mod note;
pub mod notify;
mod oauth2;
pub mod openapi;
pub mod outgoing;
pub mod proxy;
pub mod refusals;
pub mod route;
pub mod service;
mod spending;
pub mod state;
mod stock;
pub mod telemetry;
pub mod tls;
pub mod trace;
mod turns;
pub mod watch;
mod work;
