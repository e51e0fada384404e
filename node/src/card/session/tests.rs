//! Sessions by script: what happens at which millisecond, and what the card is asked.

use proptest::prelude::*;

use super::*;
use crate::card::word::{Algorithm, Word, Words};

fn question(group: u64, ecm: u8, at_ms: u64, dark: bool) -> Question {
    let letters = WordBox::default();
    Question { group, number: u64::from(ecm), system: 1, section: [0x80, ecm].into(), at_ms, dark, letters }
}

fn words() -> Outcome {
    Outcome::Words(Words { even: Word::new(Algorithm::Csa, &[1; 8]), odd: None })
}

/// What the session wants now, in a few letters.
fn wants(session: &mut Session, now_ms: u64) -> String {
    match session.next(now_ms) {
        Action::Begin(Task::Open) => "open".to_owned(),
        Action::Begin(Task::Entitlements) => "list".to_owned(),
        Action::Begin(Task::Ecm { section, .. }) => format!("ecm {}", section[1]),
        Action::Begin(Task::Emm { section, .. }) => format!("emm {}", section[1]),
        Action::Reset => "reset".to_owned(),
        Action::Wait(Some(until)) => format!("wait {}", until - now_ms),
        Action::Wait(None) => "wait".to_owned(),
    }
}

fn said(events: Vec<Event>) -> Vec<String> {
    let say = |event| match event {
        Event::Answer(question, Ok(_)) => format!("words for {}/{}", question.group, question.number),
        Event::Answer(question, Err(trouble)) => format!("{}/{}: {trouble}", question.group, question.number),
        Event::Opened(_) => "opened".to_owned(),
        Event::Entitlements(list) => format!("{} rights", list.len()),
        Event::Trouble(trouble) => trouble.to_string(),
    };
    events.into_iter().map(say).collect()
}

/// A card that is open and listed, at 1,000 ms.
fn open() -> Session {
    let mut session = Session::new(20);
    session.inserted();
    assert_eq!(wants(&mut session, 900), "open");
    assert_eq!(said(session.done(Ok(Outcome::Opened(Identity::default())), 910)), ["opened"]);
    assert_eq!(wants(&mut session, 915), "wait 15");
    assert_eq!(wants(&mut session, 930), "list");
    assert_eq!(said(session.done(Ok(Outcome::Entitlements(vec![])), 940)), ["0 rights"]);
    session
}

#[test]
fn one_at_a_time_and_dark_streams_first() {
    let mut session = open();
    for question in [question(1, 1, 1000, false), question(2, 2, 1001, false), question(3, 3, 1002, true)] {
        assert!(session.ask(question).is_none());
    }
    assert_eq!(wants(&mut session, 1010), "ecm 3");
    assert_eq!(wants(&mut session, 1011), "wait");
    assert_eq!(said(session.done(Ok(words()), 1100)), ["words for 3/3"]);
    assert_eq!(wants(&mut session, 1105), "wait 15");
    assert_eq!(wants(&mut session, 1120), "ecm 1");
}

#[test]
fn a_newer_ecm_drops_the_older_and_the_same_is_not_asked_twice() {
    let mut session = open();
    session.ask(question(1, 1, 1000, false));
    session.ask(question(1, 1, 1001, false));
    assert_eq!((session.waiting(), session.counts().dropped), (1, 0));
    session.ask(question(1, 2, 1002, false));
    assert_eq!((session.waiting(), session.counts().dropped), (1, 1));
    assert_eq!(wants(&mut session, 1010), "ecm 2");
    session.ask(question(1, 2, 1011, false));
    assert_eq!(session.waiting(), 0);
    session.done(Ok(words()), 1050);
    let again = session.ask(question(7, 2, 1060, false));
    assert_eq!(said(again.into_iter().collect()), ["words for 7/2"]);
    assert_eq!((session.counts().asked, session.counts().remembered), (1, 1));
}

#[test]
fn services_that_share_an_ecm_share_its_answer() {
    let mut session = open();
    session.ask(question(1, 1, 1000, false));
    assert_eq!(wants(&mut session, 1000), "ecm 1");
    session.ask(question(2, 1, 1001, false));
    session.ask(question(3, 2, 1002, false));
    assert_eq!(said(session.done(Ok(words()), 1050)), ["words for 2/1", "words for 1/1"]);
    assert_eq!(wants(&mut session, 1100), "ecm 2");
    assert_eq!((session.counts().asked, session.counts().remembered), (2, 1));
}

#[test]
fn a_busy_card_is_asked_again_until_it_is_enough() {
    let mut session = open();
    session.ask(question(1, 1, 1000, true));
    let mut now = 1000;
    for _ in 0..BUSY_TRIES_MAX {
        assert_eq!(wants(&mut session, now), "ecm 1");
        assert!(session.done(Err(Trouble::Busy), now).is_empty());
        assert_eq!(wants(&mut session, now), "wait 150");
        now += 150;
    }
    assert_eq!(wants(&mut session, now), "ecm 1");
    assert_eq!(said(session.done(Err(Trouble::Busy), now)), ["1/1: the card is busy", "the card is busy"]);
    assert!(session.is_ready());
}

#[test]
fn a_mute_card_is_reset_and_the_question_is_not_lost() {
    let mut session = open();
    session.ask(question(1, 1, 1000, true));
    assert_eq!(wants(&mut session, 1000), "ecm 1");
    assert_eq!(said(session.done(Err(Trouble::Mute), 4000)), ["the card gives no answer"]);
    assert_eq!(wants(&mut session, 4001), "reset");
    session.inserted();
    assert_eq!(wants(&mut session, 4100), "open");
    session.done(Ok(Outcome::Opened(Identity::default())), 4110);
    assert_eq!(wants(&mut session, 4130), "list");
    session.done(Ok(Outcome::Entitlements(vec![])), 4140);
    assert_eq!(wants(&mut session, 4160), "ecm 1");
}

#[test]
fn a_card_that_stays_mute_rests_and_nobody_waits_for_it() {
    let mut session = open();
    session.ask(question(1, 1, 1000, true));
    assert_eq!(wants(&mut session, 1000), "ecm 1");
    session.done(Err(Trouble::Mute), 1100);
    for now in [1150, 1200] {
        assert_eq!(wants(&mut session, now), "reset");
        session.inserted();
        assert_eq!(wants(&mut session, now), "open");
        session.done(Err(Trouble::Mute), now);
    }
    assert_eq!(wants(&mut session, 1250), "reset");
    session.inserted();
    assert_eq!(wants(&mut session, 1300), "open");
    let mute = "the card gives no answer";
    assert_eq!(said(session.done(Err(Trouble::Mute), 1300)), [&format!("1/1: {mute}"), mute]);
    assert_eq!(said(session.ask(question(1, 2, 1301, true)).into_iter().collect()), [format!("1/2: {mute}")]);
    assert_eq!(wants(&mut session, 1300), "wait 1000");
    assert_eq!(wants(&mut session, 2300), "reset");
    session.inserted();
    assert_eq!(wants(&mut session, 2400), "open");
    assert_eq!(said(session.done(Ok(Outcome::Opened(Identity::default())), 2400)), ["opened"]);
}

#[test]
fn a_pulled_card_answers_everything_that_waits() {
    let mut session = open();
    session.ask(question(1, 1, 1000, true));
    session.ask(question(2, 2, 1000, true));
    assert_eq!(wants(&mut session, 1000), "ecm 1");
    assert_eq!(
        said(session.done(Err(Trouble::Removed), 1010)),
        ["2/2: the card was pulled", "1/1: the card was pulled"]
    );
    assert_eq!(wants(&mut session, 1011), "wait");
    assert_eq!(said(session.ask(question(2, 2, 1020, true)).into_iter().collect()), ["2/2: the card was pulled"]);
}

#[test]
fn a_refusal_is_remembered_until_a_new_entitlement() {
    let mut session = open();
    session.ask(question(1, 1, 1000, true));
    assert_eq!(wants(&mut session, 1000), "ecm 1");
    session.done(Err(Trouble::NotEntitled), 1010);
    assert!(session.ask(question(1, 1, 1100, true)).is_some());
    session.emm(1, [0x82, 9].into());
    assert_eq!(wants(&mut session, 1100), "emm 9");
    session.done(Ok(Outcome::Emm { taken: true }), 1110);
    assert_eq!(wants(&mut session, 1130), "list");
    session.done(Ok(Outcome::Entitlements(vec![])), 1140);
    assert!(session.ask(question(1, 1, 1200, true)).is_none());
    assert_eq!(wants(&mut session, 1200), "ecm 1");
}

#[test]
fn a_card_of_another_system_is_looked_at_again_later() {
    let mut session = Session::new(20);
    session.inserted();
    assert_eq!(wants(&mut session, 0), "open");
    session.done(Err(Trouble::Garbled("it names no CA system")), 10);
    assert_eq!(wants(&mut session, 10), "wait 30000");
    assert_eq!(wants(&mut session, 30_010), "reset");
}

proptest! {
    /// Whatever is asked and however the card behaves: queues stay bounded, each question is answered at most once, and
    /// the session never wants two things at once.
    #[test]
    fn any_history_stays_bounded(steps in proptest::collection::vec((0..9_u8, 0..20_u64, 0..6_u8), 0..400)) {
        let mut session = Session::new(20);
        let (mut now, mut flying) = (0, false);
        for (kind, group, ecm) in steps {
            now += 37;
            match kind {
                0 => { session.inserted(); flying = false; }
                1 => { session.removed(); flying = false; }
                2..=4 => { session.ask(question(group, ecm, now, ecm == 0)); }
                5 => session.emm(1, [0x82, ecm].into()),
                6 if flying => {
                    flying = false;
                    let trouble = [Trouble::Busy, Trouble::Mute, Trouble::Removed, Trouble::NotEntitled,
                        Trouble::Module("ended"), Trouble::Garbled("x")][usize::from(ecm)].clone();
                    session.done(Err(trouble), now);
                }
                7 if flying => { flying = false; session.done(Ok(words()), now); }
                _ => {
                    let action = session.next(now);
                    prop_assert!(!flying || matches!(action, Action::Wait(None)), "{:?}", action);
                    flying |= matches!(action, Action::Begin(_));
                }
            }
            prop_assert!(session.questions.len() <= 20 && session.emms.len() <= EMMS_MAX);
            prop_assert!(session.remembered.len() <= REMEMBERED_MAX);
        }
    }
}
