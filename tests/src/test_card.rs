//! The open test card of docs/test-card.md, the card's side: commands in, answers out.
//!
//! Pure, with Unix seconds as an argument. [`crate::vpcd`] puts it behind a real pcscd; [`crate::broadcast`] makes the ECMs
//! it opens. Written from the document, not from the node's profile, so that the two check each other.

use aes::Aes128;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::NoPadding};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// CA_system_id.
pub const SYSTEM: u16 = 0xF48D;

/// Answer to reset.
pub const ATR: [u8; 18] = *b"\x3B\x8B\x81\x31\xFE\x45\x80\x31\x80\x57HEADEND\xA1";

const APPLICATION: &[u8] = b"\xF0HEADEND\x01";
const MAC_BYTES: usize = 8;

/// 16 bytes of AES key, 16 of HMAC key.
pub type Key = [u8; 32];

/// A product the card may open.
#[derive(Debug, Clone)]
pub struct Product {
    /// The access criterion.
    pub id: u16,
    /// The key of its ECMs.
    pub key: Key,
    /// Valid from, Unix seconds.
    pub from: u32,
    /// Valid until, Unix seconds.
    pub until: u32,
    /// Its name.
    pub label: String,
}

/// How a card misbehaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mood {
    /// It works.
    #[default]
    Well,
    /// It says busy this many times, then works.
    Busy(u32),
    /// It answers with this one byte, whatever it is asked.
    Garbled(u8),
    /// It gives words that open nothing.
    WrongWords,
}

/// The card.
#[derive(Debug, Clone)]
pub struct TestCard {
    number: [u8; 8],
    key: Key,
    products: Vec<Product>,
    sequence: u32,
    selected: bool,
    counter: u64,
    /// How it behaves now.
    pub mood: Mood,
    /// ECMs it was asked for.
    pub ecms: u64,
}

impl TestCard {
    /// A card with this number and key.
    #[must_use]
    pub fn new(number: [u8; 8], key: Key, products: Vec<Product>) -> Self {
        Self { number, key, products, sequence: 0, selected: false, counter: 0, mood: Mood::Well, ecms: 0 }
    }

    /// Reset: the application has to be selected again.
    pub fn reset(&mut self) {
        self.selected = false;
    }

    /// Answers a command at `now`, Unix seconds.
    pub fn answer(&mut self, command: &[u8], now: u32) -> Vec<u8> {
        match self.mood {
            Mood::Garbled(byte) => return vec![byte],
            Mood::Busy(times) => {
                self.mood = if times > 1 { Mood::Busy(times - 1) } else { Mood::Well };
                return vec![0x93, 0x00];
            }
            Mood::Well | Mood::WrongWords => {}
        }
        match self.execute(command, now) {
            Ok(mut data) => {
                data.extend([0x90, 0x00]);
                data
            }
            Err(status) => status.to_be_bytes().to_vec(),
        }
    }

    fn execute(&mut self, command: &[u8], now: u32) -> Result<Vec<u8>, u16> {
        let (&[class, instruction, p1, p2], rest) = command.split_first_chunk().ok_or(0x6700_u16)?;
        if !matches!(class, 0x00 | 0x80) {
            return Err(0x6E00);
        }
        let data = match rest {
            [] | [_] => &[][..],
            [length, rest @ ..] => rest.get(..usize::from(*length)).ok_or(0x6700_u16)?,
        };
        match (class, instruction, p1, p2) {
            (0x00, 0xA4, 0x04, 0x00) => {
                self.selected = data == APPLICATION;
                if self.selected { Ok(vec![]) } else { Err(0x6A82) }
            }
            _ if !self.selected => Err(0x6985),
            (0x00, 0xCA, 0x01, 0x00) => {
                let [high, low] = SYSTEM.to_be_bytes();
                Ok([&object(0xC1, &self.number)[..], &object(0xC2, &[high, low]), &object(0xC3, b"Open test card")]
                    .concat())
            }
            (0x00, 0xCA, 0x01, 0x01) => Ok(self.products.iter().flat_map(entitlement).collect()),
            (0x80, 0x2A, 0x80, 0x86) => self.decipher(data, now),
            (0x80, 0xDA, 0x01, 0x01) => self.update(data),
            _ => Err(0x6D00),
        }
    }

    fn decipher(&mut self, section: &[u8], now: u32) -> Result<Vec<u8>, u16> {
        self.ecms += 1;
        let (head, _) = section.split_first_chunk::<11>().ok_or(0x6A80_u16)?;
        let (version, algorithm, product) = (head[3], head[4], u16::from_be_bytes([head[5], head[6]]));
        if version != 1 || !matches!(algorithm, 1 | 2) {
            return Err(0x6A80);
        }
        let product = self.products.iter().find(|held| held.id == product).ok_or(0x6982_u16)?;
        if !(product.from..product.until).contains(&now) {
            return Err(0x6985);
        }
        let mut words = open(&product.key, head.len(), section)?;
        if self.mood == Mood::WrongWords {
            words.iter_mut().for_each(|byte| *byte ^= 0x5A);
        }
        self.counter += 1;
        let mut iv = [0; 16];
        iv[8..].copy_from_slice(&self.counter.to_be_bytes());
        let wrapped = [&[1, algorithm][..], &head[7..11]].concat();
        Ok(seal(&self.key, iv, &wrapped, &words))
    }

    fn update(&mut self, section: &[u8]) -> Result<Vec<u8>, u16> {
        let (head, _) = section.split_first_chunk::<16>().ok_or(0x6A80_u16)?;
        if head[3] != 1 {
            return Err(0x6A80);
        }
        if head[4..12] != self.number {
            return Err(0x6A88);
        }
        let sequence = u32::from_be_bytes([head[12], head[13], head[14], head[15]]);
        let objects = open(&self.key, head.len(), section)?;
        if sequence <= self.sequence {
            return Err(0x6985);
        }
        let product = read_entitlement(&objects).ok_or(0x6A80_u16)?;
        self.sequence = sequence;
        let old = self.products.iter().position(|held| held.id == product.id);
        let key = old.map(|index| self.products.remove(index).key);
        let key = if product.key == [0; 32] { key.ok_or(0x6A80_u16)? } else { product.key };
        self.products.push(Product { key, ..product });
        Ok(vec![])
    }
}

/// The broadcaster's EMM that gives a card a product, with its key.
#[must_use]
pub fn emm(number: [u8; 8], key: &Key, sequence: u32, product: &Product) -> Vec<u8> {
    let mut body = entitlement_body(product);
    body.extend(object(0x84, &product.key));
    let mut objects = object(0xE1, &body);
    objects.resize(objects.len().next_multiple_of(16), 0);
    let length = u8::try_from(1 + 8 + 4 + 16 + objects.len() + MAC_BYTES).expect("one product fits an EMM");
    let mut head = vec![0x82, 0x70, length, 1];
    head.extend(number);
    head.extend(sequence.to_be_bytes());
    let mut iv = [0xEE; 16];
    iv[..4].copy_from_slice(&sequence.to_be_bytes());
    seal(key, iv, &head, &objects)
}

fn object(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(value.len()).ok().filter(|length| *length < 0x80).expect("objects are short");
    [&[tag, length], value].concat()
}

fn entitlement(product: &Product) -> Vec<u8> {
    object(0xE1, &entitlement_body(product))
}

fn entitlement_body(product: &Product) -> Vec<u8> {
    let (from, until) = (product.from.to_be_bytes(), product.until.to_be_bytes());
    [
        object(0x80, &product.id.to_be_bytes()),
        object(0x81, &from),
        object(0x82, &until),
        object(0x83, product.label.as_bytes()),
    ]
    .concat()
}

fn read_entitlement(bytes: &[u8]) -> Option<Product> {
    let [0xE1, length, rest @ ..] = bytes else { return None };
    let mut body = rest.get(..usize::from(*length))?;
    let mut product = Product { id: 0, key: [0; 32], from: 0, until: u32::MAX, label: String::new() };
    while let [tag, length, rest @ ..] = body {
        let (value, behind) = rest.split_at_checked(usize::from(*length))?;
        match tag {
            0x80 => product.id = u16::from_be_bytes(value.try_into().ok()?),
            0x81 => product.from = u32::from_be_bytes(value.try_into().ok()?),
            0x82 => product.until = u32::from_be_bytes(value.try_into().ok()?),
            0x83 => product.label = String::from_utf8_lossy(value).into_owned(),
            0x84 => product.key = value.try_into().ok()?,
            _ => {}
        }
        body = behind;
    }
    Some(product)
}

/// `head`, iv, encrypted `clear`, MAC.
///
/// # Panics
/// When `clear` is no whole number of blocks.
#[must_use]
pub fn seal(key: &Key, iv: [u8; 16], head: &[u8], clear: &[u8]) -> Vec<u8> {
    let (encrypt, authenticate) = halves(key);
    let sealed = cbc::Encryptor::<Aes128>::new(&encrypt.into(), &iv.into());
    let mut cipher = clear.to_vec();
    let length = cipher.len();
    sealed.encrypt_padded::<NoPadding>(&mut cipher, length).expect("whole blocks");
    let mut bytes = [head, &iv, &cipher].concat();
    let mut mac = Hmac::<Sha256>::new_from_slice(&authenticate).expect("HMAC takes keys of any length");
    mac.update(&bytes);
    bytes.extend(&mac.finalize().into_bytes()[..MAC_BYTES]);
    bytes
}

/// What is sealed behind a head of so many bytes; a status word when the MAC is wrong.
fn open(key: &Key, head_bytes: usize, sealed: &[u8]) -> Result<Vec<u8>, u16> {
    let (encrypt, authenticate) = halves(key);
    let (body, mac) = sealed.split_last_chunk::<MAC_BYTES>().ok_or(0x6A80_u16)?;
    let mut check = Hmac::<Sha256>::new_from_slice(&authenticate).expect("HMAC takes keys of any length");
    check.update(body);
    check.verify_truncated_left(mac).map_err(|_| 0x6988_u16)?;
    let (iv, cipher) = body.get(head_bytes..).and_then(|rest| rest.split_first_chunk::<16>()).ok_or(0x6A80_u16)?;
    let mut clear = cipher.to_vec();
    cbc::Decryptor::<Aes128>::new(&encrypt.into(), iv.into())
        .decrypt_padded::<NoPadding>(&mut clear)
        .map_err(|_| 0x6A80_u16)?;
    Ok(clear)
}

fn halves(key: &Key) -> ([u8; 16], [u8; 16]) {
    let (mut encrypt, mut authenticate) = ([0; 16], [0; 16]);
    encrypt.copy_from_slice(&key[..16]);
    authenticate.copy_from_slice(&key[16..]);
    (encrypt, authenticate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broadcast::Broadcaster;

    const NUMBER: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
    const CARD: Key = [0x11; 32];

    fn product(id: u16, key: Key) -> Product {
        Product { id, key, from: 100, until: 200, label: "Base".to_owned() }
    }

    /// A selected card's status to an ECM of product 5 at `now`.
    fn check(card: &mut TestCard, ecm: &[u8], now: u32, want: u16) {
        let command = [&[0x80, 0x2A, 0x80, 0x86, u8::try_from(ecm.len()).unwrap()][..], ecm, &[0]].concat();
        let answer = card.answer(&command, now);
        assert_eq!(answer[answer.len() - 2..], want.to_be_bytes());
    }

    fn select(card: &mut TestCard) {
        assert_eq!(card.answer(b"\0\xA4\x04\0\x09\xF0HEADEND\x01\0", 0), [0x90, 0]);
    }

    #[test]
    fn rights_are_by_product_time_and_seal() {
        let mut card = TestCard::new(NUMBER, CARD, vec![product(5, [0x22; 32])]);
        let good = Broadcaster::new(5, [0x22; 32], 10).ecm(7);
        check(&mut card, &good, 150, 0x6985);
        select(&mut card);
        check(&mut card, &good, 150, 0x9000);
        check(&mut card, &good, 99, 0x6985);
        check(&mut card, &good, 200, 0x6985);
        check(&mut card, &Broadcaster::new(6, [0x22; 32], 10).ecm(7), 150, 0x6982);
        check(&mut card, &Broadcaster::new(5, [0x23; 32], 10).ecm(7), 150, 0x6988);
        check(&mut card, &good[..10], 150, 0x6A80);
    }

    #[test]
    fn an_emm_gives_a_product_once_and_to_one_card() {
        let mut card = TestCard::new(NUMBER, CARD, vec![]);
        select(&mut card);
        let ecm = Broadcaster::new(5, [0x22; 32], 10).ecm(7);
        check(&mut card, &ecm, 150, 0x6982);
        let put = |card: &mut TestCard, emm: &[u8]| {
            card.answer(&[&[0x80, 0xDA, 1, 1, u8::try_from(emm.len()).unwrap()][..], emm].concat(), 0)
        };
        let given = emm(NUMBER, &CARD, 3, &product(5, [0x22; 32]));
        assert_eq!(put(&mut card, &emm([9; 8], &CARD, 3, &product(5, [0x22; 32]))), [0x6A, 0x88]);
        assert_eq!(put(&mut card, &given), [0x90, 0]);
        assert_eq!(put(&mut card, &given), [0x69, 0x85]);
        check(&mut card, &ecm, 150, 0x9000);
    }
}
