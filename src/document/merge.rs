//! One document over another: what `extends` and `versions` of an adapter mean.

use super::{Data, Node};

/// Merges `over` onto `base`: mappings deeply, everything else replaced, `null` removes the key it stands for. A null
/// whose key the base does not have has nothing to remove and stays, so that a predicate can still say `null`. Every
/// node keeps the place of the document it came from; a merged mapping keeps the base's.
pub fn merge(base: &Node, over: &Node) -> Node {
    let (Data::Mapping(below), Data::Mapping(above)) = (base.data(), over.data()) else {
        return over.clone();
    };
    let mut entries = Vec::with_capacity(below.len() + above.len());
    for (key, value) in below {
        match above.iter().find(|(candidate, _)| candidate.text == key.text) {
            None => entries.push((key.clone(), value.clone())),
            Some((_, change)) if change.is_null() => {}
            Some((changed, change)) => match (value.data(), change.data()) {
                (Data::Mapping(_), Data::Mapping(_)) => entries.push((key.clone(), merge(value, change))),
                _ => entries.push((changed.clone(), change.clone())),
            },
        }
    }
    entries.extend(above.iter().filter(|(key, _)| base.get(&key.text).is_none()).cloned());
    Node::new(Data::Mapping(entries), base.place().clone())
}

#[cfg(test)]
mod tests {
    use super::super::{Findings, Source, parse};
    use super::*;

    #[test]
    fn merges_deeply_and_keeps_places() {
        let cases = [
            ("{a: 1, b: 2}", "{b: 3, c: 4}", "{a: 1, b: 3, c: 4}"),
            ("{a: {x: 1, y: 2}}", "{a: {y: null, z: 3}}", "{a: {x: 1, z: 3}}"),
            ("{a: [1, 2]}", "{a: [3]}", "{a: [3]}"),
            ("{a: {x: 1}}", "{a: null}", "{}"),
            (
                "{a: {x: 1}}",
                "{b: {where: {deleted_at: null}}, c: null}",
                "{a: {x: 1}, b: {where: {deleted_at: null}}, c: null}",
            ),
            ("{a: text}", "{a: {x: 1}}", "{a: {x: 1}}"),
        ];
        let mut findings = Findings::new();
        for (base, over, expected) in cases {
            let mut read = |name: &str, text: &str| parse(Source::new(name, text), &mut findings).unwrap();
            let merged = merge(&read("base", base), &read("over", over));
            assert_eq!(merged.to_yaml(), read("expected", expected).to_yaml(), "{base} + {over}");
            for (_, value) in merged.entries() {
                assert!(["base", "over"].contains(&value.place().source.name.as_str()));
            }
        }
    }
}
