//! Incidents as texts: what happened above the line, the timeline below it.

use proptest::prelude::*;

use super::*;

/// Plays the part above `---` and compares the timeline with the part below.
fn check(incident: &str) {
    let (script, want) = incident.split_once("---\n").expect("a line of dashes parts facts from decisions");
    let got = simulate(script).unwrap();
    assert_eq!(got, want, "\ngot:\n{got}");
}

macro_rules! incidents {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            check(include_str!(concat!("../../scripts/", stringify!($name), ".txt")));
        })*
    };
}

incidents! {
    caribbean_hangs
    caribbean_is_killed
    caribbean_flaps
    both_origins_die
    controller_is_cut_off
    operator_pins
    viewers_complain
    satellite_lost
    satellite_torn_and_tunnel_down
}

fn refuse(script: &str, want: &str) {
    assert_eq!(simulate(script).unwrap_err().to_string(), want);
}

#[test]
fn what_cannot_be_played_is_named() {
    refuse("origins a b\nat 10 a stops", "line 2: a duration is a number with ms, s, m or h, at most a day");
    refuse("origins a b\nat 10s c stops", "line 2: name it in origins or sources first");
    refuse("origins a b\nat 10s a sings", "line 2: not a state this can be in");
    refuse("origins a b\n\nfoo", "line 3: expected origins, sources, rule or at");
    refuse("origins a b\nrule soak long", "line 2: a duration is a number with ms, s, m or h, at most a day");
    refuse("", "the rules of the script");
    refuse(&"#".repeat(SCRIPT_BYTES_MAX + 1), "the script has 65537 bytes, the limit is 65536");
}

proptest! {
    #[test]
    fn any_text_is_played_or_refused(text in ".{0,200}") {
        let _ = simulate(&text);
    }

    #[test]
    fn any_words_are_played_or_refused(
        lines in proptest::collection::vec(
            "(at [0-9]{1,3}(s|ms|m) |)(origins a b|sources a b|a|b|operator pins a for 3s|box 1 fails on b|rule soak 9s)\
             ( stops| recovers| is killed| freezes| by force|)",
            0..12,
        ),
    ) {
        let _ = simulate(&format!("sources a b\n{}\nat 30s end", lines.join("\n")));
        let _ = simulate(&format!("origins a b\n{}\nat 30s end", lines.join("\n")));
    }
}
