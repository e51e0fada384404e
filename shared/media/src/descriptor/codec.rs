//! Descriptors that belong to one codec: AC-3, Enhanced AC-3, AAC, HEVC.
//!
//! ETSI EN 300 468 annex D.3, D.5 and H.2.1, ISO/IEC 13818-1 §2.6.95. Their presence names the codec; inside are the
//! few fields somebody asks for.

/// What an AC-3 or enhanced AC-3 descriptor says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ac3 {
    /// `component_type` (table D.1): services and channels, such as 0x42 for stereo, 0x44 for more.
    pub component_type: Option<u8>,
    /// `bsid`, 8 or less for AC-3, 11 to 16 for E-AC-3.
    pub bsid: Option<u8>,
    /// `mainid`.
    pub mainid: Option<u8>,
    /// `asvc`: which main services this associated one goes with.
    pub asvc: Option<u8>,
}

/// AC-3_descriptor and enhanced_AC-3_descriptor: the same four fields lead both. An empty body is legal in the field.
pub fn ac3(body: &[u8]) -> Ac3 {
    let (flags, mut rest) = body.split_first().map_or((0, body), |(&flags, rest)| (flags, rest));
    let mut field = |flag: u8| {
        if flags & flag == 0 {
            return None;
        }
        let (&value, behind) = rest.split_first()?;
        rest = behind;
        Some(value)
    };
    Ac3 { component_type: field(0x80), bsid: field(0x40), mainid: field(0x20), asvc: field(0x10) }
}

/// What an AAC_descriptor says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aac {
    /// `profile_and_level` (ISO/IEC 14496-3): 0x50 to 0x57 AAC, 0x58 to 0x5B HE-AAC, 0x60 to 0x63 HE-AAC v2.
    pub profile_and_level: u8,
    /// `AAC_type` (table H.1), where sent.
    pub kind: Option<u8>,
}

/// AAC_descriptor; `None` when it is empty.
pub fn aac(body: &[u8]) -> Option<Aac> {
    let (&profile_and_level, rest) = body.split_first()?;
    let kind = match rest {
        [flags, kind, ..] if flags & 0x80 != 0 => Some(*kind),
        _ => None,
    };
    Some(Aac { profile_and_level, kind })
}

/// What an HEVC_video_descriptor says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hevc {
    /// `profile_idc`: 1 Main, 2 Main 10.
    pub profile: u8,
    /// `level_idc`: thirty times the level.
    pub level: u8,
    /// `tier_flag`: High tier, not Main.
    pub high_tier: bool,
}

/// HEVC_video_descriptor; `None` when it is too short.
pub fn hevc(body: &[u8]) -> Option<Hevc> {
    let [profile, _, _, _, _, _, _, _, _, _, _, level, ..] = *body else {
        return None;
    };
    Some(Hevc { profile: profile & 0x1F, level, high_tier: profile & 0x20 != 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields() {
        let want = Ac3 { component_type: Some(0xC2), ..Ac3::default() };
        assert_eq!(ac3(&[0x80, 0xC2]), want);
        let want = Ac3 { component_type: Some(0x44), bsid: Some(8), mainid: None, asvc: Some(3) };
        assert_eq!(ac3(&[0xD0, 0x44, 8, 3]), want);
        assert_eq!(ac3(&[]), Ac3::default());
        assert_eq!(ac3(&[0xF0, 0x44]), Ac3 { component_type: Some(0x44), ..Ac3::default() });
        assert_eq!(aac(&[0x58, 0x80, 3]), Some(Aac { profile_and_level: 0x58, kind: Some(3) }));
        assert_eq!(aac(&[0x52]), Some(Aac { profile_and_level: 0x52, kind: None }));
        assert_eq!(aac(&[]), None);
        let body = [0x22, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 153, 0];
        assert_eq!(hevc(&body), Some(Hevc { profile: 2, level: 153, high_tier: true }));
        assert_eq!(hevc(&body[..11]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(body in proptest::collection::vec(any::<u8>(), 0..=255)) {
            let _ = (ac3(&body), aac(&body), hevc(&body));
        }
    }
}
