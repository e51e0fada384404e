//! A write of an operator: once per `Idempotency-Key`, with its line in the audit, durable when it is answered.
//!
//! The store remembers what a key was answered with, so a repeat changes nothing and gets the first status. A key
//! that comes again with another request is refused. Without a key each request is a write of its own.

use std::sync::Arc;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{Office, body::RequestHash, error::ApiError, who::SignedIn};
use crate::store::{Draft, IdempotencyKey, audit::AuditEntry, engine::IDEMPOTENCY_BYTES_MAX};

/// What a repeat is answered with.
#[derive(Serialize, Deserialize)]
struct Remembered {
    request: String,
    status: u16,
}

/// What is written: for the audit and for the answer.
#[derive(Debug, Clone)]
pub struct Deed<'a> {
    /// `tariff.put`.
    pub action: &'a str,
    /// `Base`.
    pub subject: &'a str,
    /// The status of the answer.
    pub status: StatusCode,
    /// Names the request.
    pub hash: RequestHash,
}

/// Writes what `fill` puts into the draft. Gives the status to answer with: the first one for a repeat.
///
/// # Errors
/// What the store or the idempotency key says.
pub async fn once(
    office: &Arc<Office>,
    who: &SignedIn,
    deed: Deed<'_>,
    fill: impl FnOnce(Draft) -> Result<Draft, crate::store::StoreError>,
) -> Result<StatusCode, ApiError> {
    let login = &who.operator.login;
    let key = match &who.idempotency {
        Some(text) => IdempotencyKey::new(format!("operator:{login}:{text}")).map_err(|_| {
            let room = IDEMPOTENCY_BYTES_MAX - 10 - login.as_str().len();
            ApiError::unreadable(
                "the Idempotency-Key cannot be used",
                format!("use 1 to {room} visible ASCII characters"),
            )
        })?,
        None => IdempotencyKey::random("operator"),
    };
    let (at_ms, request) = (office.now_ms(), hexadecimal(&deed.hash.0));
    let line = AuditEntry::new(&key, at_ms, login.as_str(), deed.action, deed.subject);
    let answer = Remembered { request: request.clone(), status: deed.status.as_u16() };
    let answer = serde_json::to_vec(&answer).expect("two plain fields have a JSON form");
    let draft = fill(Draft::new(key, at_ms).put(&line)?.answer(answer))?;
    let done = draft.commit(&*office.engine).await?;
    if !done.repeated {
        office.catalogue.refresh().await?;
        tracing::info!(operator = %login, action = deed.action, subject = deed.subject, "changed");
        return Ok(deed.status);
    }
    let first: Remembered = serde_json::from_slice(&done.answer).map_err(|_| ApiError::key_reused())?;
    if first.request != request {
        return Err(ApiError::key_reused());
    }
    Ok(StatusCode::from_u16(first.status).unwrap_or(StatusCode::OK))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
