//! Walks a descriptor loop: tag, length, body, and again (ISO/IEC 13818-1 §2.6.1).
//!
//! A loop whose last length leads out of it ends there: what came before is still good, as sets in the field treat
//! it. Meaning is left to the readers of single descriptors.

/// Numbers of the descriptors this house reads.
pub mod tag {
    /// registration_descriptor.
    pub const REGISTRATION: u8 = 0x05;
    /// CA_descriptor.
    pub const CA: u8 = 0x09;
    /// ISO_639_language_descriptor.
    pub const LANGUAGE: u8 = 0x0A;
    /// HEVC_video_descriptor.
    pub const HEVC: u8 = 0x38;
    /// network_name_descriptor.
    pub const NETWORK_NAME: u8 = 0x40;
    /// satellite_delivery_system_descriptor.
    pub const SATELLITE_DELIVERY: u8 = 0x43;
    /// service_descriptor.
    pub const SERVICE: u8 = 0x48;
    /// short_event_descriptor.
    pub const SHORT_EVENT: u8 = 0x4D;
    /// extended_event_descriptor.
    pub const EXTENDED_EVENT: u8 = 0x4E;
    /// stream_identifier_descriptor.
    pub const STREAM_IDENTIFIER: u8 = 0x52;
    /// content_descriptor.
    pub const CONTENT: u8 = 0x54;
    /// parental_rating_descriptor.
    pub const PARENTAL_RATING: u8 = 0x55;
    /// teletext_descriptor.
    pub const TELETEXT: u8 = 0x56;
    /// subtitling_descriptor.
    pub const SUBTITLING: u8 = 0x59;
    /// terrestrial_delivery_system_descriptor.
    pub const TERRESTRIAL_DELIVERY: u8 = 0x5A;
    /// AC-3_descriptor.
    pub const AC3: u8 = 0x6A;
    /// S2_satellite_delivery_system_descriptor.
    pub const S2_DELIVERY: u8 = 0x79;
    /// enhanced_AC-3_descriptor.
    pub const EAC3: u8 = 0x7A;
    /// AAC_descriptor.
    pub const AAC: u8 = 0x7C;
    /// extension_descriptor: the first byte of the body is the real tag.
    pub const EXTENSION: u8 = 0x7F;
}

/// One descriptor: its tag and the bytes behind its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor<'a> {
    /// `descriptor_tag`.
    pub tag: u8,
    /// What `descriptor_length` counts, at most 255 bytes.
    pub body: &'a [u8],
}

/// A descriptor loop, to be iterated; copying it copies a reference.
///
/// ```
/// use headend_media::descriptor::Descriptors;
/// let mut two = Descriptors::new(&[0x52, 1, 7, 0x0A, 4, b'f', b'r', b'a', 0]);
/// assert_eq!(two.find(0x52), Some(&[7][..]));
/// assert_eq!(two.map(|d| d.tag).collect::<Vec<_>>(), [0x52, 0x0A]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Descriptors<'a> {
    rest: &'a [u8],
}

impl<'a> Descriptors<'a> {
    /// A loop over the bytes that the table's loop length counts.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The bytes not walked yet.
    pub const fn bytes(&self) -> &'a [u8] {
        self.rest
    }

    /// The body of the first descriptor with this tag.
    pub fn find(&self, tag: u8) -> Option<&'a [u8]> {
        self.all(tag).next()
    }

    /// The bodies of all descriptors with this tag, in order.
    pub fn all(&self, tag: u8) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        (*self).filter(move |descriptor| descriptor.tag == tag).map(|descriptor| descriptor.body)
    }
}

impl<'a> Iterator for Descriptors<'a> {
    type Item = Descriptor<'a>;

    fn next(&mut self) -> Option<Descriptor<'a>> {
        let [tag, length, behind @ ..] = self.rest else {
            return None;
        };
        let Some((body, rest)) = behind.split_at_checked(usize::from(*length)) else {
            self.rest = &[];
            return None;
        };
        self.rest = rest;
        Some(Descriptor { tag: *tag, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(bytes: &[u8], want: &[(u8, &[u8])]) {
        let got: Vec<_> = Descriptors::new(bytes).map(|d| (d.tag, d.body)).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn loops() {
        check(&[], &[]);
        check(&[1, 0, 2, 1, 9], &[(1, &[]), (2, &[9])]);
        check(&[1, 0, 2, 2, 9], &[(1, &[])]);
        check(&[1, 0, 2], &[(1, &[])]);
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let total: usize = Descriptors::new(&bytes).map(|d| d.body.len() + 2).sum();
            prop_assert!(total <= bytes.len());
        }

        #[test]
        fn packed_descriptors_come_back(
            list in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..=255)), 0..20),
        ) {
            let bytes: Vec<u8> = list
                .iter()
                .flat_map(|(tag, body)| [vec![*tag, u8::try_from(body.len()).unwrap()], body.clone()].concat())
                .collect();
            let got: Vec<_> = Descriptors::new(&bytes).map(|d| (d.tag, d.body.to_vec())).collect();
            prop_assert_eq!(got, list);
        }
    }
}
