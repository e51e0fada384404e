//! What the ledger promises, row by row and over all histories.

use std::{collections::BTreeMap, net::Ipv4Addr};

use proptest::prelude::*;

use super::*;
use crate::output::viewing::{answer::Limit, question::Protocol};

/// How long `of_user` holds, and who is one too many is banned.
const BAN_MS: u64 = 3_600_000;
const BOUNDS: Bounds = Bounds { per_address_max: 100, allow_default: false, soft_limit_ms: 0 };

fn id(number: u8) -> SessionId {
    SessionId([number; 16])
}

fn facts(ip: u8) -> Facts {
    Facts {
        channel: "f24".parse().expect("name"),
        ip: Ipv4Addr::new(192, 0, 2, ip).into(),
        token: "T".to_owned(),
        protocol: Protocol::Hls,
        query: String::new(),
        user_agent: String::new(),
        referer: String::new(),
        host: String::new(),
    }
}

fn allowed(hold_ms: u64) -> Answer {
    Answer::Allowed(Terms { hold_ms, limit: None, ranges: None })
}

fn of_user(sessions_max: usize, unique: bool) -> Answer {
    let limit = Some(("user u".into(), Limit { sessions_max, unique }));
    Answer::Allowed(Terms { hold_ms: BAN_MS, limit, ranges: None })
}

/// What a request meets, in a word: `open`, `closed`, `elsewhere`, with `+` and the question put; `ask`, `wait`, `full`.
fn look(ledger: &mut Ledger, number: u8, now_ms: u64) -> String {
    let (look, _) = ledger.look(id(number), || facts(1), now_ms);
    let word = |verdict: Verdict| match verdict {
        Verdict::Open(_) => "open",
        Verdict::Elsewhere(_) => "elsewhere",
        Verdict::Closed => "closed",
    };
    let asked = |question: &Question| {
        let kind = if question.first { "new" } else { "update" };
        format!("{kind} {}", question.number)
    };
    match look {
        Look::Settled(verdict, None) => word(verdict).to_owned(),
        Look::Settled(verdict, Some(question)) => format!("{}+{}", word(verdict), asked(&question)),
        Look::Ask(question) => format!("ask {}", asked(&question)),
        Look::Wait => "wait".to_owned(),
        Look::Full => "full".to_owned(),
    }
}

#[test]
fn an_open_session_is_asked_about_again_and_stays_open_meanwhile() {
    let mut ledger = Ledger::new(BOUNDS);
    assert_eq!(look(&mut ledger, 1, 0), "ask new 0");
    assert_eq!(look(&mut ledger, 1, 10), "wait", "one question at a time");
    ledger.answered(id(1), allowed(30_000), 100);
    assert_eq!(look(&mut ledger, 1, 30_099), "open");
    assert_eq!(look(&mut ledger, 1, 30_100), "open+update 1");
    assert_eq!(look(&mut ledger, 1, 30_200), "open");
    // A backend that fails changes nothing, and is left alone for a while.
    ledger.answered(id(1), Answer::Failed, 30_300);
    assert_eq!(look(&mut ledger, 1, 40_299), "open");
    assert_eq!(look(&mut ledger, 1, 40_300), "open+update 2");
    assert_eq!(ledger.answered(id(1), Answer::Denied { hold_ms: 30_000 }, 40_400), [id(1)]);
    assert_eq!(look(&mut ledger, 1, 40_401), "closed");
    assert_eq!(look(&mut ledger, 1, 70_399), "closed");
    // It begins anew, but not before somebody said so.
    assert_eq!(look(&mut ledger, 1, 70_400), "ask new 0");
    ledger.answered(id(1), Answer::Failed, 70_500);
    assert_eq!(look(&mut ledger, 1, 70_501), "closed");
}

#[test]
fn newcomers_follow_the_default_while_no_backend_answers() {
    for (allow_default, want) in [(true, "open"), (false, "closed")] {
        let mut ledger = Ledger::new(Bounds { allow_default, ..BOUNDS });
        look(&mut ledger, 1, 0);
        ledger.answered(id(1), Answer::Failed, 1);
        assert_eq!(look(&mut ledger, 1, 2), want);
        // Nobody has decided about it yet: it is asked about as a newcomer.
        let again = look(&mut ledger, 1, 10_001);
        assert_eq!(again, if allow_default { "open+new 0" } else { "ask new 0" });
    }
}

#[test]
fn elsewhere_holds_and_is_asked_again() {
    let mut ledger = Ledger::new(BOUNDS);
    look(&mut ledger, 1, 0);
    ledger.answered(id(1), Answer::Elsewhere { to: "/x".into(), hold_ms: 10_000 }, 0);
    assert_eq!(look(&mut ledger, 1, 9_999), "elsewhere");
    assert_eq!(look(&mut ledger, 1, 10_000), "ask new 0");
}

/// Sessions 1 to `count` in order, one a second; then which of them are open.
fn with_limit(count: u8, answer: &Answer, soft_limit_ms: u64, ticks: u64) -> Vec<u8> {
    let mut ledger = Ledger::new(Bounds { soft_limit_ms, ..BOUNDS });
    let mut now_ms = 0;
    for number in 1..=count {
        now_ms += 1_000;
        look(&mut ledger, number, now_ms);
        ledger.answered(id(number), answer.clone(), now_ms);
    }
    for _ in 0..ticks {
        now_ms += 1_000;
        (1..=count).for_each(|number| drop(look(&mut ledger, number, now_ms)));
        ledger.tick(now_ms);
    }
    (1..=count).filter(|number| look(&mut ledger, *number, now_ms) == "open").collect()
}

#[test]
fn who_is_one_too_many() {
    assert_eq!(with_limit(3, &of_user(2, false), 0, 0), [1, 2]);
    assert_eq!(with_limit(3, &of_user(2, true), 0, 0), [2, 3]);
    // Who began in the same millisecond is told apart by who came first, and not by name.
    for (first, second) in [(1, 2), (2, 1)] {
        let mut ledger = Ledger::new(BOUNDS);
        for number in [first, second] {
            look(&mut ledger, number, 0);
            ledger.answered(id(number), of_user(1, true), 0);
        }
        assert_eq!(
            (look(&mut ledger, first, 0), look(&mut ledger, second, 0)),
            ("closed".to_owned(), "open".to_owned())
        );
    }
    assert_eq!(with_limit(2, &of_user(2, false), 0, 0), [1, 2]);
    assert_eq!(with_limit(3, &of_user(2, false), 30_000, 28), [1, 2, 3], "tolerated for a while");
    assert_eq!(with_limit(3, &of_user(2, false), 30_000, 31), [1, 2]);
}

#[test]
fn who_left_does_not_count_and_counts_again_when_he_returns() {
    let mut ledger = Ledger::new(BOUNDS);
    look(&mut ledger, 1, 0);
    ledger.answered(id(1), of_user(1, false), 0);
    look(&mut ledger, 2, 31_000);
    assert_eq!(ledger.answered(id(2), of_user(1, false), 31_000), []);
    let (found, cut) = ledger.look(id(1), || facts(1), 32_000);
    // The one that began last is one too many.
    assert!(matches!(found, Look::Settled(Verdict::Open(_), None)), "{found:?}");
    assert_eq!(cut, [id(2)]);
    assert_eq!(look(&mut ledger, 2, 32_001), "closed");
    // A ban lasts as long as the permission would have.
    assert_eq!(look(&mut ledger, 2, 32_000 + 3_599_999), "closed");
    assert_eq!(look(&mut ledger, 2, 32_000 + 3_600_000), "ask new 0");
}

#[test]
fn no_answer_that_was_on_its_way_ends_a_ban() {
    for answer in [of_user(1, false), allowed(30_000), Answer::Failed, Answer::Denied { hold_ms: 10_000 }] {
        let mut ledger = Ledger::new(BOUNDS);
        look(&mut ledger, 1, 0);
        ledger.answered(id(1), of_user(2, true), 0);
        look(&mut ledger, 2, 0);
        ledger.answered(id(2), of_user(2, true), 0);
        // Its permission has ended, it is asked about, and meanwhile its user may have one session only.
        assert_eq!(look(&mut ledger, 1, BAN_MS), "open+update 1");
        look(&mut ledger, 2, BAN_MS);
        assert_eq!(ledger.answered(id(2), of_user(1, true), BAN_MS), [id(1)]);
        assert_eq!(ledger.answered(id(1), answer.clone(), BAN_MS + 1), []);
        assert_eq!(look(&mut ledger, 1, 2 * BAN_MS - 1), "closed", "{answer:?}");
    }
}

#[test]
fn streams_are_asked_about_by_the_clock() {
    let mut ledger = Ledger::new(BOUNDS);
    look(&mut ledger, 1, 0);
    ledger.answered(id(1), allowed(30_000), 0);
    ledger.entered(&id(1));
    assert!(ledger.tick(29_999).questions.is_empty());
    let due = ledger.tick(300_000);
    assert_eq!(due.questions.len(), 1);
    let question = &due.questions[0];
    let told = (question.first, question.number, question.duration_secs, question.stream_clients);
    assert_eq!(told, (false, 1, 300, 1));
    assert!(ledger.tick(301_000).questions.is_empty(), "one question at a time");
    assert_eq!(ledger.answered(id(1), Answer::Denied { hold_ms: 30_000 }, 301_000), [id(1)]);
    ledger.left(&id(1), 301_001);
    assert_eq!(ledger.counts(), (1, 0));
    ledger.tick(301_001 + IDLE_MS);
    assert_eq!(ledger.counts(), (0, 0));
}

#[test]
fn a_flood_of_made_up_tokens_stays_in_its_bounds_and_opens_nothing() {
    let mut ledger = Ledger::new(Bounds { per_address_max: 3, ..BOUNDS });
    for number in 1..=3 {
        look(&mut ledger, number, 0);
        ledger.answered(id(number), Answer::Denied { hold_ms: 36_000_000 }, 0);
    }
    assert_eq!(look(&mut ledger, 4, 1), "full");
    let (other, _) = ledger.look(id(5), || facts(2), 1);
    assert!(matches!(other, Look::Ask(_)), "another address has its own room");
    assert_eq!(look(&mut ledger, 1, 2), "closed");
    // A denial is remembered ten minutes and not ten hours, when nobody asks any more.
    ledger.tick(DENIAL_MS_MAX - 1);
    assert_eq!(look(&mut ledger, 4, DENIAL_MS_MAX - 1), "full");
    ledger.tick(DENIAL_MS_MAX);
    assert_eq!(look(&mut ledger, 4, DENIAL_MS_MAX), "ask new 0");
}

#[test]
fn all_rooms_together_are_bounded() {
    let mut ledger = Ledger::new(Bounds { per_address_max: usize::MAX, ..BOUNDS });
    let mut full = 0;
    for number in 0..SESSIONS_MAX as u128 + 10 {
        let (found, _) = ledger.look(SessionId(number.to_be_bytes()), || facts(1), 0);
        full += usize::from(matches!(found, Look::Full));
    }
    assert_eq!((ledger.counts().0, full), (SESSIONS_MAX, 10));
}

#[derive(Debug, Clone)]
enum Step {
    Look(u8),
    Answer(u8, Answer),
    Enter(u8),
    Leave(u8),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let answer = prop_oneof![
        Just(Answer::Failed),
        (10_u64..100).prop_map(|secs| Answer::Denied { hold_ms: secs * 1_000 }),
        (10_u64..100).prop_map(|secs| allowed(secs * 1_000)),
        (1_usize..3, any::<bool>()).prop_map(|(max, unique)| of_user(max, unique)),
        Just(Answer::Elsewhere { to: "/x".into(), hold_ms: 10_000 }),
    ];
    prop_oneof![
        4 => (0_u8..6).prop_map(Step::Look),
        4 => (0_u8..6, answer).prop_map(|(number, answer)| Step::Answer(number, answer)),
        1 => (0_u8..6).prop_map(Step::Enter),
        1 => (0_u8..6).prop_map(Step::Leave),
        2 => (0_u64..40_000).prop_map(Step::Wait),
    ]
}

/// What must hold of one session, seen from outside.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// The last word of a backend was yes.
    yes: bool,
    /// Closed until then at least.
    closed_until_ms: u64,
    asking: bool,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Nobody is let in but by a backend's last word, whatever happens in whatever order; one question at a time; never
    /// more sessions than there may be.
    #[test]
    fn never_opens_for_who_was_denied(steps in prop::collection::vec(step(), 1..120), soft_limit_ms in 0_u64..60_000) {
        let mut ledger = Ledger::new(Bounds { per_address_max: 4, allow_default: false, soft_limit_ms });
        let mut seen: BTreeMap<u8, Seen> = BTreeMap::new();
        let mut now_ms = 1_000_000;
        for step in steps {
            let mut cut = vec![];
            match step {
                Step::Wait(ms) => {
                    now_ms += ms;
                    let due = ledger.tick(now_ms);
                    due.questions.iter().for_each(|question| ask(&mut seen, question));
                    cut = due.cut;
                }
                Step::Look(number) => {
                    let (look, banned) = ledger.look(id(number), || facts(1), now_ms);
                    ban(&mut seen, &banned, now_ms);
                    let one = seen.entry(number).or_default();
                    match look {
                        Look::Settled(Verdict::Open(_), question) => {
                            prop_assert!(one.yes && one.closed_until_ms <= now_ms, "open: {one:?} at {now_ms}");
                            question.iter().for_each(|question| ask(&mut seen, question));
                        }
                        Look::Settled(_, question) => question.iter().for_each(|question| ask(&mut seen, question)),
                        Look::Ask(question) => {
                            prop_assert!(one.closed_until_ms <= now_ms, "asked about too early");
                            ask(&mut seen, &question);
                        }
                        Look::Wait => prop_assert!(one.asking),
                        Look::Full => {}
                    }
                }
                Step::Answer(number, answer) => {
                    let Some(one) = seen.get_mut(&number).filter(|one| one.asking) else { continue };
                    one.asking = false;
                    // Only a ban is in force while a question is on its way, and no answer shortens it.
                    let banned = one.closed_until_ms > now_ms;
                    match &answer {
                        _ if banned => {}
                        Answer::Allowed(_) => (one.yes, one.closed_until_ms) = (true, 0),
                        Answer::Denied { hold_ms } => (one.yes, one.closed_until_ms) = (false, now_ms + hold_ms),
                        Answer::Elsewhere { .. } => one.yes = false,
                        Answer::Failed => {}
                    }
                    let denies = !matches!(answer, Answer::Allowed(_));
                    cut = ledger.answered(id(number), answer, now_ms);
                    cut.retain(|_| !denies);
                }
                Step::Enter(number) => ledger.entered(&id(number)),
                Step::Leave(number) => ledger.left(&id(number), now_ms),
            }
            ban(&mut seen, &cut, now_ms);
            let (sessions, open) = ledger.counts();
            prop_assert!(sessions <= 4 && open <= sessions);
            prop_assert_eq!(ledger.addresses.values().sum::<usize>(), sessions);
        }
        let over = now_ms + 100 * 3_600_000;
        (0..6).for_each(|number| (0..100).for_each(|_| ledger.left(&id(number), now_ms)));
        for number in 0..6 {
            ledger.answered(id(number), Answer::Failed, now_ms);
        }
        ledger.tick(over);
        prop_assert_eq!(ledger.counts(), (0, 0), "what is over is forgotten");
        prop_assert!(ledger.addresses.is_empty() && ledger.clients.is_empty());
        prop_assert_eq!(ledger.users.over_limit(), []);
    }
}

fn ask(seen: &mut BTreeMap<u8, Seen>, question: &Question) {
    let one = seen.entry(question.session.0[0]).or_default();
    assert!(!one.asking, "two questions about one session");
    one.asking = true;
}

fn ban(seen: &mut BTreeMap<u8, Seen>, cut: &[SessionId], now_ms: u64) {
    for session in cut {
        let one = seen.entry(session.0[0]).or_default();
        (one.yes, one.closed_until_ms) = (false, now_ms + BAN_MS);
    }
}
