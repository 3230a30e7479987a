//! What a plain YAML scalar means (YAML 1.2 core schema, resolved as serde_yaml does: `yes`, `1_000` and `007` are text).

use super::Data;

/// The value of an unquoted scalar.
pub(super) fn resolve(text: &str) -> Data {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Data::Null,
        "true" | "True" | "TRUE" => return Data::Bool(true),
        "false" | "False" | "FALSE" => return Data::Bool(false),
        _ => {}
    }
    if let Some(value) = integer(text) {
        return Data::Integer(value);
    }
    match float(text) {
        Some(value) => Data::Float(value),
        None => Data::String(text.to_owned()),
    }
}

fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x") => (16, digits.get(2..)?),
        Some("0o") => (8, digits.get(2..)?),
        Some("0b") => (2, digits.get(2..)?),
        _ if digits.len() > 1 && digits.starts_with('0') => return None,
        _ => (10, digits),
    };
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None; // from_str_radix would take a second sign
    }
    if negative {
        i64::from_str_radix(&format!("-{digits}"), radix).ok()
    } else {
        i64::from_str_radix(digits, radix).ok()
    }
}

fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    match unsigned {
        ".inf" | ".Inf" | ".INF" => {
            return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY });
        }
        _ if matches!(text, ".nan" | ".NaN" | ".NAN") => return Some(f64::NAN),
        _ => {}
    }
    let whole = unsigned.bytes().all(|byte| byte.is_ascii_digit());
    let numeric =
        unsigned.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    if whole || !numeric || !unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None; // digits only: leading zeros, or too long for 64 bits; both stay text
    }
    text.parse::<f64>().ok().filter(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_resolve_as_serde_yaml_does() {
        let cases = [
            "",
            "~",
            "null",
            "true",
            "False",
            "TRUE",
            "yes",
            "no",
            "on",
            "1",
            "-1",
            "+1",
            "0",
            "007",
            "0x1F",
            "0o17",
            "0b11",
            "1_000",
            "1.5",
            "-1.5e3",
            ".5",
            "5.",
            "1e3",
            ".inf",
            "-.inf",
            "inf",
            "nan",
            "1.2.3",
            "10s",
            "8.4",
            "0.0.0.0:8443",
            "--1",
            "+-1",
            "-0x10",
            "2024-01-01",
            "-",
            "+",
            ".",
            "e5",
            "9223372036854775807",
            "00.5",
        ];
        for case in cases {
            let theirs: serde_yaml::Value = serde_yaml::from_str(&format!("k: {case}")).map_or_else(
                |_| serde_yaml::Value::String(case.to_owned()),
                |value: serde_yaml::Value| value["k"].clone(),
            );
            let ours = match resolve(case) {
                Data::Null => serde_yaml::Value::Null,
                Data::Bool(value) => value.into(),
                Data::Integer(value) => value.into(),
                Data::Float(value) => value.into(),
                Data::String(text) => text.into(),
                _ => panic!("a scalar"),
            };
            assert_eq!(ours, theirs, "{case}");
        }
    }

    #[test]
    fn numbers_beyond_64_bits_keep_their_digits() {
        assert!(matches!(resolve("18446744073709551616"), Data::String(text) if text == "18446744073709551616"));
    }
}
