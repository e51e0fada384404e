//! An installation: what `init` makes once and every `run` opens.
//!
//! In the state folder: `storage.key` (32 random bytes, hexadecimal, mode 0600), the store, and the files of the
//! fleet's authority. In the store, sealed under the storage key: the root of content keys, the secret that signs
//! playback tokens, the secret that signs desired states. So an export is of no use without `storage.key`, and
//! neither is worth keeping without the other. Nothing that is there is ever overwritten.

use std::{
    collections::BTreeMap,
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use headend_access::{Generation, OpenError as SealError, Root, TokenSigner};
use headend_rt::{
    Clock, SecretFile,
    atomic_file::{self, FileError},
    secret::SecretError,
};
use headend_wire::{SigningKey, SiteName};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{
    domain::{Login, Operator, PasswordHash, Refusal, Role, SettingName},
    fleet::authority::{Authority, AuthorityError},
    store::{
        Draft, Engine, IdempotencyKey, SledEngine, SledOptions, StoreError, Table, audit::AuditEntry,
        roots::SealedRoot, settings::Setting, sled::OpenError,
    },
};

const STORAGE_KEY_FILE: &str = "storage.key";
const INSTALLATION: &str = "installation";
const TOKEN_SIGNER: &str = "token-signer";
const FLEET_SIGNER: &str = "fleet-signer";
/// The id under which nodes know the public key of the first token signer.
const TOKEN_SIGNER_ID: u8 = 1;

/// Why an installation was not made or not opened. Each says the way out.
#[derive(Debug, thiserror::Error)]
pub enum InstallationError {
    /// There is none yet.
    #[error(
        "{} holds no installation yet; make one with: headend-controller init --operator LOGIN --password-file FILE",
        folder.display()
    )]
    None {
        /// The state folder.
        folder: PathBuf,
    },
    /// The state folder cannot be made.
    #[error("state folder {} cannot be made", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The store is sealed and its key is not there.
    #[error("{} is missing: put back the one that belongs to this store; without it no content key can be made", path.display())]
    KeyMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The storage key cannot be read.
    #[error("storage key")]
    Key(#[source] SecretError),
    /// The storage key is not 64 hexadecimal digits.
    #[error("{} is no storage key: it should hold 64 hexadecimal digits; put back the right file", path.display())]
    KeyForm {
        /// Which file.
        path: PathBuf,
    },
    /// The storage key cannot be written.
    #[error("storage key")]
    KeyFile(#[source] FileError),
    /// A sealed secret does not open.
    #[error("{what} does not open: the storage key belongs to another store")]
    Sealed {
        /// Which secret.
        what: String,
        /// Why.
        #[source]
        source: SealError,
    },
    /// A record that `init` made is not there or not as it was made.
    #[error("the store lacks {what}; restore it from its newest export")]
    Lacks {
        /// Which.
        what: &'static str,
    },
    /// The installation belongs to another site.
    #[error("the store belongs to site {kept}, the configuration says {configured}; use another state_dir")]
    OtherSite {
        /// The store's.
        kept: String,
        /// The configuration's.
        configured: SiteName,
    },
    /// It is initialised, and not with this operator.
    #[error(
        "already initialised, and without operator {login}; nothing was changed. An admin adds operators over the REST API"
    )]
    OtherOperator {
        /// Who was to be made.
        login: Login,
    },
    /// The operator's password is no good.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store refused.
    #[error("store")]
    Store(#[from] StoreError),
    /// The fleet's authority.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The system gives no randomness.
    #[error("the system gives no random bytes")]
    Random,
}

/// What came of an `init`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// It was made.
    New,
    /// It was there, with this operator; nothing was changed.
    Already,
}

/// The secrets of an installation.
pub struct Secrets {
    /// Every root of content keys.
    pub roots: BTreeMap<Generation, Root>,
    /// Signs playback tokens.
    pub token_signer: TokenSigner,
    /// The same, for those who need their own.
    pub probe_signer: TokenSigner,
    /// Signs desired states.
    pub fleet_signer: SigningKey,
}

/// Where the store of a state folder is.
#[must_use]
pub fn store_folder(state_dir: &Path) -> PathBuf {
    state_dir.join("store")
}

/// Opens the store of a state folder, making an empty one when there is none. Blocks on the disk.
///
/// # Errors
/// [`InstallationError::Folder`] or [`InstallationError::Open`].
pub fn open_store(state_dir: &Path) -> Result<SledEngine, InstallationError> {
    let failed = |source| InstallationError::Folder { folder: state_dir.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(state_dir).map_err(failed)?;
    Ok(SledEngine::open(&SledOptions::new(store_folder(state_dir)))?)
}

/// Makes the installation, with its first operator, who may do everything. Blocks on the disk.
///
/// # Errors
/// [`InstallationError`]; what was there is as it was.
pub async fn make(
    engine: Arc<dyn Engine>,
    (state_dir, site): (&Path, &SiteName),
    clock: &dyn Clock,
    (login, password): (&Login, &str),
) -> Result<Made, InstallationError> {
    if kept(&engine, INSTALLATION).await?.is_some() {
        open(Arc::clone(&engine), (state_dir, site)).await?;
        let operators: Table<Operator> = Table::new(engine);
        let there = operators.get(login).await?.is_some();
        return if there { Ok(Made::Already) } else { Err(InstallationError::OtherOperator { login: login.clone() }) };
    }
    let password = PasswordHash::create(password, random()?)?;
    let storage_key = match storage_key(state_dir)? {
        Some(key) => key,
        None => make_storage_key(state_dir)?,
    };
    // Made before the commit: when this fails, a second `init` begins anew.
    Authority::open(state_dir, site, clock.now())?;
    let now_ms = u64::try_from(clock.unix_ms()).unwrap_or(0);
    let root = Root::new(Generation(1), random()?);
    let operator = Operator { login: login.clone(), name: String::new(), password, role: Role::Admin, enabled: true };
    let about = Setting { name: name(INSTALLATION), value: json!({ "site": site, "created_at": now_ms / 1_000 }) };
    let request = IdempotencyKey::random("init");
    let line = AuditEntry::new(&request, now_ms, "init", "installation.create", site.as_str());
    Draft::new(request, now_ms)
        .insert(&about)?
        .insert(&SealedRoot::seal(&root, &storage_key, random()?, now_ms / 1_000))?
        .insert(&sealed_secret(TOKEN_SIGNER, &storage_key)?)?
        .insert(&sealed_secret(FLEET_SIGNER, &storage_key)?)?
        .insert(&operator)?
        .insert(&line)?
        .commit(&*engine)
        .await?;
    Ok(Made::New)
}

/// Opens the secrets of an installation. Blocks on the disk.
///
/// # Errors
/// [`InstallationError::None`] when there is none, and every other way in which it may be damaged.
pub async fn open(
    engine: Arc<dyn Engine>,
    (state_dir, site): (&Path, &SiteName),
) -> Result<Secrets, InstallationError> {
    let about = kept(&engine, INSTALLATION).await?;
    let about = about.ok_or_else(|| InstallationError::None { folder: state_dir.to_owned() })?;
    let kept_site = about.get("site").and_then(Value::as_str).unwrap_or_default();
    if kept_site != site.as_str() {
        return Err(InstallationError::OtherSite { kept: kept_site.to_owned(), configured: site.clone() });
    }
    let missing = || InstallationError::KeyMissing { path: state_dir.join(STORAGE_KEY_FILE) };
    let storage_key = storage_key(state_dir)?.ok_or_else(missing)?;
    let sealed: Table<SealedRoot> = Table::new(Arc::clone(&engine));
    let mut roots = BTreeMap::new();
    for kept in sealed.all().await? {
        let generation = kept.record.generation;
        let failed = |source| InstallationError::Sealed { what: format!("content-key root {}", generation.0), source };
        roots.insert(generation, kept.record.open(&storage_key).map_err(failed)?);
    }
    if roots.is_empty() {
        return Err(InstallationError::Lacks { what: "the root of content keys" });
    }
    let token = secret(&engine, TOKEN_SIGNER, &storage_key).await?;
    let fleet = secret(&engine, FLEET_SIGNER, &storage_key).await?;
    Ok(Secrets {
        roots,
        token_signer: TokenSigner::new(TOKEN_SIGNER_ID, *token),
        probe_signer: TokenSigner::new(TOKEN_SIGNER_ID, *token),
        fleet_signer: SigningKey::from_bytes(&fleet),
    })
}

fn name(text: &str) -> SettingName {
    text.parse().expect("names of settings are written here")
}

async fn kept(engine: &Arc<dyn Engine>, setting: &str) -> Result<Option<Value>, StoreError> {
    let settings: Table<Setting> = Table::new(Arc::clone(engine));
    Ok(settings.get(&name(setting)).await?.map(|kept| kept.record.value))
}

fn random<const N: usize>() -> Result<[u8; N], InstallationError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| InstallationError::Random)?;
    Ok(bytes)
}

/// 32 fresh secret bytes as a setting, sealed.
fn sealed_secret(what: &str, storage_key: &[u8; 32]) -> Result<Setting, InstallationError> {
    let secret = Zeroizing::new(random::<32>()?);
    let sealed = headend_access::seal(storage_key, what, random()?, &*secret);
    Ok(Setting { name: name(what), value: json!({ "sealed": STANDARD.encode(sealed) }) })
}

async fn secret(
    engine: &Arc<dyn Engine>,
    what: &'static str,
    storage_key: &[u8; 32],
) -> Result<Zeroizing<[u8; 32]>, InstallationError> {
    let lacks = || InstallationError::Lacks { what };
    let value = kept(engine, what).await?.ok_or_else(lacks)?;
    let text = value.get("sealed").and_then(Value::as_str).ok_or_else(lacks)?;
    let sealed = STANDARD.decode(text).map_err(|_| lacks())?;
    let failed = |source| InstallationError::Sealed { what: what.to_owned(), source };
    let plain = headend_access::open(storage_key, what, &sealed).map_err(failed)?;
    let plain = <[u8; 32]>::try_from(plain.as_slice()).map_err(|_| lacks())?;
    Ok(Zeroizing::new(plain))
}

/// The storage key; none when there is no file.
fn storage_key(state_dir: &Path) -> Result<Option<Zeroizing<[u8; 32]>>, InstallationError> {
    let path = state_dir.join(STORAGE_KEY_FILE);
    let secret = match SecretFile::at(&path).read() {
        Ok(secret) => secret,
        Err(SecretError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(InstallationError::Key(error)),
    };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = secret.bytes().as_chunks::<2>();
    let mut key = Zeroizing::new([0; 32]);
    let whole = pairs.len() == key.len() && rest.is_empty();
    for (byte, [high, low]) in key.iter_mut().zip(pairs) {
        match (digit(*high), digit(*low)) {
            (Some(high), Some(low)) if whole => *byte = high << 4 | low,
            _ => return Err(InstallationError::KeyForm { path }),
        }
    }
    if whole { Ok(Some(key)) } else { Err(InstallationError::KeyForm { path }) }
}

fn make_storage_key(state_dir: &Path) -> Result<Zeroizing<[u8; 32]>, InstallationError> {
    let key = Zeroizing::new(random::<32>()?);
    let mut text = Zeroizing::new(String::with_capacity(65));
    for byte in key.iter() {
        for nibble in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(nibble.into(), 16));
        }
    }
    text.push('\n');
    let path = state_dir.join(STORAGE_KEY_FILE);
    atomic_file::write(&path, text.as_bytes(), 0o600).map_err(InstallationError::KeyFile)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryEngine;
    use headend_rt::SystemClock;

    async fn init(engine: &Arc<dyn Engine>, folder: &Path, login: &str) -> Result<Made, String> {
        let (site, login) = ("caribbean".parse().unwrap(), login.parse().unwrap());
        let who = (&login, "correct horse");
        let made = make(Arc::clone(engine), (folder, &site), &SystemClock, who).await;
        made.map_err(|error| headend_rt::chain(&error).replace(&folder.display().to_string(), "DIR"))
    }

    async fn check_open(engine: &Arc<dyn Engine>, folder: &Path, site: &str, expected: &str) {
        let opened = open(Arc::clone(engine), (folder, &site.parse().unwrap())).await;
        let got = opened.map_or_else(|error| headend_rt::chain(&error), |_| "open".to_owned());
        assert_eq!(got.replace(&folder.display().to_string(), "DIR"), expected);
    }

    #[tokio::test]
    async fn is_made_once_and_never_overwritten() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path();
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
        let none = "DIR holds no installation yet; make one with: headend-controller init --operator LOGIN --password-file FILE";
        check_open(&engine, folder, "caribbean", none).await;
        assert_eq!(init(&engine, folder, "anna").await, Ok(Made::New));
        let key = std::fs::read(folder.join(STORAGE_KEY_FILE)).unwrap();
        check_open(&engine, folder, "caribbean", "open").await;
        assert_eq!(init(&engine, folder, "anna").await, Ok(Made::Already));
        let other = "already initialised, and without operator bert; nothing was changed. \
                     An admin adds operators over the REST API";
        assert_eq!(init(&engine, folder, "bert").await.unwrap_err(), other);
        assert_eq!(std::fs::read(folder.join(STORAGE_KEY_FILE)).unwrap(), key);
        let site = "the store belongs to site caribbean, the configuration says france; use another state_dir";
        check_open(&engine, folder, "france", site).await;
    }

    #[tokio::test]
    async fn a_store_without_its_key_says_so() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path();
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
        init(&engine, folder, "anna").await.unwrap();
        let path = folder.join(STORAGE_KEY_FILE);
        std::fs::remove_file(&path).unwrap();
        let missing = "DIR/storage.key is missing: put back the one that belongs to this store; \
                       without it no content key can be made";
        check_open(&engine, folder, "caribbean", missing).await;
        assert_eq!(init(&engine, folder, "anna").await.unwrap_err(), missing);
        assert!(!path.exists(), "no other key is made over a sealed store");
        atomic_file::write(&path, "00".repeat(32).as_bytes(), 0o600).unwrap();
        let foreign = "content-key root 1 does not open: the storage key belongs to another store: \
                       sealed bytes do not belong to this storage key and context";
        check_open(&engine, folder, "caribbean", foreign).await;
        atomic_file::write(&path, b"short", 0o600).unwrap();
        let form = "DIR/storage.key is no storage key: it should hold 64 hexadecimal digits; put back the right file";
        check_open(&engine, folder, "caribbean", form).await;
    }

    #[tokio::test]
    async fn a_weak_password_makes_nothing() {
        let place = tempfile::tempdir().unwrap();
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
        let (site, login) = ("caribbean".parse().unwrap(), "anna".parse().unwrap());
        let made = make(Arc::clone(&engine), (place.path(), &site), &SystemClock, (&login, "short")).await;
        let expected = "password has 5 characters; use at least 8 characters and at most 512 bytes";
        assert_eq!(made.unwrap_err().to_string(), expected);
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    }
}
