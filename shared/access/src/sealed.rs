//! How secrets lie on a disk: encrypted and authenticated under the machine's storage key.
//!
//! Layout: version 1 | IV 16 bytes | AES-128-CBC ciphertext (PKCS #7) | HMAC-SHA256 32 bytes. Encrypt, then
//! MAC: the MAC covers version, context, IV and ciphertext and is checked first, in constant time, so the
//! padding never becomes an oracle. Both keys come from the storage key by HKDF. The context says what the
//! secret is ("root/7"); it is not stored but must be known to open, so a file put in another's place is
//! refused. An AEAD crate would do the same with one dependency more.
//!
//! Files, permissions and where the storage key comes from (a systemd credential) belong to the shell.

use aes::Aes128;
use cbc::{
    Decryptor, Encryptor,
    cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::Pkcs7},
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{
    schedule::{Day, DayKey, Generation, Root},
    secret::Secret,
};

const VERSION: u8 = 1;
const IV_BYTES: usize = 16;
const BLOCK_BYTES: usize = 16;
const MAC_BYTES: usize = 32;

/// Why sealed bytes did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another version, or too short to be one of ours.
    #[error("not sealed bytes of version {VERSION}")]
    Format,
    /// Changed, cut, sealed under another storage key, or sealed as something else.
    #[error("sealed bytes do not belong to this storage key and context")]
    Forged,
    /// Genuine, but not the length of the key it should hold.
    #[error("sealed bytes hold {bytes} bytes, a key has 32")]
    KeyLength {
        /// How many there were.
        bytes: usize,
    },
}

/// Seals `plain`, which may be empty. `iv` must be fresh random bytes each time: two seals under one IV show
/// how far their plaintexts agree. The result is 50 to 65 bytes longer than the plaintext.
#[must_use]
pub fn seal(storage_key: &[u8; 32], context: &str, iv: [u8; IV_BYTES], plain: &[u8]) -> Vec<u8> {
    let padded = plain.len() + BLOCK_BYTES - plain.len() % BLOCK_BYTES;
    let mut sealed = Vec::with_capacity(1 + IV_BYTES + padded + MAC_BYTES);
    sealed.push(VERSION);
    sealed.extend_from_slice(&iv);
    // The plaintext is encrypted where it will be stored, so that no second copy of it is left to wipe.
    sealed.extend_from_slice(plain);
    sealed.resize(1 + IV_BYTES + padded, 0);
    Encryptor::<Aes128>::new(cipher_key(storage_key).bytes().into(), &iv.into())
        .encrypt_padded::<Pkcs7>(&mut sealed[1 + IV_BYTES..], plain.len())
        .expect("room was made for the padding");
    let mac = mac(storage_key, context, &sealed[1..]).finalize().into_bytes();
    sealed.extend_from_slice(&mac);
    sealed
}

/// Opens what [`seal`] made under the same storage key and context. The plaintext is wiped when dropped.
///
/// # Errors
/// [`OpenError::Format`] or [`OpenError::Forged`]; nothing is decrypted unless the MAC is right.
pub fn open(storage_key: &[u8; 32], context: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let (&version, rest) = sealed.split_first().ok_or(OpenError::Format)?;
    let (body, tag) = rest.split_last_chunk::<MAC_BYTES>().ok_or(OpenError::Format)?;
    let (iv, ciphertext) = body.split_first_chunk::<IV_BYTES>().ok_or(OpenError::Format)?;
    if version != VERSION || ciphertext.is_empty() || !ciphertext.len().is_multiple_of(BLOCK_BYTES) {
        return Err(OpenError::Format);
    }
    mac(storage_key, context, body).verify_slice(tag).map_err(|_| OpenError::Forged)?;
    let mut plain = Zeroizing::new(ciphertext.to_vec());
    let bytes = Decryptor::<Aes128>::new(cipher_key(storage_key).bytes().into(), iv.into())
        .decrypt_padded::<Pkcs7>(&mut plain)
        .map_err(|_| OpenError::Forged)?
        .len();
    plain.truncate(bytes);
    Ok(plain)
}

impl Root {
    /// The root as stored by a controller; `iv` fresh and random as for [`seal`].
    #[must_use]
    pub fn seal(&self, storage_key: &[u8; 32], iv: [u8; 16]) -> Vec<u8> {
        seal(storage_key, &root_context(self.generation()), iv, self.secret())
    }

    /// Opens the stored root of a generation.
    ///
    /// # Errors
    /// As [`open`], and [`OpenError::KeyLength`].
    pub fn open(storage_key: &[u8; 32], generation: Generation, sealed: &[u8]) -> Result<Self, OpenError> {
        Ok(Self::new(generation, *open_key(storage_key, &root_context(generation), sealed)?))
    }
}

impl DayKey {
    /// The day key as stored by a node; `iv` fresh and random as for [`seal`].
    #[must_use]
    pub fn seal(&self, storage_key: &[u8; 32], iv: [u8; 16]) -> Vec<u8> {
        let context = day_context(self.channel(), self.generation(), self.day());
        seal(storage_key, &context, iv, self.reveal())
    }

    /// Opens the stored day key of a channel, generation and day.
    ///
    /// # Errors
    /// As [`open`], and [`OpenError::KeyLength`].
    pub fn open(
        storage_key: &[u8; 32],
        channel: &str,
        generation: Generation,
        day: Day,
        sealed: &[u8],
    ) -> Result<Self, OpenError> {
        let key = open_key(storage_key, &day_context(channel, generation, day), sealed)?;
        Ok(Self::new(channel, generation, day, *key))
    }
}

fn open_key(storage_key: &[u8; 32], context: &str, sealed: &[u8]) -> Result<Zeroizing<[u8; 32]>, OpenError> {
    let plain = open(storage_key, context, sealed)?;
    let key = <[u8; 32]>::try_from(plain.as_slice()).map_err(|_| OpenError::KeyLength { bytes: plain.len() })?;
    Ok(Zeroizing::new(key))
}

fn root_context(generation: Generation) -> String {
    format!("root/{generation}")
}

fn day_context(channel: &str, generation: Generation, day: Day) -> String {
    // The name comes last: it may hold slashes.
    format!("day/{generation}/{}/{channel}", day.0)
}

fn cipher_key(storage_key: &[u8; 32]) -> Secret<16> {
    Secret::derive(storage_key, &[b"headend/sealed/v1/encrypt"])
}

/// Over version, context with its length, IV and ciphertext.
fn mac(storage_key: &[u8; 32], context: &str, body: &[u8]) -> Hmac<Sha256> {
    let key = Secret::<32>::derive(storage_key, &[b"headend/sealed/v1/authenticate"]);
    let mut mac = Hmac::<Sha256>::new_from_slice(key.bytes()).expect("HMAC takes a key of any length");
    let context_bytes = u32::try_from(context.len()).expect("a context is a few words");
    mac.update(&[VERSION]);
    mac.update(&context_bytes.to_be_bytes());
    mac.update(context.as_bytes());
    mac.update(body);
    mac
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: [u8; 32] = [0x5A; 32];
    const IV: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    /// Opens `sealed` as "root/7" and compares text or error.
    fn check(key: &[u8; 32], context: &str, sealed: &[u8], want: Result<&str, OpenError>) {
        let got = open(key, context, sealed).map(|plain| String::from_utf8(plain.to_vec()).unwrap());
        assert_eq!(got, want.map(str::to_owned));
    }

    fn sample() -> Vec<u8> {
        seal(&KEY, "root/7", IV, b"attack at dawn")
    }

    /// Computed with `openssl enc -aes-128-cbc` and Python's `hmac`, not with this code.
    #[test]
    fn golden_bytes() {
        let want = "01000102030405060708090a0b0c0d0e0f21b3a4710b6e053fb610c38d8726e0c942af30f5ea309a6756af5808df\
                    7e8da02f94a604fda55f5d7514451f626f476c";
        assert_eq!(sample().iter().map(|b| format!("{b:02x}")).collect::<String>(), want);
    }

    #[test]
    fn opens_only_with_its_key_and_context() {
        check(&KEY, "root/7", &sample(), Ok("attack at dawn"));
        check(&[0x5B; 32], "root/7", &sample(), Err(OpenError::Forged));
        check(&KEY, "root/8", &sample(), Err(OpenError::Forged));
        check(&KEY, "", &sample(), Err(OpenError::Forged));
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_refused() {
        let sealed = sample();
        for keep in 0..sealed.len() {
            assert!(open(&KEY, "root/7", &sealed[..keep]).is_err(), "cut at {keep}");
        }
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&KEY, "root/7", &flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn roots_and_day_keys_come_back() {
        let root = Root::new(Generation(7), [3; 32]);
        let back = Root::open(&KEY, Generation(7), &root.seal(&KEY, IV)).unwrap();
        assert_eq!(back.secret(), root.secret());
        assert_eq!(Root::open(&KEY, Generation(8), &root.seal(&KEY, IV)).err(), Some(OpenError::Forged));

        let day = root.day_key("fr/france2", Day(19_675));
        let sealed = day.seal(&KEY, IV);
        let open = |channel, day| DayKey::open(&KEY, channel, Generation(7), Day(day), &sealed);
        assert_eq!(open("fr/france2", 19_675).unwrap().reveal(), day.reveal());
        assert_eq!(open("fr/france3", 19_675).err(), Some(OpenError::Forged));
        assert_eq!(open("fr/france2", 19_676).err(), Some(OpenError::Forged));
    }

    #[test]
    fn a_sealed_note_is_not_a_key() {
        let got = Root::open(&KEY, Generation(7), &sample()).err();
        assert_eq!(got, Some(OpenError::KeyLength { bytes: 14 }));
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens(key: [u8; 32], iv: [u8; 16], context in ".{0,20}", plain: Vec<u8>) {
            let sealed = seal(&key, &context, iv, &plain);
            prop_assert!(sealed.len() <= plain.len() + 65);
            let opened = open(&key, &context, &sealed).unwrap();
            prop_assert_eq!(opened.as_slice(), plain.as_slice());
        }

        #[test]
        fn any_bytes_are_refused(sealed: Vec<u8>) {
            prop_assert!(open(&KEY, "root/7", &sealed).is_err());
        }
    }
}
