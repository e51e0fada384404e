//! Batches of payloads through a kernel: who goes into which lane, in which order, and what is done with the ends.
//!
//! Payloads may differ in key and length. Those of one key lie side by side, so that the block cipher sees one long list
//! per key. A batch is as deep as its longest payload, so where there is more than one batch the payloads are first
//! ordered by length. Scratch memory is made once, 200 kB for the widest kernel: a batch times 22 blocks of keystream and
//! 23 of data. Control words are wiped from it after each call, the rest when it is dropped; what the kernels leave on the
//! stack is not.

use crate::kernel::Kernel;
use crate::schedule::Schedule;
use crate::stream::Work;
use std::ops::Range;
use zeroize::{Zeroize, ZeroizeOnDrop};

const BLOCK_BYTES: usize = 8;

/// The longest payload: a packet without adaptation field, 184 bytes.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 184;

const BLOCKS_MAX: usize = PAYLOAD_BYTES_MAX / BLOCK_BYTES;

/// Room behind each row of keystream, so that rows do not share their low address bits and fall on one another in the cache.
const ROW_GAP: usize = 8;

/// Payloads whose blocks are decrypted in one go: all of it fits the first-level cache, and 64 full payloads are a whole
/// number of vectors for every kernel.
const GROUP: usize = 64;

/// One payload of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Job {
    /// Where the payload starts in the caller's bytes.
    pub(crate) start: usize,
    /// 8 to [`PAYLOAD_BYTES_MAX`] bytes.
    pub(crate) len: usize,
    /// Which of the caller's keys.
    pub(crate) key: usize,
}

impl Job {
    fn range(self) -> Range<usize> {
        self.start..self.start + self.len
    }

    fn blocks(self) -> usize {
        self.len / BLOCK_BYTES
    }

    /// Rows of keystream that reach the end of the payload: all but the first block, and the residue.
    fn rows(self) -> usize {
        self.len.div_ceil(BLOCK_BYTES) - 1
    }
}

/// A kernel with its scratch memory.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Cipher {
    #[zeroize(skip)]
    kernel: Kernel,
    words: Vec<u64>,
    firsts: Vec<u64>,
    rows: Vec<u64>,
    blocks: Vec<u64>,
    mixed: Vec<u64>,
}

impl Cipher {
    pub(crate) fn new(kernel: Kernel) -> Self {
        let batch = kernel.batch();
        let list = GROUP.max(batch) * BLOCKS_MAX;
        Self {
            kernel,
            words: vec![0; batch],
            firsts: vec![0; batch],
            rows: vec![0; (batch + ROW_GAP) * (BLOCKS_MAX - 1)],
            blocks: vec![0; list],
            mixed: vec![0; GROUP * BLOCKS_MAX + 1],
        }
    }

    pub(crate) fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// Descrambles the payloads in place. Reorders `jobs`.
    pub(crate) fn descramble(&mut self, bytes: &mut [u8], jobs: &mut [Job], keys: &[Schedule]) {
        self.in_batches(jobs, |cipher, batch| {
            cipher.keystream(bytes, batch, keys);
            for (lane, run) in runs(batch) {
                for (group, jobs) in run.chunks(GROUP).enumerate() {
                    cipher.descramble_group(bytes, jobs, lane + group * GROUP, &keys[jobs[0].key]);
                }
            }
        });
    }

    /// Scrambles the payloads in place. Reorders `jobs`.
    pub(crate) fn scramble(&mut self, bytes: &mut [u8], jobs: &mut [Job], keys: &[Schedule]) {
        self.in_batches(jobs, |cipher, batch| {
            for (_, run) in runs(batch) {
                cipher.chain(bytes, run, &keys[run[0].key]);
            }
            cipher.keystream(bytes, batch, keys);
            for (lane, job) in batch.iter().enumerate() {
                cipher.cover(&mut bytes[job.range()][BLOCK_BYTES..], lane);
            }
        });
    }

    fn in_batches(&mut self, jobs: &mut [Job], mut run: impl FnMut(&mut Self, &mut [Job])) {
        let batch = self.kernel.batch();
        if jobs.len() > batch {
            jobs.sort_unstable_by_key(|job| job.rows());
        }
        for jobs in jobs.chunks_mut(batch) {
            jobs.sort_unstable_by_key(|job| job.key);
            run(self, jobs);
        }
        self.words.as_mut_slice().zeroize();
    }

    /// Makes the keystream of a batch from its keys and first blocks.
    fn keystream(&mut self, bytes: &[u8], jobs: &[Job], keys: &[Schedule]) {
        for ((word, first), job) in self.words.iter_mut().zip(&mut self.firsts).zip(jobs) {
            *word = keys[job.key].word();
            *first = first_block(&bytes[job.range()]);
        }
        let stride = self.kernel.batch() + ROW_GAP;
        let rows = jobs.iter().map(|job| job.rows()).max().unwrap_or(0);
        let rows = &mut self.rows[..rows * stride];
        self.kernel.keystream(Work { words: &self.words, firsts: &self.firsts, rows, stride, packets: jobs.len() });
    }

    /// Finishes payloads of one key whose keystream lies from `lane` on.
    fn descramble_group(&mut self, bytes: &mut [u8], jobs: &[Job], lane: usize, key: &Schedule) {
        let stride = self.kernel.batch() + ROW_GAP;
        let mut filled = 0;
        for (lane, job) in (lane..).zip(jobs) {
            let (blocks, residue) = bytes[job.range()].as_chunks_mut::<BLOCK_BYTES>();
            let mixed = &mut self.mixed[filled..filled + blocks.len()];
            let column = self.rows[lane..].iter().step_by(stride);
            mixed[0] = u64::from_le_bytes(blocks[0]);
            for ((mixed, block), stream) in mixed[1..].iter_mut().zip(&blocks[1..]).zip(column) {
                *mixed = u64::from_le_bytes(*block) ^ stream;
            }
            if !residue.is_empty() {
                add(residue, self.rows[lane + (blocks.len() - 1) * stride]);
            }
            filled += blocks.len();
        }
        let blocks = &mut self.blocks[..filled];
        blocks.copy_from_slice(&self.mixed[..filled]);
        self.kernel.decrypt(key, blocks);
        let (mut blocks, mut mixed) = (&*blocks, &self.mixed[..filled]);
        for job in jobs {
            let (plain, chain);
            (plain, blocks) = blocks.split_at(job.blocks());
            (chain, mixed) = mixed.split_at(job.blocks());
            // Each block is chained to the one behind it; the last stands alone.
            let chain = chain[1..].iter().chain(&[0]);
            let (out, _) = bytes[job.range()].as_chunks_mut::<BLOCK_BYTES>();
            for ((out, plain), next) in out.iter_mut().zip(plain).zip(chain) {
                *out = (plain ^ next).to_le_bytes();
            }
        }
    }

    /// Encrypts payloads of one key with the block cipher alone, each from its last whole block to its first.
    fn chain(&mut self, bytes: &mut [u8], jobs: &[Job], key: &Schedule) {
        for back in 1..=BLOCKS_MAX {
            let active = || jobs.iter().filter(|job| job.blocks() >= back);
            let mut filled = 0;
            for job in active() {
                let (blocks, _) = bytes[job.range()].as_chunks::<BLOCK_BYTES>();
                let at = blocks.len() - back;
                let next = blocks.get(at + 1).copied().map_or(0, u64::from_le_bytes);
                self.blocks[filled] = u64::from_le_bytes(blocks[at]) ^ next;
                filled += 1;
            }
            self.kernel.encrypt(key, &mut self.blocks[..filled]);
            for (job, block) in active().zip(&self.blocks) {
                let (blocks, _) = bytes[job.range()].as_chunks_mut::<BLOCK_BYTES>();
                blocks[job.blocks() - back] = block.to_le_bytes();
            }
        }
    }

    /// Adds a lane's keystream to everything behind the first block.
    fn cover(&self, rest: &mut [u8], lane: usize) {
        let stride = self.kernel.batch() + ROW_GAP;
        for (piece, &stream) in rest.chunks_mut(BLOCK_BYTES).zip(self.rows[lane..].iter().step_by(stride)) {
            add(piece, stream);
        }
    }
}

/// Neighbours with the same key, and where each run of them starts.
fn runs(jobs: &[Job]) -> impl Iterator<Item = (usize, &[Job])> {
    jobs.chunk_by(|a, b| a.key == b.key).scan(0, |lane, run| {
        let start = *lane;
        *lane += run.len();
        Some((start, run))
    })
}

fn first_block(payload: &[u8]) -> u64 {
    payload.first_chunk().copied().map_or(0, u64::from_le_bytes)
}

fn add(bytes: &mut [u8], stream: u64) {
    bytes.iter_mut().zip(stream.to_le_bytes()).for_each(|(byte, stream)| *byte ^= stream);
}
