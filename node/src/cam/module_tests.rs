//! Tests of a whole module: a scripted CAM on the other side, and strangers.

use proptest::prelude::*;

use super::*;
use crate::cam::{ca_pmt::tests::programme, list::View, scripted::Cam};

const START: u64 = 1_000;

fn utc() -> Timestamp {
    "2026-03-01T12:34:56Z".parse().unwrap()
}

/// Module and CAM, talking through a slot.
struct Bench {
    module: Module,
    cam: Cam,
    now_ms: u64,
}

impl Bench {
    fn new(cam: Cam) -> Self {
        let mut module = Module::new(0, vec![], Pacing::default());
        module.slot((true, true), START);
        Self { module, cam, now_ms: START }
    }

    /// Lets time pass.
    fn run(&mut self, for_ms: u64) {
        let end = self.now_ms + for_ms;
        while self.now_ms < end {
            for _ in 0..20 {
                let Some(command) = self.module.next(self.now_ms, utc()) else { break };
                if let Some(answer) = self.cam.command(&command) {
                    self.module.receive(&answer, self.now_ms, utc());
                }
            }
            self.now_ms += 50;
        }
    }
}

fn lists(cam: &Cam) -> Vec<String> {
    let name = |body: &[u8]| {
        let management = ["more", "first", "last", "only", "add", "update"][usize::from(body[0])];
        format!("{management} {} command {}", u16::from_be_bytes([body[1], body[2]]), body[6])
    };
    cam.told(tag::CA_PMT).iter().map(|body| name(body)).collect()
}

#[test]
fn a_module_starts_and_gets_its_list() {
    let mut bench = Bench::new(Cam::new(&[0x0500, 0x0100]));
    bench.module.list().set(&[programme(6911, 1, &[0x0500])], START);
    bench.run(1_000);
    assert_eq!(bench.module.phase(), Phase::Ready);
    let application = bench.module.application().unwrap();
    assert_eq!((application.label.as_str(), application.maker, application.kind), ("AlphaTest", 0x0D00, 1));
    assert_eq!(bench.module.systems(), [0x0100, 0x0500]);
    assert_eq!(bench.cam.told(tag::PROFILE)[0].len(), 20, "five resources");
    assert_eq!(lists(&bench.cam), [""; 0], "it settles first");
    bench.run(3_500);
    assert_eq!(lists(&bench.cam), ["only 6911 command 1"]);
    assert_eq!(bench.module.counts(), (1, 0, 0));
}

#[test]
fn the_time_is_told_when_asked_and_then_at_the_interval() {
    let mut bench = Bench::new(Cam::new(&[0x0500]));
    bench.run(1_000);
    bench.cam.say(Resource::DateTime, tag::TIME_ENQUIRY, &[2]);
    bench.run(5_000);
    let told = bench.cam.told(tag::TIME);
    assert_eq!(told.len(), 3);
    // 2026-03-01 is day 61,100 of the modified Julian date.
    assert_eq!(told[0], [0xEE, 0xAC, 0x12, 0x34, 0x56]);
    bench.cam.say(Resource::DateTime, tag::TIME_ENQUIRY, &[0]);
    bench.run(10_000);
    assert_eq!(bench.cam.told(tag::TIME).len(), 4, "once for an interval of 0");
}

#[test]
fn the_menu_is_walked() {
    let mut bench = Bench::new(Cam::new(&[0x0500]));
    assert_eq!(bench.module.ask_menu(), Err(Unable::NoMenu));
    bench.run(1_000);
    assert!(bench.module.has_menu());
    bench.module.ask_menu().unwrap();
    bench.run(500);
    let text = |text: &[u8]| apdu::object(tag::TEXT_LAST, text);
    let menu = [vec![2], text(b"Main"), text(b""), text(b""), text(b"Card"), text(b"PIN")].concat();
    let (part, rest) = menu.split_at(9);
    bench.cam.say(Resource::Mmi, tag::MENU_MORE, part);
    bench.cam.say(Resource::Mmi, tag::MENU_LAST, rest);
    bench.run(500);
    let screen = bench.module.screen().unwrap().clone();
    assert_eq!(screen.choices, ["Card", "PIN"]);
    bench.module.reply(screen.number, &Reply::Choice(2)).unwrap();
    bench.run(200);
    assert_eq!(bench.cam.told(tag::MENU_ANSWER), [[2]]);
    bench.cam.say(Resource::Mmi, tag::ENQUIRY, b"\x01\x04PIN?");
    bench.run(500);
    let number = bench.module.screen().unwrap().number;
    bench.module.reply(number, &Reply::Text("1234".to_owned())).unwrap();
    bench.module.close_menu();
    bench.run(500);
    assert_eq!(bench.cam.told(tag::ANSWER), [b"\x011234"]);
    assert_eq!(bench.cam.told(tag::CLOSE_MMI), [[0]]);
    assert_eq!(bench.module.screen(), None);
}

#[test]
fn a_module_that_never_says_what_it_can_has_failed_after_15_s() {
    let mut cam = Cam::new(&[]);
    cam.mute = true;
    let mut bench = Bench::new(cam);
    bench.run(14_900);
    assert_eq!(bench.module.phase(), Phase::Starting);
    bench.run(300);
    assert_eq!(bench.module.phase(), Phase::Failed);
}

#[test]
fn a_module_that_goes_mute_starts_again_when_it_speaks_and_gets_its_list() {
    let mut bench = Bench::new(Cam::new(&[0x0500]));
    let film = programme(6911, 1, &[0x0500]);
    bench.module.list().set(std::slice::from_ref(&film), START);
    bench.run(5_000);
    bench.module.list().see(&film.key, View::Clear, bench.now_ms);
    bench.cam.mute = true;
    bench.run(7_000);
    assert_eq!(bench.module.phase(), Phase::Starting);
    bench.cam.mute = false;
    bench.run(8_000);
    assert_eq!(bench.module.phase(), Phase::Ready);
    assert_eq!(lists(&bench.cam), ["only 6911 command 1", "only 6911 command 1"]);
    bench.cam.mute = true;
    bench.run(30_000);
    assert_eq!(bench.module.phase(), Phase::Failed);
}

#[test]
fn a_module_that_is_pulled_and_put_back_gets_its_list_again() {
    let mut bench = Bench::new(Cam::new(&[0x0500]));
    bench.module.list().set(&[programme(1, 1, &[0x0500]), programme(2, 1, &[0x0500])], START);
    bench.run(5_000);
    bench.module.slot((false, false), bench.now_ms);
    assert_eq!((bench.module.phase(), bench.module.next(bench.now_ms, utc())), (Phase::Empty, None));
    bench.cam = Cam::new(&[0x0500]);
    bench.module.slot((true, false), bench.now_ms);
    bench.run(2_000);
    assert_eq!(bench.cam.heard.len(), 0, "the kernel's link is not ready");
    bench.module.slot((true, true), bench.now_ms);
    bench.run(5_000);
    assert_eq!(lists(&bench.cam), ["first 1 command 1", "last 2 command 1"]);
    assert_eq!(bench.module.counts().0, 2);
}

#[test]
fn a_refused_service_is_told_in_words() {
    let mut bench = Bench::new(Cam::new(&[0x0500]));
    let film = programme(6911, 1, &[0x0500]);
    bench.module.list().set(std::slice::from_ref(&film), START);
    bench.module.list().see(&film.key, View::Scrambled, START);
    bench.run(5_000);
    bench.cam.say(Resource::ConditionalAccess, tag::CA_PMT_REPLY, &[0x1A, 0xFF, 0xC3, 0xF1]);
    bench.run(500);
    let now_ms = bench.now_ms;
    assert_eq!(bench.module.list().standings(now_ms)[0].trouble, "the module has no entitlement for it");
}

#[test]
fn rubbish_in_the_middle_does_not_end_a_working_module() {
    let mut bench = Bench::new(Cam::new(&[0x0500]));
    bench.run(1_000);
    let long = [&[0x90, 2, 0, 1][..], &[0x9F; 3_000]].concat();
    for rubbish in [&[][..], &[0x90], &[0x90, 2, 0, 9, 1, 2, 3], &[0x91, 4, 1], &[0xFF; 40], &long] {
        bench.cam.raw(rubbish);
    }
    bench.cam.say(Resource::ConditionalAccess, tag::CA_PMT_REPLY, &[1]);
    bench.cam.say(Resource::ApplicationInformation, tag::APPLICATION, &[1]);
    bench.run(2_000);
    assert_eq!(bench.module.phase(), Phase::Ready);
    assert!(bench.module.counts().2 >= 6, "{:?}", bench.module.counts());
}

proptest! {
    /// Whatever a module says at whatever layer, and whenever it comes and goes: no panic, and never more than one command
    /// in flight for each answer.
    #[test]
    fn any_module_is_survived(steps in proptest::collection::vec((0_u8..7, proptest::collection::vec(any::<u8>(), 0..40), 0_u64..2_000), 0..60)) {
        let mut bench = Bench::new(Cam::new(&[0x0500]));
        bench.module.list().set(&[programme(1, 1, &[0x0500])], START);
        bench.run(600);
        for (kind, bytes, wait) in steps {
            match kind {
                0 => bench.module.receive(&bytes, bench.now_ms, utc()),
                1 => bench.cam.raw(&bytes),
                2 => bench.cam.raw(&[&[0x90, 2, 0, bytes.first().copied().unwrap_or(1) % 8], &bytes[..]].concat()),
                3 => {
                    let tag = 0x009F_8000 | u32::from(bytes.first().copied().unwrap_or(0));
                    bench.cam.raw(&[&[0x90, 2, 0, 1 + tag.to_be_bytes()[3] % 5][..], &apdu::object(tag, &bytes)].concat());
                }
                4 => bench.module.slot((wait % 2 == 0, wait % 3 == 0), bench.now_ms),
                5 => bench.cam.mute = wait % 2 == 0,
                _ => {
                    let _ = bench.module.ask_menu();
                    let _ = bench.module.reply(wait % 4, &Reply::Choice(1));
                    let flood = length_object(&bytes);
                    bench.module.receive(&flood, bench.now_ms, utc());
                }
            }
            bench.run(wait);
        }
        let now_ms = bench.now_ms;
        prop_assert!(bench.module.list().standings(now_ms).len() <= 1);
    }
}

/// Many objects in one read, all for connection 1.
fn length_object(bytes: &[u8]) -> Vec<u8> {
    let one = crate::cam::length::object(0xA0, &[&[1, 0x91, 4, 0, 1, 0, 0x41][..]].concat());
    let other = crate::cam::length::object(0x86, &[1]);
    [one.repeat(bytes.len() * 3), other.repeat(bytes.len() * 3)].concat()
}
