//! In which order the operations of a bulk request can be carried out (RFC 7644 3.7.1).
//!
//! As sent, but after what they refer to; operations on one resource keep their order among themselves. Creations that
//! refer to each other in a circle are one unit: all of them or none.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::bulk::{BulkMethod, BulkOperation};

/// Operations that are carried out together, by their positions in the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// In the order of the request.
    pub operations: Vec<usize>,
    /// They refer to each other, or the only one to itself.
    pub circular: bool,
}

/// The units of a request, in the order in which they can be carried out.
pub fn order(operations: &[BulkOperation]) -> Vec<Unit> {
    let needs = needs(operations);
    let mut waiting: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut followers: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
    for (index, needs) in needs.iter().enumerate() {
        for need in needs {
            if let Some(followers) = followers.get_mut(*need) {
                followers.push(index);
            }
        }
    }
    let ready = waiting.iter().enumerate().filter(|(_, needs)| **needs == 0).map(|(index, _)| Reverse(index));
    let mut ready: BinaryHeap<Reverse<usize>> = ready.collect();
    let mut units = Vec::with_capacity(operations.len());
    while let Some(Reverse(index)) = ready.pop() {
        units.push(Unit { operations: vec![index], circular: false });
        for follower in followers.get(index).into_iter().flatten() {
            if let Some(left) = waiting.get_mut(*follower) {
                *left -= 1;
                if *left == 0 {
                    ready.push(Reverse(*follower));
                }
            }
        }
    }
    if units.len() < operations.len() {
        let mut circles = Circles::new(&needs);
        for index in waiting.iter().enumerate().filter(|(_, needs)| **needs > 0).map(|(index, _)| index) {
            circles.visit(index);
        }
        // What was ready before stands already.
        let stuck = |unit: &Unit| unit.operations.iter().all(|index| waiting.get(*index).is_some_and(|n| *n > 0));
        units.extend(circles.found.into_iter().filter(stuck));
    }
    units
}

/// What each operation has to come after.
fn needs(operations: &[BulkOperation]) -> Vec<Vec<usize>> {
    let mut creating = HashMap::new();
    for (index, operation) in operations.iter().enumerate().filter(|(_, operation)| operation.creates()) {
        creating.extend(operation.bulk_id.as_deref().map(|bulk_id| (bulk_id, index)));
    }
    let mut last_on = HashMap::new();
    let mut all = Vec::with_capacity(operations.len());
    for (index, operation) in operations.iter().enumerate() {
        let mut needs: Vec<usize> =
            operation.references().iter().filter_map(|bulk_id| creating.get(bulk_id.as_str()).copied()).collect();
        if let Ok(call) = &operation.call
            && call.method != BulkMethod::Post
        {
            needs.extend(last_on.insert(call.path.trim_matches('/'), index));
        }
        needs.sort_unstable();
        needs.dedup();
        all.push(needs);
    }
    all
}

/// Tarjan's strongly connected components, without recursion: what is needed is found before what needs it.
struct Circles<'a> {
    needs: &'a [Vec<usize>],
    nodes: Vec<Node>,
    seen: usize,
    stack: Vec<usize>,
    found: Vec<Unit>,
}

#[derive(Clone, Copy, Default)]
struct Node {
    /// In the order of first visits, from 1; 0 is not visited.
    number: usize,
    /// The lowest number that can be reached from here.
    low: usize,
    on_stack: bool,
}

impl<'a> Circles<'a> {
    fn new(needs: &'a [Vec<usize>]) -> Self {
        Self { needs, nodes: vec![Node::default(); needs.len()], seen: 0, stack: Vec::new(), found: Vec::new() }
    }

    fn node(&self, index: usize) -> Node {
        self.nodes.get(index).copied().unwrap_or_default()
    }

    fn enter(&mut self, index: usize) {
        self.seen += 1;
        if let Some(node) = self.nodes.get_mut(index) {
            *node = Node { number: self.seen, low: self.seen, on_stack: true };
        }
        self.stack.push(index);
    }

    fn lower(&mut self, index: usize, low: usize) {
        if let Some(node) = self.nodes.get_mut(index) {
            node.low = node.low.min(low);
        }
    }

    fn visit(&mut self, root: usize) {
        if self.node(root).number > 0 {
            return;
        }
        self.enter(root);
        let mut path = vec![(root, 0)];
        while let Some((index, edge)) = path.last_mut() {
            let index = *index;
            let Some(need) = self.needs.get(index).and_then(|needs| needs.get(*edge)).copied() else {
                path.pop();
                if let Some((above, _)) = path.last() {
                    self.lower(*above, self.node(index).low);
                }
                self.leave(index);
                continue;
            };
            *edge += 1;
            let needed = self.node(need);
            if needed.number == 0 {
                self.enter(need);
                path.push((need, 0));
            } else if needed.on_stack {
                self.lower(index, needed.number);
            }
        }
    }

    /// Where nothing before it can be reached, what lies above it on the stack is its circle.
    fn leave(&mut self, index: usize) {
        let node = self.node(index);
        if node.low != node.number {
            return;
        }
        let mut operations = Vec::new();
        while let Some(top) = self.stack.pop() {
            if let Some(node) = self.nodes.get_mut(top) {
                node.on_stack = false;
            }
            operations.push(top);
            if top == index {
                break;
            }
        }
        operations.sort_unstable();
        let itself = self.needs.get(index).is_some_and(|needs| needs.contains(&index));
        self.found.push(Unit { circular: operations.len() > 1 || itself, operations });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::scim::Bulk;

    fn post(bulk_id: &str, references: &[&str]) -> Value {
        let members: Vec<Value> = references.iter().map(|id| json!({"value": format!("bulkId:{id}")})).collect();
        json!({"method": "POST", "path": "/Groups", "bulkId": bulk_id, "data": {"members": members}})
    }

    fn patch(path: &str, references: &[&str]) -> Value {
        let members: Vec<Value> = references.iter().map(|id| json!({"value": format!("bulkId:{id}")})).collect();
        json!({"method": "PATCH", "path": path, "data": {"Operations": [{"op": "add", "value": {"members": members}}]}})
    }

    fn units(operations: Vec<Value>) -> Vec<(Vec<usize>, bool)> {
        let bulk = Bulk::parse(json!({"Operations": operations}), 10_000).unwrap();
        order(&bulk.operations).into_iter().map(|unit| (unit.operations, unit.circular)).collect()
    }

    #[test]
    fn orders() {
        let one = |index: usize| (vec![index], false);
        for (operations, expected) in [
            (vec![post("a", &[]), post("b", &["a"])], vec![one(0), one(1)]),
            (vec![post("g", &["a", "b"]), post("a", &[]), post("b", &["a"])], vec![one(1), one(2), one(0)]),
            // The first waits for the second, and the third for the first: they are about one resource.
            (
                vec![patch("/Groups/5", &["a"]), post("a", &[]), patch("Groups/5/", &[]), patch("/Groups/6", &[])],
                vec![one(1), one(0), one(2), one(3)],
            ),
            (vec![patch("/Groups/bulkId:a", &[]), post("a", &[])], vec![one(1), one(0)]),
            // What nothing declares holds nobody up.
            (vec![post("a", &["nobody"])], vec![one(0)]),
            (vec![post("a", &["a"])], vec![(vec![0], true)]),
            (
                vec![post("a", &["b"]), post("x", &[]), post("b", &["a", "x"]), post("c", &["b"])],
                vec![one(1), (vec![0, 2], true), one(3)],
            ),
            // Two circles, one referring to the other.
            (
                vec![post("a", &["b", "c"]), post("b", &["a"]), post("c", &["d"]), post("d", &["c"])],
                vec![(vec![2, 3], true), (vec![0, 1], true)],
            ),
        ] {
            assert_eq!(units(operations.clone()), expected, "{operations:?}");
        }
    }

    #[test]
    fn long_circles() {
        // Ten thousand in one circle, and a chain as long: neither needs a deep stack.
        let name = |index: usize| format!("n{}", index % 10_000);
        let circle = (0..10_000).map(|index| post(&name(index), &[&name(index + 1)])).collect();
        assert_eq!(units(circle), [((0..10_000).collect(), true)]);
        let chain = (0..9_999).map(|index| post(&name(index), &[&name(index + 1)])).collect::<Vec<_>>();
        assert_eq!(units(chain).first(), Some(&(vec![9_998], false)));
    }
}
