//! Secret bytes in memory: one heap cell, wiped when dropped, silent in `Debug`.
//!
//! The cell is boxed because a value that moves over the stack leaves copies behind that nobody wipes. It does
//! not lock pages in memory; the image has no swap. Used by every key type of this package.

use std::fmt;

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroize;

/// `N` secret bytes.
#[derive(Clone)]
pub(crate) struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Moves `bytes` into the cell and wipes the argument; the caller wipes its own original.
    pub(crate) fn new(mut bytes: [u8; N]) -> Self {
        let cell = Box::new(bytes);
        bytes.zeroize();
        Self(cell)
    }

    /// HKDF-SHA256 without salt (RFC 5869 §2), written straight into the cell; `info` is concatenated.
    pub(crate) fn derive(ikm: &[u8], info: &[&[u8]]) -> Self {
        let mut cell = Box::new([0; N]);
        Hkdf::<Sha256>::new(None, ikm)
            .expand_multi_info(info, &mut cell[..])
            .expect("no key of ours is longer than 255 hash blocks");
        Self(cell)
    }

    pub(crate) fn bytes(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{N} secret bytes>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5869 A.3: no salt, no info, the first 32 of 42 bytes.
    #[test]
    fn derives_as_the_rfc_says() {
        let want = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d";
        let got = Secret::<32>::derive(&[0x0b; 22], &[]);
        assert_eq!(got.bytes().iter().map(|b| format!("{b:02x}")).collect::<String>(), want);
    }

    #[test]
    fn debug_is_silent() {
        assert_eq!(format!("{:?}", Secret::new([0xAB; 4])), "<4 secret bytes>");
    }
}
