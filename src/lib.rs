//! scimshim gives a legacy application SCIM 2.0 in front of its own SQL database.
//!
//! The floors of the house, each using only those below it (see ARCHITECTURE.md):
//!
//! | floor | rooms |
//! | --- | --- |
//! | 5 | [`cli`] |
//! | 4 | [`server`] |
//! | 3 | [`identity`], [`directory`] |
//! | 2 | [`config`], [`adapter`] |
//! | 1 | [`own`] |
//! | 0 | [`scim`], [`sql`], [`document`] |

pub mod adapter;
pub mod cli;
pub mod config;
pub mod directory;
pub mod document;
pub mod identity;
pub mod own;
pub mod scim;
pub mod server;
pub mod sql;
