//! A strict reader of our own playlists, for tests: every rule it knows is one that servers were seen to break.
//!
//! Text in, complaints out. It shares no code with the printer. Rules: RFC 8216 §4, as far as our playlists go.

/// Complaints about a live media playlist; empty when it is clean.
pub(crate) fn lint_media(text: &str) -> Vec<String> {
    let mut lint = Lint::default();
    lint.form(text);
    for line in text.lines().skip(1) {
        lint.media_line(line);
    }
    lint.rule(lint.extinf.is_none(), "EXTINF without address");
    lint.rule(lint.vod == lint.ended, "VOD ends with ENDLIST");
    lint.rule(lint.version >= 3, "float EXTINF needs version 3");
    lint.rule(lint.target.is_some() && lint.sequence.is_some(), "TARGETDURATION and MEDIA-SEQUENCE are required");
    lint.complaints
}

/// Complaints about a master playlist.
pub(crate) fn lint_master(text: &str) -> Vec<String> {
    let mut lint = Lint::default();
    lint.form(text);
    let mut announced = false;
    for line in text.lines().skip(2) {
        if let Some(attributes) = line.strip_prefix("#EXT-X-STREAM-INF:") {
            lint.rule(!announced, "two STREAM-INF in a row");
            lint.stream_inf(attributes);
            announced = true;
        } else if line.starts_with('#') {
            lint.rule(line == "#EXT-X-INDEPENDENT-SEGMENTS", line);
        } else {
            lint.address(line);
            lint.rule(std::mem::take(&mut announced), "address without STREAM-INF");
        }
    }
    lint.rule(!announced, "STREAM-INF without address");
    lint.complaints
}

#[derive(Debug, Default)]
struct Lint {
    complaints: Vec<String>,
    version: u32,
    vod: bool,
    ended: bool,
    target: Option<f64>,
    sequence: Option<u64>,
    discontinuity_sequence: bool,
    segments: usize,
    extinf: Option<f64>,
    dated: bool,
    discontinuity: bool,
    key: Option<String>,
    iv: Option<u128>,
    date: Option<jiff::Timestamp>,
}

impl Lint {
    fn rule(&mut self, holds: bool, complaint: &str) {
        if !holds {
            self.complaints.push(complaint.to_owned());
        }
    }

    fn form(&mut self, text: &str) {
        self.rule(text.starts_with("#EXTM3U\n#EXT-X-VERSION:3\n"), "opens with EXTM3U and version");
        self.rule(text.ends_with('\n') && !text.contains(['\r', '\u{feff}', '\t']), "LF lines, no BOM");
        self.rule(text.lines().all(|line| !line.is_empty() && line.trim() == line), "no empty or padded line");
        self.rule(text.lines().all(|line| line.matches('"').count() % 2 == 0), "quotes are closed");
    }

    fn media_line(&mut self, line: &str) {
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        let headed = self.segments > 0 || self.extinf.is_some();
        match tag {
            "#EXT-X-VERSION" => self.version = value.parse().unwrap_or(0),
            "#EXT-X-TARGETDURATION" => {
                self.rule(!headed && self.target.is_none(), "TARGETDURATION once, in the head");
                self.rule(value.parse::<u32>().is_ok(), "TARGETDURATION is a whole number");
                self.target = value.parse().ok();
            }
            "#EXT-X-MEDIA-SEQUENCE" => {
                self.rule(!headed && self.sequence.is_none(), "MEDIA-SEQUENCE once, in the head");
                self.sequence = value.parse().ok();
            }
            "#EXT-X-DISCONTINUITY-SEQUENCE" => {
                self.rule(!headed && !self.discontinuity, "DISCONTINUITY-SEQUENCE before the first segment");
                self.discontinuity_sequence = value.parse::<u64>().is_ok();
                self.rule(self.discontinuity_sequence, "DISCONTINUITY-SEQUENCE is a number");
            }
            "#EXT-X-PLAYLIST-TYPE" => {
                self.rule(!headed && ["VOD", "EVENT"].contains(&value), "PLAYLIST-TYPE in the head");
                self.vod = value == "VOD";
            }
            "#EXT-X-START" => self.rule(!headed && value == "TIME-OFFSET=0", "START in the head"),
            "#EXT-X-ENDLIST" => {
                self.rule(self.vod && !self.ended && value.is_empty(), "ENDLIST once, in a VOD list");
                self.ended = true;
            }
            "#EXT-X-INDEPENDENT-SEGMENTS" => self.rule(!headed && value.is_empty(), "INDEPENDENT-SEGMENTS in the head"),
            "#EXT-X-DISCONTINUITY" => {
                self.rule(self.discontinuity_sequence, "DISCONTINUITY needs its sequence tag before it");
                self.discontinuity = true;
            }
            "#EXT-X-KEY" => self.key_tag(value),
            "#EXT-X-PROGRAM-DATE-TIME" => self.date_time(value),
            "#EXTINF" => self.extinf(value),
            _ if line.starts_with('#') => self.rule(false, line),
            _ => self.segment(line),
        }
    }

    fn key_tag(&mut self, value: &str) {
        self.rule(self.key.as_deref() != Some(value), "KEY repeated without need");
        self.key = Some(value.to_owned());
        let uri = value.strip_prefix("METHOD=AES-128,URI=\"").and_then(|rest| rest.split_once('"'));
        match uri {
            Some((uri, rest)) => {
                self.address(uri);
                let iv = rest.strip_prefix(",IV=0x").and_then(|digits| u128::from_str_radix(digits, 16).ok());
                self.rule(rest.is_empty() || iv.is_some(), "IV of hexadecimal digits");
                self.iv = iv;
            }
            None => self.rule(value == "METHOD=NONE", "KEY is AES-128 with URI, or NONE"),
        }
    }

    fn date_time(&mut self, value: &str) {
        let date = value.parse::<jiff::Timestamp>().ok();
        self.rule(date.is_some() && value.len() == 24 && value.ends_with('Z'), "PROGRAM-DATE-TIME in milliseconds UTC");
        self.rule(date > self.date, "PROGRAM-DATE-TIME goes forward");
        (self.date, self.dated) = (date, true);
    }

    fn extinf(&mut self, value: &str) {
        let duration = value.strip_suffix(',').unwrap_or("");
        let (_, decimals) = duration.split_once('.').unwrap_or((duration, ""));
        self.rule((5..=6).contains(&decimals.len()), "EXTINF with 5 or 6 decimals");
        self.extinf = duration.parse().ok();
        let fits =
            self.extinf.zip(self.target).is_some_and(|(seconds, target)| seconds > 0.0 && seconds.round() <= target);
        self.rule(fits, "EXTINF rounded is at most TARGETDURATION");
    }

    fn segment(&mut self, line: &str) {
        self.address(line);
        self.rule(!self.ended, "nothing after ENDLIST");
        let lasts = self.extinf.take().is_some();
        self.rule(lasts, "address without EXTINF");
        self.rule(
            self.dated || self.segments > 0 && !self.discontinuity,
            "the first and each discontinuous segment is dated",
        );
        let number = self.sequence.map(|first| first + self.segments as u64);
        let path = line.split('?').next().unwrap_or("");
        let named = super::SegmentGrid::parse(path).map(|(_, number)| number);
        let iv = self.iv.map_or(number, |iv| u64::try_from(iv).ok());
        let keyed = self.key.as_deref().is_some_and(|key| key != "METHOD=NONE");
        self.rule(named == if keyed { iv } else { number }, "the name is the number's");
        (self.dated, self.discontinuity) = (false, false);
        self.segments += 1;
    }

    fn address(&mut self, text: &str) {
        let allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&byte);
        self.rule(!text.is_empty() && text.bytes().all(allowed), "an address of URI characters");
        self.rule(text.matches('?').count() <= 1, "one query");
    }

    fn stream_inf(&mut self, attributes: &str) {
        let number = |name: &str| {
            let rest = attributes.split(name).nth(1)?;
            rest.split(',').next()?.parse::<u64>().ok()
        };
        let (peak, average) = (number("BANDWIDTH="), number(",AVERAGE-BANDWIDTH="));
        self.rule(attributes.starts_with("BANDWIDTH=") && peak > Some(0), "BANDWIDTH is required");
        self.rule(average <= peak, "AVERAGE-BANDWIDTH is at most BANDWIDTH");
        self.rule(attributes.contains(",CODECS=\""), "CODECS should be there");
        let rate = attributes.split("FRAME-RATE=").nth(1).and_then(|rest| rest.split(',').next());
        self.rule(
            rate.is_none_or(|rate| rate.split_once('.').is_some_and(|(_, d)| d.len() == 3)),
            "FRAME-RATE decimals",
        );
    }
}

#[test]
fn the_lint_sees_what_servers_break() {
    let good = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:0\n\
        #EXT-X-KEY:METHOD=AES-128,URI=\"/k/a/1-1\"\n#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:00.000Z\n\
        #EXTINF:2.00000,\n1970/01/01/00/00/00-02000.ts\n";
    assert_eq!(lint_media(good), [""; 0]);
    for (from, to) in [
        ("VERSION:3", "VERSION:2"),
        ("TARGETDURATION:4", "TARGETDURATION:1"),
        ("TARGETDURATION:4", "TARGETDURATION:4.0"),
        ("MEDIA-SEQUENCE:0", "MEDIA-SEQUENCE:1"),
        ("#EXT-X-MEDIA-SEQUENCE:0\n", ""),
        ("#EXT-X-KEY", "#EXT-X-DISCONTINUITY\n#EXT-X-KEY"),
        ("URI=\"", "URI=\"\""),
        ("METHOD=AES-128", "METHOD=SAMPLE-AES"),
        ("00.000Z", "00Z"),
        ("#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:00.000Z\n", ""),
        ("2.00000", "2"),
        ("#EXTINF:2.00000,\n", ""),
        ("02000.ts\n", "02000.ts?a?b\n"),
        ("02000.ts\n", "02000.ts\r\n"),
        ("02000.ts\n", "02000.ts\n\n"),
    ] {
        assert_ne!(good.replacen(from, to, 1), good, "{from} is there");
        assert!(!lint_media(&good.replacen(from, to, 1)).is_empty(), "{from} made {to} goes unnoticed");
    }
}
