//! `/healthz` and `/metrics`: what monitors ask. Labels come from closed sets only.

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{Router, extract::State, http::StatusCode, response::Response, routing::get};

use super::{Office, viewer_answer::open};
use crate::fleet::state::Presence;

const TEXT: (&str, &str) = ("text/plain; charset=utf-8", "no-store");
const PROMETHEUS: (&str, &str) = ("text/plain; version=0.0.4; charset=utf-8", "no-store");

pub(super) fn routes() -> Router<Arc<Office>> {
    Router::new().route("/healthz", get(healthz)).route("/metrics", get(metrics))
}

/// Whether this controller can do its work: 503 while its store takes no writes.
#[utoipa::path(get, path = "/healthz", tag = "monitoring", responses((status = 200, body = String), (status = 503, description = "The store takes no writes")))]
pub(super) async fn healthz(State(office): State<Arc<Office>>) -> Response {
    match (office.store_failure)() {
        None => open(StatusCode::OK, TEXT, "ok\n"),
        Some(reason) => {
            tracing::debug!(reason, "unhealthy");
            open(StatusCode::SERVICE_UNAVAILABLE, TEXT, "the store takes no writes; see the log\n")
        }
    }
}

/// Figures in the text form of Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "monitoring", responses((status = 200, body = String)))]
pub(super) async fn metrics(State(office): State<Arc<Office>>) -> Response {
    open(StatusCode::OK, PROMETHEUS, page(&office))
}

/// Collects the lines of one page.
#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str, values: &[(String, u64)]) {
        write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n").expect("strings take all text");
        for (labels, value) in values {
            writeln!(self.0, "{name}{labels} {value}").expect("strings take all text");
        }
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help, &[(String::new(), value)]);
    }
}

fn page(office: &Office) -> String {
    let mut page = Page::default();
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let tally = &office.tally;
    let by = |label: &str, values: &[(&str, u64)]| -> Vec<(String, u64)> {
        values.iter().map(|(value, count)| (format!("{{{label}=\"{value}\"}}"), *count)).collect()
    };
    let keys = by("outcome", &[("given", count(&tally.keys_given)), ("refused", count(&tally.keys_refused))]);
    page.family("headend_api_keys_total", "counter", "Content keys asked for.", &keys);
    let plays = [("origin", &tally.redirected), ("slate", &tally.slated), ("refused", &tally.play_refused)];
    let plays: Vec<(&str, u64)> = plays.iter().map(|(word, counter)| (*word, count(counter))).collect();
    page.family("headend_api_plays_total", "counter", "Play requests by where they were sent.", &by("to", &plays));
    let sign_ins = by("outcome", &[("right", count(&tally.sign_ins)), ("refused", count(&tally.sign_ins_refused))]);
    page.family("headend_api_sign_ins_total", "counter", "Sign-ins.", &sign_ins);
    page.one("headend_viewing_sessions", "gauge", "Sessions kept.", office.sessions.count() as u64);
    let catalogue = office.catalogue.current();
    page.one("headend_store_channels", "gauge", "Channels of the line-up.", catalogue.channels.len() as u64);
    fleet(office, &mut page);
    servers(office, &mut page);
    let totals = office.supervisor.totals();
    let tasks = [("restarted", totals.restarted), ("failed", totals.failed), ("panicked", totals.panicked)];
    page.family("headend_tasks_total", "counter", "Ends of tasks that were not orderly.", &by("what", &tasks));
    page.one(
        "headend_store_failed",
        "gauge",
        "1 while the store takes no writes.",
        u64::from((office.store_failure)().is_some()),
    );
    page.0
}

fn fleet(office: &Office, page: &mut Page) {
    let now = office.fleet.state.now();
    let watch = office.fleet.state.subscribe();
    let state = watch.borrow();
    // Names of nodes are those of the fleet: a closed set of 200 at most.
    let value = |presence: Presence| u64::from(presence == Presence::Alive);
    let alive: Vec<(String, u64)> = state
        .nodes()
        .map(|(key, node)| (format!("{{site=\"{}\",node=\"{}\"}}", key.site, key.node), value(node.presence(now))))
        .collect();
    page.family("headend_fleet_node_alive", "gauge", "1 while a node's figures are fresh.", &alive);
    let counts = office.fleet.defects.counts();
    let causes = [
        ("topic", counts.topic),
        ("unreadable", counts.unreadable),
        ("too_large", counts.too_large),
        ("newer", counts.newer),
        ("old", counts.old),
        ("too_many", counts.too_many),
    ];
    let causes: Vec<(String, u64)> =
        causes.iter().map(|(cause, count)| (format!("{{cause=\"{cause}\"}}"), *count)).collect();
    page.family("headend_fleet_refused_total", "counter", "Messages of nodes that were refused.", &causes);
    page.one(
        "headend_fleet_blind",
        "gauge",
        "1 while this controller sees nothing.",
        u64::from(office.fleet.desk.look(|r, _| r.blind())),
    );
}

fn servers(office: &Office, page: &mut Page) {
    let of = |pick: fn(&headend_rt::serve::Counts) -> u64| -> Vec<(String, u64)> {
        let labelled = |(name, counters): &(&str, Arc<headend_rt::serve::Counters>)| {
            (format!("{{server=\"{name}\"}}"), pick(&counters.counts()))
        };
        office.servers.iter().map(labelled).collect()
    };
    page.family("headend_http_connections", "gauge", "Connections open now.", &of(|counts| counts.open));
    page.family("headend_http_requests_total", "counter", "Requests with a whole head.", &of(|counts| counts.requests));
    let turned_away = |counts: &headend_rt::serve::Counts| counts.refused_total + counts.refused_address;
    page.family("headend_http_turned_away_total", "counter", "Connections over a cap.", &of(turned_away));
}
