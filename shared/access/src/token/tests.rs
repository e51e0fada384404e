//! Tokens as a node meets them: genuine, old, foreign, for other channels, and changed by a stranger.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;

const NOW: u64 = 1_700_000_100;

/// Made with `openssl pkeyutl -sign -rawin` and Python's `struct`, not with this code: key 3 from the seed
/// 11..11, session 40..4f, device d0..d7, one hour of france24 from 1,700,000,000 on.
const GOLDEN: &str = "AQNAQUJDREVGR0hJSktMTU5P0NHS09TV1tdlU_EAZVP_EAABZnJhbmNlMjR_xHIoyAHS_Ay3NcYqDaDvlHYtmHlPT3gM\
                      R74srB6rCyS06IVax1kOysERaXqTF7vmkBqi14tKJyi5yBSlNuEL";

fn claims(scope: Scope) -> TokenClaims {
    TokenClaims {
        session: SessionId(*b"@ABCDEFGHIJKLMNO"),
        device: [0xD0, 0xD1, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7],
        not_before: 1_700_000_000,
        expires: 1_700_003_600,
        scope,
    }
}

fn france24() -> TokenClaims {
    claims(Scope::Channel("france24".into()))
}

fn signer() -> TokenSigner {
    TokenSigner::new(3, [0x11; 32])
}

fn verifier() -> TokenVerifier {
    TokenVerifier::new([signer().public(), TokenSigner::new(4, [0x44; 32]).public()]).unwrap()
}

/// Verifies `token` for `channel` at `now` and compares the error's words, or `"ok"`.
fn check(token: &str, channel: &str, now: u64, want: &str) {
    let got = verifier().verify(token, channel, now).map_or_else(|e| e.to_string(), |_| "ok".to_owned());
    assert_eq!(got, want);
}

#[test]
fn golden_token() {
    assert_eq!(signer().sign(&france24()).as_deref(), Ok(GOLDEN));
    assert_eq!(verifier().verify(GOLDEN, "france24", NOW), Ok(france24()));
    assert_eq!(GOLDEN.len(), 144);
}

#[test]
fn each_cause_has_its_words() {
    check(GOLDEN, "france24", 1_700_000_000, "ok");
    check(GOLDEN, "france24", 1_700_003_599, "ok");
    check(GOLDEN, "france24", 1_700_003_600, "token expired 0 s ago");
    check(GOLDEN, "france24", 1_699_999_990, "token is valid only in 10 s");
    check(GOLDEN, "tf1", NOW, "token does not open this channel");
    check("", "tf1", NOW, "not a token: too short");
    check("!!", "tf1", NOW, "not a token: not base64url");
    check(&"A".repeat(TOKEN_CHARS_MAX + 1), "tf1", NOW, "not a token: too long");
    check(&"A".repeat(120), "tf1", NOW, "not a token: unknown version");
    let foreign = TokenSigner::new(9, [0x11; 32]).sign(&france24()).unwrap();
    check(&foreign, "france24", NOW, "token is signed with key 9, which is not known here");
    let impostor = TokenSigner::new(3, [0x12; 32]).sign(&france24()).unwrap();
    check(&impostor, "france24", NOW, "token signature is wrong");
}

#[test]
fn both_keys_of_a_rotation_are_believed() {
    let next = TokenSigner::new(4, [0x44; 32]).sign(&france24()).unwrap();
    check(GOLDEN, "france24", NOW, "ok");
    check(&next, "france24", NOW, "ok");
}

#[test]
fn scopes_open_what_they_name() {
    let lineup = signer().sign(&claims(Scope::Lineup(vec!["tf1".into(), "fr/france2".into()]))).unwrap();
    check(&lineup, "tf1", NOW, "ok");
    check(&lineup, "fr/france2", NOW, "ok");
    check(&lineup, "france2", NOW, "token does not open this channel");
    check(&signer().sign(&claims(Scope::All)).unwrap(), "anything", NOW, "ok");
}

#[test]
fn what_cannot_be_signed_says_why() {
    let refusal = |claims: &TokenClaims| signer().sign(claims).unwrap_err();
    let long_name = claims(Scope::Channel("x".repeat(CHANNEL_BYTES_MAX + 1)));
    assert_eq!(refusal(&long_name), SignError::ChannelName);
    assert_eq!(refusal(&claims(Scope::Channel("a b".into()))), SignError::ChannelName);
    assert_eq!(refusal(&claims(Scope::Lineup(vec![]))), SignError::EmptyLineup);
    let many = Scope::Lineup(vec!["france24".into(); 123]);
    assert_eq!(refusal(&claims(many)), SignError::LineupTooLong { bytes: 1_107 });
    let never = TokenClaims { expires: 1_700_000_000, ..france24() };
    let want = SignError::EmptyWindow { not_before: 1_700_000_000, expires: 1_700_000_000 };
    assert_eq!(refusal(&never), want);
}

#[test]
fn the_longest_token_is_within_its_bound_and_comes_back() {
    // Nine names of 120 bytes and one of ten fill the scope to its last byte.
    let mut names = vec!["x".repeat(CHANNEL_BYTES_MAX); 9];
    names.push("y".repeat(SCOPE_BYTES_MAX - 9 * (CHANNEL_BYTES_MAX + 1) - 1));
    let full = claims(Scope::Lineup(names));
    let token = signer().sign(&full).unwrap();
    assert_eq!(token.len(), TOKEN_CHARS_MAX);
    assert_eq!(verifier().authenticate(&token), Ok(full));
}

#[test]
fn a_verifier_refuses_bad_public_keys() {
    let refused = |keys: Vec<(u8, [u8; 32])>, key| {
        assert_eq!(TokenVerifier::new(keys).unwrap_err(), SignError::PublicKey { key });
    };
    // The neutral element is a point of small order: any signature could be made to fit it.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    refused(vec![(5, neutral)], 5);
    refused(vec![(6, [2; 32])], 6);
    refused(vec![signer().public(), signer().public()], 3);
}

#[test]
fn debug_shows_no_secret() {
    assert_eq!(format!("{:?}", signer()), "TokenSigner { id: 3, key: <secret> }");
}

/// A payload signed by us that breaks the layout: a defect of a future signer, not of a stranger.
#[test]
fn a_genuine_but_odd_payload_is_refused() {
    let odd = |change: &dyn Fn(&mut Vec<u8>), want: &str| {
        let mut payload = URL_SAFE_NO_PAD.decode(GOLDEN).unwrap();
        payload.truncate(44);
        change(&mut payload);
        let signature = signer().key.sign(&payload);
        payload.extend_from_slice(&signature.to_bytes());
        check(&URL_SAFE_NO_PAD.encode(payload), "france24", NOW, want);
    };
    odd(&|_| (), "ok");
    odd(&|p| p[34] = 1, "not a token: unknown flags");
    odd(&|p| p[35] = 0, "not a token: unknown scope");
    odd(&|p| p[35] = 2, "not a token: lineup cut short");
    odd(&|p| p.truncate(36), "not a token: bad channel name");
    odd(&|p| p.truncate(20), "not a token: payload cut short");
    odd(&|p| p[40] = 0xFF, "not a token: bad channel name");
}

fn any_scope() -> impl Strategy<Value = Scope> {
    let name = "[a-z0-9/+._-]{1,20}";
    prop_oneof![
        Just(Scope::All),
        name.prop_map(Scope::Channel),
        proptest::collection::vec(name, 1..30).prop_map(Scope::Lineup),
    ]
}

proptest! {
    #[test]
    fn signed_claims_come_back(
        session: [u8; 16], device: [u8; 8], from in 0..u32::MAX, span in 1u32.., scope in any_scope(),
    ) {
        let expires = from.saturating_add(span);
        let claims = TokenClaims { session: SessionId(session), device, not_before: from, expires, scope };
        let token = signer().sign(&claims).unwrap();
        prop_assert!(token.len() <= TOKEN_CHARS_MAX);
        prop_assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        prop_assert_eq!(verifier().authenticate(&token), Ok(claims));
    }

    #[test]
    fn any_text_is_refused(token in ".{0,300}") {
        prop_assert!(verifier().authenticate(&token).is_err());
    }

    #[test]
    fn any_bytes_under_a_known_key_are_refused(mut bytes: Vec<u8>) {
        bytes.splice(0..0, [VERSION, 3]);
        prop_assert!(verifier().authenticate(&URL_SAFE_NO_PAD.encode(bytes)).is_err());
    }

    #[test]
    fn every_flipped_bit_is_refused(scope in any_scope(), at: usize, bit in 0u8..8) {
        let mut bytes = URL_SAFE_NO_PAD.decode(signer().sign(&claims(scope)).unwrap()).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        prop_assert!(verifier().authenticate(&URL_SAFE_NO_PAD.encode(bytes)).is_err());
    }

    #[test]
    fn every_other_character_is_refused(at in 0..GOLDEN.len(), other in "[A-Za-z0-9_-]") {
        let mut text = GOLDEN.to_owned();
        text.replace_range(at..=at, &other);
        prop_assert_eq!(verifier().authenticate(&text).is_ok(), text == GOLDEN);
    }
}
