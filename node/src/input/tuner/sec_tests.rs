//! Golden vectors: what goes up the cable, byte for byte, in the words of a DiSEqC log.

use proptest::prelude::*;

use super::*;
use crate::input::tuner::mux::{Name, tests::feed};

fn dish(lnb: &str, switch: Switch) -> Antenna {
    Antenna { name: Name::new("astra").unwrap(), kind: AntennaKind::Dish { lnb: lnb.parse().unwrap(), switch } }
}

fn satellite(mhz: u64, wave: &str) -> Delivery {
    feed(&format!("dvb://a?system=s2&frequency={mhz}MHz&polarisation={wave}&symbol_rate=22000kBd")).unwrap().delivery
}

fn words(plan: &Plan) -> String {
    let word = |step: &Step| match step {
        Step::Tone(on) => if *on { "tone" } else { "no-tone" }.to_owned(),
        Step::Voltage(Voltage::V13) => "13V".to_owned(),
        Step::Voltage(Voltage::V18) => "18V".to_owned(),
        Step::HighVoltage(_) => "+1V".to_owned(),
        Step::Message(message) => message.bytes().iter().map(|byte| format!("{byte:02X}")).collect(),
        Step::Burst(burst) => format!("burst-{burst:?}"),
        Step::Wait(wait) => format!("{}", wait.as_millis()),
    };
    let steps: Vec<String> = plan.steps.iter().map(word).collect();
    format!("{} > {}", steps.join(" "), plan.tune_to)
}

fn check(antenna: &Antenna, outlet: Outlet, mux: (u64, &str), attempt: u32, want: &str) {
    let got =
        plan(antenna, &outlet, &satellite(mux.0, mux.1), attempt, 0).map_or_else(|e| e.to_string(), |p| words(&p));
    assert_eq!(got, want);
}

#[test]
fn one_dish_by_voltage_and_tone() {
    let dish = dish("universal", Switch::None);
    check(&dish, Outlet::default(), (11_538, "v"), 0, "no-tone 13V 30 > 1788MHz");
    check(&dish, Outlet::default(), (11_538, "h"), 0, "no-tone 18V 30 > 1788MHz");
    check(&dish, Outlet::default(), (12_207, "r"), 0, "no-tone 13V 30 tone > 1607MHz");
    check(&dish, Outlet { slave: true, ..Outlet::default() }, (12_207, "h"), 0, " > 1607MHz");
    check(
        &dish,
        Outlet { high_voltage: true, ..Outlet::default() },
        (12_207, "l"),
        0,
        "no-tone +1V 18V 30 tone > 1607MHz",
    );
    check(&dish, Outlet::default(), (12_207, "h"), 2, "no-tone +1V 18V 400 tone > 1607MHz");
}

#[test]
fn tone_burst_and_committed_switches() {
    let switch = |committed, burst| Switch::Diseqc(Diseqc { committed, burst, ..Diseqc::default() });
    let burst = dish("universal", switch(None, Some(Burst::B)));
    check(&burst, Outlet::default(), (11_538, "v"), 0, "no-tone 13V 30 burst-B 15 > 1788MHz");
    for (input, wave, mhz, want) in [
        (1, "v", 11_538, "no-tone 13V 30 E01038F0 25 > 1788MHz"),
        (1, "h", 11_538, "no-tone 18V 30 E01038F2 25 > 1788MHz"),
        (2, "h", 12_207, "no-tone 18V 30 E01038F7 25 tone > 1607MHz"),
        (4, "v", 12_207, "no-tone 13V 30 E01038FD 25 tone > 1607MHz"),
    ] {
        check(&dish("universal", switch(Some(input), None)), Outlet::default(), (mhz, wave), 0, want);
    }
    let both = dish("universal", switch(Some(1), Some(Burst::A)));
    check(&both, Outlet::default(), (12_207, "v"), 0, "no-tone 13V 30 E01038F1 25 burst-A 15 tone > 1607MHz");
}

#[test]
fn cascades_and_repeats() {
    let cascade = Diseqc { committed: Some(2), uncommitted: Some(16), ..Diseqc::default() };
    let with = |diseqc| dish("universal", Switch::Diseqc(diseqc));
    let outlet = Outlet::default();
    check(&with(cascade), outlet, (12_207, "h"), 0, "no-tone 18V 30 E01039FF 110 E01038F7 25 tone > 1607MHz");
    check(
        &with(Diseqc { repeats: 1, ..cascade }),
        outlet,
        (12_207, "h"),
        0,
        "no-tone 18V 30 E01039FF 110 E01038F7 25 E11039FF 110 E11038F7 25 tone > 1607MHz",
    );
    check(
        &with(Diseqc { committed_first: true, ..cascade }),
        outlet,
        (12_207, "h"),
        0,
        "no-tone 18V 30 E01038F7 25 E01039FF 25 tone > 1607MHz",
    );
    // The second attempt is patient and says everything twice.
    check(
        &with(cascade),
        outlet,
        (12_207, "h"),
        1,
        "no-tone 18V 150 E01039FF 150 E01038F7 60 E11039FF 150 E11038F7 60 tone > 1607MHz",
    );
}

#[test]
fn single_cable_of_the_first_standard() {
    let antenna = |position| dish("universal", Switch::Unicable { standard: UnicableStandard::En50494, position });
    let band = |number, mhz, pin| Outlet {
        user_band: Some(UserBand { number, centre: Hertz::from_mhz(mhz), pin }),
        ..Outlet::default()
    };
    // 1788 + 1210 MHz are 749.5 steps of 4 MHz; less 350 makes 400, 0x190. The slot's centre moves by 2 MHz.
    check(&antenna(0), band(1, 1210, None), (11_538, "v"), 0, "no-tone 18V 12 E0105A0190 20 13V > 1212MHz");
    check(&antenna(1), band(4, 2096, None), (12_207, "h"), 0, "no-tone 18V 12 E0105A7E40 20 13V > 2097MHz");
    check(&antenna(0), band(8, 1210, Some(7)), (11_538, "v"), 1, "68 no-tone 18V 12 E0105CE19007 20 13V > 1212MHz");
    check(
        &antenna(0),
        Outlet::default(),
        (11_538, "v"),
        0,
        "antenna astra is a single cable: give the tuner a user_band",
    );
    let plan = plan(&antenna(0), &band(1, 1210, None), &satellite(11_538, "v"), 0, 0).unwrap();
    assert!(plan.exclusive);
}

#[test]
fn single_cable_of_the_second_standard() {
    let antenna = |position| dish("universal", Switch::Unicable { standard: UnicableStandard::En50607, position });
    let band = |number, mhz, pin| Outlet {
        user_band: Some(UserBand { number, centre: Hertz::from_mhz(mhz), pin }),
        ..Outlet::default()
    };
    // 1788 - 100 = 1688 = 0x698; slot 1; bank 0.
    check(&antenna(0), band(1, 1210, None), (11_538, "v"), 0, "no-tone 18V 12 70069800 20 13V > 1210MHz");
    // 1607 - 100 = 1507 = 0x5E3; slot 32; position 1, horizontal, high band.
    check(&antenna(1), band(32, 1210, None), (12_207, "h"), 0, "no-tone 18V 12 70FDE307 20 13V > 1210MHz");
    check(&antenna(0), band(1, 975, Some(200)), (11_538, "h"), 0, "no-tone 18V 12 71069802C8 20 13V > 975MHz");
}

/// The byte layouts, field by field, over every value of each field: EN 50494 clause 7.2.2 (data 1: user band in bits 7 to 5, bank in
/// bits 4 to 2, tuning word in bits 1 and 0; bank: position, horizontal, high band) and EN 50607 clause 8.2.2 (data 1: user band in
/// bits 7 to 3, tuning word in bits 2 to 0; data 3: position in bits 7 to 2, horizontal, high band).
#[test]
fn single_cable_fields_are_where_the_standards_have_them() {
    for standard in [UnicableStandard::En50494, UnicableStandard::En50607] {
        for number in 1..=standard.bands() {
            for position in 0..standard.positions() {
                for (mhz, wave, bank) in [(10_800, "v", 0), (12_000, "v", 1), (10_800, "h", 2), (12_000, "h", 3)] {
                    let band = UserBand { number, centre: Hertz::from_mhz(1210), pin: None };
                    let outlet = Outlet { user_band: Some(band), ..Outlet::default() };
                    let antenna = dish("universal", Switch::Unicable { standard, position });
                    let plan = plan(&antenna, &outlet, &satellite(mhz, wave), 0, 0).unwrap();
                    let bytes = plan.steps.iter().find_map(|step| match step {
                        Step::Message(message) => Some(message.bytes().to_vec()),
                        _ => None,
                    });
                    let intermediate: u16 = if mhz == 10_800 { 1_050 } else { 1_400 };
                    let want = match standard {
                        UnicableStandard::En50494 => {
                            // The step nearest to the sum of intermediate frequency and slot.
                            let word = (intermediate + 1_210 + 2) / 4 - 350;
                            let first =
                                (number - 1) * 32 + position * 16 + bank * 4 + u8::try_from(word / 256).unwrap();
                            vec![0xE0, 0x10, 0x5A, first, u8::try_from(word % 256).unwrap()]
                        }
                        UnicableStandard::En50607 => {
                            let word = intermediate - 100;
                            let first = (number - 1) * 8 + u8::try_from(word / 256).unwrap();
                            vec![0x70, first, u8::try_from(word % 256).unwrap(), position * 4 + bank]
                        }
                    };
                    assert_eq!(bytes, Some(want), "band {number}, position {position}, {mhz} {wave}");
                }
            }
        }
    }
}

#[test]
fn a_dish_is_no_rod() {
    let rod = Antenna { name: Name::new("roof").unwrap(), kind: AntennaKind::Terrestrial };
    check(
        &rod,
        Outlet::default(),
        (11_538, "v"),
        0,
        "DVB-S2 does not come from antenna roof: it is a terrestrial antenna",
    );
    let channel = feed("dvb://roof?system=t&frequency=474MHz").unwrap().delivery;
    let got = plan(&rod, &Outlet::default(), &channel, 0, 0).unwrap();
    assert_eq!((got.steps.len(), got.tune_to), (0, Hertz::from_mhz(474)));
    let dish = dish("universal", Switch::None);
    assert!(plan(&dish, &Outlet::default(), &channel, 0, 0).unwrap_err().to_string().ends_with("it is a dish"));
}

proptest! {
    #[test]
    fn every_plan_is_short_and_well_formed(
        mhz in 10_700..12_750_u64, wave in "[hvlr]", attempt in 0..9_u32, random in any::<u32>(),
        (committed, uncommitted, repeats) in (proptest::option::of(0..=255_u8), proptest::option::of(0..=255_u8), 0..=3_u8),
        (unicable, number, centre, position) in (any::<bool>(), any::<u8>(), 950..2150_u64, any::<u8>()),
    ) {
        let switch = if unicable {
            Switch::Unicable { standard: UnicableStandard::En50607, position }
        } else {
            Switch::Diseqc(Diseqc { committed, uncommitted, repeats, ..Diseqc::default() })
        };
        let outlet = Outlet { user_band: Some(UserBand { number, centre: Hertz::from_mhz(centre), pin: None }), ..Outlet::default() };
        let plan = plan(&dish("universal", switch), &outlet, &satellite(mhz, &wave), attempt, random).unwrap();
        prop_assert!(plan.waits() < Duration::from_secs(4), "{:?}", plan.waits());
        prop_assert!(plan.steps.len() <= 24);
        for step in &plan.steps {
            if let Step::Message(message) = step {
                prop_assert!((3..=6).contains(&message.bytes().len()));
            }
        }
    }
}
