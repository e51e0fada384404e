//! Signed bodies: what a node obeys is signed by its controller, so no broker has to be trusted.
//!
//! The signature covers the very text that travels, not a re-serialisation of it. Ed25519 (RFC 8032).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer as _, Verifier as _};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use ed25519_dalek::{SigningKey, VerifyingKey};

/// A body as text with a signature over that text and its purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// The body's JSON.
    pub payload: String,
    /// 64 bytes, URL-safe base64 without padding.
    pub signature: String,
}

/// Why a signed body was refused.
#[derive(Debug, thiserror::Error)]
pub enum SignedError {
    /// The body cannot be written as JSON.
    #[error("body cannot be written")]
    Write(#[source] serde_json::Error),
    /// The signature is not base64 of 64 bytes.
    #[error("signature is malformed")]
    Malformed,
    /// The signature is not by the key we trust, or the text was changed.
    #[error("signature does not match: not by this site's controller, or altered on the way")]
    Forged,
    /// Signed, but not the body we expect.
    #[error("signed body is not readable")]
    Read(#[source] serde_json::Error),
}

/// The purpose is signed too, so that a desired state cannot be replayed as a command.
fn bound(purpose: &str, payload: &str) -> Vec<u8> {
    [purpose.as_bytes(), b"\0", payload.as_bytes()].concat()
}

impl Signed {
    /// Signs a body for a purpose (`desired`, `cmd`).
    ///
    /// # Errors
    /// [`SignedError::Write`] when the body has no JSON form.
    pub fn new<T: Serialize>(purpose: &str, body: &T, key: &SigningKey) -> Result<Self, SignedError> {
        let payload = serde_json::to_string(body).map_err(SignedError::Write)?;
        let signature = URL_SAFE_NO_PAD.encode(key.sign(&bound(purpose, &payload)).to_bytes());
        Ok(Self { payload, signature })
    }

    /// Checks the signature and reads the body.
    ///
    /// # Errors
    /// See [`SignedError`].
    pub fn open<T: DeserializeOwned>(&self, purpose: &str, key: &VerifyingKey) -> Result<T, SignedError> {
        let bytes = URL_SAFE_NO_PAD.decode(&self.signature).map_err(|_| SignedError::Malformed)?;
        let signature = ed25519_dalek::Signature::from_slice(&bytes).map_err(|_| SignedError::Malformed)?;
        key.verify(&bound(purpose, &self.payload), &signature).map_err(|_| SignedError::Forged)?;
        serde_json::from_str(&self.payload).map_err(SignedError::Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::EventAck;

    fn check(purpose: &str, spoil: impl Fn(&mut Signed), want: &str) {
        let key = SigningKey::from_bytes(&[7; 32]);
        let mut signed = Signed::new("cmd", &EventAck { id: 5 }, &key).expect("signs");
        spoil(&mut signed);
        let got = signed
            .open::<EventAck>(purpose, &key.verifying_key())
            .map_or_else(|error| error.to_string(), |ack| format!("ack {}", ack.id));
        assert_eq!(got, want);
    }

    #[test]
    fn only_the_signed_text_for_its_purpose_opens() {
        let forged = "signature does not match: not by this site's controller, or altered on the way";
        check("cmd", |_| (), "ack 5");
        check("desired", |_| (), forged);
        check("cmd", |signed| signed.payload = signed.payload.replace('5', "6"), forged);
        check("cmd", |signed| signed.signature.truncate(10), "signature is malformed");
    }
}
