//! Attribute names: compared without case (RFC 7643 2.1), and what may stand in one.

/// Whether two attribute names or URNs are the same one.
pub fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// Whether `text` can be an attribute's name: a letter or `$`, then letters, digits, `-`, `_` or `$` (RFC 7643 2.1, and `$ref`).
pub fn is_valid(text: &str) -> bool {
    let mut bytes = text.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'$');
    first && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'$'))
}
