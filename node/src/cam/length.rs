//! The length field of all layers of the common interface (EN 50221 §7, after ASN.1).
//!
//! Pure. Up to 127 it is one byte; above, a byte counts the bytes of the number that follow. Nothing here is longer than
//! [`BYTES_MAX`]: a module that claims more is not believed.

/// The longest object that is read or written.
pub(crate) const BYTES_MAX: usize = 65_535;

/// Writes a length field; a length over [`BYTES_MAX`] is an error of ours, and cut.
pub(crate) fn put(length: usize, into: &mut Vec<u8>) {
    let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    match (high, low) {
        (0, 0..=0x7F) => into.push(low),
        (0, _) => into.extend([0x81, low]),
        _ => into.extend([0x82, high, low]),
    }
}

/// A tag of one byte, a length field and the bytes.
pub(crate) fn object(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut object = Vec::with_capacity(body.len() + 4);
    object.push(tag);
    put(body.len(), &mut object);
    object.extend_from_slice(body);
    object
}

/// Reads a length field: the bytes it counts, and what is behind them; `None` when it leads out.
pub(crate) fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first & 0x80 == 0 {
        return rest.split_at_checked(usize::from(first));
    }
    let (number, rest) = rest.split_at_checked(usize::from(first & 0x7F)).filter(|(number, _)| !number.is_empty())?;
    let length = number
        .iter()
        .try_fold(0_usize, |sum, byte| Some(sum << 8 | usize::from(*byte)).filter(|length| *length <= BYTES_MAX))?;
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_as_the_standard_writes_them() {
        let check = |length, want: &[u8]| {
            let mut got = vec![];
            put(length, &mut got);
            assert_eq!(got, want, "{length}");
        };
        check(0, &[0]);
        check(127, &[0x7F]);
        check(128, &[0x81, 0x80]);
        check(255, &[0x81, 0xFF]);
        check(256, &[0x82, 1, 0]);
        check(65_535, &[0x82, 0xFF, 0xFF]);
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for bytes in [&[][..], &[1], &[0x80, 1], &[0x81], &[0x81, 2, 0], &[0x83, 1, 0, 0], &[0xFF; 200]] {
            assert_eq!(split(bytes), None, "{bytes:02x?}");
        }
        // More bytes than needed are allowed as long as the number is small.
        assert_eq!(split(&[0x84, 0, 0, 0, 1, 9, 8]), Some((&[9][..], &[8][..])));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(body in proptest::collection::vec(any::<u8>(), 0..400), behind in any::<[u8; 3]>()) {
            let bytes = [object(0xA0, &body), behind.to_vec()].concat();
            prop_assert_eq!(split(&bytes[1..]), Some((&body[..], &behind[..])));
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Some((body, rest)) = split(&bytes) {
                prop_assert!(body.len() + rest.len() < bytes.len());
            }
        }
    }
}
