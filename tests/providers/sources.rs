//! Each step of a dialogue says where it is known from, and which words of which section of the facts speak of it.

use serde_json::Value;

use crate::support::{real_case, shared};
use crate::template;

/// Spaces and line breaks are one.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The facts by section, where they are at hand.
fn facts() -> Option<Vec<(u32, String)>> {
    let text = std::fs::read_to_string(shared("facts/idps.md")?).expect("the facts");
    let sections = text.split("\n## ").skip(1);
    Some(
        sections
            .map(|section| {
                let (number, rest) = section.split_once(". ").expect("a numbered section");
                (number.parse().expect("a number"), flat(rest))
            })
            .collect(),
    )
}

#[test]
fn every_step_says_where_it_is_from() {
    let cite = regex::Regex::new(r#"(?:^|; )idps\.md (\d+), "(.+)"$"#).expect("a pattern");
    let facts = facts();
    let mut wrong = Vec::new();
    let mut steps = 0;
    for dialogue in template::ours() {
        let name = dialogue.file_stem().unwrap_or_default().display().to_string();
        let text = std::fs::read_to_string(&dialogue).expect("a dialogue");
        let document: Value = serde_yaml::from_str(&text).expect("a dialogue");
        for step in document["steps"].as_array().expect("steps") {
            steps += 1;
            let (title, source) = (&step["name"], step["source"].as_str().unwrap_or_default());
            let Some(found) = cite.captures(source) else {
                wrong.push(format!("{name}: {title}: {source:?} does not end with idps.md N, \"words\""));
                continue;
            };
            let (section, words) = (found[1].parse::<u32>().expect("digits"), flat(&found[2]));
            if let Some(facts) = &facts
                && !facts.iter().any(|(number, text)| *number == section && text.contains(&words))
            {
                wrong.push(format!("{name}: {title}: section {section} of the facts does not say {words:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(steps > 150, "{steps}");
    if facts.is_some() {
        real_case("every step of the dialogues is in the facts");
    }
}
