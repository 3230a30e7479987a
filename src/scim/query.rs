//! Query strings as SCIM clients write them.

use std::borrow::Cow;

use super::Error;

/// Decodes a query string (without the `?`) into its parameters, in order.
pub fn decode(query: &str) -> Result<Vec<(Cow<'_, str>, Cow<'_, str>)>, Error> {
    let _ = query;
    todo!()
}
