//! Whole-segment encryption as HLS knows it: AES-128-CBC, PKCS #7, the media sequence number as IV.
//!
//! Bytes in, bytes out, in place where the caller owns them: a segment of several megabytes is not copied. Which key a
//! segment gets, and for how long, is the key schedule's business. Every segment starts a new chain, so any one can be
//! decrypted alone. Standards: RFC 8216 §4.3.2.4 and §5.2, NIST SP 800-38A, RFC 5652 §6.3.

use aes::Aes128;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The most bytes that padding adds. A caller that reserves this much beside its segment spares a copy.
pub const PADDING_BYTES_MAX: usize = 16;

const BLOCK_BYTES: usize = 16;

/// A content key. Wiped when dropped; never shown, and not comparable, so that nothing compares it in variable time.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Key128([u8; 16]);

impl Key128 {
    /// Takes the key's bytes; the caller wipes its own copy.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, for the one who serves the key to those entitled.
    #[must_use]
    pub fn expose(&self) -> &[u8; 16] {
        &self.0
    }
}

impl std::fmt::Debug for Key128 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key128(..)")
    }
}

/// Why bytes could not be decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// The length is zero or no multiple of 16.
    #[error("{bytes} bytes are no whole number of cipher blocks")]
    NotBlocks {
        /// Bytes given.
        bytes: usize,
    },
    /// The padding is none: another key or number, or not a whole segment.
    #[error("padding is wrong, so key, number or bytes are")]
    BadPadding,
}

/// Encrypts a segment in place and gives it back, 1 to 16 bytes longer. Copies nothing when the vector has
/// [`PADDING_BYTES_MAX`] of spare capacity.
///
/// ```
/// use headend_media::crypt::{Key128, decrypt, encrypt};
/// let key = Key128::new([7; 16]);
/// let sealed = encrypt(&key, 42, b"transport stream".to_vec());
/// assert_eq!(sealed.len(), 32);
/// assert_eq!(decrypt(&key, 42, sealed).unwrap(), b"transport stream");
/// ```
#[must_use]
pub fn encrypt(key: &Key128, number: u64, segment: Vec<u8>) -> Vec<u8> {
    encrypt_from(key, iv(number), segment)
}

/// Appends the encrypted form of `plain` to `out`, for a caller that must keep the clear bytes.
pub fn append_encrypted(key: &Key128, number: u64, plain: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + padded_bytes(plain.len()), 0);
    encryptor(key, iv(number))
        .encrypt_padded_b2b::<Pkcs7>(plain, &mut out[start..])
        .expect("resized to the padded length just above");
}

/// Decrypts a segment in place, for probes and tests.
///
/// # Errors
/// [`Defect`] when the bytes are no segment of this key and number. A wrong number alone damages only the first 16
/// bytes and is not noticed, since CBC does not authenticate.
pub fn decrypt(key: &Key128, number: u64, segment: Vec<u8>) -> Result<Vec<u8>, Defect> {
    decrypt_from(key, number.into(), segment)
}

/// The same with an initialization vector of its own, as other servers write in the IV attribute of a KEY tag.
///
/// # Errors
/// As [`decrypt`].
pub fn decrypt_from(key: &Key128, iv: u128, mut segment: Vec<u8>) -> Result<Vec<u8>, Defect> {
    let bytes = segment.len();
    if bytes == 0 || !bytes.is_multiple_of(BLOCK_BYTES) {
        return Err(Defect::NotBlocks { bytes });
    }
    let cipher = cbc::Decryptor::<Aes128>::new(key.expose().into(), &iv.to_be_bytes().into());
    let plain = cipher.decrypt_padded::<Pkcs7>(&mut segment).map_err(|_| Defect::BadPadding)?.len();
    segment.truncate(plain);
    Ok(segment)
}

/// Length of a segment of `plain` bytes once encrypted: PKCS #7 always adds 1 to 16.
#[must_use]
pub fn padded_bytes(plain: usize) -> usize {
    (plain / BLOCK_BYTES + 1) * BLOCK_BYTES
}

fn encrypt_from(key: &Key128, iv: [u8; 16], mut segment: Vec<u8>) -> Vec<u8> {
    let plain = segment.len();
    segment.resize(padded_bytes(plain), 0);
    encryptor(key, iv).encrypt_padded::<Pkcs7>(&mut segment, plain).expect("resized to the padded length just above");
    segment
}

fn encryptor(key: &Key128, iv: [u8; 16]) -> cbc::Encryptor<Aes128> {
    cbc::Encryptor::new(key.expose().into(), &iv.into())
}

/// Adds the padding (RFC 5652 §6.3), for a caller that encrypts whole blocks by itself.
pub fn pad(segment: &mut Vec<u8>) {
    let plain = segment.len();
    let padded = padded_bytes(plain);
    let count = u8::try_from(padded - plain).expect("at most a block");
    segment.resize(padded, count);
}

/// A segment's IV: its number as a big-endian 128-bit integer (RFC 8216 §5.2).
#[must_use]
pub fn iv(number: u64) -> [u8; 16] {
    u128::from(number).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn nist_sp_800_38a_f_2_1() {
        let key = Key128::new(hex("2b7e151628aed2a6abf7158809cf4f3c").try_into().unwrap());
        let iv = hex("000102030405060708090a0b0c0d0e0f").try_into().unwrap();
        let plain = hex(concat!(
            "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51",
            "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
        ));
        let sealed = hex(concat!(
            "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2",
            "73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7"
        ));
        let got = encrypt_from(&key, iv, plain);
        assert_eq!(got[..sealed.len()], sealed);
        assert_eq!(got.len(), sealed.len() + 16, "a whole block of padding follows");
    }

    #[test]
    fn the_iv_is_the_number_as_128_bit_big_endian() {
        let mut want = [0; 16];
        want[8..].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(iv(0x0102_0304_0506_0708), want);
    }

    #[test]
    fn nothing_is_copied_when_there_is_room() {
        let mut segment = Vec::with_capacity(188 * 100 + PADDING_BYTES_MAX);
        segment.resize(188 * 100, 0x47);
        let before = segment.as_ptr();
        let sealed = encrypt(&Key128::new([1; 16]), 9, segment);
        assert_eq!(sealed.as_ptr(), before);
    }

    #[test]
    fn a_key_is_never_shown() {
        assert_eq!(format!("{:?}", Key128::new([0xAB; 16])), "Key128(..)");
    }

    #[test]
    fn defects() {
        let key = Key128::new([3; 16]);
        assert_eq!(decrypt(&key, 1, vec![]), Err(Defect::NotBlocks { bytes: 0 }));
        assert_eq!(decrypt(&key, 1, vec![0; 17]), Err(Defect::NotBlocks { bytes: 17 }));
        let sealed = encrypt(&key, 1, vec![9; 40]);
        assert_eq!(decrypt(&Key128::new([4; 16]), 1, sealed), Err(Defect::BadPadding));
    }

    proptest! {
        #[test]
        fn there_and_back(key in any::<[u8; 16]>(), number in any::<u64>(), plain in prop::collection::vec(any::<u8>(), 0..600)) {
            let key = Key128::new(key);
            let sealed = encrypt(&key, number, plain.clone());
            assert_eq!(sealed.len(), padded_bytes(plain.len()));
            let mut appended = vec![1, 2, 3];
            append_encrypted(&key, number, &plain, &mut appended);
            assert_eq!(appended[3..], sealed);
            assert_eq!(decrypt(&key, number, sealed).unwrap(), plain);
        }

        #[test]
        fn any_bytes_are_decrypted_or_refused(number in any::<u64>(), bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = decrypt(&Key128::new([5; 16]), number, bytes);
        }
    }
}
