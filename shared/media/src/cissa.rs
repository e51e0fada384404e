//! DVB-CISSA version 1: AES-128-CBC over the payload of each packet on its own.
//!
//! ETSI TS 103 127 §6.3.2: every packet starts a new chain from one fixed initialisation vector; only whole 16-byte blocks are
//! scrambled and what is left behind them (the residue, 0 to 15 bytes) stays in the clear, as do header and adaptation
//! field. Used between our nodes. Where keys come from, and which PID uses which, is for others to know. Packets are
//! independent, so there is no batch to fill; the eleven blocks of a full packet are decrypted side by side.

use crate::crypt::Key128;
use crate::packet::{PACKET_BYTES, Packet, Scrambling};
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, KeyInit};
use aes::{Aes128, Block};

/// "DVBTMCPTAESCISSA" (§6.3.1.2).
const IV: [u8; 16] = *b"DVBTMCPTAESCISSA";

const CONTROL: u8 = 0xC0;

/// Which of two keys, which take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parity {
    /// `transport_scrambling_control` 10.
    Even,
    /// `transport_scrambling_control` 11.
    Odd,
}

/// What became of a packet that was to be descrambled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was not scrambled, and is unchanged.
    Clear,
    /// It is now in the clear, its control bits too. Whether the key was the right one is not seen here.
    Descrambled,
    /// It is scrambled, its key is not here, and it is unchanged.
    NoKey,
    /// Its header cannot be relied upon, and it is unchanged.
    Damaged,
}

/// The even and the odd key of a service. Wiped when dropped.
#[derive(Default)]
pub struct Cissa {
    even: Option<Aes128>,
    odd: Option<Aes128>,
}

impl Cissa {
    /// A service without keys.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a key in place of the one before it.
    pub fn set(&mut self, parity: Parity, key: &Key128) {
        let cipher = Aes128::new(key.expose().into());
        *self.place(parity) = Some(cipher);
    }

    /// Wipes a key.
    pub fn forget(&mut self, parity: Parity) {
        *self.place(parity) = None;
    }

    /// Descrambles a packet in place.
    ///
    /// ```
    /// use headend_media::{cissa::{Cissa, Outcome, Parity}, crypt::Key128};
    /// let mut service = Cissa::new();
    /// service.set(Parity::Odd, &Key128::new([7; 16]));
    /// let mut packet = [0x47; 188];
    /// packet[3] = 0x10;
    /// let clear = packet;
    /// assert!(service.scramble(&mut packet, Parity::Odd));
    /// assert_eq!(service.descramble(&mut packet), Outcome::Descrambled);
    /// assert_eq!(packet, clear);
    /// ```
    pub fn descramble(&self, packet: &mut [u8; PACKET_BYTES]) -> Outcome {
        let Some((start, scrambling)) = read(packet) else { return Outcome::Damaged };
        let cipher = match scrambling {
            Scrambling::Clear => return Outcome::Clear,
            Scrambling::Reserved => return Outcome::NoKey,
            Scrambling::Even => &self.even,
            Scrambling::Odd => &self.odd,
        };
        let Some(cipher) = cipher else { return Outcome::NoKey };
        packet[3] &= !CONTROL;
        let (blocks, _residue) = Block::slice_as_chunks_mut(&mut packet[start..]);
        cbc::Decryptor::inner_iv_init(cipher, &IV.into()).decrypt_blocks(blocks);
        Outcome::Descrambled
    }

    /// Scrambles a packet in place and says whether it did: not without a key, and not a packet that has no payload, is
    /// damaged, or was scrambled before.
    pub fn scramble(&self, packet: &mut [u8; PACKET_BYTES], parity: Parity) -> bool {
        let Some((start, Scrambling::Clear)) = read(packet).filter(|(start, _)| *start < PACKET_BYTES) else {
            return false;
        };
        let (cipher, bits) = match parity {
            Parity::Even => (&self.even, 0x80),
            Parity::Odd => (&self.odd, 0xC0),
        };
        let Some(cipher) = cipher else { return false };
        packet[3] |= bits;
        let (blocks, _residue) = Block::slice_as_chunks_mut(&mut packet[start..]);
        cbc::Encryptor::inner_iv_init(cipher, &IV.into()).encrypt_blocks(blocks);
        true
    }

    fn place(&mut self, parity: Parity) -> &mut Option<Aes128> {
        match parity {
            Parity::Even => &mut self.even,
            Parity::Odd => &mut self.odd,
        }
    }
}

impl std::fmt::Debug for Cissa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cissa").field("even", &self.even.is_some()).field("odd", &self.odd.is_some()).finish()
    }
}

/// Where the payload starts, 188 when there is none, and the control bits; none if the header cannot be relied upon.
fn read(bytes: &[u8; PACKET_BYTES]) -> Option<(usize, Scrambling)> {
    let packet = Packet::new(bytes)?;
    let start = if packet.has_payload() { packet.payload_offset() } else { PACKET_BYTES };
    let sound = !packet.tei() && (packet.has_payload() || packet.has_adaptation()) && start <= PACKET_BYTES;
    sound.then(|| (start, packet.scrambling()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    fn service(parity: Parity) -> Cissa {
        let mut service = Cissa::new();
        service.set(parity, &Key128::new(std::array::from_fn(|n| n.to_le_bytes()[0])));
        service
    }

    /// A packet whose payload is `3 + 7n`, behind an adaptation field of `adaptation` bytes with its length byte.
    fn packet(adaptation: usize) -> [u8; PACKET_BYTES] {
        let mut packet = [0xFF; PACKET_BYTES];
        packet[..4].copy_from_slice(&[0x47, 0x01, 0x00, if adaptation == 0 { 0x1A } else { 0x3A }]);
        if adaptation > 0 {
            packet[4] = u8::try_from(adaptation - 1).unwrap();
        }
        let payload = &mut packet[4 + adaptation..];
        payload.iter_mut().enumerate().for_each(|(n, byte)| *byte = (3 + 7 * n).to_le_bytes()[0]);
        packet
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Made with `openssl enc -aes-128-cbc -nopad -iv 445642544d4350544145534349535341`, not with this code.
    #[test]
    fn known_answers() {
        let service = service(Parity::Even);
        let mut full = packet(0);
        assert!(service.scramble(&mut full, Parity::Even));
        assert_eq!(full[..4], [0x47, 0x01, 0x00, 0x9A]);
        let want = concat!(
            "2f94e62d80976addf8f73c71a87dc495f4f7edc0b52f59180e298671b6af1d63081252f92e4b1aff60e12399d5b3ac9e",
            "369686c3ff9ebff4400088d17097e2d8bf68ff109a84fe5f144e4ad5cb79b9e416d41525bd365e94d5197bb95226d8db",
            "61e1d225c5039fc7323a1f7f02f60ca3f55ec436ef796a089b2ff2fee078604a52e63a6bfea4e9e85a5a34d349791339",
            "f059660d33721b3e6d8a36693d5f620986dcb58b9d114d4d30a4fd0459cf2f2b",
        );
        assert_eq!(hex(&full[4..180]), want);
        assert_eq!(full[180..], packet(0)[180..], "the residue stays in the clear");
        let mut short = packet(168);
        assert!(service.scramble(&mut short, Parity::Even));
        assert_eq!(hex(&short[172..]), want[..32]);
        assert_eq!(short[4..172], packet(168)[4..172], "the adaptation field stays in the clear");
    }

    #[test]
    fn under_one_block_only_the_mark_changes() {
        let mut short = packet(169);
        assert!(service(Parity::Odd).scramble(&mut short, Parity::Odd));
        let mut want = packet(169);
        want[3] = 0xFA;
        assert_eq!(short, want);
    }

    #[test]
    fn what_is_left_alone() {
        let service = service(Parity::Even);
        let descramble = |head: [u8; 5]| {
            let mut packet = packet(0);
            packet[..5].copy_from_slice(&head);
            let before = packet;
            let outcome = service.descramble(&mut packet);
            assert_eq!(packet, before, "{head:02x?}");
            assert!(!service.scramble(&mut packet, Parity::Odd), "{head:02x?}");
            outcome
        };
        assert_eq!(descramble([0x47, 0, 0, 0x10, 0]), Outcome::Clear);
        assert_eq!(descramble([0x47, 0, 0, 0xD0, 0]), Outcome::NoKey);
        assert_eq!(descramble([0x47, 0, 0, 0x50, 0]), Outcome::NoKey);
        assert_eq!(descramble([0x46, 0, 0, 0x90, 0]), Outcome::Damaged);
        assert_eq!(descramble([0x47, 0x80, 0, 0x90, 0]), Outcome::Damaged);
        assert_eq!(descramble([0x47, 0, 0, 0x80, 0]), Outcome::Damaged);
        assert_eq!(descramble([0x47, 0, 0, 0xB0, 184]), Outcome::Damaged);
    }

    #[test]
    fn a_forgotten_key_is_gone_and_none_is_shown() {
        let mut service = service(Parity::Even);
        assert_eq!(format!("{service:?}"), "Cissa { even: true, odd: false }");
        let mut packet = packet(0);
        assert!(service.scramble(&mut packet, Parity::Even));
        service.forget(Parity::Even);
        assert_eq!(service.descramble(&mut packet), Outcome::NoKey);
    }

    proptest! {
        #[test]
        fn there_and_back(key in any::<[u8; 16]>(), adaptation in 0..184usize, odd in any::<bool>()) {
            let parity = if odd { Parity::Odd } else { Parity::Even };
            let mut service = Cissa::new();
            service.set(parity, &Key128::new(key));
            let mut bytes = packet(adaptation);
            assert!(service.scramble(&mut bytes, parity));
            assert!(!service.scramble(&mut bytes, parity), "scrambled twice");
            assert_eq!(service.descramble(&mut bytes), Outcome::Descrambled);
            assert_eq!(bytes, packet(adaptation));
        }

        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), PACKET_BYTES), sync in any::<bool>()) {
            let mut bytes: [u8; PACKET_BYTES] = bytes.try_into().unwrap();
            if sync {
                bytes[0] = 0x47;
            }
            let _ = service(Parity::Odd).descramble(&mut bytes);
            let _ = service(Parity::Odd).scramble(&mut bytes, Parity::Odd);
        }
    }
}
