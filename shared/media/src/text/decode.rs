//! Reads the bytes of one text field.
//!
//! Control codes are taken out before any table looks (annex A.1): 0x80 to 0x9F in one-byte tables, 0xE080 to 0xE09F
//! in two-byte tables, both as code points in UTF-8. 0x8A is a line break; emphasis and the rest are dropped.
//! Because of that, the Windows supersets encoding_rs offers for ISO 8859-9 and -11 are exact: they differ from the
//! standards at 0x80 to 0x9F only. ISO 8859-1 needs no table at all.

use encoding_rs::Encoding;

use super::CodeTable;
use super::code_table::Selector;
use super::iso6937;

/// A text field as a string.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text {
    /// The text, without control codes; line breaks are `\n`.
    pub text: String,
    /// The first thing that was wrong with the bytes; the text is then the best guess.
    pub defect: Option<TextDefect>,
}

/// Why a text may read wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextDefect {
    /// The first byte selects a table that does not exist; the default table was used.
    #[error("code table selector 0x{selector:02x} is reserved")]
    ReservedTable {
        /// The first byte.
        selector: u8,
    },
    /// Bytes mean nothing in the table; U+FFFD stands for them.
    #[error("bytes have no meaning in the code table")]
    Unmappable,
}

/// Reads a text field, in `default` unless its first bytes say otherwise. At most three bytes of UTF-8 come out for
/// each byte that went in.
///
/// ```
/// use headend_media::text::{CodeTable, decode};
/// assert_eq!(decode(b"\x05T\xE9l\xE9", CodeTable::Iso6937).text, "Télé");
/// assert_eq!(decode(b"T\xC2el\xC2e", CodeTable::Iso6937).text, "Télé");
/// ```
pub fn decode(bytes: &[u8], default: CodeTable) -> Text {
    let (selector, rest) = Selector::split(bytes);
    let (table, reserved) = match selector {
        Selector::Absent => (default, None),
        Selector::Table(table) => (table, None),
        Selector::Reserved(selector) => (default, Some(TextDefect::ReservedTable { selector })),
    };
    let mut writer = Writer::default();
    match table {
        CodeTable::Iso6937 => iso6937::decode(rest, &mut |c| writer.put(c)),
        CodeTable::Iso8859(1) => rest.iter().for_each(|&byte| writer.put(char::from(byte))),
        CodeTable::Iso8859(part) => one_byte(rest, iso8859_encoding(part), &mut writer),
        CodeTable::Ucs2 => two_bytes(rest, &mut writer),
        CodeTable::KsX1001 => pairs(rest, encoding_rs::EUC_KR, &mut writer),
        CodeTable::Gb2312 => pairs(rest, encoding_rs::GBK, &mut writer),
        CodeTable::Big5 => pairs(rest, encoding_rs::BIG5, &mut writer),
        CodeTable::Utf8 => String::from_utf8_lossy(rest).chars().for_each(|c| writer.put(c)),
    }
    Text { text: writer.text, defect: reserved.or(writer.defect) }
}

/// Takes characters, and keeps what is text.
#[derive(Default)]
struct Writer {
    text: String,
    defect: Option<TextDefect>,
}

impl Writer {
    fn put(&mut self, c: char) {
        match c {
            '\u{8A}' | '\u{E08A}' | '\n' => self.text.push('\n'),
            // Codes below a space have no meaning here; broadcasters pad with NUL.
            '\0'..='\u{1F}' | '\u{7F}'..='\u{9F}' | '\u{E080}'..='\u{E09F}' => {}
            '\u{FFFD}' => {
                self.text.push(c);
                self.defect = Some(TextDefect::Unmappable);
            }
            c => self.text.push(c),
        }
    }

    fn put_encoded(&mut self, bytes: &[u8], encoding: &'static Encoding) {
        let (text, _) = encoding.decode_without_bom_handling(bytes);
        text.chars().for_each(|c| self.put(c));
    }
}

fn iso8859_encoding(part: u8) -> &'static Encoding {
    match part {
        2 => encoding_rs::ISO_8859_2,
        3 => encoding_rs::ISO_8859_3,
        4 => encoding_rs::ISO_8859_4,
        5 => encoding_rs::ISO_8859_5,
        6 => encoding_rs::ISO_8859_6,
        7 => encoding_rs::ISO_8859_7,
        8 => encoding_rs::ISO_8859_8,
        10 => encoding_rs::ISO_8859_10,
        11 => encoding_rs::WINDOWS_874,
        13 => encoding_rs::ISO_8859_13,
        14 => encoding_rs::ISO_8859_14,
        15 => encoding_rs::ISO_8859_15,
        16 => encoding_rs::ISO_8859_16,
        // Part 9; a value made by hand with a part that does not exist reads as that neighbour of Latin-1.
        _ => encoding_rs::WINDOWS_1254,
    }
}

fn one_byte(bytes: &[u8], encoding: &'static Encoding, writer: &mut Writer) {
    for run in bytes.chunk_by(|a, b| is_control(*a) == is_control(*b)) {
        match run[0] {
            control if is_control(control) => run.iter().for_each(|&byte| writer.put(char::from(byte))),
            _ => writer.put_encoded(run, encoding),
        }
    }
}

fn is_control(byte: u8) -> bool {
    (0x80..=0x9F).contains(&byte)
}

/// UCS-2: units outside the plane's characters, as halves of surrogate pairs, cannot be text here.
fn two_bytes(bytes: &[u8], writer: &mut Writer) {
    let (units, odd) = bytes.as_chunks::<2>();
    for unit in units {
        let code = u32::from(u16::from_be_bytes(*unit));
        writer.put(char::from_u32(code).unwrap_or('\u{FFFD}'));
    }
    if !odd.is_empty() {
        writer.put('\u{FFFD}');
    }
}

/// Tables where bytes above 0x7F come in pairs. 0xE080 to 0xE09F are taken out first: encoding_rs would read
/// some of them as characters that GBK added to GB 2312.
fn pairs(bytes: &[u8], encoding: &'static Encoding, writer: &mut Writer) {
    let mut rest = bytes;
    while let Some((&lead, behind)) = rest.split_first() {
        let taken = match behind.first() {
            Some(&code) if lead == 0xE0 && is_control(code) => {
                writer.put(char::from(code));
                2
            }
            // A lone control code, as one-byte tables have it, is met in these tables too.
            _ if is_control(lead) => {
                writer.put(char::from(lead));
                1
            }
            Some(_) if lead >= 0x80 => {
                writer.put_encoded(&rest[..2], encoding);
                2
            }
            _ => {
                writer.put_encoded(&rest[..1], encoding);
                1
            }
        };
        rest = &rest[taken..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(bytes: &[u8], want: &str) {
        assert_eq!(decode(bytes, CodeTable::Iso6937), Text { text: want.into(), defect: None }, "{bytes:02x?}");
    }

    #[test]
    fn every_selector() {
        check(b"Rai 1", "Rai 1");
        check(b"\x01\xBF\xE0", "Пр");
        check(b"\x02\xC7", "ا");
        check(b"\x03\xE1", "α");
        check(b"\x04\xE0", "א");
        check(b"\x05\xFD\xE9", "ıé");
        check(b"\x06\xE7", "į");
        check(b"\x07\xA1", "ก");
        check(b"\x09\xE0", "ą");
        check(b"\x0A\xD0", "Ŵ");
        check(b"\x0B\xA4\xBD", "€œ");
        check(b"\x10\x00\x01\xE9\xA4", "é¤");
        check(b"\x10\x00\x02\xB1", "ą");
        check(b"\x10\x00\x0F\xA4", "€");
        check(b"\x11\x00A\x20\xAC", "A€");
        check(b"\x12\xB0\xA1", "가");
        check(b"\x13\xD6\xD0", "中");
        check(b"\x14\xA4\xA4", "中");
        check("\u{15}Télé 中".as_bytes(), "Télé 中");
    }

    #[test]
    fn control_codes() {
        check(b"a\x86b\x87c\x8Ad\x9F", "abc\nd");
        check(b"\x05a\x86\xE9\x8Ab\x80", "aé\nb");
        check(b"\x10\x00\x01a\x86\x8A\x85", "a\n");
        check(b"\x11\x00a\xE0\x86\x00b\xE0\x8A\x00c\x00\x8A", "ab\nc\n");
        check(b"\x13\xE0\x86\xD6\xD0\xE0\x8A\xE0\xD6\x8A", "中\n嘀\n");
        check("\u{15}a\u{E086}b\u{8A}c\u{E08A}".as_bytes(), "ab\nc\n");
        check(b"a\0\0\r\n\x05b\x7F", "a\nb");
    }

    #[test]
    fn defects() {
        let check = |bytes: &[u8], text: &str, defect: TextDefect| {
            assert_eq!(decode(bytes, CodeTable::Iso8859(15)), Text { text: text.into(), defect: Some(defect) });
        };
        check(b"\x1F\x01\xE9t\xE9", "été", TextDefect::ReservedTable { selector: 0x1F });
        check(b"\x08\xE9", "é", TextDefect::ReservedTable { selector: 8 });
        check(b"\x11\xD8\x00\x00a", "\u{FFFD}a", TextDefect::Unmappable);
        check(b"\x11\x00a\x00", "a\u{FFFD}", TextDefect::Unmappable);
        check(b"\x15\xFFa", "\u{FFFD}a", TextDefect::Unmappable);
        check(b"\x12\xB0", "\u{FFFD}", TextDefect::Unmappable);
        check(b"\x03\xFF", "\u{FFFD}", TextDefect::Unmappable);
    }

    #[test]
    fn the_default_is_the_callers() {
        assert_eq!(decode(b"\xE9t\xE9 \xA4", CodeTable::Iso8859(15)).text, "été €");
        assert_eq!(decode(b"\xC2et\xC2e \xA4", CodeTable::Iso6937).text, "été €");
        assert_eq!(decode("été".as_bytes(), CodeTable::Utf8).text, "été");
    }

    proptest! {
        #[test]
        fn any_bytes_give_bounded_text(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            selector in proptest::option::of(0..=0x1F_u8),
        ) {
            let bytes: Vec<u8> = selector.into_iter().chain(bytes).collect();
            let text = decode(&bytes, CodeTable::Iso6937).text;
            prop_assert!(text.len() <= bytes.len() * 3);
            prop_assert!(!text.chars().any(|c| c != '\n' && c.is_control()));
        }

        #[test]
        fn utf8_and_ucs2_come_back(text in "[ -~À-ɏЀ-ӿ一-鿿]{0,60}") {
            let utf8 = [&[0x15], text.as_bytes()].concat();
            prop_assert_eq!(&decode(&utf8, CodeTable::Iso6937).text, &text);
            let ucs2: Vec<u8> = std::iter::once(0x11).chain(text.encode_utf16().flat_map(u16::to_be_bytes)).collect();
            prop_assert_eq!(&decode(&ucs2, CodeTable::Iso6937).text, &text);
        }
    }
}
