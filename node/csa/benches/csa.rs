//! DVB-CSA1 per core: every kernel beside Debian's libdvbcsa, in one run.
//!
//! `cargo bench -p headend-csa --bench csa`. Each case descrambles whole 188-byte packets in place, headers read and
//! verdicts written. Time is the thread's CPU clock, and rounds are interleaved, so that a busy machine slows all alike.
//! Rates are medians in megabits of payload a second; ratios are medians of the ratios inside each round.
#![expect(clippy::print_stdout, reason = "a bench prints")]
#![expect(unsafe_code, reason = "the thread's CPU clock is a C call")]

#[expect(dead_code, reason = "the bench runs batches only")]
#[path = "../tests/kernels/debian.rs"]
mod debian;

use headend_csa::{ControlWord, Descrambler, Kernel, KeyRing, PACKET_BYTES, Parity, Scrambler, Slot};

const PAYLOAD_BYTES: usize = 184;
const ROUNDS: usize = 21;

/// CPU seconds of one case in one round.
const ROUND_SECONDS: f64 = 0.02;

const WORD: [u8; 8] = [0x12, 0x34, 0x56, 0x9C, 0x78, 0x9A, 0xBC, 0xCE];
const OTHER_WORD: [u8; 8] = [0x21, 0x43, 0x65, 0xC9, 0x87, 0xA9, 0xCB, 0xFB];

/// Parts of a full batch that are measured; the first is the yardstick of the others.
const PARTS: [usize; 4] = [1, 2, 4, 16];

/// What is measured: it works on packets in place.
type Run<'c> = Box<dyn FnMut(&mut [u8]) + 'c>;

/// Something that processes a number of packets in one call.
struct Case<'c> {
    packets: usize,
    run: Run<'c>,
    rates: Vec<f64>,
}

/// One line of the table.
struct Line<'c> {
    name: String,
    cases: Vec<Case<'c>>,
}

impl<'c> Case<'c> {
    fn new(packets: usize, run: impl FnMut(&mut [u8]) + 'c) -> Self {
        Self { packets, run: Box::new(run), rates: vec![] }
    }

    fn measure(&mut self, control: u8) {
        let mut packets = packets(self.packets, control);
        let (start, mut calls, mut spent) = (cpu_seconds(), 0u32, 0.0);
        while spent < ROUND_SECONDS {
            packets.chunks_exact_mut(PACKET_BYTES).for_each(|packet| packet[3] = control | 0x10);
            (self.run)(&mut packets);
            calls += 1;
            spent = cpu_seconds() - start;
        }
        self.rates.push(f64::from(calls) * (self.packets * PAYLOAD_BYTES * 8) as f64 / spent / 1e6);
    }
}

/// Packets of two PIDs in turn.
fn packets(count: usize, control: u8) -> Vec<u8> {
    let mut bytes = vec![];
    for n in 0..count {
        bytes.extend([0x47, 0x01, n.to_le_bytes()[0] & 1, control | 0x10]);
        bytes.extend((0..PAYLOAD_BYTES).map(|at| (at * 31 + n * 17).to_le_bytes()[0]));
    }
    bytes
}

fn cpu_seconds() -> f64 {
    #[repr(C)]
    struct Timespec {
        seconds: i64,
        nanoseconds: i64,
    }
    unsafe extern "C" {
        fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
    }
    const THREAD_CPU: i32 = 3;
    let mut time = Timespec { seconds: 0, nanoseconds: 0 };
    // SAFETY: the structure is the C library's on 64-bit Linux and is written for the length of the call only.
    let failed = unsafe { clock_gettime(THREAD_CPU, &raw mut time) };
    assert_eq!(failed, 0, "no CPU clock for threads");
    time.seconds as f64 + time.nanoseconds as f64 / 1e9
}

fn fill(keys: &mut KeyRing, words: [[u8; 8]; 2]) -> Vec<Slot> {
    let mut slots = vec![];
    for (pid, word) in (0x100..).zip(words) {
        let slot = keys.add().expect("a slot");
        keys.assign(pid, &slot);
        keys.set(&slot, Parity::Even, &ControlWord::new(word));
        slots.push(slot);
    }
    slots
}

fn descrambling<'c>(name: String, kernel: Kernel, words: [[u8; 8]; 2], second_slot: bool) -> Line<'c> {
    let case = |part: usize| {
        let mut descrambler = Descrambler::new(kernel);
        let slots = fill(&mut descrambler.keys, words);
        if !second_slot {
            descrambler.keys.assign(0x101, &slots[0]);
        }
        let mut verdicts = vec![];
        Case::new(kernel.batch() / part, move |packets| descrambler.descramble(packets, &mut verdicts))
    };
    Line { name, cases: PARTS.map(case).into() }
}

fn scrambling<'c>(kernel: Kernel) -> Line<'c> {
    let case = |part: usize| {
        let mut scrambler = Scrambler::new(kernel);
        let slots = fill(&mut scrambler.keys, [WORD; 2]);
        scrambler.keys.assign(0x101, &slots[0]);
        Case::new(kernel.batch() / part, move |packets| {
            scrambler.scramble(packets, Parity::Even);
        })
    };
    Line { name: format!("{}, scrambling", kernel.name()), cases: PARTS.map(case).into() }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn ratio(case: &Case<'_>, to: &Case<'_>) -> f64 {
    median(case.rates.iter().zip(&to.rates).map(|(rate, to)| rate / to).collect())
}

fn main() {
    let library = debian::Library::open();
    let key = library.key(WORD);
    let debian = |part: usize| {
        Case::new(library.batch_size() / part, |packets: &mut [u8]| {
            key.decrypt_batch(packets.chunks_exact_mut(PACKET_BYTES).map(|packet| &mut packet[4..]));
        })
    };
    let mut lines = vec![Line { name: "Debian libdvbcsa".to_owned(), cases: PARTS.map(debian).into() }];
    for kernel in Kernel::available() {
        lines.push(descrambling(kernel.name().to_owned(), kernel, [WORD; 2], false));
    }
    let best = Kernel::best();
    lines.push(descrambling(format!("{}, two keys", best.name()), best, [WORD, OTHER_WORD], true));
    let first_scrambling = lines.len();
    lines.push(scrambling(best));
    for _ in 0..ROUNDS {
        for (n, line) in lines.iter_mut().enumerate() {
            let control = if n < first_scrambling { 0x80 } else { 0 };
            line.cases.iter_mut().for_each(|case| case.measure(control));
        }
    }
    print(&lines);
}

fn print(lines: &[Line<'_>]) {
    println!(
        "payload Mbit/s of one core's time, median of {ROUNDS} rounds; of a part-filled batch also its share of the full rate"
    );
    println!("{:<20} {:>7} {:>8} {:>7} {:>16} {:>16} {:>16}", "", "packets", "full", "ratio", "1/2", "1/4", "1/16");
    for line in lines {
        let full = &line.cases[0];
        let [_, parts @ ..] = line.cases.as_slice() else { continue };
        let parts: Vec<String> = parts
            .iter()
            .map(|part| format!("{:>9.0} ({:.2})", median(part.rates.clone()), ratio(part, full)))
            .collect();
        let (rate, times) = (median(full.rates.clone()), ratio(full, &lines[0].cases[0]));
        println!("{:<20} {:>7} {rate:>8.0} {times:>6.2}x {}", line.name, full.packets, parts.join(" "));
    }
}
