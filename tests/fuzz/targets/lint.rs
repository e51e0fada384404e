//! Playlists of strangers: three states of one list, and a segment in the clear, through the whole lint.
#![no_main]

use std::time::Duration;

use headend_media::lint::{Chain, Playlist, Rule, Tally, Watcher, compare, read, replay};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Vec<u8>, Vec<u8>, Vec<u8>)| {
    let (one, two, segment) = input;
    // Half of what comes is made to look like a playlist, so that the reader is passed.
    let marked = [b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\n", &two[..]].concat();
    let states = [&one, &two, &marked].map(|text| (Duration::from_secs(1), text));
    let (tally, _) = replay(states);
    assert!(tally.findings().len() <= Tally::KEPT * Rule::ALL.len());
    let (mut watcher, mut chain, mut tally) = (Watcher::new(), Chain::default(), Tally::default());
    if let Playlist::Media(media) = read(&marked).playlist {
        for listed in media.segments.iter().take(4) {
            chain.push(listed, true, &segment, &mut tally);
        }
        compare(&media, &media, &mut tally);
        watcher.look(media, Duration::ZERO, &mut tally);
        let _ = watcher.owed(Duration::ZERO);
    }
});
