//! The stream cipher of DVB-CSA1, one packet in each bit of a vector.
//!
//! The two chains of ten nibbles shift by one place a step. Nothing is moved for that: a chain lies in a longer array and
//! its start walks down, so that after 32 steps only ten registers are copied back up. Keys and first blocks come in,
//! keystream goes out, as plain 64-bit blocks, one per packet; keys may differ from packet to packet at no cost. The
//! reference is `reference.rs`.

use crate::lane::Lane;
use crate::tables::COMBINER_TAPS;

/// Steps for 64 bits of keystream, and for taking in the first block.
const STEPS: usize = 32;

/// The registers of a chain.
const CHAIN: usize = 10;

/// A chain's array: ten registers and room for the walk.
type Walk<L> = [[L; 4]; CHAIN + STEPS];

/// What a packet's keystream starts from, and where it goes: `words` and `firsts` have a block for each of the machine's
/// packets, `rows` a row of at least as many for every block of keystream.
pub(crate) struct Work<'w> {
    pub(crate) words: &'w [u64],
    pub(crate) firsts: &'w [u64],
    pub(crate) rows: &'w mut [u64],
    /// Distance of two rows, in blocks.
    pub(crate) stride: usize,
    /// How many of the packets are there; what comes out for the others is of no use.
    pub(crate) packets: usize,
}

/// Fills every row with the keystream of its packets.
#[inline(always)]
pub(crate) fn run<L: Lane>(work: Work<'_>) {
    assert!(work.packets <= 64 * L::WORDS, "a bit of a vector for every packet");
    let mut stream = Stream::<L>::new(work.words);
    stream.take(work.firsts);
    for row in work.rows.chunks_exact_mut(work.stride) {
        stream.give(row);
    }
}

struct Stream<L> {
    a: Walk<L>,
    b: Walk<L>,
    rest: Rest<L>,
}

/// Everything outside the two chains.
#[derive(Clone, Copy)]
struct Rest<L> {
    x: [L; 4],
    y: [L; 4],
    z: [L; 4],
    e: [L; 4],
    f: [L; 4],
    p: L,
    q: L,
    carry: L,
}

impl<L: Lane> Stream<L> {
    #[inline(always)]
    fn new(words: &[u64]) -> Self {
        let zero = L::splat(0);
        let nibble = [zero; 4];
        let rest = Rest { x: nibble, y: nibble, z: nibble, e: nibble, f: nibble, p: zero, q: zero, carry: zero };
        let mut stream = Self { a: [nibble; CHAIN + STEPS], b: [nibble; CHAIN + STEPS], rest };
        let key = load(words);
        for register in 0..8 {
            stream.a[STEPS + register] = nibble_of(&key, register);
            stream.b[STEPS + register] = nibble_of(&key, register + 8);
        }
        stream
    }

    /// Takes in each packet's first block.
    #[inline(always)]
    fn take(&mut self, firsts: &[u64]) {
        let block = load::<L>(firsts);
        let mut rest = self.rest;
        let mut d = [L::splat(0); 4];
        for now in 0..STEPS {
            // Each byte is given twice, its nibbles to either chain in turn.
            let byte = now / 4 * 2;
            let (to_a, to_b) = (nibble_of(&block, byte + now % 2), nibble_of(&block, byte + 1 - now % 2));
            let to_a = [0, 1, 2, 3].map(|bit| d[bit].xor(to_a[bit]));
            d = step(window(&mut self.a, now), window(&mut self.b, now), &mut rest, Some([to_a, to_b]));
        }
        self.rest = rest;
        self.walk_back();
    }

    /// Writes each packet's next block of keystream.
    #[inline(always)]
    fn give(&mut self, row: &mut [u64]) {
        let mut planes = [L::splat(0); 64];
        let mut rest = self.rest;
        for (byte, planes) in planes.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            for pair in 0..4 {
                let now = 4 * byte + pair;
                let d = step(window(&mut self.a, now), window(&mut self.b, now), &mut rest, None);
                planes[7 - 2 * pair] = d[2].xor(d[3]);
                planes[6 - 2 * pair] = d[0].xor(d[1]);
            }
        }
        self.rest = rest;
        self.walk_back();
        L::from_planes(&mut planes);
        for (vector, words) in planes.iter().zip(row.chunks_exact_mut(L::WORDS)) {
            vector.store(words);
        }
    }

    #[inline(always)]
    fn walk_back(&mut self) {
        self.a.copy_within(..CHAIN, STEPS);
        self.b.copy_within(..CHAIN, STEPS);
    }
}

/// Registers 1 to 10 of a chain at a step, behind the place for the one that enters.
type Window<L> = [[L; 4]; CHAIN + 1];

#[inline(always)]
fn window<L: Lane>(walk: &mut Walk<L>, now: usize) -> &mut Window<L> {
    let new = STEPS - 1 - now;
    (&mut walk[new..=new + CHAIN]).try_into().expect("eleven registers")
}

/// One step of all packets, in which the nibbles of `feed` enter the chains as well. Gives the combiner's nibble.
///
/// The S-boxes come last, when the registers they fill have been used: the machine has few to spare.
#[inline(always)]
fn step<L: Lane>(a: &mut Window<L>, b: &mut Window<L>, rest: &mut Rest<L>, feed: Option<[[L; 4]; 2]>) -> [L; 4] {
    let Rest { x, y, z, e, f, p, q, carry } = *rest;
    let mut next_b = [0, 1, 2, 3].map(|bit| b[7][bit].xor3(b[10][bit], y[bit]));
    for bit in 0..4 {
        a[0][bit] = a[10][bit].xor(x[bit]);
        if let Some([to_a, to_b]) = feed {
            a[0][bit] = a[0][bit].xor(to_a[bit]);
            next_b[bit] = next_b[bit].xor(to_b[bit]);
        }
    }
    let (mut d, mut next_f, mut sum_carry) = (e, e, carry);
    for bit in 0..4 {
        b[0][bit] = p.select(next_b[(bit + 3) % 4], next_b[bit]);
        let [t, u, v, w] = COMBINER_TAPS[bit].map(|(register, bit)| b[register][bit]);
        d[bit] = t.xor3(u, v).xor3(w, e[bit].xor(z[bit]));
        next_f[bit] = z[bit].xor(sum_carry).and(q).xor(e[bit]);
        sum_carry = z[bit].majority(e[bit], sum_carry);
    }
    let carry = q.select(sum_carry, carry);

    let [[low1, high1], [low2, high2], [low3, high3], [low4, high4], [low5, high5], [low6, high6], [low7, high7]] =
        L::stream_sboxes(a);
    *rest = Rest {
        x: [high1, high2, low3, low4],
        y: [high3, high4, low5, low6],
        z: [high5, high6, low1, low2],
        e: f,
        f: next_f,
        p: high7,
        q: low7,
        carry,
    };
    d
}

/// One block per packet, as 64 vectors of one bit each.
#[inline(always)]
fn load<L: Lane>(blocks: &[u64]) -> [L; 64] {
    let mut vectors = [L::splat(0); 64];
    for (vector, words) in vectors.iter_mut().zip(blocks.chunks_exact(L::WORDS)) {
        *vector = L::load(words);
    }
    L::to_planes(&mut vectors);
    vectors
}

/// The nibbles of a block, upper one of each byte first.
#[inline(always)]
fn nibble_of<L: Lane>(block: &[L; 64], nibble: usize) -> [L; 4] {
    let low = nibble / 2 * 8 + 4 * (1 - nibble % 2);
    [block[low], block[low + 1], block[low + 2], block[low + 3]]
}
