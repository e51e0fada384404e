//! Looped files: no receiver can tell where they begin again.

mod analyser;

use std::sync::LazyLock;

use analyser::Reading;
use bytes::Bytes;
use headend_media::splice::{LoopFile, SpliceError};
use headend_media::time::Ticks90k;
use proptest::prelude::{ProptestConfig, any, prop, proptest};

const H264_AAC: &[u8] = include_bytes!("../../../tests/fixtures/ts/h264-aac.ts");
const FRANCE2: &[u8] = include_bytes!("../../../tests/fixtures/ts/france2.ts");
const RAI: &[u8] = include_bytes!("../../../tests/fixtures/ts/rai1.ts");
const EAC3: &[u8] = include_bytes!("../../../tests/fixtures/ts/eac3.ts");
const START: Ticks90k = Ticks90k::from_secs(1_800_000_000);

fn read(file: &LoopFile, from: Ticks90k, length: Ticks90k) -> Vec<u8> {
    let (mut cursor, mut out) = (file.seek(from), vec![]);
    file.read_until(&mut cursor, from + length, &mut out);
    out
}

/// Plays five passes and more of a file; checks its length and the lead's steps, which must all be alike.
fn check(bytes: &'static [u8], service: Option<u16>, length_ms: i64, lead: u16, step: i64) {
    let file = LoopFile::parse(Bytes::from_static(bytes), service).expect("a recording that loops");
    assert_eq!(file.length().as_millis(), length_ms);
    let from = START + Ticks90k::from_millis(700);
    let reading = Reading::of(&read(&file, from, Ticks90k(file.length().0 * 5)));
    assert_eq!(reading.breaks, []);
    let steps = reading.steps(lead);
    assert!(steps.len() > 20 && steps.iter().all(|s| (s - step).abs() <= 2), "{steps:?}");
    for pid in reading.pcrs.keys() {
        // Of other services the pass lacks the picture that the file's end cuts off.
        let most = if *pid == lead { 9_000 } else { 27_000 };
        let steps = reading.pcr_steps(*pid);
        assert!(steps.iter().all(|step| (0..=most).contains(step)), "pcr on {pid}: {steps:?}");
    }
}

#[test]
fn recordings_loop_without_a_jump() {
    check(H264_AAC, None, 10_000, 0x65, 3_600);
    check(FRANCE2, Some(257), 440, 0x78, 3_600);
    check(RAI, None, 960, 0x200, 3_600);
    check(RAI, Some(3404), 1_152, 0x28D, 17_280);
    check(EAC3, None, 9_996, 0x103, 21_943);
}

#[test]
fn sound_goes_on_over_the_splice() {
    let file = LoopFile::parse(Bytes::from_static(H264_AAC), None).unwrap();
    let reading = Reading::of(&read(&file, START, Ticks90k(file.length().0 * 4)));
    let steps = reading.steps(0x64);
    assert!(steps.iter().all(|step| (960..=2_880).contains(step)), "{steps:?}");
    assert!(reading.es(0x64).starts_with(&[0xFF, 0xF1]), "sound begins with a whole frame");
    let whole = &reading.units[&0x64];
    assert!(whole.iter().rev().skip(1).all(|unit| unit.payload.starts_with(&[0xFF, 0xF1])));
}

#[test]
fn tables_come_soon_and_often() {
    let file = LoopFile::parse(Bytes::from_static(H264_AAC), None).unwrap();
    for from in [0, 3_300, 9_900] {
        let half = read(&file, START + Ticks90k::from_millis(from), Ticks90k::from_millis(500));
        for pid in [0, 0x63] {
            assert!(half.chunks(188).any(|packet| u16::from_be_bytes([packet[1] & 0x1F, packet[2]]) == pid));
        }
    }
}

#[test]
fn all_services_of_a_multiplex_play_along() {
    let file = LoopFile::parse(Bytes::from_static(RAI), None).unwrap();
    let reading = Reading::of(&read(&file, START, Ticks90k(file.length().0 * 3)));
    for pid in [0x200, 0x201, 0x202, 0x208, 0x1F4, 0x28A, 0x28D, 0x240] {
        assert!(reading.units[&pid].len() > 2, "{pid:#x}");
    }
    assert_eq!(reading.unfinished(), []);
}

#[test]
fn what_cannot_be_looped() {
    let check = |bytes: &[u8], want| {
        assert_eq!(LoopFile::parse(Bytes::copy_from_slice(bytes), None).map(|_| ()), Err(want));
    };
    check(&[], SpliceError::NoPackets);
    check(&[0x48; 1_000], SpliceError::NoPackets);
    check(&FRANCE2[188 * 200..188 * 400], SpliceError::NoService);
    check(&H264_AAC[..188 * 300], SpliceError::NoTrack);
    check(&FRANCE2[..188 * 1_500], SpliceError::NoEntry);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_same_place_has_the_same_packets(from in 0_i64..6_000, cuts in prop::collection::vec(1_i64..1_000, 0..8)) {
        static FILE: LazyLock<LoopFile> = LazyLock::new(|| LoopFile::parse(Bytes::from_static(RAI), None).unwrap());
        let file = &*FILE;
        let (from, end) = (START + Ticks90k::from_millis(from), START + Ticks90k::from_millis(9_000));
        let whole = read(file, from, end - from);
        let (mut cursor, mut pieces, mut at) = (file.seek(from), vec![], from);
        for cut in cuts {
            at += Ticks90k::from_millis(cut);
            file.read_until(&mut cursor, at.min(end), &mut pieces);
        }
        file.read_until(&mut cursor, end, &mut pieces);
        assert!(whole == pieces);
        let late = from + Ticks90k((end - from).0 / 2);
        assert!(whole.ends_with(&read(file, late, end - late)));
    }

    #[test]
    fn damaged_files_are_read_or_refused(
        flips in prop::collection::vec((0..600_000_usize, any::<u8>()), 0..400), start in 0..1_000_usize, end in 0..600_000_usize,
    ) {
        let mut bytes = FRANCE2[..600_000].to_vec();
        flips.iter().for_each(|(at, byte)| bytes[*at] = *byte);
        if let Ok(file) = LoopFile::parse(Bytes::copy_from_slice(&bytes[start.min(end)..end]), None) {
            let out = read(&file, START, Ticks90k::from_millis(100));
            assert!(out.len() < 100 << 20);
        }
    }
}
