//! What a create, an update, a delete, a member more or less write besides the row, in words: guards, steps, what becomes of
//! the row itself.

use super::super::document::text_of;
use super::Beside;
use super::words::{Words, code, is_true, list, named, parameter, said};
use crate::document::Node;

impl Words {
    /// `create`, `update` or `delete`.
    pub fn change(&self, when: &str, node: &Node, all: &mut Vec<Beside>) {
        let mut push = |when: &str, does: String, values: String| {
            all.push(Beside { when: when.to_owned(), does, values });
        };
        let how = node.as_str().map(str::to_owned).or_else(|| said(node, "how").map(text_of));
        match how.as_deref() {
            Some("refuse") => push(when, "refused".to_owned(), String::new()),
            Some("row") => push(when, "the row goes".to_owned(), "with the rows that link it".to_owned()),
            Some("deactivate") => push(when, "`active` becomes false".to_owned(), String::new()),
            Some("set") => push(when, "the row stays".to_owned(), String::new()),
            _ => {}
        }
        if let Some(set) = said(node, "set") {
            push(when, "columns of the row".to_owned(), self.pairs(set));
        }
        for guard in said(node, "guard").map(Node::one_or_many).unwrap_or_default() {
            let counted = said(guard, "count").map(|count| {
                let filter = said(count, "where").map(|filter| self.predicate(filter)).unwrap_or_default();
                format!("`{}` where {filter}", named(count, "table"))
            });
            let bound = |key: &str, words: &str| said(guard, key).map(|most| format!("{words} {}", text_of(most)));
            let bounds = [bound("at_most", "more than"), bound("at_least", "fewer than")].into_iter().flatten();
            let bounds = bounds.collect::<Vec<_>>().join(" or ");
            let when = self.condition(when, guard);
            let says = format!("“{}”", named(guard, "says"));
            push(&when, format!("refused where there are {bounds} of {}", counted.unwrap_or_default()), says);
        }
        if let Some(blocked) = said(node, "on_blocked") {
            let what = match (parameter(blocked), text_of(blocked).as_str()) {
                (Some(name), _) => format!("as the parameter `{name}` says"),
                (None, "deactivate") => "`active` becomes false instead".to_owned(),
                _ => "409".to_owned(),
            };
            push(&format!("{when} that is refused so"), what, String::new());
        }
        if let Some(revive) = said(node, "revive") {
            let by = said(revive, "by").map(|by| match parameter(by) {
                Some(name) => format!("by what the parameter `{name}` names"),
                None => format!("by `{}`", text_of(by)),
            });
            let filter = said(revive, "where").map(|filter| self.predicate(filter)).unwrap_or_default();
            let set = said(revive, "set").map(|set| self.pairs(set)).unwrap_or_default();
            push(when, format!("a row where {filter} is brought back {}", by.unwrap_or_default()), set);
            self.steps("one brought back", said(revive, "then"), all);
        }
        self.steps(&format!("before {when}"), said(node, "before"), all);
        self.steps(when, said(node, "then"), all);
    }

    /// Steps.
    pub fn steps(&self, when: &str, node: Option<&Node>, all: &mut Vec<Beside>) {
        for step in node.map(Node::items).unwrap_or_default() {
            let action = ["insert", "update", "delete"].into_iter().find_map(|word| Some((word, said(step, word)?)));
            let Some((word, table)) = action else { continue };
            let mut does = format!("{word} `{}`", text_of(table));
            if let Some(filter) = said(step, "where") {
                does.push_str(&format!(" where {}", self.predicate(filter)));
            }
            if is_true(step, "if_absent") {
                does.push_str(", unless there is one");
            }
            if let Some(for_each) = said(step, "for_each") {
                does.push_str(&match for_each.as_str() {
                    Some(_) => ", for each column that changes".to_owned(),
                    None => {
                        let first =
                            said(for_each, "first").map(|first| format!(", the first by {}", code(&text_of(first))));
                        let filter = said(for_each, "where").map(|filter| format!(" where {}", self.predicate(filter)));
                        let of = format!(", for each of `{}`", named(for_each, "table"));
                        format!("{of}{}{}", filter.unwrap_or_default(), first.unwrap_or_default())
                    }
                });
            }
            if let Some(of) = said(step, "of") {
                let columns = match of.entries() {
                    [] => list(of.one_or_many().iter().map(|column| code(&text_of(column)))),
                    entries => {
                        list(entries.iter().map(|(column, value)| format!("`{}`: {}", column.text, text_of(value))))
                    }
                };
                does.push_str(&format!(" (of {columns})"));
            }
            let values = said(step, "values").map(|values| self.pairs(values)).unwrap_or_default();
            all.push(Beside { when: self.condition(when, step), does, values });
        }
    }

    /// With `when` and `enabled`.
    fn condition(&self, when: &str, node: &Node) -> String {
        let mut when = when.to_owned();
        if let Some(condition) = said(node, "when") {
            when.push_str(&format!(", where {}", self.predicate(condition)));
        }
        if let Some(name) = said(node, "enabled").and_then(parameter) {
            when.push_str(&format!(", if the parameter `{name}` says so"));
        }
        when
    }
}
