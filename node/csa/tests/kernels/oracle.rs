//! Our DVB-CSA1 beside Debian's libdvbcsa: the reference, and every kernel this machine can run.

use crate::debian::Library;
use crate::packets::{self, KEYS, Plan, descrambler, plans, scrambler};
use headend_csa::{ControlWord, Kernel, Parity, Verdict, reference};
use proptest::prelude::{any, prop, proptest};
use proptest::test_runner::Config;

/// Scrambles a plan's packets one at a time with their library.
fn scrambled_by_debian(library: &Library, plan: &[Plan]) -> Vec<u8> {
    let keys = KEYS.map(|words| words.map(|word| library.key(word)));
    let mut stream = packets::stream(plan);
    for (packet, plan) in stream.as_chunks_mut::<188>().0.iter_mut().zip(plan) {
        let payload = plan.payload();
        keys[plan.service][plan.parity as usize].encrypt(&mut packet[payload.clone()]);
        if !payload.is_empty() {
            packets::mark(packet, plan.parity);
        }
    }
    stream
}

#[test]
fn the_reference_agrees_at_every_length() {
    let library = Library::open();
    for len in 0..=184usize {
        let plain: Vec<u8> = (0..len).map(|n: usize| (n * 7 + len).to_le_bytes()[0]).collect();
        let (mut ours, mut theirs) = (plain.clone(), plain.clone());
        reference::scramble(&ControlWord::new(KEYS[0][0]), &mut ours);
        library.key(KEYS[0][0]).encrypt(&mut theirs);
        assert_eq!(ours, theirs, "{len} bytes");
        reference::descramble(&ControlWord::new(KEYS[0][0]), &mut ours);
        assert_eq!(ours, plain, "{len} bytes");
    }
}

#[test]
fn every_kernel_agrees_around_its_batch() {
    let library = Library::open();
    for kernel in Kernel::available() {
        let batch = kernel.batch();
        for count in [1, 2, 63, 64, 65, batch / 2, batch / 2 + 1, batch - 1, batch, batch + 1, 2 * batch + 3] {
            let plan: Vec<Plan> = (0..count).map(Plan::varied).collect();
            let (clear, theirs) = (packets::stream(&plan), scrambled_by_debian(&library, &plan));
            let mut stream = clear.clone();
            packets::scramble(&mut scrambler(kernel), &mut stream, &plan);
            assert!(stream == theirs, "{} scrambles {count} packets otherwise", kernel.name());
            let mut verdicts = vec![];
            descrambler(kernel).descramble(&mut stream, &mut verdicts);
            assert!(stream == clear, "{} descrambles {count} packets otherwise", kernel.name());
            assert_eq!(verdicts.len(), count);
        }
    }
}

proptest! {
    #![proptest_config(Config::with_cases(64))]

    #[test]
    fn every_kernel_reads_what_they_write(plan in plans(300)) {
        let library = Library::open();
        let (clear, theirs) = (packets::stream(&plan), scrambled_by_debian(&library, &plan));
        for kernel in Kernel::available() {
            let (mut stream, mut verdicts) = (theirs.clone(), vec![]);
            descrambler(kernel).descramble(&mut stream, &mut verdicts);
            assert!(stream == clear, "{}", kernel.name());
            let want = |plan: &Plan| if plan.payload().is_empty() { Verdict::Clear } else { Verdict::Descrambled };
            assert!(verdicts.into_iter().eq(plan.iter().map(want)), "{}", kernel.name());
        }
    }

    #[test]
    fn the_reference_agrees(word in any::<[u8; 8]>(), payload in prop::collection::vec(any::<u8>(), 0..=184)) {
        let library = Library::open();
        let (mut ours, mut theirs) = (payload.clone(), payload);
        reference::descramble(&ControlWord::new(word), &mut ours);
        library.key(word).decrypt(&mut theirs);
        assert_eq!(ours, theirs);
    }
}

#[test]
fn their_batches_agree_with_their_single_packets() {
    let library = Library::open();
    let clear = packets::stream(
        &(0..300).map(|_| Plan { service: 0, parity: Parity::Even, adaptation: 0 }).collect::<Vec<_>>(),
    );
    let (mut batch, mut single) = (clear.clone(), clear.clone());
    let key = library.key(KEYS[0][0]);
    key.encrypt_batch(batch.as_chunks_mut::<188>().0.iter_mut().map(|packet| &mut packet[4..]));
    single.as_chunks_mut::<188>().0.iter_mut().for_each(|packet| key.encrypt(&mut packet[4..]));
    assert!(batch == single);
    key.decrypt_batch(batch.as_chunks_mut::<188>().0.iter_mut().map(|packet| &mut packet[4..]));
    assert!(batch == clear);
}
