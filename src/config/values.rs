//! The small values of a configuration: durations, sizes, counts, addresses, files.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::Context;
use crate::document::{Findings, Node, Reader};

/// The longest duration: a hundred years, so that instants derived from it cannot overflow.
const LONGEST: u64 = 100 * 365 * 86_400;

/// A length of time: `10s`, `1h30m`, `400d`, `10y` (of 365 days), `500ms`.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(letters);
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "y" => 365 * 86_400_000,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(milliseconds)?)?;
        rest = next;
    }
    (total > 0 && total <= LONGEST * 1_000).then(|| Duration::from_millis(total))
}

/// A number of bytes: `512B`, `16KiB`, `16MiB`, `1GiB`.
pub(super) fn parse_size(text: &str) -> Option<usize> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let factor: usize = match unit.trim_start() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(factor).filter(|size| *size > 0)
}

/// A duration at a node; anything else is reported.
pub(super) fn read_duration(node: &Node, findings: &mut Findings) -> Option<Duration> {
    let duration = node.scalar_text().and_then(parse_duration);
    if duration.is_none() {
        let finding = findings.error(node, format!("expected a duration, found {}", node.found()));
        match node.as_i64() {
            Some(number) if number > 0 => finding.help(format!("a unit is missing: `{number}s`, `{number}m` ...")),
            _ => finding.help("durations are written `500ms`, `10s`, `2m`, `1h30m`, `400d`, `10y`"),
        };
    }
    duration
}

/// The duration under a key, or its default.
pub(super) fn duration(reader: &mut Reader<'_>, key: &str, default: Duration, findings: &mut Findings) -> Duration {
    reader.given(key).and_then(|node| read_duration(node, findings)).unwrap_or(default)
}

/// The size under a key, of at least so many bytes, or its default.
pub(super) fn size(reader: &mut Reader<'_>, key: &str, default: usize, least: usize, findings: &mut Findings) -> usize {
    let Some(node) = reader.given(key) else {
        return default;
    };
    let size = node.scalar_text().and_then(parse_size);
    if size.is_none() {
        let finding = findings.error(node, format!("expected a size, found {}", node.found()));
        finding.help("sizes are written `512B`, `16KiB`, `16MiB`, `1GiB`");
    }
    let size = size.unwrap_or(default);
    if size < least {
        findings.error(node, format!("expected at least {least} bytes, found {}", node.found()));
        return default;
    }
    size
}

/// The count under a key, or its default; one outside the range is reported.
pub(super) fn count(
    reader: &mut Reader<'_>,
    key: &str,
    default: usize,
    range: RangeInclusive<usize>,
    findings: &mut Findings,
) -> usize {
    let Some(node) = reader.given(key) else {
        return default;
    };
    let Some(number) = node.read_i64(findings) else {
        return default;
    };
    match usize::try_from(number).ok().filter(|number| range.contains(number)) {
        Some(number) => number,
        None => {
            let (low, high) = range.into_inner();
            findings.error(node, format!("expected a number from {low} to {high}, found {}", node.found()));
            default
        }
    }
}

/// An address and port to listen on; anything else is reported.
pub(super) fn read_listen(node: &Node, findings: &mut Findings) -> Option<SocketAddr> {
    let text = node.scalar_text().unwrap_or_default();
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address);
    }
    let found = node.found();
    let finding = findings.error(node, format!("expected an address and a port, found {found}"));
    let port = text.strip_prefix("localhost:").or_else(|| text.strip_prefix("*:")).or_else(|| text.strip_prefix(':'));
    match (text.parse::<IpAddr>(), port.unwrap_or(text).parse::<u16>()) {
        (Ok(IpAddr::V4(address)), _) => finding.help(format!("the port is missing: `{address}:8443`")),
        (Ok(IpAddr::V6(address)), _) => finding.help(format!("the port is missing: \"[{address}]:8443\"")),
        (_, Ok(port)) if text.starts_with("localhost") => finding.help(format!("write `127.0.0.1:{port}`")),
        (_, Ok(port)) => finding.help(format!("write `0.0.0.0:{port}`")),
        _ => finding.help("for example 0.0.0.0:8443 or \"[::]:8443\"; a host name is not an address"),
    };
    None
}

/// Networks (`10.0.0.0/8`) or single addresses under a key, one or a list; anything else is reported.
pub(super) fn networks(reader: &mut Reader<'_>, key: &str, findings: &mut Findings) -> Vec<IpNet> {
    let nodes = reader.given(key).map(Node::one_or_many).unwrap_or_default();
    nodes.iter().filter_map(|node| read_network(node, findings)).collect()
}

fn read_network(node: &Node, findings: &mut Findings) -> Option<IpNet> {
    let text = node.scalar_text().unwrap_or_default();
    let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let Some(network) = network else {
        let found = node.found();
        let finding = findings.error(node, format!("expected a network or an address, found {found}"));
        finding.help("for example `10.0.0.0/8`, `192.0.2.7` or \"2001:db8::/32\"");
        return None;
    };
    if network.prefix_len() == 0 {
        findings.warning(node, format!("`{text}` is every address there is"));
    }
    Some(network.trunc())
}

/// The file under a key that must be there and be readable, relative to the configuration; else reported.
pub(super) fn file(
    reader: &mut Reader<'_>,
    key: &str,
    context: Context<'_>,
    findings: &mut Findings,
) -> Option<PathBuf> {
    let node = reader.required(key, findings)?;
    let path = context.resolve(node.read_str(findings)?);
    if let Err(error) = std::fs::File::open(&path).and_then(|file| file.metadata()).and_then(is_file) {
        findings.error(node, format!("cannot read {}: {error}", path.display()));
        return None;
    }
    Some(path)
}

fn is_file(metadata: std::fs::Metadata) -> std::io::Result<()> {
    if metadata.is_dir() { Err(std::io::ErrorKind::IsADirectory.into()) } else { Ok(()) }
}

/// Warns when everybody on the machine may read a file that holds a secret. In a folder that is closed to others nobody can.
pub(super) fn warn_if_world_readable(path: &std::path::Path, node: &Node, findings: &mut Findings) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).map(|metadata| metadata.permissions().mode()).unwrap_or(0);
    let is_closed = |folder: &std::path::Path| {
        std::fs::metadata(folder).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 == 0)
    };
    if mode & 0o004 != 0 && !path.ancestors().skip(1).any(is_closed) {
        let path = path.display();
        findings.warning(node, format!("every user of this machine can read {path}")).help(format!("chmod o= {path}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_everybody_may_read() {
        use crate::document::{Source, parse};
        use std::os::unix::fs::PermissionsExt;
        let top = tempfile::tempdir().unwrap();
        let mode = |path: &std::path::Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let folder = top.path().join("secrets");
        std::fs::create_dir(&folder).unwrap();
        let file = folder.join("key");
        std::fs::write(&file, "x").unwrap();
        mode(top.path(), 0o755);
        for (folder_mode, file_mode, warned) in
            [(0o755, 0o644, 1), (0o755, 0o640, 0), (0o750, 0o644, 0), (0o754, 0o644, 0), (0o751, 0o644, 1)]
        {
            mode(&folder, folder_mode);
            mode(&file, file_mode);
            let mut findings = Findings::new();
            let node = parse(Source::new("x", "x"), &mut findings).unwrap();
            warn_if_world_readable(&file, &node, &mut findings);
            assert_eq!(findings.count(), (0, warned), "{folder_mode:o} {file_mode:o}");
        }
    }

    #[test]
    fn durations() {
        let cases = [
            ("10s", Some(10_000)),
            ("500ms", Some(500)),
            ("2m", Some(120_000)),
            ("24h", Some(86_400_000)),
            ("1h30m", Some(5_400_000)),
            ("400d", Some(400 * 86_400_000)),
            ("10y", Some(3650 * 86_400_000)),
            ("0s", None),
            ("10", None),
            ("s", None),
            ("", None),
            ("-1s", None),
            ("1.5h", None),
            ("10 s", None),
            ("10S", None),
            ("999y", None),
            ("99999999999999999999s", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_duration(text), expected.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn sizes() {
        let cases = [
            ("512B", Some(512)),
            ("16KiB", Some(16_384)),
            ("16MiB", Some(16_777_216)),
            ("1 GiB", Some(1_073_741_824)),
            ("0B", None),
            ("16", None),
            ("16KB", None),
            ("KiB", None),
            ("99999999999999999999GiB", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_size(text), expected, "{text}");
        }
    }
}
