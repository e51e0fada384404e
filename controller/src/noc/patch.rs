//! The difference between two matrices, as JSON merge patches (RFC 7396), one a line.
//!
//! What is equal is not sent, what is gone is `null`. Values themselves never hold null, or it could not be
//! told from "gone". Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::matrix::Matrix;

/// A matrix as JSON: what browsers hold, and what differences are taken of.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sheet {
    /// Lines by channel name.
    pub lines: BTreeMap<String, Value>,
    /// Nodes by `site/node`.
    pub nodes: BTreeMap<String, Value>,
    /// Channel names in the order of the page.
    pub order: Vec<String>,
    /// Channels left out.
    pub hidden: usize,
}

/// What changed between two sheets; also from nothing, which is everything.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Delta {
    /// A merge patch a line that changed; null when it is gone.
    pub lines: BTreeMap<String, Value>,
    /// A merge patch a node that changed; null when it is gone.
    pub nodes: BTreeMap<String, Value>,
    /// The new order, when it is another.
    pub order: Option<Vec<String>>,
    /// The new count of channels left out, when it is another.
    pub hidden: Option<usize>,
}

impl Sheet {
    /// The sheet of a matrix.
    #[must_use]
    pub fn of(matrix: &Matrix) -> Self {
        Self {
            lines: matrix.lines.iter().map(|line| (line.name.clone(), value(line))).collect(),
            nodes: matrix.nodes.iter().map(|(key, card)| (key.clone(), value(card))).collect(),
            order: matrix.lines.iter().map(|line| line.name.clone()).collect(),
            hidden: matrix.hidden,
        }
    }

    /// What turns this sheet into `next`.
    #[must_use]
    pub fn delta(&self, next: &Self) -> Delta {
        Delta {
            lines: changed(&self.lines, &next.lines),
            nodes: changed(&self.nodes, &next.nodes),
            order: (self.order != next.order).then(|| next.order.clone()),
            hidden: (self.hidden != next.hidden).then_some(next.hidden),
        }
    }
}

fn value(view: &impl Serialize) -> Value {
    serde_json::to_value(view).expect("view types have text keys and finite numbers")
}

fn changed(old: &BTreeMap<String, Value>, new: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let patch = |key: &String| match (old.get(key), new.get(key)) {
        (_, None) => Some(Value::Null),
        (None, Some(new)) => Some(new.clone()),
        (Some(old), Some(new)) => diff(old, new),
    };
    keys.into_iter().filter_map(|key| patch(key).map(|patch| (key.clone(), patch))).collect()
}

/// The merge patch that turns `old` into `new`; none when they are equal.
#[must_use]
pub fn diff(old: &Value, new: &Value) -> Option<Value> {
    let (Value::Object(before), Value::Object(after)) = (old, new) else {
        return (old != new).then(|| new.clone());
    };
    let mut patch: Map<String, Value> =
        before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), Value::Null)).collect();
    for (key, value) in after {
        let part = before.get(key).map_or_else(|| Some(value.clone()), |old| diff(old, value));
        patch.extend(part.map(|part| (key.clone(), part)));
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

impl Delta {
    /// As server-sent events: `row` and `node` for each patch, then `tick` with the time (Unix
    /// milliseconds), which carries the id, so that a batch that was cut is sent again as a whole.
    #[must_use]
    pub fn events(&self, id: &str, at_ms: i64, whole: bool) -> String {
        let mut text = String::new();
        if whole {
            event(&mut text, "reset", &json!({}));
        }
        for (key, patch) in &self.lines {
            event(&mut text, "row", &json!({ "key": key, "patch": patch }));
        }
        for (key, patch) in &self.nodes {
            event(&mut text, "node", &json!({ "key": key, "patch": patch }));
        }
        let mut tick = Map::from_iter([("at".to_owned(), json!(at_ms))]);
        tick.extend(self.order.as_ref().map(|order| ("order".to_owned(), json!(order))));
        tick.extend(self.hidden.map(|hidden| ("hidden".to_owned(), json!(hidden))));
        text.push_str(&format!("id: {id}\n"));
        event(&mut text, "tick", &tick);
        text
    }
}

fn event(text: &mut String, name: &str, body: &impl Serialize) {
    // serde_json writes no line break, which would end the field.
    let body = serde_json::to_string(body).expect("JSON values serialise");
    text.push_str(&format!("event: {name}\ndata: {body}\n\n"));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 7396 section 2, as the browser does it.
    fn merge(target: Value, patch: &Value) -> Value {
        let Value::Object(patch) = patch else { return patch.clone() };
        let mut target = if let Value::Object(target) = target { target } else { Map::new() };
        for (key, value) in patch {
            if value.is_null() {
                target.remove(key);
            } else {
                let old = target.remove(key).unwrap_or(Value::Null);
                target.insert(key.clone(), merge(old, value));
            }
        }
        Value::Object(target)
    }

    fn check(old: Value, new: Value, want: Option<Value>) {
        assert_eq!(diff(&old, &new), want);
        assert_eq!(merge(old, &want.unwrap_or_else(|| json!({}))), new);
    }

    #[test]
    fn only_what_changed_is_sent() {
        check(json!({"a": 1, "b": 2}), json!({"a": 1, "b": 2}), None);
        check(json!({"a": 1, "b": 2}), json!({"a": 1, "b": 3}), Some(json!({"b": 3})));
        check(json!({"a": 1, "b": 2}), json!({"a": 1}), Some(json!({"b": null})));
        check(json!({"o": {"x": {"cc": 1}}}), json!({"o": {"x": {"cc": 1}, "y": {}}}), Some(json!({"o": {"y": {}}})));
        check(json!({"l": [1, 2]}), json!({"l": [2]}), Some(json!({"l": [2]})));
    }

    #[test]
    fn a_batch_ends_with_its_id() {
        let delta = Delta {
            lines: [("tf1".to_owned(), json!({"state": "ok\n"}))].into(),
            nodes: [("a/b".to_owned(), Value::Null)].into(),
            order: Some(vec!["tf1".to_owned()]),
            hidden: None,
        };
        let want = "event: row\ndata: {\"key\":\"tf1\",\"patch\":{\"state\":\"ok\\n\"}}\n\n\
                    event: node\ndata: {\"key\":\"a/b\",\"patch\":null}\n\n\
                    id: 5-7\nevent: tick\ndata: {\"at\":9,\"order\":[\"tf1\"]}\n\n";
        assert_eq!(delta.events("5-7", 9, false), want);
        assert!(delta.events("5-7", 9, true).starts_with("event: reset\ndata: {}\n\nevent: row"));
    }

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<u8>().prop_map(|n| json!(n)), "[a-c]{0,2}".prop_map(|s| json!(s))];
        let object = leaf.prop_recursive(3, 24, 4, |inner| {
            prop::collection::btree_map("[a-d]", inner, 0..4).prop_map(|map| json!(map))
        });
        prop::collection::btree_map("[a-d]", object, 0..4).prop_map(|map| json!(map))
    }

    proptest! {
        #[test]
        fn a_patch_turns_old_into_new(old in tree(), new in tree()) {
            let patch = diff(&old, &new);
            prop_assert_eq!(patch.is_none(), old == new);
            prop_assert_eq!(merge(old, &patch.unwrap_or_else(|| json!({}))), new);
        }
    }
}
