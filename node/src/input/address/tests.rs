//! Tests of source addresses: what operators type, canonical spelling, refusals in words, and the round trip.

use proptest::prelude::*;

use super::*;

/// Parses `typed` and compares its canonical spelling, or the error's words.
fn check(typed: &str, want: &str) {
    let got = match typed.parse::<SourceAddress>() {
        Ok(address) => address.to_string(),
        Err(error) => format!("error: {error}"),
    };
    assert_eq!(got, want, "typed {typed:?}");
}

#[test]
fn what_operators_type_has_one_spelling() {
    check("/srv/clip.ts", "file:/srv/clip.ts");
    check("file:/srv/clip.ts", "file:/srv/clip.ts");
    check("file:///srv/my%20clip.ts", "file:/srv/my%20clip.ts");
    check("file://localhost/srv/clip.ts?service=257", "file:/srv/clip.ts?service=257");
    check("./a?b%.ts", "file:./a%3Fb%25.ts");
    check("udp://239.1.1.1:5000", "udp://239.1.1.1:5000");
    check(" udp://@239.1.1.1:5000 ", "udp://239.1.1.1:5000");
    check("UDP://eth1@239.1.1.1:5000/", "udp://eth1@239.1.1.1:5000");
    check("udp://239.1.1.1:5000?interface=10.0.0.2&service=3401", "udp://10.0.0.2@239.1.1.1:5000?service=3401");
    check("rtp://@[FF15::1]:5004", "rtp://[ff15::1]:5004");
    check("rtp://fe80::2@[ff02::1]:5004", "rtp://fe80::2@[ff02::1]:5004");
    check("udp://:5000", "udp://0.0.0.0:5000");
    check("http://peer:8081/france24/mpegts?x=1#service=2", "http://peer:8081/france24/mpegts?x=1#service=2");
    check(
        "https://peer/a/mpegts#token_file=/run/t%26x&ca_file=/etc/ca.pem",
        "https://peer/a/mpegts#token_file=/run/t%26x&ca_file=/etc/ca.pem",
    );
}

#[test]
fn refusals_say_what_would_be_right() {
    for (typed, words) in [
        ("", "write for example"),
        ("239.1.1.1", "use file:, udp://"),
        ("srt://host:1", "scheme \"srt\" is not known"),
        ("udp://239.1.1.1", "port \"\" is not a number"),
        ("udp://239.1.1.1:0", "port \"0\" is not a number"),
        ("udp://239.1.1.1:+1", "port \"+1\""),
        ("udp://239.1.1.1:70000", "port \"70000\""),
        ("udp://239.1.1.1:5000/10.0.0.1", "\"/10.0.0.1\" after the port"),
        ("udp://group.example:5000", "write the group's address"),
        ("udp://ff15::1:5000", "is not an IP address"),
        ("udp://[ff15::1]", "port \"\""),
        ("udp://a-very-long-interface@239.1.1.1:1", "up to 15 characters"),
        ("udp://eth0@239.1.1.1:1?interface=eth1", "given twice"),
        ("udp://239.1.1.1:1?ttl=3", "udp and rtp take interface and service"),
        ("udp://239.1.1.1:1?service=1&service=2", "given twice"),
        ("udp://239.1.1.1:1?service=0", "service \"0\" is not a number from 1"),
        ("udp://239.1.1.1 :5000", "control character or a blank"),
        ("file:", "write file:/path"),
        ("/", "write file:/path"),
        ("file:/srv/", "write file:/path"),
        ("file://nas/clip.ts", "write file:/path"),
        ("file:/a%2", "write a plain % as %25"),
        ("file:/a%00b", "write a plain % as %25"),
        ("http://", "write http://host:port/path"),
        ("http://user:secret@host/a", "put the token in a file"),
        ("http://host/a#service=x", "service \"x\""),
        ("http://host/a#ttl=1", "behind # http takes"),
    ] {
        let error = typed.parse::<SourceAddress>().expect_err(typed).to_string();
        assert!(error.contains(words), "{typed:?} gave {error:?}, wanted {words:?}");
        assert!(!error.contains("secret"), "{error:?} leaks the password");
    }
}

#[test]
fn labels_and_debug_mask_secrets() {
    let address: SourceAddress = "http://h/a/mpegts?Token=abc&x=1".parse().unwrap();
    assert_eq!(address.label(), "http://h/a/mpegts?Token=***&x=1");
    assert_eq!(format!("{address:?} {:?}", address.feed), format!("{0} {0}", address.label()));
    assert!(address.to_string().contains("abc"));
}

#[test]
fn feed_is_shared_by_services_of_one_mux() {
    let one: SourceAddress = "udp://239.1.1.1:5000?service=1".parse().unwrap();
    let two: SourceAddress = "udp://@239.1.1.1:5000?service=2".parse().unwrap();
    assert_eq!(one.feed, two.feed);
    assert_eq!((one.feed.kind(), one.service, two.service), ("udp", Some(1), Some(2)));
}

#[test]
fn a_multiplex_off_the_air_is_an_address() {
    let typed = "dvb://astra?frequency=11.538GHz&service=6911&polarisation=V&symbol_rate=22MBd&system=s2&priority=7";
    let address: SourceAddress = typed.parse().unwrap();
    let spelt = "dvb://astra?system=s2&frequency=11538MHz&polarisation=v&symbol_rate=22000kBd&priority=7&service=6911";
    assert_eq!((address.to_string().as_str(), address.feed.kind(), address.service), (spelt, "dvb", Some(6911)));
    assert_eq!(spelt.parse(), Ok(address));
    let error = "dvb://astra?system=s2 &service=1".parse::<SourceAddress>().unwrap_err().to_string();
    assert!(error.contains("a blank at byte"), "{error}");
}

fn interface() -> impl Strategy<Value = Interface> {
    prop_oneof![
        "[a-z][a-z0-9_.-]{0,14}"
            .prop_filter("an address is not a name", |name| name.parse::<IpAddr>().is_err())
            .prop_map(Interface::Name),
        any::<IpAddr>().prop_map(Interface::Address),
    ]
}

fn feed() -> impl Strategy<Value = Feed> {
    let udp = (any::<bool>(), any::<IpAddr>(), 1..=u16::MAX, proptest::option::of(interface()))
        .prop_map(|(rtp, address, port, interface)| Feed::Udp(UdpFeed { rtp, address, port, interface }));
    let path = "/[^\\p{Cc}]{0,40}[^\\p{Cc}/]";
    let file = path.prop_map(Feed::File);
    let option = || proptest::option::of(path);
    let http = ("[a-z]{1,8}(:[1-9][0-9]{3})?/[a-z0-9/]{0,12}(\\?[a-z]=[a-z0-9%&]{0,8})?", option(), option(), option())
        .prop_map(|(rest, bearer_file, token_file, ca_file)| {
            let url = Url::parse(&format!("http://{rest}")).unwrap();
            Feed::Http(HttpFeed { url, bearer_file, token_file, ca_file })
        });
    prop_oneof![udp, file, http]
}

proptest! {
    #[test]
    fn display_then_parse_gives_the_same(feed in feed(), service in proptest::option::of(1..=u16::MAX)) {
        let address = SourceAddress { feed, service };
        let text = address.to_string();
        // An ADDRESS_BYTES_MAX overrun is the one honest difference; these strategies stay below it.
        prop_assert_eq!(text.parse::<SourceAddress>(), Ok(address), "{}", text);
    }

    #[test]
    fn any_text_is_an_address_or_an_error(text in "\\PC{0,60}", scheme in 0..6_usize) {
        let scheme = ["", "file:", "udp://", "rtp://", "http://", "https://"][scheme];
        if let Ok(address) = format!("{scheme}{text}").parse::<SourceAddress>() {
            let canonical = address.to_string();
            prop_assert_eq!(canonical.parse::<SourceAddress>(), Ok(address), "{}", canonical);
        }
    }
}
