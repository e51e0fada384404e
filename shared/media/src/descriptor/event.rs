//! Descriptors of EIT events: title, description, genre, age (ETSI EN 300 468 §6.2.37, §6.2.15, §6.2.9, §6.2.28).
//!
//! Texts stay bytes; [`crate::text::decode`] reads them. A long description is spread over several extended event
//! descriptors, numbered per language, and every part names its own code table.

use super::stream::Language;
use super::{Descriptors, service, tag};
use crate::text::{CodeTable, decode};

/// A short_event_descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShortEvent<'a> {
    /// Language of the two texts; `None` when the three bytes are no letters.
    pub language: Option<Language>,
    /// Title, undecoded.
    pub title: &'a [u8],
    /// One or two sentences, undecoded.
    pub text: &'a [u8],
}

/// Reads the body of a short_event_descriptor; `None` when a length leads out of it.
pub fn short_event(body: &[u8]) -> Option<ShortEvent<'_>> {
    let (&letters, rest) = body.split_first_chunk()?;
    let (title, rest) = service::text(rest)?;
    let (text, _) = service::text(rest)?;
    Some(ShortEvent { language: Language::new(letters), title, text })
}

/// One extended_event_descriptor out of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtendedPart<'a> {
    /// `descriptor_number`, 0 to 15.
    pub number: u8,
    /// `last_descriptor_number`, 0 to 15.
    pub last: u8,
    /// Language; `None` when the three bytes are no letters.
    pub language: Option<Language>,
    /// Item descriptions and items (such as "Director", a name), undecoded.
    pub items: Vec<(&'a [u8], &'a [u8])>,
    /// Description, undecoded.
    pub text: &'a [u8],
}

/// Reads the body of one extended_event_descriptor; `None` when a length leads out of it.
pub fn extended_part(body: &[u8]) -> Option<ExtendedPart<'_>> {
    let (&[numbers, a, b, c], rest) = body.split_first_chunk()?;
    let (mut loop_rest, rest) = service::text(rest)?;
    let (text, _) = service::text(rest)?;
    let mut items = vec![];
    while !loop_rest.is_empty() {
        let (description, behind) = service::text(loop_rest)?;
        let (item, behind) = service::text(behind)?;
        items.push((description, item));
        loop_rest = behind;
    }
    Some(ExtendedPart { number: numbers >> 4, last: numbers & 0x0F, language: Language::new([a, b, c]), items, text })
}

/// The joined extended description of an event in one language.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExtendedEvent {
    /// Its language.
    pub language: Option<Language>,
    /// Item descriptions and items; a description that is empty goes on with the item before it and is joined to it.
    pub items: Vec<(String, String)>,
    /// Description.
    pub text: String,
    /// Whether all parts from 0 to the last were there.
    pub complete: bool,
}

/// Joins the extended_event_descriptors of an event: one result per language, in the order of first appearance. At
/// most sixteen parts each.
pub fn extended_events(descriptors: Descriptors<'_>, table: CodeTable) -> Vec<ExtendedEvent> {
    let mut parts: Vec<_> = descriptors.all(tag::EXTENDED_EVENT).filter_map(extended_part).collect();
    let mut languages: Vec<_> = vec![];
    for part in &parts {
        if !languages.contains(&part.language) {
            languages.push(part.language);
        }
    }
    parts.sort_by_key(|part| part.number);
    languages.into_iter().map(|language| join(language, &parts, table)).collect()
}

fn join(language: Option<Language>, parts: &[ExtendedPart<'_>], table: CodeTable) -> ExtendedEvent {
    let mut joined = ExtendedEvent { language, ..ExtendedEvent::default() };
    let mut next = 0;
    for part in parts.iter().filter(|part| part.language == language) {
        // A part sent twice in one loop adds nothing.
        if part.number < next {
            continue;
        }
        next = part.number + 1;
        joined.text.push_str(&decode(part.text, table).text);
        for (description, item) in &part.items {
            let (description, item) = (decode(description, table).text, decode(item, table).text);
            match joined.items.last_mut() {
                Some(last) if description.is_empty() => last.1.push_str(&item),
                _ => joined.items.push((description, item)),
            }
        }
    }
    let of_language = || parts.iter().filter(|part| part.language == language);
    joined.complete = of_language().all(|part| (0..=part.last).all(|n| of_language().any(|other| other.number == n)));
    joined
}

/// One genre of a content_descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Content {
    /// `content_nibble_level_1` and `_2` (table 29) in one byte: 0x10 film, 0x20 news, 0x40 sport.
    pub genre: u8,
    /// `user_byte`, the broadcaster's own.
    pub user: u8,
}

/// content_descriptor: genres in order.
pub fn content(body: &[u8]) -> impl Iterator<Item = Content> {
    body.as_chunks::<2>().0.iter().map(|&[genre, user]| Content { genre, user })
}

/// One rating of a parental_rating_descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct ParentalRating {
    /// Country of ISO 3166, three letters; `None` when the bytes are no letters.
    pub country: Option<Language>,
    /// Minimum age in years, 4 to 18; `None` when undefined or in the broadcaster's own code.
    pub age: Option<u8>,
}

/// parental_rating_descriptor: ratings in order.
pub fn parental_ratings(body: &[u8]) -> impl Iterator<Item = ParentalRating> {
    body.as_chunks::<4>().0.iter().map(|&[a, b, c, rating]| {
        let age = (0x01..=0x0F).contains(&rating).then(|| rating + 3);
        ParentalRating { country: Language::new([a, b, c]), age }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::compose;
    use proptest::prelude::*;

    fn part(numbers: u8, language: &[u8; 3], items: &[(&str, &str)], text: &str) -> Vec<u8> {
        let counted = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        let items: Vec<u8> = items.iter().flat_map(|(what, who)| [counted(what), counted(who)].concat()).collect();
        let body = [&[numbers][..], language, &[u8::try_from(items.len()).unwrap()], &items, &counted(text)].concat();
        compose::descriptor(tag::EXTENDED_EVENT, &body)
    }

    #[test]
    fn short() {
        let read = short_event(b"fra\x02JT\x04Info").unwrap();
        assert_eq!((read.title, read.text), (&b"JT"[..], &b"Info"[..]));
        assert_eq!(read.language, Language::new(*b"fra"));
        assert_eq!(short_event(b"fra\x02JT\x05Info"), None);
        assert_eq!(short_event(b"fr"), None);
    }

    #[test]
    fn extended_parts_are_joined_per_language() {
        let bytes = [
            part(0x11, b"fra", &[("", " Dupont")], "deux."),
            part(0x01, b"fra", &[("Avec", "A."), ("De", "B.")], "Un, "),
            part(0x00, b"eng", &[], "One."),
        ];
        let got = extended_events(Descriptors::new(&bytes.concat()), CodeTable::Iso6937);
        assert_eq!(got.len(), 2);
        assert_eq!((got[0].text.as_str(), got[0].complete), ("Un, deux.", true));
        assert_eq!(got[0].items, [("Avec".into(), "A.".into()), ("De".into(), "B. Dupont".into())]);
        assert_eq!((got[1].text.as_str(), got[1].complete), ("One.", true));
    }

    #[test]
    fn a_missing_or_repeated_part() {
        let bytes = [part(0x22, b"fra", &[], "c"), part(0x02, b"fra", &[], "a"), part(0x02, b"fra", &[], "a")];
        let got = extended_events(Descriptors::new(&bytes.concat()), CodeTable::Iso6937);
        assert_eq!((got[0].text.as_str(), got[0].complete), ("ac", false));
    }

    #[test]
    fn genres_and_ages() {
        let genres: Vec<_> = content(&[0x11, 0, 0x43, 9, 7]).map(|c| (c.genre, c.user)).collect();
        assert_eq!(genres, [(0x11, 0), (0x43, 9)]);
        let ages: Vec<_> = parental_ratings(b"FRA\x07ITA\0DEU\x10").map(|r| r.age).collect();
        assert_eq!(ages, [Some(10), None, None]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(body in proptest::collection::vec(any::<u8>(), 0..=255)) {
            let _ = (short_event(&body), extended_part(&body), content(&body).count(), parental_ratings(&body).count());
            let all = extended_events(Descriptors::new(&body), CodeTable::Iso6937);
            prop_assert!(all.iter().map(|event| event.text.len()).sum::<usize>() <= 3 * body.len());
        }

        #[test]
        fn parts_come_back_in_any_order(
            texts in proptest::collection::vec("[a-z]{0,200}", 1..=16),
            order in any::<prop::sample::Index>(),
        ) {
            let last = u8::try_from(texts.len() - 1).unwrap();
            let mut parts: Vec<_> =
                (0..).zip(&texts).map(|(number, text)| part(number << 4 | last, b"fra", &[], text)).collect();
            parts.rotate_left(order.index(texts.len()));
            let got = extended_events(Descriptors::new(&parts.concat()), CodeTable::Iso6937);
            prop_assert!(got[0].complete);
            prop_assert_eq!(&got[0].text, &texts.concat());
        }
    }
}
