//! Tokens, key addresses and sealed records that strangers made up: all refused, none with a panic.
#![no_main]

use headend_access::{Asked, Day, DayKey, Generation, KeyAddress, PathMark, SecureTokenKey, TokenSigner, TokenVerifier, open};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str, &[u8], u64)| {
    let (first, second, bytes, now) = input;
    let signer = TokenSigner::new(3, [7; 32]);
    let verifier = TokenVerifier::new([signer.public()]).expect("a key of ours");
    assert!(verifier.verify(first, second, now).is_err(), "nobody guesses a signature");
    if let Ok(address) = KeyAddress::parse("lagon", first, second) {
        assert_eq!(KeyAddress::parse("lagon", &address.id().to_string(), second).map(|again| again.id()), Ok(address.id()));
    }
    assert!(open(&[1; 32], first, bytes).is_err());
    if let Ok(mark) = PathMark::parse(first) {
        assert_eq!(mark.to_string(), first);
        let key = DayKey::new("lagon", Generation(1), Day(mark.day().0), [7; 32]).path_key();
        assert!(key.verify(&mark, now).is_err(), "nobody guesses a mark");
    }
    let asked = Asked { channel: "lagon", address: Some("192.0.2.7"), now };
    assert!(SecureTokenKey::new(b"key", now).check(first, asked).is_err(), "nobody guesses a hash");
});
