//! Client assertions.
/// The algorithms that an assertion may be signed with.
pub const ALGORITHMS: [&str; 4] = ["RS256", "PS256", "ES256", "EdDSA"];
