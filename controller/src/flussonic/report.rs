//! A plan for people and for machines: what was taken, changed, dropped, and how channels would differ.
//!
//! Pure. Control characters of names and titles are shown as `?`, so that a hostile file writes nothing to a terminal.
//! Addresses are shown by [`address::label`], without what may be a secret.

use std::fmt::Write as _;

use headend_wire::SiteName;
use serde_json::{Value, json};

use super::{
    address,
    finding::{Fate, Finding, Place, Streams},
    plan::{Change, Plan},
};
use crate::domain::{Channel, Source};

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// As the REST interface names it.
    pub field: &'static str,
    /// As it is.
    pub from: String,
    /// As it would be.
    pub to: String,
}

/// The plan as text: findings by fate, then channels, then a line that sums up.
#[must_use]
pub fn text(plan: &Plan) -> String {
    let mut out = String::new();
    for (fate, title) in [(Fate::Taken, "taken"), (Fate::Changed, "changed"), (Fate::Dropped, "dropped")] {
        let _ = writeln!(out, "{title}");
        for (Finding { place, what, why, .. }, streams) in plan.findings.of(fate) {
            let about = if streams.count > 0 { format!(" ({streams})") } else { String::new() };
            let _ = writeln!(out, "  {}: {}{}: {}", where_of(*place), clean(what), clean(&about), clean(why));
        }
    }
    let _ = writeln!(out, "channels");
    for Change { before, after, place } in &plan.changes {
        let mark = if before.is_some() { '~' } else { '+' };
        let _ = writeln!(out, "  {mark} {} ({})", after.name, where_of(*place));
        for Difference { field, from, to } in differences(before.as_ref(), after) {
            let named = |text: &str| if text.is_empty() { "none".to_owned() } else { clean(text) };
            let was = if before.is_some() { format!("{} -> ", named(&from)) } else { String::new() };
            let _ = writeln!(out, "      {field}: {was}{}", named(&to));
        }
    }
    let _ = write!(out, "{}", summary(plan));
    out
}

/// The counts in one line.
#[must_use]
pub fn summary(plan: &Plan) -> String {
    let new = plan.changes.iter().filter(|change| change.before.is_none()).count();
    format!(
        "{new} new, {} changed, {} unchanged, {} not in the file; {} lines taken, {} changed, {} dropped",
        plan.changes.len() - new,
        plan.unchanged.len(),
        plan.left.len(),
        plan.findings.count(Fate::Taken),
        plan.findings.count(Fate::Changed),
        plan.findings.count(Fate::Dropped),
    )
}

/// The plan for machines.
#[must_use]
pub fn machine(plan: &Plan) -> Value {
    let findings = |fate: Fate| -> Vec<Value> { plan.findings.of(fate).map(finding).collect() };
    let changes = |new: bool| -> Vec<Value> {
        plan.changes.iter().filter(|change| change.before.is_none() == new).map(change).collect()
    };
    json!({
        "taken": findings(Fate::Taken),
        "changed": findings(Fate::Changed),
        "dropped": findings(Fate::Dropped),
        "channels": {
            "new": changes(true),
            "changed": changes(false),
            "unchanged": plan.unchanged,
            "not_in_file": plan.left,
        },
    })
}

fn finding((Finding { place, what, why, .. }, streams): (&Finding, &Streams)) -> Value {
    let mut value = json!({ "what": what, "why": why, "streams": streams.named, "stream_count": streams.count });
    place_into(&mut value, *place);
    value
}

fn change(Change { before, after, place }: &Change) -> Value {
    let differences: Vec<Value> = differences(before.as_ref(), after)
        .into_iter()
        .map(|Difference { field, from, to }| match before {
            Some(_) => json!({ "field": field, "from": from, "to": to }),
            None => json!({ "field": field, "to": to }),
        })
        .collect();
    let mut value = json!({ "name": after.name, "differences": differences });
    place_into(&mut value, *place);
    value
}

fn place_into(value: &mut Value, place: Place) {
    match place {
        Place::Line(line) => value["line"] = line.into(),
        Place::Item(0) => {}
        Place::Item(item) => value["item"] = item.into(),
    }
}

fn where_of(place: Place) -> String {
    if place == Place::Item(0) { "the answer".to_owned() } else { place.to_string() }
}

fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// In which fields two channels differ; all that is set for a new one.
#[must_use]
pub fn differences(before: Option<&Channel>, after: &Channel) -> Vec<Difference> {
    let was = before.map(fields).unwrap_or_default();
    let mut found: Vec<Difference> = fields(after)
        .into_iter()
        .enumerate()
        .map(|(index, (field, to))| {
            let from = was.get(index).map(|(_, from)| from.clone()).unwrap_or_default();
            Difference { field, from, to }
        })
        .filter(|Difference { from, to, .. }| from != to)
        .collect();
    found.extend(sources(before, after));
    found
}

/// Sources that go, sources that come, and another order.
fn sources(before: Option<&Channel>, after: &Channel) -> Vec<Difference> {
    let all = |channel: &Channel| -> Vec<(SiteName, Source)> {
        let of_site = |(site, list): (&SiteName, &Vec<Source>)| {
            list.iter().map(|source| (site.clone(), source.clone())).collect::<Vec<_>>()
        };
        channel.sources.iter().flat_map(of_site).collect()
    };
    let (was, is) = (before.map(all).unwrap_or_default(), all(after));
    let shown = |(site, source): &(SiteName, Source)| {
        let service = source.service.map(|service| format!(" service {service}")).unwrap_or_default();
        format!("{site} {} {}{service}", source.id, address::label(&source.url))
    };
    let field = "source";
    let gone = was.iter().filter(|source| !is.contains(source));
    let come = is.iter().filter(|source| !was.contains(source));
    let mut found: Vec<Difference> =
        gone.map(|source| Difference { field, from: shown(source), to: String::new() }).collect();
    found.extend(come.map(|source| Difference { field, from: String::new(), to: shown(source) }));
    if found.is_empty() && was != is {
        let order = |list: &[(SiteName, Source)]| {
            list.iter().map(|(_, source)| source.id.to_string()).collect::<Vec<_>>().join(" ")
        };
        found.push(Difference { field: "order of sources", from: order(&was), to: order(&is) });
    }
    found
}

/// What else an import may set.
fn fields(channel: &Channel) -> Vec<(&'static str, String)> {
    let optional = |number: Option<u32>| number.map(|number| number.to_string()).unwrap_or_default();
    let tags = channel.tags.iter().map(|tag| tag.as_str()).collect::<Vec<_>>().join(" ");
    vec![
        ("title", channel.title.clone()),
        ("number", channel.number.to_string()),
        ("tags", tags),
        ("segment_secs", (channel.segment_ms / 1_000).to_string()),
        ("window_segments", channel.window_segments.to_string()),
        ("key_period_secs", (channel.period_ms / 1_000).to_string()),
        ("leave_after_ms", optional(channel.leave_after_ms)),
        ("enabled", channel.enabled.to_string()),
        ("dvr", channel.dvr.as_ref().map(|dvr| dvr.keep.to_string()).unwrap_or_default()),
    ]
}
