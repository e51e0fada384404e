//! Tokens, key addresses and sealed records that strangers made up: all refused, none with a panic.
#![no_main]

use headend_access::{KeyAddress, TokenSigner, TokenVerifier, open};
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
});
