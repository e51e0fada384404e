//! The text of a master playlist, and the measured bandwidth it states.
//!
//! Prints one line per rendition. BANDWIDTH is the peak of the segments seen, and only ever grows, since a player that
//! chose by it must not find the stream richer than promised. Audio is muxed, so CODECS names every track. The first
//! rendition is the one boxes start with; the middle one is put there. Standard: RFC 8216 §4.3.4.2 and §6.2.4.

use std::collections::VecDeque;
use std::fmt::Write;

use super::live_path::encode;
use super::splice::{Builder, Rendered};
use super::window::Entry;
use crate::es::VideoParameters;
use crate::time::TICKS_PER_SECOND;

/// BANDWIDTH and AVERAGE-BANDWIDTH are stated in steps, so that the text does not change with every segment.
const STEP_BPS: u64 = 10_000;
/// Segments looked at together; only shorter ones than half a target duration need company.
const GROUP_MAX: usize = 64;

/// Peak and mean rate of a rendition, to be stored with the window so that a restart does not promise less.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Bandwidth {
    peak_bps: u64,
    bytes: u64,
    ticks: u64,
    /// Bytes and ticks of the last segments, up to one and a half target durations.
    #[serde(skip)]
    recent: VecDeque<(u64, u64)>,
}

impl Bandwidth {
    /// Counts a segment. The peak is that of any run of segments that lasts 0.5 to 1.5 target durations, as RFC 8216 §4.1
    /// defines the peak segment bit rate.
    pub fn observe(&mut self, entry: &Entry, target_secs: u32) {
        let ticks = u64::try_from(entry.duration.0).unwrap_or(0);
        if ticks == 0 {
            return;
        }
        let target = u64::from(target_secs) * TICKS_PER_SECOND.unsigned_abs();
        self.bytes = self.bytes.saturating_add(entry.bytes);
        self.ticks = self.ticks.saturating_add(ticks);
        self.recent.push_back((entry.bytes, ticks));
        if self.recent.len() > GROUP_MAX {
            self.recent.pop_front();
        }
        let mut run = (0_u64, 0_u64);
        for (bytes, ticks) in self.recent.iter().rev() {
            run = (run.0.saturating_add(*bytes), run.1.saturating_add(*ticks));
            if run.1 > target * 3 / 2 {
                break;
            }
            if run.1 >= target / 2 {
                self.peak_bps = self.peak_bps.max(rate(run.0, run.1));
            }
        }
    }

    /// BANDWIDTH in bits a second, rounded up; never less than before. `None` before the first measurement.
    #[must_use]
    pub fn peak(&self) -> Option<u64> {
        (self.peak_bps > 0).then(|| self.peak_bps.div_ceil(STEP_BPS) * STEP_BPS)
    }

    /// AVERAGE-BANDWIDTH in bits a second over everything counted, rounded up, at most [`Self::peak`].
    #[must_use]
    pub fn average(&self) -> Option<u64> {
        let average = rate(self.bytes, self.ticks.max(1)).div_ceil(STEP_BPS) * STEP_BPS;
        self.peak().map(|peak| average.clamp(STEP_BPS, peak))
    }
}

/// Bits a second, rounded up.
fn rate(bytes: u64, ticks: u64) -> u64 {
    let bits = u128::from(bytes) * 8 * u128::from(TICKS_PER_SECOND.unsigned_abs());
    u64::try_from(bits.div_ceil(ticks.into())).unwrap_or(u64::MAX / 2)
}

/// One rendition of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// Relative path of its media playlist, decoded; `video.m3u8` for the muxed form of the same folder.
    pub path: String,
    /// BANDWIDTH, bits a second; above 0.
    pub peak_bps: u64,
    /// AVERAGE-BANDWIDTH, bits a second.
    pub average_bps: Option<u64>,
    /// The picture; `None` for radio.
    pub video: Option<VideoParameters>,
    /// CODECS elements of every audio track in the programme, in any order, repeats allowed.
    pub audio_codecs: Vec<String>,
}

/// The master playlist of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Master {
    variants: Vec<Variant>,
}

impl Master {
    /// A master of these renditions, which are put in order: the one of middle bandwidth first, because boxes start with
    /// the first, then the others from low to high.
    #[must_use]
    pub fn new(mut variants: Vec<Variant>) -> Self {
        variants.sort_by_key(|variant| variant.peak_bps);
        let middle = variants.len().saturating_sub(1) / 2;
        if let Some(front) = variants.get_mut(..=middle) {
            front.rotate_right(1);
        }
        Self { variants }
    }

    /// Prints it, with a hole for the session on each address. `independent`: every segment of every rendition begins
    /// with a picture that needs nothing before it.
    #[must_use]
    pub fn render(&self, independent: bool) -> Rendered {
        let mut out = Builder::default();
        out.line("#EXTM3U\n#EXT-X-VERSION:3");
        if independent {
            out.line("#EXT-X-INDEPENDENT-SEGMENTS");
        }
        for variant in &self.variants {
            out.line(&stream_inf(variant));
            out.text().push_str(&encode(&variant.path));
            out.session();
            out.line("");
        }
        out.finish()
    }
}

fn stream_inf(variant: &Variant) -> String {
    let mut line = format!("#EXT-X-STREAM-INF:BANDWIDTH={}", variant.peak_bps.max(1));
    let mut add = |text: std::fmt::Arguments<'_>| line.write_fmt(text).expect("strings take all text");
    if let Some(average) = variant.average_bps {
        add(format_args!(",AVERAGE-BANDWIDTH={average}"));
    }
    let codecs = codecs(variant);
    if !codecs.is_empty() {
        add(format_args!(",CODECS=\"{codecs}\""));
    }
    if let Some(video) = &variant.video {
        add(format_args!(",RESOLUTION={}x{}", video.width, video.height));
        if let Some((over, under)) = video.frame_rate.filter(|(_, under)| *under > 0) {
            let milli = (u64::from(over) * 1_000 + u64::from(under) / 2) / u64::from(under);
            add(format_args!(",FRAME-RATE={}.{:03}", milli / 1_000, milli % 1_000));
        }
    }
    line
}

/// The picture's element and each kind of sound once; elements that could not stand in a quoted list are left out.
fn codecs(variant: &Variant) -> String {
    let video = variant.video.iter().map(|video| &video.codecs);
    let mut kinds: Vec<&str> = vec![];
    for codec in video.chain(&variant.audio_codecs) {
        let clean = !codec.is_empty() && codec.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
        if clean && !kinds.contains(&codec.as_str()) {
            kinds.push(codec);
        }
    }
    kinds.join(",")
}

#[cfg(test)]
mod tests {
    use super::super::lint::lint_master;
    use super::super::splice::Query;
    use super::*;
    use crate::time::Ticks90k;
    use proptest::prelude::{prop, proptest};

    fn video(width: u32, height: u32, frame_rate: (u32, u32), codecs: &str) -> Option<VideoParameters> {
        let codecs = codecs.to_owned();
        Some(VideoParameters { width, height, frame_rate: Some(frame_rate), interlaced: true, codecs })
    }

    fn variant(path: &str, peak_bps: u64, video: Option<VideoParameters>) -> Variant {
        let audio_codecs = ["ec-3", "mp4a.40.33", "ec-3"].map(String::from).to_vec();
        Variant { path: path.to_owned(), peak_bps, average_bps: Some(peak_bps - 100_000), video, audio_codecs }
    }

    fn print(master: &Master, independent: bool) -> String {
        let rendered = master.render(independent);
        let text = rendered.with_session(&Query::new("token=T").unwrap(), |_| Query::default());
        let text = String::from_utf8(text).unwrap();
        assert_eq!(lint_master(&text), [""; 0], "{text}");
        text
    }

    #[test]
    fn one_rendition() {
        let one = variant("video.m3u8", 4_200_000, video(1920, 1080, (25, 1), "avc1.640028"));
        insta::assert_snapshot!(print(&Master::new(vec![one]), false), @r#"
        #EXTM3U
        #EXT-X-VERSION:3
        #EXT-X-STREAM-INF:BANDWIDTH=4200000,AVERAGE-BANDWIDTH=4100000,CODECS="avc1.640028,ec-3,mp4a.40.33",RESOLUTION=1920x1080,FRAME-RATE=25.000
        video.m3u8?token=T
        "#);
    }

    #[test]
    fn a_ladder_starts_in_the_middle() {
        let ladder = [("hd/video.m3u8", 8_000_000), ("low/video.m3u8", 800_000), ("mid/video.m3u8", 2_000_000)];
        let ladder =
            ladder.map(|(path, bps)| variant(path, bps, video(1280, 720, (60_000, 1_001), "hvc1.2.4.L153.B0")));
        insta::assert_snapshot!(print(&Master::new(ladder.to_vec()), true), @r#"
        #EXTM3U
        #EXT-X-VERSION:3
        #EXT-X-INDEPENDENT-SEGMENTS
        #EXT-X-STREAM-INF:BANDWIDTH=2000000,AVERAGE-BANDWIDTH=1900000,CODECS="hvc1.2.4.L153.B0,ec-3,mp4a.40.33",RESOLUTION=1280x720,FRAME-RATE=59.940
        mid/video.m3u8?token=T
        #EXT-X-STREAM-INF:BANDWIDTH=800000,AVERAGE-BANDWIDTH=700000,CODECS="hvc1.2.4.L153.B0,ec-3,mp4a.40.33",RESOLUTION=1280x720,FRAME-RATE=59.940
        low/video.m3u8?token=T
        #EXT-X-STREAM-INF:BANDWIDTH=8000000,AVERAGE-BANDWIDTH=7900000,CODECS="hvc1.2.4.L153.B0,ec-3,mp4a.40.33",RESOLUTION=1280x720,FRAME-RATE=59.940
        hd/video.m3u8?token=T
        "#);
    }

    #[test]
    fn radio_and_odd_names() {
        let radio = Variant {
            audio_codecs: vec!["mp4a.40.2".to_owned(), "bad\"".to_owned()],
            ..variant("ra dio.m3u8", 200_000, None)
        };
        insta::assert_snapshot!(print(&Master::new(vec![radio]), false), @r#"
        #EXTM3U
        #EXT-X-VERSION:3
        #EXT-X-STREAM-INF:BANDWIDTH=200000,AVERAGE-BANDWIDTH=100000,CODECS="mp4a.40.2"
        ra%20dio.m3u8?token=T
        "#);
        assert_eq!(
            Master::new(vec![]).render(false).with_session(&Query::default(), |_| Query::default()),
            b"#EXTM3U\n#EXT-X-VERSION:3\n"
        );
    }

    fn entry(bytes: u64, duration_ms: i64) -> Entry {
        let duration = Ticks90k::from_millis(duration_ms);
        Entry { number: 0, start: Ticks90k(0), duration, independent: true, discontinuity: false, key: None, bytes }
    }

    fn check(segments: &[(u64, i64)], want: (Option<u64>, Option<u64>)) {
        let mut bandwidth = Bandwidth::default();
        segments.iter().for_each(|(bytes, ms)| bandwidth.observe(&entry(*bytes, *ms), 4));
        assert_eq!((bandwidth.peak(), bandwidth.average()), want);
    }

    #[test]
    fn peaks_and_averages() {
        check(&[], (None, None));
        check(&[(500_000, 2_000), (1_000_000, 2_000)], (Some(4_000_000), Some(3_000_000)));
        // One second is too short to count alone; with its neighbour it is 3 s.
        check(&[(250_000, 2_000), (1_000_000, 1_000)], (Some(3_340_000), Some(3_340_000)));
        check(&[(1_000_000, 1_000)], (None, None));
    }

    proptest! {
        #[test]
        fn the_peak_only_grows(segments in prop::collection::vec((1_u64..5_000_000, 1_i64..4_500), 1..200)) {
            let mut bandwidth = Bandwidth::default();
            let mut last = None;
            for (bytes, ms) in segments {
                bandwidth.observe(&entry(bytes, ms), 4);
                assert!(bandwidth.peak() >= last && bandwidth.average() <= bandwidth.peak());
                last = bandwidth.peak();
                let stored = serde_json::to_string(&bandwidth).unwrap();
                let restored: Bandwidth = serde_json::from_str(&stored).unwrap();
                assert_eq!((restored.peak(), restored.average()), (bandwidth.peak(), bandwidth.average()));
            }
        }
    }
}
