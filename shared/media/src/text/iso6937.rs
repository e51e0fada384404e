//! ISO/IEC 6937 as DVB's default table has it (EN 300 468 figure A.1, euro sign at 0xA4).
//!
//! The one table where a mark stands before its letter: 0xC1 to 0xCF, then the letter it belongs on. Letters that
//! Unicode has ready come out as one character, others as the letter and a combining mark, a mark on a space as the
//! mark alone. encoding_rs has no such table, so it is written out here.

/// 0xA0 to 0xBF and 0xD0 to 0xFF; U+FFFD where the table is empty.
const UPPER_A: &str = "\u{A0}¡¢£€¥\u{FFFD}§¤‘“«←↑→↓°±²³×µ¶·÷’”»¼½¾¿";
const UPPER_D: &str = "―¹®©™♪¬¦\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}⅛⅜⅝⅞ΩÆĐªĦ\u{FFFD}ĲĿŁØŒºÞŦŊŉĸæđðħıĳŀłøœßþŧŋ\u{AD}";

/// Mark byte; the mark alone; the mark to combine; letters it stands on; what they become.
type Mark = (u8, char, char, &'static str, &'static str);

const MARKS: [Mark; 15] = [
    (0xC1, '`', '\u{300}', "AEIOUaeiou", "ÀÈÌÒÙàèìòù"),
    (0xC2, '´', '\u{301}', "ACEILNORSUYZaceilnorsuyz", "ÁĆÉÍĹŃÓŔŚÚÝŹáćéíĺńóŕśúýź"),
    (0xC3, '^', '\u{302}', "ACEGHIJOSUWYaceghijosuwy", "ÂĈÊĜĤÎĴÔŜÛŴŶâĉêĝĥîĵôŝûŵŷ"),
    (0xC4, '~', '\u{303}', "AINOUainou", "ÃĨÑÕŨãĩñõũ"),
    (0xC5, '¯', '\u{304}', "AEIOUaeiou", "ĀĒĪŌŪāēīōū"),
    (0xC6, '˘', '\u{306}', "AGUagu", "ĂĞŬăğŭ"),
    (0xC7, '˙', '\u{307}', "CEGIZcegz", "ĊĖĠİŻċėġż"),
    (0xC8, '¨', '\u{308}', "AEIOUYaeiouy", "ÄËÏÖÜŸäëïöüÿ"),
    // An umlaut apart from the diaeresis in the first edition; still sent by old equipment.
    (0xC9, '¨', '\u{308}', "AEIOUYaeiouy", "ÄËÏÖÜŸäëïöüÿ"),
    (0xCA, '˚', '\u{30A}', "AUau", "ÅŮåů"),
    (0xCB, '¸', '\u{327}', "CGKLNRSTcgklnrst", "ÇĢĶĻŅŖŞŢçģķļņŗşţ"),
    (0xCC, '_', '\u{332}', "", ""),
    (0xCD, '˝', '\u{30B}', "OUou", "ŐŰőű"),
    (0xCE, '˛', '\u{328}', "AEIUaeiu", "ĄĘĮŲąęįų"),
    (0xCF, 'ˇ', '\u{30C}', "CDELNRSTZcdelnrstz", "ČĎĚĽŇŘŠŤŽčďěľňřšťž"),
];

/// Reads bytes and puts characters; control codes 0x80 to 0x9F go through as they are.
pub(super) fn decode(bytes: &[u8], put: &mut dyn FnMut(char)) {
    let mut pending: Option<&Mark> = None;
    for &byte in bytes {
        if let Some(mark) = MARKS.iter().find(|mark| mark.0 == byte) {
            // Two marks in a row cannot be; the first one stands alone.
            if let Some(alone) = pending.replace(mark) {
                put(alone.1);
            }
            continue;
        }
        let c = plain(byte);
        match pending.take() {
            None => put(c),
            Some(mark) => put_marked(mark, c, put),
        }
    }
    if let Some(mark) = pending {
        put(mark.1);
    }
}

fn put_marked(mark: &Mark, c: char, put: &mut dyn FnMut(char)) {
    let (_, alone, combining, letters, composed) = *mark;
    if let Some(at) = letters.chars().position(|letter| letter == c) {
        return put(composed.chars().nth(at).unwrap_or(c));
    }
    if c.is_alphabetic() {
        put(c);
        return put(combining);
    }
    put(alone);
    if c != ' ' {
        put(c);
    }
}

fn plain(byte: u8) -> char {
    let (from, table) = match byte {
        0x00..=0x9F => return char::from(byte),
        0xA0..=0xBF => (0xA0, UPPER_A),
        0xC0..=0xCF => return '\u{FFFD}',
        0xD0..=0xFF => (0xD0, UPPER_D),
    };
    table.chars().nth(usize::from(byte - from)).unwrap_or('\u{FFFD}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> String {
        let mut text = String::new();
        decode(bytes, &mut |c| text.push(c));
        text
    }

    #[test]
    fn the_table_is_whole() {
        assert_eq!((UPPER_A.chars().count(), UPPER_D.chars().count()), (32, 48));
        for (byte, _, _, letters, composed) in MARKS {
            assert_eq!(letters.chars().count(), composed.chars().count(), "{byte:02x}");
        }
        // Places of the figure that are easily shifted.
        for (byte, want) in [(0xA4, '€'), (0xA8, '¤'), (0xB4, '×'), (0xBF, '¿'), (0xD5, '♪'), (0xDC, '⅛')] {
            assert_eq!(plain(byte), want, "{byte:02x}");
        }
        for (byte, want) in [(0xE0, 'Ω'), (0xE6, 'Ĳ'), (0xEA, 'Œ'), (0xEF, 'ŉ'), (0xF5, 'ı'), (0xFA, 'œ'), (0xFB, 'ß')]
        {
            assert_eq!(plain(byte), want, "{byte:02x}");
        }
    }

    #[test]
    fn marks() {
        assert_eq!(read(b"Fran\xCBcais, \xC1a No\xC8el, \xC3etre"), "Français, à Noël, être");
        assert_eq!(read(b"\xCBG\xCBs\xCEA\xCEu\xC7I\xC5e\xC6g\xCDU"), "ĢşĄųİēğŰ");
        assert_eq!(read(b"\xC4N\xC4u\xCFr\xCFZ\xC3w\xC2z\xCAu"), "ÑũřŽŵźů");
        assert_eq!(read(b"\xCFCesk\xC2a \xCDo \xCAA"), "Česká ő Å");
        assert_eq!(read(b"\xC2g\xC2 \xC2"), "g\u{301}´´");
        assert_eq!(read(b"\xC1\xC2e"), "`é");
        assert_eq!(read(b"\xC2\x8A"), "´\u{8A}");
        assert_eq!(read(b"\xC0\xA6"), "\u{FFFD}\u{FFFD}");
    }

    proptest! {
        #[test]
        fn latin_text_comes_back(text in "[a-zA-Z0-9 ÀÈÌÒÙàèìòùÁÉÍÓÚáéíóúÂÊÎÔÛâêîôûÃÑÕãñõÄËÏÖÜŸäëïöüÿÅåÇçœŒßæÆøØ€]{0,60}") {
            let bytes: Vec<u8> = text.chars().flat_map(encode).collect();
            prop_assert_eq!(read(&bytes), text);
        }

        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read(&bytes).chars().count() <= bytes.len());
        }
    }

    fn encode(c: char) -> Vec<u8> {
        for (byte, _, _, letters, composed) in MARKS {
            if let Some(at) = composed.chars().position(|other| other == c) {
                return vec![byte, u8::try_from(letters.chars().nth(at).unwrap()).unwrap()];
            }
        }
        vec![(0x20..=0xFF).find(|&byte| plain(byte) == c).unwrap()]
    }
}
