//! Thirty hours of a channel in simulated time: the packager, the window, the printers and the cipher as they are, through the
//! lint as it is. Nothing steps back and nothing is found: over the end of the 33 bits, 200 changes of source, outages filled
//! with slate, 20 restarts, and a new key every five minutes.

mod synthetic;

use std::sync::Arc;
use std::time::Duration;

use headend_media::crypt::{Key128, decrypt_from, encrypt};
use headend_media::lint::{Chain, Figures, Playlist, Rule, Tally, Watcher, read};
use headend_media::package::{Event, Packager, Profile, Resume, Segment, Slate, SourceStart};
use headend_media::playlist::{
    Entry, KeyBase, KeyRef, MediaPlaylist, PastKind, PastPlaylist, Query, Recorded, Rendered, SegmentGrid, Window,
};
use headend_media::time::Ticks90k;
use headend_media::timeline::Anchor;
use synthetic::Broadcaster;

const START: i64 = 1_800_000_000;
const HOURS: i64 = 30;
const SWITCHES: i64 = 200;
const RESTARTS: i64 = 20;
const KEY_PERIOD_SECS: i64 = 300;
const LISTED: usize = 8;
/// How far behind live a viewer of the past watches, in segments.
const BEHIND: usize = 900;

fn secs(secs: i64) -> Ticks90k {
    Ticks90k::from_secs(secs)
}

fn query(text: String) -> Query {
    Query::new(text).expect("a query")
}

/// As a viewer gets it.
fn print(rendered: &Rendered) -> Vec<u8> {
    rendered.with_session(&query("token=T".to_owned()), |key| query(format!("s=S&g={}", key.generation)))
}

/// The key of a segment, and its bytes: any function of its name will do.
fn key_of(number: u64) -> (KeyRef, Key128) {
    let at = 2 * number.cast_signed();
    let generation = 1 + u32::from(at > START + HOURS * 1_800);
    let key = KeyRef { generation, period: (at / KEY_PERIOD_SECS).cast_unsigned() };
    let mut bytes = [generation.to_le_bytes()[0]; 16];
    bytes[..8].copy_from_slice(&key.period.to_le_bytes());
    (key, Key128::new(bytes))
}

/// A viewer with everything a lint knows.
#[derive(Default)]
struct Viewer {
    watcher: Watcher,
    chain: Chain,
    tally: Tally,
}

impl Viewer {
    fn reload(&mut self, text: &[u8], at: Ticks90k) {
        let at = Duration::from_millis((at.as_millis() - START * 1_000).unsigned_abs());
        self.watcher.look_at_text(text, at, &mut self.tally);
    }
}

/// The channel: what survives a restart, and those who look at it.
struct Channel {
    packager: Packager,
    slate: Arc<Slate>,
    window: Window,
    layout: Option<u32>,
    anchors: [Option<Anchor>; 3],
    /// Which source plays.
    on: Option<usize>,
    recorded: Vec<Recorded>,
    refused: u64,
    slates: u64,
    /// Reloads with every segment, and looks into it.
    quick: Viewer,
    /// Reloads with every third.
    slow: Viewer,
    /// Watches half an hour ago.
    past: Viewer,
}

fn grid() -> SegmentGrid {
    SegmentGrid::new(2_000).expect("two seconds")
}

fn profile() -> Profile {
    Profile::standard()
}

impl Channel {
    fn new() -> Self {
        let slate = Slate::from_ts(include_bytes!("../assets/slate.ts")).expect("the slate we ship");
        let slate = Arc::new(slate);
        let first = (START / 2).cast_unsigned();
        Self {
            packager: Packager::new(profile(), None, Arc::clone(&slate)),
            slate,
            window: Window::new(grid(), 4, LISTED, first),
            layout: None,
            anchors: [None; 3],
            on: None,
            recorded: vec![],
            refused: 0,
            slates: 0,
            quick: Viewer::default(),
            slow: Viewer::default(),
            past: Viewer::default(),
        }
    }

    /// Does something with the packager, and then what the node does with what comes out.
    fn drive(&mut self, now: Ticks90k, act: impl FnOnce(&mut Packager, &mut dyn FnMut(Event))) {
        let mut events = vec![];
        act(&mut self.packager, &mut |event| events.push(event));
        for event in events {
            match event {
                Event::Segment(segment) => self.commit(segment, now),
                Event::Anchored(anchor, _) => {
                    if let Some(on) = self.on {
                        self.anchors[on] = Some(anchor);
                    }
                }
                _ => {}
            }
        }
    }

    fn turn_to(&mut self, source: Option<usize>, now: Ticks90k) {
        self.on = source;
        let anchor = source.and_then(|source| self.anchors[source]);
        self.drive(now, |packager, emit| match source {
            Some(_) => packager.change_source(SourceStart { service: None, anchor }, emit),
            None => packager.source_lost(emit),
        });
    }

    /// A new process: the packager is gone, the window is what was on the disk.
    fn restart(&mut self) {
        let stored = serde_json::to_string(self.window.record()).expect("a record has a JSON form");
        let record = serde_json::from_str(&stored).expect("it is read back");
        self.window = Window::restore(record, LISTED).expect("it is sound");
        let number = self.window.next() - 1;
        let resume = self.layout.map(|layout| Resume { number, layout });
        self.packager = Packager::new(profile(), resume, Arc::clone(&self.slate));
    }

    fn commit(&mut self, segment: Segment, now: Ticks90k) {
        let Segment { number, start, duration, independent, discontinuity, .. } = segment;
        let (key, secret) = key_of(number);
        self.layout = Some(segment.layout);
        self.slates += u64::from(segment.slate);
        let bytes = encrypt(&secret, number, segment.bytes);
        let entry =
            Entry { number, start, duration, independent, discontinuity, key: Some(key), bytes: bytes.len() as u64 };
        self.window.skip_to(number);
        if self.window.push(entry).is_err() {
            self.refused += 1;
            return;
        }
        let entry = self.window.listed().last().expect("just pushed").clone();
        let last = self.recorded.last();
        let discontinuities = last.map_or(0, |last| last.discontinuities + u64::from(last.entry.discontinuity));
        let ordinal = last.map_or(number, |last| last.ordinal + 1);
        self.recorded.push(Recorded { entry, grid: grid(), ordinal, discontinuities });
        self.show(bytes, now);
    }

    fn show(&mut self, sealed: Vec<u8>, now: Ticks90k) {
        let here = KeyBase::default();
        let text = print(&MediaPlaylist::new("fr/lagon").render(&self.window, |_| &here));
        self.quick.reload(&text, now);
        if self.recorded.len().is_multiple_of(3) {
            self.slow.reload(&text, now);
        }
        let Viewer { watcher, chain, tally } = &mut self.quick;
        let media = watcher.last().expect("a media playlist");
        let listed = media.segments.last().expect("a segment");
        let iv = listed.key.as_ref().expect("it is encrypted").iv_of(listed.number);
        let clear = decrypt_from(&key_of(listed.number).1, iv, sealed).expect("it opens with its key");
        chain.push(listed, media.independent, &clear, tally);
        if let Some(from) = self.recorded.len().checked_sub(BEHIND) {
            let text = PastPlaylist::new("fr/lagon", false);
            self.past.reload(&print(&text.render(PastKind::Sliding, 4, &self.recorded[from..from + LISTED])), now);
        }
    }
}

/// What happens in a second: its number since the start decides, so that a run can be repeated.
struct Script {
    sources: [Broadcaster; 3],
}

impl Script {
    fn new() -> Self {
        // The first source's clock reaches the end of its 33 bits after an hour; the third has other tracks.
        let to_wrap = -(secs(START + 3_600).to_pts().value().cast_signed());
        let open = Broadcaster { closed: false, ..Broadcaster::new(777_777_777, 1) };
        Self { sources: [Broadcaster::new(to_wrap, 1), open, Broadcaster::new(-5, 2)] }
    }

    /// Runs the whole; gives how often the source was changed and the process was started anew.
    fn run(&mut self, channel: &mut Channel) -> (i64, i64) {
        let (total, mut switches, mut restarts, mut down_until) = (HOURS * 3_600, 0, 0, 0);
        channel.turn_to(Some(0), secs(START));
        for second in 0..total {
            let (from, to) = (secs(START + second), secs(START + second + 1));
            if second < down_until {
                continue;
            }
            if second == down_until && second > 0 {
                channel.restart();
                channel.turn_to(channel.on.or(Some(0)), from);
            }
            if second / (total / (RESTARTS + 1)) > restarts && second % 600 == 77 {
                restarts += 1;
                // Killed for one to fifteen seconds.
                down_until = second + 1 + restarts * 7 % 15;
                continue;
            }
            if second * (SWITCHES + 1) / total > switches {
                switches += 1;
                let next = usize::try_from(switches % 3).expect("0 to 2");
                // Every fourth change goes by way of the slate.
                channel.turn_to((switches % 4 != 3).then_some(next), from);
            } else if channel.on.is_none() && second % 10 == 9 {
                channel.turn_to(Some(usize::try_from(switches % 3).expect("0 to 2")), from);
            }
            // Now and then a source's clock jumps, or a second of it is lost.
            if let Some(on) = channel.on.filter(|_| second % 4_001 == 1_017) {
                self.sources[on].offset += 123_456_789;
            }
            match channel.on {
                Some(on) if second % 4_001 != 17 => {
                    let packets = self.sources[on].play(from, to);
                    channel.drive(to, |packager, emit| packager.push(&packets, to, emit));
                }
                Some(_) => {}
                None => channel.drive(to, |packager, emit| packager.fill_slate(from, emit)),
            }
        }
        (switches, restarts)
    }
}

#[expect(clippy::print_stdout, reason = "figures for whoever runs the test by hand")]
fn shown(name: &str, viewer: &Viewer) -> Figures {
    let figures = viewer.watcher.figures();
    println!("{name}: {figures:?}, {} segments looked into", viewer.chain.seen());
    for finding in viewer.tally.findings() {
        println!("  {} {:?} {}", finding.rule.id(), finding.place, finding.words);
    }
    figures
}

#[test]
fn thirty_hours_are_clean() {
    let (mut channel, mut script) = (Channel::new(), Script::new());
    let (switches, restarts) = script.run(&mut channel);
    let [quick, slow, past] = [("quick", &channel.quick), ("slow", &channel.slow), ("past", &channel.past)]
        .map(|(name, viewer)| shown(name, viewer));
    let Channel { slates, refused, recorded, .. } = &channel;
    println!(
        "{switches} changes of source, {restarts} restarts, {slates} slates, {refused} segments refused by the window"
    );
    for viewer in [&channel.quick, &channel.slow, &channel.past] {
        assert_eq!(viewer.tally.ids().collect::<Vec<_>>(), [""; 0]);
    }
    assert_eq!((switches, restarts, *refused), (SWITCHES, RESTARTS, 0));
    let count = recorded.len() as u64;
    assert!(quick.looks == count && count > (HOURS * 1_800 - 20).cast_unsigned(), "{count}");
    assert_eq!(
        (quick.segments, quick.last.zip(quick.first).map(|(last, first)| last - first)),
        (count, Some(count - 1))
    );
    assert!(quick.key_changes >= (HOURS * 3_600 / KEY_PERIOD_SECS - 1).cast_unsigned(), "{}", quick.key_changes);
    assert!(quick.discontinuities > 50 && quick.discontinuities == slow.discontinuities, "{quick:?} {slow:?}");
    assert!([quick, slow, past].iter().all(|figures| figures.drift_us.abs() <= 1_000), "dates drift by rounding alone");
    whole_past(recorded);
}

/// The last day as one closed list, and a list that grew over it.
fn whole_past(recorded: &[Recorded]) {
    let day = &recorded[recorded.len() - 43_200..];
    let printer = PastPlaylist::new("fr/lagon", false);
    let reading = read(&print(&printer.render(PastKind::Closed, 4, day)));
    let Playlist::Media(media) = &reading.playlist else { panic!("a media playlist") };
    assert_eq!((media.segments.len(), reading.tally.ids().collect::<Vec<_>>()), (43_200, vec![]));
    let mut viewer = Viewer::default();
    for hours in 1..=24_usize {
        let text = print(&printer.render(PastKind::Growing, 4, &day[..hours * 1_800]));
        viewer.reload(&text, secs(START + 3_600 * i64::try_from(hours).expect("a day")));
    }
    assert_eq!(viewer.tally.ids().collect::<Vec<_>>(), [""; 0]);
    assert_eq!(shown("growing", &viewer).segments, 43_200);
}

/// Plays a source from second to second of the simulated time.
fn play(channel: &mut Channel, source: &mut Broadcaster, range: std::ops::Range<i64>) {
    channel.turn_to(Some(0), secs(START + range.start));
    for second in range {
        let (from, to) = (secs(START + second), secs(START + second + 1));
        let packets = source.play(from, to);
        channel.drive(to, |packager, emit| packager.push(&packets, to, emit));
    }
}

#[test]
fn an_outage_too_long_to_fill_jumps_forward_and_says_so() {
    let (mut channel, mut source) = (Channel::new(), Broadcaster::new(0, 1));
    play(&mut channel, &mut source, 0..60);
    // The node is off for an hour, and does not fill so much: as `resume` of its live window has it.
    channel.packager = Packager::new(profile(), None, Arc::clone(&channel.slate));
    play(&mut channel, &mut source, 3_660..3_720);
    shown("outage", &channel.quick);
    assert_eq!(channel.quick.tally.ids().collect::<Vec<_>>(), [Rule::WindowLost.id()]);
    assert_eq!(channel.refused, 0);
}

#[test]
fn open_groups_of_pictures_are_not_called_independent() {
    for closed in [true, false] {
        let (mut channel, mut source) = (Channel::new(), Broadcaster { closed, ..Broadcaster::new(0, 1) });
        play(&mut channel, &mut source, 0..30);
        let media = channel.quick.watcher.last().expect("a list");
        assert_eq!((media.independent, channel.quick.tally.is_clean()), (closed, true));
    }
}
