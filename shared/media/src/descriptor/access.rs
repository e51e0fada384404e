//! CA_descriptor: which conditional access system is in use, and where its messages are (ISO/IEC 13818-1 §2.6.16).
//!
//! In a PMT the PID carries ECMs, in the CAT EMMs. What a system puts behind the fixed part is its own business.

use crate::packet::Pid;

/// A CA_descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaDescriptor<'a> {
    /// `CA_system_ID`, as registered with DVB.
    pub system: u16,
    /// `CA_PID`.
    pub pid: Pid,
    /// `private_data_byte`s.
    pub private: &'a [u8],
}

/// Reads the body of a CA_descriptor; `None` when it is too short.
pub fn ca(body: &[u8]) -> Option<CaDescriptor<'_>> {
    let (&[system_high, system_low, pid_high, pid_low], private) = body.split_first_chunk()?;
    Some(CaDescriptor {
        system: u16::from_be_bytes([system_high, system_low]),
        pid: Pid::new(u16::from_be_bytes([pid_high, pid_low])),
        private,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields() {
        let want = CaDescriptor { system: 0x0500, pid: Pid::new(0x123), private: &[9] };
        assert_eq!(ca(&[0x05, 0x00, 0xE1, 0x23, 9]), Some(want));
        assert_eq!(ca(&[0x05, 0x00, 0xE1]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(body in proptest::collection::vec(any::<u8>(), 0..=255)) {
            prop_assert_eq!(ca(&body).is_some(), body.len() >= 4);
        }
    }
}
