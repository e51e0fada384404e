//! Who is at the other end: its address and, with client certificates, its name.
//!
//! Put into every request's extensions. The common name is read with a small DER walk (X.690 §8, RFC 5280 §4.1), only
//! after rustls has verified the certificate; other bytes than a certificate give no name, never a panic.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;

/// The socket's other end. Always the socket's own word; proxy headers are not looked at here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// The certificate a client presented and rustls verified against the configured authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    common_name: Option<Arc<str>>,
    der: CertificateDer<'static>,
}

impl PeerCertificate {
    pub(crate) fn new(der: CertificateDer<'static>) -> Self {
        let common_name = common_name_of(&der).map(Arc::from);
        Self { common_name, der }
    }

    /// The subject's common name; `None` when there is none, more than one, or it is not text.
    #[must_use]
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// The end-entity certificate as DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0C;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
/// `[0] EXPLICIT Version`, absent in version 1 certificates.
const VERSION: u8 = 0xA0;
/// id-at-commonName, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

fn common_name_of(certificate: &[u8]) -> Option<&str> {
    let (body, _) = expect(SEQUENCE, certificate)?;
    let (mut rest, _) = expect(SEQUENCE, body)?;
    if let Some((_, after)) = expect(VERSION, rest) {
        rest = after;
    }
    // serialNumber, signature, issuer, validity; then subject (RFC 5280 §4.1).
    for _ in 0..4 {
        rest = element(rest)?.2;
    }
    let (mut names, _) = expect(SEQUENCE, rest)?;
    let mut found = None;
    while !names.is_empty() {
        let (mut set, after) = expect(SET, names)?;
        names = after;
        while !set.is_empty() {
            let (pair, after) = expect(SEQUENCE, set)?;
            set = after;
            let (kind, value) = expect(OBJECT_ID, pair)?;
            if kind == COMMON_NAME && found.replace(text(value)?).is_some() {
                // Two names: which one was meant is not ours to guess.
                return None;
            }
        }
    }
    found
}

fn text(value: &[u8]) -> Option<&str> {
    let (tag, content, _) = element(value)?;
    matches!(tag, UTF8_STRING | PRINTABLE_STRING | IA5_STRING).then_some(())?;
    std::str::from_utf8(content).ok()
}

fn expect(tag: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    element(input).filter(|(found, ..)| *found == tag).map(|(_, content, rest)| (content, rest))
}

/// Tag, content and what follows (X.690 §8.1: definite lengths only, as DER demands).
fn element(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, length, rest @ ..] = input else {
        return None;
    };
    let (length, rest) = match *length {
        short @ 0..=0x7F => (usize::from(short), rest),
        0x81 => rest.split_first().map(|(a, rest)| (usize::from(*a), rest))?,
        0x82 => rest.split_first_chunk().map(|(ab, rest)| (usize::from(u16::from_be_bytes(*ab)), rest))?,
        // More than 65,535 bytes is no certificate of ours.
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn certificate(names: &[&str]) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(vec!["node.test".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "Antenna");
        for name in names {
            params.distinguished_name.push(rcgen::DnType::CommonName, *name);
        }
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    fn check(der: &[u8], want: Option<&str>) {
        assert_eq!(PeerCertificate::new(CertificateDer::from(der.to_vec())).common_name(), want);
    }

    #[test]
    fn the_common_name_is_the_subjects() {
        check(&certificate(&["caribbean-1"]), Some("caribbean-1"));
        check(&certificate(&["Ünïté"]), Some("Ünïté"));
        check(&certificate(&[]), None);
        check(b"", None);
    }

    #[test]
    fn two_common_names_are_none() {
        let name = |cn: &[u8]| {
            let value = [&[OBJECT_ID, 3, 0x55, 4, 3, UTF8_STRING, 1][..], cn].concat();
            [&[SET, 10, SEQUENCE, 8][..], &value].concat()
        };
        let subject = |names: &[u8]| {
            let names = [&[SEQUENCE, u8::try_from(names.len()).unwrap()][..], names].concat();
            let fields = [&[2, 1, 1, SEQUENCE, 0, SEQUENCE, 0, SEQUENCE, 0][..], &names].concat();
            let length = u8::try_from(fields.len()).unwrap();
            [&[SEQUENCE, length + 2, SEQUENCE, length][..], &fields].concat()
        };
        check(&subject(&name(b"a")), Some("a"));
        check(&subject(&[name(b"a"), name(b"b")].concat()), None);
        check(&subject(&name(&[0xFF])), None);
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_name_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = common_name_of(&bytes);
        }

        #[test]
        fn a_damaged_certificate_never_panics(at in 0usize..600, value: u8) {
            let mut der = certificate(&["caribbean-1"]);
            let at = at % der.len();
            der[at] = value;
            let _ = common_name_of(&der);
        }
    }
}
