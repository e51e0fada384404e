//! Names in SDT and NIT: service_descriptor and network_name_descriptor (ETSI EN 300 468 §6.2.33 and §6.2.27).
//!
//! Texts stay bytes here; [`crate::text::decode`] reads them with the default table of their service.

/// A service_descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceDescriptor<'a> {
    /// `service_type` (table 89).
    pub kind: ServiceKind,
    /// Provider's name, undecoded.
    pub provider: &'a [u8],
    /// Service's name, undecoded.
    pub name: &'a [u8],
}

/// What kind of service it is, in the few words people use for `service_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceKind {
    /// Television of any resolution and codec.
    Tv,
    /// Radio.
    Radio,
    /// Teletext alone.
    Teletext,
    /// Data and interactive applications.
    Data,
    /// Mosaics, NVOD references, reserved and private numbers.
    Other,
}

impl ServiceKind {
    /// The kind of a `service_type`.
    pub const fn of(service_type: u8) -> Self {
        match service_type {
            0x01 | 0x11 | 0x16..=0x1E | 0x1F | 0x20 => Self::Tv,
            0x02 | 0x07 | 0x0A => Self::Radio,
            0x03 => Self::Teletext,
            0x0C | 0x10 => Self::Data,
            _ => Self::Other,
        }
    }
}

/// Reads the body of a service_descriptor; `None` when a length leads out of it.
pub fn service(body: &[u8]) -> Option<ServiceDescriptor<'_>> {
    let (&service_type, rest) = body.split_first()?;
    let (provider, rest) = text(rest)?;
    let (name, _) = text(rest)?;
    Some(ServiceDescriptor { kind: ServiceKind::of(service_type), provider, name })
}

/// Splits a text with an 8-bit length in front from what follows it.
pub(super) fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields() {
        let want = ServiceDescriptor { kind: ServiceKind::Tv, provider: b"Rai", name: b"Rai 1" };
        assert_eq!(service(b"\x01\x03Rai\x05Rai 1"), Some(want));
        let want = ServiceDescriptor { kind: ServiceKind::Radio, provider: b"", name: b"" };
        assert_eq!(service(b"\x02\0\0"), Some(want));
        assert_eq!(service(b"\x01\x03Rai\x05Rai"), None);
        assert_eq!(service(b"\x01\x03Ra"), None);
        assert_eq!(service(b""), None);
    }

    #[test]
    fn kinds() {
        let kinds = [0x01, 0x16, 0x19, 0x1F, 0x02, 0x0A, 0x03, 0x0C, 0x00, 0x80].map(ServiceKind::of);
        use ServiceKind::{Data, Other, Radio, Teletext, Tv};
        assert_eq!(kinds, [Tv, Tv, Tv, Tv, Radio, Radio, Teletext, Data, Other, Other]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(body in proptest::collection::vec(any::<u8>(), 0..=255)) {
            let read = service(&body);
            prop_assert!(read.is_none_or(|read| read.provider.len() + read.name.len() < body.len()));
        }
    }
}
