//! Durations on the command line: `10y`, `90d`, `24h`, `30m`, `45s`.

use std::time::Duration;

/// Reads one; for clap's `value_parser`.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration such as 10y, 90d, 24h, 30m or 45s");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        "y" => 365 * 86_400,
        _ => return Err(wrong()),
    };
    let seconds = number
        .checked_mul(unit)
        .filter(|seconds| *seconds <= 100 * 365 * 86_400)
        .ok_or_else(|| format!("`{text}` is longer than 100 years"))?;
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn durations() {
        for (text, seconds) in
            [("10y", Some(315_360_000)), ("24h", Some(86_400)), ("0s", Some(0)), ("2w", Some(1_209_600))]
        {
            assert_eq!(parse(text).ok().map(|d| d.as_secs()), seconds, "{text}");
        }
        for text in ["", "h", "10", "10x", "-1h", "1.5h", "101y", "99999999999999999999y"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
