//! Playback tokens: what a controller signs and every node of every site believes.
//!
//! A token binds a session to a device, to channels and to a span of time, but not to a site: after a failover
//! the box shows the same token elsewhere. It is checked without asking anyone (Ed25519, RFC 8032). Text:
//! `base64url(payload | signature)` without padding (RFC 4648 §5), characters `A-Z a-z 0-9 - _` only, at most
//! [`TOKEN_CHARS_MAX`]; 144 characters for a channel of eight letters. Payload:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version, 1 |
//! | 1 | id of the signing key |
//! | 16 | session |
//! | 8 | device hash |
//! | 4 + 4 | not before, expires: Unix seconds, big endian |
//! | 1 | flags of the window: none defined in version 1, zero |
//! | 1 | scope: 0 all, 1 channel, 2 lineup |
//! | rest | the channel's name; or for each channel of the lineup one length byte and the name |
//!
//! Caching verified tokens, counting sessions and revocation are the node's. Who may watch what is the
//! controller's; it signs the answer.

use std::{collections::BTreeMap, fmt};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{SIGNATURE_LENGTH, Signature, Signer, SigningKey, VerifyingKey};
use zeroize::Zeroize;

use crate::session::SessionId;

const VERSION: u8 = 1;
const FIXED_BYTES: usize = 36;

/// The most characters of a token: a request line with one stays far under the 8 KiB every proxy takes.
pub const TOKEN_CHARS_MAX: usize = 1_600;

/// The most bytes of the scope's names; a lineup of about 100 channels fits, a larger one is [`Scope::All`].
pub const SCOPE_BYTES_MAX: usize = TOKEN_CHARS_MAX / 4 * 3 - FIXED_BYTES - SIGNATURE_LENGTH;

/// The most bytes of a channel's name.
pub const CHANNEL_BYTES_MAX: usize = 120;

/// Which channels a token opens, by system name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// One channel.
    Channel(String),
    /// These channels; never empty.
    Lineup(Vec<String>),
    /// Every channel.
    All,
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenClaims {
    /// The viewing session.
    pub session: SessionId,
    /// The first bytes of a hash of the device's identity; compared, never inverted.
    pub device: [u8; 8],
    /// The token holds from this Unix second on.
    pub not_before: u32,
    /// The token holds before this Unix second.
    pub expires: u32,
    /// Which channels it opens.
    pub scope: Scope,
}

/// Why a token was refused. For the log: a viewer gets the same 403 whatever the cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Its time is over.
    #[error("token expired {ago_secs} s ago")]
    Expired {
        /// Seconds since the expiry.
        ago_secs: u64,
    },
    /// Its time has not come; also seen when this machine's clock is behind.
    #[error("token is valid only in {in_secs} s")]
    NotYetValid {
        /// Seconds until then.
        in_secs: u64,
    },
    /// The signature is not of the key it names.
    #[error("token signature is wrong")]
    Forged,
    /// It names a key that we do not know.
    #[error("token is signed with key {key}, which is not known here")]
    ForeignKey {
        /// The key's id.
        key: u8,
    },
    /// Not a token of this version.
    #[error("not a token: {part}")]
    Malformed {
        /// What was wrong, in words.
        part: &'static str,
    },
    /// Genuine, but for other channels.
    #[error("token does not open this channel")]
    OutOfScope,
}

/// Why a token could not be signed or a verifier not built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// `expires` is not after `not_before`.
    #[error("the token would never be valid: not before {not_before}, expires {expires}")]
    EmptyWindow {
        /// Unix seconds.
        not_before: u32,
        /// Unix seconds.
        expires: u32,
    },
    /// A name is empty, too long or not plain ASCII.
    #[error("a channel name in a token has 1 to {CHANNEL_BYTES_MAX} printable ASCII characters")]
    ChannelName,
    /// A lineup without a channel.
    #[error("the lineup is empty")]
    EmptyLineup,
    /// The lineup is too long to travel in a URL.
    #[error("the lineup needs {bytes} bytes, a token has room for {SCOPE_BYTES_MAX}")]
    LineupTooLong {
        /// What it would take.
        bytes: usize,
    },
    /// Not a usable Ed25519 public key, or an id given twice.
    #[error("public key {key} is not usable")]
    PublicKey {
        /// The key's id.
        key: u8,
    },
}

impl TokenClaims {
    /// Whether these claims open `channel` at `now` (Unix seconds). For claims whose signature was checked
    /// before; [`TokenVerifier::verify`] does both.
    ///
    /// # Errors
    /// [`TokenError::NotYetValid`], [`TokenError::Expired`] or [`TokenError::OutOfScope`].
    pub fn admit(&self, channel: &str, now: u64) -> Result<(), TokenError> {
        let (from, until) = (u64::from(self.not_before), u64::from(self.expires));
        if now < from {
            return Err(TokenError::NotYetValid { in_secs: from - now });
        }
        if now >= until {
            return Err(TokenError::Expired { ago_secs: now - until });
        }
        if self.scope.opens(channel) { Ok(()) } else { Err(TokenError::OutOfScope) }
    }
}

impl Scope {
    /// Whether `channel` is in the scope.
    #[must_use]
    pub fn opens(&self, channel: &str) -> bool {
        match self {
            Self::All => true,
            Self::Channel(name) => name == channel,
            Self::Lineup(names) => names.iter().any(|name| name == channel),
        }
    }
}

/// Signs tokens. Only controllers have one.
pub struct TokenSigner {
    id: u8,
    // Wiped on drop by ed25519-dalek; boxed so that moving the signer leaves no copy behind.
    key: Box<SigningKey>,
}

impl TokenSigner {
    /// A signer from a 32-byte secret (RFC 8032 §5.1.5) and the id under which verifiers know its public key.
    #[must_use]
    pub fn new(id: u8, mut secret: [u8; 32]) -> Self {
        let key = Box::new(SigningKey::from_bytes(&secret));
        secret.zeroize();
        Self { id, key }
    }

    /// The key id and the public key, for [`TokenVerifier::new`].
    #[must_use]
    pub fn public(&self) -> (u8, [u8; 32]) {
        (self.id, self.key.verifying_key().to_bytes())
    }

    /// The signed token. Ed25519 has no randomness: the same claims give the same text.
    ///
    /// # Errors
    /// The window is empty, a name is not one, or the lineup is empty or too long.
    pub fn sign(&self, claims: &TokenClaims) -> Result<String, SignError> {
        let &TokenClaims { session, device, not_before, expires, ref scope } = claims;
        if not_before >= expires {
            return Err(SignError::EmptyWindow { not_before, expires });
        }
        let mut token = vec![VERSION, self.id];
        token.extend_from_slice(&session.0);
        token.extend_from_slice(&device);
        token.extend_from_slice(&not_before.to_be_bytes());
        token.extend_from_slice(&expires.to_be_bytes());
        token.push(0);
        write_scope(scope, &mut token)?;
        let signature = self.key.sign(&token);
        token.extend_from_slice(&signature.to_bytes());
        Ok(URL_SAFE_NO_PAD.encode(token))
    }
}

impl fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenSigner {{ id: {}, key: <secret> }}", self.id)
    }
}

/// Checks tokens. Holds several public keys, so that a new signing key can be handed out before it is used.
#[derive(Debug, Clone, Default)]
pub struct TokenVerifier {
    keys: BTreeMap<u8, VerifyingKey>,
}

impl TokenVerifier {
    /// A verifier of these `(id, public key)`, at most 256.
    ///
    /// # Errors
    /// [`SignError::PublicKey`]: an id comes twice, or a key is no point of the curve or one of small order.
    pub fn new(public_keys: impl IntoIterator<Item = (u8, [u8; 32])>) -> Result<Self, SignError> {
        let mut keys = BTreeMap::new();
        for (id, bytes) in public_keys {
            let key = VerifyingKey::from_bytes(&bytes).ok().filter(|key| !key.is_weak());
            let key = key.ok_or(SignError::PublicKey { key: id })?;
            if keys.insert(id, key).is_some() {
                return Err(SignError::PublicKey { key: id });
            }
        }
        Ok(Self { keys })
    }

    /// The claims of a genuine token that opens `channel` at `now` (Unix seconds).
    ///
    /// # Errors
    /// Every [`TokenError`]. Time and channel are looked at only once the signature is right.
    pub fn verify(&self, token: &str, channel: &str, now: u64) -> Result<TokenClaims, TokenError> {
        let claims = self.authenticate(token)?;
        claims.admit(channel, now)?;
        Ok(claims)
    }

    /// The claims of a genuine token, whether or not they hold now: for a cache that asks
    /// [`TokenClaims::admit`] at each request.
    ///
    /// # Errors
    /// [`TokenError::Malformed`], [`TokenError::ForeignKey`] or [`TokenError::Forged`].
    pub fn authenticate(&self, token: &str) -> Result<TokenClaims, TokenError> {
        if token.len() > TOKEN_CHARS_MAX {
            return Err(malformed("too long"));
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| malformed("not base64url"))?;
        let (payload, signature) = bytes.split_last_chunk::<SIGNATURE_LENGTH>().ok_or(malformed("too short"))?;
        let &[version, id, ..] = payload else {
            return Err(malformed("too short"));
        };
        if version != VERSION {
            return Err(malformed("unknown version"));
        }
        let key = self.keys.get(&id).ok_or(TokenError::ForeignKey { key: id })?;
        key.verify_strict(payload, &Signature::from_bytes(signature)).map_err(|_| TokenError::Forged)?;
        read_claims(payload)
    }
}

fn malformed(part: &'static str) -> TokenError {
    TokenError::Malformed { part }
}

fn write_scope(scope: &Scope, token: &mut Vec<u8>) -> Result<(), SignError> {
    match scope {
        Scope::All => token.push(0),
        Scope::Channel(name) => {
            token.push(1);
            token.extend_from_slice(checked(name)?);
        }
        Scope::Lineup(names) => {
            let bytes = names.iter().map(|name| name.len().saturating_add(1)).fold(0, usize::saturating_add);
            if names.is_empty() {
                return Err(SignError::EmptyLineup);
            }
            if bytes > SCOPE_BYTES_MAX {
                return Err(SignError::LineupTooLong { bytes });
            }
            token.push(2);
            for name in names {
                let name = checked(name)?;
                token.push(u8::try_from(name.len()).map_err(|_| SignError::ChannelName)?);
                token.extend_from_slice(name);
            }
        }
    }
    Ok(())
}

fn checked(name: &str) -> Result<&[u8], SignError> {
    if is_name(name.as_bytes()) { Ok(name.as_bytes()) } else { Err(SignError::ChannelName) }
}

fn is_name(name: &[u8]) -> bool {
    (1..=CHANNEL_BYTES_MAX).contains(&name.len()) && name.iter().all(u8::is_ascii_graphic)
}

fn read_claims(payload: &[u8]) -> Result<TokenClaims, TokenError> {
    let short = malformed("payload cut short");
    let (_, rest) = payload.split_first_chunk::<2>().ok_or(short.clone())?;
    let (session, rest) = rest.split_first_chunk().ok_or(short.clone())?;
    let (device, rest) = rest.split_first_chunk().ok_or(short.clone())?;
    let (not_before, rest) = rest.split_first_chunk().ok_or(short.clone())?;
    let (expires, rest) = rest.split_first_chunk().ok_or(short.clone())?;
    let (&[flags, kind], names) = rest.split_first_chunk().ok_or(short)?;
    // A flag would narrow what the token allows; one that we do not know must not be passed over.
    if flags != 0 {
        return Err(malformed("unknown flags"));
    }
    let scope = match kind {
        0 if names.is_empty() => Scope::All,
        1 => Scope::Channel(read_name(names)?),
        2 => Scope::Lineup(read_lineup(names)?),
        _ => return Err(malformed("unknown scope")),
    };
    Ok(TokenClaims {
        session: SessionId(*session),
        device: *device,
        not_before: u32::from_be_bytes(*not_before),
        expires: u32::from_be_bytes(*expires),
        scope,
    })
}

fn read_lineup(mut bytes: &[u8]) -> Result<Vec<String>, TokenError> {
    let mut names = vec![];
    while let Some((&length, rest)) = bytes.split_first() {
        let (name, rest) = rest.split_at_checked(usize::from(length)).ok_or(malformed("lineup cut short"))?;
        names.push(read_name(name)?);
        bytes = rest;
    }
    if names.is_empty() { Err(malformed("empty lineup")) } else { Ok(names) }
}

fn read_name(bytes: &[u8]) -> Result<String, TokenError> {
    let name = Some(bytes).filter(|bytes| is_name(bytes)).and_then(|bytes| std::str::from_utf8(bytes).ok());
    name.map(str::to_owned).ok_or(malformed("bad channel name"))
}

#[cfg(test)]
mod tests;
