//! Which machine code runs: one kernel for each instruction set, chosen at run time.
//!
//! A kernel has two halves. The stream cipher is bit-sliced: as many packets as a vector has bits, whatever their keys.
//! The block cipher of descrambling has no chain between blocks, so it takes all blocks of one key as one list, and a
//! part-filled batch costs it no more than its share. A [`Kernel`] can only be had for instructions this machine has.

use crate::block;
#[cfg(target_arch = "aarch64")]
use crate::neon::{self, Neon};
use crate::schedule::Schedule;
use crate::stream::{self, Work};
#[cfg(target_arch = "x86_64")]
use crate::x86::{
    avx2::{self, Avx2},
    avx512::{self, Avx512},
    sse2,
};

/// One way to run DVB-CSA1 on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Sse2,
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
}

impl Kernel {
    /// The kernel that runs anywhere.
    pub const PORTABLE: Self = Self(Kind::Portable);

    /// Every kernel this machine can run, slowest first; never empty.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut kernels = vec![Self::PORTABLE];
        #[cfg(target_arch = "x86_64")]
        {
            kernels.push(Self(Kind::Sse2));
            kernels.extend(Avx2::detect().map(|machine| Self(Kind::Avx2(machine))));
            kernels.extend(Avx512::detect().map(|machine| Self(Kind::Avx512(machine))));
        }
        #[cfg(target_arch = "aarch64")]
        kernels.extend(Neon::detect().map(|machine| Self(Kind::Neon(machine))));
        kernels
    }

    /// The fastest kernel this machine can run.
    #[must_use]
    pub fn best() -> Self {
        Self::available().pop().unwrap_or(Self::PORTABLE)
    }

    /// A short name for logs and benches.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Kind::Sse2 => "sse2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(_) => "avx512",
            #[cfg(target_arch = "aarch64")]
            Kind::Neon(_) => "neon",
        }
    }

    /// Packets of a full batch: 64 to 512. More are done in turns, fewer at some loss.
    #[must_use]
    pub fn batch(self) -> usize {
        match self.0 {
            Kind::Portable => 64,
            #[cfg(target_arch = "x86_64")]
            Kind::Sse2 => sse2::BATCH,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(_) => avx2::BATCH,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(_) => avx512::BATCH,
            #[cfg(target_arch = "aarch64")]
            Kind::Neon(_) => neon::BATCH,
        }
    }

    /// Fills the rows of keystream of a batch.
    pub(crate) fn keystream(self, work: Work<'_>) {
        match self.0 {
            Kind::Portable => stream::run::<u64>(work),
            #[cfg(target_arch = "x86_64")]
            Kind::Sse2 => sse2::keystream(work),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(machine) => machine.keystream(work),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(machine) => machine.keystream(work),
            #[cfg(target_arch = "aarch64")]
            Kind::Neon(machine) => machine.keystream(work),
        }
    }

    /// Decrypts blocks of one key, each on its own.
    pub(crate) fn decrypt(self, schedule: &Schedule, blocks: &mut [u64]) {
        match self.0 {
            Kind::Portable => block::decrypt(schedule, blocks),
            #[cfg(target_arch = "x86_64")]
            Kind::Sse2 => block::decrypt(schedule, blocks),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(machine) => machine.decrypt(schedule, blocks),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(machine) => machine.decrypt(schedule, blocks),
            #[cfg(target_arch = "aarch64")]
            Kind::Neon(machine) => machine.decrypt(schedule, blocks),
        }
    }

    /// Encrypts blocks of one key, each on its own.
    pub(crate) fn encrypt(self, schedule: &Schedule, blocks: &mut [u64]) {
        match self.0 {
            Kind::Portable => block::encrypt(schedule, blocks),
            #[cfg(target_arch = "x86_64")]
            Kind::Sse2 => block::encrypt(schedule, blocks),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(machine) => machine.encrypt(schedule, blocks),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(machine) => machine.encrypt(schedule, blocks),
            #[cfg(target_arch = "aarch64")]
            Kind::Neon(machine) => machine.encrypt(schedule, blocks),
        }
    }
}
