//! Delivery system descriptors: where a NIT says the multiplexes of a network are (ETSI EN 300 468 §6.2.13, §6.4.6.3).
//!
//! Values as sent, with units; whether a receiver can do them is its own business. Frequencies and symbol rates are binary
//! coded decimals; a digit above nine makes a descriptor worthless, and operators do send such.

/// Which wave of a satellite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wave {
    /// Linear horizontal.
    Horizontal,
    /// Linear vertical.
    Vertical,
    /// Circular left.
    Left,
    /// Circular right.
    Right,
}

/// A satellite_delivery_system_descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SatelliteDelivery {
    /// Downlink frequency, hertz, in steps of 10 kHz.
    pub frequency_hz: u64,
    /// Tenths of a degree, 0 to 3599.
    pub orbit_tenths: u16,
    /// East of Greenwich.
    pub east: bool,
    /// Polarisation.
    pub wave: Wave,
    /// DVB-S2, else DVB-S.
    pub second_generation: bool,
    /// Hundredths, of DVB-S2: 35, 25 or 20; `None` for a reserved value and DVB-S.
    pub rolloff_hundredths: Option<u8>,
    /// Bits a symbol: 2 QPSK, 3 8PSK; `None` for automatic.
    pub symbol_bits: Option<u8>,
    /// Symbols a second, in steps of 100.
    pub symbol_rate: u32,
    /// Inner code rate; `None` for automatic and reserved values.
    pub code_rate: Option<(u8, u8)>,
}

/// An S2_satellite_delivery_system_descriptor: what DVB-S2 has beyond the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct S2Delivery {
    /// Gold code of physical layer scrambling, 18 bits, when it is not the default.
    pub scrambling: Option<u32>,
    /// `input_stream_identifier` of a multi-stream carrier.
    pub stream: Option<u8>,
}

/// A terrestrial_delivery_system_descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerrestrialDelivery {
    /// Centre frequency, hertz, in steps of 10; 0 where it is elsewhere.
    pub frequency_hz: u64,
    /// 5 to 8 MHz; `None` for a reserved value.
    pub bandwidth_mhz: Option<u8>,
}

/// A T2_delivery_system_descriptor, behind its extension tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct T2Delivery {
    /// Physical layer pipe.
    pub plp: u8,
    /// Bandwidth, kilohertz; `None` in the short form and for reserved values.
    pub bandwidth_khz: Option<u16>,
    /// Centre frequencies of all cells, hertz, in the order sent; empty in the short form. At most 63.
    pub frequencies_hz: Vec<u64>,
}

/// Reads the body of a satellite_delivery_system_descriptor; `None` when it is too short or a digit is none.
pub fn satellite_delivery(body: &[u8]) -> Option<SatelliteDelivery> {
    let (&[f0, f1, f2, f3, o0, o1, flags, s0, s1, s2, s3], _) = body.split_first_chunk()?;
    let symbols = u32::from_be_bytes([s0, s1, s2, s3]);
    let second_generation = flags & 0x04 != 0;
    let rolloff = [Some(35), Some(25), Some(20), None][usize::from(flags >> 3 & 3)];
    Some(SatelliteDelivery {
        frequency_hz: u64::from(decimal(u32::from_be_bytes([f0, f1, f2, f3]), 8)?) * 10_000,
        orbit_tenths: u16::try_from(decimal(u32::from(u16::from_be_bytes([o0, o1])), 4)?).ok()?,
        east: flags & 0x80 != 0,
        wave: [Wave::Horizontal, Wave::Vertical, Wave::Left, Wave::Right][usize::from(flags >> 5 & 3)],
        second_generation,
        rolloff_hundredths: rolloff.filter(|_| second_generation),
        symbol_bits: [None, Some(2), Some(3), Some(4)][usize::from(flags & 3)],
        symbol_rate: decimal(symbols >> 4, 7)? * 100,
        code_rate: code_rate(s3 & 0x0F),
    })
}

/// Reads the body of an S2_satellite_delivery_system_descriptor; `None` when it is too short.
pub fn s2_delivery(body: &[u8]) -> Option<S2Delivery> {
    let (&flags, mut rest) = body.split_first()?;
    let mut read = S2Delivery::default();
    if flags & 0x80 != 0 {
        let (&[high, middle, low], behind) = rest.split_first_chunk()?;
        read.scrambling = Some(u32::from_be_bytes([0, high & 3, middle, low]));
        rest = behind;
    }
    if flags & 0x40 != 0 {
        read.stream = Some(*rest.first()?);
    }
    Some(read)
}

/// Reads the body of a terrestrial_delivery_system_descriptor; `None` when it is too short.
pub fn terrestrial_delivery(body: &[u8]) -> Option<TerrestrialDelivery> {
    let (&[f0, f1, f2, f3, flags], _) = body.split_first_chunk()?;
    let bandwidth = [Some(8), Some(7), Some(6), Some(5), None, None, None, None];
    Some(TerrestrialDelivery {
        frequency_hz: u64::from(u32::from_be_bytes([f0, f1, f2, f3])) * 10,
        bandwidth_mhz: bandwidth[usize::from(flags >> 5)],
    })
}

/// Reads the body of an extension descriptor when it is a T2_delivery_system_descriptor; `None` when it is another or too
/// short. A loop of cells that leads out of it ends it.
pub fn t2_delivery(body: &[u8]) -> Option<T2Delivery> {
    const TAG: u8 = 0x04;
    let (&[tag, plp, _, _], rest) = body.split_first_chunk()?;
    (tag == TAG).then_some(())?;
    let mut read = T2Delivery { plp, bandwidth_khz: None, frequencies_hz: vec![] };
    let Some((&[first, second], mut cells)) = rest.split_first_chunk() else { return Some(read) };
    let bandwidths = [8000, 7000, 6000, 5000, 10_000, 1712];
    read.bandwidth_khz = bandwidths.get(usize::from(first >> 2 & 0x0F)).copied();
    let sliced = second & 1 != 0;
    while let Some((frequencies, behind)) = cell(cells, sliced) {
        read.frequencies_hz.extend(frequencies);
        cells = behind;
    }
    Some(read)
}

/// One cell: id, one frequency or a counted list, counted sub-cells that are passed over.
fn cell(bytes: &[u8], sliced: bool) -> Option<(Vec<u64>, &[u8])> {
    let (_, rest) = bytes.split_first_chunk::<2>()?;
    let (frequencies, rest) = if sliced {
        let (&length, rest) = rest.split_first()?;
        rest.split_at_checked(usize::from(length))?
    } else {
        rest.split_at_checked(4)?
    };
    let (&length, rest) = rest.split_first()?;
    let (_, behind) = rest.split_at_checked(usize::from(length))?;
    let frequencies = frequencies.as_chunks::<4>().0.iter().map(|bytes| u64::from(u32::from_be_bytes(*bytes)) * 10);
    Some((frequencies.collect(), behind))
}

/// The low `digits` digits of a binary coded decimal.
fn decimal(bits: u32, digits: u32) -> Option<u32> {
    (0..digits).rev().try_fold(0, |sum, digit| {
        let value = bits >> (4 * digit) & 0x0F;
        (value <= 9).then(|| sum * 10 + value)
    })
}

/// `FEC_inner` (table 35).
fn code_rate(bits: u8) -> Option<(u8, u8)> {
    let rates = [(1, 2), (2, 3), (3, 4), (5, 6), (7, 8), (8, 9), (3, 5), (4, 5), (9, 10)];
    rates.get(usize::from(bits).checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_transponder_of_second_generation() {
        // 11.538 GHz, 19.2 degrees east, vertical, 0.20, S2, 8PSK, 22.000 MBd, 3/4.
        let body = [0x01, 0x15, 0x38, 0x00, 0x01, 0x92, 0xB6, 0x02, 0x20, 0x00, 0x03];
        let want = SatelliteDelivery {
            frequency_hz: 11_538_000_000,
            orbit_tenths: 192,
            east: true,
            wave: Wave::Vertical,
            second_generation: true,
            rolloff_hundredths: Some(20),
            symbol_bits: Some(3),
            symbol_rate: 22_000_000,
            code_rate: Some((3, 4)),
        };
        assert_eq!(satellite_delivery(&body), Some(want));
        assert_eq!(satellite_delivery(&body[..10]), None);
        assert_eq!(satellite_delivery(&[0x0A; 11]), None);
        let first =
            SatelliteDelivery { second_generation: false, rolloff_hundredths: None, wave: Wave::Horizontal, ..want };
        let mut body = body;
        body[6] = 0x83;
        assert_eq!(satellite_delivery(&body), Some(SatelliteDelivery { symbol_bits: Some(4), ..first }));
    }

    #[test]
    fn streams_and_scrambling() {
        assert_eq!(s2_delivery(&[0x1F]), Some(S2Delivery::default()));
        let want = S2Delivery { scrambling: Some(0x2_1234), stream: Some(5) };
        assert_eq!(s2_delivery(&[0xDF, 0xFE, 0x12, 0x34, 5]), Some(want));
        assert_eq!(s2_delivery(&[0x5F, 7]), Some(S2Delivery { scrambling: None, stream: Some(7) }));
        assert_eq!([s2_delivery(&[0xDF, 0xFE, 0x12, 0x34]), s2_delivery(&[0x5F]), s2_delivery(&[])], [None; 3]);
    }

    #[test]
    fn terrestrial_channels() {
        let frequency = 47_400_000_u32.to_be_bytes();
        let body = [&frequency[..], &[0x1F, 0, 0, 0, 0, 0, 0]].concat();
        let want = TerrestrialDelivery { frequency_hz: 474_000_000, bandwidth_mhz: Some(8) };
        assert_eq!(terrestrial_delivery(&body), Some(want));
        assert_eq!(terrestrial_delivery(&body[..4]), None);
        let short = T2Delivery { plp: 1, bandwidth_khz: None, frequencies_hz: vec![] };
        assert_eq!(t2_delivery(&[4, 1, 0, 9]), Some(short));
        let long =
            [&[4, 1, 0, 9, 0x04, 0x00, 0, 1][..], &frequency, &[0, 0, 2], &frequency, &[5, 1, 2, 3, 4, 5]].concat();
        let want = T2Delivery { plp: 1, bandwidth_khz: Some(7000), frequencies_hz: vec![474_000_000; 2] };
        assert_eq!(t2_delivery(&long), Some(want));
        let sliced = [&[4, 1, 0, 9, 0x00, 0x01, 0, 1, 8][..], &frequency, &frequency, &[0]].concat();
        assert_eq!(t2_delivery(&sliced).map(|read| read.frequencies_hz.len()), Some(2));
        assert_eq!(t2_delivery(&[6, 1, 0, 9]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(body in proptest::collection::vec(any::<u8>(), 0..=255)) {
            let _ = (satellite_delivery(&body), s2_delivery(&body), terrestrial_delivery(&body));
            prop_assert!(t2_delivery(&[&[4][..], &body].concat()).is_none_or(|read| read.frequencies_hz.len() <= 63));
        }
    }
}
