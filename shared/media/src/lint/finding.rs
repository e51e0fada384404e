//! What the lint says: a rule, where it was broken, and words for the person who must mend it.
//!
//! One table holds every rule with its id, its group, its weight and its clause; `docs/lint.md` shows the same table, and a
//! test keeps the two together. A [`Tally`] keeps the first findings of each rule and counts the rest, so that a
//! playlist of a hundred thousand faults costs no more memory than one of ten. Words never hold the query of an
//! address: tokens travel there.

use std::collections::BTreeMap;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is wrong by it.
    Note,
    /// Some players suffer, or a "should" of the standard is not followed.
    Warning,
    /// A "must" of the standard is broken, or players stop.
    Error,
}

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

macro_rules! rules {
    ($($name:ident $group:literal $id:literal $severity:ident $clause:literal $meaning:literal;)+) => {
        /// A rule of the lint. The order is that of the groups in `docs/lint.md`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $(#[doc = $meaning] $name,)+
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Which of the nineteen groups it belongs to.
            #[must_use]
            pub const fn group(self) -> u8 {
                match self { $(Self::$name => $group,)+ }
            }

            /// Its stable name.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)+ }
            }

            /// Its weight.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)+ }
            }

            /// Where it stands: a clause of RFC 8216 if nothing else is said.
            #[must_use]
            pub const fn clause(self) -> &'static str {
                match self { $(Self::$name => $clause,)+ }
            }

            /// What breaks it, in a few words.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)+ }
            }
        }
    };
}

rules! {
    TargetMissing 1 "target-missing" Error "4.3.3.1" "a media playlist without TARGETDURATION";
    TargetChanged 1 "target-changed" Error "6.2.1" "TARGETDURATION differs from an earlier reload";
    TargetTooSmall 1 "target-too-small" Error "4.3.3.1" "EXTINF, rounded to seconds, is more than TARGETDURATION";
    Stalled 1 "stalled" Error "6.2.1" "no new segment for one and a half target durations";
    SequenceBack 2 "sequence-back" Error "6.2.2" "MEDIA-SEQUENCE is smaller than before";
    SegmentChanged 2 "segment-changed" Error "6.2.1" "another segment, duration or encryption stands under a number that was listed before";
    SegmentTakenBack 2 "segment-taken-back" Error "6.2.1" "the newest segments of an earlier reload are no longer listed";
    SegmentQueryChanged 2 "segment-query-changed" Warning "6.2.1" "only the query of a listed segment's address changed";
    WindowLost 2 "window-lost" Warning "6.2.2" "nothing of the last reload is listed any more, so numbers jumped or the window is short";
    NothingListed 2 "nothing-listed" Warning "6.2.1" "a media playlist without a segment";
    DiscontinuitySequence 3 "discontinuity-sequence" Error "6.2.2" "DISCONTINUITY-SEQUENCE does not count the discontinuities that left the list";
    DiscontinuityMoved 3 "discontinuity-moved" Error "6.2.1" "a DISCONTINUITY tag appeared at or vanished from a listed segment";
    DiscontinuityMissing 4 "discontinuity-missing" Error "4.3.2.3" "times or tracks do not continue those of the segment before, and no tag says so";
    KeyRefused 5 "not-decrypted" Error "4.3.2.4" "a segment does not open with its key: length or padding is wrong";
    IvWrong 5 "iv-wrong" Error "5.2" "the first block alone decrypts to rubbish: the initialization vector is another";
    IvRepeated 5 "iv-repeated" Warning "5.2" "one explicit initialization vector for several segments of a key";
    IvMalformed 5 "iv-malformed" Error "4.3.2.4" "IV is not a hexadecimal number of 128 bits";
    KeyMethod 5 "key-method" Warning "4.3.2.4" "a METHOD that many players do not know; not checked";
    KeyUnfetchable 6 "key-unfetchable" Error "6.2.3" "the key of a listed segment cannot be fetched";
    KeySize 6 "key-size" Error "5.1" "a key is not 16 bytes long";
    KeyAddressChanged 6 "key-address-changed" Warning "6.2.1" "the key address of a listed segment changed; players keep keys by address";
    DateMissing 7 "date-missing" Note "4.3.2.6" "no PROGRAM-DATE-TIME, so nothing maps to the time of day";
    DateMalformed 7 "date-malformed" Error "4.3.2.6" "PROGRAM-DATE-TIME is no ISO 8601 date and time with a zone";
    DateBack 7 "date-back" Error "4.3.2.6" "PROGRAM-DATE-TIME goes back";
    DateDrift 7 "date-drift" Warning "4.3.2.6" "PROGRAM-DATE-TIME and the sum of EXTINF drift apart";
    DurationOff 7 "duration-off" Warning "4.3.2.1" "EXTINF is not how long the segment lasts by its time stamps";
    NotIndependent 8 "not-independent" Error "4.3.5.1" "INDEPENDENT-SEGMENTS is said of a segment that begins with no clean point of entry";
    SegmentUnreadable 9 "segment-unreadable" Error "3.2" "a segment is no run of transport packets";
    SegmentUnread 9 "segment-unread" Note "3" "a segment of another format than MPEG-2 transport stream; not looked into";
    TablesMissing 9 "tables-missing" Error "3.2" "a segment without PAT and PMT";
    TablesLate 9 "tables-late" Warning "3.2" "PAT and PMT are not the first packets of a segment";
    Programmes 9 "programmes" Error "3.2" "a segment with more than one programme";
    EntryLate 9 "entry-late" Warning "3" "the pictures of a segment do not begin with a random access point";
    Empty 9 "segment-empty" Error "3" "a segment without a picture or sound";
    CountersBroken 9 "counters-broken" Error "3" "continuity counters break inside a segment: packets are missing";
    CountersApart 9 "counters-apart" Error "3" "continuity counters do not go on from the segment before";
    Hole 9 "hole" Warning "3" "more than two seconds without a picture at a cut, though times and EXTINF go on";
    StillScrambled 9 "still-scrambled" Error "3.2" "packets are scrambled under the segment's encryption";
    PcrMissing 9 "pcr-missing" Warning "ISO/IEC 13818-1 2.7.2" "a segment without a clock reference";
    VariantTarget 10 "variant-target" Error "6.2.4" "renditions of one channel have different target durations";
    VariantDiscontinuity 10 "variant-discontinuity" Error "6.2.4" "renditions count discontinuities differently at one segment";
    VariantTime 10 "variant-time" Error "6.2.4" "renditions give one number to different times";
    VariantNumbers 10 "variant-numbers" Warning "6.2.4" "renditions give different numbers to one time";
    BandwidthMissing 11 "bandwidth-missing" Error "4.3.4.2" "STREAM-INF without BANDWIDTH";
    BandwidthLow 11 "bandwidth-low" Warning "4.3.4.2" "a segment is more than a tenth above BANDWIDTH";
    CodecsMissing 11 "codecs-missing" Warning "4.3.4.2" "STREAM-INF without CODECS";
    CodecsIncomplete 11 "codecs-incomplete" Warning "4.3.4.2" "CODECS does not name every kind of track";
    PictureUnsaid 11 "picture-unsaid" Note "4.3.4.2" "STREAM-INF without RESOLUTION or FRAME-RATE";
    GroupUnknown 11 "group-unknown" Error "4.3.4.2.1" "STREAM-INF names a group that no MEDIA tag makes";
    WindowShort 12 "window-short" Error "6.2.2" "a segment was removed although under three target durations stay listed";
    SegmentGoneEarly 12 "segment-gone-early" Error "6.2.2" "a removed segment cannot be fetched any more, earlier than it may go";
    SegmentUnfetchable 12 "segment-unfetchable" Error "6.2.1" "a listed segment cannot be fetched";
    EventShrank 13 "event-shrank" Error "6.2.1" "an EVENT or VOD playlist lost its first segments";
    TypeChanged 13 "type-changed" Error "6.2.1" "PLAYLIST-TYPE changed";
    EndedChanged 13 "ended-changed" Error "6.2.1" "a VOD playlist, or one with ENDLIST, changed";
    VodOpen 13 "vod-open" Warning "4.3.3.5" "a VOD playlist without ENDLIST";
    PlaylistUnfetchable 14 "playlist-unfetchable" Error "6.2.1" "a playlist cannot be fetched";
    PlaylistCached 14 "playlist-cached" Warning "6.2.1" "caches may keep a live playlist longer than half a target duration";
    PlaylistTag 14 "playlist-etag" Note "RFC 9110 8.8.3" "a playlist without ETag: every reload is a whole transfer";
    PlaylistMime 14 "playlist-type" Warning "4" "a playlist is not served with a type of HLS";
    SegmentCached 14 "segment-cached" Note "RFC 9111 5.2.2" "caches may not keep a segment, though it never changes";
    KeyCached 14 "key-cached" Warning "RFC 9111 5.2.2" "caches may keep a key";
    Redirected 15 "redirect-relative" Warning "4.1" "a playlist was found in another folder than asked for, and names relative addresses";
    Downgraded 15 "redirect-insecure" Warning "RFC 9110 15.4" "a redirect leads from https to http";
    Gap 16 "gap" Warning "8216bis 4.4.4.7" "GAP tags, which few players handle";
    LowLatency 17 "low-latency" Note "8216bis 4.4.3.8" "tags of low latency; their own rules are not checked";
    NotAPlaylist 18 "not-a-playlist" Error "4.3.1.1" "the answer does not begin with #EXTM3U";
    TooLong 18 "too-long" Error "4" "larger than what is read";
    ByteOrderMark 18 "byte-order-mark" Error "4" "a byte order mark";
    NotUtf8 18 "not-utf-8" Error "4" "bytes that are no UTF-8";
    ControlCharacter 18 "control-character" Error "4" "control characters";
    LineEnds 18 "line-ends" Warning "4.1" "lines end with CR LF, or the last one does not end";
    WhiteSpace 18 "white-space" Error "4.1" "white space where none may be";
    TagUnknown 18 "tag-unknown" Note "6.3.1" "a tag that is in no version of the standard";
    TagMalformed 18 "tag-malformed" Error "4.3" "the value of a tag cannot be read";
    AttributesMalformed 18 "attributes-malformed" Error "4.2" "an attribute list breaks its grammar, or misses what it must have";
    TagMisplaced 18 "tag-misplaced" Error "4.3.3" "a tag of the playlist stands twice, or behind the first segment";
    TagsMixed 18 "tags-mixed" Error "4.1" "tags of a master and of a media playlist in one";
    ExtinfMissing 18 "extinf-missing" Error "4.3.2.1" "a segment without EXTINF";
    AddressMissing 18 "address-missing" Error "4.3.2.1" "EXTINF or STREAM-INF without an address behind it";
    AddressMalformed 18 "address-malformed" Error "4.1" "an address with characters that no URI has";
    VersionLow 18 "version-low" Error "7" "VERSION is below what the tags need";
    WrapBroken 19 "wrap-broken" Error "3" "time stamps do not go on over the end of their 33 bits";
}

/// Where a rule was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The playlist as a whole.
    Playlist,
    /// A line of it, from 1.
    Line(usize),
    /// A segment, by its media sequence number.
    Segment(u64),
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub rule: Rule,
    /// Where.
    pub place: Place,
    /// What was seen, and what to do about it.
    pub words: String,
}

/// The findings of one look or of many: the first [`Self::KEPT`] of each rule, and how many there were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    findings: Vec<Finding>,
    counts: BTreeMap<Rule, u64>,
}

impl Tally {
    /// Findings of one rule that are kept in full.
    pub const KEPT: usize = 5;

    /// Counts a finding, and keeps it if it is among the first of its rule. The very same one again, as a reload finds it, is
    /// one finding.
    pub fn add(&mut self, rule: Rule, place: Place, words: impl Into<String>) {
        let finding = Finding { rule, place, words: words.into() };
        if !self.findings.contains(&finding) {
            *self.counts.entry(rule).or_default() += 1;
            self.keep(finding);
        }
    }

    /// Takes over what another one has.
    pub fn merge(&mut self, other: &Self) {
        other.counts.iter().for_each(|(rule, count)| *self.counts.entry(*rule).or_default() += count);
        for finding in &other.findings {
            if !self.findings.contains(finding) {
                self.keep(finding.clone());
            } else if let Some(count) = self.counts.get_mut(&finding.rule) {
                *count -= 1;
            }
        }
    }

    fn keep(&mut self, finding: Finding) {
        if self.findings.iter().filter(|known| known.rule == finding.rule).count() < Self::KEPT {
            self.findings.push(finding);
        }
    }

    /// Counts a finding where `holds` is false.
    pub(crate) fn expect(&mut self, holds: bool, rule: Rule, place: Place, words: impl FnOnce() -> String) {
        if !holds {
            self.add(rule, place, words());
        }
    }

    /// What is kept, in the order it was found.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How often a rule was broken.
    #[must_use]
    pub fn count(&self, rule: Rule) -> u64 {
        self.counts.get(&rule).copied().unwrap_or(0)
    }

    /// How many findings weigh this much.
    #[must_use]
    pub fn weighing(&self, severity: Severity) -> u64 {
        self.counts.iter().filter(|(rule, _)| rule.severity() == severity).map(|(_, count)| count).sum()
    }

    /// Whether there is neither an error nor a warning.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.weighing(Severity::Error) + self.weighing(Severity::Warning) == 0
    }

    /// The ids of the rules that were broken, in the order of the rules.
    pub fn ids(&self) -> impl Iterator<Item = &'static str> {
        self.counts.keys().map(|rule| rule.id())
    }
}

/// Characters of an address that are shown.
const SHOWN_CHARACTERS: usize = 100;

/// An address fit to be shown: no user, no query, no fragment, not too long.
#[must_use]
pub fn shown(address: &str) -> String {
    let end = address.find(['?', '#']).unwrap_or(address.len());
    let (head, query) = (&address[..end], if end < address.len() { "?…" } else { "" });
    let clean = match head.split_once("://") {
        Some((scheme, rest)) => {
            let authority = rest.find('/').unwrap_or(rest.len());
            let user = rest[..authority].rfind('@').map_or(0, |at| at + 1);
            format!("{scheme}://{}", &rest[user..])
        }
        None => head.to_owned(),
    };
    let visible = |c: char| if c.is_control() { '\u{FFFD}' } else { c };
    let mut text: String = clean.chars().take(SHOWN_CHARACTERS).map(visible).collect();
    if clean.chars().nth(SHOWN_CHARACTERS).is_some() {
        text.push('…');
    }
    text + query
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    #[test]
    fn the_page_for_operators_has_every_rule_as_it_is() {
        let page = include_str!("../../../../docs/lint.md");
        for rule in Rule::ALL {
            let (group, id, severity) = (rule.group(), rule.id(), rule.severity());
            let row = format!("| {group} | `{id}` | {} | {severity} | {} |", rule.meaning(), rule.clause());
            assert!(page.contains(&row), "docs/lint.md lacks\n{row}");
        }
        let groups: std::collections::BTreeSet<u8> = Rule::ALL.iter().map(|rule| rule.group()).collect();
        assert_eq!(groups, (1..=19).collect(), "each of the nineteen has a rule");
        let ids: std::collections::BTreeSet<&str> = Rule::ALL.iter().map(|rule| rule.id()).collect();
        assert_eq!(ids.len(), Rule::ALL.len(), "ids are told apart");
        let rows = page.lines().filter(|line| line.as_bytes().get(2).is_some_and(u8::is_ascii_digit)).count();
        assert_eq!(rows, Rule::ALL.len(), "rows of the page");
    }

    #[test]
    fn what_is_kept_is_bounded_and_all_is_counted() {
        let mut tally = Tally::default();
        (0..1_000).for_each(|line| tally.add(Rule::TagUnknown, Place::Line(line / 2), "what"));
        assert!(tally.is_clean());
        tally.add(Rule::Gap, Place::Playlist, "gap");
        assert_eq!((tally.findings().len(), tally.count(Rule::TagUnknown)), (6, 995));
        assert_eq!((tally.weighing(Severity::Note), tally.weighing(Severity::Warning)), (995, 1));
        let mut both = tally.clone();
        both.merge(&tally);
        assert_eq!((both.findings(), both.count(Rule::TagUnknown), both.is_clean()), (tally.findings(), 1_985, false));
    }

    #[test]
    fn addresses_lose_what_is_secret() {
        for (address, want) in [
            ("video.m3u8?token=SECRET", "video.m3u8?…"),
            ("https://me:SECRET@host/a/b.ts#SECRET", "https://host/a/b.ts?…"),
            ("../2026/01.ts", "../2026/01.ts"),
            ("a\u{7}b", "a\u{FFFD}b"),
        ] {
            assert_eq!(shown(address), want);
        }
    }

    proptest! {
        #[test]
        fn whatever_stands_in_a_query_is_not_shown(head in "[a-z:/@.]{0,20}", query in "[A-Z]{3,20}", any in any::<String>()) {
            assert!(!shown(&format!("{head}?{query}")).contains(&query));
            assert!(shown(&any).chars().count() <= SHOWN_CHARACTERS + 12);
        }
    }
}
