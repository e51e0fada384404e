//! The kernels of x86-64: SSE2, which every such processor has, AVX2, and AVX-512 with VBMI and GFNI.
//!
//! Each machine is a value that only its `detect` makes, so that having one proves the instructions are there.

pub(crate) mod aes;
pub(crate) mod avx2;
pub(crate) mod avx512;
pub(crate) mod sse2;
