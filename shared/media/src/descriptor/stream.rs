//! Descriptors that say what an elementary stream is: registration, languages, subtitles, teletext, component tag, supplementary audio.
//!
//! ISO/IEC 13818-1 §2.6.8 and §2.6.18, ETSI EN 300 468 §6.2.39, §6.2.41, §6.2.43, §6.4.11. Codec descriptors with nothing
//! but flags inside (AC-3, E-AC-3, AAC, HEVC) are known by their tag and read in [`super::codec`].

use std::fmt;

/// A three-letter language of ISO 639-2, or what a broadcaster sends in its place (`qaa`, `Oth`): as it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Language([u8; 3]);

/// Three bytes that are not printable ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a language is three letters of ASCII")]
pub struct NotALanguage;

impl Language {
    /// The language of three letters; `None` when one is not printable ASCII.
    pub fn new(letters: [u8; 3]) -> Option<Self> {
        letters.iter().all(u8::is_ascii_graphic).then_some(Self(letters))
    }

    /// The three letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("checked to be ASCII when made")
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for Language {
    type Error = NotALanguage;

    fn try_from(text: String) -> Result<Self, NotALanguage> {
        text.as_bytes().try_into().ok().and_then(Self::new).ok_or(NotALanguage)
    }
}

impl From<Language> for String {
    fn from(language: Language) -> Self {
        language.as_str().into()
    }
}

/// One language of an ISO_639_language_descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioLanguage {
    /// Which language.
    pub language: Language,
    /// `audio_type`: 0 undefined, 1 clean effects, 2 hearing impaired, 3 visual impaired commentary.
    pub audio_type: u8,
}

/// ISO_639_language_descriptor: languages in order; entries that are no language are left out.
pub fn languages(body: &[u8]) -> impl Iterator<Item = AudioLanguage> {
    body.as_chunks::<4>().0.iter().filter_map(|&[a, b, c, audio_type]| {
        Language::new([a, b, c]).map(|language| AudioLanguage { language, audio_type })
    })
}

/// A supplementary_audio_descriptor (§6.4.11): sound for some viewers besides the main one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SupplementaryAudio {
    /// `mix_type`: a complete sound by itself, not to be mixed with the main one.
    pub complete: bool,
    /// `editorial_classification`: 0 main, 1 audio description, 2 clean audio, 3 spoken subtitles.
    pub classification: u8,
    /// Its true language, where the ISO_639_language_descriptor says `qad` or the like.
    pub language: Option<Language>,
}

/// An extension_descriptor's body as supplementary_audio_descriptor; `None` when it extends something else.
pub fn supplementary_audio(body: &[u8]) -> Option<SupplementaryAudio> {
    let [0x06, flags, rest @ ..] = body else {
        return None;
    };
    let letters = rest.first_chunk().filter(|_| flags & 1 != 0);
    Some(SupplementaryAudio {
        complete: flags & 0x80 != 0,
        classification: flags >> 2 & 0x1F,
        language: letters.and_then(|letters| Language::new(*letters)),
    })
}

/// registration_descriptor: four letters of whose private data this is, such as `AC-3`, `CUEI`, `HDMV`.
pub fn registration(body: &[u8]) -> Option<[u8; 4]> {
    body.first_chunk().copied()
}

/// stream_identifier_descriptor: the `component_tag` other tables name the stream by.
pub fn component_tag(body: &[u8]) -> Option<u8> {
    body.first().copied()
}

/// One page of a teletext_descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TeletextPage {
    /// Which language.
    pub language: Language,
    /// `teletext_type`: 1 initial page, 2 subtitles, 3 additional information, 4 schedule, 5 subtitles for the hard
    /// of hearing.
    pub kind: u8,
    /// Page number as viewers type it, 100 to 899, and up to 965 for the lettered pages that machines use.
    pub page: u16,
}

impl TeletextPage {
    /// Whether the page carries subtitles.
    pub fn is_subtitle(&self) -> bool {
        matches!(self.kind, 2 | 5)
    }
}

/// teletext_descriptor: pages in order; entries whose language is none are left out.
pub fn teletext(body: &[u8]) -> impl Iterator<Item = TeletextPage> {
    body.as_chunks::<5>().0.iter().filter_map(|&[a, b, c, kind, page]| {
        // Magazine 0 is what viewers call 800; digits are BCD, but pages with letters exist for machines.
        let magazine = if kind & 7 == 0 { 8 } else { u16::from(kind & 7) };
        let (tens, units) = (u16::from(page >> 4), u16::from(page & 0x0F));
        let language = Language::new([a, b, c])?;
        Some(TeletextPage { language, kind: kind >> 3, page: magazine * 100 + tens * 10 + units })
    })
}

/// One subtitle of a subtitling_descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subtitle {
    /// Which language.
    pub language: Language,
    /// `subtitling_type` (table 26): 0x10 to 0x15 normal, 0x20 to 0x25 for the hard of hearing.
    pub kind: u8,
    /// `composition_page_id`.
    pub composition_page: u16,
    /// `ancillary_page_id`.
    pub ancillary_page: u16,
}

/// subtitling_descriptor: subtitles in order; entries whose language is none are left out.
pub fn subtitles(body: &[u8]) -> impl Iterator<Item = Subtitle> {
    body.as_chunks::<8>().0.iter().filter_map(|&[a, b, c, kind, comp_high, comp_low, anc_high, anc_low]| {
        let composition_page = u16::from_be_bytes([comp_high, comp_low]);
        let ancillary_page = u16::from_be_bytes([anc_high, anc_low]);
        Language::new([a, b, c]).map(|language| Subtitle { language, kind, composition_page, ancillary_page })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn language(text: &str) -> Language {
        String::from(text).try_into().unwrap()
    }

    #[test]
    fn languages_in_order() {
        let got: Vec<_> = languages(b"fra\0qad\x03\0\0\0\0x").map(|l| (l.language.to_string(), l.audio_type)).collect();
        assert_eq!(got, [("fra".into(), 0), ("qad".into(), 3)]);
        assert_eq!(languages(b"fr").count(), 0);
        assert!(Language::try_from(String::from("français")).is_err());
        assert!(serde_json::from_str::<Language>("\"fr\"").is_err());
    }

    #[test]
    fn pages() {
        let got: Vec<_> = teletext(b"ita\x09\x00ita\x11\x77eng\x17\x78ger\x10\x01").collect();
        let page = |text: &str, kind, page| TeletextPage { language: language(text), kind, page };
        assert_eq!(got, [page("ita", 1, 100), page("ita", 2, 177), page("eng", 2, 778), page("ger", 2, 801)]);
        assert!(!got[0].is_subtitle() && got[1].is_subtitle());
        let got: Vec<_> = subtitles(b"fra\x24\0\x01\0\x01").collect();
        let want = Subtitle { language: language("fra"), kind: 0x24, composition_page: 1, ancillary_page: 1 };
        assert_eq!(got, [want]);
    }

    #[test]
    fn supplementary() {
        let read = supplementary_audio(b"\x06\x85fra").unwrap();
        let want = SupplementaryAudio { complete: true, classification: 1, language: Some(language("fra")) };
        assert_eq!(read, want);
        assert_eq!(supplementary_audio(b"\x06\x84fra").unwrap().language, None);
        assert_eq!(supplementary_audio(b"\x06\x85fr").unwrap().language, None);
        assert_eq!(supplementary_audio(b"\x05\x85fra"), None);
        assert_eq!(supplementary_audio(b"\x06"), None);
    }

    #[test]
    fn small_ones() {
        assert_eq!(registration(b"AC-3x"), Some(*b"AC-3"));
        assert_eq!(registration(b"AC"), None);
        assert_eq!((component_tag(&[7]), component_tag(&[])), (Some(7), None));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(body in proptest::collection::vec(any::<u8>(), 0..=255)) {
            prop_assert!(languages(&body).count() <= body.len() / 4);
            let _ = supplementary_audio(&body);
            prop_assert!(teletext(&body).all(|page| page.page <= 965));
            prop_assert!(subtitles(&body).count() <= body.len() / 8);
        }
    }
}
